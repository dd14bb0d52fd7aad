"""An open source file, and the proof that it stood still while it was read.

Reads by position only: the descriptor is shared with the isolated process that
extracts claims, and a shared offset would be moved by both.
"""

import os
import stat
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from evidence_store.errors import SourceChangedError, UnsupportedSourceError
from ingest.sources import Source, unreadable


@dataclass(slots=True)
class OpenSource:
    """A source, open for reading. Close it, or use it as a context manager."""

    source: Source
    fd: int
    _found: os.stat_result

    @classmethod
    def open(cls, source: Source) -> Self:
        """Open the source without following links, blocking on pipes or touching devices.

        Raises:
            UnsupportedSourceError: if it is not a file or may not be read.
            SourceChangedError: if it is gone.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        try:
            fd = os.open(source.path, flags)
        except OSError as error:
            raise unreadable(error) from error
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise UnsupportedSourceError(
                "source: expected a file, found something else in its place"
            )
        return cls(source, fd, found)

    @property
    def size_bytes(self) -> int:
        """The size when it was opened."""
        return self._found.st_size

    @property
    def modified_ns(self) -> int:
        """When it was modified last, as the medium says: nanoseconds since 1970."""
        return self._found.st_mtime_ns

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from `offset`; returns how much was read: less only at the end.

        Raises:
            UnsupportedSourceError: if the medium fails.
        """
        filled = 0
        try:
            while filled < len(buffer):
                count = os.preadv(self.fd, [buffer[filled:]], offset + filled)
                if count == 0:
                    break
                filled += count
        except OSError as error:
            raise unreadable(error) from error
        return filled

    def check_unchanged(self, read_bytes: int) -> None:
        """Insist that what was read is the file as it was opened, all of it.

        A file that was merely unlinked meanwhile was still read whole, and counts.

        Raises:
            SourceChangedError: if its size or its times changed.
        """
        now = os.fstat(self.fd)
        before = self._found
        if read_bytes != before.st_size or now.st_size != before.st_size:
            found = f"{read_bytes} read, {now.st_size} there now"
            raise SourceChangedError(
                f"source: expected {before.st_size} bytes, found {found}; it changed while it was "
                "read; run again when it is at rest"
            )
        same_content = now.st_mtime_ns == before.st_mtime_ns
        same_inode = now.st_ctime_ns == before.st_ctime_ns or now.st_nlink != before.st_nlink
        if not (same_content and same_inode):
            raise SourceChangedError(
                "source: its times changed while it was read; run again when it is at rest"
            )

    def close(self) -> None:
        """Close the descriptor. May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
