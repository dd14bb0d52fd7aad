"""The file under examination, as the worker sees it: bytes by position, and a deadline.

The descriptor came from the trusted process, which still reads from it, and shares its
offset: so every read here states its position and the offset is never touched. The sandbox
refuses `lseek` and `read` altogether.
"""

import io
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER_BYTES = 64 * 1024


class _ByPosition(io.RawIOBase):
    """A descriptor with an offset of its own. Owns the descriptor."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._fd = fd
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)
        # Not preadv: Python makes it preadv2, which at position -1 reads from the shared offset.
        content = os.pread(self._fd, len(view), self._position)
        view[: len(content)] = content
        self._position += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}
        position = base[whence] + offset
        if position < 0:
            raise ValueError("seek: expected a position in the file, found one before it")
        self._position = position
        return position

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


class SourceFile(io.BufferedReader):
    """The file, as readers get it. Its size is what the trusted process found when it opened it."""

    def __init__(self, fd: int, source_name: bytes, size_bytes: int, deadline: float) -> None:
        super().__init__(_ByPosition(fd, size_bytes), BUFFER_BYTES)
        self.source_name = source_name
        self.size_bytes = size_bytes
        self.deadline = deadline  # by time.monotonic()

    @property
    def is_late(self) -> bool:
        """Whether a reader must stop now, and say that it did, before it is stopped."""
        return time.monotonic() >= self.deadline

    def at(self, offset: int, length: int) -> bytes:
        """The bytes at `offset`: fewer than `length` if the file ends there."""
        self.seek(offset)
        return self.read(length)


def extension(source_name: bytes) -> str:
    """The name's extension in lower case, without the dot; empty if it has none."""
    last = source_name.rpartition(b"/")[2]
    stem, dot, ending = last.rpartition(b".")
    return ending.decode("ascii", "replace").lower() if dot and stem else ""
