"""The application: every route, who may call it, and what every answer carries.

Nothing is open without sign-in but the public log, the witness, the pages that say what this is,
and whether it is alive. A request is
given an identifier, and the logs hold that and no more: no names, no content, no secrets.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.datastructures import MutableHeaders
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import fixity
from api.http import problems
from api.http.bodies import BYTES_MAX, Bodies
from api.http.caller import SessionOf
from api.http.cases import case_routes
from api.http.cooperation import cooperation_routes
from api.http.custody import custody_routes
from api.http.described import describe_all
from api.http.ending import ending_routes
from api.http.events import event_routes
from api.http.evidence import evidence_routes
from api.http.finding import finding_routes
from api.http.happenings import OF_ALL_MAX, OF_CALLER_MAX
from api.http.integrity import Conditional, ContentDigest
from api.http.known import Known
from api.http.log import log_routes
from api.http.packages import package_routes
from api.http.pages import page_routes
from api.http.peers import DELIVERIES, peer_routes
from api.http.places import Places
from api.http.protection import protection_routes
from api.http.records import Alive, Ready
from api.http.registry import registry_routes
from api.http.routes import Routes, Signpost
from api.http.transfers import transfer_routes
from api.http.turns import WORKING_ELSEWHERE_MAX, WORKING_MAX, Turns
from api.http.uploads import UPLOADS, always_said, is_offset_type, upload_routes
from api.http.versions import version_routes
from api.http.watching import Counts, Watch
from api.http.webhooks import describe, webhook_routes
from api.signin import SignIn
from api.uploading import Uploading
from api.wiring import Instance
from evidence_store.dossiers import Chains

log = logging.getLogger("evidence.http")
BODY_BYTES_MAX = BYTES_MAX
QUERY_BYTES_MAX = 8 * 1024
PARAMETERS_MAX = 50
HEADERS_MAX = 100
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
DIGITS_MAX = 19  # of a number of bytes
UNFORESEEN = "an error that was not foreseen; nothing half-done is kept"
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    ),
)
TAGS = [
    {"name": "evidence", "description": "Cases, items and their versions."},
    {"name": "custody", "description": "Who holds an item, its events, proofs and acts."},
    {"name": "access", "description": "Bytes leave by decision only, recorded first; packages."},
    {"name": "verification", "description": "Is this what was registered?"},
    {"name": "registry", "description": "States, authorities and officers, by two people."},
    {"name": "requests", "description": "Requests for assistance."},
    {"name": "grants", "description": "What is shared, under terms that both sides sign."},
    {"name": "consents", "description": "Consents to onward sharing, purposes, of providers."},
    {"name": "protection", "description": "Protective measures; they go with the item."},
    {"name": "teams", "description": "Joint investigation teams."},
    {"name": "finding", "description": "Hit or no hit, and blinded statements."},
    {"name": "transfers", "description": "Items change hands in an act of two sides."},
    {"name": "uploads", "description": "Resumable uploads (tus 1.0.0)."},
    {
        "name": "events",
        "description": "How an upload, a transfer or a request stands, as it changes (a stream).",
    },
    {"name": "log", "description": "The transparency log: public, and to be cached."},
    {"name": "witness", "description": "Cosignatures for other logs (C2SP tlog-witness)."},
    {"name": "webhooks", "description": "What an authority is told of, and where."},
    {
        "name": "sign-in",
        "description": "Passkeys, sessions, enrolment, identity providers, tokens.",
    },
    {"name": "peers", "description": "What other instances ask and deliver, signed (RFC 9421)."},
    {"name": "health", "description": "Whether it is alive and ready."},
]
DESCRIPTION = """Evidence and its chain of custody, shared between States under grants.

Sign in, or send a personal access token. Errors are problem documents (RFC 9457) with stable codes.
Lists go by cursor, and by `Link`. Times are RFC 3339, UTC. A body may come with `Content-Digest`
(RFC 9530), and is refused if it is another. `Accept-Language` chooses the language of titles.

