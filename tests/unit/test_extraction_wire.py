"""What the trusted process makes of what a worker says, which it does not believe."""

import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.claims import SET_BYTES_MAX, ClaimSet, ClaimValue, Reading
from evidence_store.errors import MalformedError
from ingest.extraction import wire
from ingest.extraction.wire import Identity, MessageBuffer, Report, Tool

CLAIMS = ClaimSet("exifread", "3.5.1", Reading.READ, {"make": "Nikon"})
JPEG = Identity("image/jpeg", name_mismatch=True)
REPORT = Report(JPEG, (CLAIMS,), Tool("pypdf", "6"))


def spoken(message: dict[str, object]) -> bytes:
    """The message as it arrives, through a real socket pair."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        wire.send_message(theirs, message)
        theirs.close()
        buffer, whole = MessageBuffer(), None
        while whole is None:
            whole = buffer.take(ours.recv(wire.FRAGMENT_BYTES_MAX + 1))
        return whole


@pytest.mark.parametrize(
    "report", [REPORT, Report(JPEG, ()), Report(JPEG, (CLAIMS, CLAIMS), retiring=True)]
)
def test_a_report_arrives_as_it_was_sent(report: Report) -> None:
    assert wire.parse_report(spoken(wire.report_message(7, report)), 7) == report


def test_a_report_longer_than_a_packet_arrives_whole() -> None:
    listing: list[ClaimValue] = ["x" * 1000] * 180
    long = ClaimSet("python", "3", Reading.PARTIAL, {"listing": listing}, "cut")
    report = Report(JPEG, (CLAIMS, long))
    assert wire.parse_report(spoken(wire.report_message(1, report)), 1) == report


def test_a_report_on_another_file_is_refused() -> None:
    with pytest.raises(MalformedError):
        wire.parse_report(spoken(wire.report_message(7, REPORT)), 8)


@given(st.binary(max_size=300), st.integers(0, 2**63))
def test_a_request_arrives_as_it_was_sent(name: bytes, size_bytes: int) -> None:
    packet = wire.request(name, size_bytes)
    assert len(packet) <= wire.REQUEST_BYTES_MAX
    assert wire.parse_request(packet) == (name[-wire.NAME_BYTES_MAX :], size_bytes)


def altered(**changes: object) -> bytes:
    """The report's message with some of it replaced."""
    return json.dumps({**wire.report_message(1, REPORT), **changes}).encode()


def claiming(**changes: object) -> bytes:
    """The report's message with some of its claims replaced."""
    return altered(claims=[{**CLAIMS.to_json(), **changes}])


def test_the_report_that_the_next_tests_alter_is_accepted() -> None:
    assert wire.parse_report(altered(), 1) == wire.parse_report(claiming(), 1) == REPORT


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"not JSON",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"claims": 1}',
        altered(number=2),
        altered(number="1"),
        altered(claims={}),
        altered(claims=[{}]),
        altered(claims=[CLAIMS.to_json()] * (wire.CLAIM_SETS_MAX + 1)),
        claiming(reading="trusted"),
        claiming(values={"x": "y" * SET_BYTES_MAX}),
        claiming(values={"x": float("nan")}),
        altered(media_type="image"),
        altered(media_type="image/jpeg\n"),
        altered(media_type="text/html; charset=<script>"),
        altered(media_type=7),
        altered(name_mismatch="yes"),
        altered(retiring=None),
        altered(next="exifread"),
        altered(next=[1, 2]),
        altered(x=1).replace(b'"x": 1', b'"x": ' + b"9" * 5000),
    ],
)
def test_a_report_out_of_form_is_refused(message: bytes) -> None:
    with pytest.raises(MalformedError):
        wire.parse_report(message, 1)


def test_claims_of_a_hostile_worker_are_tidied() -> None:
    message = claiming(
        tool="to\x1bol" + "x" * 100,
        tool_version="\ud800",
        values={"na\nme": "\ud800\x00<b>", "deep": "INFINITE"},
        problem="p\x07" * 1000,
    ).replace(b'"INFINITE"', b"1e400")
    (found,) = wire.parse_report(message, 1).claims
    text = json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False)
    assert text.encode("utf-8")
    assert not set(text) & {"\x00", "\x07", "\x1b", "\n"}
    assert found.values == {"na me": "\N{REPLACEMENT CHARACTER}" * 2 + "<b>", "deep": None}
    assert len(found.tool) <= 64
    assert len(found.problem or "") <= 500


def test_a_message_without_end_is_refused_before_it_fills_the_memory() -> None:
    buffer = MessageBuffer()
    fragment = wire.MORE + bytes(wire.FRAGMENT_BYTES_MAX)
    for _ in range(wire.MESSAGE_BYTES_MAX // wire.FRAGMENT_BYTES_MAX):
        assert buffer.take(fragment) is None
    with pytest.raises(MalformedError):
        buffer.take(fragment)


@pytest.mark.parametrize("fragment", [b"", b"?x", b"x"])
def test_a_fragment_that_is_none_is_refused(fragment: bytes) -> None:
    with pytest.raises(MalformedError):
        MessageBuffer().take(fragment)


@pytest.mark.parametrize("message", [b"{}", b'{"isolation": "x"}', b'{"isolated": true}', b"1"])
def test_a_worker_that_does_not_say_what_isolates_it_is_refused(message: bytes) -> None:
    with pytest.raises(MalformedError):
        wire.parse_ready(message)
