"""Transfers over HTTP: items change hands in an act of two sides."""

import json
from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api import ledger
from api.cooperation import item_named
from api.http.caller import Caller, Reader, Transferrer
from api.http.conditions import (
    KeyHeader,
    MatchHeader,
    PreconditionFailedError,
    PreconditionRequiredError,
    creates,
    etags,
    once,
)
from api.http.integrity import etag_of_bytes
from api.http.knowing import hidden, insist_at_work, is_at_work, item_held, transfer_sided
from api.http.paging import After, Limit, link_next
from api.http.problems import problems
from api.http.records import TransferPage, TransferView
from api.http.routes import Routes
from api.http.signing import StepAnswer, StepToSign, answered, asked, insist_may_do_without
from evidence_store.cooperation.registry import OfficerRole
from evidence_store.custody.act import ActType
from evidence_store.custody.transfer import (
    Condition,
    Mode,
    Offer,
    ReceiptLine,
    RefusalReason,
    TransferId,
)
from evidence_store.desk import Desk
from evidence_store.digest import Digest, Fingerprint
from evidence_store.errors import MalformedError
from evidence_store.identifiers import AuthorityId, Ern
from evidence_store.moment import Moment
from evidence_store.page import Page
from evidence_store.transferring import (
    Arrived,
    Release,
    Standing,
    accept,
    declare,
    make_offer,
    offered_item,
    receive,
    refuse,
    release,
    standing,
    withdraw,
)

TransferPath = Annotated[str, Path(examples=["SI-TRF-000012"], max_length=32)]
HANDLERS = (
    OfficerRole.CUSTODIAN,
    OfficerRole.INVESTIGATOR,
    OfficerRole.EXAMINER,
    OfficerRole.PROSECUTOR,
    OfficerRole.REGISTRAR,
    OfficerRole.CENTRAL,
)
BY_HAND = frozenset({"accepted", "received"})  # they bind a person: custody is taken on
DECLARED = {
    "overdue": ActType.OVERDUE,
    "lost": ActType.LOST_DECLARED,
    "found": ActType.FOUND,
}
Record = dict[str, Any]
Text = Annotated[str, Field(min_length=1, max_length=4000)]


class OfferAsked(BaseModel):
    """What is offered, to whom, why and until when."""

    items: Annotated[list[str], Field(min_length=1, max_length=1000, examples=[["SI-2026-000123"]])]
    to: Annotated[str, Field(max_length=64)]
    to_person: Text
    purpose: Text
    reference: Text
    valid_until: Annotated[str, Field(max_length=40, examples=["2026-12-31Z"])]
    mode: Mode = Mode.DIGITAL
    conditions: Annotated[list[str], Field(max_length=100)] = Field(default_factory=list)
    return_by: Annotated[str | None, Field(max_length=40)] = None


class Line(BaseModel):
    """What arrived of an item; the digests are the receiver's own measurement."""

    ern: Annotated[str, Field(max_length=32)]
    condition: Condition
    sha256: Annotated[str | None, Field(max_length=64)] = None
    blake3: Annotated[str | None, Field(max_length=64)] = None
    size_bytes: Annotated[int | None, Field(ge=0, le=2**53)] = None
    note: Annotated[str | None, Field(max_length=4000)] = None


class TransferStep(BaseModel):
    """A step of a transfer, with what it says."""

    act: Annotated[str, Field(examples=["accepted"], max_length=40)]
    note: Annotated[str, Field(max_length=4000)] = ""
    reason: RefusalReason | None = None
    carrier: Annotated[str | None, Field(max_length=400)] = None
    seals: Annotated[list[str], Field(max_length=100)] = Field(default_factory=list)
    packages: Annotated[int | None, Field(ge=1, le=10_000)] = None
    waybill: Annotated[str | None, Field(max_length=400)] = None
    lines: Annotated[list[Line], Field(max_length=1000)] = Field(default_factory=list)
    rejected: Annotated[list[str], Field(max_length=1000)] = Field(default_factory=list)
    extras: Annotated[list[str], Field(max_length=100)] = Field(default_factory=list)


