"""One rule for all words that are signed, whichever door they come by."""

import pytest

from evidence_store.errors import MalformedError
from evidence_store.identifiers import Ern
from evidence_store.ledger.event import Draft
from evidence_store.wording import TEXT_CHARACTERS_MAX, named, stated

ITEM = Ern.parse("SI-2026-000001")


@pytest.mark.parametrize(
    "text", ["", " ", "x" * (TEXT_CHARACTERS_MAX + 1), "\udcff", "a\x1b[2J", "gpj.\u202eexe"]
)
@pytest.mark.parametrize("name", ["officer", "place", "purpose", "note", "carrier"])
def test_no_act_is_signed_with_words_that_say_nothing_or_mislead(name: str, text: str) -> None:
    with pytest.raises(MalformedError, match=name):
        Draft(ITEM, "moved", {}, {name: text})


@pytest.mark.parametrize("seals", [[""], ["A-1", " "]])
def test_a_seal_without_a_number_is_no_seal(seals: list[str]) -> None:
    with pytest.raises(MalformedError, match="seals"):
        Draft(ITEM, "sealed", {"seals": [*seals]})


@pytest.mark.parametrize("text", ["a\nb", "a\tb", "a\u2028b", "a\u2066b"])
def test_a_name_is_one_line(text: str) -> None:
    with pytest.raises(MalformedError, match="U\\+"):
        Draft(ITEM, "moved", {}, {"officer": text})
    with pytest.raises(MalformedError, match="title"):
        named(text, "title")


def test_a_note_may_have_lines_and_a_name_the_letters_of_any_script() -> None:
    Draft(
        ITEM,
        "moved",
        {},
        {"note": "first\nsecond", "officer": "\u0639\u0644\u06cc\u200c\u200f \u0160"},
    )


def test_a_files_own_name_is_kept_whatever_it_is() -> None:
    Draft(ITEM, "registered", {}, {"source_name": "odd\nname\u202e"})


def test_unknown_is_offered_where_it_is_an_answer_and_nowhere_else() -> None:
    with pytest.raises(MalformedError, match="unknown"):
        stated("", "place", unknown=True)
    with pytest.raises(MalformedError, match=r"^reason: is empty; it must be stated$"):
        stated("", "reason")
