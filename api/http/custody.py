"""Custody over HTTP: who holds an item, its events, its proof, and what is done with it by hand.

For officers of the State whose item it is who may know of it, and for the authority that holds it:
that one sees what others withheld only where it signed the event itself.
"""

import base64
from typing import Annotated, Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api import ledger
from api.cli.receipts import receipt_fields
from api.handling import BY_HAND, ByHand, act_by_hand, custody_fields
from api.http.caller import Caller, Handler, Reader
from api.http.conditions import MatchHeader, etag_of, insist_unchanged_within
from api.http.evidence import ErnPath
from api.http.knowing import is_own, item_held
from api.http.paging import After, Limit, link_next
from api.http.problems import problems
from api.http.records import (
    ActDone,
    CustodyView,
    EventPage,
    EventView,
    ProofBundle,
    ProvedControl,
    ProvedEvent,
    ReceiptPage,
)
from api.http.routes import Routes
from api.http.transfers import HANDLERS
from api.spelling import rfc3339
from api.wiring import Instance, found_log
from evidence_store.audit import audit_item
from evidence_store.classification import Classification
from evidence_store.custody.act import SealCheck
from evidence_store.errors import MalformedError
from evidence_store.handling import history_of
from evidence_store.identifiers import Ern
from evidence_store.ledger.control import KINDS, commitment_of
from evidence_store.ledger_port import Recorded, chain_of
from evidence_store.ports import CatalogReader
from evidence_store.sequencing import proof_of

Note = Annotated[str | None, Field(max_length=4000)]
SEQ_DIGITS_MAX = 9


class ActAsked(BaseModel):
    """An act by hand, and what it says. `occurred_at` makes it a late entry."""

    act: Annotated[
        str, Field(max_length=40, description=f"One of {', '.join(BY_HAND)}.", examples=["sealed"])
    ]
    seals: Annotated[list[str], Field(max_length=100, examples=[["A-1177"]])] = Field(
        default_factory=list
    )
    check: SealCheck | None = None
    hold: Annotated[str | None, Field(max_length=200)] = None
    corrects: Annotated[int | None, Field(ge=1, le=10**9)] = None
    classification: Classification | None = None
    place: Note = None
    purpose: Note = None
    note: Note = None
    occurred_at: Annotated[str | None, Field(max_length=40)] = None


def custody_routes() -> Routes:
    """The routes, under `/v1/items`."""
    routes = Routes(prefix="/v1/items", tags=["custody"], responses=problems(304, 409, 412, 428))
    _reading(routes)

    @routes.post("/{ern}/acts", response_model=ActDone)
    def record_act(
        caller: Handler, ern: ErnPath, body: ActAsked, if_match: MatchHeader = None
    ) -> dict[str, Any]:
        """Record an act: a seal, a look at it, a hold, a move, a correction, a note, a late entry.

        `If-Match` is the `ETag` of the item's custody. Nothing is edited: what was wrong is named by
        a `correction_of`.
        """
        desk = caller.desk
        with desk.catalog.act() as writer:
            item = item_held(writer, caller, ern)
            desk.insist(writer, HANDLERS)
            insist_unchanged_within(writer, item.ern, if_match)
            now = act_by_hand(
                writer,
                desk.recorder,
                item.ern,
                ByHand(person=str(desk.officer), **dict(body)),
            )
            seq = chain_of(writer.ledger, item.ern).seq
        waits = ledger.settle(caller.instance)
        receipt = receipt_fields(ledger.receipt(caller.instance, item.ern, seq))
        receipt |= {} if waits is None else {"waits_for": waits}
        return {"ern": str(item.ern), **custody_fields(now), "receipt": receipt}

    return routes


