"""The custody report: for a person, on paper, and harmless whatever the events say."""

from collections.abc import Mapping
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from evidence_store.canonical import Json
from evidence_store.custody.act import Act, ActType
from evidence_store.custody.timeline import history
from evidence_store.digest import fingerprint
from evidence_store.identifiers import AuthorityId
from evidence_store.package.findings import LIMITS, Finding, Outcome, Question
from evidence_store.package.report import ItemStory, ShownVersion, report_page
from tests.packages import START, VIDEO

POLICE = AuthorityId("police")
ABOUT = {"made_at": "2026-03-14T09:00:00+00:00", "by": "SI, Police & Co", "package": "07" * 16}
HOSTILE = "<script>alert(1)</script>\"'&"


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def act(
    kind: ActType,
    seq: int,
    data: Mapping[str, Json] | None = None,
    private: Mapping[str, Json] | None = None,
) -> Act:
    return Act(kind, seq, POLICE, START + timedelta(minutes=seq), data or {}, private or {})


def page(*acts: Act, findings: tuple[Finding, ...] = ()) -> Page:
    known = fingerprint([b"content"])
    versions = (ShownVersion(1, "original", known, included=True),)
    story = ItemStory(VIDEO, history(acts), versions)
    return Page(report_page(ABOUT, [story], findings))


REGISTERED = act(
    ActType.REGISTERED, 1, {"seals": ["A-1"], "kind": "photo"}, {"place": "Brod", "officer": "A"}
)


def test_it_tells_what_the_item_is_who_held_it_and_which_seals_it_bore() -> None:
    text = page(REGISTERED, act(ActType.EXPORTED, 2)).text
    for told in (
        str(VIDEO), fingerprint([b"content"]).sha256.hex, "Brod", "A-1", "police", "exported",
        "2026-03-14 09:01:00 UTC", "Police & Co",
    ):  # fmt: skip
        assert told in text


def test_a_gap_is_shown() -> None:
    assert "events 2 to 4 are missing" in page(REGISTERED, act(ActType.EXPORTED, 5)).text


def test_a_seal_that_was_not_intact_is_shown() -> None:
    check = act(ActType.SEAL_CHECKED, 2, {"seals": ["A-1"], "check": "broken"})
    assert "found broken" in page(REGISTERED, check).text


def test_what_it_does_not_show_is_said() -> None:
    text = page(REGISTERED).text
    assert all(limit in text for limit in LIMITS)


def test_what_verification_found_is_told_where_it_is_known() -> None:
    finding = Finding(Question.CHAIN, Outcome.REFUTED, str(VIDEO), "its end is missing")
    text = page(REGISTERED, findings=(finding,)).text
    assert "What verification found" in text
    assert "its end is missing" in text
    assert "What verification found" not in page(REGISTERED).text


@pytest.mark.parametrize(
    "story",
    [
        act(ActType.REGISTERED, 1, {"seals": [HOSTILE]}),
        act(ActType.REGISTERED, 1, {"seals": ["A"], "check": HOSTILE}),
        act(ActType.REGISTERED, 1, {}, {HOSTILE: "x"}),
        act(ActType.REGISTERED, 1, {}, {"place": HOSTILE}),
        act(ActType.REGISTERED, 1, {}, {"note": [HOSTILE, {HOSTILE: HOSTILE}]}),
    ],
    ids=["a seal", "a check", "a field's name", "a field", "a field within"],
)
def test_no_word_of_an_event_becomes_markup(story: Act) -> None:
    shown = page(story)
    assert "script" not in shown.tags
    assert "alert(1)" in shown.text


def test_no_word_of_a_finding_becomes_markup() -> None:
    finding = Finding(Question.BAG, Outcome.REFUTED, HOSTILE, HOSTILE)
    assert "script" not in page(REGISTERED, findings=(finding,)).tags


def test_it_needs_nothing_from_outside_and_says_its_language() -> None:
    shown = page(REGISTERED)
    assert not {"script", "link", "img", "iframe", "object"} & set(shown.tags)
    assert not {"src", "href", "onload", "style"} & {name for name, _ in shown.attributes}
    assert ("lang", "en") in shown.attributes
    assert b"url(" not in report_page(ABOUT, [])
    assert b"@import" not in report_page(ABOUT, [])
