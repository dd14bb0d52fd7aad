"""The two-sided act: offer, acceptance, release and receipt, each by its own side.

Every step is an event on each item, and all of a step's events are one transaction. Custody
stays with the sender until the receipt; digests in a receipt are the receiver's own.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from evidence_store.acts import measured
from evidence_store.canonical import Json
from evidence_store.custody.act import ActType
from evidence_store.custody.state import State
from evidence_store.custody.transfer import (
    Condition,
    Offer,
    OfferedItem,
    ReceiptLine,
    RefusalReason,
    TransferId,
    checked_receipt,
)
from evidence_store.digest import Fingerprint
from evidence_store.errors import ConflictError, CustodyError, MalformedError, NotFoundError
from evidence_store.handling import handle, history_of
from evidence_store.identifiers import Ern
from evidence_store.ledger.event import Draft
from evidence_store.ports import Catalog, CatalogReader
from evidence_store.recording import Recorder
from evidence_store.wording import stated


@dataclass(frozen=True, slots=True)
class Release:
    """How the items leave: the carrier by name, and what identifies the consignment."""

    carrier: str
    seals: tuple[str, ...] = ()
    packages: int | None = None
    waybill: str | None = None

    def __post_init__(self) -> None:
        stated(self.carrier, "carrier")


class MeasuredOf(StrEnum):
    """Which bytes a receiver measured."""

    ARRIVED = "arrived"  # those that came to the receiver
    SHARED_STORE = "shared_store"  # those in the store that sender and receiver both use


@dataclass(frozen=True, slots=True)
class Arrived:
    """What arrived of an item. `measured` is what the receiver measured of its bytes.

    `measured_of` says which bytes those were, and is signed with them.
    """

    line: ReceiptLine
    measured: Fingerprint | None = None
    measured_of: MeasuredOf = MeasuredOf.ARRIVED


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a transfer stands: for each item, the last act of it and the custodian now."""

    offer: Offer
    items: Mapping[Ern, tuple[ActType, str]] = field(default_factory=dict)
    open_items: frozenset[Ern] = frozenset()  # those of which it is not closed


def offered_item(reader: CatalogReader, ern: Ern, number: int | None) -> OfferedItem:
    """An item as it can be offered now: the version asked for or the original, and its seals.

    Raises:
        NotFoundError: if there is no such item or version.
    """
    reader.item(ern)
    versions = {version.number: version for version in reader.versions(ern)}
    custody = history_of(reader.ledger, ern).custody
    seals = () if custody is None else tuple(custody.seals)
    if not versions and number is None:
        return OfferedItem(ern, seals=seals)
    chosen = versions.get(number or 1)
    if chosen is None:
        raise NotFoundError(f"{ern} has no version {number}")
    return OfferedItem(ern, chosen.number, chosen.fingerprint.sha256.hex, seals)


def make_offer(catalog: Catalog, recorder: Recorder, offer: Offer) -> Offer:
    """Offer the items. The offer must carry the identifier that `LedgerWriter.next_transfer` gave.

    Raises:
        CustodyError: if an item cannot be offered now, or not by this authority.
        MalformedError: if it is not valid any more.
    """
    if _is_over(offer, recorder):
        raise MalformedError(f"offer: {offer.valid_until} is over")
    if offer.sender != recorder.by.authority:
        raise CustodyError(f"offer: expected {offer.sender} to make it")
    data: dict[str, Json] = {
        **_named(offer),
        "to": str(offer.receiver),
        "mode": offer.mode.value,
        "valid_until": offer.valid_until.text,
        "loan": offer.loan,
    }
    private: dict[str, Json] = {
        "offer_document": offer.document.decode(),
        "purpose": offer.purpose,
        "officer": offer.sender_person,
        "counterparty": offer.receiver_person,
    }
    with catalog.act() as writer:
        writer.ledger.authority(offer.receiver)
        writer.ledger.add_transfer(offer, recorder.clock.now())
        handle(writer, recorder, _on_each(offer, ActType.OFFERED, data, private))
    return offer


