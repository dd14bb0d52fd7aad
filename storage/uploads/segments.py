"""Sealed segments of uploads: a file for each writer of each upload, removed when it is taken in.

A file holds nothing in the clear: whoever writes hands over sealed bytes. Written at an exact
place, never appended, and durable before the record is told.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from evidence_store.errors import NoSpaceError, NotFoundError, StoreUnavailableError
from storage.keys import private_file

PIECE_BYTES = 1024 * 1024
FULL = frozenset({28, 122})  # ENOSPC, EDQUOT


class UploadFolder:
    """Implements `api.uploading.Segments` in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, upload_id: str, epoch: int, at: int, content: bytes | memoryview) -> None:
        """Write at this place of an epoch's file; durable when this returns.

        Each writer has a file of its own, so one that was fenced off touches nobody else's bytes.

        Raises:
            NoSpaceError, StoreUnavailableError: what is behind `at` counts for nothing.
        """
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            path = self._path(upload_id, epoch)
            is_new = not path.exists()
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failed(error) from error
        try:
            view, written = memoryview(content), 0
            while written < len(view):
                written += os.pwrite(fd, view[written:], at + written)
            os.ftruncate(fd, at + len(view))
            os.fsync(fd)
            if is_new:
                self._flush_folder()
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(fd, at)
            raise _failed(error) from error
        finally:
            os.close(fd)

    def file(self, upload_id: str, epoch: int) -> Path | None:
        """The epoch's file."""
        return self._path(upload_id, epoch)

    def read(self, upload_id: str, epoch: int, offset: int, length: int) -> Iterator[bytes]:
        """The bytes of an epoch's file from `offset` on, `length` or as many as there are.

        Raises:
            NotFoundError: if there is no such file.
            StoreUnavailableError: if it cannot be read.
        """
        try:
            with self._path(upload_id, epoch).open("rb") as file:
                file.seek(offset)
                while length > 0 and (piece := file.read(min(PIECE_BYTES, length))):
                    length -= len(piece)
                    yield piece
        except OSError as error:
            raise _failed(error) from error

    def replace_head(self, upload_id: str, epoch: int, before: bytes, head: bytes) -> bool:
        """Put `head` in the place of what the file begins with; False if it begins with something else.

        For a file that nobody writes to any more. After a crash at any line it is the old or the
        new one, whole; when this returns, the new one survives a power failure.

        Raises:
            NotFoundError: if there is no such file.
            NoSpaceError, StoreUnavailableError: it is as it was.
            UnavailableError: if another process is changing one.
        """
        path = self._path(upload_id, epoch)
        fresh = path.with_name(f".{path.name}.new")
        with private_file.locked(path):  # so what a crash left there is nobody's
            try:
                fresh.unlink(missing_ok=True)
                with path.open("rb") as old:
                    if old.read(len(before)) != before:
                        return False
                    self._write_fresh(fresh, head, old)
                fresh.replace(path)
                self._flush_folder()
            except OSError as error:
                with suppress(OSError):
                    fresh.unlink(missing_ok=True)
                raise _failed(error) from error
        return True

    def _write_fresh(self, fresh: Path, head: bytes, rest: BinaryIO) -> None:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(head)
            shutil.copyfileobj(rest, file, PIECE_BYTES)
            file.flush()
            os.fsync(fd)

    def remove(self, upload_id: str) -> None:
        """Let go of an upload's files; of none, if they are gone already."""
        for path in self._folder.glob(f"{upload_id}.*"):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _flush_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _path(self, upload_id: str, epoch: int) -> Path:
        return self._folder / f"{upload_id}.{epoch}"


def _failed(error: OSError) -> NotFoundError | NoSpaceError | StoreUnavailableError:
    if isinstance(error, FileNotFoundError):
        return NotFoundError("upload: its bytes are not there")
    if error.errno in FULL:
        return NoSpaceError("upload: the disk is full; what was acknowledged is kept")
    return StoreUnavailableError(f"upload: its file cannot be used ({error.strerror})")
