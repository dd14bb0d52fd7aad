"""A server that dies: what was acknowledged stays, what was not is nobody's; and bounded memory."""

import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from minio.error import S3Error

from evidence_store.errors import StoreUnavailableError
from evidence_store.identifiers import ObjectName
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_bucket import create_bucket
from tests.seaweedfs import ACCESS_KEY, REGION, SECRET_KEY, SeaweedServer, SystemClock

pytestmark = [pytest.mark.s3, pytest.mark.slow]

MIB = 1024 * 1024
PART_BYTES = 5 * MIB
RETENTION = timedelta(minutes=10)


@pytest.fixture
def store(s3_server: SeaweedServer, s3_bucket_name: str) -> S3ObjectStore:
    client = s3_server.client()
    create_bucket(client, s3_bucket_name, retention=RETENTION)
    return S3ObjectStore(
        client,
        s3_bucket_name,
        clock=SystemClock(),
        retention=RETENTION,
        part_bytes=PART_BYTES,
        pauses_seconds=(0,),
    )


def put(store: S3ObjectStore, content: bytes) -> ObjectName:
    writer = store.begin(ObjectName.of(secrets.token_bytes(16)), size_bytes=len(content))
    writer.write(content)
    store.commit([writer])
    return writer.name


def put_until_it_is_gone(
    store: S3ObjectStore, size_bytes: int, acknowledged: dict[ObjectName, bytes]
) -> None:
    with suppress(StoreUnavailableError):
        while True:
            content = secrets.token_bytes(size_bytes)
            acknowledged[put(store, content)] = content


def test_kill_9_of_the_server_loses_nothing_that_was_acknowledged(
    s3_server: SeaweedServer, store: S3ObjectStore, s3_bucket_name: str
) -> None:
    small: dict[ObjectName, bytes] = {}
    large: dict[ObjectName, bytes] = {}
    writers = [
        threading.Thread(target=put_until_it_is_gone, args=(store, 20_000, small)),
        threading.Thread(target=put_until_it_is_gone, args=(store, 2 * PART_BYTES + 1, large)),
    ]
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 60
    while (len(small) < 20 or len(large) < 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    s3_server.kill()
    for writer in writers:
        writer.join()
    s3_server.start()

    assert len(small) >= 20
    assert len(large) >= 3
    acknowledged = small | large
    client = s3_server.client()
    listed = set(store.names())
    for name, content in acknowledged.items():
        assert b"".join(store.read(name)) == content
        assert name in listed
        assert store.stat(name).retain_until is not None
        key = f"objects/{name.value[:2]}/{name}"
        version = client.stat_object(s3_bucket_name, key).version_id
        with pytest.raises(S3Error):
            client.remove_object(s3_bucket_name, key, version_id=version)
    tomorrow = datetime.now(tz=UTC) + timedelta(days=1)
    store.discard_unfinished(before=tomorrow)
    assert list(store.unfinished(before=tomorrow)) == []
    assert set(store.names()) == listed


def test_an_upload_that_a_crash_cut_short_is_found_and_let_go(
    s3_server: SeaweedServer, store: S3ObjectStore
) -> None:
    writer = store.begin(ObjectName.of(secrets.token_bytes(16)))
    writer.write(secrets.token_bytes(PART_BYTES + 1))
    s3_server.kill()
    s3_server.start()
    tomorrow = datetime.now(tz=UTC) + timedelta(days=1)
    assert len(store.unfinished(before=tomorrow)) == 1
    assert store.discard_unfinished(before=tomorrow) == 1
    assert list(store.unfinished(before=tomorrow)) == []
    assert list(store.names()) == []
    writer.abort()


def test_a_server_that_goes_away_in_the_middle_of_a_read_is_unavailable(
    s3_server: SeaweedServer, store: S3ObjectStore
) -> None:
    content = secrets.token_bytes(64 * MIB)  # more than the buffers on the way hold
    name = put(store, content)
    chunks = store.read(name)
    received = [next(chunks)]
    s3_server.kill()
    with pytest.raises(StoreUnavailableError):
        received.extend(chunks)
    assert len(b"".join(received)) < len(content)
    assert content.startswith(b"".join(received))
    s3_server.start()
    assert b"".join(store.read(name)) == content


def test_a_server_that_is_down_is_unavailable_and_not_empty(
    s3_server: SeaweedServer, store: S3ObjectStore
) -> None:
    name = put(store, b"evidence")
    begun = store.begin(ObjectName.of(secrets.token_bytes(16)))
    begun.write(secrets.token_bytes(PART_BYTES + 1))
    s3_server.kill()
    tomorrow = datetime.now(tz=UTC) + timedelta(days=1)
    asks: list[Callable[[], object]] = [
        lambda: store.stat(name),
        lambda: list(store.read(name)),
        lambda: list(store.read(name, length=0)),
        lambda: list(store.names()),
        lambda: store.unfinished(before=tomorrow),
        lambda: store.discard_unfinished(before=tomorrow),
        lambda: store.retain(name, tomorrow),
        lambda: store.hold(name, on=True),
        store.prove_lock,
        lambda: put(store, b"evidence"),
        lambda: put(store, secrets.token_bytes(3 * PART_BYTES)),
        lambda: store.commit([begun]),
    ]
    for ask in asks:
        with pytest.raises(StoreUnavailableError):
            ask()
    begun.abort()  # says nothing, although there is nobody to tell
    s3_server.start()
    assert b"".join(store.read(name)) == b"evidence"


MEASURED = """
import json, resource, sys
from datetime import UTC, datetime, timedelta
from evidence_store.identifiers import ObjectName
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_bucket import connect
from tests.seaweedfs import SystemClock

asked = json.loads(sys.argv[1])
client = connect(asked["endpoint"], access_key=asked["access_key"], secret_key=asked["secret_key"],
                 region=asked["region"], secure=False)
store = S3ObjectStore(client, asked["bucket"], clock=SystemClock(), retention=timedelta(minutes=5))
chunk = memoryview(bytearray(1024 * 1024))

def put(digit, size_mib):
    writer = store.begin(ObjectName(digit * 32), size_bytes=size_mib * 1024 * 1024)
    for _ in range(size_mib):
        writer.write(chunk)
    store.commit([writer])
    for _ in store.read(writer.name):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

print(json.dumps({"small": put("a", 1), "large": put("b", 200)}))
"""


def test_memory_stays_bounded_whatever_the_size(
    s3_server: SeaweedServer, s3_bucket_name: str, pytestconfig: pytest.Config
) -> None:
    create_bucket(s3_server.client(), s3_bucket_name, retention=RETENTION)
    asked = {
        "endpoint": s3_server.endpoint,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "region": REGION,
        "bucket": s3_bucket_name,
    }
    found = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", MEASURED, json.dumps(asked)],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    peak_bytes = json.loads(found.stdout)
    assert peak_bytes["large"] - peak_bytes["small"] < 48 * MIB  # two parts of 8 MiB, and room
