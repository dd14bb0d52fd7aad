"""Reading the ledger's rows. Every query goes by an index."""

from collections.abc import Mapping, Sequence

from sqlalchemy import LargeBinary, bindparam, literal_column, select

from evidence_store.custody.transfer import Offer, TransferId
from evidence_store.errors import MalformedError
from evidence_store.identifiers import AuthorityId, Ern, KeyId, Subject, parse_subject
from evidence_store.ledger.event import EVENT_LEAF, Link, SignedEvent
from evidence_store.ledger_port import Authority, Control, Head, Leaf, Recorded
from evidence_store.page import Page
from storage.catalog.ledger_tables import (
    TAGGED,
    AuthorityRow,
    ChainRow,
    ControlRow,
    EventRow,
    HeadRow,
    LeafRow,
    TransferRow,
    TransferSideRow,
)
from storage.catalog.ordering import FIRST, subject_key, subject_of, transfer_behind, transfer_key
from storage.catalog.prepared import Prepared
from storage.catalog.queries import Among, Queries, page, parts
from storage.catalog.spelling import Found
from storage.catalog.tables import table_of

AUTHORITY = table_of(AuthorityRow)
CHAIN = table_of(ChainRow)
CONTROL = table_of(ControlRow)
EVENT = table_of(EventRow)
HEAD = table_of(HeadRow)
LEAF = table_of(LeafRow)
TRANSFER = table_of(TransferRow)
TRANSFER_SIDE = table_of(TransferSideRow)
LEAVES_MAX = 10_000
# What every act asks.
_LINK = Prepared(select(CHAIN).where(CHAIN.c.subject_key == bindparam("of_key")))
_EVENTS = Prepared(
    select(
        EVENT.c.subject_key,
        EVENT.c.seq,
        EVENT.c.body,
        EVENT.c.signature,
        EVENT.c.disclosures,
        LEAF.c.place,
    )
    .select_from(EVENT.outerjoin(LEAF, LEAF.c.commitment == EVENT.c.commitment))
    .where(EVENT.c.subject_key == bindparam("of_key"))
    .order_by(EVENT.c.seq)
)
_OFFER = Prepared(select(TRANSFER).where(TRANSFER.c.transfer_key == bindparam("of_key")))
_AUTHORITY = Prepared(select(AUTHORITY).where(AUTHORITY.c.id == bindparam("of_id")))
_LAST_PLACE = Prepared(select(LEAF.c.place).order_by(LEAF.c.place.desc()).limit(1))
_LAST_SEALED = Prepared(
    select(HEAD)
    .where(HEAD.c.sealed.is_not(None), HEAD.c.size >= 0)
    .order_by(HEAD.c.size.desc())
    .limit(1)
)
_BRINGING = Among(
    select(EVENT, LEAF.c.place)
    .select_from(EVENT.outerjoin(LEAF, LEAF.c.commitment == EVENT.c.commitment))
    .where(EVENT.c.act.in_(("registered", "version_added")))
    .order_by(EVENT.c.subject_key, EVENT.c.seq),
    EVENT.c.subject_key,
)
_TAGGED = Among(select(LEAF), literal_column(TAGGED, LargeBinary))


