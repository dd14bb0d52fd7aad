"""Time-stamps by an authority of our own, and everything that must not pass for one."""

import shutil
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evidence_store.errors import FixityError, MalformedError, UnavailableError
from ingest import timestamping
from ingest.timestamping import (
    ANSWER_BYTES_MAX,
    StampAuthority,
    TimeStamp,
    request_stamp,
    verify_stamp,
)
from tests.tsa import LocalTsa, MakeTsa

CONTENT = b"log.invalid/test\n5\nAAAA\n\n"


def without_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)


def with_openssl(monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: str(program))


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 128 | len(octets)]) + octets + content


def with_status_text(answer: bytes, text: bytes) -> bytes:
    assert answer[4:9] == b"\x30\x03\x02\x01\x00"  # granted, and no text
    status = der(0x30, b"\x02\x01\x00" + der(0x30, der(0x0C, text)))
    return der(0x30, status + answer[9:])


@pytest.fixture
def stamp(tsa: LocalTsa) -> TimeStamp:
    return request_stamp(tsa.authority, CONTENT)


# ----------------------------------------------------------------- what passes


def test_a_stamp_is_accepted_by_two_tools_and_later_again(tsa: LocalTsa, stamp: TimeStamp) -> None:
    assert stamp.verified_by == ("rfc3161-client", "openssl")
    assert stamp.confirmed
    assert abs(datetime.now(UTC) - stamp.at) < timedelta(minutes=1)
    assert stamp.at.utcoffset() == timedelta()
    assert verify_stamp(stamp.answer, CONTENT, tsa.authority.roots) == stamp.at


def test_a_stamp_verifies_under_one_of_several_roots(
    tsa: LocalTsa, stamp: TimeStamp, make_tsa: MakeTsa
) -> None:
    roots = make_tsa("other").authority.roots + 2 * tsa.authority.roots
    assert verify_stamp(stamp.answer, CONTENT, roots) == stamp.at


def test_two_tools_agree_on_a_time_with_fractions(tsa: LocalTsa) -> None:
    with (tsa.folder / "tsa.cnf").open("a") as config:
        config.write("clock_precision_digits = 6\n")
    stamps = [request_stamp(tsa.authority, CONTENT) for _ in range(3)]
    printed = subprocess.run(
        ["openssl", "ts", "-reply", "-in", "r.tsr", "-text"],  # noqa: S607
        cwd=tsa.folder,
        capture_output=True,
        check=True,
    )
    assert b"." in printed.stdout.partition(b"Time stamp: ")[2].partition(b" GMT")[0]
    assert all(stamp.confirmed for stamp in stamps)


