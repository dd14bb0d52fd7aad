"""A page of shared memory in which the worker notes what it is at.

It is looked at when the worker has died or is late, to tell which tool the file was too much
for and what was known before; leaving a note costs no system call, and most are never read.
The worker can write anything here at any time: what is found is parsed like all it says.
"""

import fcntl
import mmap
import os
import struct
import sys
from typing import Self

from evidence_store.errors import UnavailableError

SIZE_BYTES = 64 * 1024
_LENGTH = struct.Struct("<L")


class BlackBox:
    """The page, mapped from a file in memory that both sides have."""

    def __init__(self, fd: int) -> None:
        """Map the file. The descriptor remains the caller's."""
        self._memory = mmap.mmap(fd, SIZE_BYTES)

    @classmethod
    def create(cls) -> tuple[Self, int]:
        """A new page, and the descriptor by which the other side maps it.

        Raises:
            UnavailableError: if the system has no such memory.
        """
        if sys.platform != "linux":
            raise UnavailableError(f"isolation: expected Linux, found {sys.platform}")
        fd = os.memfd_create("progress", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, SIZE_BYTES)
        # Otherwise whoever shrinks the file makes the other side fault when it looks.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return cls(fd), fd

    def note(self, content: bytes) -> bool:
        """Replace what is noted; returns whether there was room. An empty note erases."""
        if len(content) > SIZE_BYTES - _LENGTH.size:
            return False
        self._memory[_LENGTH.size : _LENGTH.size + len(content)] = content
        self._memory[: _LENGTH.size] = _LENGTH.pack(len(content))
        return True

    def read(self) -> bytes:
        """What is noted, as far as it is one."""
        (length,) = _LENGTH.unpack(self._memory[: _LENGTH.size])
        return self._memory[_LENGTH.size : _LENGTH.size + min(length, SIZE_BYTES)]
