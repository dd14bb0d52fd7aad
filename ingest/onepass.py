"""One pass over a source: both digests, encryption and writing, in bounded memory.

A small source is done in one piece. A large one goes through a ring of reusable
buffers and three threads: the caller reads and computes SHA-256, the slowest
step; a second computes BLAKE3 and encrypts; a third writes. All of them release
the interpreter lock, so the whole takes hardly longer than SHA-256 alone
(`docs/benchmarks.md`).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from evidence_store.age.stream import CHUNK_BYTES
from evidence_store.digest import Algorithm, Digest, Fingerprint, Fingerprinter, hasher
from evidence_store.vault import Sealing
from ingest.reading import OpenSource

BUFFER_BYTES = 16 * CHUNK_BYTES
BUFFERS = 4


class OnePass:
    """Reads sources one after another, reusing its buffers. Used by one thread at a time."""

    def __init__(self) -> None:
        self._plain = [memoryview(bytearray(BUFFER_BYTES)) for _ in range(BUFFERS)]
        self._sealed = [memoryview(bytearray(Sealing.room(BUFFER_BYTES))) for _ in range(BUFFERS)]

    def read(self, opened: OpenSource, sealing: Sealing) -> Fingerprint:
        """Read the source whole into the sealing's writer; returns its fingerprint.

        Raises:
            SourceChangedError: if it changed meanwhile.
            UnsupportedSourceError: if its medium fails.
            NoSpaceError, StoreUnavailableError: as `ObjectWriter.write`.
        """
        if opened.size_bytes < BUFFER_BYTES:
            fingerprint = self._read_small(opened, sealing)
        else:
            fingerprint = self._read_large(opened, sealing)
        opened.check_unchanged(fingerprint.size_bytes)
        return fingerprint

    def _read_small(self, opened: OpenSource, sealing: Sealing) -> Fingerprint:
        length = opened.read_into(self._plain[0], 0)
        content = self._plain[0][:length]
        fingerprinter = Fingerprinter()
        fingerprinter.update(content)
        written = sealing.seal_into(content, self._sealed[0], final=True)
        sealing.writer.write(self._sealed[0][:written])
        return fingerprinter.result()

    def _read_large(self, opened: OpenSource, sealing: Sealing) -> Fingerprint:
        ring = _Ring(sealing, self._plain, self._sealed)
        sha256 = hasher(Algorithm.SHA256)
        offset, ended = 0, False
        with ring:
            while not ended:
                buffer = ring.free()
                length = opened.read_into(buffer, offset)
                sha256.update(buffer[:length])
                offset += length
                ended = length < BUFFER_BYTES
                ring.pass_on(buffer, length)
        return Fingerprint(
            sha256=Digest(Algorithm.SHA256, sha256.digest()),
            blake3=Digest(Algorithm.BLAKE3, ring.blake3.digest()),
            size_bytes=offset,
        )


@dataclass(frozen=True, slots=True)
class _Piece:
    buffer: memoryview
    length: int
    final: bool = False


class _Ring:
    """The second and third thread, and the buffers that go round between the three.

    A buffer belongs to one thread at a time. When a thread fails it goes on passing
    buffers round without work, so that nobody waits for ever; the error is raised
    in the caller's thread.
    """

    def __init__(self, sealing: Sealing, plain: list[memoryview], sealed: list[memoryview]) -> None:
        self.blake3 = hasher(Algorithm.BLAKE3)
        self._sealing = sealing
        self._plain: SimpleQueue[memoryview] = SimpleQueue()
        self._sealed: SimpleQueue[memoryview] = SimpleQueue()
        for buffer in plain:
            self._plain.put(buffer)
        for buffer in sealed:
            self._sealed.put(buffer)
        self._to_seal: SimpleQueue[_Piece | None] = SimpleQueue()
        self._to_write: SimpleQueue[_Piece | None] = SimpleQueue()
        self._held: _Piece | None = None
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(self._to_seal, self._seal, self._plain)),
            threading.Thread(target=self._run, args=(self._to_write, self._write, self._sealed)),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._held is not None:
            self._to_seal.put(replace(self._held, final=True))
        for queue, thread in zip((self._to_seal, self._to_write), self._threads, strict=True):
            queue.put(None)
            thread.join()
        if error is None and self._errors:
            raise self._errors[0]

    def free(self) -> memoryview:
        """A buffer to fill.

        Raises:
            Exception: what made one of the threads fail.
        """
        if self._errors:
            raise self._errors[0]
        return self._plain.get()

    def pass_on(self, buffer: memoryview, length: int) -> None:
        """Give the filled buffer to the next thread. An empty one only ends the content.

        age wants the last chunk marked as the last, so each piece waits for the next.
        """
        if length == 0:
            self._plain.put(buffer)
            return
        if self._held is not None:
            self._to_seal.put(self._held)
        self._held = _Piece(buffer, length)

    def _run(
        self,
        pieces: "SimpleQueue[_Piece | None]",
        work: Callable[[_Piece], None],
        free: "SimpleQueue[memoryview]",
    ) -> None:
        while (piece := pieces.get()) is not None:
            try:
                if not self._errors:
                    work(piece)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                self._errors.append(error)
            finally:
                free.put(piece.buffer)

    def _seal(self, piece: _Piece) -> None:
        content = piece.buffer[: piece.length]
        self.blake3.update(content)
        out = self._sealed.get()
        length = self._sealing.seal_into(content, out, final=piece.final)
        self._to_write.put(_Piece(out, length))

    def _write(self, piece: _Piece) -> None:
        self._sealing.writer.write(piece.buffer[: piece.length])
