"""How the log grows: places, tiles, consistency, signature, seal. One sequencer at a time.

In order, so that a crash at any line leaves a log that goes on where it stopped:

1. an act's transaction has given its entry the next place already;
2. under the writer's lock: the tiles must reproduce the last state, and the catalog's leaves
   must be what the tiles hold, with their events, or nothing is signed; then the new tiles are written;
3. the new state is entered before it is signed, so no size ever gets a second root;
4. it is signed, cosigned, kept, and published.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evidence_store.errors import LedgerAlteredError, ProofError
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.merkle import leaf_hash, verify_consistency
from evidence_store.ledger.note import Note
from evidence_store.ledger.policy import Policy
from evidence_store.ledger.proof import LogProof
from evidence_store.ledger.signing import Signer, verified_by
from evidence_store.ledger.tiles import WIDTH, TileTree, bundle_path, grown, read_tile, unpacked
from evidence_store.ledger_port import Head, LedgerReader, TileStore
from evidence_store.ports import Catalog, CatalogWriter, Clock

BATCH_ENTRIES = 4096

Collect = Callable[[Note, Callable[[int], Sequence[bytes]]], Note]
"""Asks the witnesses: the note with what they cosigned. Asks back for consistency proofs."""


@dataclass(slots=True)
class Sequencer:
    """The log's hands. `policy` says when a state is sealed; `collect` asks its witnesses."""

    catalog: Catalog
    tiles: TileStore
    origin: str
    signers: Sequence[Signer]
    policy: Policy
    clock: Clock
    collect: Collect = field(default=lambda note, _: note)

    def run(self) -> Head | None:
        """Take in everything that waits; returns the newest state, sealed if the policy is met.

        Raises:
            LedgerAlteredError: if the catalog or the files are not what was signed.
            StoreUnavailableError, NoSpaceError, CatalogBusyError: entries go on waiting.
        """
        self.insist_published()
        self._finish()
        while self._grow():
            self._finish()
        with self.catalog.read() as reader:
            return reader.ledger.head()

    def _grow(self) -> bool:
        """Steps 2 and 3; whether there was anything to take in."""
        with self.catalog.read() as reader:
            head = reader.ledger.head()
            if reader.ledger.size() == (head.size if head else 0):
                return False
        with self.catalog.write() as writer:
            head = writer.ledger.head()  # as it is now that nobody else can write
            start = head.size if head else 0
            end = min(writer.ledger.size(), start + BATCH_ENTRIES)
            if end == start:
                return True  # another sequencer was here
            tree = TileTree(self.tiles.read, start)
            bundle = self._checked_edge(writer, head, tree)
            _insist_events(writer, start // WIDTH * WIDTH, end)
            entries = [leaf.entry for leaf in writer.ledger.leaves(start, end)]
            if len(entries) != end - start:
                raise LedgerAlteredError("ledger: leaves are missing from the catalog")
            size, files = grown(tree, bundle, entries)
            self.tiles.write(files)
            after = TileTree(self.tiles.read, size)
            root = after.root()
            if head is not None:
                verify_consistency(start, size, head.root, root, after.consistency(start))
            _check_leaves(after, start, entries)
            writer.ledger.add_head(Head(size, root, self.clock.now()))
        return True

    def _checked_edge(
        self, writer: CatalogWriter, head: Head | None, tree: TileTree
    ) -> Sequence[bytes]:
        """The entries of the last, partial bundle, after insisting that nothing was altered."""
        if head is None:
            return ()
        if tree.root() != head.root:
            raise LedgerAlteredError(
                f"ledger: the tiles do not lead to the root of size {head.size}; nothing is signed"
            )
        number, width = divmod(head.size, WIDTH)
        if width == 0:
            return ()
        bundle = unpacked(
            read_tile(self.tiles.read, bundle_path(number, width), bundle_path(number))
        )[:width]
        rows = [leaf.entry for leaf in writer.ledger.leaves(number * WIDTH, head.size)]
        if bundle != rows or [leaf_hash(each) for each in rows] != tree.edge(0):
            raise LedgerAlteredError(
                "ledger: rows of the log were altered in the catalog; nothing is signed"
            )
        return bundle

    def _finish(self) -> None:
        """Step 4, also of a state that a crash left unsigned or unsealed."""
        with self.catalog.read() as reader:
            head = reader.ledger.head()
        if head is None or head.sealed is not None:
            if head is not None and head.sealed is not None:
                self._publish(head.sealed)
            return
        note = Note.parse(head.note) if head.note else self._signed(head)
        if head.note is None:
            with self.catalog.write() as writer:
                writer.ledger.sign_head(head.size, note, None)
        tree = TileTree(self.tiles.read, head.size)
        note = self.collect(note, tree.consistency)
        sealed = note if self._is_sealed(note) else None
        with self.catalog.write() as writer:
            writer.ledger.sign_head(head.size, note, sealed)
        if sealed is not None:
            self._publish(sealed.encode())

    def _signed(self, head: Head) -> Note:
        checkpoint = Checkpoint(self.origin, head.size, head.root)
        at = int(self.clock.now().timestamp())
        return Note(checkpoint.text, tuple(each.sign(checkpoint, at) for each in self.signers))

    def _is_sealed(self, note: Note) -> bool:
        try:
            self.policy.checked(note)
        except ProofError:
            return False
        return True

    def _publish(self, note: bytes) -> None:
        if self.tiles.checkpoint() != note:
            self.tiles.publish(note)

    def insist_published(self) -> None:
        """Insist that what was published is a state that the catalog knows, and the log's own.

        Raises:
            LedgerAlteredError: if it is not: the database was rolled back, or one of them altered.
            StoreUnavailableError, CatalogBusyError: if a part does not answer.
        """
        published = self.tiles.checkpoint()
        if published is None:
            return
        note = Note.parse(published)
        checkpoint = Checkpoint.of(note)
        if checkpoint.origin != self.origin or any(
            verified_by(note, each.key) is None for each in self.signers
        ):
            raise LedgerAlteredError("ledger: the published checkpoint is not of this log")
        with self.catalog.read() as reader:
            known = reader.ledger.heads(after=checkpoint.size - 1, limit=1)
        if not known or (known[0].size, known[0].root) != (checkpoint.size, checkpoint.root):
            raise LedgerAlteredError(
                f"ledger: a checkpoint of size {checkpoint.size} was published that the catalog "
                "does not know: it was rolled back or altered; restore the newest backup, or run "
                "`evidence rebuild`"
            )


def regrow(reader: LedgerReader, tiles: TileStore) -> None:
    """Write the log's files anew from the catalog's leaves, up to its newest state.

    Raises:
        LedgerAlteredError: if the leaves do not lead to that state, or a file is there with other
            content.
        NoSpaceError, StoreUnavailableError: some files may be there; it can be done again.
    """
    head = reader.head()
    size = head.size if head else 0
    for start in range(0, size, BATCH_ENTRIES):  # whole bundles, but for the last
        entries = [leaf.entry for leaf in reader.leaves(start, min(size, start + BATCH_ENTRIES))]
        _, files = grown(TileTree(tiles.read, start), (), entries)
        tiles.write(files)
    if head is not None and TileTree(tiles.read, size).root() != head.root:
        raise LedgerAlteredError(
            f"ledger: the entries that were journalled do not lead to the root of size {size}"
        )


def _insist_events(writer: CatalogWriter, start: int, end: int) -> None:
    """Insist that the events of these entries are there, as they were committed to."""
    for place in writer.ledger.altered(start, end):
        raise LedgerAlteredError(
            f"ledger: the event of entry {place} was altered in the catalog, or is not there; "
            "nothing is signed"
        )


def _check_leaves(tree: TileTree, start: int, entries: Sequence[bytes]) -> None:
    if tree.leaf_hashes(start, start + len(entries)) != [leaf_hash(each) for each in entries]:
        raise LedgerAlteredError("ledger: the tiles just written hold other leaves")


def proof_of(
    reader: LedgerReader, tiles: TileStore, index: int, *, newest: bool = False
) -> LogProof | None:
    """The proof of an entry against the first sealed state that holds it, or the newest.

    None if there is no such state yet.

    Raises:
        LedgerAlteredError: if a tile is missing.
        StoreUnavailableError: if the store does not answer.
    """
    head = reader.sealed_head() if newest else reader.sealed_head(above=index)
    if head is None or head.sealed is None or head.size <= index:
        return None
    tree = TileTree(tiles.read, head.size)
    return LogProof(index, tuple(tree.inclusion(index)), Note.parse(head.sealed))
