"""The way to S3 and back: damage, lost answers, wrong servers. A real server, and faults between."""

import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3
from minio import Minio
from urllib3.exceptions import ProtocolError
from urllib3.response import BaseHTTPResponse

from evidence_store.errors import (
    ConflictError,
    NoSpaceError,
    NotFoundError,
    SettingsError,
    StoreUnavailableError,
)
from evidence_store.identifiers import ObjectName
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_body import Body
from storage.objects.s3_bucket import connect, create_bucket
from storage.objects.s3_lock import Lock
from storage.objects.s3_wire import Wire
from tests.seaweedfs import ACCESS_KEY, HOST, REGION, SECRET_KEY, SeaweedServer, SystemClock

pytestmark = pytest.mark.s3

PART_BYTES = 5 * 1024 * 1024
RETENTION = timedelta(minutes=5)
UNLOCKED = Lock(None, None, legal_hold=False)
WHOLE, IN_PARTS = 10, PART_BYTES + 10
SIZES = pytest.mark.parametrize("size_bytes", [WHOLE, IN_PARTS], ids=["whole", "in parts"])
Send = Callable[[], BaseHTTPResponse]


class FaultyPool(urllib3.PoolManager):
    """Connections to the real server, with a fault for the requests that `at` matches.

    `at` is a pattern of method and URL, and the first `times` requests it matches are hit.
    """

    def __init__(self) -> None:
        super().__init__(retries=urllib3.Retry(total=0))
        self.at = re.compile("$^")
        self.fault: Callable[[Send], BaseHTTPResponse] = lambda send: send()
        self.times = 0
        self.hits = 0

    def arm(self, at: str, fault: Callable[[Send], BaseHTTPResponse], times: int = 1) -> None:
        self.at, self.fault, self.times, self.hits = re.compile(at), fault, times, 0

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> BaseHTTPResponse:  # type: ignore[override]  # noqa: ANN401 - the library's signature
        def send() -> BaseHTTPResponse:
            return super(FaultyPool, self).urlopen(method, url, redirect, **kw)

        if self.hits < self.times and self.at.search(f"{method} {url}"):
            self.hits += 1
            return self.fault(send)
        return send()


def lost_question(send: Send) -> BaseHTTPResponse:
    """The request never arrives."""
    del send
    raise ProtocolError("Connection aborted.")


def lost_answer(send: Send) -> BaseHTTPResponse:
    """The server does it, and the answer is lost."""
    send()
    raise ProtocolError("Connection aborted.")


def answers(status: int, code: str) -> Callable[[Send], BaseHTTPResponse]:
    """The server answers with an error and does nothing."""

    def fault(send: Send) -> BaseHTTPResponse:
        del send
        document = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        headers = {"content-type": "application/xml"}
        return urllib3.HTTPResponse(document, headers, status)

    return fault


def without_lock(send: Send) -> BaseHTTPResponse:
    """The server does not tell of the lock."""
    response = send()
    for name in list(response.headers):
        if "object-lock" in name.lower():
            del response.headers[name]
    return response


def one_byte_more(send: Send) -> BaseHTTPResponse:
    """The server tells of another size than it was sent."""
    response = send()
    response.headers["content-length"] = str(int(response.headers["content-length"]) + 1)
    return response


@dataclass(frozen=True, slots=True)
class Bucket:
    client: Minio
    name: str
    pool: FaultyPool

    @property
    def store(self) -> S3ObjectStore:
        return make_store(self.client, self.name)

    @property
    def wire(self) -> Wire:
        return Wire(self.client, self.name, ())

    def versions(self) -> list[str]:
        found = self.client.list_objects(self.name, recursive=True, include_version=True)
        return [each.object_name or "" for each in found]


def make_store(client: Minio, bucket: str) -> S3ObjectStore:
    return S3ObjectStore(
        client,
        bucket,
        clock=SystemClock(),
        retention=RETENTION,
        part_bytes=PART_BYTES,
        pauses_seconds=(0, 0),
    )


def make_client(endpoint: str, pool: urllib3.PoolManager, secret_key: str = SECRET_KEY) -> Minio:
    return Minio(
        endpoint,
        access_key=ACCESS_KEY,
        secret_key=secret_key,
        region=REGION,
        secure=False,
        http_client=pool,
    )


