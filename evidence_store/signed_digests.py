"""What was measured of versions when they came in, as the log committed to it: many items at once.

Content is compared with this and not with the catalog's rows, which only help to find it. Less is
read than for `signed_items`: that a body is in the log's tiles is enough, signatures and chains are
for `audit`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evidence_store.acts import measured
from evidence_store.authorities import log_of
from evidence_store.canonical import Json
from evidence_store.errors import EvidenceError, LedgerAlteredError, NotFoundError, ProofError
from evidence_store.identifiers import Ern
from evidence_store.item import SealedObject, Version
from evidence_store.ledger.event import Link, leaf
from evidence_store.ledger.merkle import leaf_hash, verify_inclusion
from evidence_store.ledger.note import Note
from evidence_store.ledger.policy import NONE, Policy
from evidence_store.ledger.tiles import WIDTH, TileTree
from evidence_store.ledger_port import Recorded, TileStore
from evidence_store.ports import CatalogReader
from evidence_store.verification import MATCH, Outcome, Verdict

Brought = Mapping[int, Json]
"""By the number of a version, the digests that the event that brought it has."""


@dataclass(slots=True)
class SignedDigests:
    """For one view of the catalog, and for few items: it keeps the tiles that it read.

    Raises:
        LedgerAlteredError: if the newest state of the log is not what the log signed.
    """

    reader: CatalogReader
    tiles: TileStore
    _tree: TileTree = field(init=False)
    _root: bytes = field(init=False)
    _checked: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        head = self.reader.ledger.head()
        self._tree = TileTree(self.tiles.read, head.size if head else 0)
        self._root = head.root if head else b""
        if head is not None and head.note is not None:
            policy = Policy(dict.fromkeys(log_of(self.reader.ledger).vkeys), {}, {}, NONE)
            try:
                signed = policy.checked(Note.parse(head.note)).checkpoint
            except EvidenceError as error:
                raise LedgerAlteredError(f"ledger: the newest state: {error}") from error
            if (signed.size, signed.root) != (head.size, head.root):
                raise LedgerAlteredError("ledger: the newest state is not the one that was signed")

    def of(self, erns: Sequence[Ern]) -> Mapping[Ern, Brought | LedgerAlteredError]:
        """What was signed of these items' versions, or why that cannot be said.

        Items of which nothing was signed are left out.

        Raises:
            StoreUnavailableError: if the tiles do not answer.
        """
        links = self.reader.ledger.links(erns)
        found: dict[Ern, dict[int, Json] | LedgerAlteredError] = {}
        for each in self.reader.ledger.bringing(erns):
            ern = each.subject
            if not isinstance(ern, Ern):
                continue
            brought = found.setdefault(ern, {})
            if isinstance(brought, LedgerAlteredError):
                continue
            try:
                for number, digests in self._read(each, links.get(ern)).items():
                    brought.setdefault(number, digests)  # the first that brought it
            except LedgerAlteredError as error:
                found[ern] = error
        return found

    def verdict(
        self, version: Version, sealed: SealedObject, signed: Brought | LedgerAlteredError | None
    ) -> Verdict:
        """Whether a version's rows have the digests that were signed; `signed` is what `of` gave."""
        if isinstance(signed, LedgerAlteredError):
            return Verdict(Outcome.NOT_VERIFIABLE, str(signed), signed.code)
        if signed is None or version.number not in signed:
            reason = f"{version.ern}: no version {version.number} was ever signed"
            return Verdict(Outcome.NOT_VERIFIABLE, reason, LedgerAlteredError.code)
        for what, row in (("row", version.fingerprint), ("object", sealed.fingerprint)):
            if measured(row, version.number) != signed[version.number]:
                reason = (
                    f"catalog: the {what} of version {version.number} of {version.ern} has other "
                    "digests than were signed"
                )
                return Verdict(Outcome.MISMATCH, reason, LedgerAlteredError.code)
        return MATCH

    def insist(self, version: Version, sealed: SealedObject) -> None:
        """Insist that what opens for a version is what was signed when it came in.

        Raises:
            LedgerAlteredError: if it is not.
            StoreUnavailableError: if the tiles do not answer.
        """
        found = self.verdict(version, sealed, self.of([version.ern]).get(version.ern))
        if found.outcome is not Outcome.MATCH:
            raise LedgerAlteredError(found.reason or "ledger: not as it was signed")

    def _read(self, recorded: Recorded, link: Link | None) -> Brought:
        """The digests in an event that the log has, or is to have."""
        where = f"{recorded.subject} event {recorded.seq}"
        if link is None or recorded.index is None:
            raise LedgerAlteredError(f"{where} is not in the log")
        entry = leaf(link.item_key, recorded.seq, recorded.signed.commitment)
        if recorded.index < self._tree.size:
            known = self._leaf_hash(recorded.index)
        else:  # the log has yet to take it in, and will insist on the row
            rows = self.reader.ledger.leaves(recorded.index, recorded.index + 1)
            known = leaf_hash(rows[0].entry) if rows else b""
        if leaf_hash(entry) != known:
            raise LedgerAlteredError(f"{where} is not what the log committed to")
        # The log committed to these bytes: they are canonical, as whatever was signed.
        document = json.loads(recorded.signed.body)
        if document["item"] != str(recorded.subject):
            raise LedgerAlteredError(f"{where} is of another item")
        listed = document["data"].get("measured", [])
        return {each["version"]: each for each in listed if "version" in each}

    def _leaf_hash(self, index: int) -> bytes:
        """A leaf's hash from its tile, which is checked up to the root once."""
        (found,) = self._tree.leaf_hashes(index, index + 1)
        if index // WIDTH not in self._checked:
            # The tree makes the inner nodes of a tile from all its hashes: one path holds them all.
            try:
                proof = self._tree.inclusion(index)
                verify_inclusion(found, index, self._tree.size, proof, self._root)
            except (ProofError, NotFoundError) as error:
                raise LedgerAlteredError(f"ledger: the tile of entry {index}: {error}") from error
            self._checked.add(index // WIDTH)
        return found