def accept(catalog: Catalog, recorder: Recorder, transfer: TransferId, person: str) -> Offer:
    """Accept the offer as it was made: the receiver signs its digest.

    Raises:
        CustodyError: if this is not the receiver, or it is not open.
        ConflictError: if it is not valid any more.
    """
    with catalog.act() as writer:
        offer = writer.ledger.transfer(transfer)
        if _is_over(offer, recorder):
            raise ConflictError(f"transfer {transfer}: was valid until {offer.valid_until}")
        drafts = _on_each(offer, ActType.ACCEPTED, _named(offer), {"officer": person})
        handle(writer, recorder, drafts)
    return offer


def refuse(
    catalog: Catalog,
    recorder: Recorder,
    transfer: TransferId,
    reason: RefusalReason,
    note: str | None,
) -> Offer:
    """Refuse the offer, with a reason.

    Raises:
        CustodyError: if this is not the receiver, or it is not open.
    """
    return _step(
        catalog, recorder, transfer, ActType.REFUSED, {"reason": reason.value}, _noted(note)
    )


def withdraw(catalog: Catalog, recorder: Recorder, transfer: TransferId, note: str | None) -> Offer:
    """Take the offer back before it is accepted; an offer whose time is over has expired.

    Raises:
        CustodyError: if this is not the sender, or it is not open.
    """
    with catalog.read() as reader:
        over = _is_over(reader.ledger.transfer(transfer), recorder)
    act = ActType.OFFER_EXPIRED if over else ActType.OFFER_WITHDRAWN
    return _step(catalog, recorder, transfer, act, {}, _noted(note))


def release(catalog: Catalog, recorder: Recorder, transfer: TransferId, how: Release) -> Offer:
    """Let the items go, with a named carrier. Custody stays with the sender.

    Raises:
        CustodyError: if this is not the sender, or the offer is not accepted.
    """
    data: dict[str, Json] = {"seals": list(how.seals), "packages": how.packages}
    private: dict[str, Json] = {"carrier": how.carrier}
    if how.waybill is not None:
        private["waybill"] = how.waybill
    return _step(catalog, recorder, transfer, ActType.RELEASED, data, private)


def receive(
    catalog: Catalog,
    recorder: Recorder,
    transfer: TransferId,
    arrived: Sequence[Arrived],
    person: str,
    extras: Sequence[str] = (),
    rejected: Collection[Ern] = (),
) -> Offer:
    """Sign for what arrived, item by item: every item offered has a line, and there is no other.

    What is `rejected` goes back with the carrier, and stays in the sender's custody.

    Raises:
        CustodyError: if this is not the receiver, or the items are not on their way.
        MalformedError: if the lines are not a receipt of this offer.
    """
    with catalog.act() as writer:
        offer = writer.ledger.transfer(transfer)
        open_items = {item.ern for item in offer.items if _is_open(writer, item.ern, transfer)} or {
            item.ern for item in offer.items
        }
        part = [item for item in offer.items if item.ern in open_items]
        lines = checked_receipt(part, [each.line for each in arrived])
        found = {each.line.ern: each for each in arrived}
        drafts = [
            _arrival(
                offer,
                item,
                lines[item.ern],
                found[item.ern],
                person,
                extras,
                rejected=item.ern in rejected,
            )
            for item in part
        ]
        handle(writer, recorder, drafts)
    return offer


def declare(
    catalog: Catalog, recorder: Recorder, transfer: TransferId, act: ActType, note: str | None
) -> Offer:
    """Say of what is still on its way that it is overdue, lost or found.

    Raises:
        CustodyError: if nothing of it is in such a state, or this is not the custodian.
    """
    with catalog.act() as writer:
        offer = writer.ledger.transfer(transfer)
        drafts = [
            Draft(item.ern, act.value, _named(offer), _noted(note))
            for item in offer.items
            if _concerns(writer, item.ern, transfer, act)
        ]
        if not drafts:
            raise CustodyError(
                f"transfer {transfer}: nothing of it is on its way; of an item that was not let go "
                "its holder records lost_declared"
            )
        handle(writer, recorder, drafts)
    return offer


