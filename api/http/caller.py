"""Who calls: an officer, by session or by token, or a peer; and what the way in is good for.

Every route states the scope that it needs. A session has all scopes; a token those that it was
made with. A change by a session must come from the application's own pages.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Protocol
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.openapi.models import APIKey
from fastapi.security import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.concurrency import run_in_threadpool

from api import cooperation
from api.peers import Message, verified
from api.signin import SignIn
from api.tokens import SCOPES, found_token, reach_of
from api.wiring import Instance
from evidence_store.accounts import Method
from evidence_store.cooperation.registry import OfficerRole
from evidence_store.desk import Desk
from evidence_store.dossiers import Chains
from evidence_store.errors import EvidenceError, NotFoundError, UnauthenticatedError
from evidence_store.identifiers import AuthorityId, KeyId, PersonCode
from evidence_store.ports import CatalogReader
from evidence_store.registering import Registry

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
BEARER = HTTPBearer(auto_error=False, description="A personal access token, `evr_pat_…`.")


class ForbiddenError(EvidenceError):
    """The way in is not good for this."""

    code = "E403"
    status = 403


class SessionLike(Protocol):
    """A session, as sign-in knows it."""

    @property
    def officer(self) -> PersonCode:
        """Whose it is."""
        ...

    @property
    def method(self) -> Method:
        """By what the officer signed in."""
        ...


SessionOf = Callable[[Request], SessionLike | None]


@dataclass(frozen=True)
class Caller:
    """An officer who calls: one for each request, with one desk."""

    instance: Instance
    officer: PersonCode
    scopes: frozenset[str]
    method: str
    authority: AuthorityId
    roles: frozenset[OfficerRole]  # when the officer called
    chains: Chains = field(default_factory=Chains)
    signed_in_by: Method | None = None  # None: by a token
    signin: SignIn | None = None
    tokens_sign: bool = False  # whether a token may do what officers must sign by hand

    @cached_property
    def desk(self) -> Desk:
        """The officer's desk."""
        return cooperation.desk_of(self.instance, self.officer, self.authority, self.chains)


@dataclass(frozen=True, slots=True)
class Claim:
    """That somebody calls who may; it is no `Caller`, and good for nothing before it is examined."""

    request: Request
    scope: str

    def examined(self) -> Caller:
        """Who calls. It asks the database, so it is for a thread that may wait.

        Raises:
            UnauthenticatedError: as `authenticated`.
            ForbiddenError: likewise, or if the way in is not good for the scope.
        """
        found = authenticated(self.request)
        if self.scope not in found.scopes:
            raise ForbiddenError(f"token: expected the scope {self.scope}")
        return found


EXAMINES = "examines_claims"  # what a route has that examines claims in the thread that it works in


class Needs(SecurityBase):
    """A dependency: the caller, insisting on a scope. To OpenAPI it is `BEARER`.

    A route that examines claims itself gets one: it saves going to a thread twice. It stays with the
    request until then, as who calls is examined before it is told what is wrong with a request.
    """

    def __init__(self, scope: str) -> None:
        self.scope = scope  # the table of routes is made from it
        self.model, self.scheme_name = BEARER.model, BEARER.scheme_name

    async def __call__(self, request: Request) -> Caller | Claim:
        """The caller, or the claim that is to be examined."""
        claim = Claim(request, self.scope)
        if getattr(request.scope.get("route"), EXAMINES, False):
            request.state.claim = claim
            return claim
        return await run_in_threadpool(claim.examined)


def needs(scope: str) -> Needs:
    """A dependency: the caller, insisting on a scope."""
    return Needs(scope)


async def insist_on_claim(request: Request) -> None:
    """Insist that a claim that came with the request holds, if there is one.

    Raises:
        UnauthenticatedError, ForbiddenError: as `Claim.examined`.
    """
    claim: Claim | None = getattr(request.state, "claim", None)
    if claim is not None:
        await run_in_threadpool(claim.examined)


def authenticated(request: Request) -> Caller:
    """Who calls.

    Raises:
        UnauthenticatedError: if nobody has signed in.
        ForbiddenError: if a change comes from another site.
    """
    instance: Instance = request.app.state.instance
    header = request.headers.get("authorization")
    if header is not None:
        kind, _, text = header.partition(" ")
        with instance.catalog.read_at_the_door() as (reader, tokens):
            token = found_token(tokens, text.strip(), instance.clock.now())
            if kind.lower() != "bearer" or token is None:
                raise UnauthenticatedError("token: expected one that counts now")
            return _within_reach(
                request,
                reader,
                token.officer,
                token.scopes,
                "token",
                tokens_sign=request.app.state.tokens_sign,
            )
    session_of: SessionOf | None = request.app.state.session_of
    session = None if session_of is None else session_of(request)
    if session is None:
        raise UnauthenticatedError("sign in, or send a token: Authorization: Bearer evr_pat_…")
    insist_same_origin(request)
    with instance.catalog.read() as reader:
        return _within_reach(
            request,
            reader,
            session.officer,
            frozenset(SCOPES),
            "session",
            signed_in_by=session.method,
            signin=request.app.state.signin,
        )


