"""Once for a key, whatever fails: an outage holds no key for long, and what was done is never done again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from httpx2 import Response

from api.http import conditions
from evidence_store.errors import CatalogBusyError
from storage.catalog.doors import SqlDoorStore
from tests.doors import Doors, doors  # noqa: F401 - a fixture

Draft = Callable[[], Response]


def fails(*_: object, **__: object) -> None:
    raise CatalogBusyError("the database is locked")


def dies(*_: object, **__: object) -> None:
    raise RuntimeError("the process is gone")


@pytest.fixture
def draft(doors: Doors) -> Draft:  # noqa: F811 - the fixture
    body = {"to": doors.world.home.value, "document": {"kind": "training"}}
    key = {"Idempotency-Key": "a"}
    return lambda: doors("b-prosecutor", "POST", "/v1/requests", json=body, headers=key)


def drafts(doors: Doors) -> list[Any]:  # noqa: F811 - the fixture's value
    found: list[Any] = doors("b-prosecutor", "GET", "/v1/requests").json()["entries"]
    return found


def test_a_key_that_could_not_be_let_go_of_is_free_when_its_claim_has_run_out(
    doors: Doors,  # noqa: F811 - the fixture
    draft: Draft,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as outage:
        outage.setattr(SqlDoorStore, "drop_answer", fails)
        for name in ("write", "act"):
            outage.setattr(type(doors.instance.catalog), name, fails)
        failed = draft()
    assert (failed.status_code, failed.headers["retry-after"]) == (503, "5")
    held = draft()
    assert (held.status_code, held.headers["retry-after"]) == (409, "5")
    monkeypatch.setattr(conditions, "CLAIM", timedelta(0))
    assert draft().status_code == 201
    assert len(drafts(doors)) == 1


def test_what_was_done_is_answered_although_its_answer_cannot_be_kept_and_is_not_done_again(
    doors: Doors,  # noqa: F811 - the fixture
    draft: Draft,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as outage:
        outage.setattr(SqlDoorStore, "keep_answer", fails)
        assert draft().status_code == 201
    monkeypatch.setattr(conditions, "CLAIM", timedelta(0))
    again = draft()
    assert again.status_code == 409
    assert "this was done" in again.json()["detail"]
    assert "/v1/requests" in again.json()["detail"]
    assert len(drafts(doors)) == 1


def test_what_failed_after_it_was_done_is_not_done_again(
    doors: Doors,  # noqa: F811 - the fixture
    draft: Draft,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if the process died between the act and its answer."""
    with monkeypatch.context() as crash:
        crash.setattr(SqlDoorStore, "keep_answer", dies)
        assert draft().status_code == 500
    monkeypatch.setattr(conditions, "CLAIM", timedelta(0))
    assert draft().status_code == 409
    assert len(drafts(doors)) == 1
