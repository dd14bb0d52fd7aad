"""`kill -9` of a real S3 server, and a line that breaks: what was acknowledged is not lost."""

import os
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from evidence_store.errors import EvidenceError, StoreUnavailableError
from evidence_store.identifiers import ObjectName
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_bucket import create_bucket
from tests.seaweedfs import SeaweedServer, SystemClock

pytestmark = [pytest.mark.s3, pytest.mark.slow]

PART_BYTES = 5 * 1024 * 1024
RETENTION = timedelta(hours=1)


@pytest.fixture
def server(s3_server: SeaweedServer) -> SeaweedServer:
    return s3_server


@pytest.fixture
def bucket(server: SeaweedServer, s3_bucket_name: str) -> str:
    create_bucket(server.client(), s3_bucket_name, retention=RETENTION)
    return s3_bucket_name


def store_of(server: SeaweedServer, bucket: str) -> S3ObjectStore:
    return S3ObjectStore(
        server.client(),
        bucket,
        clock=SystemClock(),
        retention=RETENTION,
        part_bytes=PART_BYTES,
        pauses_seconds=(0.1,),
    )


def put(store: S3ObjectStore, content: bytes) -> ObjectName:
    name = ObjectName(uuid.uuid4().hex)
    writer = store.begin(name, size_bytes=len(content))
    writer.write(content)
    store.commit([writer])
    return name


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_was_acknowledged_survives_kill_9_of_the_server_locked_and_whole(
    server: SeaweedServer, bucket: str
) -> None:
    acknowledged: dict[ObjectName, bytes] = {}
    stop = threading.Event()

    def write(size_bytes: int) -> None:
        store = store_of(server, bucket)
        while not stop.is_set():
            content = os.urandom(size_bytes)
            try:
                acknowledged[put(store, content)] = content
            except EvidenceError:
                return  # the server was killed in the middle of this one

    writers = [threading.Thread(target=write, args=(n,)) for n in (20_000, PART_BYTES * 2 + 7)]
    for writer in writers:
        writer.start()
    wait_until(
        lambda: (
            len(acknowledged) > 20 and len(max(acknowledged.copy().values(), key=len)) > PART_BYTES
        )
    )
    server.kill()
    stop.set()
    for writer in writers:
        writer.join(60)
    assert len(acknowledged) > 20
    server.start()
    store = store_of(server, bucket)
    for name, content in acknowledged.items():
        assert b"".join(store.read(name)) == content
        retained = store.stat(name).retain_until
        assert retained is not None
        assert retained > datetime.now(UTC)
    assert set(acknowledged) <= set(store.names())


def test_an_upload_in_parts_that_a_crash_cut_short_is_found_and_let_go_of(
    server: SeaweedServer, bucket: str
) -> None:
    store = store_of(server, bucket)
    writer = store.begin(ObjectName(uuid.uuid4().hex))
    writer.write(bytes(PART_BYTES + 1))
    server.kill()
    server.start()
    again = store_of(server, bucket)
    later = datetime.now(UTC) + timedelta(minutes=5)
    assert len(again.unfinished(before=later)) == 1
    assert again.discard_unfinished(before=later) == 1
    assert again.unfinished(before=later) == []
    assert list(again.names()) == []


def test_a_server_that_goes_away_in_the_middle_of_a_read_is_unavailable_not_at_the_end(
    server: SeaweedServer, bucket: str
) -> None:
    store = store_of(server, bucket)
    content = os.urandom(64 * 1024 * 1024)
    name = put(store, content)
    reading = store.read(name)
    begun = next(reading)
    server.kill()
    rest: list[bytes] = []
    with pytest.raises(StoreUnavailableError):
        rest.extend(reading)
    assert len(begun + b"".join(rest)) < len(content)


def test_a_server_that_is_away_is_unavailable_for_every_call(
    server: SeaweedServer, bucket: str
) -> None:
    store = store_of(server, bucket)
    name = put(store, b"content")
    server.kill()
    for call in (
        lambda: store.stat(name),
        lambda: list(store.read(name)),
        lambda: list(store.names()),
        lambda: put(store, b"more"),
        lambda: store.unfinished(before=datetime.now(UTC)),
    ):
        with pytest.raises(StoreUnavailableError):
            call()
