"""What every object store must do. Each adapter of `ObjectStore` is held to the same suite."""

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from evidence_store.digest import fingerprint
from evidence_store.errors import (
    ConflictError,
    FixityError,
    MalformedError,
    NotFoundError,
    StoreUnavailableError,
)
from evidence_store.identifiers import ObjectName
from evidence_store.item import SealedObject
from evidence_store.ports import ObjectStore
from evidence_store.vault import Vault
from storage.objects.filesystem import FilesystemObjectStore
from storage.objects.memory import MemoryObjectStore
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_bucket import create_bucket
from tests.seaweedfs import SeaweedServer, SystemClock
from tests.vaults import Chance, TestKeyring, sealed_into

MIB = 1024 * 1024
PART_BYTES = 5 * MIB  # the least that S3 allows
AHEAD = timedelta(days=1)


def make_memory(request: pytest.FixtureRequest) -> ObjectStore:
    del request
    return MemoryObjectStore()


def make_filesystem(request: pytest.FixtureRequest) -> ObjectStore:
    folder: Path = request.getfixturevalue("tmp_path")
    return FilesystemObjectStore.create(folder / "objects")


def make_s3(request: pytest.FixtureRequest) -> ObjectStore:
    server: SeaweedServer = request.getfixturevalue("s3_server")
    bucket: str = request.getfixturevalue("s3_bucket_name")
    client = server.client()
    retention = timedelta(minutes=5)
    create_bucket(client, bucket, retention=retention)
    return S3ObjectStore(
        client, bucket, clock=SystemClock(), retention=retention, part_bytes=PART_BYTES
    )


STORES = [
    pytest.param(make_memory, id="memory"),
    pytest.param(make_filesystem, id="filesystem"),
    pytest.param(make_s3, id="s3", marks=pytest.mark.s3),
]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> ObjectStore:
    make: Callable[[pytest.FixtureRequest], ObjectStore] = request.param
    return make(request)


def fresh(prefix: str = "") -> ObjectName:
    return ObjectName(prefix + secrets.token_hex(16)[len(prefix) :])


def put(store: ObjectStore, *contents: bytes) -> list[ObjectName]:
    writers = []
    for content in contents:
        writer = store.begin(fresh(), size_bytes=len(content))
        writer.write(content)
        writers.append(writer)
    store.commit(writers)
    return [writer.name for writer in writers]


def read(store: ObjectStore, name: ObjectName, **of: int) -> bytes:
    return b"".join(store.read(name, **of))


SIZES = [0, 1, 65_536, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 12 * MIB + 7]


@pytest.mark.parametrize("size_bytes", SIZES)
def test_what_is_committed_comes_back_bit_for_bit(store: ObjectStore, size_bytes: int) -> None:
    content = secrets.token_bytes(size_bytes)
    [name] = put(store, content)
    assert read(store, name) == content
    stored = store.stat(name)
    assert (stored.name, stored.size_bytes) == (name, size_bytes)


def test_a_file_becomes_an_object_as_it_is_where_the_store_adopts(
    store: ObjectStore, tmp_path: Path
) -> None:
    folder = tmp_path / "beside"
    folder.mkdir()
    file, content = folder / "sealed", secrets.token_bytes(70_000)
    file.write_bytes(content)
    name = fresh()
    if not store.adopts(str(folder)):
        with pytest.raises(StoreUnavailableError):
            store.adopt(name, str(file))
        return
    let_go = store.adopt(fresh(), str(file))
    let_go.abort()
    assert file.read_bytes() == content
    writer = store.adopt(name, str(file))
    assert (writer.name, writer.size_bytes) == (name, len(content))
    store.commit([writer])
    file.unlink()
    assert read(store, name) == content
    assert store.stat(name).size_bytes == len(content)
    assert name in list(store.names())
    assert store.unfinished(before=datetime.now(tz=UTC) + AHEAD) == []


