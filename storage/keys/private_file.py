"""A file that is its owner's alone: mode 0600, no link, never seen half written.

Knows nothing of what is in it. Root can read it all the same, and so can whoever
has the disk: that is what a passphrase is for.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evidence_store.errors import (
    ConflictError,
    KeyUnavailableError,
    NoSpaceError,
    SettingsError,
    UnavailableError,
)

MODE = 0o600
FOLDER_MODE = 0o700
SIZE_BYTES_MAX = 1024 * 1024
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def read(path: Path) -> bytes:
    """The content.

    Raises:
        KeyUnavailableError: if there is no such file, or it cannot be read.
        SettingsError: if it is a link or no regular file, another user's, open to others, or
            too large to be one of ours.
    """
    try:
        content = _read(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise SettingsError(
                f"{path}: expected a file, found a link; put the file itself there"
            ) from error
        raise KeyUnavailableError(
            f"{path}: expected a key file, found: {error.strerror}; create it, "
            "or restore it from a backup"
        ) from error
    if len(content) > SIZE_BYTES_MAX:
        raise SettingsError(f"{path}: expected at most {SIZE_BYTES_MAX} bytes of keys, found more")
    return content


def _read(path: Path) -> bytes:
    # Not waiting for the other end of a pipe, should it be one.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_open_to_others(path, os.fstat(descriptor))  # of the file opened, not of its name
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(SIZE_BYTES_MAX + 1)
    finally:
        os.close(descriptor)


def _refuse_open_to_others(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SettingsError(f"{path}: expected a regular file, found something else")
    if found.st_uid != os.geteuid():
        raise SettingsError(
            f"{path}: expected the file of user {os.geteuid()}, found that of user "
            f"{found.st_uid}; run as its owner"
        )
    if stat.S_IMODE(found.st_mode) != MODE:
        raise SettingsError(
            f"{path}: expected mode {MODE:04o}, found {stat.S_IMODE(found.st_mode):04o}; "
            f"if nobody else read it, run: chmod 600 {path}"
        )


def refuse_open_folder(path: Path) -> None:
    """Insist that nobody else can put another file in this one's place.

    Raises:
        SettingsError: if others may write in its folder.
    """
    folder = path.parent
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & _OTHERS_WRITE and not mode & stat.S_ISVTX:
        raise SettingsError(
            f"{folder}: expected a folder in which only its owner writes, found mode "
            f"{mode:04o}; run: chmod go-w {folder}"
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes of ours from changing the file meanwhile; the folder is made if needed.

    The lock is on the folder, because the file is replaced. It ends with the process.

    Raises:
        UnavailableError: if another process is changing it.
    """
    with _refusals(path):
        path.parent.mkdir(FOLDER_MODE, exist_ok=True)
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UnavailableError(
                f"{path}: another process is changing it; try again when it has ended"
            ) from error
        yield
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes) -> None:
    """Put the content in the file's place at once; call it while it is `locked`.

    After a crash at any line the file is the old or the new one, whole; when this returns, the
    new one survives a power failure.

    Raises:
        NoSpaceError, UnavailableError: if it cannot be written; the old one is still there.
    """
    fresh = path.with_name(f".{path.name}.new")
    with _refusals(path):
        fresh.unlink(missing_ok=True)  # left by a crash; the lock says that nobody is writing it
        _write(fresh, content)
        fresh.replace(path)
        _flush(path.parent)


def write_new(path: Path, content: bytes) -> None:
    """Write the content to a file that is not there yet, on any medium, and flush it.

    Raises:
        ConflictError: if there is something; it is left as it is.
        NoSpaceError, SettingsError, UnavailableError: if it cannot be written.
    """
    with _refusals(path):
        _write(path, content)
        _flush(path.parent)


def read_back(path: Path) -> bytes:
    """What is now in a file that was just written.

    Raises:
        SettingsError, UnavailableError: if it cannot be read.
    """
    with _refusals(path):
        return path.read_bytes()


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, MODE)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)  # otherwise, after a power failure, the name may be gone
    finally:
        os.close(descriptor)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Say what the system refused in this system's errors."""
    try:
        yield
    except FileExistsError as error:
        raise ConflictError(f"{path}: there is a file already; it was left as it is") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SettingsError(f"{path}: its folder is not there; create it first") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpaceError(f"{path}: the disk is full; make room and try again") from error
        raise UnavailableError(f"{path}: the system refused it: {error.strerror}") from error
