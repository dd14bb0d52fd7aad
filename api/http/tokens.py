"""An officer's tokens over HTTP: made, listed, ended. Only a session makes one, and only by passkey.

A token never makes another: whoever steals one has it until it is over, and no longer.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from api.http.caller import ForbiddenError
from api.signin import SignIn
from api.tokens import SCOPES, make_token, reach_of
from evidence_store.accounts import Method, Session
from evidence_store.doors import DoorStore, Token
from evidence_store.errors import NotFoundError
from evidence_store.ports import Clock

DAYS_MAX = 366


class TokenAsked(BaseModel):
    """What the token is for, and for how long."""

    name: str = Field(min_length=1, max_length=100, examples=["Field laptop 3"])
    scopes: list[str] = Field(min_length=1, max_length=len(SCOPES), examples=[["read", "upload"]])
    days: int = Field(default=30, ge=1, le=DAYS_MAX)


class TokenView(BaseModel):
    """A token of the officer's, without the token."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class TokenMade(TokenView):
    """A new token. It is shown this once."""

    token: str


class TokenList(BaseModel):
    """The officer's tokens."""

    tokens: list[TokenView]


def add_tokens(
    routes: APIRouter,
    signin: SignIn,
    doors: DoorStore,
    clock: Clock,
    signed_in: Callable[[Request], Session],
) -> None:
    """Add these routes, for whoever has signed in."""

    @routes.post("/tokens", status_code=HTTPStatus.CREATED)
    def make_a_token(
        asked: TokenAsked, session: Annotated[Session, Depends(signed_in)]
    ) -> TokenMade:
        """Make a token, of scopes that the officer's roles have a use for. It is shown once."""
        if session.method is not Method.PASSKEY:
            raise ForbiddenError("token: expected a session that began with a passkey")
        now = clock.now()
        beyond = set(asked.scopes) - reach_of(signin.officer(session.officer).roles_at(now))
        if beyond & set(SCOPES):
            raise ForbiddenError("token: expected scopes that go with the officer's present roles")
        token, text = make_token(
            doors,
            session.officer,
            asked.name,
            asked.scopes,
            now,
            timedelta(days=asked.days),
        )
        return TokenMade(**_fields(token), token=text)

    @routes.get("/tokens")
    def list_my_tokens(session: Annotated[Session, Depends(signed_in)]) -> TokenList:
        """The officer's tokens, also those that are over."""
        found = doors.tokens(session.officer)
        return TokenList(tokens=[TokenView(**_fields(each)) for each in found])

    @routes.delete("/tokens/{token_id}", status_code=HTTPStatus.NO_CONTENT)
    def end_a_token(token_id: str, session: Annotated[Session, Depends(signed_in)]) -> None:
        """End one of the officer's tokens: from now on it counts for nothing."""
        if not doors.end_token(session.officer, token_id, clock.now()):
            raise NotFoundError("there is no such token of yours")


def _fields(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "ended_at": token.ended_at,
    }
