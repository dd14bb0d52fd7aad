"""How arrivals become items of evidence: the use case behind every door that takes bytes in.

Effects in order, so that a crash at any line leaves an orphan object or nothing,
never a reference to bytes that are not there:

1. content was read once, digested and sealed into writers (by `ingest`);
2. what is already stored is let go of again, after re-reading that it still is intact;
3. the rest is made durable, all with one flush;
4. one transaction allocates ERNs and enters items, objects, versions and their signed events.

An arrival is acknowledged when `register` returns. The source key makes it
idempotent: a retry, a second run or a run at the same time finds the item there.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from evidence_store import acts
from evidence_store.claims import ClaimSet
from evidence_store.digest import Algorithm, Digest, Fingerprint
from evidence_store.errors import EvidenceError
from evidence_store.field_seal import SealCheck
from evidence_store.identifiers import CaseId, Ern, ObjectName
from evidence_store.item import Asserted, Item, ItemStatus, SealedObject, Version, VersionType
from evidence_store.ledger.event import Draft
from evidence_store.ports import Catalog, CatalogReader, CatalogWriter, ObjectWriter
from evidence_store.recording import Recorder
from evidence_store.vault import Body, Vault
from evidence_store.verification import Outcome, stated_digest_error, verify_stored


class IntakeStatus(StrEnum):
    """What became of one source."""

    INGESTED = "ingested"
    DUPLICATE = "duplicate"  # the same bytes are stored already; it has an ERN of its own
    RESUMED = "resumed"  # this very source was registered before; nothing new was made
    QUARANTINED = "quarantined"  # the bytes are not those that the sender stated; they are kept
    FAILED = "failed"  # also: it was registered before, and other bytes are stated of it now


class ContestedError(EvidenceError):
    """What is registered already stays as it is; what is stated of it now is of other bytes."""

    code = "E200"

    def __init__(self, ern: Ern, problem: EvidenceError) -> None:
        super().__init__(f"{ern} has these bytes already, and stays as it is; {problem}")


@dataclass(frozen=True, slots=True)
class Content:
    """A source's content, read once, digested, identified and sealed, not yet durable."""

    fingerprint: Fingerprint
    sealing: Body
    media_type: str
    name_mismatch: bool
    claims: tuple[ClaimSet, ...]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Content that is to become an item: where it came from, and what was said of it.

    `stated` is the digest that the sender stated, if any; `sealed` what comparing it with a field
    seal brought.
    """

    content: Content
    source_name: bytes
    source_key: bytes
    asserted: Asserted
    stated: Digest | None = None
    sealed: SealCheck | None = None

    @property
    def problem(self) -> EvidenceError | None:
        """Why the item goes into quarantine: it is not what was sealed, or not what was stated."""
        if self.sealed is not None and self.sealed.problem is not None:
            return self.sealed.problem
        found = self.content.fingerprint
        return None if self.stated is None else stated_digest_error(self.stated, found)


@dataclass(frozen=True, slots=True)
class Registered:
    """What an arrival became."""

    ern: Ern
    status: IntakeStatus
    arrival: Arrival

    @property
    def problem(self) -> EvidenceError | None:
        """What is wrong with it: it went into quarantine, or what is stated is refused."""
        found = self.arrival.problem
        if found is not None and self.status is IntakeStatus.FAILED:
            return ContestedError(self.ern, found)
        return found


def source_key(case_id: CaseId, path: bytes, sha256: Digest) -> bytes:
    """What makes the intake of a source idempotent: its case, its absolute path and its content.

    `docs/format.md`, "Source keys". The same content at another path is another item.
    """
    state = hashlib.sha256(b"evidence-store/source-key/v1\0")
    for part in (str(case_id).encode("ascii"), path, sha256.value):
        state.update(len(part).to_bytes(8, "big") + part)
    return state.digest()


INTACT_NAMES_MAX = 10_000  # bounds memory; what falls out is merely read again


@dataclass(slots=True)
class Intake:
    """Registers arrivals in one case, a batch at a time. Used by one thread."""

    catalog: Catalog
    vault: Vault
    recorder: Recorder
    case_id: CaseId
    _intact: dict[ObjectName, None] = field(default_factory=dict)

    def register(self, arrivals: Sequence[Arrival]) -> Sequence[Registered]:
        """Make the arrivals durable and enter them, in order, each under an ERN of its own.

        When this raises, none is acknowledged: what had become durable is an orphan.

        Raises:
            NotFoundError: if there is no such case.
            NoSpaceError, StoreUnavailableError, CatalogBusyError: nothing was registered.
        """
        try:
            known, new = self._parted(arrivals)
            objects = self._durable(new)
            entries = [self._entry(each, objects[each.content.fingerprint.sha256]) for each in new]
            with self.catalog.write() as writer:
                return self._enter(writer, arrivals, known, entries)
        finally:
            for arrival in arrivals:
                arrival.content.sealing.writer.abort()  # of no effect on what was committed

    def _parted(self, arrivals: Sequence[Arrival]) -> tuple[Mapping[bytes, Ern], Sequence[Arrival]]:
        """Which sources are registered already, and the first arrival of every other one."""
        with self.catalog.read() as reader:
            reader.case(self.case_id)
            known = reader.erns_of(arrival.source_key for arrival in arrivals)
        new: dict[bytes, Arrival] = {}
        for arrival in arrivals:
            if arrival.source_key not in known:
                new.setdefault(arrival.source_key, arrival)
        return known, list(new.values())

    def _durable(self, arrivals: Sequence[Arrival]) -> Mapping[Digest, SealedObject]:
        """For the SHA-256 of each, an object that holds its content, durable."""
        with self.catalog.read() as reader:
            stored = reader.sealed_with(
                {arrival.content.fingerprint.sha256 for arrival in arrivals}
            )
        objects: dict[Digest, SealedObject] = {}
        kept: list[ObjectWriter] = []
        for arrival in arrivals:
            digest = arrival.content.fingerprint.sha256
            if digest in objects:
                continue
            if digest in stored and self._is_intact(stored[digest], arrival.content.fingerprint):
                objects[digest] = stored[digest]
            else:
                objects[digest] = arrival.content.sealing.sealed(arrival.content.fingerprint)
                kept.append(arrival.content.sealing.writer)
        self.vault.objects.commit(kept)
        for writer in kept:
            self._remember(writer.name)
        return objects

    def _is_intact(self, sealed: SealedObject, found: Fingerprint) -> bool:
        """Whether the store still holds the content, so that the new copy may be let go.

        A digest in the catalog is no possession: the stored copy is read again, once a run.
        """
        if sealed.name in self._intact:
            return True
        verdict = verify_stored(self.vault, sealed, found, [Algorithm.BLAKE3])
        if verdict.outcome is not Outcome.MATCH:
            return False
        self._remember(sealed.name)
        return True

    def _remember(self, name: ObjectName) -> None:
        if len(self._intact) >= INTACT_NAMES_MAX:
            del self._intact[next(iter(self._intact))]
        self._intact[name] = None

    def _entry(self, arrival: Arrival, sealed: SealedObject) -> "_Entry":
        own = sealed.name == arrival.content.sealing.writer.name
        file_key = arrival.content.sealing.file_key if own else self.vault.file_key(sealed)
        claims = self.vault.seal_claims(file_key, arrival.content.claims)
        return _Entry(arrival, sealed, claims, own=own)

    def _enter(
        self,
        writer: CatalogWriter,
        arrivals: Sequence[Arrival],
        known: Mapping[bytes, Ern],
        entries: Sequence["_Entry"],
    ) -> Sequence[Registered]:
        # Somebody may have registered the same sources since we looked; from now on nobody can.
        known = {**known, **writer.erns_of(entry.arrival.source_key for entry in entries)}
        entries = [entry for entry in entries if entry.arrival.source_key not in known]
        now = self.recorder.clock.now()
        erns = writer.allocate(now.year, len(entries)) if entries else ()
        named = list(zip(erns, entries, strict=True))
        items = [entry.item(ern, self.case_id, now) for ern, entry in named]
        versions = [entry.version(ern, now) for ern, entry in named]
        writer.add_items(items)
        made_now = {each.content.sealing.writer.name for each in arrivals}
        fresh = {each.sealed.name: each.sealed for each in entries if each.sealed.name in made_now}
        writer.add_sealed(list(fresh.values()))
        claims = [entry.claims for entry in entries]
        writer.add_versions(list(zip(versions, claims, strict=True)))
        seals = [entry.arrival.sealed for entry in entries]
        self.recorder.record(writer, _drafts(writer, items, versions, seals))
        made = {id(entry.arrival): entry.status for entry in entries}
        known = {**known, **{entry.arrival.source_key: ern for ern, entry in named}}
        return [
            Registered(
                ern=known[arrival.source_key],
                status=made.get(id(arrival)) or _again(writer, known[arrival.source_key], arrival),
                arrival=arrival,
            )
            for arrival in arrivals
        ]


def _again(reader: CatalogReader, ern: Ern, arrival: Arrival) -> IntakeStatus:
    """What became of a source that was registered before.

    A statement that differs is refused and said, not entered: it says something of the sender's list,
    and nothing of an item whose bytes are as they were registered. One in quarantine is there for it.
    """
    if arrival.problem is None or reader.item(ern).status is ItemStatus.QUARANTINED:
        return IntakeStatus.RESUMED
    return IntakeStatus.FAILED


def register_exhibit(
    catalog: Catalog, recorder: Recorder, case_id: CaseId, asserted: Asserted
) -> Item:
    """Register a physical exhibit: an item without bytes, known by its seals and condition.

    Raises:
        NotFoundError: if there is no such case.
        CatalogBusyError: nothing was registered.
    """
    with catalog.write() as writer:
        writer.case(case_id)
        now = recorder.clock.now()
        (ern,) = writer.allocate(now.year, 1)
        item = Item(ern, case_id, ItemStatus.REGISTERED, asserted, now)
        writer.add_items([item])
        recorder.record(writer, [acts.registered(item, around=_around(writer, [item])[0])])
    return item


def _around(reader: CatalogReader, items: Sequence[Item]) -> Sequence[str]:
    """For each item, how its case and collector are called; each pair is looked up once."""
    pairs = {(each.case_id, each.asserted.collected_by): each for each in items}
    found = {
        pair: acts.around_digest(reader.case(pair[0]), reader.person(pair[1])) for pair in pairs
    }
    return [found[each.case_id, each.asserted.collected_by] for each in items]


def _drafts(
    reader: CatalogReader,
    items: Sequence[Item],
    versions: Sequence[Version],
    seals: Sequence[SealCheck | None],
) -> Sequence[Draft]:
    drafts = []
    around = _around(reader, items)
    for item, version, sealed, digest in zip(items, versions, seals, around, strict=True):
        drafts.append(acts.registered(item, version, sealed, digest))
        if item.status is ItemStatus.QUARANTINED:
            drafts.append(acts.quarantined(item))
    return drafts


@dataclass(frozen=True, slots=True)
class _Entry:
    """A new item in the making: its content and the object that holds it, made from it or not."""

    arrival: Arrival
    sealed: SealedObject
    claims: bytes
    own: bool

    @property
    def status(self) -> IntakeStatus:
        if self.arrival.problem is not None:
            return IntakeStatus.QUARANTINED
        return IntakeStatus.INGESTED if self.own else IntakeStatus.DUPLICATE

    def item(self, ern: Ern, case_id: CaseId, now: datetime) -> Item:
        problem = self.arrival.problem
        return Item(
            ern=ern,
            case_id=case_id,
            status=ItemStatus.REGISTERED if problem is None else ItemStatus.QUARANTINED,
            status_reason=None if problem is None else str(problem),
            asserted=self.arrival.asserted,
            registered_at=now,
            source_name=self.arrival.source_name,
            source_key=self.arrival.source_key,
            stated_sha256=self.arrival.stated,
        )

    def version(self, ern: Ern, now: datetime) -> Version:
        return Version(
            ern=ern,
            number=1,
            type=VersionType.ORIGINAL,
            fingerprint=self.arrival.content.fingerprint,
            object_name=self.sealed.name,
            media_type=self.arrival.content.media_type,
            added_at=now,
            name_mismatch=self.arrival.content.name_mismatch,
        )
