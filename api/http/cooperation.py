"""Requests, grants and consents over HTTP: the same steps as on the command line."""

from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api import cooperation
from api.http.caller import Caller, Granter, Reader, Requester
from api.http.conditions import (
    KeyHeader,
    MatchHeader,
    creates,
    etag_of,
    insist_unchanged,
    once,
)
from api.http.knowing import (
    dossiers_sided,
    grant_sided,
    hidden,
    insist_at_work,
    is_at_work,
    request_sided,
)
from api.http.paging import After, Limit, link_next
from api.http.problems import problems
from api.http.records import (
    ConsentView,
    DossierPage,
    GrantView,
    KindPage,
    RequestView,
)
from api.http.routes import Routes
from api.http.settling import settled
from api.http.signing import StepAnswer, StepToSign, answered, asked, insist_may_do_without
from api.views import consent_row, dossier_row, grant_row, kind_row, request_row
from evidence_store.canonical import canonical
from evidence_store.cooperation.kind import kinds
from evidence_store.cooperation.registry import Channel
from evidence_store.cooperation.request import RefusalGround
from evidence_store.desk import Desk
from evidence_store.errors import OutOfOrderError
from evidence_store.granting import (
    accept_grant,
    answer_consent,
    ask_consent,
    consent,
    declare,
    give_assurance,
    grant,
    notify_charge,
    offer_grant,
    propose_grant,
    review,
)
from evidence_store.granting import step as grant_step
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, Ern
from evidence_store.moment import Moment
from evidence_store.requesting import (
    advance,
    amend,
    certify,
    draft,
    execute,
    postpone,
    refuse,
    sign,
    step,
    transmit,
    what_is_missing,
)
from evidence_store.sharing.consent import Subject
from evidence_store.sharing.terms import Assurance, purpose

Text = Annotated[str, Field(min_length=1, max_length=4000)]
Short = Annotated[str, Field(min_length=1, max_length=128)]
RequestPath = Annotated[str, Path(examples=["SI-REQ-000001"], max_length=32)]
GrantPath = Annotated[str, Path(examples=["SI-GRT-000001"], max_length=32)]
ConsentPath = Annotated[str, Path(examples=["SI-CNS-000001"], max_length=32)]
GRANT_BY_HAND = frozenset({"offered", "accepted"})  # both sides sign the terms
Record = dict[str, Any]


class Draft(BaseModel):
    """A request that is drafted: to whom, and its document."""

    to: Short
    document: Record


class Document(BaseModel):
    """A document, written anew."""

    document: Record


class RequestStep(BaseModel):
    """A step of a request, with what it says."""

    act: Annotated[str, Field(examples=["acknowledged"], max_length=64)]
    note: Annotated[str, Field(max_length=4000)] = ""
    channel: Channel = Channel.ELECTRONIC
    ground: RefusalGround | None = None
    until: Annotated[str | None, Field(max_length=40)] = None
    step: Annotated[str | None, Field(max_length=64)] = None
    statements: dict[str, str] = Field(default_factory=dict)
    form: Annotated[str | None, Field(max_length=64)] = None
    items: Annotated[list[str], Field(max_length=1000)] = Field(default_factory=list)


class GrantStep(BaseModel):
    """A step of a grant, with what it says."""

    act: Annotated[str, Field(examples=["revoked"], max_length=64)]
    terms: Annotated[str | None, Field(max_length=64)] = None
    reason: Annotated[str | None, Field(max_length=4000)] = None
    assurance: Assurance | None = None
    charges: Annotated[list[str], Field(max_length=100)] = Field(default_factory=list)
    charge: Annotated[str | None, Field(max_length=400)] = None
    offence: Annotated[str | None, Field(max_length=400)] = None
    declaration: Annotated[str | None, Field(max_length=40)] = None


class ConsentAsked(BaseModel):
    """A consent that is asked for."""

    subject: Subject
    reason: Text
    grant: Annotated[str | None, Field(max_length=32)] = None
    to: Annotated[str | None, Field(max_length=64)] = None
    purposes: Annotated[list[str], Field(max_length=20)] = Field(default_factory=list)
    items: Annotated[list[str], Field(max_length=1000)] = Field(default_factory=list)