def test_what_is_not_there_is_not_adopted(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        store.adopt(fresh(), str(tmp_path / "nothing"))
    assert not store.adopts(str(tmp_path / "nowhere"))


def test_chunks_of_any_kind_and_size_make_one_object(store: ObjectStore) -> None:
    writer = store.begin(fresh())
    buffer = bytearray(b"reused")
    writer.write(b"")
    writer.write(buffer)
    buffer[:] = b"second"  # the caller's buffer is the caller's again
    writer.write(memoryview(buffer)[:3])
    writer.write(secrets.token_bytes(0))
    large = secrets.token_bytes(2 * PART_BYTES + 3)
    writer.write(memoryview(large))
    assert writer.size_bytes == 9 + len(large)
    store.commit([writer])
    assert read(store, writer.name) == b"reusedsec" + large


def test_the_stated_size_is_only_a_hint(store: ObjectStore) -> None:
    writer = store.begin(fresh(), size_bytes=3)
    writer.write(b"longer than that")
    store.commit([writer])
    assert read(store, writer.name) == b"longer than that"


RANGES = [(0, 10), (7, 3), (0, 1), (99_999, 1), (99_990, 100), (0, 200_000), (50_000, 30_000)]


@pytest.mark.parametrize(("offset", "length"), RANGES)
def test_a_range_gives_exactly_its_bytes(store: ObjectStore, offset: int, length: int) -> None:
    content = secrets.token_bytes(100_000)
    [name] = put(store, content)
    assert read(store, name, offset=offset, length=length) == content[offset : offset + length]
    assert read(store, name, offset=offset) == content[offset:]


@pytest.mark.parametrize("content", [b"", b"some content"])
def test_a_range_without_bytes_gives_none(store: ObjectStore, content: bytes) -> None:
    [name] = put(store, content)
    assert read(store, name, offset=len(content)) == b""
    assert read(store, name, offset=len(content) + 100, length=5) == b""
    assert read(store, name, offset=0, length=0) == b""


def test_a_range_across_parts_is_whole(store: ObjectStore) -> None:
    content = secrets.token_bytes(2 * PART_BYTES + 100)
    [name] = put(store, content)
    at = PART_BYTES - 50
    assert read(store, name, offset=at, length=MIB) == content[at : at + MIB]


def test_a_reader_may_stop_in_the_middle(store: ObjectStore) -> None:
    content = secrets.token_bytes(3 * MIB)
    [name] = put(store, content)
    chunks = store.read(name)
    first = next(chunks)
    assert content.startswith(first)
    assert 0 < len(first) < len(content)
    assert isinstance(chunks, Iterator)
    del chunks
    assert read(store, name) == content


@pytest.mark.parametrize("size_bytes", [10, PART_BYTES + 10])
def test_a_second_put_of_a_name_is_refused_and_the_first_stays(
    store: ObjectStore, size_bytes: int
) -> None:
    first, second = secrets.token_bytes(size_bytes), secrets.token_bytes(size_bytes)
    [name] = put(store, first)
    writer = store.begin(name)
    writer.write(second)
    with pytest.raises(ConflictError):
        store.commit([writer])
    writer.abort()
    assert read(store, name) == first
    assert list(store.names()) == [name]
    assert list(store.unfinished(before=datetime.now(tz=UTC) + AHEAD)) == []


def test_two_writers_of_a_name_may_begin_and_one_wins(store: ObjectStore) -> None:
    name = fresh()
    first, second = store.begin(name), store.begin(name)
    first.write(b"first")
    second.write(b"second")
    store.commit([second])
    with pytest.raises(ConflictError):
        store.commit([first])
    first.abort()
    assert read(store, name) == b"second"


@pytest.mark.parametrize("size_bytes", [10, PART_BYTES + 10])
def test_nobody_reads_what_is_not_committed(store: ObjectStore, size_bytes: int) -> None:
    writer = store.begin(fresh())
    writer.write(secrets.token_bytes(size_bytes))
    with pytest.raises(NotFoundError):
        store.stat(writer.name)
    with pytest.raises(NotFoundError):
        read(store, writer.name)
    assert list(store.names()) == []
    writer.abort()


@pytest.mark.parametrize("size_bytes", [0, 10, PART_BYTES + 10, 3 * PART_BYTES])
def test_what_is_aborted_leaves_nothing(store: ObjectStore, size_bytes: int) -> None:
    writer = store.begin(fresh())
    writer.write(secrets.token_bytes(size_bytes))
    writer.abort()
    writer.abort()
    assert list(store.names()) == []
    assert list(store.unfinished(before=datetime.now(tz=UTC) + AHEAD)) == []
    with pytest.raises(MalformedError):
        store.commit([writer])


def test_an_abort_after_the_commit_does_nothing(store: ObjectStore) -> None:
    writer = store.begin(fresh())
    writer.write(b"stays")
    store.commit([writer])
    writer.abort()
    assert read(store, writer.name) == b"stays"
    with pytest.raises(MalformedError):
        store.commit([writer])
    assert read(store, writer.name) == b"stays"


def test_a_writer_of_another_store_is_refused(store: ObjectStore) -> None:
    class Foreign:
        name = fresh()
        size_bytes = 0

        def write(self, chunk: bytes | bytearray | memoryview, /) -> None:
            raise AssertionError(len(chunk))

        def abort(self) -> None:
            raise AssertionError

    with pytest.raises(MalformedError):
        store.commit([Foreign()])


def test_a_commit_of_nothing_does_nothing(store: ObjectStore) -> None:
    store.commit([])
    assert list(store.names()) == []


def test_many_are_committed_at_once(store: ObjectStore) -> None:
    contents = [secrets.token_bytes(1 + number) for number in range(40)]
    contents.append(secrets.token_bytes(PART_BYTES + 1))
    names = put(store, *contents)
    assert [read(store, name) for name in names] == contents
    assert list(store.names()) == sorted(names)


def test_one_taken_name_among_many_fails_the_commit_and_harms_nothing(store: ObjectStore) -> None:
    [taken] = put(store, b"first")
    writers = [store.begin(name) for name in (*[fresh() for _ in range(9)], taken)]
    for writer in writers:
        writer.write(b"second")
    with pytest.raises(ConflictError):
        store.commit(writers)
    for writer in writers:
        writer.abort()
    assert read(store, taken) == b"first"
    for name in store.names():  # some may be there, each whole
        assert read(store, name) == (b"first" if name == taken else b"second")
    assert list(store.unfinished(before=datetime.now(tz=UTC) + AHEAD)) == []


def test_names_come_in_order_and_from_behind_a_cursor(store: ObjectStore) -> None:
    prefixes = ["00", "00", "01", "7f", "7f", "80", "fe", "ff", "ff"]
    writers = [store.begin(fresh(prefix)) for prefix in prefixes]
    store.commit(writers)
    names = sorted(writer.name for writer in writers)
    assert list(store.names()) == names
    for index, name in enumerate(names):
        assert list(store.names(after=name)) == names[index + 1 :]
    assert list(store.names(after=ObjectName("0" * 32))) == names
    assert list(store.names(after=ObjectName("7f" + "f" * 30))) == names[5:]
    assert list(store.names(after=ObjectName("f" * 32))) == []


def test_what_was_never_stored_is_not_found(store: ObjectStore) -> None:
    put(store, b"another")
    with pytest.raises(NotFoundError):
        store.stat(fresh())
    with pytest.raises(NotFoundError):
        read(store, fresh())
    with pytest.raises(NotFoundError):
        read(store, fresh(), offset=3, length=4)
    with pytest.raises(NotFoundError):
        read(store, fresh(), length=0)


def test_several_threads_write_and_read_at_once(store: ObjectStore) -> None:
    def work(number: int) -> list[tuple[ObjectName, bytes]]:
        contents = [secrets.token_bytes(1000 * number + each) for each in range(10)]
        names = put(store, *contents)
        assert [read(store, name) for name in names] == contents
        return list(zip(names, contents, strict=True))

    with ThreadPoolExecutor(6) as threads:
        stored = [pair for pairs in threads.map(work, range(6)) for pair in pairs]
    assert list(store.names()) == sorted(name for name, _ in stored)
    assert all(read(store, name) == content for name, content in stored)


def test_of_threads_that_race_for_a_name_one_wins(store: ObjectStore) -> None:
    name = fresh()
    together = threading.Barrier(4)

    def race(number: int) -> bytes | None:
        content = b"by thread %d" % number
        writer = store.begin(name)
        writer.write(content)
        together.wait()
        try:
            store.commit([writer])
        except ConflictError:
            return None
        return content

    with ThreadPoolExecutor(4) as threads:
        winners = [content for content in threads.map(race, range(4)) if content is not None]
    assert [read(store, name)] == winners


def test_what_a_crash_leaves_is_found_and_let_go(store: ObjectStore) -> None:
    [committed] = put(store, secrets.token_bytes(PART_BYTES + 1))
    writer = store.begin(fresh())  # never committed nor aborted
    writer.write(secrets.token_bytes(PART_BYTES + 1))
    past, future = datetime.now(tz=UTC) - AHEAD, datetime.now(tz=UTC) + AHEAD
    assert list(store.unfinished(before=past)) == []
    assert store.discard_unfinished(before=past) == 0
    assert len(store.unfinished(before=future)) == 1
    assert store.discard_unfinished(before=future) == 1
    assert list(store.unfinished(before=future)) == []
    assert store.discard_unfinished(before=future) == 0
    assert list(store.names()) == [committed]
    assert store.stat(committed).size_bytes == PART_BYTES + 1
    writer.abort()


# ---------------------------------------------------------------- through the vault


class Lying:
    """A store whose bytes are changed on the way, as an attacker at rest or on the line would."""

    def __init__(self, store: ObjectStore, position: int) -> None:
        self._store = store
        self._position = position

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def read(
        self, name: ObjectName, *, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        content = bytearray(b"".join(self._store.read(name, offset=offset, length=length)))
        content[self._position] ^= 1
        yield bytes(content)


def sealed_in(store: ObjectStore, content: bytes) -> tuple[Vault, SealedObject]:
    chance = Chance(secrets.randbits(60))  # S3 keeps what earlier tests named
    vault = Vault(store, TestKeyring(chance), chance)
    sealing = sealed_into(vault, content)
    store.commit([sealing.writer])
    return vault, sealing.sealed(fingerprint([content]))


def test_content_sealed_into_any_store_comes_out_whole_and_in_parts(store: ObjectStore) -> None:
    content = secrets.token_bytes(6 * MIB + 11)
    vault, sealed = sealed_in(store, content)
    assert b"".join(vault.open(sealed)) == content
    part = vault.open_range(sealed, 3 * MIB - 5, 100_000)
    assert b"".join(part) == content[3 * MIB - 5 : 3 * MIB + 99_995]


@pytest.mark.parametrize("position", [0, 100_000, -1], ids=["first", "middle", "last"])
def test_no_reader_has_the_whole_of_an_object_that_fails_its_digest(
    store: ObjectStore, position: int
) -> None:
    content = secrets.token_bytes(200_000)
    vault, sealed = sealed_in(store, content)
    lied_to = Vault(cast("ObjectStore", Lying(store, position)), vault.keyring, vault.random)
    handed_over: list[bytes] = []
    with pytest.raises(FixityError):
        handed_over.extend(lied_to.open(sealed))
    assert len(b"".join(handed_over)) < len(content)
    forged = fingerprint([content[:-1] + bytes([content[-1] ^ 1])])
    handed_over.clear()
    with pytest.raises(FixityError):
        handed_over.extend(vault.open(replace(sealed, fingerprint=forged)))
    assert len(b"".join(handed_over)) < len(content)
