"""How a package is made: the export is recorded first, so the chain that is shown is closed by it.

What goes in is read by the ports and written as it comes: memory does not grow with contents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO

from evidence_store.audit import audit_item
from evidence_store.canonical import Json
from evidence_store.custody.act import Act, ActType
from evidence_store.custody.timeline import history
from evidence_store.errors import (
    LedgerAlteredError,
    MalformedError,
    NotFoundError,
    UnavailableError,
)
from evidence_store.handling import handle
from evidence_store.identifiers import Ern
from evidence_store.ledger.by_hand import DISCLOSURE
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.control import KINDS, commitment_of
from evidence_store.ledger.cose import receipt
from evidence_store.ledger.event import Draft, SignedEvent
from evidence_store.ledger.policy import Policy
from evidence_store.ledger.proof import LogProof
from evidence_store.ledger.signing import Signer
from evidence_store.ledger.tiles import TileTree
from evidence_store.ledger_port import Control, LedgerReader, Recorded, TileStore, chain_of
from evidence_store.package import layout
from evidence_store.package.bag import BagWriter
from evidence_store.package.composition import (
    Composition,
    EnclosedVersion,
    ShownItem,
    identity_of,
    states,
)
from evidence_store.package.items import measured
from evidence_store.package.report import ItemStory, ShownVersion, report_page
from evidence_store.package.verification import encoded_hashes
from evidence_store.ports import Catalog, CatalogReader
from evidence_store.recording import Recorder
from evidence_store.sequencing import proof_of
from evidence_store.sharing.marking import MARK
from evidence_store.signed_digests import SignedDigests
from evidence_store.vault import Vault


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be shown: which versions' bytes, and which fields that can be withheld.

    None means all of them.
    """

    erns: tuple[Ern, ...]
    versions: tuple[int, ...] | None = ()
    disclosed: tuple[str, ...] | None = ()