class ConsentAnswer(BaseModel):
    """A consent that is given, refused, withdrawn or dropped."""

    act: Annotated[str, Field(examples=["given"], max_length=20)]
    reason: Text


def cooperation_routes() -> Routes:
    """The routes, under `/v1`."""
    routes = Routes(prefix="/v1", responses=problems(304, 409, 412, 428))
    _requests(routes)
    _grants(routes)
    _grant_steps(routes)
    _consents(routes)
    return routes


def _requests(routes: Routes) -> None:
    @routes.get("/request-kinds", tags=["requests"], response_model=KindPage)
    def list_request_kinds(caller: Reader) -> Record:
        """The fourteen kinds of assistance, each with its fields, papers, steps and rules."""
        del caller
        return {"kinds": [dict(kind_row(each)) for each in kinds().values()], "next_cursor": None}

    @routes.get("/requests", tags=["requests"], response_model=DossierPage)
    def list_requests(
        request: Request,
        caller: Reader,
        response: Response,
        received: Annotated[bool, Query()] = False,  # noqa: FBT002 - a query parameter
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The requests of the officer's authority: those made, or those received."""
        found = _dossiers(caller, DossierKind.REQUEST, after, limit, received=received)
        link_next(request, response, found["next_cursor"])
        return found

    @routes.post(
        "/requests",
        tags=["requests"],
        status_code=201,
        response_model=RequestView,
        responses=creates("get_request", "identifier", "request", "/v1/requests/XB-REQ-000001"),
    )
    def draft_request(caller: Requester, body: Draft, key: KeyHeader = None) -> Response:
        """Draft a request; what is missing before it may be sent is listed."""

        def made() -> Record:
            canonical(body.document)
            dossier = draft(caller.desk, AuthorityId(body.to), body.document)
            return settled(caller, _request(caller, dossier))

        return once(caller, key, "requests", body, made, "/v1/requests/{request}")

    @routes.get("/requests/{identifier}", tags=["requests"], response_model=RequestView)
    def get_request(caller: Reader, identifier: RequestPath, response: Response) -> Record:
        """A request, for one of its two sides."""
        dossier = DossierId.parse(identifier, DossierKind.REQUEST)
        found = _request(caller, dossier)
        response.headers["ETag"] = etag_of(caller, dossier)
        return found

    @routes.put("/requests/{identifier}/document", tags=["requests"], response_model=RequestView)
    def amend_request(
        caller: Requester, identifier: RequestPath, body: Document, if_match: MatchHeader = None
    ) -> Record:
        """Write a draft anew."""
        canonical(body.document)
        dossier = DossierId.parse(identifier, DossierKind.REQUEST)
        _request(caller, dossier)
        insist_unchanged(caller, dossier, if_match)
        amend(caller.desk, dossier, body.document)
        return settled(caller, _request(caller, dossier))

    @routes.post("/requests/{identifier}/steps", tags=["requests"], response_model=RequestView)
    def take_request_step(
        caller: Requester, identifier: RequestPath, body: RequestStep, if_match: MatchHeader = None
    ) -> Record:
        """Take a step: signed, transmitted, acknowledged, execution_begun, and so on."""
        dossier = DossierId.parse(identifier, DossierKind.REQUEST)
        _request(caller, dossier)
        insist_unchanged(caller, dossier, if_match)
        _take_request_step(caller, dossier, body)
        return settled(caller, _request(caller, dossier))


def _take_request_step(caller: Caller, dossier: DossierId, body: RequestStep) -> None:
    desk = caller.desk
    match body.act:
        case "signed":
            sign(desk, dossier)
        case "transmitted":
            transmit(desk, dossier, body.channel)
        case "refused" if body.ground is not None:
            refuse(desk, dossier, body.ground, body.note)
        case "postponed" if body.until is not None:
            postpone(desk, dossier, Moment.parse(body.until), body.note)
        case "advanced" if body.step is not None:
            advance(desk, dossier, body.step, body.statements)
        case "certified" if body.form is not None:
            certify(
                desk, dossier, body.form, body.statements, [Ern.parse(each) for each in body.items]
            )
        case "executed":
            execute(desk, dossier)
        case act:
            step(desk, dossier, act, {}, {"note": body.note})


def _grants(routes: Routes) -> None:
    @routes.get("/grants", tags=["grants"], response_model=DossierPage)
    def list_grants(
        request: Request,
        caller: Reader,
        response: Response,
        received: Annotated[bool, Query()] = False,  # noqa: FBT002 - a query parameter
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The grants of the officer's authority: those given, or those received."""
        found = _dossiers(caller, DossierKind.GRANT, after, limit, received=received)
        link_next(request, response, found["next_cursor"])
        return found

    @routes.post(
        "/grants",
        tags=["grants"],
        status_code=201,
        response_model=GrantView,
        responses=creates("get_grant", "identifier", "grant", "/v1/grants/SI-GRT-000001"),
    )
    def propose_terms(caller: Granter, body: Document, key: KeyHeader = None) -> Response:
        """Propose a grant, with its terms as a document. Another officer offers it."""

        def made() -> Record:
            desk = caller.desk
            canonical(body.document)
            terms = cooperation.terms_for(body.document, desk)
            dossier = propose_grant(desk, terms, cooperation.refused_in(body.document))
            return settled(caller, _grant(caller, dossier))

        return once(caller, key, "grants", body, made, "/v1/grants/{grant}")

    @routes.get("/grants/{identifier}", tags=["grants"], response_model=GrantView)
    def get_grant(caller: Reader, identifier: GrantPath, response: Response) -> Record:
        """A grant, for one of its two sides."""
        dossier = DossierId.parse(identifier, DossierKind.GRANT)
        found = _grant(caller, dossier)
        response.headers["ETag"] = etag_of(caller, dossier)
        return found


def _grant_steps(routes: Routes) -> None:
    @routes.post("/grants/{identifier}/steps", tags=["grants"], response_model=GrantView)
    def take_grant_step(
        caller: Granter, identifier: GrantPath, body: GrantStep, if_match: MatchHeader = None
    ) -> Record:
        """Take a step: offered, accepted (with the terms' digest), revoked and so on."""
        dossier = DossierId.parse(identifier, DossierKind.GRANT)
        _grant(caller, dossier)
        insist_unchanged(caller, dossier, if_match)
        if body.act in GRANT_BY_HAND:
            insist_may_do_without(caller)
        _take_grant_step(caller.desk, dossier, body)
        return settled(caller, _grant(caller, dossier))

    @routes.post("/grants/{identifier}/steps/signing", tags=["grants"])
    def prepare_grant_step(
        caller: Granter, identifier: GrantPath, body: GrantStep, if_match: MatchHeader = None
    ) -> StepToSign:
        """What the officer's passkey is to sign so that a step is taken."""
        dossier = DossierId.parse(identifier, DossierKind.GRANT)
        _grant(caller, dossier)
        insist_unchanged(caller, dossier, if_match)
        return asked(caller, str(dossier), body, lambda desk: _take_grant_step(desk, dossier, body))

    @routes.post("/grants/{identifier}/steps/signed", tags=["grants"], response_model=GrantView)
    def sign_grant_step(caller: Granter, identifier: GrantPath, body: StepAnswer) -> Record:
        """Take the step that was prepared, with the passkey's answer."""
        dossier = DossierId.parse(identifier, DossierKind.GRANT)
        _grant(caller, dossier)
        answered(
            caller,
            body,
            str(dossier),
            GrantStep,
            lambda desk, step: _take_grant_step(desk, dossier, step),
        )
        return settled(caller, _grant(caller, dossier))


def _take_grant_step(desk: Desk, dossier: DossierId, body: GrantStep) -> None:
    match body.act:
        case "offered":
            offer_grant(desk, dossier)
        case "accepted":
            accept_grant(desk, dossier, body.terms or "")
        case "assurance_given" if body.assurance is not None:
            give_assurance(desk, dossier, body.assurance, body.charges)
        case "charge_notified" if body.charge and body.offence:
            notify_charge(desk, dossier, body.charge, body.offence)
        case "expired":
            _insist_over(desk, dossier)
            grant_step(desk, dossier, "expired")
        case "declared":
            declare(desk, dossier, body.declaration or "", body.reason or "")
        case act:
            grant_step(desk, dossier, act, {}, body.reason)


def _insist_over(desk: Desk, dossier: DossierId) -> None:
    """Insist that the grant's time is over: nobody ends it earlier in its own name."""
    with desk.catalog.read() as reader:
        last = grant(reader, desk.chains, dossier, desk.authority).terms.valid_until.earliest
    if last is not None and last > desk.now:
        raise OutOfOrderError("grant: it is valid still; it can be suspended or revoked")


def _consents(routes: Routes) -> None:
    @routes.get("/consents", tags=["consents"], response_model=DossierPage)
    def list_consents(
        request: Request,
        caller: Reader,
        response: Response,
        received: Annotated[bool, Query()] = False,  # noqa: FBT002 - a query parameter
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The consents that the officer's authority asked for, or those that it is asked."""
        found = _dossiers(caller, DossierKind.CONSENT, after, limit, received=received)
        link_next(request, response, found["next_cursor"])
        return found

    @routes.post(
        "/consents",
        tags=["consents"],
        status_code=201,
        response_model=ConsentView,
        responses=creates("get_consent", "identifier", "consent", "/v1/consents/SI-CNS-000001"),
    )
    def ask_for_consent(caller: Granter, body: ConsentAsked, key: KeyHeader = None) -> Response:
        """Ask for a consent: to onward sharing, to another purpose, of a provider."""

        def made() -> Record:
            dossier = ask_consent(
                caller.desk,
                body.subject,
                body.reason,
                of=None if body.grant is None else DossierId.parse(body.grant, DossierKind.GRANT),
                to=None if body.to is None else AuthorityId(body.to),
                purposes=[purpose(each) for each in body.purposes],
                items=[Ern.parse(each) for each in body.items],
            )
            return settled(caller, _consent(caller, dossier))

        return once(caller, key, "consents", body, made, "/v1/consents/{consent}")

    @routes.get("/consents/{identifier}", tags=["consents"], response_model=ConsentView)
    def get_consent(caller: Reader, identifier: ConsentPath, response: Response) -> Record:
        """A consent, for one of its two sides."""
        dossier = DossierId.parse(identifier, DossierKind.CONSENT)
        found = _consent(caller, dossier)
        response.headers["ETag"] = etag_of(caller, dossier)
        return found

    @routes.post("/consents/{identifier}/answer", tags=["consents"], response_model=ConsentView)
    def answer(
        caller: Granter,
        identifier: ConsentPath,
        body: ConsentAnswer,
        if_match: MatchHeader = None,
    ) -> Record:
        """Give, refuse, withdraw or drop a consent."""
        dossier = DossierId.parse(identifier, DossierKind.CONSENT)
        _consent(caller, dossier)
        insist_unchanged(caller, dossier, if_match)
        answer_consent(caller.desk, dossier, body.act, body.reason)
        return settled(caller, _consent(caller, dossier))


def _dossiers(
    caller: Caller, kind: DossierKind, after: str | None, limit: int, *, received: bool
) -> Record:
    desk = caller.desk
    with caller.instance.catalog.read() as reader:
        if not is_at_work(caller):
            return {"entries": [], "next_cursor": None}
        page = dossiers_sided(reader, kind, desk.authority, after, limit, received=received)
    return {"entries": [dossier_row(each) for each in page.entries], "next_cursor": page.after}


def _request(caller: Caller, dossier: DossierId) -> Record:
    desk = caller.desk
    with caller.instance.catalog.read() as reader, hidden(dossier):
        insist_at_work(caller)
        found = request_sided(reader, desk.chains, dossier, desk.authority).at(desk.now)
        missing = (
            what_is_missing(reader, desk.chains, found, desk.now, Channel.ELECTRONIC.value)
            if found.state in {"draft", "signed"}
            else []
        )
    return dict(request_row(dossier, found, missing))


def _grant(caller: Caller, dossier: DossierId) -> Record:
    desk = caller.desk
    with caller.instance.catalog.read() as reader, hidden(dossier):
        insist_at_work(caller)
        found = grant_sided(reader, desk.chains, dossier, desk.authority)
        ours = found.state == "under_review" and desk.authority == found.terms.grantor
        missing = review(reader, desk.chains, desk, found) if ours else []
    return {**grant_row(dossier, found), "missing": missing}


def _consent(caller: Caller, dossier: DossierId) -> Record:
    desk = caller.desk
    with caller.instance.catalog.read() as reader, hidden(dossier):
        insist_at_work(caller)
        return dict(consent_row(dossier, consent(reader, desk.chains, dossier, desk.authority)))
