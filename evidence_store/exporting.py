"""How a package is made: the export is recorded first, so the chain that is shown is closed by it.

What goes in is read by the ports and written as it comes: memory does not grow with contents.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO

from evidence_store.audit import audit_item
from evidence_store.canonical import Json
from evidence_store.custody.act import Act, ActType
from evidence_store.custody.timeline import history
from evidence_store.errors import LedgerAlteredError, NotFoundError, UnavailableError
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
from evidence_store.ledger_port import Recorded, TileStore
from evidence_store.package import layout
from evidence_store.package.bag import BagWriter
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

    def record(self, recorder: Recorder, choice: Choice, reference: str, person: str) -> None:
        """Record the export on every item; the log must then take it in.

        Raises:
            LedgerAlteredError: if an item is not as it was signed; nothing is recorded.
            NotFoundError: if there is no such item.
            CustodyError: if its history does not allow it.
        """
        data: dict[str, Json] = {
            "versions": None if choice.versions is None else list(choice.versions)
        }
        private: dict[str, Json] = {"officer": person, "purpose": reference}
        drafts = [Draft(ern, ActType.EXPORTED.value, data, private) for ern in choice.erns]
        with self.catalog.write() as writer:
            for ern in choice.erns:
                writer.item(ern)
                for finding in audit_item(writer, ern):
                    raise LedgerAlteredError(f"{finding.where}: {finding.problem}")
            handle(writer, recorder, drafts)

    def write(
        self, choice: Choice, file: IO[bytes], now: datetime, copies: Sequence[str] = ()
    ) -> None:
        """Write the package into a file that can be read back, too.

        `copies` are the identities of what is handed out: a package that leaks names its accesses.

        Raises:
            UnavailableError: if the log has not sealed all of it yet: try again.
            FixityError, KeyUnavailableError, StoreUnavailableError: if a version cannot be read.
        """
        bag = BagWriter(file, now)
        self._used = set()
        with self.catalog.read() as reader:
            about = self._about(reader, choice, now)
            bag.add(layout.ABOUT, _json(about))
            bag.add(layout.POLICY, str(self.policy).encode())
            stories = [self._add_item(bag, reader, ern, choice) for ern in choice.erns]
            self._add_controls(bag, reader)
            self._add_checkpoints(bag, reader)
        self._add_stamps(bag)
        for name, content in self.verifiers.items():
            bag.add(name, content)
        bag.add(layout.REPORT, report_page(about, stories))
        tags = {"Source-Organization": str(about["by"]), "External-Identifier": str(choice.erns[0])}
        if copies:
            tags["Internal-Sender-Identifier"] = " ".join(
                f"{MARK.decode()}{each}" for each in copies
            )
        bag.finish(tags)

    def _about(self, reader: CatalogReader, choice: Choice, now: datetime) -> dict[str, Json]:
        return {
            "format": layout.FORMAT,
            "made_at": now.isoformat(),
            "by": f"{reader.state()}, {reader.authority()}",
            "items": [str(ern) for ern in choice.erns],
        }

    def _add_item(
        self, bag: BagWriter, reader: CatalogReader, ern: Ern, choice: Choice
    ) -> ItemStory:
        link = reader.ledger.links([ern])[ern]
        bag.add(layout.key_path(ern), f"{link.item_key.hex()}\n".encode())
        shown = [
            self._add_event(bag, reader, recorded, choice) for recorded in reader.ledger.events(ern)
        ]
        versions: list[ShownVersion] = []
        for version in reader.versions(ern):
            included = choice.versions is None or version.number in choice.versions
            if included:
                sealed = reader.sealed(version.object_name)
                SignedDigests(reader, self.tiles).insist(version, sealed)
                content = self.vault.open(sealed)
                bag.add(layout.version_path(ern, version.number, version.type.value), content)
            versions.append(
                ShownVersion(version.number, version.type.value, version.fingerprint, included)
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

    def _add_controls(self, bag: BagWriter, reader: CatalogReader) -> None:
        for control in (each for kind in KINDS for each in reader.ledger.controls(kind)):
            index = reader.ledger.index_of(commitment_of(control.entry))
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


def _json(value: Mapping[str, Json]) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
