import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.canonical import Json, canonical, parse_canonical
from evidence_store.errors import MalformedError

KEYS = st.text(st.characters(max_codepoint=127))
LEAVES: st.SearchStrategy[Json] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
INNER: st.SearchStrategy[Json] = (
    LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(KEYS, LEAVES, max_size=3)
)
VALUES: st.SearchStrategy[Json] = (
    INNER | st.lists(INNER, max_size=3) | st.dictionaries(KEYS, INNER, max_size=3)
)


@given(st.dictionaries(KEYS, VALUES))
def test_canonical_json_is_that_of_rfc_8785(value: dict[str, Json]) -> None:
    content = canonical(value)
    assert content == rfc8785.dumps(value)
    assert parse_canonical(content, "value") == value


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"a":1.5}', b'{"a":1,"a":1}', b'{ "a":1}', b'{"b":1,"a":1}', b'{"a":1e2}', b'{"a":NaN}', b"\xff", b'{"\xc3\xa9":1}'],
)  # fmt: skip
def test_what_is_not_canonical_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_canonical(content, "value")


@pytest.mark.parametrize(
    "value", [1.5, 2**53, {"é": 1}, {1: 1}, "\ud800", [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]
)
def test_what_languages_read_differently_is_not_written(value: object) -> None:
    with pytest.raises(MalformedError):
        canonical({"a": value})  # type: ignore[dict-item] # that is the point
