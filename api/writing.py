"""The bytes of one writer of an upload: sealed as they arrive, durable piece by piece.

A writer has a nonce and a place of its own, so nothing is ever sealed twice under one. What it wrote is
one age stream: if it wrote all of an upload, that is the body of an object, as it is.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from evidence_store.age import stream
from evidence_store.errors import StoreUnavailableError

PIECE_BYTES = 8 * 1024 * 1024


class Segments(Protocol):
    """Where sealed bytes of uploads lie. See `storage.uploads.segments.UploadFolder`."""

    def write(self, upload_id: str, epoch: int, at: int, content: bytes | memoryview) -> None:
        """Write at a place of an epoch, durably."""
        ...

    def read(self, upload_id: str, epoch: int, offset: int, length: int) -> Iterator[bytes]:
        """Read from a place of an epoch at which something was written."""
        ...

    def file(self, upload_id: str, epoch: int) -> Path | None:
        """The file that an epoch lies in, if it lies in one."""
        ...

    def remove(self, upload_id: str) -> None:
        """Let go of an upload's bytes."""
        ...


class SealedWriter:
    """Seals what one epoch of an upload writes. Used by one thread at a time, once."""

    def __init__(
        self, segments: Segments, upload_id: str, epoch: int, file_key: bytes, nonce: bytes
    ) -> None:
        self._segments, self._upload_id, self._epoch = segments, upload_id, epoch
        self._sealer = stream.Sealer(file_key, nonce)
        self._nonce = nonce
        self._out = memoryview(bytearray(stream.sealed_size(PIECE_BYTES)))
        self._at = 0
        self._has_failed = False

    def write(self, content: bytes | bytearray, *, final: bool) -> None:
        """Seal the next bytes, durably: `PIECE_BYTES` of them, or the final ones and no more than that.

        Raises:
            NoSpaceError, StoreUnavailableError: they are not there, and nothing can follow them.
        """
        if self._has_failed:
            raise StoreUnavailableError("upload: what was before could not be written; go on later")
        self._has_failed = True
        start = len(self._nonce) if self._at == 0 else 0
        self._out[:start] = self._nonce[:start]
        written = self._sealer.seal_into(memoryview(content), self._out[start:], final=final)
        sealed = self._out[: start + written]
        self._segments.write(self._upload_id, self._epoch, self._at, sealed)
        self._at += len(sealed)
        self._has_failed = False
