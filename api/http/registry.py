"""The registry over HTTP: States, institutions, authorities, officers, and its changes by two people.

As it is, as it was known at a time (`known_at`), and with what was valid at an instant (`at`).
Officers are shown by code, without names, but to the officers of the registry in a change.
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, Field

from api import cooperation
from api.http.caller import Caller, ForbiddenError, Reader, Registrar
from api.http.conditions import KeyHeader, MatchHeader, creates, etag_of, insist_unchanged, once
from api.http.integrity import etag_of_bytes
from api.http.knowing import hidden, is_home
from api.http.paging import After, Limit, link_next
from api.http.problems import problems
from api.http.records import (
    AuthorityPage,
    AuthorityView,
    ChangeMade,
    ChangePage,
    ChangeView,
    EntryPage,
    InstitutionPage,
    OfficerPage,
    OfficerView,
    StatePage,
    StateView,
)
from api.http.routes import Routes
from api.http.settling import settled
from api.spelling import rfc3339
from api.views import entry_row
from evidence_store.cooperation.registry import (
    AuthorityEntry,
    EntryKind,
    OfficerEntry,
    OfficerRole,
    document_of,
    entry_of,
)
from evidence_store.errors import NotFoundError
from evidence_store.identifiers import DossierId, DossierKind
from evidence_store.ports import CatalogReader
from evidence_store.registering import (
    Recorded,
    Registry,
    approve,
    entries_known,
    new_officer_code,
    propose,
    reject,
)

ChangePath = Annotated[str, Path(examples=["SI-REG-000002"], max_length=32)]
Key = Annotated[str, Path(max_length=80)]
At = Annotated[
    AwareDatetime | None, Query(description="Which roles were valid then; by default now.")
]
KnownAt = Annotated[
    AwareDatetime | None, Query(description="As the registry was known then; by default now.")
]
Record = dict[str, Any]


class Entry(BaseModel):
    """A registry entry, whole; an officer's `code` may be left out for a new officer."""

    entry: Record = Field(
        examples=[
            {"entry": "state", "code": "XB", "name": "Bravo", "kind": "state", "languages": ["en"]}
        ]
    )


class Reason(BaseModel):
    """Why."""

    reason: Annotated[str, Field(min_length=1, max_length=4000)]


def registry_routes() -> Routes:
    """The routes, under `/v1`."""
    routes = Routes(prefix="/v1", tags=["registry"], responses=problems(304, 409, 412, 428))
    _changes(routes)
    _proposals(routes)
    _generic(routes)
    _states(routes)
    _authorities(routes)
    _officers(routes)
    return routes


