"""Cases, and what is registered without bytes: physical exhibits.

Who opens a case is assigned to it like everybody else, by two officers of the registry.
"""

from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api.cli.asserted import Statement
from api.cli.receipts import last_receipt
from api.cli.show import item_detail
from api.http.caller import Caller, Reader, Uploader
from api.http.conditions import KeyHeader, creates, once
from api.http.integrity import etag_of_bytes
from api.http.knowing import hidden, insist_at_work, is_at_work, is_home
from api.http.paging import After, Limit, link_next
from api.http.problems import problems
from api.http.records import CasePage, CaseView, ExhibitView
from api.http.routes import Routes
from api.spelling import rfc3339
from api.uploading import UPLOADERS
from evidence_store.cooperation.registry import OfficerRole, member
from evidence_store.errors import NotFoundError, OutOfOrderError
from evidence_store.identifiers import CaseId
from evidence_store.intake import register_exhibit
from evidence_store.item import Case
from evidence_store.kinds import EvidenceKind, checked_fields
from evidence_store.moment import UNKNOWN, Moment
from evidence_store.ports import CatalogReader
from evidence_store.provider import ProviderTerms, Purpose
from evidence_store.wording import named, stated

OPENERS = (
    OfficerRole.PROSECUTOR,
    OfficerRole.INVESTIGATOR,
    OfficerRole.CENTRAL,
    OfficerRole.REGISTRY,
)
CasePath = Annotated[str, Path(examples=["SI-CASE-0007"], max_length=32)]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
Record = dict[str, Any]


class CaseAsked(BaseModel):
    """A case that is to be opened."""

    title: Annotated[
        str,
        Field(
            min_length=1, max_length=400, description="No names of witnesses.", examples=["Brod"]
        ),
    ]
    reference: Annotated[
        str | None, Field(max_length=200, description="The authority's own number.")
    ] = None


class Terms(BaseModel):
    """What the provider allows."""

    may_see: Annotated[list[str], Field(min_length=1, max_length=100, examples=[["SI"]])]
    purposes: Annotated[list[Purpose], Field(min_length=1, max_length=20)]
    until: Annotated[str, Field(max_length=40, examples=["2030Z"])]
    ask: Text


class ExhibitAsked(BaseModel):
    """A physical exhibit, known by seals, container and condition; `unknown` where it is not known."""

    case: Annotated[str, Field(max_length=32, examples=["SI-CASE-0007"])]
    seal_numbers: Annotated[list[str], Field(min_length=1, max_length=100, examples=[["A-1177"]])]
    container: Annotated[str, Field(min_length=1, max_length=400, examples=["evidence bag"])]
    condition: Annotated[str, Field(min_length=1, max_length=400, examples=["dry, intact"])]
    method: Text
    collected_by: Annotated[
        str,
        Field(min_length=1, max_length=400, description="A name, a code or `unknown`."),
    ]
    collected_at: Annotated[str, Field(max_length=40, examples=["2026-03-14T10:22:05+01:00"])]
    place: Text = UNKNOWN
    source: Text = UNKNOWN
    title: Annotated[str | None, Field(max_length=400)] = None
    fields: Annotated[
        dict[str, str | bool | int | list[str]],
        Field(max_length=50, description="The kind's own further fields."),
    ] = Field(default_factory=dict)
    terms: Terms | None = None


