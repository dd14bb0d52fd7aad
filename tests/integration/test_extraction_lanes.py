"""The trusted side: what becomes of files when the isolated process dies, lies, hangs or is missing."""

import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from evidence_store.claims import Reading
from ingest.extraction import lane, process
from ingest.extraction.supervisor import Extraction, Extractor, Limits
from tests import extraction_samples as samples

WALL_SECONDS_MAX = 20
Workers = Callable[..., Extractor]


@pytest.fixture(name="workers")
def _workers(request: pytest.FixtureRequest) -> Workers:
    """Start extractors that are closed after the test."""

    def start(count: int = 1, **limits: float) -> Extractor:
        extractor = Extractor(workers=count, limits=Limits(**limits))  # type: ignore[arg-type] # whole numbers where they must be
        request.addfinalizer(extractor.close)
        return extractor

    return start


def isolated(extractor: Extractor) -> Extractor:
    """The extractor, where this machine can isolate at all."""
    if not extractor.is_isolated:
        pytest.skip(f"nothing can be isolated here: {extractor.isolation()}")
    return extractor


def submit(extractor: Extractor, content: bytes, name: bytes = b"") -> "Future[Extraction]":
    """Submit the content; the descriptor is closed at once, as a caller may."""
    fd = samples.memory_file(content)
    try:
        return extractor.submit(fd, name, len(content))
    finally:
        os.close(fd)


def extract(extractor: Extractor, content: bytes, name: bytes = b"") -> Extraction:
    """The content's claims."""
    return submit(extractor, content, name).result(WALL_SECONDS_MAX)


def readings(extraction: Extraction) -> list[Reading]:
    """How each set of claims was read."""
    return [each.reading for each in extraction.claims]


READ = [Reading.READ, Reading.READ]


def slow_picture() -> bytes:
    """A TIFF of a thousand overlapping directories of 65,535 entries: minutes of work for a parser."""
    content = bytearray(b"\xff" * (1 << 20))
    content[:8] = b"II*\0" + struct.pack("<L", 8)
    for number in range(1000):
        following = 8 + 16 * (number + 1)
        pointer = 8 + 16 * number + 2 + 12 * 0xFFFF
        content[pointer : pointer + 4] = struct.pack("<L", following)
    return bytes(content)


def gone(process_id: int) -> None:
    """Wait until the process is dead, without taking its exit status from its owner."""
    os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOWAIT)


def open_descriptors() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


# -------------------------------------------------------------------------- death


def test_a_file_whose_parser_is_killed_is_marked_and_those_behind_it_are_read(
    workers: Workers,
) -> None:
    extractor = isolated(workers())
    struck = submit(extractor, slow_picture(), b"slow.tif")
    behind = [submit(extractor, samples.photograph()) for _ in range(6)]
    time.sleep(0.3)  # it takes minutes, so this is in the middle
    os.kill(extractor.process_ids()[0], signal.SIGKILL)
    extraction = struck.result(WALL_SECONDS_MAX)
    assert extraction.media_type == "image/tiff"
    assert readings(extraction) == [Reading.READ, Reading.KILLED]
    assert extraction.claims[1].tool == "exifread"
    assert [readings(each.result(WALL_SECONDS_MAX)) for each in behind] == [READ] * 6


def test_no_file_is_blamed_for_a_process_that_died_while_it_had_nothing_to_do(
    workers: Workers,
) -> None:
    extractor = isolated(workers())
    assert readings(extract(extractor, samples.photograph())) == READ
    (process_id,) = extractor.process_ids()
    os.kill(process_id, signal.SIGKILL)
    gone(process_id)
    assert readings(extract(extractor, samples.photograph())) == READ


def test_a_file_that_takes_too_long_is_given_up_and_the_next_is_read(workers: Workers) -> None:
    extractor = isolated(workers(wall_seconds=0.5))
    started = time.monotonic()
    slow, following = submit(extractor, slow_picture()), submit(extractor, samples.pdf())
    extraction = slow.result(WALL_SECONDS_MAX)
    assert time.monotonic() - started < 3
    assert extraction.media_type == "image/tiff"
    assert readings(extraction) == [Reading.READ, Reading.TIMED_OUT]
    assert readings(following.result(WALL_SECONDS_MAX)) == READ