@pytest.fixture
def bucket(s3_server: SeaweedServer, s3_bucket_name: str) -> Bucket:
    pool = FaultyPool()
    client = make_client(s3_server.endpoint, pool)
    create_bucket(client, s3_bucket_name, retention=RETENTION)
    return Bucket(client, s3_bucket_name, pool)


def fresh() -> ObjectName:
    return ObjectName.of(secrets.token_bytes(16))


def put(store: S3ObjectStore, content: bytes, name: ObjectName | None = None) -> ObjectName:
    writer = store.begin(name or fresh())
    try:
        writer.write(content)
        store.commit([writer])
    finally:
        writer.abort()
    return writer.name


def read(store: S3ObjectStore, name: ObjectName) -> bytes:
    return b"".join(store.read(name))


def left(store: S3ObjectStore) -> list[str]:
    return list(store.unfinished(before=datetime.now(tz=UTC) + timedelta(days=1)))


# ------------------------------------------------------------------- damage


@pytest.mark.parametrize("damaged", ["sha256", "md5"])
def test_bytes_that_arrive_damaged_are_refused(bucket: Bucket, damaged: str) -> None:
    body = Body.of(b"evidence")
    wrong = {"sha256": bytes(32)} if damaged == "sha256" else {"md5": bytes(16)}
    with pytest.raises(StoreUnavailableError):
        bucket.wire.put("objects/damaged", replace(body, **wrong), UNLOCKED)
    assert bucket.versions() == []
    bucket.wire.put("objects/damaged", body, UNLOCKED)
    assert bucket.versions() == ["objects/damaged"]


@pytest.mark.parametrize("damaged", ["sha256", "md5"])
def test_a_part_that_arrives_damaged_is_refused(bucket: Bucket, damaged: str) -> None:
    wire, body = bucket.wire, Body.of(b"evidence")
    wrong = {"sha256": bytes(32)} if damaged == "sha256" else {"md5": bytes(16)}
    upload_id = wire.begin_upload("objects/damaged", UNLOCKED)
    with pytest.raises(StoreUnavailableError):
        wire.put_part("objects/damaged", upload_id, 1, replace(body, **wrong))
    part = wire.put_part("objects/damaged", upload_id, 1, body)
    with pytest.raises(StoreUnavailableError):
        wire.complete("objects/damaged", upload_id, [replace(part, etag="0" * 32)])
    assert bucket.versions() == []
    wire.complete("objects/damaged", upload_id, [part])
    assert bucket.versions() == ["objects/damaged"]


@SIZES
def test_damage_on_the_way_is_mended_by_sending_again(bucket: Bucket, size_bytes: int) -> None:
    content = secrets.token_bytes(size_bytes)
    bucket.pool.arm("PUT .*/objects/", answers(400, "BadDigest"))
    name = put(bucket.store, content)
    assert bucket.pool.hits == 1
    assert read(bucket.store, name) == content


@SIZES
@pytest.mark.parametrize("fault", [without_lock, one_byte_more])
def test_what_is_not_stored_as_asked_fails_the_commit(
    bucket: Bucket, size_bytes: int, fault: Callable[[Send], BaseHTTPResponse]
) -> None:
    bucket.pool.arm("HEAD .*/objects/", fault)
    with pytest.raises(StoreUnavailableError):
        put(bucket.store, secrets.token_bytes(size_bytes))
    assert bucket.pool.hits == 1


# ------------------------------------------------------------- lost answers

WRITES = [
    pytest.param(WHOLE, "PUT .*/objects/", id="whole"),
    pytest.param(IN_PARTS, "PUT .*partNumber=2", id="part"),
    pytest.param(IN_PARTS, "POST .*uploadId=", id="completion"),
]


@pytest.mark.parametrize(("size_bytes", "at"), WRITES)
@pytest.mark.parametrize("fault", [lost_question, lost_answer, answers(503, "SlowDown")])
def test_a_write_without_answer_is_repeated_and_makes_one_version(
    bucket: Bucket, size_bytes: int, at: str, fault: Callable[[Send], BaseHTTPResponse]
) -> None:
    content = secrets.token_bytes(size_bytes)
    bucket.pool.arm(at, fault)
    name = put(bucket.store, content)
    assert bucket.pool.hits == 1
    assert read(bucket.store, name) == content
    assert bucket.store.stat(name).retain_until is not None
    assert len(bucket.versions()) == 1
    assert left(bucket.store) == []