What may not be known is not there: 404, in the same words as for what never was."""


@dataclass(frozen=True, slots=True)
class Entry:
    """How officers sign in, and what peers sign for: only where browsers see an origin."""

    origin: str
    signin: SignIn
    routes: APIRouter
    session_of: SessionOf


def create_app(
    instance: Instance,
    uploading: Uploading,
    *,
    entry: Entry | None = None,
    witness: APIRouter | None = None,
    lifespan: Callable[[FastAPI], Any] | None = None,
    counts: Counts | None = None,
) -> FastAPI:
    """The application of an instance.

    With an `entry`, officers sign in there, and peers call; with `witness`, it cosigns others' logs.
    """

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
        redirect_slashes=False,  # where to would be said by a Host that anybody can send
        openapi_tags=TAGS,
        lifespan=lifespan or nothing,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.instance = instance
    app.state.uploading = uploading
    app.state.session_of = None if entry is None else entry.session_of
    app.state.signin = None if entry is None else entry.signin
    app.state.tokens_sign = instance.tokens_sign_for_officers
    app.state.chains = Chains()
    app.state.known = Known()
    app.state.streams = Places("events", OF_CALLER_MAX, OF_ALL_MAX)
    app.state.is_stopping = lambda: False  # a server says when, so that no stream holds it up
    app.state.origin = None if entry is None else entry.origin
    problems.install(app)
    for routes in (
        log_routes(),
        case_routes(),
        evidence_routes(),
        version_routes(),
        custody_routes(),
        package_routes(),
        registry_routes(),
        ending_routes(),
        cooperation_routes(),
        protection_routes(),
        finding_routes(),
        transfer_routes(),
        upload_routes(),
        webhook_routes(),
        event_routes(),
        page_routes(),
        _health(),
    ):
        app.router.routes.extend(routes.routes)  # one list, that need not be searched in parts
    app.router.routes.insert(0, Signpost(app.router.routes))
    describe(app)
    if entry is not None:
        app.include_router(entry.routes)
        app.include_router(peer_routes())  # what peers sign names the origin
    if witness is not None:
        app.include_router(witness)
    _described(app)
    app.add_middleware(Conditional)
    app.add_middleware(ContentDigest, is_streamed=_is_streamed, bytes_max=BODY_BYTES_MAX)
    is_elsewhere = not instance.catalog.is_in_process
    working_max = WORKING_ELSEWHERE_MAX if is_elsewhere else WORKING_MAX
    app.add_middleware(Turns, known=app.state.known, working_max=working_max)
    app.add_middleware(Bodies, is_streamed=_is_streamed)  # in whole, before it takes a turn
    app.add_middleware(Heads)
    app.add_middleware(Limits)
    app.add_middleware(Around)  # the last that is added is the outermost
    app.add_middleware(Watch, counts=counts or Counts())
    return app


def _described(app: FastAPI) -> None:
    """Let the description say what holds for all operations."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            describe_all(made(), app.state.origin)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI documents it


def _health() -> Routes:
    routes = Routes(tags=["health"], responses=problems.problems())

    @routes.get("/health")
    async def health() -> Alive:
        """Whether the process answers. It waits for no thread: those may all be taken."""
        return Alive(status="alive")

    @routes.get("/ready")
    def ready(request: Request) -> Ready:
        """Whether catalog, store and log answer, and what the fixity cycle found."""
        instance: Instance = request.app.state.instance
        with instance.catalog.read() as reader:
            reader.ledger.head()
        next(instance.objects.names(), None)
        return Ready(status="ready", fixity=fixity.word(fixity.stands(instance)))

    return routes


