"""Making, changing and backing up the key file: no step may lose a key that something hangs on."""

import errno
import os
import pty
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pytest

from evidence_store.age import stream
from evidence_store.age.header import open_header
from evidence_store.errors import (
    ConflictError,
    EvidenceError,
    FixityError,
    KeyUnavailableError,
    NoSpaceError,
    SettingsError,
    UnavailableError,
)
from storage.keys import private_file
from storage.keys.identities import Identities
from storage.keys.keyfile import KeyFile

FILE_KEY = b"YELLOW SUBMARINE"
PASSPHRASE = b"correct horse battery"
AGE = shutil.which("age") or ""
AGE_KEYGEN = shutil.which("age-keygen") or ""
needs_age = pytest.mark.skipif(
    not (AGE and AGE_KEYGEN),
    reason="the age program is not installed; get it with: apt-get install age",
)


def at_noon() -> datetime:
    return datetime(2026, 11, 24, 12, tzinfo=UTC)


def never() -> bytes:
    raise AssertionError("a passphrase was asked for")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "evidence.key"


@pytest.fixture
def key_file(path: Path) -> KeyFile:
    return KeyFile(path, now=at_noon).create()


@pytest.fixture
def protected(path: Path) -> KeyFile:
    return KeyFile(path, lambda: PASSPHRASE, now=at_noon, work_factor=4).create()


# ------------------------------------------------------------- making and changing it


def test_a_file_that_is_there_is_never_replaced_by_a_new_one(key_file: KeyFile) -> None:
    before = key_file.path.read_bytes()
    with pytest.raises(ConflictError):
        KeyFile(key_file.path, never).create()
    assert key_file.path.read_bytes() == before


def test_a_rotation_keeps_the_old_keys_to_open_with(key_file: KeyFile) -> None:
    headers = []
    for _ in range(3):
        headers.append(key_file.wrap(FILE_KEY))
        assert key_file.add_identity() == key_file.recipient
    again = KeyFile(key_file.path).load()
    assert len(set(again.recipients)) == 4
    assert again.recipients[0] == again.recipient == key_file.recipient
    for header in headers:
        assert again.unwrap(header) == FILE_KEY
    with pytest.raises(KeyUnavailableError):
        open_header(again.wrap(FILE_KEY), Identities.parse(again.path.read_bytes()).all[1:])


def test_a_protected_file_stays_protected_through_a_rotation(protected: KeyFile) -> None:
    header = protected.wrap(FILE_KEY)
    protected.add_identity()
    assert b"SECRET" not in protected.path.read_bytes()
    again = KeyFile(protected.path, lambda: PASSPHRASE)
    assert again.unwrap(header) == FILE_KEY
    assert len(again.recipients) == 2
    with pytest.raises(KeyUnavailableError):
        KeyFile(protected.path, lambda: b"another").load()


def test_a_rotation_keeps_a_key_that_another_process_added_meanwhile(key_file: KeyFile) -> None:
    key_file.load()
    added = KeyFile(key_file.path).add_identity()
    key_file.add_identity()
    assert added in KeyFile(key_file.path).recipients
    assert len(key_file.recipients) == 3


def test_two_changes_at_once_do_not_lose_a_key(key_file: KeyFile) -> None:
    before = key_file.path.read_bytes()
    with private_file.locked(key_file.path):
        context = get_context("spawn")
        with context.Pool(1) as pool:
            assert pool.apply(refused_to_add, (key_file.path,))
    assert key_file.path.read_bytes() == before
    key_file.add_identity()


def test_two_changes_at_once_in_one_process_are_told_apart_too(key_file: KeyFile) -> None:
    with private_file.locked(key_file.path), pytest.raises(UnavailableError):
        key_file.add_identity()


def refused_to_add(path: Path) -> bool:
    try:
        KeyFile(path).add_identity()
    except UnavailableError:
        return True
    return False


@pytest.mark.parametrize("step", ["open", "flush", "rename"])
def test_a_failure_at_any_step_leaves_the_old_file_whole(
    key_file: KeyFile, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before, recipient = key_file.path.read_bytes(), key_file.recipient
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*_: object, **__: object) -> None:
        raise full

    patches = {"open": (Path, "unlink"), "flush": (os, "fsync"), "rename": (Path, "replace")}
    with monkeypatch.context() as patched:
        patched.setattr(*patches[step], fail)
        with pytest.raises(NoSpaceError):
            key_file.add_identity()
    assert key_file.path.read_bytes() == before
    assert key_file.recipient == recipient
    key_file.add_identity()  # what was left over is not in the way
    assert [each.name for each in key_file.path.parent.iterdir()] == [key_file.path.name]