def _reading(routes: Routes) -> None:
    @routes.get("/{ern}/custody")
    def get_custody(caller: Reader, ern: ErnPath, response: Response) -> CustodyView:
        """Who held an item, when, and every gap. The `ETag` is what an act's `If-Match` names."""
        with caller.instance.catalog.read() as reader:
            item = item_held(reader, caller, ern)
            told = history_of(reader.ledger, item.ern)
            problems_found = [each.problem for each in audit_item(reader, item.ern) if each.problem]
        response.headers["ETag"] = etag_of(caller, item.ern)
        return CustodyView.model_validate(
            {
                "ern": str(item.ern),
                **custody_fields(told.custody),
                "timeline": [
                    {
                        "seq": row.act.seq,
                        "act": row.act.type.value,
                        "by": row.act.by.value,
                        "recorded_at": rfc3339(row.act.at),
                        "late": row.late,
                        "custodian": None if row.custodian is None else str(row.custodian),
                    }
                    for row in told.rows
                ],
                "gaps": [
                    {"kind": each.kind.value, "seq": each.seq, "detail": each.detail}
                    for each in told.gaps
                ],
                "ledger_problems": problems_found,
            }
        )

    @routes.get("/{ern}/receipts", response_model=ReceiptPage)
    def get_receipts(
        request: Request,
        caller: Reader,
        ern: ErnPath,
        response: Response,
        after: After = None,
        limit: Limit = 50,
    ) -> dict[str, Any]:
        """An item's events, each with the proof that the log holds it."""
        with caller.instance.catalog.read() as reader:
            item = item_held(reader, caller, ern)
        found = ledger.receipts(caller.instance, item.ern)
        start = _behind(after)
        rows = [dict(receipt_fields(each)) for each in found[start : start + limit]]
        cursor = str(start + limit) if len(found) > start + limit else None
        return {"receipts": rows, "next_cursor": link_next(request, response, cursor)}

    @routes.get("/{ern}/events")
    def list_events(
        request: Request,
        caller: Reader,
        ern: ErnPath,
        response: Response,
        after: After = None,
        limit: Limit = 50,
    ) -> EventPage:
        """An item's events as they were signed, with what this caller may see of what they withhold."""
        with caller.instance.catalog.read() as reader:
            item = item_held(reader, caller, ern)
            whole = is_own(reader, caller, item)
            found = reader.ledger.events(item.ern)
        start = _behind(after)
        events = [_event(caller, each, whole=whole) for each in found[start : start + limit]]
        cursor = str(start + limit) if len(found) > start + limit else None
        response.headers["ETag"] = f'{etag_of(caller, item.ern)[:-1]}-{start}-{limit}"'
        return EventPage(events=events, next_cursor=link_next(request, response, cursor))

    @routes.get("/{ern}/proof")
    def get_proof_bundle(caller: Reader, ern: ErnPath) -> ProofBundle:
        """Everything that a verifier needs to check the item's history without this server."""
        with caller.instance.catalog.read() as reader:
            item = item_held(reader, caller, ern)
            return _bundle(reader, caller.instance, item.ern)


def _behind(after: str | None) -> int:
    if after is None:
        return 0
    if not (after.isascii() and after.isdigit()) or len(after) > SEQ_DIGITS_MAX:
        raise MalformedError("after: expected a cursor that an earlier page gave")
    return int(after)


def _event(caller: Caller, recorded: Recorded, *, whole: bool) -> EventView:
    signed = recorded.signed
    event = signed.event
    shown = whole or event.by.authority == caller.desk.authority
    return EventView(
        seq=recorded.seq,
        act=event.act,
        by=str(event.by),
        at=rfc3339(event.at),
        data=dict(event.data),
        disclosed=dict(signed.disclosed()) if shown else {},
        commitment=signed.commitment.hex(),
        index=recorded.index,
        body=base64.b64encode(signed.body).decode(),
        signature=base64.b64encode(signed.signature).decode(),
    )


def _bundle(reader: CatalogReader, instance: Instance, ern: Ern) -> ProofBundle:
    def proved(index: int | None) -> str | None:
        found = None if index is None else proof_of(reader.ledger, instance.tiles, index)
        return None if found is None else str(found)

    events = [
        ProvedEvent(
            seq=each.seq,
            body=base64.b64encode(each.signed.body).decode(),
            signature=base64.b64encode(each.signed.signature).decode(),
            proof=proved(each.index),
        )
        for each in reader.ledger.events(ern)
    ]
    controls = []
    for control in (each for kind in KINDS for each in reader.ledger.controls(kind)):
        index = reader.ledger.index_of(commitment_of(control.entry))
        entry = base64.b64encode(control.entry[1:]).decode()
        controls.append(ProvedControl(entry=entry, index=index or 0, proof=proved(index)))
    head = reader.ledger.sealed_head()
    log = found_log(instance.catalog, instance.signing)
    return ProofBundle(
        ern=str(ern),
        item_key=chain_of(reader.ledger, ern).item_key.hex(),
        events=events,
        controls=controls,
        checkpoint=None if head is None or head.sealed is None else head.sealed.decode(),
        policy=str(ledger.policy(instance.home, log)),
    )
