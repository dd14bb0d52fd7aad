"""The witness's door (C2SP tlog-witness): a log asks for cosignatures, anybody sees what was cosigned.

Nobody signs in: a request counts by the log's signature. This module decides nothing, and answers
in plain text. Encryption and limits by address belong to the web server in front of it.
"""

import asyncio
import hashlib
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, Response
from starlette.requests import ClientDisconnect

from evidence_store.errors import EvidenceError
from evidence_store.ledger.add_checkpoint import REQUEST_BYTES_MAX, Answer, Cosigned, Refusal
from evidence_store.ledger.note import Note
from evidence_store.ledger.witness import Cosigner, WitnessState
from evidence_store.ports import Clock

PREFIX = "/witness"
BODY_SECONDS = 10.0  # a request whose bytes come slower would hold a place for ever
SIZE_TYPE = "text/x.tlog.size"
CACHED = {"Cache-Control": "max-age=5"}
_STATUSES = {
    Refusal.MALFORMED: HTTPStatus.BAD_REQUEST,
    Refusal.UNTRUSTED: HTTPStatus.FORBIDDEN,
    Refusal.UNKNOWN_LOG: HTTPStatus.NOT_FOUND,
    Refusal.FORK: HTTPStatus.UNPROCESSABLE_ENTITY,
    Refusal.INCONSISTENT: HTTPStatus.UNPROCESSABLE_ENTITY,
}


def witness_app(cosigner: Cosigner, clock: Clock) -> FastAPI:
    """An application that is this witness and nothing else."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(witness_routes(cosigner, clock))
    return app


def witness_routes(cosigner: Cosigner, clock: Clock) -> APIRouter:
    """The witness's two routes, under `/witness`."""
    routes = APIRouter(prefix=PREFIX, tags=["witness"])

    @routes.post(
        "/add-checkpoint",
        response_class=PlainTextResponse,
        responses=_plainly(400, 403, 404, 408, 409, 413, 422, 503),
        openapi_extra={
            "requestBody": {
                "content": {"text/plain": {"schema": {"type": "string"}}},
                "required": True,
            }
        },
    )
    async def add_checkpoint(request: Request) -> Response:
        """Cosign a checkpoint, or say why not."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except (TimeoutError, ClientDisconnect):
            return _plain(HTTPStatus.REQUEST_TIMEOUT, "the request came too slowly")
        if body is None:
            return _plain(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {REQUEST_BYTES_MAX} bytes"
            )
        try:
            answer = await run_in_threadpool(cosigner.add_checkpoint, body, clock.now())
        except EvidenceError as error:
            return _failed(error)
        return answered(answer)

    @routes.get(
        "/{name}/checkpoint",
        name="cosigned_checkpoint",
        response_class=PlainTextResponse,
        responses=_plainly(404, 422, 503),
    )
    def checkpoint(name: str) -> Response:
        """The last checkpoint that was cosigned of a log, by SHA-256 (hex) of its origin."""
        try:
            note = _latest(cosigner.state, name)
        except EvidenceError as error:
            return _failed(error)
        if note is None:
            return _plain(HTTPStatus.NOT_FOUND, "this witness cosigned nothing of such a log")
        return PlainTextResponse(note.encode(), headers=CACHED)

    return routes


def _plainly(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Refusals as this protocol has them: plain text."""
    return {
        each: {"description": HTTPStatus(each).phrase, "content": {"text/plain": {}}}
        for each in statuses
    }


async def _body(request: Request) -> bytes | None:
    """The body; None as soon as it is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > REQUEST_BYTES_MAX:
            return None
    return body


def _latest(state: WitnessState, name: str) -> Note | None:
    for origin in state.origins():
        if hashlib.sha256(origin.encode()).hexdigest() == name:
            seen = state.latest(origin)
            return None if seen is None else seen.note
    return None


def answered(answer: Answer) -> Response:
    """The answer as HTTP carries it (tlog-witness, v1.0 with 422 for every fork)."""
    if isinstance(answer, Cosigned):
        return PlainTextResponse(str(answer))
    if answer.reason is Refusal.STALE:
        # As a header: a media type of text would be given a character set, and is compared whole.
        return Response(f"{answer.size}\n", HTTPStatus.CONFLICT, {"Content-Type": SIZE_TYPE})
    return _plain(_STATUSES[answer.reason], answer.detail)


def _failed(error: EvidenceError) -> Response:
    """The state cannot be relied on: nothing is cosigned. Which file it is is nobody's business."""
    return _plain(HTTPStatus.SERVICE_UNAVAILABLE, f"{error.code}: the witness cannot answer now")


def _plain(status: HTTPStatus, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status)