@dataclass(slots=True)
class Exporter:
    """Makes packages of one instance's items."""

    catalog: Catalog
    vault: Vault
    tiles: TileStore
    policy: Policy
    verifiers: Mapping[str, bytes]
    cose: Signer | None = None  # the log's Ed25519 key, if receipts in COSE are wanted
    stampers: Mapping[str, bytes] = field(default_factory=dict)  # roots, by authority
    _used: set[int] = field(default_factory=set)

    def record(
        self, recorder: Recorder, choice: Choice, reference: str, person: str, package: str
    ) -> Composition:
        """Record the export of this package on every item; the log must then take it in.

        `package` is its identity, 32 random hexadecimal digits. What it is made of is settled and
        signed here: `write` adds nothing to it and leaves nothing out.

        Raises:
            LedgerAlteredError: if an item is not as it was signed; nothing is recorded.
            NotFoundError: if there is no such item, or it has no such version.
            MalformedError: if no event has a field that is to be disclosed.
            CustodyError: if its history does not allow it.
        """
        with self.catalog.write() as writer:
            ledger = writer.ledger
            for ern in choice.erns:
                writer.item(ern)
                for finding in audit_item(writer, ern):
                    raise LedgerAlteredError(f"{finding.where}: {finding.problem}")
            events = {ern: ledger.events(ern) for ern in choice.erns}
            _insist_on(choice, events)
            shown = {ern: len(found) + 1 for ern, found in events.items()}
            composition = _composed(package, choice, events, shown, _places(ledger))
            data = composition.statement
            private: dict[str, Json] = {"officer": person, "purpose": reference}
            drafts = [Draft(ern, ActType.EXPORTED.value, data, private) for ern in choice.erns]
            handle(writer, recorder, drafts)
        return composition

    def recorded(
        self, recorder: Recorder, choice: Choice, reference: str, person: str, package: str
    ) -> Composition | None:
        """What `record` gave, asked again with the same arguments, so that it can be finished.

        None if there is no such export: by another, of other things or for another reason is none.
        """
        with self.catalog.read() as reader:
            events = {ern: reader.ledger.events(ern) for ern in choice.erns}
            exports = {
                ern: each
                for ern, found in events.items()
                for each in found
                if each.signed.event.act == ActType.EXPORTED
                and identity_of(each.signed.event.data) == package
            }
            indexes = [each.index for each in exports.values() if each.index is not None]
            if exports.keys() != events.keys() or not indexes:
                return None
            shown = {ern: each.seq for ern, each in exports.items()}
            control = [each for each in _places(reader.ledger) if each < min(indexes)]
            composition = _composed(package, choice, events, shown, control)
        said = {"officer": person, "purpose": reference}
        is_same = all(
            states(each.signed.event.data, composition)
            and each.signed.event.by.authority == recorder.by.authority
            and said.items() <= each.signed.disclosed().items()
            for each in exports.values()
        )
        return composition if is_same else None

    def write(
        self,
        choice: Choice,
        composition: Composition,
        file: IO[bytes],
        now: datetime,
        copies: Sequence[str] = (),
    ) -> None:
        """Write the package into a file that can be read back, too.

        `composition` is what `record` gave. `copies` are the identities of what is handed out: a
        package that leaks names its accesses.

        Raises:
            UnavailableError: if the log has not sealed all of it yet: try again.
            FixityError, KeyUnavailableError, StoreUnavailableError: if a version cannot be read.
        """
        bag = BagWriter(file, now)
        self._used = set()
        with self.catalog.read() as reader:
            by = f"{reader.state()}, {reader.authority()}"
            bag.add(layout.ABOUT, composition.encode())
            bag.add(layout.POLICY, str(self.policy).encode())
            stories = [self._add_item(bag, reader, each, choice) for each in composition.items]
            self._add_controls(bag, reader, composition.control)
            self._add_checkpoints(bag, reader)
        self._add_stamps(bag)
        for name, content in self.verifiers.items():
            bag.add(name, content)
        about = {"made_at": now.isoformat(), "by": by, "package": composition.package}
        bag.add(layout.REPORT, report_page(about, stories))
        tags = {"Source-Organization": by, "External-Identifier": composition.package}
        if copies:
            tags["Internal-Sender-Identifier"] = " ".join(
                f"{MARK.decode()}{each}" for each in copies
            )
        bag.finish(tags)

    def _add_item(
        self, bag: BagWriter, reader: CatalogReader, item: ShownItem, choice: Choice
    ) -> ItemStory:
        ern = item.ern
        link = chain_of(reader.ledger, ern)
        bag.add(layout.key_path(ern), f"{link.item_key.hex()}\n".encode())
        # What was recorded since the export is no part of it, and would leave the chain open.
        recorded = reader.ledger.events(ern)[: item.events]
        shown = [self._add_event(bag, reader, each, choice) for each in recorded]
        enclosed = {each.number: each for each in item.versions}
        brought = measured([each.signed for each in recorded])
        versions: list[ShownVersion] = []
        for version in (each for each in reader.versions(ern) if each.number in brought):
            named = enclosed.get(version.number)
            if named is not None:
                sealed = reader.sealed(version.object_name)
                SignedDigests(reader, self.tiles).insist(version, sealed)
                content = self.vault.open(sealed)
                bag.add(layout.version_path(ern, named.number, named.kind), content)
            versions.append(
                ShownVersion(
                    version.number,
                    version.type.value,
                    version.fingerprint,
                    included=named is not None,
                )
            )
        return ItemStory(ern, history([Act.of(each) for each in shown]), tuple(versions))

    def _add_event(
        self, bag: BagWriter, reader: CatalogReader, recorded: Recorded, choice: Choice
    ) -> SignedEvent:
        disclosed = choice.disclosed
        # It names nobody, and without it a court cannot see that an officer signed by hand.
        names = None if disclosed is None else (*disclosed, DISCLOSURE)
        shown = recorded.signed.with_disclosures(names)
        path = (recorded.subject, recorded.seq)
        bag.add(layout.event_path(*path, "json"), shown.body)
        bag.add(layout.event_path(*path, "sig"), shown.signature)
        if shown.disclosures:
            lines = "".join(f"{each}\n" for each in shown.disclosures)
            bag.add(layout.event_path(*path, "disclosed"), lines.encode())
        anchor = shown.event.anchor
        if anchor is not None:
            self._used.add(anchor.size)  # so that the event is seen to be no older
        proof = self._proof(reader, recorded.index)
        bag.add(layout.event_path(*path, "tlog-proof"), str(proof).encode())
        if self.cose is not None:
            checkpoint = Checkpoint.of(proof.note)
            key = self.cose
            content = receipt(
                checkpoint.root,
                checkpoint.size,
                proof.index,
                proof.hashes,
                key.private,
                key.key.key_id,
            )
            bag.add(layout.event_path(*path, "receipt.cose"), content)
        return shown

    def _add_controls(self, bag: BagWriter, reader: CatalogReader, named: Sequence[int]) -> None:
        for index, control in _controls(reader.ledger):
            if index not in named:
                continue  # it came after the export
            proof = self._proof(reader, index)
            bag.add(layout.control_path(proof.index, "json"), control.entry[1:])
            bag.add(layout.control_path(proof.index, "tlog-proof"), str(proof).encode())

    def _add_checkpoints(self, bag: BagWriter, reader: CatalogReader) -> None:
        newest = reader.ledger.sealed_head()
        if newest is None:
            raise _pending()
        tree = TileTree(self.tiles.read, newest.size)
        for size in sorted(self._used | {newest.size}):
            head = reader.ledger.sealed_head(above=size - 1)
            if head is None or head.sealed is None:
                raise _pending()
            bag.add(layout.checkpoint_path(size), head.sealed)
            if size == newest.size:
                self._used.add(size)
            else:
                hashes = encoded_hashes(tree.consistency(size))
                bag.add(layout.consistency_path(size, newest.size), hashes)

    def _add_stamps(self, bag: BagWriter) -> None:
        for authority, roots in self.stampers.items():
            stamped = False
            for path in (layout.stamp_path(size, authority) for size in sorted(self._used)):
                try:
                    answer = self.tiles.read(path)
                except NotFoundError:
                    continue
                bag.add(f"data/{path}", answer)
                stamped = True
            if stamped:
                bag.add(f"{layout.TIMESTAMPS}/{authority}.pem", roots)

    def _proof(self, reader: CatalogReader, index: int | None) -> LogProof:
        proof = None if index is None else proof_of(reader.ledger, self.tiles, index)
        if proof is None:
            raise _pending()
        self._used.add(Checkpoint.of(proof.note).size)
        return proof


