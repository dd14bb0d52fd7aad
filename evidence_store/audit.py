"""The whole log checked against itself: rows, tiles, states, events, signatures.

Memory does not grow with the log: entries are taken a bundle at a time, and the root comes
from the right edge alone.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from evidence_store.acts import around_digest
from evidence_store.authorities import log_of
from evidence_store.custody.transfer import TransferId
from evidence_store.errors import EvidenceError, LedgerAlteredError, NotFoundError
from evidence_store.identifiers import AuthorityId, DossierKind, Ern, KeyId, Subject
from evidence_store.item import Item
from evidence_store.ledger.by_hand import check_by_hand
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.control import (
    CONTROL_LEAF,
    KINDS,
    ControlEntry,
    authority_of,
    commitment_of,
)
from evidence_store.ledger.event import Link, disclosure_digest, leaf, tag
from evidence_store.ledger.merkle import Frontier, leaf_hash, verify_consistency
from evidence_store.ledger.note import Note
from evidence_store.ledger.policy import NONE, Policy
from evidence_store.ledger.tiles import WIDTH, TileTree, bundle_path, read_tile, unpacked
from evidence_store.ledger_port import Control, LedgerReader, Recorded, TileStore
from evidence_store.ports import Catalog, CatalogReader
from evidence_store.signed_items import SignedItem

KEYS_KEPT_MAX = 4096


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem and where it is; or, without one, how many entries have been checked."""

    checked: int
    where: str = ""
    problem: str | None = None


def audit(catalog: Catalog, tiles: TileStore) -> Iterator[Finding]:
    """Every problem there is, and at the end how much was checked.

    Raises:
        StoreUnavailableError, CatalogBusyError: if a part does not answer.
    """
    with catalog.read() as reader:
        head = reader.ledger.head()
        size = head.size if head else 0
        tree = TileTree(tiles.read, size)
        yield from _heads(reader, tree)
        yield from _published(reader, tiles)
        frontier = Frontier()
        controls = {each.entry for kind in KINDS for each in reader.ledger.controls(kind)}
        for start in range(0, size, WIDTH):
            end = min(start + WIDTH, size)
            yield from _bundle(reader, tiles, tree, start, end)
            yield from _controls(reader, controls, start, end)
            for row in reader.ledger.leaves(start, end):
                frontier.append(leaf_hash(row.entry))
            tree = TileTree(tiles.read, size)  # lets go of the tiles it kept
        if head is not None and frontier.root() != head.root:
            yield Finding(0, f"state {size}", "the rows together do not lead to its root")
        yield from _events(reader)
        yield Finding(size)


def _heads(reader: CatalogReader, tree: TileTree) -> Iterator[Finding]:
    policy = Policy(dict.fromkeys(log_of(reader.ledger).vkeys), {}, {}, NONE)
    after, before = -1, None
    while page := reader.ledger.heads(after=after):
        for head in page:
            after = head.size
            where = f"state {head.size}"
            try:
                if head.size > tree.size or tree.root_at(head.size) != head.root:
                    raise LedgerAlteredError("the tiles do not lead to its root")
                if head.note is not None:
                    checkpoint = policy.checked(Note.parse(head.note)).checkpoint
                    if checkpoint != Checkpoint(checkpoint.origin, head.size, head.root):
                        raise LedgerAlteredError("its note is of another state")
                if before is not None:
                    proof = tree.consistency(before.size, head.size)
                    verify_consistency(before.size, head.size, before.root, head.root, proof)
            except EvidenceError as error:
                yield Finding(0, where, str(error))
            before = head


def _published(reader: CatalogReader, tiles: TileStore) -> Iterator[Finding]:
    """Whether the published checkpoint is a state that the catalog knows, signed by the log."""
    where = "published checkpoint"
    published = tiles.checkpoint()
    if published is None:
        if reader.ledger.sealed_head() is not None:
            yield Finding(0, where, "is not there, and a state of the log is sealed")
        return
    policy = Policy(dict.fromkeys(log_of(reader.ledger).vkeys), {}, {}, NONE)
    try:
        checkpoint = policy.checked(Note.parse(published)).checkpoint
    except EvidenceError as error:
        yield Finding(0, where, str(error))
        return
    known = reader.ledger.heads(after=checkpoint.size - 1, limit=1)
    if not known or (known[0].size, known[0].root) != (checkpoint.size, checkpoint.root):
        problem = (
            f"is of size {checkpoint.size}, which the catalog does not know: it was rolled back"
        )
        yield Finding(0, where, problem)