def test_the_environment_does_not_choose_a_proxy(
    tsa: LocalTsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    monkeypatch.delenv("no_proxy", raising=False)
    assert request_stamp(tsa.authority, CONTENT).confirmed


@pytest.mark.slow
def test_a_stamp_outlives_the_certificate_that_made_it(make_tsa: MakeTsa) -> None:
    tsa = make_tsa("short", ends_in=timedelta(seconds=3))
    stamp = request_stamp(tsa.authority, CONTENT)
    time.sleep(4)
    (tsa.folder / "content").write_bytes(CONTENT)
    today = subprocess.run(
        ["openssl", "ts", "-verify", "-data", "content", "-in", "r.tsr", "-CAfile", "root.pem"],  # noqa: S607
        cwd=tsa.folder,
        capture_output=True,
        check=False,
    )
    assert today.returncode != 0  # the certificate did end
    assert verify_stamp(stamp.answer, CONTENT, tsa.authority.roots) == stamp.at


# --------------------------------------------------------------- what is refused


def test_a_stamp_is_of_one_content(tsa: LocalTsa, stamp: TimeStamp) -> None:
    with pytest.raises(FixityError):
        verify_stamp(stamp.answer, CONTENT + b"x", tsa.authority.roots)


def test_an_answer_over_other_content_is_refused_when_it_comes(tsa: LocalTsa) -> None:
    other = request_stamp(tsa.authority, b"other").answer
    tsa.spoil = lambda _: other
    with pytest.raises(FixityError):
        request_stamp(tsa.authority, CONTENT)


def test_an_answer_to_another_question_is_refused(tsa: LocalTsa, stamp: TimeStamp) -> None:
    tsa.spoil = lambda _: stamp.answer  # the same content, another nonce
    with pytest.raises(FixityError):
        request_stamp(tsa.authority, CONTENT)


def test_each_tool_for_itself_refuses_an_answer_to_another_question(
    tsa: LocalTsa, stamp: TimeStamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    tsa.spoil = lambda _: stamp.answer
    for tool, verify in timestamping._TOOLS.items():  # noqa: SLF001 - one tool alone
        monkeypatch.setattr(timestamping, "_TOOLS", {tool: verify})
        with pytest.raises(FixityError):
            request_stamp(tsa.authority, CONTENT)


def test_no_changed_byte_makes_another_stamp(
    tsa: LocalTsa, stamp: TimeStamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_openssl(monkeypatch)  # the weaker half alone, and thousands of times
    refused = 0
    for at in range(len(stamp.answer)):
        changed = bytearray(stamp.answer)
        changed[at] ^= 1
        try:  # what is around the signed part may change; what the stamp says may not
            assert verify_stamp(bytes(changed), CONTENT, tsa.authority.roots) == stamp.at
        except FixityError:
            refused += 1
    assert refused > 0.95 * len(stamp.answer)


@pytest.mark.parametrize("at", [-1, -40, -200])
def test_a_stamp_that_was_changed_is_refused(tsa: LocalTsa, stamp: TimeStamp, at: int) -> None:
    changed = bytearray(stamp.answer)
    changed[at] ^= 1
    with pytest.raises(FixityError):
        verify_stamp(bytes(changed), CONTENT, tsa.authority.roots)


def test_a_token_that_was_changed_on_its_way_is_refused(tsa: LocalTsa) -> None:
    tsa.spoil = lambda answer: answer[:-1] + bytes([answer[-1] ^ 1])  # in the signature
    with pytest.raises(FixityError):
        request_stamp(tsa.authority, CONTENT)


def test_a_stamp_by_somebody_else_is_refused(
    tsa: LocalTsa, stamp: TimeStamp, make_tsa: MakeTsa
) -> None:
    other = make_tsa("other").authority
    with pytest.raises(FixityError):
        verify_stamp(stamp.answer, CONTENT, other.roots)
    with pytest.raises(FixityError):
        request_stamp(StampAuthority("tsa-1", tsa.authority.url, other.roots), CONTENT)


def test_a_stamp_by_a_certificate_that_had_ended_is_refused(make_tsa: MakeTsa) -> None:
    with pytest.raises(FixityError):
        request_stamp(make_tsa("late", ends_in=-timedelta(hours=1)).authority, CONTENT)


@pytest.mark.parametrize(
    "answer", [b"", b"not a stamp", b"\x30\x05\x30\x03\x02\x01\x02", bytes(ANSWER_BYTES_MAX + 1)]
)
def test_what_is_no_stamp_proves_nothing(tsa: LocalTsa, answer: bytes) -> None:
    with pytest.raises(FixityError):
        verify_stamp(answer, CONTENT, tsa.authority.roots)


def test_a_stamp_is_small(tsa: LocalTsa, stamp: TimeStamp) -> None:
    roots = tsa.authority.roots
    assert verify_stamp(with_status_text(stamp.answer, b"x"), CONTENT, roots) == stamp.at
    with pytest.raises(FixityError):
        verify_stamp(with_status_text(stamp.answer, bytes(ANSWER_BYTES_MAX)), CONTENT, roots)


def test_a_root_that_makes_the_client_panic_is_refused(tsa: LocalTsa, stamp: TimeStamp) -> None:
    good = ssl.PEM_cert_to_DER_cert(tsa.authority.roots.decode())
    name = b"\x0c\x01R"  # a UTF8String, made an INTEGER
    assert name in good
    bad = ssl.DER_cert_to_PEM_cert(good.replace(name, b"\x02\x01R")).encode()
    with pytest.raises(FixityError):
        verify_stamp(stamp.answer, CONTENT, bad)


@pytest.mark.parametrize("roots", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_stamp_needs_roots(stamp: TimeStamp, roots: bytes) -> None:
    with pytest.raises(FixityError):
        verify_stamp(stamp.answer, CONTENT, roots)


# ------------------------------------------------------- where the tools disagree


def test_what_only_openssl_accepts_is_kept_and_not_relied_on(tsa: LocalTsa) -> None:
    tsa.chained = True
    stamp = request_stamp(tsa.authority, CONTENT)
    assert stamp.verified_by == ("openssl",)
    assert not stamp.confirmed
    assert abs(datetime.now(UTC) - stamp.at) < timedelta(minutes=1)
    with pytest.raises(FixityError):
        verify_stamp(stamp.answer, CONTENT, tsa.authority.roots)


def test_openssl_alone_still_refuses_other_content(tsa: LocalTsa) -> None:
    tsa.chained = True
    other = request_stamp(tsa.authority, b"other").answer
    tsa.spoil = lambda _: other
    with pytest.raises(FixityError):
        request_stamp(tsa.authority, CONTENT)


@pytest.mark.parametrize("there", [False, True])
def test_what_openssl_did_not_look_at_is_kept_and_not_relied_on(
    tsa: LocalTsa, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        with_openssl(monkeypatch, tsa.folder / "does-not-start")
    else:
        without_openssl(monkeypatch)
    stamp = request_stamp(tsa.authority, CONTENT)
    assert stamp.verified_by == ("rfc3161-client",)
    assert not stamp.confirmed


def test_without_openssl_what_only_openssl_reads_means_try_again(
    tsa: LocalTsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    tsa.chained = True
    without_openssl(monkeypatch)
    with pytest.raises(UnavailableError):
        request_stamp(tsa.authority, CONTENT)


def test_what_openssl_refuses_is_refused_later(
    tsa: LocalTsa, stamp: TimeStamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which("openssl")
    refusing = f'case "$*" in *-verify*) exit 1;; esac; exec {real} "$@"'
    with_openssl(monkeypatch, script(tsa.folder / "refusing", refusing))
    with pytest.raises(FixityError):
        verify_stamp(stamp.answer, CONTENT, tsa.authority.roots)
    assert request_stamp(tsa.authority, CONTENT).verified_by == ("rfc3161-client",)


def test_two_tools_that_read_two_times_do_not_agree(
    tsa: LocalTsa, stamp: TimeStamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = script(tsa.folder / "other", "echo 'Time stamp: Jan  1 00:00:00 2020 GMT'")
    with_openssl(monkeypatch, other)
    with pytest.raises(FixityError):
        verify_stamp(stamp.answer, CONTENT, tsa.authority.roots)


def test_openssl_in_trouble_says_nothing_against_a_stamp(
    tsa: LocalTsa, stamp: TimeStamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_openssl(monkeypatch, tsa.folder / "nowhere")
    with pytest.raises(UnavailableError):
        verify_stamp(stamp.answer, CONTENT, tsa.authority.roots)


def test_the_unsigned_status_cannot_state_the_time(tsa: LocalTsa) -> None:
    tsa.chained = True  # openssl alone reads it
    line = b"x\nTime stamp: Jan  1 00:00:00 2001 GMT"
    tsa.spoil = lambda answer: with_status_text(answer, line)
    stamp = request_stamp(tsa.authority, CONTENT)
    assert stamp.verified_by == ("openssl",)
    assert abs(datetime.now(UTC) - stamp.at) < timedelta(minutes=1)


# --------------------------------------------------------- authorities in trouble


@pytest.mark.parametrize(
    "answer", [b"", b"not a stamp", b"\x30\x05\x30\x03\x02\x01\x02", bytes(10_000_000)]
)
def test_what_is_no_stamp_means_try_again(tsa: LocalTsa, answer: bytes) -> None:
    tsa.spoil = lambda _: answer
    with pytest.raises(UnavailableError):
        request_stamp(tsa.authority, CONTENT)


def test_a_refusal_means_try_again(make_tsa: MakeTsa) -> None:
    tsa = make_tsa("old", digests="sha256")  # and we ask with SHA-512
    with pytest.raises(UnavailableError):
        request_stamp(tsa.authority, CONTENT)


@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_an_authority_in_trouble_means_try_again(tsa: LocalTsa, status: int) -> None:
    tsa.status = status
    with pytest.raises(UnavailableError):
        request_stamp(tsa.authority, CONTENT)


def test_an_authority_that_is_not_there_means_try_again(tsa: LocalTsa) -> None:
    nobody = StampAuthority("tsa-1", "http://127.0.0.1:9/", tsa.authority.roots)
    with pytest.raises(UnavailableError):
        request_stamp(nobody, CONTENT)


def test_an_authority_that_hangs_is_left(tsa: LocalTsa) -> None:
    tsa.endlessly = (b"", b"", 0.05)
    assert seconds_until_unavailable(tsa, timeout_seconds=0.3) < 5


def test_an_authority_that_drips_is_left(tsa: LocalTsa) -> None:
    tsa.endlessly = (b"HTTP/1.0 200 OK\r\nX-Slow: ", b"a", 0.02)
    assert seconds_until_unavailable(tsa, timeout_seconds=0.3) < 5
    tsa.endlessly = (b"HTTP/1.0 200 OK\r\n\r\n", b"a", 0.02)
    assert seconds_until_unavailable(tsa, timeout_seconds=0.3) < 5


def test_an_authority_that_floods_is_left_at_once(tsa: LocalTsa) -> None:
    tsa.endlessly = (b"HTTP/1.0 200 OK\r\n\r\n", bytes(100_000), 0.001)
    assert seconds_until_unavailable(tsa, timeout_seconds=30) < 5


def seconds_until_unavailable(tsa: LocalTsa, *, timeout_seconds: float) -> float:
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        request_stamp(tsa.authority, CONTENT, timeout_seconds=timeout_seconds)
    return time.monotonic() - began


# ------------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("Tsa", "http://x/"),
        ("tsa", "file:///etc/passwd"),
        ("tsa", "http:///no-host"),
        ("tsa", "http://[::1/"),
    ],
)
def test_an_authority_has_a_plain_name_and_a_web_address(
    tsa: LocalTsa, name: str, url: str
) -> None:
    with pytest.raises(MalformedError):
        StampAuthority(name, url, tsa.authority.roots)


@pytest.mark.parametrize("roots", [b"", b"no certificate"])
def test_an_authority_has_roots(roots: bytes) -> None:
    with pytest.raises(MalformedError):
        StampAuthority("tsa-1", "http://x/", roots)


def test_there_must_be_content_to_stamp(tsa: LocalTsa) -> None:
    with pytest.raises(MalformedError):
        request_stamp(tsa.authority, b"")
