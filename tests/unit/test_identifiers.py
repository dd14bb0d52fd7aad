import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.errors import MalformedError
from evidence_store.identifiers import CaseId, Ern, ObjectName, PersonCode, Role, StateCode

STATES = st.from_regex("[A-Z]{2}", fullmatch=True).map(StateCode)
SERIALS = st.integers(1, 10**12 - 1)


@given(st.builds(Ern, STATES, st.integers(1900, 9999), SERIALS))
def test_parse_and_str_of_an_ern_are_inverses(ern: Ern) -> None:
    assert Ern.parse(str(ern)) == ern


@given(st.builds(CaseId, STATES, SERIALS))
def test_parse_and_str_of_a_case_are_inverses(case_id: CaseId) -> None:
    assert CaseId.parse(str(case_id)) == case_id


@given(st.builds(PersonCode, st.sampled_from(Role), SERIALS))
def test_parse_and_str_of_a_person_are_inverses(code: PersonCode) -> None:
    assert PersonCode.parse(str(code)) == code


def test_an_ern_is_written_as_the_field_writes_it() -> None:
    assert str(Ern(StateCode("SI"), 2026, 123)) == "SI-2026-000123"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SI-2026-123",
        "SI-2026-0000123",
        "SI-2026-000000",
        "si-2026-000123",
        "SI-26-000123",
        "SI-1899-000123",
        "SI-2026-000123 ",
        "SI-2026-000123\n",
        "SI-2026-00012\N{ARABIC-INDIC DIGIT THREE}",
        "SVN-2026-000123",
        "SI-2026-000123'; DROP TABLE item; --",
    ],
)
def test_an_ern_has_one_spelling_only(text: str) -> None:
    with pytest.raises(MalformedError):
        Ern.parse(text)


def test_erns_sort_by_state_year_and_serial_also_past_six_digits() -> None:
    numbers = ["SI-2025-999999", "SI-2026-000002", "SI-2026-999999", "SI-2026-1000000"]
    assert sorted(map(Ern.parse, reversed(numbers))) == [Ern.parse(each) for each in numbers]


@pytest.mark.parametrize("text", ["SI-CASE-1", "SI-CASE-0000", "SI-CASE-00001", "CASE-0001"])
def test_a_case_has_one_spelling_only(text: str) -> None:
    with pytest.raises(MalformedError):
        CaseId.parse(text)


@pytest.mark.parametrize("text", ["COL-1", "XXX-0001", "col-0001", "COL-0000"])
def test_a_person_has_one_spelling_only(text: str) -> None:
    with pytest.raises(MalformedError):
        PersonCode.parse(text)


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "ab" * 15, "AB" * 16, "ab" * 16 + "/"])
def test_an_object_name_can_be_no_path(text: str) -> None:
    with pytest.raises(MalformedError):
        ObjectName(text)