def standing(reader: CatalogReader, transfer: TransferId) -> Standing:
    """Where a transfer stands.

    Raises:
        NotFoundError: if there is no such transfer.
    """
    offer = reader.ledger.transfer(transfer)
    items: dict[Ern, tuple[ActType, str]] = {}
    for item in offer.items:
        found = history_of(reader.ledger, item.ern)
        own = [row.act.type for row in found.rows if row.act.data.get("transfer") == str(transfer)]
        custodian = "nobody" if found.custody is None else str(found.custody.custodian)
        if own:
            items[item.ern] = own[-1], custodian
    under_way = {item.ern for item in offer.items if _is_open(reader, item.ern, transfer)}
    return Standing(offer, items, frozenset(under_way))


def _step(
    catalog: Catalog,
    recorder: Recorder,
    transfer: TransferId,
    act: ActType,
    data: Mapping[str, Json],
    private: Mapping[str, Json],
) -> Offer:
    with catalog.act() as writer:
        offer = writer.ledger.transfer(transfer)
        handle(writer, recorder, _on_each(offer, act, {**_named(offer), **data}, private))
    return offer


def _noted(note: str | None) -> dict[str, Json]:
    return {} if note is None else {"note": note}


def _is_over(offer: Offer, recorder: Recorder) -> bool:
    end = offer.valid_until.latest
    return end is not None and end < recorder.clock.now()


def _on_each(
    offer: Offer, act: ActType, data: Mapping[str, Json], private: Mapping[str, Json]
) -> list[Draft]:
    return [
        Draft(
            item.ern,
            act.value,
            data if act is not ActType.OFFERED else {**data, "version": item.version},
            private,
        )
        for item in offer.items
    ]


def _named(offer: Offer) -> dict[str, Json]:
    return {"transfer": str(offer.transfer), "offer": offer.digest}


def _is_open(reader: CatalogReader, ern: Ern, transfer: TransferId) -> bool:
    custody = history_of(reader.ledger, ern).custody
    opened = None if custody is None else custody.transfer
    return opened is not None and opened.transfer == str(transfer)


def _concerns(reader: CatalogReader, ern: Ern, transfer: TransferId, act: ActType) -> bool:
    """Whether what is declared can be so of an item: only a part may be missing."""
    custody = history_of(reader.ledger, ern).custody
    if custody is None:
        return False
    match act:
        case ActType.FOUND:
            return custody.state is State.LOST
        case ActType.OVERDUE if custody.lender is not None:
            return True
        case ActType.LOST_DECLARED if not custody.in_transit:
            return False  # what its holder loses before letting it go is no matter of the transfer
        case _:
            return _is_open(reader, ern, transfer)


def _arrival(
    offer: Offer,
    item: OfferedItem,
    line: ReceiptLine,
    found: Arrived,
    person: str,
    extras: Sequence[str],
    *,
    rejected: bool,
) -> Draft:
    if rejected:
        act = ActType.REJECTED_ON_ARRIVAL
    elif line.condition is Condition.OK:
        act = ActType.RECEIVED
    else:
        act = ActType.RECEIVED_WITH_RESERVATIONS
    data: dict[str, Json] = {
        **_named(offer),
        "condition": line.condition.value,
        "extras": len(extras),
    }
    if found.measured is not None:
        data["measured"] = [measured(found.measured, item.version)]
        data["measured_of"] = found.measured_of.value
    private: dict[str, Json] = {"officer": person}
    if line.note is not None:
        private["note"] = line.note
    if extras:
        private["extras"] = list(extras)
    return Draft(item.ern, act.value, data, private)
