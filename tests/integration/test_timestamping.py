"""Time-stamps by an authority of our own, and everything that must not pass for one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evidence_store.errors import FixityError, MalformedError, UnavailableError
from ingest import timestamping
from ingest.timestamping import StampAuthority, request_stamp, verify_stamp
from tests.tsa import LocalTsa

CONTENT = b"log.invalid/test\n5\nAAAA\n\n"


def test_a_stamp_is_accepted_by_two_tools_and_later_again(tsa: LocalTsa) -> None:
    stamp = request_stamp(tsa.authority, CONTENT)
    assert stamp.verified_by == ("rfc3161-client", "openssl")
    assert abs(datetime.now(UTC) - stamp.at) < timedelta(minutes=1)
    assert verify_stamp(stamp.answer, CONTENT, tsa.authority.roots) == stamp.at


def test_a_stamp_is_of_one_content(tsa: LocalTsa) -> None:
    stamp = request_stamp(tsa.authority, CONTENT)
    with pytest.raises(FixityError):
        verify_stamp(stamp.answer, CONTENT + b"x", tsa.authority.roots)


@pytest.mark.parametrize("at", [-1, -40, -200])
def test_a_stamp_that_was_changed_is_refused(tsa: LocalTsa, at: int) -> None:
    answer = bytearray(request_stamp(tsa.authority, CONTENT).answer)
    answer[at] ^= 1
    with pytest.raises((FixityError, UnavailableError)):
        verify_stamp(bytes(answer), CONTENT, tsa.authority.roots)


def test_a_stamp_by_somebody_else_is_refused(tsa: LocalTsa, tmp_path: Path) -> None:
    other = LocalTsa(tmp_path / "other")
    stamp = request_stamp(other.authority, CONTENT)
    other.close()
    with pytest.raises(FixityError):
        verify_stamp(stamp.answer, CONTENT, tsa.authority.roots)
    mistaken = StampAuthority("tsa-1", tsa.authority.url, other.authority.roots)
    with pytest.raises(FixityError):
        request_stamp(mistaken, CONTENT)


def test_an_answer_to_another_question_is_refused(tsa: LocalTsa) -> None:
    old = request_stamp(tsa.authority, CONTENT).answer
    tsa.spoil = lambda _: old  # the same content, another nonce
    with pytest.raises(FixityError):
        request_stamp(tsa.authority, CONTENT)


@pytest.mark.parametrize(
    "answer", [b"", b"not a stamp", b"\x30\x05\x30\x03\x02\x01\x02", bytes(70_000)]
)
def test_what_is_no_stamp_means_try_again(tsa: LocalTsa, answer: bytes) -> None:
    tsa.spoil = lambda _: answer
    with pytest.raises((UnavailableError, FixityError)):
        request_stamp(tsa.authority, CONTENT)


def test_an_authority_in_trouble_means_try_again(tsa: LocalTsa) -> None:
    tsa.status = 500
    with pytest.raises(UnavailableError):
        request_stamp(tsa.authority, CONTENT)
    nobody = StampAuthority("tsa-1", "http://127.0.0.1:9/", tsa.authority.roots)
    with pytest.raises(UnavailableError):
        request_stamp(nobody, CONTENT)


def test_an_authority_that_hangs_is_left(tsa: LocalTsa, monkeypatch: pytest.MonkeyPatch) -> None:
    import time  # noqa: PLC0415

    def hanging(_: bytes) -> bytes:
        time.sleep(1)
        return b""

    monkeypatch.setattr(timestamping, "TIMEOUT_SECONDS", 0.2)
    tsa.spoil = hanging
    with pytest.raises(UnavailableError):
        request_stamp(tsa.authority, CONTENT)


@pytest.mark.parametrize(("name", "url"), [("Tsa", "http://x/"), ("tsa", "file:///etc/passwd")])
def test_an_authority_has_a_plain_name_and_a_web_address(name: str, url: str) -> None:
    with pytest.raises(MalformedError):
        StampAuthority(name, url, b"")
