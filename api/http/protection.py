"""Protective measures and joint teams over HTTP: the same steps as on the command line."""

from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api import cooperation
from api.http.caller import Caller, Granter, Reader
from api.http.conditions import (
    KeyHeader,
    MatchHeader,
    creates,
    etag_of,
    insist_unchanged,
    once,
)
from api.http.evidence import ErnPath
from api.http.knowing import hidden, insist_at_work, is_at_work, is_own
from api.http.paging import After, Limit, link_next
from api.http.problems import problems
from api.http.records import DossierPage, MeasurePage, MeasureView, TeamView
from api.http.routes import Routes
from api.http.settling import settled
from api.spelling import rfc3339
from evidence_store.cooperation.registry import OfficerRole
from evidence_store.errors import NotFoundError
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, Ern
from evidence_store.ports import CatalogReader
from evidence_store.protecting import decide_measure, request_measure
from evidence_store.sharing.measure import Measure, MeasureType, measure_of
from evidence_store.teaming import Team, carry_on, propose_team, team

MeasurePath = Annotated[str, Path(examples=["SI-MSR-000001"], max_length=32)]
TeamPath = Annotated[str, Path(examples=["SI-JIT-000001"], max_length=32)]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
Versions = Annotated[
    list[Annotated[int, Field(ge=1, le=10_000)]],
    Field(max_length=100, description="The versions that satisfy it.", examples=[[2]]),
]
DECIDERS = {OfficerRole.JUDGE, OfficerRole.PROTECTION}
Record = dict[str, Any]


class MeasureAsked(BaseModel):
    """A measure that is asked for."""

    item: Annotated[str, Field(max_length=32, examples=["SI-2026-000123"])]
    type: Annotated[MeasureType, Field(examples=["redaction"])]
    satisfied_by: Versions = Field(default_factory=list)
    reason: Text


class MeasureStep(BaseModel):
    """A measure that is ordered, rejected, varied, continued or lifted."""

    act: Annotated[str, Field(max_length=20, examples=["ordered"])]
    satisfied_by: Versions = Field(default_factory=list)
    reason: Text


class TeamAsked(BaseModel):
    """A joint team that is proposed."""

    parties: Annotated[list[str], Field(min_length=1, max_length=50, examples=[["a", "b"]])]
    purpose: Text
    rules: Annotated[str, Field(min_length=1, max_length=4000, description="Of evidence.")]
    valid_from: Annotated[str | None, Field(max_length=40)] = None
    valid_until: Annotated[str, Field(max_length=40, examples=["2028Z"])]


class TeamStep(BaseModel):
    """A team that is signed, left or ended."""

    act: Annotated[str, Field(max_length=20, examples=["signed"])]
    reason: Annotated[str, Field(max_length=4000)] = ""


def protection_routes() -> Routes:
    """The routes, under `/v1`."""
    routes = Routes(prefix="/v1", responses=problems(304, 409, 412, 428))
    _measures(routes)
    _teams(routes)
    return routes


def _measures(routes: Routes) -> None:
    @routes.get("/items/{ern}/measures", tags=["protection"], response_model=MeasurePage)
    def list_measures(caller: Reader, ern: ErnPath) -> Record:
        """The measures on an item, the newest first: for the State whose it is."""
        item = Ern.parse(ern)
        desk = caller.desk
        with caller.instance.catalog.read() as reader, hidden(item):
            insist_at_work(caller)
            if not is_own(reader, caller, reader.item(item)):
                raise NotFoundError("not own")
            rows = [
                _measure_row(each.id, measure_of(desk.chains.steps(reader, each.id)))
                for each in reader.dossiers.tagged(DossierKind.MEASURE, "item", str(item))
            ]
        return {"measures": rows, "next_cursor": None}

    @routes.post(
        "/measures",
        tags=["protection"],
        status_code=201,
        response_model=MeasureView,
        responses=creates("get_measure", "identifier", "measure", "/v1/measures/SI-MSR-000001"),
    )
    def ask_for_measure(caller: Granter, body: MeasureAsked, key: KeyHeader = None) -> Response:
        """Ask for a protective measure on an item. Another officer orders it."""

        def made() -> Record:
            item = Ern.parse(body.item)
            with hidden(item):
                dossier = request_measure(
                    caller.desk, item, body.type, body.satisfied_by, body.reason
                )
            return settled(caller, _measure(caller, dossier))

        return once(caller, key, "measures", body, made, "/v1/measures/{measure}")

    @routes.get("/measures/{identifier}", tags=["protection"], response_model=MeasureView)
    def get_measure(caller: Reader, identifier: MeasurePath, response: Response) -> Record:
        """A measure: for the State whose item it is on."""
        dossier = DossierId.parse(identifier, DossierKind.MEASURE)
        found = _measure(caller, dossier)
        response.headers["ETag"] = etag_of(caller, dossier)
        return found

    @routes.post("/measures/{identifier}/steps", tags=["protection"], response_model=MeasureView)
    def take_measure_step(
        caller: Granter, identifier: MeasurePath, body: MeasureStep, if_match: MatchHeader = None
    ) -> Record:
        """Order, reject, vary, continue or lift a measure, as the authority whose it is."""
        dossier = DossierId.parse(identifier, DossierKind.MEASURE)
        _measure(caller, dossier)
        insist_unchanged(caller, dossier, if_match)
        decide_measure(caller.desk, dossier, body.act, body.satisfied_by, body.reason)
        return settled(caller, _measure(caller, dossier))