def test_the_file_and_its_name_are_flushed_before_the_key_is_used(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def flushed(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def replaced(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", replaced)
    KeyFile(path).create()
    assert done == ["file", "rename", "folder"]


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EvidenceError):
        KeyFile(tmp_path / "file" / "evidence.key").create()


# -------------------------------------------------------------------------- its backup


@pytest.mark.parametrize("which", ["key_file", "protected"])
def test_a_backup_takes_the_place_of_a_lost_file(
    request: pytest.FixtureRequest, tmp_path: Path, which: str
) -> None:
    key_file: KeyFile = request.getfixturevalue(which)
    quick = KeyFile(key_file.path, lambda: PASSPHRASE, work_factor=4)
    header = quick.wrap(FILE_KEY)
    quick.add_identity()
    quick.back_up(tmp_path / "copy", lambda: b"of the safe")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    assert b"SECRET" not in (tmp_path / "copy").read_bytes()
    quick.path.unlink()
    shutil.copy2(tmp_path / "copy", quick.path)
    restored = KeyFile(quick.path, lambda: b"of the safe")
    assert restored.unwrap(header) == FILE_KEY
    assert restored.recipients == quick.recipients


def test_a_backup_never_overwrites(key_file: KeyFile, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"an older backup")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("copy", "dangling"):
        with pytest.raises(ConflictError):
            key_file.back_up(tmp_path / name, never)
    assert (tmp_path / "copy").read_bytes() == b"an older backup"
    with pytest.raises(ConflictError):
        private_file.write_new(tmp_path / "copy", b"raced")
    assert (tmp_path / "copy").read_bytes() == b"an older backup"


def test_a_backup_that_reads_back_otherwise_is_not_taken_for_one(
    protected: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = protected.path.read_bytes()
    protected.add_identity()
    for content in (older, older[:-1] + bytes([older[-1] ^ 1])):
        monkeypatch.setattr(private_file, "read_back", lambda _, content=content: content)
        with pytest.raises(FixityError):
            protected.back_up(tmp_path / f"copy of {content[-1]}", lambda: PASSPHRASE)


def test_a_backup_that_cannot_be_read_back_is_said_so(
    protected: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(UnavailableError):
        protected.back_up(tmp_path / "copy", lambda: PASSPHRASE)


def test_a_backup_into_no_folder_is_said_so_and_a_full_disk_leaves_nothing(
    protected: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError):
        protected.back_up(tmp_path / "nowhere" / "copy", lambda: PASSPHRASE)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpaceError):
        protected.back_up(tmp_path / "copy", lambda: PASSPHRASE)
    assert not (tmp_path / "copy").exists()


# --------------------------------------------------------------------- the age program


def sealed(key_file: KeyFile, content: bytes) -> bytes:
    """header + body: an age file, as somebody puts it together who has the stock program only."""
    body = bytearray(stream.sealed_size(len(content)))
    with memoryview(body) as out:
        sealer = stream.Sealer(FILE_KEY, bytes(out[: stream.NONCE_BYTES]))
        sealer.seal_into(memoryview(content), out[stream.NONCE_BYTES :], final=True)
    return key_file.wrap(FILE_KEY) + body


@needs_age
def test_the_age_program_opens_with_the_key_file_what_any_of_its_keys_sealed(
    key_file: KeyFile,
) -> None:
    before = sealed(key_file, b"sealed before")
    key_file.add_identity()
    after = sealed(key_file, b"sealed after")
    for file, content in ((before, b"sealed before"), (after, b"sealed after")):
        assert age("-d", "-i", key_file.path, stdin=file) == content


@needs_age
def test_a_key_file_made_by_age_keygen_works(path: Path) -> None:
    path.parent.mkdir()
    subprocess.run([AGE_KEYGEN, "-o", path], check=True, capture_output=True)  # noqa: S603
    key_file = KeyFile(path)
    key_file.check()
    assert age("-d", "-i", path, stdin=sealed(key_file, b"statement")) == b"statement"
    key_file.add_identity()
    names = subprocess.run([AGE_KEYGEN, "-y", path], check=True, capture_output=True)  # noqa: S603
    assert names.stdout.decode().split() == key_file.recipients


@needs_age
def test_the_age_program_opens_a_backup_with_its_passphrase(
    protected: KeyFile, tmp_path: Path
) -> None:
    copy, opened = tmp_path / "copy", tmp_path / "opened"
    protected.back_up(copy, lambda: b"of the safe")
    at_a_terminal(["-d", "-o", str(opened), str(copy)], b"of the safe")
    assert Identities.parse(opened.read_bytes()).current.recipient.point


@needs_age
def test_the_age_program_opens_with_a_protected_key_file(
    protected: KeyFile, tmp_path: Path
) -> None:
    file, opened = tmp_path / "statement.age", tmp_path / "statement"
    file.write_bytes(sealed(protected, b"statement"))
    at_a_terminal(["-d", "-i", str(protected.path), "-o", str(opened), str(file)], PASSPHRASE)
    assert opened.read_bytes() == b"statement"


def age(*arguments: str | Path, stdin: bytes) -> bytes:
    command = [AGE, *map(str, arguments)]
    return subprocess.run(  # noqa: S603 - the program under comparison, found on PATH
        command, input=stdin, capture_output=True, timeout=60, check=True
    ).stdout


def at_a_terminal(arguments: list[str], passphrase: bytes) -> None:
    """Run age at a terminal of its own, the only place where it takes a passphrase from."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", AT_TERMINAL, AGE, *arguments]
    with subprocess.Popen(  # noqa: S603 - as above
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        said = os.read(ours, 1000)
        os.write(ours, passphrase + b"\n")
        try:
            while more := os.read(ours, 1000):
                said += more
        except OSError:
            pass  # Linux says so when the other end is closed
        os.close(ours)
        assert process.wait(timeout=60) == 0, said


AT_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