@pytest.mark.parametrize(("size_bytes", "at"), WRITES)
def test_a_write_that_is_never_answered_fails(bucket: Bucket, size_bytes: int, at: str) -> None:
    bucket.pool.arm(at, lost_question, times=3)
    with pytest.raises(StoreUnavailableError):
        put(bucket.store, secrets.token_bytes(size_bytes))
    assert bucket.pool.hits == 3
    assert bucket.versions() == []
    assert left(bucket.store) == []


@pytest.mark.parametrize(("size_bytes", "at"), [WRITES[0], WRITES[2]])
def test_another_object_is_not_taken_for_ones_own_after_a_lost_answer(
    bucket: Bucket, size_bytes: int, at: str
) -> None:
    first = secrets.token_bytes(size_bytes)
    name = put(bucket.store, first)
    bucket.pool.arm(at, lost_question)
    with pytest.raises(ConflictError):
        put(bucket.store, secrets.token_bytes(size_bytes), name)
    assert bucket.pool.hits == 1
    assert read(bucket.store, name) == first
    assert len(bucket.versions()) == 1


def test_an_error_inside_a_good_answer_is_an_error(bucket: Bucket) -> None:
    bucket.pool.arm("POST .*uploadId=", answers(200, "InternalError"), times=3)
    with pytest.raises(StoreUnavailableError):
        put(bucket.store, secrets.token_bytes(IN_PARTS))
    assert bucket.versions() == []
    bucket.pool.arm("POST .*uploadId=", answers(200, "InternalError"))
    content = secrets.token_bytes(IN_PARTS)
    assert read(bucket.store, put(bucket.store, content)) == content


def test_an_upload_that_was_let_go_meanwhile_fails_the_commit(bucket: Bucket) -> None:
    store = bucket.store
    writer = store.begin(fresh())
    writer.write(secrets.token_bytes(IN_PARTS))
    assert store.discard_unfinished(before=datetime.now(tz=UTC) + timedelta(days=1)) == 1
    with pytest.raises(StoreUnavailableError):
        store.commit([writer])
    assert bucket.versions() == []


def test_reads_are_repeated(bucket: Bucket) -> None:
    store = bucket.store
    name = put(store, b"evidence")
    asks: dict[str, Callable[[], bool]] = {
        "HEAD": lambda: store.stat(name).size_bytes == 8,
        "GET .*/objects/": lambda: read(store, name) == b"evidence",
        "GET .*list-type": lambda: list(store.names()) == [name],
        "GET .*uploads": lambda: left(store) == [],
    }
    for at, ask in asks.items():
        for fault in (lost_question, answers(500, "InternalError")):
            bucket.pool.arm(at, fault, times=2)
            assert ask()
            assert bucket.pool.hits == 2


def test_a_full_server_is_told_apart(bucket: Bucket) -> None:
    for status, code in ((403, "QuotaExceeded"), (507, "InsufficientStorage")):
        bucket.pool.arm("PUT", answers(status, code))
        with pytest.raises(NoSpaceError):
            put(bucket.store, b"evidence")


def test_an_object_behind_a_delete_marker_is_not_found(bucket: Bucket) -> None:
    def marked(send: Send) -> BaseHTTPResponse:
        response = send()
        response.headers["x-amz-delete-marker"] = "true"
        return response

    bucket.pool.arm("GET .*/objects/", marked)
    with pytest.raises(NotFoundError):
        read(bucket.store, fresh())


# -------------------------------------------------------------- many entries


def test_lists_go_on_page_by_page(bucket: Bucket) -> None:
    wire = replace(bucket.wire, page_entries=2)
    keys = [f"objects/{number}" for number in range(5)]
    for key in keys:
        wire.put(key, Body.of(b""), UNLOCKED)
    uploads = {
        (f"objects/{number}", wire.begin_upload(f"objects/{number}", UNLOCKED))
        for number in "abcde"
    }
    assert list(wire.keys("objects/", None)) == keys
    assert list(wire.keys("objects/", "objects/1")) == keys[2:]
    assert {(each.key, each.id) for each in wire.uploads("objects/")} == uploads


def test_what_is_not_an_object_of_ours_is_not_listed(bucket: Bucket) -> None:
    name = put(bucket.store, b"evidence")
    for key in ("objects/README", "objects/ab/short", f"objects/zz/{name}", f"other/{name}"):
        bucket.wire.put(key, Body.of(b"foreign"), UNLOCKED)
    assert list(bucket.store.names()) == [name]


