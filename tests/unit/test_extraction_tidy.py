"""What files say becomes claims: JSON, clean, bounded."""

import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.claims import SET_BYTES_MAX, ClaimSet, Reading
from ingest.extraction.tidy import DEPTH_MAX, TEXT_CHARACTERS_MAX, clean, decoded, tidy

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary(max_size=40)
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters()), ANYTHING, max_size=8))
def test_whatever_a_parser_returns_becomes_json_that_the_ground_accepts(
    values: dict[str, object],
) -> None:
    tidied, _ = tidy(values)
    claims = ClaimSet("tool", "1", Reading.READ, tidied)
    encoded = json.dumps(claims.to_json(), ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert ClaimSet.from_json(json.loads(encoded)) == claims


@given(st.dictionaries(st.text(st.characters()), ANYTHING, max_size=8))
def test_tidying_twice_changes_nothing(values: dict[str, object]) -> None:
    once, _ = tidy(values)
    assert tidy(once) == (once, False)


@given(st.text(st.characters()))
def test_clean_text_has_no_controls_and_no_surrogates(text: str) -> None:
    cleaned = clean(text)
    assert not any(ord(each) < 32 or 0x7F <= ord(each) < 0xA0 for each in cleaned)
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned


@given(st.binary(max_size=200))
def test_bytes_of_any_encoding_become_text(raw: bytes) -> None:
    assert "\0" not in decoded(raw)


@pytest.mark.parametrize(
    ("found", "claim"),
    [
        ("two\r\n\tlines", "two lines"),
        ("bell\a", "bell\N{REPLACEMENT CHARACTER}"),
        ("annex\u202egpj.exe", "annex\N{REPLACEMENT CHARACTER}gpj.exe"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
        ("a\u200cb\u200f", "a\u200cb\u200f"),
        (b"Zapisnik \xc5\xa1t. 7\0junk", "Zapisnik št. 7"),
        (b"caf\xe9", "café"),
        (float("nan"), None),
        (float("inf"), None),
        (2**64, "0x10000000000000000"),
        (datetime(2024, 3, 14, 10, 22, tzinfo=UTC), "2024-03-14T10:22:00+00:00"),
        (date(2024, 3, 14), "2024-03-14"),
        ((1, 2), [1, 2]),
    ],
)
def test_values_of_the_world_have_one_form_as_claims(found: object, claim: object) -> None:
    assert tidy({"name": found}) == ({"name": claim}, False)


def test_a_long_text_is_cut_and_said_to_be() -> None:
    values, is_cut = tidy({"notes": "x" * (TEXT_CHARACTERS_MAX + 1)})
    assert is_cut
    assert values == {"notes": "x" * TEXT_CHARACTERS_MAX}


@pytest.mark.parametrize(
    "values",
    [
        {str(number): "š" * 100 for number in range(10_000)},
        {"listing": ["x" * 100] * 100_000},
        {"listing": [[]] * 1_000_000},
        {"listing": [True] * 1_000_000},
        {"listing": [{"\U0001f4a3" * 400: 1}] * 10_000},
    ],
)
def test_no_set_of_claims_exceeds_its_bound(values: dict[str, object]) -> None:
    tidied, is_cut = tidy(values)
    assert is_cut
    assert len(json.dumps(tidied)) <= SET_BYTES_MAX


def test_nesting_ends_somewhere() -> None:
    nested: object = "deep"
    for _ in range(DEPTH_MAX + 5):
        nested = {"inner": nested}
    values, is_cut = tidy({"outer": nested})
    assert is_cut
    assert "deep" not in json.dumps(values)