def _within_reach(
    request: Request,
    reader: CatalogReader,
    officer: PersonCode,
    scopes: frozenset[str],
    method: str,
    *,
    tokens_sign: bool = False,
    signed_in_by: Method | None = None,
    signin: SignIn | None = None,
) -> Caller:
    """The caller, with no more than goes with the officer's roles now, whatever was made before.

    Raises:
        UnauthenticatedError: if it is an officer's who holds no role any more.
    """
    instance: Instance = request.app.state.instance
    chains: Chains = request.app.state.chains
    try:
        entry = Registry(reader, chains).officer(officer)
    except NotFoundError:
        raise UnauthenticatedError("expected an officer of the registry") from None
    roles = entry.roles_at(instance.clock.now())
    if not roles:
        raise UnauthenticatedError("expected an officer who holds a role now")
    request.app.state.known.let_in(request.headers, officer)
    return Caller(
        instance,
        officer,
        scopes & reach_of(roles),
        method,
        entry.authority,
        roles,
        chains,
        tokens_sign=tokens_sign,
        signed_in_by=signed_in_by,
        signin=signin,
    )


def insist_same_origin(request: Request) -> None:
    """Insist that a change comes from the application's own pages (Fetch Metadata, else Origin).

    Raises:
        ForbiddenError: if it does not, or nothing says so.
    """
    if request.method in SAFE:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise ForbiddenError("expected a request from this application's own pages")
        return
    # What a browser shows is compared with what is set up, not with a Host that anybody can send.
    own = getattr(request.app.state, "origin", None)
    if own is None or request.headers.get("origin") != own:
        raise ForbiddenError("expected a request from this application's own pages")


@dataclass(frozen=True, slots=True)
class Peer:
    """An authority whose own instance calls; no officer, and with no officer's rights."""

    instance: Instance
    authority: AuthorityId
    kid: KeyId
    target: str
    chains: Chains = field(default_factory=Chains)


async def _body(request: Request) -> bytes:
    return await request.body()


class SignedByPeer(SecurityBase):
    """What an operation says of peers in OpenAPI: that its request is signed."""

    def __init__(self) -> None:
        self.scheme_name = "peer"
        said = (
            "A signature of the request (RFC 9421) by an authority's registered key, over `@method`, "
            "`@target-uri` and `content-digest`; with created, expires (within 300 s), nonce and "
            "keyid in Signature-Input."
        )
        self.model = APIKey.model_validate(
            {"in": "header", "name": "Signature", "description": said}
        )


class _OfPeer(SignedByPeer):
    async def __call__(self, request: Request, body: Annotated[bytes, Depends(_body)]) -> Peer:
        """Which peer calls, by the signature of its request.

        Raises:
            UnauthenticatedError: if it has none that counts.
        """
        return await run_in_threadpool(_peer, request, body)


class _OfDeliveringPeer(SignedByPeer):
    def __call__(self, request: Request) -> Peer:
        """Which peer calls, before any of the body is read: its digest is for the route to compare.

        Raises:
            UnauthenticatedError: if its request has no signature that counts.
        """
        return _peer(request, None)


def _peer(request: Request, body: bytes | None) -> Peer:
    instance: Instance = request.app.state.instance
    chains: Chains = request.app.state.chains
    # What is signed must name this instance: a Host header could name any that the request is for.
    raw: bytes = request.scope.get("raw_path") or quote(request.url.path).encode()
    query: bytes = request.scope.get("query_string", b"")
    target = raw.partition(b"?")[0] + (b"?" + query if query else b"")
    message = Message(
        request.method, request.app.state.origin + target.decode("latin-1"), request.headers
    )
    with instance.catalog.read() as reader:
        kid, use = verified(message, body, reader, chains, instance.clock)
    use.insist_first(instance.doors, instance.clock.now())
    return Peer(instance, kid.authority, kid, message.url, chains)


Reader = Annotated[Caller, Depends(needs("read"))]
Requester = Annotated[Caller, Depends(needs("request"))]
Granter = Annotated[Caller, Depends(needs("grant"))]
Registrar = Annotated[Caller, Depends(needs("registry"))]
Transferrer = Annotated[Caller, Depends(needs("transfer"))]
Accessor = Annotated[Caller, Depends(needs("access"))]
Handler = Annotated[Caller, Depends(needs("custody"))]
Uploader = Annotated[Caller, Depends(needs("upload"))]
PeerCaller = Annotated[Peer, Depends(_OfPeer())]
DeliveringPeer = Annotated[Peer, Depends(_OfDeliveringPeer())]