# ------------------------------------------------------------ wrong settings


def test_a_missing_bucket_is_not_an_empty_store(
    s3_server: SeaweedServer, s3_bucket_name: str
) -> None:
    store = make_store(s3_server.client(), s3_bucket_name)
    for ask in (
        lambda: store.stat(fresh()),
        lambda: read(store, fresh()),
        lambda: put(store, b"evidence"),
        lambda: put(store, secrets.token_bytes(IN_PARTS)),
        lambda: list(store.names()),
    ):
        with pytest.raises(StoreUnavailableError):
            ask()


def test_wrong_credentials_are_refused_and_told_to_nobody(
    bucket: Bucket, s3_server: SeaweedServer
) -> None:
    client = make_client(s3_server.endpoint, FaultyPool(), "another-secret-key")
    store = make_store(client, bucket.name)
    for ask in (lambda: store.stat(fresh()), lambda: put(store, b"evidence")):
        with pytest.raises(StoreUnavailableError) as refusal:
            ask()
        told = f"{refusal.value} {refusal.value.__cause__} {client!r} {store!r}"
        assert "another-secret-key" not in told
        assert ACCESS_KEY not in told


def test_a_store_over_https_trusts_the_stated_certificates_only(
    s3_server: SeaweedServer, s3_bucket_name: str
) -> None:
    client = s3_server.client(secure=True)
    create_bucket(client, s3_bucket_name, retention=RETENTION)
    store = make_store(client, s3_bucket_name)
    store.prove_lock()
    for size_bytes in (0, WHOLE, IN_PARTS):
        content = secrets.token_bytes(size_bytes)
        assert read(store, put(store, content)) == content
    untrusting = connect(
        s3_server.https_endpoint, access_key=ACCESS_KEY, secret_key=SECRET_KEY, region=REGION
    )
    with pytest.raises(StoreUnavailableError):
        list(make_store(untrusting, s3_bucket_name).names())


def test_settings_that_cannot_be_right_are_refused(s3_server: SeaweedServer) -> None:
    for endpoint, ca_file in (
        ("http://not-host-and-port/path", None),
        (s3_server.endpoint, s3_server.folder / "none"),
    ):
        with pytest.raises(SettingsError):
            connect(
                endpoint,
                access_key=ACCESS_KEY,
                secret_key=SECRET_KEY,
                region=REGION,
                ca_file=ca_file,
            )


# ------------------------------------------------------------- wrong servers


@contextmanager
def server_that_answers(
    status: int, headers: dict[str, str], body: bytes
) -> Iterator[S3ObjectStore]:
    """A store on a server of our own that answers every GET like this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        client = make_client(f"{HOST}:{server.server_port}", FaultyPool())
        yield make_store(client, "evidence")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_body_that_ends_early_is_not_taken_for_the_whole() -> None:
    with server_that_answers(200, {"Content-Length": "100"}, b"x" * 60) as store:
        received: list[bytes] = []
        with pytest.raises(StoreUnavailableError):
            received.extend(store.read(fresh()))
    assert len(b"".join(received)) < 100


def test_a_body_of_no_stated_length_is_not_taken_for_the_whole() -> None:
    with (
        server_that_answers(200, {}, b"x" * 60) as store,
        pytest.raises(StoreUnavailableError),
    ):
        read(store, fresh())


def test_a_server_that_ignores_ranges_is_refused() -> None:
    with (
        server_that_answers(200, {"Content-Length": "9"}, b"the whole") as store,
        pytest.raises(StoreUnavailableError),
    ):
        list(store.read(fresh(), offset=4, length=5))


def test_an_encoded_body_is_passed_on_as_it_is_stored() -> None:
    headers = {"Content-Length": "9", "Content-Encoding": "gzip"}
    with server_that_answers(200, headers, b"not gzip!") as store:
        assert read(store, fresh()) == b"not gzip!"


@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_server_that_is_not_s3_is_unavailable(status: int) -> None:
    page = b"<html><body>Welcome</body>"
    headers = {"Content-Type": "text/html", "Content-Length": str(len(page))}
    with server_that_answers(status, headers, page) as store:
        with pytest.raises(StoreUnavailableError):
            list(store.names())
        with pytest.raises(StoreUnavailableError):
            left(store)
