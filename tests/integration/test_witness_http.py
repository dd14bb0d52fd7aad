"""The witness's door and the way to it, over real sockets on this machine."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api import cosigners
from api.cosigners import collect, largest_known
from api.http.witness import SIZE_TYPE, witness_app
from evidence_store.errors import LedgerAlteredError, UnavailableError
from evidence_store.ledger.add_checkpoint import REQUEST_BYTES_MAX
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.cosigning import AlarmKind, Collected
from evidence_store.ledger.note import Note
from evidence_store.ledger.policy import Policy
from storage.ledger.witness_state import SqliteWitnessState
from tests.witnesses import (
    ORIGIN,
    WITNESS,
    Fixed,
    WitnessedLog,
    serving,
    witness_of,
    witness_signers,
)

LOG = WitnessedLog(300)
REWRITTEN = WitnessedLog(300, b"false")
NAME = hashlib.sha256(ORIGIN.encode()).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqliteWitnessState]:
    made = SqliteWitnessState.create(tmp_path / "witness.db", WITNESS)
    yield made
    made.close()


@pytest.fixture
def address(state: SqliteWitnessState) -> Iterator[str]:
    with serving(witness_app(witness_of(LOG, state), Fixed())) as address:
        yield f"{address}/witness"


def exchange(
    address: str, path: str, body: bytes | None = None, method: str | None = None
) -> tuple[int, str | None, bytes]:
    parts = urlsplit(address)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    try:
        connection.request(method or ("GET" if body is None else "POST"), parts.path + path, body)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type"), response.read()
    finally:
        connection.close()


def collected(
    policy: Policy, size: int = 300, *, log: WitnessedLog = LOG, likely: int = 0
) -> Collected:
    def consistency(old: int) -> Sequence[bytes]:
        return log.tree.consistency(old, size)

    return collect(policy, log.note(size), consistency, likely=likely)


def test_each_answer_has_its_status(address: str) -> None:
    def post(body: bytes) -> tuple[int, str | None]:
        status, kind, _ = exchange(address, "/add-checkpoint", body)
        return status, kind

    text = "text/plain; charset=utf-8"
    stranger = WitnessedLog(5, origin="log.invalid/other")
    unsigned = Note(LOG.note().text, LOG.note().signatures[:1]).encode()
    assert post(LOG.request(0, 100)) == (200, text)
    assert post(b"") == (400, text)
    assert post(LOG.request(100).replace(b"old 100", b"old 301")) == (400, text)
    assert post(b"old 100\n\n" + unsigned) == (403, text)
    assert post(stranger.request(0)) == (404, text)
    assert post(LOG.request(0, 200)) == (409, SIZE_TYPE)
    assert exchange(address, "/add-checkpoint", LOG.request(0, 200))[2] == b"100\n"
    assert post(REWRITTEN.request(100)) == (422, text)
    assert post(REWRITTEN.request(100, 100)) == (422, text)
    assert post(b"x" * (REQUEST_BYTES_MAX + 1)) == (413, text)
    assert post(b"x" * REQUEST_BYTES_MAX) == (400, text)


def test_anybody_sees_the_last_cosigned_checkpoint_of_a_log(address: str) -> None:
    assert exchange(address, f"/{NAME}/checkpoint")[0] == 404
    _, _, lines = exchange(address, "/add-checkpoint", LOG.request(0, 100))
    status, _, body = exchange(address, f"/{NAME}/checkpoint")
    assert status == 200
    note = Note.parse(body)
    assert note.text == LOG.note(100).text
    assert body.endswith(lines)
    for other in (NAME.upper(), NAME[:-1], "x" * 64, "..%2F" + NAME):
        assert exchange(address, f"/{other}/checkpoint")[0] == 404


def test_there_is_nothing_else_behind_the_door(address: str) -> None:
    root = address.removesuffix("/witness")
    for path in ("/", "/docs", "/redoc", "/openapi.json", "/witness"):
        assert exchange(root, path)[0] == 404
    assert exchange(address, "/add-checkpoint", method="GET")[0] == 405
    assert exchange(address, f"/{NAME}/checkpoint", b"x")[0] == 405


def test_a_memory_that_fails_cosigns_nothing_and_tells_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = SqliteWitnessState.create(tmp_path / "other.db", WITNESS)
    with serving(witness_app(witness_of(LOG, state), Fixed())) as root:

        def failing(*_: object, **__: object) -> bool:
            raise UnavailableError(f"{tmp_path}: no space")

        monkeypatch.setattr(SqliteWitnessState, "advance", failing)
        status, _, body = exchange(f"{root}/witness", "/add-checkpoint", LOG.request(0))
        assert status == 503
        assert str(tmp_path).encode() not in body
        assert exchange(f"{root}/witness", f"/{NAME}/checkpoint")[0] == 404
    state.close()


def test_a_request_that_never_ends_is_given_up(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.witness.BODY_SECONDS", 0.2)
    parts = urlsplit(address)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), 10) as connection:
        connection.sendall(
            b"POST /witness/add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nold"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_a_log_collects_what_satisfies_its_policy(address: str) -> None:
    policy = LOG.watched_by(address)
    for size, likely in ((100, 0), (200, 100), (300, 0), (300, 300)):
        found = collected(policy, size, likely=likely)
        assert (found.alarms, found.unreachable) == ([], {})
        assert set(policy.checked(found.note).cosigned) == {"0-0", "0-1"}
    assert largest_known(policy, ORIGIN).size == 300


def test_witnesses_are_asked_side_by_side_and_one_that_is_away_does_not_matter(
    address: str, tmp_path: Path
) -> None:
    state = SqliteWitnessState.create(tmp_path / "second.db", f"{WITNESS}1")
    second = witness_of(LOG, state)
    second = type(second)(second.logs, witness_signers(f"{WITNESS}1"), state)
    with serving(witness_app(second, Fixed())) as other:
        policy = LOG.watched_by(address, f"{other}/witness", "http://127.0.0.1:9/witness")
        found = collected(policy)
        assert set(policy.checked(found.note).cosigned) == {"0-0", "0-1", "1-0", "1-1"}
        assert set(found.unreachable) == {"2-0", "2-1"}
        known = largest_known(policy, ORIGIN)
        assert set(known.notes) == {"0-0", "0-1", "1-0", "1-1"}
        assert set(known.unreachable) == {"2-0", "2-1"}
    state.close()


def test_a_log_rewritten_with_its_own_keys_is_refused_kept_and_an_alarm(
    address: str, state: SqliteWitnessState
) -> None:
    collected(LOG.watched_by(address), 200)
    found = collected(LOG.watched_by(address), log=REWRITTEN)
    assert found.note == REWRITTEN.note()
    assert [each.kind for each in found.alarms] == [AlarmKind.FORK]
    assert found.alarms[0].evidence is not None
    assert [each.checkpoint.root for each in state.refused()] == [REWRITTEN.tree.root()]
    with pytest.raises(LedgerAlteredError):
        largest_known(LOG.watched_by(address), ORIGIN).insist_continued(300, REWRITTEN.tree.root_at)


def test_a_database_from_yesterday_is_an_alarm_and_must_not_run(address: str) -> None:
    collected(LOG.watched_by(address), 300)
    found = collected(LOG.watched_by(address), 200)
    (alarm,) = found.alarms
    assert alarm.kind is AlarmKind.ROLLED_BACK
    assert alarm.evidence is not None
    assert Checkpoint.of(alarm.evidence).size == 300
    with pytest.raises(LedgerAlteredError):
        largest_known(LOG.watched_by(address), ORIGIN).insist_continued(200, LOG.tree.root_at)


@contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that reads a request and answers as the test wants."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return  # the test has ended
                with connection:
                    connection.recv(100_000)
                    try:
                        answer(connection)
                    except OSError:
                        continue  # it was hung up on

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _dripping(connection: socket.socket) -> None:
    for _ in range(25):
        connection.sendall(b"H")
        time.sleep(0.1)


def _endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def _slow_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(100):
        connection.sendall(b"x")
        time.sleep(0.1)


def _redirecting(connection: socket.socket) -> None:
    connection.sendall(
        b"HTTP/1.1 307 Elsewhere\r\nLocation: file:///etc/hostname\r\nContent-Length: 0\r\n\r\n"
    )


def _saying(text: bytes) -> Callable[[socket.socket], object]:
    return lambda connection: connection.sendall(text)


@pytest.mark.parametrize(
    "answer",
    [
        _dripping,
        _endless,
        _slow_body,
        _redirecting,
        _saying(b""),
        _saying(b"SSH-2.0\r\n"),
        _saying(b"HTTP/1.1 200 OK\r\n\r\nnot a signature\n"),
        _saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nshort"),
        _saying(b"HTTP/1.1 409 Conflict\r\n\r\n" + b"9" * 5000),
        _saying(b"HTTP/1.1 409 Conflict\r\n\r\n-1\n"),
        _saying(b"HTTP/1.1 409 Conflict\r\n\r\n400\n"),
        _saying(b"HTTP/1.1 500 Oh\r\n\r\n"),
    ],
    ids=[
        "dripping", "endless", "slow", "redirecting", "silent", "another protocol", "garbage",
        "short", "a long number", "a negative number", "more than it shows", "broken",
    ],
)  # fmt: skip
def test_a_witness_that_misbehaves_is_only_not_counted(
    address: str, monkeypatch: pytest.MonkeyPatch, answer: Callable[[socket.socket], object]
) -> None:
    monkeypatch.setattr(cosigners, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(cosigners, "BUDGET_SECONDS", 1)
    with answering(answer) as bad:
        policy = LOG.watched_by(address, bad)
        start = time.monotonic()
        found = collected(policy)
        assert time.monotonic() - start < 8
    assert set(policy.checked(found.note).cosigned) == {"0-0", "0-1"}
    assert found.alarms == []
    assert set(found.unreachable) == {"1-0", "1-1"}


def test_an_answer_is_read_up_to_a_limit(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosigners, "ANSWER_BYTES_MAX", 1000)  # an ML-DSA line alone has more
    assert set(collected(LOG.watched_by(address)).unreachable) == {"0-0", "0-1"}


def test_a_redirect_leads_nowhere_even_to_a_good_witness(address: str) -> None:
    collected(LOG.watched_by(address))
    place = f"{address}/{NAME}/checkpoint".encode()
    answer = b"HTTP/1.1 302 Found\r\nLocation: " + place + b"\r\nContent-Length: 0\r\n\r\n"
    with answering(_saying(answer)) as bad:
        known = largest_known(LOG.watched_by(bad), ORIGIN)
    assert (known.notes, set(known.unreachable)) == ({}, {"0-0", "0-1"})


@pytest.mark.parametrize(
    "url", ["file:///etc", "ftp://127.0.0.1/", "witness.invalid", "http://[", ""]
)
def test_only_web_addresses_are_asked(url: str) -> None:
    found = collected(LOG.watched_by(url))
    assert found.note == LOG.note()
    assert set(found.unreachable) == {"0-0", "0-1"}


def test_what_goes_wrong_in_the_log_is_not_blamed_on_the_witness(address: str) -> None:
    collected(LOG.watched_by(address), 100)

    def broken(_: int) -> Sequence[bytes]:
        raise LedgerAlteredError("a tile is missing")

    with pytest.raises(LedgerAlteredError):
        collect(LOG.watched_by(address), LOG.note(), broken)
