"""The filesystem store on a real disk: modes, full disks, crashes, and disks that go away."""

import errno
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evidence_store.errors import (
    ConflictError,
    MalformedError,
    NoSpaceError,
    NotFoundError,
    SettingsError,
    StoreUnavailableError,
)
from evidence_store.identifiers import ObjectName
from storage.objects import durable
from storage.objects.filesystem import MANY_WRITERS, MARKER, FilesystemObjectStore
from storage.objects.filesystem_writer import FilesystemObjectWriter

MIB = 1024 * 1024
TOMORROW = datetime.now(tz=UTC) + timedelta(days=1)
BATCHES = pytest.mark.parametrize("count", [1, MANY_WRITERS], ids=["few", "many"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(root: Path) -> FilesystemObjectStore:
    return FilesystemObjectStore.create(root)


def fresh() -> ObjectName:
    return ObjectName.of(secrets.token_bytes(16))


def begun(
    store: FilesystemObjectStore, count: int, content: bytes = b"evidence"
) -> list[FilesystemObjectWriter]:
    writers = [store.begin(fresh()) for _ in range(count)]
    for writer in writers:
        writer.write(content)
    return writers


def put(store: FilesystemObjectStore, content: bytes = b"evidence") -> ObjectName:
    [writer] = begun(store, 1, content)
    store.commit([writer])
    return writer.name


def read(store: FilesystemObjectStore, name: ObjectName) -> bytes:
    return b"".join(store.read(name))


def path(root: Path, name: ObjectName) -> Path:
    return root / "objects" / name.value[:2] / name.value


def incoming(root: Path) -> list[Path]:
    return list((root / "incoming").iterdir())


# --------------------------------------------------------------------- layout


@BATCHES
def test_an_object_is_one_read_only_file_under_its_name(
    store: FilesystemObjectStore, root: Path, count: int
) -> None:
    writers = begun(store, count)
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in incoming(root))
    store.commit(writers)
    for writer in writers:
        found = path(root, writer.name).lstat()
        assert stat.S_ISREG(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o444
        assert found.st_nlink == 1
        assert path(root, writer.name).read_bytes() == b"evidence"
    assert incoming(root) == []


def test_nobody_else_may_look_into_the_store(store: FilesystemObjectStore, root: Path) -> None:
    put(store)
    for folder in (root, root / "incoming", root / "objects", root / "objects" / "ab"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_store_is_opened_again_with_what_it_holds(
    store: FilesystemObjectStore, root: Path
) -> None:
    name = put(store)
    assert read(FilesystemObjectStore(root), name) == b"evidence"
    assert list(FilesystemObjectStore.create(root).names()) == [
        name
    ]  # creating again harms nothing


def test_a_store_is_not_made_among_other_files(root: Path) -> None:
    root.mkdir()
    (root / "holiday.jpg").write_bytes(b"")
    with pytest.raises(SettingsError):
        FilesystemObjectStore.create(root)
    assert [each.name for each in root.iterdir()] == ["holiday.jpg"]


def test_a_store_whose_making_was_interrupted_is_finished(root: Path) -> None:
    (root / "objects" / "00").mkdir(parents=True)
    (root / f"{MARKER}.new").write_bytes(b"evid")
    with pytest.raises(StoreUnavailableError):
        FilesystemObjectStore(root)
    put(FilesystemObjectStore.create(root))


def test_what_is_not_an_object_of_ours_is_not_listed(
    store: FilesystemObjectStore, root: Path
) -> None:
    name = put(store)
    fan = root / "objects" / name.value[:2]
    (fan / ".nfs0001").write_bytes(b"")
    other = ("00" if name.value[:2] != "00" else "01") + name.value[2:]
    (fan / other).write_bytes(b"")  # under the wrong fan
    assert list(store.names()) == [name]


@BATCHES
def test_bytes_that_are_there_are_never_overwritten(
    store: FilesystemObjectStore, root: Path, count: int
) -> None:
    writers = begun(store, count, b"second")
    target = path(root, writers[-1].name)
    target.write_bytes(b"first")
    before = target.stat()
    with pytest.raises(ConflictError):
        store.commit(writers)
    after = target.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert target.read_bytes() == b"first"
    assert incoming(root) == []


def test_a_link_in_the_place_of_an_object_is_not_followed(
    store: FilesystemObjectStore, root: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not evidence")
    name = fresh()
    path(root, name).symlink_to(secret)
    with pytest.raises(StoreUnavailableError):
        read(store, name)
    writer = store.begin(name)
    with pytest.raises(ConflictError):
        store.commit([writer])


def test_a_dropped_writer_leaves_nothing(store: FilesystemObjectStore, root: Path) -> None:
    [writer] = begun(store, 1)
    assert len(incoming(root)) == 1
    del writer
    assert incoming(root) == []


def test_a_write_after_the_commit_is_refused(store: FilesystemObjectStore) -> None:
    [writer] = begun(store, 1)
    store.commit([writer])
    with pytest.raises(MalformedError):
        writer.write(b"more")
    assert read(store, writer.name) == b"evidence"


# ----------------------------------------------------------------- durability


class Calls:
    """What the store asks of the kernel, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        self._note(monkeypatch, os, "fsync")
        self._note(monkeypatch, os, "link")
        self._note(monkeypatch, durable, "flush_filesystem")

    def _note(self, monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
        real: Callable[..., object] = getattr(module, name)

        def noted(*arguments: object) -> object:
            self.made.append(name)
            return real(*arguments)

        monkeypatch.setattr(module, name, noted)


def test_every_byte_is_flushed_before_it_has_a_name_and_every_name_before_the_answer(
    store: FilesystemObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = begun(store, 2)
    calls = Calls(monkeypatch)
    store.commit(writers)
    folders = len({writer.name.value[:2] for writer in writers})
    assert calls.made == ["fsync"] * 2 + ["link"] * 2 + ["fsync"] * folders


def test_many_small_objects_cost_two_flushes(
    store: FilesystemObjectStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not durable.flushes_whole(root):
        pytest.skip("this filesystem or kernel gives no promise for one flush of everything")
    writers = begun(store, 256)
    calls = Calls(monkeypatch)
    store.commit(writers)
    assert calls.made == ["flush_filesystem"] + ["link"] * 256 + ["flush_filesystem"]


def test_where_one_flush_promises_nothing_each_object_is_flushed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "flushes_whole", lambda _: False)
    store = FilesystemObjectStore.create(root)
    writers = begun(store, MANY_WRITERS)
    calls = Calls(monkeypatch)
    store.commit(writers)
    assert calls.made[:MANY_WRITERS] == ["fsync"] * MANY_WRITERS
    assert calls.made[MANY_WRITERS : 2 * MANY_WRITERS] == ["link"] * MANY_WRITERS
    assert all(read(store, writer.name) == b"evidence" for writer in writers)


@pytest.mark.parametrize("failing", ["first flush", "second flush"])
@BATCHES
def test_a_flush_that_fails_fails_the_commit(
    store: FilesystemObjectStore,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
    count: int,
) -> None:
    writers = begun(store, count)
    flushes = {"first flush": 1, "second flush": 2}

    def flush(_: int) -> None:
        flushes[failing] -= 1
        if flushes[failing] == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(durable, "flush_filesystem", flush)
    with pytest.raises(StoreUnavailableError):
        store.commit(writers)
    monkeypatch.undo()
    assert incoming(root) == []
    names = sorted(writer.name for writer in writers)
    assert list(store.names()) == ([] if failing == "first flush" else names)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_without_hard_links_a_rename_that_replaces_nothing_places_the_object(
    store: FilesystemObjectStore, root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", no_links)
    name = put(store)
    assert read(store, name) == b"evidence"
    writer = store.begin(name)
    writer.write(b"second")
    with pytest.raises(ConflictError):
        store.commit([writer])
    assert read(store, name) == b"evidence"
    assert incoming(root) == []


# ------------------------------------------------------------------ full disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("needs the program mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    arguments = [mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mounted = subprocess.run(arguments, capture_output=True, check=False)  # noqa: S603 - our own
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        yield folder
    finally:
        subprocess.run([umount, "-l", str(folder)], check=True)  # noqa: S603 - our own


def test_a_full_disk_is_said_to_be_full_and_gets_its_space_back(small_disk: Path) -> None:
    store = FilesystemObjectStore.create(small_disk / "objects")
    kept = put(store, bytes(MIB))
    writer = store.begin(fresh())
    writer.write(bytes(2 * MIB))
    with pytest.raises(NoSpaceError):
        writer.write(bytes(2 * MIB))
    assert incoming(small_disk / "objects") == []
    assert list(store.names()) == [kept]
    assert read(store, put(store, bytes(2 * MIB))) == bytes(2 * MIB)


def test_an_object_that_cannot_fit_is_refused_before_it_is_written(small_disk: Path) -> None:
    store = FilesystemObjectStore.create(small_disk / "objects")
    with pytest.raises(NoSpaceError):
        store.begin(fresh(), size_bytes=1024 * MIB)
    assert incoming(small_disk / "objects") == []


def test_an_unmounted_disk_is_not_an_empty_store(small_disk: Path) -> None:
    store = FilesystemObjectStore.create(small_disk)
    name = put(store)
    umount = shutil.which("umount")
    assert umount is not None
    subprocess.run([umount, str(small_disk)], check=True)  # noqa: S603 - our own
    try:
        for ask in asks(store, name):
            with pytest.raises(StoreUnavailableError):
                ask()
        with pytest.raises(StoreUnavailableError):
            FilesystemObjectStore(small_disk)
        assert list(small_disk.iterdir()) == []
    finally:  # for the fixture to unmount
        mount = shutil.which("mount")
        assert mount is not None
        subprocess.run([mount, "-t", "tmpfs", "tmpfs", str(small_disk)], check=True)  # noqa: S603


def test_a_quota_counts_as_a_full_disk(
    store: FilesystemObjectStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [writer] = begun(store, 1)

    def over_quota(*_: object) -> int:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "write", over_quota)
    with pytest.raises(NoSpaceError):
        writer.write(b"more")
    assert incoming(root) == []


def test_a_kernel_that_takes_less_than_it_is_given_is_given_the_rest(
    store: FilesystemObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, chunk: real(descriptor, chunk[:7]))
    content = secrets.token_bytes(1000)
    writer = store.begin(fresh())
    writer.write(memoryview(content))
    monkeypatch.undo()
    store.commit([writer])
    assert writer.size_bytes == 1000
    assert read(store, writer.name) == content


# ------------------------------------------------------------ disks that vanish


def asks(store: FilesystemObjectStore, name: ObjectName) -> list[Callable[[], object]]:
    """Everything a store can be asked for."""
    return [
        lambda: store.stat(name),
        lambda: read(store, name),
        lambda: list(store.names()),
        lambda: store.unfinished(before=TOMORROW),
        lambda: store.discard_unfinished(before=TOMORROW),
        lambda: store.begin(fresh()),
    ]


def test_a_folder_without_its_marker_is_not_an_empty_store(root: Path) -> None:
    root.mkdir()
    with pytest.raises(StoreUnavailableError):
        FilesystemObjectStore(root)
    with pytest.raises(StoreUnavailableError):
        FilesystemObjectStore(root / "nowhere")


def test_a_root_that_vanishes_is_unavailable_and_not_empty(
    store: FilesystemObjectStore, root: Path
) -> None:
    name = put(store)
    writers = begun(store, 2)
    root.rename(root.with_name("elsewhere"))
    for ask in asks(store, name):
        with pytest.raises(StoreUnavailableError):
            ask()
    with pytest.raises(StoreUnavailableError):
        store.commit(writers)
    root.with_name("elsewhere").rename(root)
    assert read(store, name) == b"evidence"
    assert list(store.names()) == [name]


def test_another_disk_in_its_place_takes_nothing(store: FilesystemObjectStore, root: Path) -> None:
    root.rename(root.with_name("elsewhere"))
    (root / "incoming").mkdir(parents=True)
    for fan in range(256):
        (root / "objects" / f"{fan:02x}").mkdir(parents=True)
    writers = begun(store, 1)
    with pytest.raises(StoreUnavailableError):
        store.commit(writers)
    with pytest.raises(StoreUnavailableError):
        store.stat(fresh())
    with pytest.raises(StoreUnavailableError):
        list(store.names())
    assert incoming(root) == []


def test_a_store_of_another_version_is_refused(store: FilesystemObjectStore, root: Path) -> None:
    put(store)
    (root / MARKER).write_bytes(b"evidence objects, version 2\n")
    with pytest.raises(StoreUnavailableError):
        FilesystemObjectStore(root)


def test_an_object_that_vanishes_is_not_found(store: FilesystemObjectStore, root: Path) -> None:
    name = put(store)
    path(root, name).unlink()
    with pytest.raises(NotFoundError):
        store.stat(name)
    with pytest.raises(NotFoundError):
        read(store, name)


def test_a_disk_that_fails_while_it_is_read_is_unavailable(
    store: FilesystemObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = put(store, bytes(3 * MIB))
    chunks = store.read(name)
    next(chunks)

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", broken)
    with pytest.raises(StoreUnavailableError):
        next(chunks)


# --------------------------------------------------------------------- crashes

DIES = """
import os, signal, sys
from pathlib import Path
from evidence_store.identifiers import ObjectName
from storage.objects import durable
from storage.objects.filesystem import FilesystemObjectStore

step, count = sys.argv[2], int(sys.argv[3])
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

store = FilesystemObjectStore(Path(sys.argv[1]))
writers = [store.begin(ObjectName.of(os.urandom(16))) for _ in range(count)]
for writer in writers:
    writer.write(b"evidence")
if step == "before the commit":
    die()
if step == "before the first flush":
    os.fsync = durable.flush_filesystem = die
if step == "before a name":
    durable.place = die
if step == "among the names":
    name, placed = durable.place, []
    def place(*arguments):
        if len(placed) == count // 2:
            die()
        placed.append(name(*arguments))
    durable.place = place
if step == "between the two names":
    Path.unlink = die
if step == "before the last flush":
    real, done = durable.flush_filesystem, []
    durable.flush_directory = die
    durable.flush_filesystem = lambda descriptor: die() if done else done.append(real(descriptor))
store.commit(writers)
if step == "after the commit":
    die()
"""
# For each step, how many of so many objects are under their names when it dies there.
PLACED: dict[str, Callable[[int], int]] = {
    "before the commit": lambda _: 0,
    "before the first flush": lambda _: 0,
    "before a name": lambda _: 0,
    "among the names": lambda count: count // 2,
    "between the two names": lambda _: 1,
    "before the last flush": lambda count: count,
    "after the commit": lambda count: count,
}


@pytest.mark.parametrize("step", PLACED)
@BATCHES
def test_a_crash_leaves_whole_objects_or_unfinished_ones(
    store: FilesystemObjectStore, root: Path, pytestconfig: pytest.Config, step: str, count: int
) -> None:
    before = put(store, b"from before")
    died = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", DIES, str(root), step, str(count)],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    placed = PLACED[step](count)
    names = set(store.names()) - {before}
    assert len(names) == placed
    assert all(read(store, name) == b"evidence" for name in names)

    left = store.unfinished(before=TOMORROW)
    two_names = step == "between the two names"
    assert len(left) == count - placed + two_names
    assert list(store.unfinished(before=datetime.now(tz=UTC) - timedelta(days=1))) == []
    assert store.discard_unfinished(before=TOMORROW) == len(left)
    assert incoming(root) == []
    assert set(store.names()) == names | {before}
    assert all(read(store, name) == b"evidence" for name in names)