def _bundle(
    reader: CatalogReader, tiles: TileStore, tree: TileTree, start: int, end: int
) -> Iterator[Finding]:
    number, width = start // WIDTH, end - start
    where = f"entries {start} to {end - 1}"
    try:
        bundle = read_tile(tiles.read, bundle_path(number, width), bundle_path(number))
        entries = unpacked(bundle)[:width]
        hashes = tree.leaf_hashes(start, end)
    except EvidenceError as error:
        yield Finding(0, where, str(error))
        return
    for place in reader.ledger.without_event(start, end):
        yield Finding(0, f"entry {place}", "the event that it commits to is not there")
    rows = [row.entry for row in reader.ledger.leaves(start, end)]
    if len(rows) != width or len(entries) != width:
        yield Finding(0, where, "entries are missing")
    for place, (row, entry, known) in enumerate(zip(rows, entries, hashes, strict=False), start):
        if leaf_hash(entry) != known:
            yield Finding(0, f"entry {place}", "the bundle does not hold what the tree commits to")
        if leaf_hash(row) != known:
            yield Finding(0, f"entry {place}", "its row is not what the tree commits to")


def _controls(
    reader: CatalogReader, known: Collection[bytes], start: int, end: int
) -> Iterator[Finding]:
    """The entries about keys that the log took in, and that the catalog does not go by any more."""
    for place, row in enumerate(reader.ledger.leaves(start, end), start):
        if row.entry[:1] == CONTROL_LEAF and row.entry not in known:
            yield Finding(0, f"entry {place}", "the control entry that it is, is not there")


def _events(reader: CatalogReader) -> Iterator[Finding]:
    controls = [each for kind in KINDS for each in reader.ledger.controls(kind)]
    publics = registered_keys(reader.ledger)
    for control in controls:
        if control.entry[:1] != CONTROL_LEAF or not _control_holds(control.entry, publics):
            yield Finding(0, "control entry", "is not as it was signed")
        if reader.ledger.index_of(commitment_of(control.entry)) is None:
            yield Finding(0, "control entry", "is not in the log")
    yield from _authorities(reader, controls)
    for subject in _subjects(reader):
        yield from audit_chain(reader.ledger, subject, publics)
        yield from _disclosures(reader, subject)
        if isinstance(subject, Ern):
            yield from _audit_rows(reader, subject)


def _authorities(reader: CatalogReader, controls: Sequence[Control]) -> Iterator[Finding]:
    """Whether authorities are called as the newest of their keys' registrations says."""
    signed: dict[AuthorityId, str] = {}
    try:
        for control in controls:
            if control.kind == "key":
                authority, name = authority_of(ControlEntry.parse(control.entry))
                signed[authority] = name
    except EvidenceError as error:
        yield Finding(0, "authority", str(error))
        return
    for authority, name in signed.items():
        try:
            if reader.ledger.authority(authority).name != name:
                problem = "its row has another name than was signed"
                yield Finding(0, f"authority {authority}", problem)
        except EvidenceError as error:
            yield Finding(0, f"authority {authority}", str(error))


def _disclosures(reader: CatalogReader, subject: Subject) -> Iterator[Finding]:
    """Whether each field that an event hides behind a digest is at hand."""
    try:
        for recorded in reader.ledger.events(subject):
            signed = recorded.signed
            lost = set(signed.event.sd) - {disclosure_digest(each) for each in signed.disclosures}
            if lost:
                problem = f"{len(lost)} of its disclosures are withheld or lost"
                yield Finding(0, f"{subject} event {recorded.seq}", problem)
    except EvidenceError as error:
        yield Finding(0, str(subject), str(error))


def _subjects(reader: CatalogReader) -> Iterator[Subject]:
    """Every item and every dossier."""
    after: str | None = None
    while True:
        items = reader.items(after=after, limit=1000)
        yield from (item.ern for item in items.entries)
        after = items.after
        if after is None:
            break
    for kind in DossierKind:
        while True:
            page = reader.dossiers.dossiers(kind, after=after, limit=1000)
            yield from (dossier.id for dossier in page.entries)
            after = page.after
            if after is None:
                break


def audit_item(reader: CatalogReader, ern: Ern) -> Iterator[Finding]:
    """What is wrong with one item's chain of events."""
    yield from audit_chain(reader.ledger, ern, registered_keys(reader.ledger))
    yield from _audit_rows(reader, ern)


