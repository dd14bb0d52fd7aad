"""The doors to sign-in: JSON in, a cookie out. Which session, and whether, is for `api.signin`.

A link's token comes in a body and never in an address, which would stand in logs and histories.
Every change must come from the application's own pages, whether somebody has signed in or not:
otherwise another site could sign its visitors in as somebody else.
"""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.openapi.models import APIKey
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, ConfigDict, Field

from api.http.caller import insist_same_origin
from api.http.oidc import Entered, Federation, add_providers
from api.http.problems import problems
from api.http.rates import Rate, network_of
from api.http.records import Me
from api.http.tokens import add_tokens
from api.signin import SESSION_LIFE, SignIn
from evidence_store.accounts import Enrolment, Method, Session
from evidence_store.doors import DoorStore
from evidence_store.errors import UnauthenticatedError
from evidence_store.identifiers import PersonCode, Role
from evidence_store.ports import Clock

TRIES_MAX = 60  # of one network in a minute: an office has one address
SECURE_COOKIE, PLAIN_COOKIE = "__Host-session", "session"
Credential = Annotated[
    dict[str, Any], Field(description="As `PublicKeyCredential.toJSON()` spells it.")
]
LinkToken = Annotated[str, Field(max_length=200)]
PasswordText = Annotated[str, Field(max_length=1024)]
Code = Annotated[str, Field(max_length=16)]


class PasskeyAsked(BaseModel):
    """For whom; nobody in particular, if a resident key is to answer."""

    officer: str | None = Field(default=None, examples=["OFF-0001"])


class PasskeyOptions(BaseModel):
    """What `navigator.credentials.get` is to be asked (WebAuthn, PublicKeyCredentialRequestOptions)."""

    model_config = ConfigDict(extra="allow")
    challenge: str = Field(description="Base64url, as everything of bytes here.")


class PasskeyAnswer(BaseModel):
    """A passkey's answer."""

    credential: Credential


class PasswordAnswer(BaseModel):
    """The fallback: what the officer knows, and the code that is shown now."""

    officer: str = Field(examples=["OFF-0001"])
    password: PasswordText
    code: Code


class Link(BaseModel):
    """A one-time link's token."""

    token: LinkToken


class EnrolPasskey(Link):
    """A new passkey."""

    credential: Credential
    name: str = Field(max_length=100, examples=["Security key, blue"])


class EnrolPassword(Link):
    """The fallback: a password, and the first code of the secret that was offered."""

    password: PasswordText
    challenge: str = Field(max_length=200)
    code: Code


class EnrolmentAsked(BaseModel):
    """Who is to be let in, or in again."""

    officer: str = Field(examples=["OFF-0001"])


class SessionView(BaseModel):
    """A session of the officer's."""

    id: str
    method: Method
    agent: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    current: bool


class SessionList(BaseModel):
    """The officer's sessions that count now."""

    sessions: list[SessionView]


class EnrolmentMade(BaseModel):
    """An enrolment. The token is shown this once, and opens nothing until another confirms."""

    id: str
    officer: str
    token: str
    expires_at: datetime


class EnrolmentView(BaseModel):
    """An enrolment that is open: for whom, and who said so."""

    id: str
    officer: str
    issued_by: str
    confirmed_by: str | None
    expires_at: datetime


class EnrolmentList(BaseModel):
    """The enrolments that are neither used nor over."""

    enrolments: list[EnrolmentView]


class EnrolmentConfirmed(BaseModel):
    """An enrolment that counts now."""

    id: str
    officer: str
    issued_by: str
    expires_at: datetime


class OfferedCodes(BaseModel):
    """A secret for one-time codes, and the challenge to send back with the first code."""

    secret: str
    uri: str
    challenge: str


class EnrolOptions(BaseModel):
    """What `navigator.credentials.create` is to be asked; `totp` where the fallback is offered."""

    passkey: dict[str, Any]
    totp: OfferedCodes | None


class Enrolled(BaseModel):
    """What the officer signs in with from now on."""

    officer: str
    method: Method


def session_reader(signin: SignIn, *, secure: bool) -> Callable[[Request], Session | None]:
    """`session_of`: the session of a request's cookie; None if there is none that counts."""
    name = _cookie(secure=secure)

    def session_of(request: Request) -> Session | None:
        token = request.cookies.get(name)
        return None if token is None else signin.session(token)

    return session_of