def _states(routes: Routes) -> None:
    @routes.get("/states", response_model=StatePage)
    def list_states(
        request: Request,
        caller: Reader,
        response: Response,
        known_at: KnownAt = None,
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The States, and the institutions that act beside them, by code."""
        return _listed(request, response, caller, EntryKind.STATE, "states", after, limit, known_at)

    @routes.get("/states/{code}", response_model=StateView)
    def get_state(
        caller: Reader, code: Key, response: Response, known_at: KnownAt = None
    ) -> Record:
        """A State."""
        return _single(caller, response, EntryKind.STATE, code, None, known_at)

    @routes.get("/institutions", response_model=InstitutionPage)
    def list_institutions(
        request: Request,
        caller: Reader,
        response: Response,
        known_at: KnownAt = None,
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The institutions, by identifier."""
        kind = EntryKind.INSTITUTION
        return _listed(request, response, caller, kind, "institutions", after, limit, known_at)


def _authorities(routes: Routes) -> None:
    @routes.get("/authorities", response_model=AuthorityPage)
    def list_authorities(
        request: Request,
        caller: Reader,
        response: Response,
        at: At = None,
        known_at: KnownAt = None,
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The authorities, by identifier, with what each is designated for."""
        kind = EntryKind.AUTHORITY
        return _listed(
            request, response, caller, kind, "authorities", after, limit, known_at, at=at
        )

    @routes.get("/authorities/{identifier}", response_model=AuthorityView)
    def get_authority(
        caller: Reader,
        identifier: Key,
        response: Response,
        at: At = None,
        known_at: KnownAt = None,
    ) -> Record:
        """An authority."""
        return _single(caller, response, EntryKind.AUTHORITY, identifier, at, known_at)


def _officers(routes: Routes) -> None:
    @routes.get("/officers", response_model=OfficerPage)
    def list_officers(
        request: Request,
        caller: Reader,
        response: Response,
        at: At = None,
        known_at: KnownAt = None,
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The officers, by code; without their names."""
        kind = EntryKind.OFFICER
        return _listed(request, response, caller, kind, "officers", after, limit, known_at, at=at)

    @routes.get("/officers/{code}", response_model=OfficerView)
    def get_officer(
        caller: Reader, code: Key, response: Response, at: At = None, known_at: KnownAt = None
    ) -> Record:
        """An officer, by code; without the name."""
        return _single(caller, response, EntryKind.OFFICER, code, at, known_at)


def _changes(routes: Routes) -> None:
    @routes.get("/registry/changes", response_model=ChangePage)
    def list_changes(
        request: Request,
        caller: Registrar,
        response: Response,
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The changes of the registry, and where each stands: for its officers."""
        with caller.instance.catalog.read() as reader:
            _insist_registrar(reader, caller)
            page = reader.dossiers.dossiers(DossierKind.REGISTRY, after=after, limit=limit)
        rows = [
            {"change": str(each.id), "state": each.state, "made_at": rfc3339(each.made_at)}
            for each in page.entries
        ]
        return {"changes": rows, "next_cursor": link_next(request, response, page.after)}

    @routes.get("/registry/changes/{change}", response_model=ChangeView)
    def get_change(caller: Registrar, change: ChangePath, response: Response) -> Record:
        """A change, whole: for the officers of the registry, one of whom is to approve it."""
        dossier = DossierId.parse(change, DossierKind.REGISTRY)
        with caller.instance.catalog.read() as reader:
            _insist_registrar(reader, caller)
            with hidden(dossier):
                found = reader.dossiers.dossier(dossier)
                first = caller.desk.chains.steps(reader, dossier)[0]
        response.headers["ETag"] = etag_of(caller, dossier)
        listed = first.private.get("entries")
        return {
            "change": str(dossier),
            "state": found.state,
            "made_at": rfc3339(found.made_at),
            "proposed_by": str(first.officer),
            "entries": listed if isinstance(listed, list) else [],
        }


def _proposals(routes: Routes) -> None:
    @routes.post(
        "/registry",
        status_code=201,
        response_model=ChangeMade,
        responses=creates("get_change", "change", "change", "/v1/registry/changes/SI-REG-000002"),
    )
    def propose_entry(caller: Registrar, body: Entry, key: KeyHeader = None) -> Response:
        """Propose an entry. It counts when another officer of the registry has approved it."""

        def made() -> Record:
            desk, document = caller.desk, dict(body.entry)
            with desk.catalog.read() as reader:
                _insist_registrar(reader, caller)
            if document.get("entry") == "officer" and document.get("code") is None:
                document["code"] = str(new_officer_code(desk.catalog))
            entry = entry_of(document)
            change = propose(desk.catalog, desk.recorder, desk.chains, desk.officer, entry)
            shown = document_of(entry)
            return settled(caller, {"change": str(change), "state": "proposed", "entries": [shown]})

        return once(caller, key, "registry", body, made, "/v1/registry/changes/{change}")

    @routes.post("/registry/changes/{change}/approval", response_model=ChangeMade)
    def approve_change(
        caller: Registrar, change: ChangePath, if_match: MatchHeader = None
    ) -> Record:
        """Approve a change that another officer proposed."""
        desk = caller.desk
        dossier = DossierId.parse(change, DossierKind.REGISTRY)
        with desk.catalog.read() as reader:
            _insist_registrar(reader, caller)
        with hidden(dossier):
            insist_unchanged(caller, dossier, if_match)
            made = approve(desk.catalog, desk.recorder, desk.chains, desk.officer, dossier)
        cooperation.give_keys(caller.instance, made)
        shown = [document_of(each) for each in made]
        return settled(caller, {"change": change, "state": "approved", "entries": shown})

    @routes.post("/registry/changes/{change}/rejection", response_model=ChangeMade)
    def reject_change(
        caller: Registrar, change: ChangePath, body: Reason, if_match: MatchHeader = None
    ) -> Record:
        """Reject a change, or withdraw one's own."""
        desk = caller.desk
        dossier = DossierId.parse(change, DossierKind.REGISTRY)
        with desk.catalog.read() as reader:
            _insist_registrar(reader, caller)
        with hidden(dossier):
            insist_unchanged(caller, dossier, if_match)
            reject(desk.catalog, desk.recorder, desk.chains, desk.officer, dossier, body.reason)
        return settled(caller, {"change": change, "state": "rejected"})


def _generic(routes: Routes) -> None:
    @routes.get("/registry/{kind}", response_model=EntryPage)
    def list_entries(
        request: Request,
        caller: Reader,
        kind: EntryKind,
        response: Response,
        known_at: KnownAt = None,
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The registry's entries of a kind, by key; officers without their names.

        Assignments are told to the officers of the registry; everybody else reads their own. Field
        keys are told to officers of the instance's State.
        """
        return _listed(request, response, caller, kind, "entries", after, limit, known_at)


def _listed(  # noqa: PLR0913 - one parameter for each thing that a list goes by
    request: Request,
    response: Response,
    caller: Caller,
    kind: EntryKind,
    name: str,
    after: str | None,
    limit: int,
    known_at: datetime | None,
    *,
    at: datetime | None = None,
) -> Record:
    with caller.instance.catalog.read() as reader:
        found, cursor = entries_known(
            reader,
            caller.chains,
            caller.officer,
            kind,
            at=caller.instance.clock.now(),
            after=after,
            limit=limit,
            known_at=known_at,
        )
    rows = [_row(caller, each, at) for each in found]
    return {name: rows, "next_cursor": link_next(request, response, cursor)}


def _single(
    caller: Caller,
    response: Response,
    kind: EntryKind,
    key: str,
    at: datetime | None,
    known_at: datetime | None,
) -> Record:
    with caller.instance.catalog.read() as reader:
        found = Registry(reader, caller.chains, known_at).find(kind, key)
    if found is None:
        raise NotFoundError(f"there is no such {kind}")
    row = _row(caller, found, at)
    response.headers["ETag"] = etag_of_bytes(repr(row).encode())
    return row


def _row(caller: Caller, found: Recorded, at: datetime | None) -> Record:
    row: Record = dict(entry_row(found))
    if isinstance(found.entry, AuthorityEntry | OfficerEntry):
        instant = at or caller.instance.clock.now()
        row["roles_at"] = sorted(each.value for each in found.entry.roles_at(instant))
    return row


def _insist_registrar(reader: CatalogReader, caller: Caller) -> None:
    desk = caller.desk
    roles = desk.registry(reader).officer(desk.officer).roles_at(desk.now)
    if OfficerRole.REGISTRY not in roles or not is_home(reader, caller):
        raise ForbiddenError("registry: expected one of its officers")
