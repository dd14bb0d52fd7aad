"""How States find each other over HTTP: hit or no hit, and statements by blinded identifiers."""

from datetime import date
from typing import Annotated, Any

from fastapi.responses import Response
from pydantic import BaseModel, Field

from api import cooperation
from api.http.caller import Caller, Requester
from api.http.conditions import KeyHeader, once
from api.http.knowing import hidden
from api.http.problems import problems
from api.http.records import Answered, IndexEntry, IndexState, StatementView
from api.http.routes import Routes
from api.http.settling import settled
from evidence_store.finding import (
    Answer,
    Criteria,
    Identity,
    enter,
    look_up_person,
    register_statement,
    search,
    withhold,
)
from evidence_store.identifiers import Ern
from evidence_store.provider import Purpose

ItemNamed = Annotated[str, Field(max_length=32, examples=["SI-2026-000123"])]
Record = dict[str, Any]


class Sought(BaseModel):
    """No closer than a district and a month."""

    crime: Annotated[str, Field(min_length=1, max_length=200, examples=["attack on civilians"])]
    district: Annotated[str, Field(min_length=1, max_length=200, examples=["Brod"])]
    month: Annotated[str, Field(max_length=7, examples=["2022-03"])]
    event: Annotated[str, Field(max_length=200)] = ""

    def criteria(self) -> Criteria:
        """As the rules have it."""
        return Criteria(self.crime, self.district, self.month, self.event)


class EntryAsked(Sought):
    """An item that is entered."""

    item: ItemNamed


class SearchAsked(Sought):
    """A search, with its purpose."""

    purpose: Annotated[Purpose, Field(examples=["prosecution"])]


class WithholdingAsked(BaseModel):
    """An item that is withheld from the index, or found again."""

    item: ItemNamed
    withheld: bool = True


class Person(BaseModel):
    """A name with a date of birth, or a document's number. Blinded at once, and never kept."""

    name: Annotated[str, Field(max_length=400)] = ""
    born: date | None = None
    paper: Annotated[str, Field(max_length=100)] = ""

    def identity(self) -> Identity:
        """As the rules have it."""
        return Identity(self.name, self.born, self.paper)


class StatementAsked(Person):
    """Who gave the statement that an item is."""

    item: ItemNamed


class LookupAsked(Person):
    """A question about a person, with its reasons."""

    reason: Annotated[str, Field(min_length=1, max_length=4000)]


def finding_routes() -> Routes:
    """The routes, under `/v1`."""
    routes = Routes(prefix="/v1", tags=["finding"], responses=problems(409))

    @routes.post("/index/entries", status_code=201, response_model=IndexEntry)
    def enter_in_index(caller: Requester, body: EntryAsked, key: KeyHeader = None) -> Response:
        """Enter an item, so that other States can learn whom to ask."""

        def made() -> Record:
            item = Ern.parse(body.item)
            with hidden(item):
                dossier = enter(caller.desk, item, body.criteria())
            row = {"entry": str(dossier), "item": str(item), "state": "entered"}
            return settled(caller, row)

        return once(caller, key, "index", body, made)

    @routes.post("/index/withholdings", response_model=IndexState)
    def withhold_from_index(caller: Requester, body: WithholdingAsked) -> Record:
        """Withhold an item from the index, or let it be found again."""
        item = Ern.parse(body.item)
        with hidden(item):
            changed = withhold(caller.desk, item, withheld=body.withheld)
        state = "withheld" if body.withheld else "entered"
        return settled(caller, {"item": str(item), "entries": changed, "state": state})

    @routes.post("/index/searches", response_model=Answered)
    def search_index(caller: Requester, body: SearchAsked) -> Record:
        """Ask whether another authority has something, and whom to ask. It is recorded and counted."""
        return _answered(caller, search(caller.desk, body.criteria(), body.purpose))

    @routes.post("/statements", status_code=201, response_model=StatementView)
    def register_person_statement(caller: Requester, body: StatementAsked) -> Response:
        """Say that a person gave a statement; only blinded identifiers are kept.

        Takes no `Idempotency-Key`: what is kept under one is a plain digest of the request, and would
        tell who gave the statement to whoever guesses names.
        """

        def made() -> Record:
            item, blinding = Ern.parse(body.item), cooperation.blinding(caller.instance)
            with hidden(item):
                dossier = register_statement(caller.desk, blinding, body.identity(), item)
            return settled(caller, {"statement": str(dossier), "item": str(item)})

        return once(caller, None, "statements", body, made)

    @routes.post("/statements/lookups", response_model=Answered)
    def look_up_statement(caller: Requester, body: LookupAsked) -> Record:
        """Ask, as a protection unit, whether a person has given a statement: whom to ask."""
        blinding = cooperation.blinding(caller.instance)
        return _answered(
            caller, look_up_person(caller.desk, blinding, body.identity(), body.reason)
        )

    return routes


def _answered(caller: Caller, found: Answer) -> Record:
    ask = [each.value for each in found.ask]
    return settled(caller, {"search": str(found.search), "hit": found.hit, "ask": ask})
