"""Streams of how an upload, a transfer or a request stands, for who may see it."""

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import Response, StreamingResponse

from api.http.caller import Caller, Reader, Uploader
from api.http.happenings import RESPONSES, LastEvent, Stands, stream
from api.http.knowing import hidden, insist_at_work, request_sided, transfer_sided
from api.http.problems import problems
from api.http.routes import Routes
from api.http.uploads import UploadPath, upload_record
from api.uploading import Uploading
from evidence_store.custody.transfer import TransferId
from evidence_store.doors import UploadState
from evidence_store.identifiers import DossierId, DossierKind
from evidence_store.transferring import standing

OVER = frozenset({UploadState.DONE, UploadState.FAILED, UploadState.ENDED})
REQUESTS_OVER = frozenset({"closed", "refused", "withdrawn", "lapsed"})
TransferPath = Annotated[str, Path(examples=["SI-TRF-000012"], max_length=32)]
RequestPath = Annotated[str, Path(examples=["SI-REQ-000012"], max_length=32)]


def event_routes() -> Routes:
    """The routes, each behind what it is about."""
    routes = Routes(
        prefix="/v1",
        tags=["events"],
        responses={**problems(410), **RESPONSES},
        default_response_class=StreamingResponse,
    )

    @routes.get("/uploads/{identifier}/events")
    def upload_events(
        request: Request, caller: Uploader, identifier: UploadPath, last: LastEvent = None
    ) -> Response:
        """How far an upload has come, and what became of it."""
        uploading: Uploading = request.app.state.uploading
        return stream(request, caller, last, lambda: _upload(uploading, caller, identifier))

    @routes.get("/transfers/{identifier}/events")
    def transfer_events(
        request: Request, caller: Reader, identifier: TransferPath, last: LastEvent = None
    ) -> Response:
        """Where a transfer stands, for one of its two sides."""
        transfer = TransferId.parse(identifier)
        return stream(request, caller, last, lambda: _transfer(caller, transfer))

    @routes.get("/requests/{identifier}/events")
    def request_events(
        request: Request, caller: Reader, identifier: RequestPath, last: LastEvent = None
    ) -> Response:
        """Where a request stands, for one of its two sides."""
        dossier = DossierId.parse(identifier, DossierKind.REQUEST)
        return stream(request, caller, last, lambda: _request(caller, dossier))

    return routes


def _upload(uploading: Uploading, caller: Caller, identifier: str) -> Stands:
    found = uploading.mine(identifier, caller.officer)
    return Stands(upload_record(found), found.state in OVER)


def _transfer(caller: Caller, transfer: TransferId) -> Stands:
    with caller.instance.catalog.read() as reader, hidden(transfer):
        insist_at_work(caller)
        transfer_sided(reader, transfer, caller.desk.authority)
        found = standing(reader, transfer)
    record = {
        "transfer": str(transfer),
        "items": [
            {"ern": str(ern), "last": act.value, "custodian": custodian}
            for ern, (act, custodian) in found.items.items()
        ],
        "open": sorted(map(str, found.open_items)),
    }
    return Stands(record, over=not found.open_items)


def _request(caller: Caller, dossier: DossierId) -> Stands:
    desk = caller.desk
    with caller.instance.catalog.read() as reader, hidden(dossier):
        insist_at_work(caller)
        state = request_sided(reader, desk.chains, dossier, desk.authority).at(desk.now).state
    return Stands({"request": str(dossier), "state": state}, state in REQUESTS_OVER)