def case_routes() -> Routes:
    """The routes, under `/v1`."""
    routes = Routes(prefix="/v1", tags=["evidence"], responses=problems(304, 409))

    @routes.get("/cases")
    def list_cases(
        request: Request,
        caller: Reader,
        response: Response,
        after: After = None,
        limit: Limit = 50,
    ) -> CasePage:
        """The cases that the officer needs to know, by identifier."""
        with caller.instance.catalog.read() as reader:
            found = reader.dossiers.cases_known(
                caller.officer, caller.desk.now, after=after, limit=limit
            )
        if not is_at_work(caller):
            return CasePage(cases=[], next_cursor=None)
        return CasePage(
            cases=[_case(each) for each in found.entries],
            next_cursor=link_next(request, response, found.after),
        )

    @routes.post(
        "/cases",
        status_code=201,
        response_model=CaseView,
        responses=creates("get_case", "case", "case", "/v1/cases/SI-CASE-0007"),
    )
    def open_case(caller: Uploader, body: CaseAsked, key: KeyHeader = None) -> Response:
        """Open a case. Who is to know it is for the registry, also of the officer who opens it."""
        return once(caller, key, "cases", body, lambda: _opened(caller, body), "/v1/cases/{case}")

    @routes.get("/cases/{case}")
    def get_case(caller: Reader, case: CasePath, response: Response) -> CaseView:
        """A case, for those who need to know it, and for the officers of the registry."""
        with caller.instance.catalog.read() as reader, hidden(case):
            case_id = CaseId.parse(case)
            insist_at_work(caller)
            known = reader.dossiers.cases_of(caller.officer, caller.instance.clock.now())
            if case_id not in known and not _keeps_registry(reader, caller):
                raise NotFoundError("not known")
            found = _case(reader.case(case_id))
        response.headers["ETag"] = etag_of_bytes(found.model_dump_json().encode())
        return found

    @routes.post(
        "/items",
        status_code=201,
        response_model=ExhibitView,
        responses=creates("get_item", "ern", "ern", "/v1/items/SI-2026-000123"),
    )
    def register_item(caller: Uploader, body: ExhibitAsked, key: KeyHeader = None) -> Response:
        """Register a physical exhibit: an item without bytes. What has bytes is uploaded."""
        return once(
            caller, key, "items", body, lambda: _registered(caller, body), "/v1/items/{ern}"
        )

    return routes


def _keeps_registry(reader: CatalogReader, caller: Caller) -> bool:
    roles = caller.desk.registry(reader).officer(caller.officer).roles_at(caller.desk.now)
    return OfficerRole.REGISTRY in roles and is_home(reader, caller)


def _opened(caller: Caller, body: CaseAsked) -> Record:
    title = named(body.title, "title")
    reference = None if body.reference is None else named(body.reference, "reference")
    desk = caller.desk
    with desk.catalog.write() as writer:
        desk.insist(writer, OPENERS)
        if not is_home(writer, caller):
            raise OutOfOrderError("case: only the State whose instance this is opens cases here")
        return _case(writer.open_case(title, reference, desk.now)).model_dump()


def _registered(caller: Caller, body: ExhibitAsked) -> Record:
    desk, case_id = caller.desk, CaseId.parse(body.case)
    kind = EvidenceKind.PHYSICAL_EXHIBIT
    said = Statement(
        kind=kind,
        collected_by=named(body.collected_by, "collected_by", unknown=True),
        collected_at=Moment.parse(body.collected_at).not_after(desk.now),
        method=stated(body.method, "method", unknown=True),
        place=named(body.place, "place", unknown=True),
        source=named(body.source, "source", unknown=True),
        title=None if body.title is None else named(body.title, "title"),
        fields=checked_fields(
            kind,
            {
                **body.fields,
                "seal_numbers": list(body.seal_numbers),
                "container": body.container,
                "condition": body.condition,
            },
        ),
        terms=None if body.terms is None else _terms(body.terms),
    )
    with desk.catalog.read() as reader:
        desk.insist(reader, UPLOADERS)
        if not desk.registry(reader).needs_to_know(desk.officer, case_id, desk.now):
            raise NotFoundError(f"there is no {case_id}")
    item = register_exhibit(
        desk.catalog, desk.recorder, case_id, said.asserted(caller.instance.catalog)
    )
    return {**item_detail(item), "receipt": last_receipt(caller.instance, item.ern)}


def _terms(said: Terms) -> ProviderTerms:
    return ProviderTerms(
        may_see=tuple(said.may_see),
        purposes=tuple(member(Purpose, each, "terms: purposes") for each in said.purposes),
        until=Moment.parse(said.until),
        ask=said.ask,
    )


def _case(found: Case) -> CaseView:
    return CaseView(
        case=str(found.case_id),
        title=found.title,
        reference=found.reference,
        opened_at=rfc3339(found.opened_at),
    )
