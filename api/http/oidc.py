"""Sign-in by a State's identity provider over HTTP: there with a cookie, and back once.

The way there is begun by the application's own pages; the way back is a navigation from the
provider, so what guards it is the ticket in a cookie that only the browser has that began it.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from api.http.records import Me
from api.oidc import REFUSED, Client, Fetch, Provider, Ticket, identity_digest
from api.signin import PROVIDER_LIFE, SignIn
from evidence_store.accounts import Session
from evidence_store.errors import NotFoundError, UnauthenticatedError
from evidence_store.ports import Clock

SECURE_TICKET, PLAIN_TICKET = "__Host-ticket", "ticket"
Name = Annotated[str, Path(max_length=64, examples=["bravo"])]
Parameter = Annotated[str, Query(max_length=4096)]
Entered = Callable[[Request, Response, Session, str], Me]


class ProviderView(BaseModel):
    """An identity provider that officers of a State can sign in by."""

    name: str
    title: str
    state: str


class ProviderList(BaseModel):
    """The identity providers."""

    providers: list[ProviderView]


class ProviderAsked(BaseModel):
    """To sign in; with a one-time link's token, to bind what the provider says to its officer."""

    link: str | None = Field(default=None, max_length=200)


class Location(BaseModel):
    """Where the browser is to go."""

    location: str


class Federation:
    """The providers, and how they are talked to."""

    def __init__(self, origin: str, providers: Sequence[Provider], fetch: Fetch) -> None:
        self._clients = {
            each.name: Client(each, f"{origin}/v1/session/provider/{each.name}/callback", fetch)
            for each in providers
        }

    def client(self, name: str) -> Client:
        """What talks to a provider.

        Raises:
            NotFoundError: if there is none of this name.
        """
        found = self._clients.get(name)
        if found is None:
            raise NotFoundError("sign-in: there is no such identity provider")
        return found

    @property
    def providers(self) -> list[Provider]:
        """All of them."""
        return [each.provider for each in self._clients.values()]


def add_providers(
    routes: APIRouter,
    signin: SignIn,
    clock: Clock,
    federation: Federation,
    entered: Entered,
    *,
    secure: bool,
) -> None:
    """Add these routes, open to all."""
    cookie = SECURE_TICKET if secure else PLAIN_TICKET

    @routes.get("/session/providers")
    def list_providers() -> ProviderList:
        """The identity providers that officers can sign in by."""
        found = [
            ProviderView(name=each.name, title=each.title, state=str(each.state))
            for each in federation.providers
        ]
        return ProviderList(providers=found)

    @routes.post("/session/provider/{name}")
    def begin_at_provider(asked: ProviderAsked, name: Name, response: Response) -> Location:
        """Begin a sign-in at a provider: where to go. It counts for ten minutes, in this browser."""
        client = federation.client(name)
        state, ticket = signin.begin_provider(name, asked.link)
        location = client.address(state, Ticket(ticket))
        response.set_cookie(
            cookie,
            ticket,
            max_age=int(PROVIDER_LIFE.total_seconds()),
            path="/",
            secure=secure,
            httponly=True,
            samesite="lax",
        )
        return Location(location=location)

    @routes.get("/session/provider/{name}/callback")
    def come_back_from_provider(
        request: Request,
        response: Response,
        name: Name,
        state: Parameter = "",
        code: Parameter = "",
        iss: Annotated[str | None, Query(max_length=1024)] = None,
    ) -> Me:
        """Come back: signed in, if all of it holds and somebody is bound to the subject."""
        client = federation.client(name)
        enrolment = signin.take_provider(name, state, ticket := request.cookies.get(cookie, ""))
        response.delete_cookie(cookie, path="/", secure=secure, httponly=True, samesite="lax")
        provider = client.provider
        if not code or iss not in {None, provider.issuer}:  # RFC 9207
            raise UnauthenticatedError(REFUSED)
        subject = client.subject(code, Ticket(ticket), clock.now())
        session, token = signin.by_identity(
            identity_digest(provider.issuer, subject),
            provider.issuer,
            provider.state,
            enrolment=enrolment,
            agent=request.headers.get("user-agent", ""),
        )
        return entered(request, response, session, token)
