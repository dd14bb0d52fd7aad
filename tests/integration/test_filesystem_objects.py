"""What only the store of files promises: modes, flushes, a full disk, a crash, a disk that is away."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evidence_store.errors import (
    ConflictError,
    NoSpaceError,
    SettingsError,
    StoreUnavailableError,
)
from evidence_store.identifiers import ObjectName
from storage.objects.filesystem import FilesystemObjectStore

NAME = ObjectName("ab" * 16)
LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> FilesystemObjectStore:
    return FilesystemObjectStore.create(tmp_path / "store")


def put(store: FilesystemObjectStore, name: ObjectName, content: bytes) -> None:
    writer = store.begin(name)
    writer.write(content)
    store.commit([writer])


def test_an_object_lies_under_its_name_and_is_read_only(
    store: FilesystemObjectStore, tmp_path: Path
) -> None:
    put(store, NAME, b"content")
    path = tmp_path / "store/objects/ab" / str(NAME)
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert list((tmp_path / "store/incoming").iterdir()) == []


def test_what_is_there_is_never_written_over(store: FilesystemObjectStore, tmp_path: Path) -> None:
    put(store, NAME, b"first")
    with pytest.raises(ConflictError):
        put(store, NAME, b"second")
    assert (tmp_path / "store/objects/ab" / str(NAME)).read_bytes() == b"first"


CRASH = """
import os, signal, sys
from pathlib import Path
from evidence_store.identifiers import ObjectName
from storage.objects import durable
from storage.objects.filesystem import FilesystemObjectStore
store = FilesystemObjectStore(Path(sys.argv[1]))
writers = [store.begin(ObjectName(f"{number:032x}")) for number in range(20)]
for writer in writers:
    writer.write(b"content")
if sys.argv[2] == "place":
    real, done = durable.place, []
    def place(*args):
        if len(done) == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(1)
        return real(*args)
    durable.place = place
    store.commit(writers)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("step", "placed"), [("write", 0), ("place", 7)])
def test_a_crash_leaves_whole_objects_and_unfinished_writes_and_nothing_in_part(
    store: FilesystemObjectStore, tmp_path: Path, step: str, placed: int
) -> None:
    root = tmp_path / "store"
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", CRASH, str(root), step],
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == -signal.SIGKILL
    names = list(store.names())
    assert len(names) == placed
    assert all(b"".join(store.read(name)) == b"content" for name in names)
    left = store.unfinished(before=LATER)
    assert len(left) >= 20 - placed
    assert store.discard_unfinished(before=LATER) == len(left)
    assert store.unfinished(before=LATER) == []
    assert list(store.names()) == names


def test_a_write_that_goes_on_is_not_taken_for_one_that_a_crash_left(
    store: FilesystemObjectStore,
) -> None:
    writer = store.begin(NAME)
    writer.write(b"still going on")
    assert store.unfinished(before=datetime.now(UTC) - timedelta(hours=1)) == []
    writer.abort()


def test_a_root_that_is_away_is_no_empty_store(
    store: FilesystemObjectStore, tmp_path: Path
) -> None:
    put(store, NAME, b"content")
    writer = store.begin(ObjectName("cd" * 16))
    (tmp_path / "store").rename(tmp_path / "away")
    for use in (
        lambda: store.stat(NAME),
        lambda: list(store.names()),
        lambda: list(store.read(NAME)),
        lambda: store.begin(NAME),
        lambda: store.commit([writer]),
        lambda: FilesystemObjectStore(tmp_path / "store"),
    ):
        with pytest.raises(StoreUnavailableError):
            use()


def test_a_folder_with_something_else_in_it_does_not_become_a_store(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("not an object store")
    with pytest.raises(SettingsError):
        FilesystemObjectStore.create(tmp_path)


def test_a_full_disk_is_said_so_and_its_space_comes_back(tmp_path: Path) -> None:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("needs root to mount a small tmpfs")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(  # noqa: S603 - fixed arguments
        [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        store = FilesystemObjectStore.create(place / "store")
        writer = store.begin(NAME)
        with pytest.raises(NoSpaceError):
            writer.write(bytes(4 * 1024 * 1024))
        with pytest.raises(NoSpaceError):
            store.begin(NAME, size_bytes=1 << 30)
        put(store, NAME, bytes(1024 * 1024))  # there is room again
        assert store.stat(NAME).size_bytes == 1024 * 1024
    finally:
        subprocess.run([umount, str(place)], check=True)  # noqa: S603 - fixed arguments
