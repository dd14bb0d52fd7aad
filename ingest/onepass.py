"""One pass over a source: both digests, encryption and writing, in bounded memory.

A small source is done in one piece. A large one goes through reusable buffers and three
threads: the caller reads, computes BLAKE3 and encrypts; a second computes SHA-256, which
takes as long as all of that; a third writes. All of them release the interpreter lock, so the
whole takes hardly longer than SHA-256 alone (`docs/benchmarks.md`).
"""

import threading
from collections.abc import Callable
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
        sha256, blake3 = hasher(Algorithm.SHA256), hasher(Algorithm.BLAKE3)
        offset, ended = 0, False
        with (
            _Lane(sha256.update, self._plain) as hashing,
            _Lane(sealing.writer.write, self._sealed) as writing,
        ):
            while not ended:
                plain = hashing.free()
                content = plain[: opened.read_into(plain, offset)]
                offset += len(content)
                # age wants the last chunk marked. A source that ends elsewhere than it said is
                # refused in the end, whatever was sealed of it.
                ended = len(content) < len(plain) or offset >= opened.size_bytes
                if content:
                    hashing.pass_on(plain, len(content))
                    blake3.update(content)
                    out = writing.free()
                    writing.pass_on(out, sealing.seal_into(content, out, final=ended))
        return Fingerprint(
            sha256=Digest(Algorithm.SHA256, sha256.digest()),
            blake3=Digest(Algorithm.BLAKE3, blake3.digest()),
            size_bytes=offset,
        )


class FingerprintPass:
    """Reads sources for their digests alone. Used by one thread at a time."""

    def __init__(self) -> None:
        self._buffers = [memoryview(bytearray(BUFFER_BYTES)) for _ in range(BUFFERS)]

    def read(self, opened: OpenSource) -> Fingerprint:
        """Read the source whole; returns its fingerprint.

        Raises:
            SourceChangedError: if it changed meanwhile.
            UnsupportedSourceError: if its medium fails.
        """
        sha256, blake3, offset = hasher(Algorithm.SHA256), hasher(Algorithm.BLAKE3), 0
        if opened.size_bytes < BUFFER_BYTES:  # not worth a thread
            content = self._buffers[0][: opened.read_into(self._buffers[0], 0)]
            sha256.update(content)
            blake3.update(content)
            offset = len(content)
        else:
            with _Lane(sha256.update, self._buffers) as hashing:
                while offset < opened.size_bytes:
                    buffer = hashing.free()
                    content = buffer[: opened.read_into(buffer, offset)]
                    if not content:
                        break
                    hashing.pass_on(buffer, len(content))
                    blake3.update(content)
                    offset += len(content)
        opened.check_unchanged(offset)
        return Fingerprint(
            sha256=Digest(Algorithm.SHA256, sha256.digest()),
            blake3=Digest(Algorithm.BLAKE3, blake3.digest()),
            size_bytes=offset,
        )


class _Lane:
    """A thread that does one thing with filled buffers, in order, and gives them back.

    The one who fills may still read a buffer that was passed on: only it fills them again.
    After a failure the thread goes on giving buffers back without work, so that nobody waits
    for ever; the error is raised where buffers are filled.
    """

    def __init__(self, work: Callable[[memoryview], object], buffers: list[memoryview]) -> None:
        self._work = work
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._filled: SimpleQueue[tuple[memoryview, int] | None] = SimpleQueue()
        self._error: BaseException | None = None
        for buffer in buffers:
            self._free.put(buffer)
        self._thread = threading.Thread(target=self._run, name="one-pass")

    def free(self) -> memoryview:
        """A buffer to fill.

        Raises:
            BaseException: what made the thread fail.
        """
        if self._error is not None:
            raise self._error
        return self._free.get()

    def pass_on(self, buffer: memoryview, length: int) -> None:
        """Give the filled buffer to the thread."""
        self._filled.put((buffer, length))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._filled.put(None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (filled := self._filled.get()) is not None:
            buffer, length = filled
            try:
                if self._error is None:
                    self._work(buffer[:length])
            except BaseException as error:  # noqa: BLE001 - raised again where buffers are filled
                self._error = error
            finally:
                self._free.put(buffer)