def _teams(routes: Routes) -> None:
    @routes.get("/teams", tags=["teams"], response_model=DossierPage)
    def list_teams(
        request: Request,
        caller: Reader,
        response: Response,
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The joint teams that the officer's authority is a party of."""
        desk = caller.desk
        with caller.instance.catalog.read() as reader:
            found = sorted(
                reader.dossiers.tagged(DossierKind.TEAM, "party", desk.authority.value),
                key=lambda each: str(each.id),
            )
            found = found if is_at_work(caller) else []
        rest = [each for each in found if after is None or str(each.id) > after]
        cursor = str(rest[limit - 1].id) if len(rest) > limit else None
        rows = [
            {
                "id": str(each.id),
                "state": each.state,
                "from": each.owner.value,
                "to": None,
                "changed_at": rfc3339(each.changed_at),
            }
            for each in rest[:limit]
        ]
        return {"entries": rows, "next_cursor": link_next(request, response, cursor)}

    @routes.post(
        "/teams",
        tags=["teams"],
        status_code=201,
        response_model=TeamView,
        responses=creates("get_team", "identifier", "team", "/v1/teams/SI-JIT-000001"),
    )
    def propose_joint_team(caller: Granter, body: TeamAsked, key: KeyHeader = None) -> Response:
        """Propose a joint team, and sign it as its leader; it is active when all have signed."""

        def made() -> Record:
            period = cooperation.validity(body.valid_from, body.valid_until, caller.instance)
            parties = [AuthorityId(each) for each in body.parties]
            dossier = propose_team(caller.desk, parties, body.purpose, body.rules, period)
            return settled(caller, _team(caller, dossier))

        return once(caller, key, "teams", body, made, "/v1/teams/{team}")

    @routes.get("/teams/{identifier}", tags=["teams"], response_model=TeamView)
    def get_team(caller: Reader, identifier: TeamPath, response: Response) -> Record:
        """A joint team, for one of its parties."""
        dossier = DossierId.parse(identifier, DossierKind.TEAM)
        found = _team(caller, dossier)
        response.headers["ETag"] = etag_of(caller, dossier)
        return found

    @routes.post("/teams/{identifier}/steps", tags=["teams"], response_model=TeamView)
    def take_team_step(
        caller: Granter, identifier: TeamPath, body: TeamStep, if_match: MatchHeader = None
    ) -> Record:
        """Sign, leave or end a team, as one of its parties."""
        dossier = DossierId.parse(identifier, DossierKind.TEAM)
        _team(caller, dossier)
        insist_unchanged(caller, dossier, if_match)
        carry_on(caller.desk, dossier, body.act, body.reason)
        return settled(caller, _team(caller, dossier))


def _measure(caller: Caller, dossier: DossierId) -> Record:
    with caller.instance.catalog.read() as reader, hidden(dossier):
        insist_at_work(caller)
        found = measure_of(caller.desk.chains.steps(reader, dossier))
        if not _of_own_state(reader, caller, found):
            raise NotFoundError("not own")
        return _measure_row(dossier, found)


def _of_own_state(reader: CatalogReader, caller: Caller, found: Measure) -> bool:
    """Whether the officer knows the item, or is one who decides on measures of this authority."""
    desk = caller.desk
    roles = desk.registry(reader).officer(desk.officer).roles_at(desk.now)
    if found.issuer == desk.authority and roles & DECIDERS:
        return True
    return is_own(reader, caller, reader.item(found.ern))


def _measure_row(dossier: DossierId, found: Measure) -> Record:
    return {
        "measure": str(dossier),
        "item": str(found.ern),
        "type": found.type.value,
        "state": found.state,
        "issuer": found.issuer.value,
        "satisfied_by": sorted(found.satisfied_by),
    }


def _team(caller: Caller, dossier: DossierId) -> Record:
    desk = caller.desk
    with caller.instance.catalog.read() as reader, hidden(dossier):
        insist_at_work(caller)
        found: Team = team(reader, desk.chains, dossier, desk.authority)
    return {
        "team": str(dossier),
        "state": found.state,
        "leader": found.leader.value,
        "parties": [each.value for each in found.parties],
        "signed": sorted(each.value for each in found.signed),
        "left": sorted(each.value for each in found.left),
    }