def test_a_file_that_needs_too_much_memory_is_given_up_and_the_next_is_read(
    workers: Workers,
) -> None:
    extractor = isolated(workers(memory_bytes=220 << 20))
    (first,) = extractor.process_ids()
    hungry = b"From: a@b.example\nSubject: x\n\n" + b"a line\n" * 9_000_000
    extraction = extract(extractor, hungry)
    assert extraction.media_type == "message/rfc822"
    assert readings(extraction) == [Reading.READ, Reading.KILLED]
    assert readings(extract(extractor, samples.photograph())) == READ
    assert extractor.process_ids() != [first], "a process that ran out of memory reads no more"


def test_a_process_retires_after_its_share_of_files_and_nobody_notices(workers: Workers) -> None:
    extractor = isolated(workers(files_per_worker=3))
    seen = set()
    for _ in range(8):
        seen.update(extractor.process_ids())
        assert readings(extract(extractor, samples.photograph())) == READ
    assert len(seen) >= 2


# ------------------------------------------------------------------------- keeping


def test_the_callers_offset_stays_where_it_is_and_its_descriptor_open(workers: Workers) -> None:
    extractor = isolated(workers())
    content = samples.docx()
    fd = samples.memory_file(content)
    try:
        os.lseek(fd, 7, os.SEEK_SET)
        assert readings(extractor.extract(fd, b"a.docx", len(content))) == READ
        assert os.lseek(fd, 0, os.SEEK_CUR) == 7
    finally:
        os.close(fd)


def test_many_files_by_many_processes_each_get_their_own_claims(workers: Workers) -> None:
    extractor = isolated(workers(2))
    contents = [samples.pdf(information=f"/Title (Report {number})") for number in range(60)]
    before = open_descriptors()
    futures = [submit(extractor, content) for content in contents]
    titles = [
        samples.named(future.result(WALL_SECONDS_MAX).claims[1].values, "information", "Title")
        for future in futures
    ]
    assert titles == [f"Report {number}" for number in range(60)]
    assert open_descriptors() <= before, "every descriptor was given back"


def test_a_file_that_shrinks_while_it_is_read_gets_claims_all_the_same(workers: Workers) -> None:
    extractor = isolated(workers())
    content = samples.pdf()
    fd = samples.memory_file(content)
    os.ftruncate(fd, 20)
    try:
        extraction = extractor.extract(fd, b"a.pdf", len(content))
    finally:
        os.close(fd)
    assert extraction.media_type == "application/pdf"
    assert extraction.claims[1].reading is Reading.FAILED


def test_closing_answers_for_every_file_that_was_under_way(workers: Workers) -> None:
    extractor = isolated(workers())
    futures = [submit(extractor, slow_picture()) for _ in range(10)]
    started = time.monotonic()
    extractor.close()
    assert time.monotonic() - started < 5
    outcomes = [readings(future.result(0)) for future in futures]
    assert outcomes == [[Reading.UNAVAILABLE]] * 10
    assert readings(extract(extractor, samples.pdf())) == [Reading.UNAVAILABLE]
    assert extractor.process_ids() == []


def test_a_result_that_nobody_waits_for_stops_nothing(workers: Workers) -> None:
    extractor = isolated(workers())
    futures = [submit(extractor, samples.photograph()) for _ in range(20)]
    for future in futures[::2]:
        future.cancel()
    assert [readings(each.result(WALL_SECONDS_MAX)) for each in futures[1::2]] == [READ] * 10


# -------------------------------------------------------------------- failing closed