class SignedIn(SecurityBase):
    """A dependency: the session of whoever has signed in. To OpenAPI it is the cookie."""

    def __init__(self, session_of: Callable[[Request], Session | None], *, secure: bool) -> None:
        self._session_of = session_of
        self.scheme_name = "session"
        said = (
            "The session of an officer who has signed in: a cookie, of a browser at this "
            "application's own pages."
        )
        self.model = APIKey.model_validate(
            {"in": "cookie", "name": _cookie(secure=secure), "description": said}
        )

    def __call__(self, request: Request) -> Session:
        """The session.

        Raises:
            UnauthenticatedError: if there is none that counts.
        """
        found = self._session_of(request)
        if found is None:
            raise UnauthenticatedError("sign in")
        return found


def signin_routes(
    signin: SignIn, doors: DoorStore, clock: Clock, federation: Federation, *, secure: bool
) -> APIRouter:
    """Every route of sign-in. `secure` is False on a loopback without encryption, and there only."""
    rate = Rate(TRIES_MAX)
    routes = APIRouter(
        prefix="/v1",
        tags=["sign-in"],
        responses=problems(409),
        dependencies=[Depends(insist_same_origin), Depends(_unkept)],
    )
    session_of = session_reader(signin, secure=secure)

    signed_in = SignedIn(session_of, secure=secure)

    def counted(request: Request) -> None:
        rate.take(network_of(request))

    # Whoever has not signed in can try no oftener than people do.
    open_to_all = APIRouter(dependencies=[Depends(counted)])
    entered = _add_sign_in(open_to_all, signin, session_of, secure=secure)
    add_providers(open_to_all, signin, clock, federation, entered, secure=secure)
    _add_enrolment(open_to_all, signin)
    _add_sessions(routes, signin, signed_in, secure=secure)
    _add_issuing(routes, signin, signed_in)
    add_tokens(routes, signin, doors, clock, signed_in)
    routes.include_router(open_to_all)
    return routes


def _add_sign_in(
    routes: APIRouter,
    signin: SignIn,
    session_of: Callable[[Request], Session | None],
    *,
    secure: bool,
) -> Entered:
    def entered(request: Request, response: Response, session: Session, token: str) -> Me:
        """Set the cookie: always to a new token, and the one that was there opens nothing more."""
        earlier = session_of(request)
        if earlier is not None:
            signin.sign_out(earlier)
        response.set_cookie(
            _cookie(secure=secure),
            token,
            max_age=int(SESSION_LIFE.total_seconds()),
            path="/",
            secure=secure,
            httponly=True,
            samesite="lax",
        )
        return _me(signin, session)

    @routes.post("/session/passkey/options")
    def ask_passkey(asked: PasskeyAsked) -> PasskeyOptions:
        """What `navigator.credentials.get` is to be asked. Says nothing of whether there is such."""
        officer = None if asked.officer is None else PersonCode.parse(asked.officer, Role.OFFICER)
        return PasskeyOptions(**signin.passkey_options(officer))

    @routes.post("/session/passkey")
    def sign_in_by_passkey(answer: PasskeyAnswer, request: Request, response: Response) -> Me:
        """Sign in by passkey."""
        session, token = signin.by_passkey(answer.credential, _agent(request))
        return entered(request, response, session, token)

    @routes.post("/session/password")
    def sign_in_by_password(answer: PasswordAnswer, request: Request, response: Response) -> Me:
        """Sign in by password and one-time code, where that is offered. The weaker way."""
        session, token = signin.by_password(
            PersonCode.parse(answer.officer, Role.OFFICER),
            answer.password,
            answer.code,
            _agent(request),
        )
        return entered(request, response, session, token)

    return entered


def _add_sessions(
    routes: APIRouter, signin: SignIn, signed_in: Callable[[Request], Session], *, secure: bool
) -> None:
    def left(response: Response) -> None:
        response.delete_cookie(
            _cookie(secure=secure), path="/", secure=secure, httponly=True, samesite="lax"
        )

    @routes.get("/session")
    def who_am_i(session: Annotated[Session, Depends(signed_in)]) -> Me:
        """Who has signed in."""
        return _me(signin, session)

    @routes.delete("/session", status_code=HTTPStatus.NO_CONTENT)
    def sign_out(session: Annotated[Session, Depends(signed_in)], response: Response) -> None:
        """Sign out: whoever has the token has nothing any more."""
        signin.sign_out(session)
        left(response)

    @routes.get("/sessions")
    def list_sessions(session: Annotated[Session, Depends(signed_in)]) -> SessionList:
        """The officer's sessions."""
        found = signin.sessions(session.officer)
        return SessionList(sessions=[_view(each, session) for each in found])

    @routes.delete("/sessions", status_code=HTTPStatus.NO_CONTENT)
    def end_sessions(session: Annotated[Session, Depends(signed_in)], response: Response) -> None:
        """End all of the officer's sessions, this one too."""
        signin.end_all(session.officer)
        left(response)

    @routes.delete("/sessions/{session_id}", status_code=HTTPStatus.NO_CONTENT)
    def end_session(session_id: str, session: Annotated[Session, Depends(signed_in)]) -> None:
        """End one of the officer's sessions."""
        signin.end(session.officer, session_id)


