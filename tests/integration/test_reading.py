"""What makes reading over HTTP quick changes nothing of what is answered, and to whom."""

import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import ResponseValidationError
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.routing import Match

from api import wiring
from api.cli.witness import listening
from api.http.caller import Caller, Reader
from api.http.records import Alive
from api.http.routes import Routes, Signpost
from api.tokens import digest_of
from evidence_store.cooperation.registry import OfficerEntry, OfficerRole, Validity, document_of
from evidence_store.identifiers import AuthorityId
from evidence_store.moment import Moment
from tests.doors import Doors, doors  # noqa: F401 - a fixture
from tests.served import Served


def test_the_body_of_an_answer_does_not_wait_for_word_that_its_head_came() -> None:
    with listening("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


# ------------------------------------------------------------------------ who may be told what


def test_nobody_is_told_what_is_wrong_with_a_request_before_it_is_known_who_asks(
    doors: Doors,  # noqa: F811 - the fixture
) -> None:
    wrong = "/v1/items?limit=0"
    assert doors("prosecutor", "GET", wrong).status_code == 422
    nobody = doors(None, "GET", wrong)
    assert nobody.status_code == 401
    assert "limit" not in nobody.text
    other = {"Authorization": f"Bearer {doors.token('prosecutor', 'upload')}"}
    assert doors.client.get(wrong, headers=other).status_code == 403
    assert doors.client.get("/v1/items?limit=1", headers=other).status_code == 403


def test_a_route_that_does_not_examine_claims_gets_a_caller(doors: Doors) -> None:  # noqa: F811 - the fixture
    asked: list[object] = []

    def asks(caller: Reader) -> None:
        asked.append(caller)

    async def waits(caller: Reader) -> None:
        asked.append(caller)

    app = doors.client.app
    assert isinstance(app, FastAPI)
    plain, ours = APIRouter(), Routes()
    plain.get("/v1/asks")(asks)
    ours.get("/v1/asks-here")(asks)
    ours.get("/v1/waits")(waits)
    app.include_router(plain)
    app.router.routes.extend(ours.routes)
    for path in ("/v1/asks", "/v1/asks-here", "/v1/waits"):
        assert doors(None, "GET", path).status_code == 401
        assert doors("prosecutor", "GET", path).status_code == 200
    assert [type(each) for each in asked] == [Caller] * 3


# ----------------------------------------------------------------------------- routes, answers


def test_the_signpost_leads_where_a_search_of_all_routes_ends(doors: Doors) -> None:  # noqa: F811 - the fixture
    app = doors.client.app
    assert isinstance(app, FastAPI)
    signpost, *routes = app.router.routes
    assert isinstance(signpost, Signpost)
    asked = [each for each in routes if isinstance(each, APIRoute) and ":" not in each.path]
    assert len(asked) > 80
    for route in asked:
        for method in route.methods or ():
            scope = _scope(method, re.sub(r"\{[^}]*\}", "SI-2026-000001", route.path))
            first = next(each for each in routes if each.matches(scope)[0] is Match.FULL)
            found, child = signpost.matches(scope)
            assert (found, child["route"]) == (Match.FULL, first)


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/items/", "//v1/items"])
def test_the_signpost_leads_nobody_astray(path: str, doors: Doors) -> None:  # noqa: F811 - the fixture
    app = doors.client.app
    assert isinstance(app, FastAPI)
    assert app.router.routes[0].matches(_scope("GET", path)) == (Match.NONE, {})


def test_who_asks_by_the_wrong_method_is_told_the_right_ones(doors: Doors) -> None:  # noqa: F811 - the fixture
    answer = doors("prosecutor", "DELETE", "/v1/items")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_an_answer_that_is_not_as_declared_is_not_given() -> None:
    routes, app = Routes(), FastAPI()

    @routes.get("/right", response_model=Alive)
    def right() -> dict[str, Any]:
        return {"status": "alive", "secret": "not declared"}

    @routes.get("/wrong", response_model=Alive)
    def wrong() -> dict[str, Any]:
        return {"status": None}

    app.router.routes.extend(routes.routes)
    with TestClient(app) as client:
        assert client.get("/right").json() == {"status": "alive"}
        with pytest.raises(ResponseValidationError):
            client.get("/wrong")


def _scope(method: str, path: str) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": [], "root_path": ""}


# ---------------------------------------------------------------------------------- revocation


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """Two processes that serve one instance."""
    settings = {}
    if request.param == "postgresql":
        settings["database_url"] = request.getfixturevalue("postgresql_url")
    one = Served(tmp_path / "home", tokens_sign_for_officers=True, **settings)
    one.start()
    other = one.beside()
    yield one, other
    one.kill()
    other.kill()


def test_what_is_revoked_in_one_process_counts_in_no_other_at_the_next_request(
    two: tuple[Served, Served],
) -> None:
    """Nothing of who calls is kept from one request to the next."""
    one, other = two
    for each in (one, other, one, other):
        assert each.asked("GET", "/v1/cases", "b-central").status_code == 200
    with closing(wiring.open_instance(one.home, lambda: b"")) as third:
        now = third.clock.now()
        token = third.doors.token(digest_of(one.tokens["b-central"]))
        assert token is not None
        assert third.doors.end_token(token.officer, token.id, now)
    for each in (one, other):
        assert each.asked("GET", "/v1/cases", "b-central").status_code == 401

    with closing(wiring.open_instance(one.home, lambda: b"")) as third:
        kept = third.doors.token(digest_of(one.tokens["prosecutor"]))
    assert kept is not None
    assert other.asked("GET", "/v1/cases").status_code == 200
    shown = one.asked("GET", f"/v1/officers/{kept.officer}", "second")
    gone = OfficerEntry(
        kept.officer,
        "prosecutor",
        AuthorityId(shown.json()["authority"]),
        {OfficerRole.PROSECUTOR: Validity(Moment.parse("2020Z"), Moment.parse("2021Z"))},
    )
    body = {"entry": document_of(gone)}
    made = one.asked("POST", "/v1/registry", "registrar", json=body)
    assert made.status_code == 201, made.text
    approval = f"/v1/registry/changes/{made.json()['change']}/approval"
    assert other.asked("GET", "/v1/cases").status_code == 200  # it does not count yet
    assert one.asked("POST", approval, "second", headers={"If-Match": "*"}).status_code == 200
    for each in (other, one):
        assert each.asked("GET", "/v1/cases").status_code == 401