def _audit_rows(reader: CatalogReader, ern: Ern) -> Iterator[Finding]:
    """Whether the item's rows say what was signed: lists, and who needs to know, go by them."""
    try:
        item, versions = reader.item(ern), reader.versions(ern)
        events = [each.signed for each in reader.ledger.events(ern)]
        signed = SignedItem.of(events)
        if not events:
            return  # void before it came in, or from before there was a ledger
        for problem in (
            *signed.disagreements(item, versions),
            *signed.missing(versions),
            *_around(reader, item, signed.around),
        ):
            yield Finding(0, str(ern), problem)
        for transfer, digest in signed.offers.items():
            if reader.ledger.transfer(TransferId.parse(transfer)).digest != digest:
                yield Finding(0, transfer, "its row has another offer than was signed")
        for each in versions:
            if reader.sealed(each.object_name).fingerprint != each.fingerprint:
                problem = f"the object of version {each.number} has other digests than were signed"
                yield Finding(0, str(ern), problem)
    except EvidenceError as error:
        yield Finding(0, str(ern), str(error))


def _around(reader: CatalogReader, item: Item, digest: str | None) -> Iterator[str]:
    person = reader.person(item.asserted.collected_by)
    if digest not in {None, around_digest(reader.case(item.case_id), person)}:
        yield "its case or its collector is called otherwise than when it came in"


def registered_keys(
    reader: LedgerReader, root: bytes | None = None
) -> Mapping[KeyId | None, bytes]:
    """The public keys that the log's root registered, and the root's own.

    A row without the root's signature registers nothing. `root` is the root's public key, where it
    is known otherwise than from the catalog.

    Raises:
        LedgerAlteredError: if the catalog's log is another's than that root's.
    """
    try:
        log = log_of(reader)
    except NotFoundError:
        return {}
    if root is not None and log.root_public != root:
        raise LedgerAlteredError("ledger: the catalog's log is not that of the root key at hand")
    found: dict[KeyId | None, bytes] = {log.root: log.root_public}
    for control in reader.controls("key"):
        registered = _registration(control.entry, log.root, log.root_public)
        if registered is not None:
            found.setdefault(*registered)
    return found


@lru_cache(maxsize=KEYS_KEPT_MAX)
def _registration(entry: bytes, root: KeyId, root_public: bytes) -> tuple[KeyId, bytes] | None:
    """The key that an entry registers, if the root signed it. A signature is checked once."""
    try:
        control = ControlEntry.parse(entry)
        control.verify(root, root_public)
        found = (control.kid, control.public)
    except EvidenceError:
        return None
    return found if control.kind == "key" else None


def audit_chain(
    reader: LedgerReader, subject: Subject, publics: Mapping[KeyId | None, bytes]
) -> Iterator[Finding]:
    """What is wrong with a chain of events: order, links, signatures, places in the log."""
    try:
        link, events = reader.links([subject]).get(subject), reader.events(subject)
    except EvidenceError as error:
        yield Finding(0, str(subject), str(error))
        return
    end = Link(b"" if link is None else link.item_key)
    for recorded in events:
        try:
            _check_event(reader, recorded, end, publics)
        except EvidenceError as error:
            yield Finding(0, f"{subject} event {recorded.seq}", str(error))
        end = Link(end.item_key, end.seq + 1, recorded.signed.commitment)
    if link != end:
        yield Finding(0, str(subject), "the chain does not end where the catalog says")
    beyond = reader.tagged([tag(end.item_key, seq + 1) for seq in (end.seq, end.seq + 1)])
    if beyond:
        yield Finding(0, str(subject), "the log has a later event than the catalog")


def _check_event(
    reader: LedgerReader, recorded: Recorded, end: Link, publics: Mapping[KeyId | None, bytes]
) -> None:
    """Insist that an event continues the chain that ended there, is signed, and in the log."""
    signed, event = recorded.signed, recorded.signed.event
    seq = end.seq + 1
    found = (event.item, event.seq, event.prev, recorded.seq)
    if found != (recorded.subject, seq, end.head, seq):
        raise LedgerAlteredError("does not continue the event before it")
    public = publics.get(event.by)
    if public is None:
        raise LedgerAlteredError(f"is signed by {event.by}, which is not registered")
    signed.verify_signature(public)
    by_hand = check_by_hand(signed)
    if by_hand is not None and not by_hand.is_shown:
        raise LedgerAlteredError("was signed by hand, and the passkey's answer is not there")
    # Until the log has taken it in, an entry is only as good as its row.
    rows = [] if recorded.index is None else reader.leaves(recorded.index, recorded.index + 1)
    if [row.entry for row in rows] != [leaf(end.item_key, seq, signed.commitment)]:
        raise LedgerAlteredError("is not what the log committed to")


def _control_holds(entry: bytes, publics: Mapping[KeyId | None, bytes]) -> bool:
    try:
        control = ControlEntry.parse(entry)
        for kid in control.signatures:
            control.verify(kid, publics[kid])
    except (EvidenceError, KeyError):
        return False
    return bool(control.signatures)
