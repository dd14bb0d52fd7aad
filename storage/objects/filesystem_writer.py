"""An object on its way into a folder: a temporary file that only its writer knows.

Nothing here makes bytes durable or readable under their name; `filesystem` does, for many
writers at once.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from evidence_store.errors import (
    ConflictError,
    MalformedError,
    NoSpaceError,
    StoreUnavailableError,
)
from evidence_store.identifiers import ObjectName
from storage.objects import durable
from storage.objects.direct import DirectWrites

WRITE_OUT_BYTES = 8 * 1024 * 1024  # how much is written before the disk is asked to begin
_PRIVATE = 0o600
_READ_ONLY = 0o444
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def store_errors(what: Path | str) -> Iterator[None]:
    """Turn the operating system's errors into this system's.

    Raises:
        NoSpaceError: if the disk or a quota is full.
        StoreUnavailableError: on any other.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.errno in _FULL:
            raise NoSpaceError(f"object store {what}: {reason}; free some space") from error
        raise StoreUnavailableError(
            f"object store {what}: {reason}; see that its disk is mounted, healthy and writable"
        ) from error


class FilesystemObjectWriter:
    """Implements `evidence_store.ports.ObjectWriter`. One that is dropped is aborted."""

    def __init__(
        self,
        name: ObjectName,
        temporary: Path,
        order: int,
        *,
        direct: bool = False,
        is_written: bool = False,
    ) -> None:
        """Create the temporary file. `order` counts the writers of a store.

        Where it is `direct`, the content is large, and is written around the page cache. One that
        `is_written` is there, whole.

        Raises:
            OSError: if it cannot be created, or is not there.
        """
        self._descriptor: int | None = None
        self._name = name
        self._temporary = temporary
        self._size_bytes = 0
        self._writing_out_bytes = 0
        self._placed = False
        self.order = order
        made = 0 if is_written else os.O_CREAT | os.O_EXCL
        self._descriptor = os.open(temporary, os.O_WRONLY | os.O_NOFOLLOW | made, _PRIVATE)
        if is_written:
            self._size_bytes = os.fstat(self._descriptor).st_size
        self._direct = DirectWrites(self._descriptor) if direct else None

    def __del__(self) -> None:
        self.abort()

    @property
    def name(self) -> ObjectName:
        """See `ObjectWriter.name`."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """See `ObjectWriter.size_bytes`."""
        return self._size_bytes

    @property
    def descriptor(self) -> int:
        """The open temporary file.

        Raises:
            MalformedError: if the writer was committed or aborted.
        """
        if self._descriptor is None:
            raise MalformedError(
                f"object {self._name}: expected an open writer, found one that was committed or"
                " aborted; begin again"
            )
        return self._descriptor

    def write(self, chunk: bytes | bytearray | memoryview, /) -> None:
        """See `ObjectWriter.write`."""
        descriptor = self.descriptor
        with memoryview(chunk) as view, view.cast("B") as left:
            try:
                with store_errors(self._temporary.parent):
                    if self._direct is not None:
                        self._direct.write(left)
                    else:
                        self._write_through_the_cache(descriptor, left)
            except BaseException:
                self.abort()  # a full disk gets its space back at once
                raise
            self._size_bytes += len(left)

    def _write_through_the_cache(self, descriptor: int, left: memoryview) -> None:
        done = 0
        while done < len(left):  # the kernel may take less than it is given
            done += os.write(descriptor, left[done:])
        written_bytes = self._size_bytes + done
        waiting_bytes = written_bytes - self._writing_out_bytes
        if waiting_bytes >= WRITE_OUT_BYTES:
            durable.start_writing_out(descriptor, self._writing_out_bytes, waiting_bytes)
            self._writing_out_bytes = written_bytes

    def abort(self) -> None:
        """See `ObjectWriter.abort`."""
        if self._descriptor is None:
            return
        self.close()
        if not self._placed:
            with suppress(OSError):  # what stays behind is found by `unfinished`
                self._temporary.unlink()

    def finish(self) -> None:
        """Write what is left. From here on nobody opens it for writing by mistake.

        Raises:
            OSError: if the filesystem fails or refuses.
        """
        descriptor = self.descriptor
        if self._direct is not None:
            self._direct.finish()
            self._direct = None
        os.fchmod(descriptor, _READ_ONLY)

    def place(self, target: Path) -> None:
        """Give it its final name.

        Raises:
            ConflictError: if the name is taken.
            OSError: if the filesystem fails.
        """
        try:
            durable.place(self._temporary, target)
        except FileExistsError:
            raise ConflictError(f"object {self._name}: the name is taken") from None
        self._placed = True

    def close(self) -> None:
        """Let go of the descriptor. What matters was reported by the flush before."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with suppress(OSError):
                os.close(descriptor)
