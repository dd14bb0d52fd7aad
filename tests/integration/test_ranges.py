"""Ranges: what cannot be served uses nothing up, what goes on with a cut download is one use, and names are safe."""

from datetime import timedelta
from typing import Any

import pytest
from httpx2 import Response

from api import cooperation
from api.http.evidence import disposition, safe_name
from evidence_store import accessing
from evidence_store.accessing import Question, ask, serve
from evidence_store.sharing.terms import Action
from tests.doors import Doors, doors  # noqa: F401 - a fixture
from tests.integration.test_uploads import BYTES, Client, metadata

CONTENT = bytes(range(250)) * 4


class Granted:
    """An item that Bravo may download once."""

    def __init__(self, doors: Doors, content: bytes = CONTENT) -> None:  # noqa: F811 - the fixture's value
        self.doors, self.ern = doors, doors.world.item(content)
        self.grant = doors.world.grant(doors.world.document(self.ern, downloads_max=1))

    def __call__(self, wanted: str | None = None, *, name: str = "b-central", etag: str | None = None,
                 purpose: str = "prosecution") -> Response:  # fmt: skip
        asked = {
            "item": str(self.ern), "action": "download", "purpose": purpose,
            "grant": str(self.grant),
        }  # fmt: skip
        headers = {} if wanted is None else {"Range": wanted}
        headers |= {} if etag is None else {"If-Range": etag}
        return self.doors(name, "POST", "/v1/accesses", json=asked, headers=headers)

    def record(self) -> list[dict[str, Any]]:
        found = self.doors("auditor", "GET", f"/v1/accesses?item={self.ern}").json()["accesses"]
        return [each for each in found if each["decision"] == "allow"]


@pytest.fixture
def granted(doors: Doors) -> Granted:  # noqa: F811 - the fixture
    return Granted(doors)


def test_a_range_that_cannot_be_served_is_no_access_and_uses_nothing_up(granted: Granted) -> None:
    for wanted in ("bytes=999999-", "bytes=1000-", "bytes=-0"):
        refused = granted(wanted)
        assert refused.status_code == 416
        assert refused.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert granted.record() == []
    assert granted().content == CONTENT
    assert granted().json()["rule"] == "grant-used-up"


def test_what_may_not_be_known_of_has_no_length(granted: Granted) -> None:
    assert granted("bytes=999999-", name="c-central").status_code == 404
    assert granted("bytes=999999-", purpose="trial").status_code == 403


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=-10", CONTENT[-10:]),
        ("bytes=-5000", CONTENT),
        ("BYTES=2-3", CONTENT[2:4]),
        ("bytes=990-5000", CONTENT[990:]),
    ],
)
def test_a_range_is_what_it_says(granted: Granted, wanted: str, expected: bytes) -> None:
    answer = granted(wanted)
    assert (answer.status_code, answer.content) == (206, expected)
    assert answer.headers["content-length"] == str(len(expected))


@pytest.mark.parametrize(
    "wanted",
    ["bytes=5-2", "bytes=-", "bytes=0-1,4-5", "lines=1-2", "x" * 5000, "bytes=0-" + "9" * 90],
)
def test_a_range_that_is_none_we_know_is_as_if_it_was_not_there(
    granted: Granted, wanted: str
) -> None:
    answer = granted(wanted)
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_parts_that_go_on_with_one_another_are_one_use_and_each_on_record(granted: Granted) -> None:
    first = granted("bytes=0-9")
    etag = first.headers["etag"]
    second = granted("bytes=10-99", etag=etag)
    third = granted("bytes=100-", etag=etag)
    assert first.content + second.content + third.content == CONTENT
    assert [(each["first_byte"], each["served_bytes"]) for each in granted.record()] == [
        (0, 10),
        (10, 90),
        (100, 900),
    ]
    named = granted.record()[0]["access"]
    assert [each["continues"] for each in granted.record()] == [None, named, named]
    for more in ("bytes=100-", "bytes=0-", "bytes=999-"):  # all of it was sent
        assert granted(more, etag=etag).status_code == 403