def _pending() -> UnavailableError:
    return UnavailableError(
        "export: the log has not sealed all of it yet; run `evidence log checkpoint`, then try again"
    )


def _controls(ledger: LedgerReader) -> list[tuple[int, Control]]:
    """The control entries with their places in the log."""
    found: list[tuple[int, Control]] = []
    for control in (each for kind in KINDS for each in ledger.controls(kind)):
        index = ledger.index_of(commitment_of(control.entry))
        if index is None:
            raise _pending()
        found.append((index, control))
    return found


def _places(ledger: LedgerReader) -> list[int]:
    return sorted(index for index, _ in _controls(ledger))


def _composed(
    package: str,
    choice: Choice,
    events: Mapping[Ern, Sequence[Recorded]],
    shown: Mapping[Ern, int],
    control: Sequence[int],
) -> Composition:
    """What a package is made of, read from the signed events alone. `shown`: events of each item."""
    items: list[ShownItem] = []
    for ern in sorted(choice.erns, key=str):
        known = measured([each.signed for each in events[ern][: shown[ern]]])
        versions = tuple(
            EnclosedVersion(number, each.kind, each.sha256)
            for number, each in sorted(known.items())
            if choice.versions is None or number in choice.versions
        )
        items.append(ShownItem(ern, shown[ern], versions))
    return Composition(package, tuple(items), tuple(sorted(control)))


def _insist_on(choice: Choice, events: Mapping[Ern, Sequence[Recorded]]) -> None:
    """Refuse what cannot be shown: a court would take its absence for an answer."""
    numbers = {
        number for found in events.values() for number in measured([each.signed for each in found])
    }
    missing = [str(each) for each in choice.versions or () if each not in numbers]
    if missing:
        raise NotFoundError(f"export: the items have no version {', '.join(missing)}")
    fields = {"officer", "purpose"}  # of the export itself
    for found in events.values():
        for each in found:
            fields.update(map(SignedEvent.name_of, each.signed.disclosures))
    unknown = [repr(each[:64]) for each in choice.disclosed or () if each not in fields]
    if unknown:
        raise MalformedError(f"disclose: no event of the items has the field {', '.join(unknown)}")
