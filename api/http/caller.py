"""Who calls: an officer, by session or by token, and what the way in is good for.

Every route states the scope that it needs. A session has all scopes; a token those that it was
made with. A change by a session must come from the application's own pages.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Protocol
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api import cooperation
from api.tokens import SCOPES, found_token
from api.wiring import Instance
from evidence_store.desk import Desk
from evidence_store.dossiers import Chains
from evidence_store.errors import EvidenceError, UnauthenticatedError
from evidence_store.identifiers import PersonCode

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


SessionOf = Callable[[Request], SessionLike | None]


@dataclass(frozen=True)
class Caller:
    """An officer who calls: one for each request, with one desk."""

    instance: Instance
    officer: PersonCode
    scopes: frozenset[str]
    method: str
    chains: Chains = field(default_factory=Chains)

    @cached_property
    def desk(self) -> Desk:
        """The officer's desk.

        Raises:
            NotFoundError, KeyUnavailableError: as `cooperation.desk`.
        """
        return cooperation.desk(self.instance, str(self.officer), self.chains)


def needs(scope: str) -> Callable[..., Caller]:
    """A dependency: the caller, insisting on a scope."""

    def caller(
        request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)] = None
    ) -> Caller:
        found = authenticated(request)
        if scope not in found.scopes:
            raise ForbiddenError(f"token: expected the scope {scope}")
        return found

    caller.scope = scope  # type: ignore[attr-defined] # the table of routes is made from it
    return caller


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
        token = found_token(instance.doors, text.strip(), instance.clock.now())
        if kind.lower() != "bearer" or token is None:
            raise UnauthenticatedError("token: expected one that counts now")
        return Caller(instance, token.officer, token.scopes, "token", request.app.state.chains)
    session_of: SessionOf | None = request.app.state.session_of
    session = None if session_of is None else session_of(request)
    if session is None:
        raise UnauthenticatedError("sign in, or send a token: Authorization: Bearer evr_pat_…")
    insist_same_origin(request)
    return Caller(instance, session.officer, frozenset(SCOPES), "session", request.app.state.chains)


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
    origin = urlsplit(request.headers.get("origin", ""))
    own = request.url
    if (origin.scheme, origin.netloc) != (own.scheme, own.netloc):
        raise ForbiddenError("expected a request from this application's own pages")


Reader = Annotated[Caller, Depends(needs("read"))]
Requester = Annotated[Caller, Depends(needs("request"))]
Granter = Annotated[Caller, Depends(needs("grant"))]
Registrar = Annotated[Caller, Depends(needs("registry"))]
Transferrer = Annotated[Caller, Depends(needs("transfer"))]
Accessor = Annotated[Caller, Depends(needs("access"))]
Handler = Annotated[Caller, Depends(needs("custody"))]
Uploader = Annotated[Caller, Depends(needs("upload"))]