def test_where_nothing_can_be_isolated_nothing_is_parsed(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = "import platform; platform.machine = lambda: 'riscv64'; "
    monkeypatch.setattr(process, "_MAIN", elsewhere + process._MAIN)  # noqa: SLF001 - sabotage
    extractor = workers()
    assert not extractor.is_isolated
    extraction = extract(extractor, samples.photograph(), b"photo.jpg")
    assert extraction.media_type == "application/octet-stream"
    assert readings(extraction) == [Reading.UNAVAILABLE]
    assert extraction.claims[0].problem == extractor.isolation()


def test_where_no_process_can_be_started_nothing_is_parsed(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    extractor = workers()
    assert readings(extract(extractor, samples.photograph())) == [Reading.UNAVAILABLE]
    assert not extractor.is_isolated


def test_a_worker_that_finds_the_sandbox_leaking_says_so_and_parses_nothing(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaking = process._MAIN.replace(  # noqa: SLF001 - sabotage
        "main(int",
        "from ingest.extraction import sandbox; sandbox._filter_calls = lambda *_: None; main(int",
    )
    monkeypatch.setattr(process, "_MAIN", leaking)
    extractor = workers()
    assert readings(extract(extractor, samples.photograph())) == [Reading.UNAVAILABLE]
    assert "refused" in extractor.isolation()


# --------------------------------------------------------------- a worker that lies

LIAR = """
import sys; sys.path.insert(0, sys.argv[1])
import json, mmap, os, socket, time
channel, box = socket.socket(fileno=int(sys.argv[2])), mmap.mmap(int(sys.argv[3]), 65536)
channel.send(b'.' + json.dumps({"isolation": "none of it", "isolated": True}).encode())
claims = {"tool": "t", "tool_version": "1", "reading": "read", "values": {}, "problem": None}
good = {"number": 1, "media_type": "image/jpeg", "name_mismatch": False, "claims": [claims],
        "retiring": False}
say = lambda message: channel.send(b'.' + json.dumps(message).encode())
while channel.recv(1000):
    LIE
"""


@pytest.mark.parametrize(
    ("lie", "reading"),
    [
        ("channel.send(b'.not JSON')", Reading.KILLED),
        ("channel.send(b'')", Reading.KILLED),
        ("channel.send(b'.' + b'[' * 60000)", Reading.KILLED),
        ("while True: channel.send(b'+' * 65000)", Reading.KILLED),
        ("say({**good, 'next': ['a', 'b']})", Reading.KILLED),
        ("say({**good, 'number': 2})", Reading.KILLED),
        ("say({**good, 'media_type': 'a b'})", Reading.KILLED),
        ("say({**good, 'claims': [{**claims, 'reading': 'certain'}]})", Reading.KILLED),
        ("say({**good, 'claims': [claims] * 100})", Reading.KILLED),
        ("os._exit(0)", Reading.KILLED),
        ("box[:] = os.urandom(65536); os._exit(0)", Reading.KILLED),
        ("box[:] = b'\\xff' * 65536; time.sleep(60)", Reading.TIMED_OUT),
        ("time.sleep(60)", Reading.TIMED_OUT),
        ("while True: channel.send(b'+'); time.sleep(0.01)", Reading.TIMED_OUT),
    ],
)
def test_a_worker_that_lies_costs_the_file_and_nothing_else(
    lie: str, reading: Reading, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_MAIN", LIAR.replace("LIE", lie))
    extractor = workers(wall_seconds=0.5)
    assert extract(extractor, b"x").claims[-1].reading is reading
    assert extract(extractor, b"x").claims[-1].reading is reading


def test_what_a_lying_worker_says_is_bounded_and_clean(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = r"say({**good, 'claims': [{**claims, 'values': {'x': '\x1b[31m\ud800' + 'y' * 50000}}]})"
    monkeypatch.setattr(process, "_MAIN", LIAR.replace("LIE", lie))
    value = extract(workers(), b"x").claims[0].values["x"]
    assert isinstance(value, str)
    assert len(value) <= 4000
    assert value.isprintable() or "\N{REPLACEMENT CHARACTER}" in value
    assert "\x1b" not in value


def test_a_note_about_one_file_is_never_taken_for_another(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a file that kills the worker before it is identified would be called what the last was."""
    lie = (
        "note = json.dumps({**good, 'next': ['a', 'b']}).encode()\n"
        "    box[:4] = len(note).to_bytes(4, 'little'); box[4:4 + len(note)] = note\n"
        "    say(good)\n    channel.recv(1000)\n    os._exit(0)"
    )
    monkeypatch.setattr(process, "_MAIN", LIAR.replace("LIE", lie))
    extractor = workers()
    assert extract(extractor, b"x").media_type == "image/jpeg"
    following = extract(extractor, b"x")
    assert following.media_type == "application/octet-stream"
    assert readings(following) == [Reading.KILLED]


def test_a_worker_that_never_becomes_ready_is_not_waited_for_for_ever(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "START_SECONDS_MAX", 0.2)
    monkeypatch.setattr(process, "_MAIN", "import time; time.sleep(60)")
    extractor = workers()
    assert not extractor.is_isolated
    assert readings(extract(extractor, b"x")) == [Reading.UNAVAILABLE]


def test_how_a_process_died_is_told_apart() -> None:
    outcome = lane._how_it_died  # noqa: SLF001 - a table of its own
    assert outcome(-signal.SIGPROF)[0] is Reading.TIMED_OUT
    assert outcome(-signal.SIGSYS) != outcome(-signal.SIGSEGV)
    assert {outcome(code)[0] for code in (-signal.SIGSYS, -signal.SIGSEGV, 0, 1)} == {
        Reading.KILLED
    }