def _add_issuing(
    routes: APIRouter, signin: SignIn, signed_in: Callable[[Request], Session]
) -> None:
    @routes.post("/enrolments", status_code=HTTPStatus.CREATED)
    def issue_enrolment(
        asked: EnrolmentAsked, session: Annotated[Session, Depends(signed_in)]
    ) -> EnrolmentMade:
        """Issue a one-time link for an officer. For officers of the registry.

        It ends every other link of that officer's that is open.
        """
        made, token = signin.issue(session.officer, PersonCode.parse(asked.officer, Role.OFFICER))
        return EnrolmentMade(
            id=made.id, officer=str(made.officer), token=token, expires_at=made.expires_at
        )

    @routes.get("/enrolments")
    def list_enrolments(session: Annotated[Session, Depends(signed_in)]) -> EnrolmentList:
        """The links that are open, and for whom: to be looked at before one is confirmed."""
        found = signin.enrolments(session.officer)
        return EnrolmentList(enrolments=[_enrolment_view(each) for each in found])

    @routes.delete("/enrolments/{enrolment_id}", status_code=HTTPStatus.NO_CONTENT)
    def cancel_enrolment(
        enrolment_id: str, session: Annotated[Session, Depends(signed_in)]
    ) -> None:
        """Cancel a link that is open: from now on it opens nothing."""
        signin.cancel(session.officer, enrolment_id)

    @routes.post("/enrolments/{enrolment_id}/confirmation")
    def confirm_enrolment(
        enrolment_id: str, session: Annotated[Session, Depends(signed_in)]
    ) -> EnrolmentConfirmed:
        """Confirm a link that another officer of the registry issued."""
        found = signin.confirm(session.officer, enrolment_id)
        return EnrolmentConfirmed(
            id=found.id,
            officer=str(found.officer),
            issued_by=str(found.issued_by),
            expires_at=found.expires_at,
        )


def _add_enrolment(routes: APIRouter, signin: SignIn) -> None:
    @routes.post("/enrol/options")
    def ask_enrolment(link: Link) -> EnrolOptions:
        """What the link's officer can enrol."""
        passkey, codes = signin.enrol_options(link.token)
        offered = None
        if codes is not None:
            offered = OfferedCodes(secret=codes.secret, uri=codes.uri, challenge=codes.challenge)
        return EnrolOptions(passkey=passkey, totp=offered)

    @routes.post("/enrol", status_code=HTTPStatus.CREATED)
    def enrol_passkey(answer: EnrolPasskey) -> Enrolled:
        """Enrol a passkey: the officer's only way in from now on. Sessions and tokens are ended."""
        made = signin.enrol_passkey(answer.token, answer.credential, answer.name)
        return Enrolled(officer=str(made.officer), method=Method.PASSKEY)

    @routes.post("/enrol/password", status_code=HTTPStatus.CREATED)
    def enrol_password(answer: EnrolPassword) -> Enrolled:
        """Enrol a password and one-time codes, where that is offered."""
        officer = signin.enrol_password(
            answer.token, answer.password, answer.challenge, answer.code
        )
        return Enrolled(officer=str(officer), method=Method.PASSWORD)


def _cookie(*, secure: bool) -> str:
    # The prefix makes a browser refuse the cookie from a subdomain or over plain HTTP (RFC 6265bis).
    return SECURE_COOKIE if secure else PLAIN_COOKIE


def _unkept(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "")


def _me(signin: SignIn, session: Session) -> Me:
    return Me(
        officer=str(session.officer),
        authority=str(signin.officer(session.officer).authority),
        method=session.method,
        expires_at=session.expires_at,
    )


def _enrolment_view(found: Enrolment) -> EnrolmentView:
    return EnrolmentView(
        id=found.id,
        officer=str(found.officer),
        issued_by=str(found.issued_by),
        confirmed_by=None if found.confirmed_by is None else str(found.confirmed_by),
        expires_at=found.expires_at,
    )


def _view(session: Session, current: Session) -> SessionView:
    return SessionView(
        id=session.id,
        method=session.method,
        agent=session.agent,
        created_at=session.created_at,
        seen_at=session.seen_at,
        expires_at=session.expires_at,
        current=session.id == current.id,
    )
