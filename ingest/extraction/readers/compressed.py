"""Streams that are compressed as a whole (gzip, bzip2, xz), read forward and bounded.

A bomb costs what the bound allows: `Inflated` counts what it gives and stops, saying why.
"""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ingest.extraction.source import SourceFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

INFLATED_BYTES_MAX = 4 * 1024**3
PIECE_BYTES = 64 * 1024
_XZ_MEMORY_BYTES_MAX = 128 * 1024**2


class _Inflater(Protocol):
    """What the three libraries have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib hands back what it has not taken; the others keep it."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)


_INFLATERS: dict[str, Callable[[], _Inflater]] = {
    "application/gzip": _Gzip,
    "application/x-bzip2": bz2.BZ2Decompressor,
    "application/x-xz": lambda: lzma.LZMADecompressor(
        lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES_MAX
    ),
}


def is_compressed(media_type: str) -> bool:
    """Whether `Inflated` can read such a file."""
    return media_type in _INFLATERS


class Inflated(io.RawIOBase):
    """What a compressed file holds, forward only, at most `bytes_max` and until its deadline.

    `stopped` says why it ended early, if it did.
    """

    def __init__(
        self, file: SourceFile, media_type: str, bytes_max: int = INFLATED_BYTES_MAX
    ) -> None:
        self._file = file
        self._new = _INFLATERS[media_type]
        self._inflater = self._new()
        self._offset = 0
        self._pending = b""
        self._left = bytes_max
        self.given_bytes = 0
        self.stopped: str | None = None

    def readable(self) -> bool:
        """See `io.RawIOBase.readable`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase.seekable`. Forward only."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """See `io.RawIOBase.readinto`."""
        view = memoryview(buffer).cast("B")
        piece = self._next(min(len(view), PIECE_BYTES))
        view[: len(piece)] = piece
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Skip forward; returns where it got to, which is short of `offset` if the file is."""
        target = offset + (self.given_bytes if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END or target < self.given_bytes:
            raise io.UnsupportedOperation
        while self.given_bytes < target:
            if not self._next(min(target - self.given_bytes, PIECE_BYTES)):
                break
        return self.given_bytes

    def _next(self, bytes_max: int) -> bytes:
        while True:
            if self.stopped:
                return b""
            if self._left <= 0 or self._file.is_late:
                self.stopped = "the limit on inflated bytes or time was reached"
                return b""
            if self._inflater.eof and not self._begin_member():
                return b""
            taken, self._pending = self._pending, b""
            try:
                piece = self._inflater.decompress(taken, min(bytes_max, self._left))
            except (zlib.error, lzma.LZMAError, OSError, EOFError):
                self.stopped = "the compressed data is broken, or something else follows it"
                return b""
            if piece:
                self._left -= len(piece)
                self.given_bytes += len(piece)
                return piece
            if not self._inflater.eof and not self._fill():
                self.stopped = "the compressed data breaks off"
                return b""

    def _begin_member(self) -> bool:
        """Go on behind the end of one compressed stream, if another follows."""
        self._pending = self._inflater.unused_data
        if not self._pending.strip(b"\0") and not self._fill():
            return False
        self._inflater = self._new()
        return True

    def _fill(self) -> bool:
        piece = self._file.at(self._offset, PIECE_BYTES)
        self._offset += len(piece)
        self._pending += piece
        return bool(piece)
