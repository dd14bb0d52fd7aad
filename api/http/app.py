"""The application: every route, who may call it, and what every answer carries.

Nothing is open without sign-in but the public log, the witness, and whether it is alive. A request is
given an identifier, and the logs hold that and no more: no names, no content, no secrets.
"""

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http import problems
from api.http.caller import SessionOf
from api.http.cooperation import cooperation_routes
from api.http.evidence import evidence_routes
from api.http.log import log_routes
from api.http.transfers import transfer_routes
from api.http.turns import Turns
from api.http.uploads import OFFSET_TYPE, upload_routes
from api.uploading import Uploading
from api.wiring import Instance
from evidence_store.dossiers import Chains

log = logging.getLogger("evidence.http")
BODY_BYTES_MAX = 1024 * 1024
QUERY_BYTES_MAX = 8 * 1024
PARAMETERS_MAX = 50
HEADERS_MAX = 100
DIGITS_MAX = 19  # of a number of bytes
UNFORESEEN = "an error that was not foreseen; nothing half-done is kept"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}
DESCRIPTION = """Evidence and its chain of custody, shared between States under grants.

Sign in, or send a personal access token. Errors are problem documents (RFC 9457) with stable codes.
Lists go by cursor. Times are RFC 3339, UTC."""


def create_app(
    instance: Instance,
    uploading: Uploading,
    *,
    session_of: SessionOf | None = None,
    sign_in: APIRouter | None = None,
    lifespan: Callable[[FastAPI], Any] | None = None,
) -> FastAPI:
    """The application of an instance."""

    @asynccontextmanager
    async def nothing(_: FastAPI) -> AsyncIterator[None]:
        yield

    app = FastAPI(
        title="Evidence store",
        version="1",
        description=DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan or nothing,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.instance = instance
    app.state.uploading = uploading
    app.state.session_of = session_of
    app.state.chains = Chains()
    problems.install(app)
    for routes in (
        log_routes(),
        evidence_routes(),
        cooperation_routes(),
        transfer_routes(),
        upload_routes(),
        _health(),
    ):
        app.include_router(routes)
    if sign_in is not None:
        app.include_router(sign_in)
    app.add_middleware(Limits)
    app.add_middleware(Turns)
    app.add_middleware(Around)  # the last that is added is the outermost
    return app


def _health() -> APIRouter:
    routes = APIRouter(tags=["health"], responses=problems.problems())

    @routes.get("/health")
    def health() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "alive"}

    @routes.get("/ready")
    def ready(request: Request) -> dict[str, str]:
        """Whether catalog, store and log answer."""
        instance: Instance = request.app.state.instance
        with instance.catalog.read() as reader:
            reader.ledger.head()
        next(instance.objects.names(), None)
        return {"status": "ready"}

    return routes


class Around:
    """An identifier for each request, the headers of each answer, and a line in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and complete its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, started, status = secrets.token_hex(8), time.monotonic(), 0
        scope.setdefault("state", {})["request_id"] = request_id

        async def completed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
                if status == HTTPStatus.METHOD_NOT_ALLOWED:  # Starlette lists one route's only
                    headers["Allow"] = ", ".join(_methods(Request(scope)))
            await send(message)

        try:
            await self._app(scope, receive, completed)
        except Exception as error:  # noqa: BLE001 - above us it would be logged with all it holds
            log.error("not foreseen: %s request %s", type(error).__name__, request_id)  # noqa: TRY400 - likewise
            if not status:
                failed = problems.problem(Request(scope), 500, "E000", UNFORESEEN)
                await failed(scope, receive, completed)
        route = scope.get("route")
        log.info(
            "%s %s %s %.0f ms %s",
            scope["method"],
            route.path if isinstance(route, APIRoute) else "-",
            status,
            (time.monotonic() - started) * 1e3,
            request_id,
        )


def _methods(request: Request) -> list[str]:
    """All methods that a path can be called by."""
    found: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches({**request.scope, "method": "-"})
        if match.value and isinstance(route, APIRoute):
            found |= route.methods or set()
    return sorted(found)


class Limits:
    """Refuses what is larger than anybody needs, before anything is made of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is within the limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query: bytes = scope.get("query_string", b"")
        if len(query) > QUERY_BYTES_MAX or query.count(b"&") >= PARAMETERS_MAX:
            await _refuse(
                scope, receive, send, 414, "E414", "the query is longer than anybody needs"
            )
            return
        headers = dict(scope["headers"])
        if len(scope["headers"]) > HEADERS_MAX:
            await _refuse(
                scope, receive, send, 431, "E431", f"expected at most {HEADERS_MAX} headers"
            )
            return
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            await _refuse(
                scope, receive, send, 415, "E415", "expected a body that is not compressed"
            )
            return
        if headers.get(b"content-type", b"").decode("latin-1") == OFFSET_TYPE:
            await self._app(scope, receive, send)
            return
        stated = headers.get(b"content-length", b"0")
        if not stated.isdigit() or len(stated) > DIGITS_MAX or int(stated) > BODY_BYTES_MAX:
            await _refuse(
                scope, receive, send, 413, "E413", f"expected at most {BODY_BYTES_MAX} bytes"
            )
            return
        await self._app(scope, _Counted(receive), send)


class _Counted:
    """A body that is cut off where it becomes too large: what is cut is no JSON, and refused."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._bytes = receive, 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            if self._bytes > BODY_BYTES_MAX:
                return {"type": "http.request", "body": b"\0", "more_body": False}
        return message


async def _refuse(
    scope: Scope, receive: Receive, send: Send, status: int, code: str, detail: str
) -> None:
    response = problems.problem(Request(scope), status, code, detail)
    await response(scope, receive, send)
