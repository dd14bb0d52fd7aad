import json

import pytest

from evidence_store.claims import SET_BYTES_MAX, ClaimSet, Reading
from evidence_store.errors import MalformedError

GOOD = ClaimSet("exifread", "3.5.1", Reading.PARTIAL, {"make": "X", "n": [1, None]}, "too many")


def test_a_set_of_claims_survives_json() -> None:
    assert ClaimSet.from_json(json.loads(json.dumps(GOOD.to_json()))) == GOOD


@pytest.mark.parametrize(
    "change",
    [
        {"tool": 7},
        {"tool_version": None},
        {"reading": "invented"},
        {"values": []},
        {"values": {1: "x"}},
        {"problem": 7},
        {"values": {"x": "y" * SET_BYTES_MAX}},
    ],
    ids=str,
)
def test_what_an_isolated_process_says_is_checked_for_form(change: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        ClaimSet.from_json({**GOOD.to_json(), **change})


@pytest.mark.parametrize("value", [None, [], "claims", {}, {"tool": "x"}], ids=str)
def test_what_is_no_set_of_claims_is_refused(value: object) -> None:
    with pytest.raises(MalformedError):
        ClaimSet.from_json(value)