class Around:
    """The headers of each answer, the request's identifier among them; also of what failed unforeseen."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and complete its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, answered = scope["state"]["request_id"], False

        async def completed(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                stated = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *(each for each in message["headers"] if each[0] != b"x-request-id"),
                    *(each for each in HEADERS if each[0] not in stated),
                    (b"x-request-id", request_id.encode()),
                ]
                said = MutableHeaders(scope=message)
                for name, value in always_said(scope["path"], message["status"]).items():
                    said.setdefault(name, value)
                # Starlette lists one route's only.
                if message["status"] == HTTPStatus.METHOD_NOT_ALLOWED:
                    said["Allow"] = ", ".join(_methods(Request(scope)))
            await send(message)

        try:
            await self._app(scope, receive, completed)
        except Exception as error:  # noqa: BLE001 - above us it would be logged with all it holds
            log.error("not foreseen: %s request %s", type(error).__name__, request_id)  # noqa: TRY400 - likewise
            if not answered:
                failed = problems.problem(Request(scope), 500, "E000", UNFORESEEN)
                await failed(scope, receive, completed)


def _methods(request: Request) -> list[str]:
    """All methods that a path can be called by. Each is tried: a router within tells only that."""
    found = {each for each in METHODS if _takes(request.scope, each)}
    if "GET" in found and not _is_stream(request.scope):
        found.add("HEAD")
    return sorted(found)


def _takes(scope: Scope, method: str) -> bool:
    asked = {**scope, "method": method}
    return any(route.matches(asked)[0] is Match.FULL for route in scope["app"].routes)


def _is_stream(scope: Scope) -> bool:
    """Whether what a GET would be answered does not end by itself."""
    asked = {**scope, "method": "GET"}
    for route in scope["app"].routes:
        match, found = route.matches(asked)
        if match is Match.FULL:
            return getattr(found.get("route"), "response_class", None) is StreamingResponse
    return False


class Heads:
    """Answers HEAD as GET without a body (RFC 9110, section 9.3.2), but for streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, as what it is answered like."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or not self._is_got(scope):
            await self._app(scope, receive, send)
            return
        got = {**scope, "method": "GET"}

        async def bare(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(got, receive, bare)
        finally:  # what watches from outside names the route
            scope.update({name: got[name] for name in ("route",) if name in got})

    @staticmethod
    def _is_got(scope: Scope) -> bool:
        return not _takes(scope, "HEAD") and _takes(scope, "GET") and not _is_stream(scope)


class Limits:
    """Refuses what is larger than anybody needs, before anything is made of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is within the limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = _beyond(scope)
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal)
        else:
            await self._app(scope, receive, send)


def _beyond(scope: Scope) -> tuple[int, str, str] | None:
    """Status, code and detail for a head that is refused as it is."""
    query: bytes = scope.get("query_string", b"")
    headers = dict(scope["headers"])
    stated = headers.get(b"content-length", b"0")
    is_number = stated.isdigit() and len(stated) <= DIGITS_MAX
    refused: tuple[int, str, str] | None = None
    if [name for name, _ in scope["headers"]].count(b"host") != 1:  # RFC 9112, section 3.2
        refused = 400, "E100", "expected one Host header"
    elif len(query) > QUERY_BYTES_MAX or query.count(b"&") >= PARAMETERS_MAX:
        refused = 414, "E414", "the query is longer than anybody needs"
    elif len(scope["headers"]) > HEADERS_MAX:
        refused = 431, "E432", f"expected at most {HEADERS_MAX} headers"
    elif headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        refused = 415, "E415", "expected a body that is not compressed"
    elif not _is_streamed(scope) and (not is_number or int(stated) > BODY_BYTES_MAX):
        refused = 413, "E413", f"expected at most {BODY_BYTES_MAX} bytes"
    return refused


def _is_streamed(scope: Scope) -> bool:
    """Whether a body may be of any size: the route takes it in as it comes, and checks its digest."""
    if scope["path"] == DELIVERIES:
        return bool(scope["method"] == "POST")
    kind = dict(scope["headers"]).get(b"content-type", b"")
    return bool(scope["path"].startswith(UPLOADS)) and is_offset_type(kind.decode("latin-1"))


async def _refuse(
    scope: Scope, receive: Receive, send: Send, status: int, code: str, detail: str
) -> None:
    response = problems.problem(Request(scope), status, code, detail)
    await response(scope, receive, send)
