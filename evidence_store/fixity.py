"""The fixity cycle: every stored byte is read again within a period, the oldest measurement first.

A turn reads as much as it may, and tells it in one signed event, whatever it read; what is not as
registered is told on the item's own chain, once. What cannot be read now is left for the next turn.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from evidence_store.canonical import Json
from evidence_store.custody.act import ActType
from evidence_store.digest import Algorithm
from evidence_store.dossier import Dossier
from evidence_store.errors import CustodyError, MalformedError, NotFoundError, StoreUnavailableError
from evidence_store.fixity_port import Measured
from evidence_store.handling import handle
from evidence_store.identifiers import DossierId, DossierKind, Ern
from evidence_store.item import Version
from evidence_store.ledger.event import Draft
from evidence_store.ledger_port import TileStore
from evidence_store.ports import Catalog, CatalogReader, CatalogWriter
from evidence_store.recording import Recorder
from evidence_store.signed_digests import SignedDigests
from evidence_store.vault import Vault
from evidence_store.verification import Outcome, Verdict, verify_stored

TAKEN_IN_MAX = 2000
OBJECTS_MAX = 500
FAILED_AGAIN = timedelta(days=1)  # what is not as registered is read again, in case it was restored
FAILED_MAX = 20
SPREAD = 2  # an object is due at half its period, so that the other half is slack
_ACTS = {
    Outcome.MATCH: ActType.VERIFIED_MATCH,
    Outcome.MISMATCH: ActType.VERIFIED_MISMATCH,
    Outcome.NOT_VERIFIABLE: ActType.NOT_VERIFIABLE,
}


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn read. `failed` counts what is not as registered, `again` says why it ended early."""

    objects: int = 0
    size_bytes: int = 0
    failed: int = 0
    again: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How the cycle stands. `late` is whether something was not read within its period."""

    oldest: datetime | None
    failed: tuple[Measured, ...]
    late: bool


@dataclass(frozen=True, slots=True)
class Cycle:
    """The cycle of one instance. One turn at a time: the caller holds a lease."""

    catalog: Catalog
    vault: Vault
    tiles: TileStore
    recorder: Callable[[], Recorder]
    period: timedelta
    turn_bytes: int

    def turn(self, now: Callable[[], datetime], *, failed_again: bool = False) -> Turn:
        """Read what is due, up to so many bytes and the object that reaches them.

        With `failed_again`, what was not as registered is read first, however lately it was.

        Raises:
            CatalogBusyError, NoSpaceError, KeyUnavailableError: nothing of it is recorded.
            StoreUnavailableError: the store does not answer; what was read before is recorded.
        """
        self._take_in(now())
        found: list[tuple[Measured, Measured]] = []
        size_bytes, again = 0, None
        for before in self._due(now(), failed_again=failed_again):
            if size_bytes >= self.turn_bytes:
                break
            verdict, length = self._verdict(before)
            if verdict.again:
                again = verdict.reason
                break
            size_bytes += length
            found.append((before, _after(before, verdict, now())))
        if found:
            self._record(found, size_bytes, now())
        if again is not None:
            raise StoreUnavailableError(f"fixity: {again}")
        return Turn(len(found), size_bytes, sum(after.failed for _, after in found))

    def _take_in(self, now: datetime) -> None:
        while True:
            with self.catalog.read() as reader:
                if not reader.fixity.is_behind():
                    return
            with self.catalog.write() as writer:
                writer.fixity.take_in(now, limit=TAKEN_IN_MAX)

    def _due(self, now: datetime, *, failed_again: bool) -> Iterator[Measured]:
        with self.catalog.read() as reader:
            again = None if failed_again else now - FAILED_AGAIN
            first = list(reader.fixity.failed(before=again, limit=FAILED_MAX))
            rest = reader.fixity.due(now - self.period / SPREAD, limit=OBJECTS_MAX)
        yield from first
        known = {each.name for each in first}
        yield from (each for each in rest if each.name not in known)

    def _verdict(self, measured: Measured) -> tuple[Verdict, int]:
        with self.catalog.read() as reader:
            sealed = reader.sealed(measured.name)
            signed = SignedDigests(reader, self.tiles)
            for ern, number in reader.fixity.held_in(measured.name):
                version = _version(reader, ern, number)
                verdict = signed.verdict(version, sealed, signed.of([ern]).get(ern))
                if verdict.outcome is not Outcome.MATCH:
                    return verdict, 0
        verdict = verify_stored(self.vault, sealed, sealed.fingerprint, [Algorithm.BLAKE3])
        return verdict, sealed.stored_bytes

    def _record(
        self, found: Sequence[tuple[Measured, Measured]], size_bytes: int, now: datetime
    ) -> None:
        recorder = self.recorder()
        with self.catalog.write() as writer:
            turn = writer.dossiers.next_dossier(DossierKind.FIXITY)
            rows = [replace(after, turn=turn) for _, after in found]
            _tell(writer, recorder, turn, rows, size_bytes, now)
            writer.fixity.record(rows)
            for before, after in found:
                if (before.outcome or Outcome.MATCH.value) != after.outcome:
                    _tell_of(writer, recorder, after, turn)


def standing(reader: CatalogReader, period: timedelta, now: datetime) -> Standing:
    """How the cycle stands. Of what failed, the first hundred."""
    oldest = reader.fixity.oldest()
    late = oldest is not None and now - oldest > period
    return Standing(oldest, tuple(reader.fixity.failed()), late)


def lines_digest(rows: Sequence[Measured]) -> str:
    """SHA-256 over what a turn found: `name outcome` lines, in the order of names."""
    lines = sorted(f"{each.name} {each.outcome}\n" for each in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _after(before: Measured, verdict: Verdict, now: datetime) -> Measured:
    failed = verdict.outcome is not Outcome.MATCH
    return Measured(before.name, now, failed, verdict.outcome.value, verdict.code)


def _tell(
    writer: CatalogWriter,
    recorder: Recorder,
    turn: DossierId,
    rows: Sequence[Measured],
    size_bytes: int,
    now: datetime,
) -> None:
    """One event of the turn, however much it read."""
    failed = sum(each.failed for each in rows)
    state = "failed" if failed else "match"
    writer.dossiers.add_dossier(Dossier(turn, state, recorder.by.authority, None, now, now), {})
    data: dict[str, Json] = {
        "objects": len(rows),
        "size_bytes": size_bytes,
        "failed": failed,
        "algorithm": Algorithm.BLAKE3.value,
        "found": lines_digest(rows),
    }
    recorder.record(writer, [Draft(turn, "measured", data)])


def _tell_of(writer: CatalogWriter, recorder: Recorder, after: Measured, turn: DossierId) -> None:
    """An event on the chain of each item that the object holds bytes of."""
    act = _ACTS[Outcome(str(after.outcome))]
    for ern, number in writer.fixity.held_in(after.name):
        data: dict[str, Json] = {"version": number, "turn": str(turn)}
        if after.code is not None:
            data["code"] = after.code
        try:
            handle(writer, recorder, [Draft(ern, act.value, data)])
        except (CustodyError, MalformedError):
            continue  # void, or registered before there was a ledger: its row says it all the same


def _version(reader: CatalogReader, ern: Ern, number: int) -> Version:
    for version in reader.versions(ern):
        if version.number == number:
            return version
    raise NotFoundError(f"there is no version {number} of {ern}")