def test_a_download_that_was_cut_is_gone_on_with(granted: Granted) -> None:
    desk, rules = granted.doors.world.desk("b-central"), cooperation.policy()
    question = Question(granted.ern, None, Action.DOWNLOAD, "prosecution", granted.grant)
    pieces = serve(desk, rules, ask(desk, rules, question), granted.doors.instance.vault)
    assert next(pieces)
    etag = f'"{_sha256(CONTENT)}"'
    assert granted("bytes=400-", etag=etag).status_code == 403  # it still goes on
    pieces.close()  # the line is cut
    assert granted("bytes=400-").status_code == 403  # it may be another content by now
    assert granted("bytes=400-", etag=etag, purpose="trial").status_code == 403
    assert granted("bytes=400-", etag=etag, name="b-prosecutor").status_code in {403, 404}
    assert granted("bytes=0-", etag=etag).status_code == 403
    assert granted("bytes=400-", etag=etag).content == CONTENT[400:]


def _sha256(content: bytes) -> str:
    import hashlib  # noqa: PLC0415 - of this helper

    return hashlib.sha256(content).hexdigest()


def test_no_byte_is_sent_a_third_time_under_one_use(granted: Granted) -> None:
    etag = granted("bytes=0-989").headers["etag"]
    assert granted("bytes=1-990", etag=etag).status_code == 206
    assert granted("bytes=1-990", etag=etag).status_code == 403
    assert granted("bytes=991-", etag=etag).status_code == 206


def test_a_gap_is_no_going_on(granted: Granted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accessing, "GOES_ON_BEFORE_BYTES", 5)
    etag = granted("bytes=0-99").headers["etag"]
    assert granted("bytes=101-", etag=etag).status_code == 403
    assert granted("bytes=94-", etag=etag).status_code == 403
    assert granted("bytes=95-", etag=etag).content == CONTENT[95:]


def test_going_on_has_an_end_in_time(granted: Granted, monkeypatch: pytest.MonkeyPatch) -> None:
    etag = granted("bytes=0-99").headers["etag"]
    monkeypatch.setattr(accessing, "GOES_ON_WITHIN", timedelta(seconds=-1))
    assert granted("bytes=100-", etag=etag).status_code == 403


def test_a_marked_copy_promises_no_ranges(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern = doors.world.item(CONTENT)
    asked = {"item": str(ern), "action": "view", "purpose": "prosecution"}
    answer = doors("prosecutor", "POST", "/v1/accesses", json=asked, headers={"Range": "bytes=1-2"})
    assert answer.status_code == 200
    assert "accept-ranges" not in answer.headers


def test_what_is_handed_out_is_called_as_it_was_where_it_came_from(doors: Doors) -> None:  # noqa: F811 - the fixture
    client = Client(doors)
    said = metadata(filename="DCIM/Žrtve 1.jpg", case=str(doors.world.case))
    headers = {**BYTES, "Upload-Length": "5", "Upload-Metadata": said}
    path = client("POST", "/v1/uploads", headers, content=b"12345").headers["location"]
    ern = client.outcome(path)["outcome"]["ern"]
    asked = {"item": ern, "action": "download", "purpose": "prosecution"}
    answer = doors("prosecutor", "POST", "/v1/accesses", json=asked)
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"_rtve 1.jpg\"; filename*=UTF-8''%C5%BDrtve%201.jpg"
    )
    assert answer.headers["x-evidence-item"] == f"{ern}-v1"
    grant = doors.world.grant(doors.world.document(ern))
    shared = {**asked, "grant": str(grant)}
    theirs = doors("b-central", "POST", "/v1/accesses", json=shared)
    assert f'filename="{ern}-v1"' in theirs.headers["content-disposition"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("IMG_1.jpg", "IMG_1.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\a\\b.txt", "b.txt"),
        ('a"b\r\nSet-Cookie: x=y.txt', "a_bSet-Cookie_ x=y.txt"),
        ("evil\u202egpj.exe", "evilgpj.exe"),
        (".bashrc", "bashrc"),
        ("a. . ", "a"),
        ("nul.txt", "_nul.txt"),
        ("..", None),
        ("dir/", None),
        ("x" * 300 + ".jpeg", "x" * 175 + ".jpeg"),
    ],
)
def test_a_name_is_one_files_and_breaks_no_header(source: str, expected: str | None) -> None:
    found = safe_name(source)
    assert found == expected
    header = disposition(found or "x")
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