def transfer_routes() -> Routes:
    """The routes, under `/v1/transfers`."""
    routes = Routes(prefix="/v1/transfers", tags=["transfers"], responses=problems(304, 409, 412))

    @routes.get("", response_model=TransferPage)
    def list_transfers(
        request: Request,
        caller: Reader,
        response: Response,
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The transfers that the officer's authority is a side of, by identifier."""
        found = _sided(caller, after, limit)
        rows = [
            {
                "transfer": str(each.transfer),
                "offer": each.digest,
                "from": each.sender.value,
                "to": each.receiver.value,
                "items": len(each.items),
                "mode": each.mode.value,
                "valid_until": each.valid_until.text,
            }
            for each in found.entries
        ]
        return {"transfers": rows, "next_cursor": link_next(request, response, found.after)}

    @routes.post(
        "",
        status_code=201,
        response_model=TransferView,
        responses=creates("get_transfer", "identifier", "transfer", "/v1/transfers/SI-TRF-000012"),
    )
    def offer_transfer(caller: Transferrer, body: OfferAsked, key: KeyHeader = None) -> Response:
        """Offer items to another authority."""
        at = "/v1/transfers/{transfer}"
        return once(caller, key, "transfers", body, lambda: _offered(caller, body), at)

    @routes.get("/{identifier}", response_model=TransferView)
    def get_transfer(caller: Reader, identifier: TransferPath, response: Response) -> Record:
        """Where a transfer stands, for one of its two sides."""
        transfer = TransferId.parse(identifier)
        _insist_side(caller, transfer)
        found = _shown(caller, transfer, settle=False)
        response.headers["ETag"] = _etag(found)
        return found

    _steps(routes)
    return routes


def _steps(routes: Routes) -> None:
    @routes.post("/{identifier}/steps", response_model=TransferView)
    def take_transfer_step(
        caller: Transferrer,
        identifier: TransferPath,
        body: TransferStep,
        if_match: MatchHeader = None,
    ) -> Record:
        """Take a step: accepted, refused, withdrawn, released, received, overdue, lost, found.

        Each says by `If-Match` of which standing it is; `*` leaves it to the rules of custody alone.
        """
        transfer = TransferId.parse(identifier)
        _insist_side(caller, transfer)
        _insist_seen(caller, transfer, if_match)
        if body.act in BY_HAND:
            insist_may_do_without(caller)
        _take(caller.desk, transfer, body)
        return _shown(caller, transfer)

    @routes.post("/{identifier}/steps/signing")
    def prepare_transfer_step(
        caller: Transferrer,
        identifier: TransferPath,
        body: TransferStep,
        if_match: MatchHeader = None,
    ) -> StepToSign:
        """What the officer's passkey is to sign so that a step is taken."""
        transfer = TransferId.parse(identifier)
        _insist_side(caller, transfer)
        _insist_seen(caller, transfer, if_match)
        return asked(caller, str(transfer), body, lambda desk: _take(desk, transfer, body))

    @routes.post("/{identifier}/steps/signed", response_model=TransferView)
    def sign_transfer_step(
        caller: Transferrer, identifier: TransferPath, body: StepAnswer
    ) -> Record:
        """Take the step that was prepared, with the passkey's answer."""
        transfer = TransferId.parse(identifier)
        _insist_side(caller, transfer)
        answered(
            caller,
            body,
            str(transfer),
            TransferStep,
            lambda desk, step: _take(desk, transfer, step),
        )
        return _shown(caller, transfer)


def _offered(caller: Caller, body: OfferAsked) -> Record:
    desk = caller.desk
    with desk.catalog.act() as writer:
        desk.insist(writer, HANDLERS)
        named = [item_named(each) for each in body.items]
        for ern, _ in named:
            item_held(writer, caller, str(ern))
        items = tuple(offered_item(writer, *each) for each in named)
        transfer = writer.ledger.next_transfer(writer.state())
    offer = Offer(
        transfer=transfer,
        items=items,
        sender=desk.authority,
        sender_person=str(desk.officer),
        receiver=AuthorityId(body.to),
        receiver_person=body.to_person,
        purpose=body.purpose,
        reference=body.reference,
        mode=body.mode,
        conditions=tuple(body.conditions),
        valid_until=Moment.parse(body.valid_until),
        loan=body.return_by is not None,
        return_by=None if body.return_by is None else Moment.parse(body.return_by),
    )
    make_offer(desk.catalog, desk.recorder, offer)
    return _shown(caller, transfer)


def _take(desk: Desk, transfer: TransferId, body: TransferStep) -> None:
    with desk.catalog.read() as reader:
        desk.insist(reader, HANDLERS)
    catalog, recorder, person = desk.catalog, desk.recorder, str(desk.officer)
    match body.act:
        case "accepted":
            accept(catalog, recorder, transfer, person)
        case "refused" if body.reason is not None:
            refuse(catalog, recorder, transfer, body.reason, body.note or None)
        case "withdrawn":
            withdraw(catalog, recorder, transfer, body.note or None)
        case "released" if body.carrier is not None:
            how = Release(body.carrier, tuple(body.seals), body.packages, body.waybill)
            release(catalog, recorder, transfer, how)
        case "received":
            arrived = [_arrived(each) for each in body.lines]
            rejected = [Ern.parse(each) for each in body.rejected]
            receive(catalog, recorder, transfer, arrived, person, body.extras, rejected)
        case "overdue" | "lost" | "found":
            declare(catalog, recorder, transfer, DECLARED[body.act], body.note or None)
        case _:
            raise MalformedError(
                "transfer: expected accepted, refused (with a reason), withdrawn, released (with a "
                "carrier), received, overdue, lost or found"
            )


def _arrived(line: Line) -> Arrived:
    found = None
    if line.sha256 is not None:
        if line.blake3 is None or line.size_bytes is None:
            raise MalformedError("receipt: expected sha256, blake3 and size_bytes together")
        found = Fingerprint(
            sha256=Digest.parse(f"sha256:{line.sha256}"),
            blake3=Digest.parse(f"blake3:{line.blake3}"),
            size_bytes=line.size_bytes,
        )
    return Arrived(ReceiptLine(Ern.parse(line.ern), line.condition, line.sha256, line.note), found)


def _insist_side(caller: Caller, transfer: TransferId) -> None:
    """Insist that the officer's authority is a side of the transfer.

    Raises:
        NotFoundError: if not: it is not to know of it.
    """
    with caller.instance.catalog.read() as reader, hidden(transfer):
        insist_at_work(caller)
        transfer_sided(reader, transfer, caller.desk.authority)


def _insist_seen(caller: Caller, transfer: TransferId, if_match: str | None) -> None:
    """Insist that a step is of the standing that there is.

    Raises:
        PreconditionRequiredError: if it does not say of which.
        PreconditionFailedError: if it is of another.
    """
    if if_match is None:
        raise PreconditionRequiredError("expected If-Match with the ETag that was seen, or *")
    if if_match.strip() == "*":
        return
    if _etag(_shown(caller, transfer, settle=False)) not in etags(if_match):
        raise PreconditionFailedError("it has changed since it was seen; look at it again")


def _etag(shown: Record) -> str:
    return etag_of_bytes(json.dumps(shown, sort_keys=True).encode())


def _sided(caller: Caller, after: str | None, limit: int) -> Page[Offer]:
    """The offers that the officer's authority is a side of."""
    if not is_at_work(caller):
        return Page([], None)
    with caller.instance.catalog.read() as reader:
        return reader.ledger.transfers(of=caller.desk.authority, after=after, limit=limit)


def _shown(caller: Caller, transfer: TransferId, *, settle: bool = True) -> Record:
    waits = ledger.settle(caller.instance) if settle else None
    with caller.instance.catalog.read() as reader:
        found = standing(reader, transfer)
    return {**standing_row(transfer, found), **({} if waits is None else {"waits_for": waits})}


def standing_row(transfer: TransferId, found: Standing) -> Record:
    """Where a transfer stands."""
    return {
        "transfer": str(transfer),
        "offer": found.offer.digest,
        "from": found.offer.sender.value,
        "to": found.offer.receiver.value,
        "items": [
            {
                "ern": str(item.ern),
                "version": item.version,
                "sha256": item.sha256,
                "last": found.items[item.ern][0].value if item.ern in found.items else None,
                "custodian": found.items[item.ern][1] if item.ern in found.items else None,
            }
            for item in found.offer.items
        ],
        "open": sorted(map(str, found.open_items)),
    }