class SqlLedgerReader:
    """Implements `evidence_store.ledger_port.LedgerReader` in a transaction of the catalog's."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def authorities(self) -> Sequence[Authority]:
        """See `LedgerReader.authorities`."""
        return self._queries.all(select(AUTHORITY).order_by(AUTHORITY.c.id), _authority)

    def authority(self, authority: AuthorityId) -> Authority:
        """See `LedgerReader.authority`."""
        missing = f"there is no authority {authority}; `evidence authority list` shows them"
        return self._queries.one(_AUTHORITY, _authority, missing, {"of_id": authority.value})

    def controls(self, kind: str) -> Sequence[Control]:
        """See `LedgerReader.controls`."""
        query = select(CONTROL).where(CONTROL.c.kind == kind).order_by(CONTROL.c.number)
        return self._queries.all(query, _control)

    def keys_of(self, authority: AuthorityId) -> Sequence[Control]:
        """See `LedgerReader.keys_of`."""
        query = select(CONTROL).where(CONTROL.c.authority == authority.value)
        found = self._queries.all(query.order_by(CONTROL.c.number), _control)
        return [each for each in found if each.public is not None]

    def links(self, subjects: Sequence[Subject]) -> Mapping[Subject, Link]:
        """See `LedgerReader.links`."""
        if len(subjects) == 1:
            return dict(self._queries.all(_LINK, _link, {"of_key": subject_key(subjects[0])}))
        found: dict[Subject, Link] = {}
        for part in parts(map(subject_key, subjects)):
            query = select(CHAIN).where(CHAIN.c.subject_key.in_(part))
            found.update(self._queries.all(query, _link))
        return found

    def subjects(self, *, after: str | None = None, limit: int = 100) -> Page[Subject]:
        """See `LedgerReader.subjects`."""
        behind = FIRST if after is None else subject_key(parse_subject(after))
        query = select(EVENT.c.subject_key).where(EVENT.c.seq == 1, EVENT.c.subject_key > behind)
        query = query.order_by(EVENT.c.subject_key).limit(limit + 1)
        return page(self._queries.all(query, lambda row: subject_of(row.subject_key)), limit, str)

    def events(self, subject: Subject) -> Sequence[Recorded]:
        """See `LedgerReader.events`."""
        return self._queries.all(_EVENTS, _recorded, {"of_key": subject_key(subject)})

    def bringing(self, erns: Sequence[Ern]) -> Sequence[Recorded]:
        """See `LedgerReader.bringing`."""
        found: list[Recorded] = []
        for part in parts(map(subject_key, erns)):
            query, parameters = _BRINGING.asked(part)
            found += self._queries.all(query, _recorded, parameters)
        return found

    def transfer(self, transfer: TransferId) -> Offer:
        """See `LedgerReader.transfer`."""
        missing = f"there is no transfer {transfer}; `evidence transfer list` shows them"
        return self._queries.one(_OFFER, _offer, missing, {"of_key": transfer_key(transfer)})

    def transfers(
        self, *, of: AuthorityId | None = None, after: str | None = None, limit: int = 100
    ) -> Page[Offer]:
        """See `LedgerReader.transfers`."""
        behind = transfer_behind(after)
        if of is None:
            query = select(TRANSFER).where(TRANSFER.c.transfer_key > behind)
            query = query.order_by(TRANSFER.c.transfer_key).limit(limit + 1)
        else:
            same = TRANSFER.c.transfer_key == TRANSFER_SIDE.c.transfer_key
            query = select(TRANSFER).select_from(TRANSFER_SIDE.join(TRANSFER, same))
            query = query.where(
                TRANSFER_SIDE.c.authority == of.value, TRANSFER_SIDE.c.transfer_key > behind
            )
            query = query.order_by(TRANSFER_SIDE.c.transfer_key).limit(limit + 1)
        return page(self._queries.all(query, _offer), limit, lambda each: str(each.transfer))

    def index_of(self, commitment: bytes) -> int | None:
        """See `LedgerReader.index_of`."""
        query = select(LEAF.c.place).where(LEAF.c.commitment == commitment)
        return next(iter(self._queries.all(query, lambda row: int(row[0]))), None)

    def size(self) -> int:
        """See `LedgerReader.size`."""
        last = self._queries.all(_LAST_PLACE, lambda row: int(row.place))
        return last[0] + 1 if last else 0

    def leaves(self, start: int, end: int) -> Sequence[Leaf]:
        """See `LedgerReader.leaves`."""
        if end - start > LEAVES_MAX:
            raise MalformedError(f"leaves: expected at most {LEAVES_MAX} at a time")
        query = select(LEAF).where(LEAF.c.place >= start, LEAF.c.place < end)
        query = query.order_by(LEAF.c.place)
        return self._queries.all(query, _leaf)

    def without_event(self, start: int, end: int) -> Sequence[int]:
        """See `LedgerReader.without_event`."""
        query = (
            select(LEAF.c.place, LEAF.c.entry)
            .select_from(LEAF.outerjoin(EVENT, EVENT.c.commitment == LEAF.c.commitment))
            .where(LEAF.c.place >= start, LEAF.c.place < end, EVENT.c.commitment.is_(None))
            .order_by(LEAF.c.place)
        )
        found = self._queries.all(query, lambda row: (int(row.place), bytes(row.entry)))
        return [place for place, entry in found if entry.startswith(EVENT_LEAF)]

    def altered(self, start: int, end: int) -> Sequence[int]:
        """See `LedgerReader.altered`."""
        query = (
            select(LEAF.c.place, LEAF.c.entry, EVENT.c.body, EVENT.c.signature)
            .select_from(LEAF.outerjoin(EVENT, EVENT.c.commitment == LEAF.c.commitment))
            .where(LEAF.c.place >= start, LEAF.c.place < end)
            .order_by(LEAF.c.place)
        )
        return [place for place in self._queries.all(query, _altered) if place is not None]

    def tagged(self, tags: Sequence[bytes]) -> Sequence[Leaf]:
        """See `LedgerReader.tagged`."""
        found: list[Leaf] = []
        for part in parts(EVENT_LEAF + tag for tag in tags):
            query, parameters = _TAGGED.asked(part)
            found += self._queries.all(query, _leaf, parameters)
        return found

    def head(self) -> Head | None:
        """See `LedgerReader.head`."""
        query = select(HEAD).order_by(HEAD.c.size.desc()).limit(1)
        return next(iter(self._queries.all(query, _head)), None)

    def sealed_head(self, *, above: int = -1) -> Head | None:
        """See `LedgerReader.sealed_head`."""
        if above < 0:
            return next(iter(self._queries.all(_LAST_SEALED, _head)), None)
        query = select(HEAD).where(HEAD.c.sealed.is_not(None), HEAD.c.size > above)
        return next(iter(self._queries.all(query.order_by(HEAD.c.size).limit(1), _head)), None)

    def heads(self, *, after: int, limit: int = 100) -> Sequence[Head]:
        """See `LedgerReader.heads`."""
        query = select(HEAD).where(HEAD.c.size > after).order_by(HEAD.c.size).limit(limit)
        return self._queries.all(query, _head)


def _authority(row: Found) -> Authority:
    return Authority(AuthorityId(row.id), row.name, row.created_at)


def _control(row: Found) -> Control:
    return Control(
        kind=row.kind,
        entry=row.entry,
        kid=None if row.kid is None else KeyId.parse(row.kid),
        public=row.public,
    )


def _leaf(row: Found) -> Leaf:
    return Leaf(row.commitment, row.entry)


def _altered(row: Found) -> int | None:
    if not row.entry.startswith(EVENT_LEAF):
        return None
    if row.body is None:
        return int(row.place)
    signed = SignedEvent(bytes(row.body), bytes(row.signature))
    return None if row.entry.endswith(signed.commitment) else int(row.place)


def _link(row: Found) -> tuple[Subject, Link]:
    return subject_of(row.subject_key), Link(row.item_key, row.seq, row.head)


def _recorded(row: Found) -> Recorded:
    disclosures = tuple(row.disclosures.split("\n")) if row.disclosures else ()
    # An edit can leave text where bytes were: `bytes` refuses it.
    signed = SignedEvent(bytes(row.body), bytes(row.signature), disclosures)
    return Recorded(subject_of(row.subject_key), row.seq, signed, row.place)


def sides_of(offer: Offer) -> list[dict[str, str]]:
    """The rows by which each side of an offer finds it."""
    key = transfer_key(offer.transfer)
    return [
        {"authority": each.value, "transfer_key": key} for each in (offer.sender, offer.receiver)
    ]


def _offer(row: Found) -> Offer:
    return Offer.parse(bytes(row.document))


def _head(row: Found) -> Head:
    return Head(
        size=row.size,
        root=row.root,
        made_at=row.made_at,
        note=row.note,
        sealed=row.sealed,
    )
