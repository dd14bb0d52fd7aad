"""Content that arrives as a stream and not as a file: digested, sealed and identified.

Nothing of it is ever on a disk in the clear. The isolated process is shown the beginning in a file
that lies in memory only; of what is longer it sees no more than that.
"""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue

from evidence_store.age.stream import CHUNK_BYTES
from evidence_store.digest import Fingerprinter
from evidence_store.intake import Content
from evidence_store.vault import Sealing, Vault
from ingest.extraction.supervisor import Extractor

SHOWN_BYTES_MAX = 64 * 1024 * 1024
BUFFER_BYTES = 16 * CHUNK_BYTES
WAITING_MAX = 2
BUFFERS = WAITING_MAX + 3  # one is filled, two wait, one is sealed and digested, one changes hands


@dataclass(slots=True)
class Arriving:
    """Takes in streams, one at a time: memory is bounded by what is shown."""

    vault: Vault
    extractor: Extractor

    def take(self, pieces: Iterator[bytes], name: bytes, size_bytes: int) -> Content:
        """The content, sealed and ready to be registered; `abort` its writer if it is not to be.

        Raises:
            NoSpaceError, StoreUnavailableError: as `ObjectWriter.write`.
            EvidenceError: what the pieces raise.
        """
        sealing = self.vault.begin(size_bytes)
        shown = os.memfd_create("arriving", os.MFD_CLOEXEC)
        try:
            fingerprinter, room = Fingerprinter(), SHOWN_BYTES_MAX
            out = memoryview(bytearray(Sealing.room(BUFFER_BYTES)))
            with ThreadPoolExecutor(1, "arriving") as beside:  # SHA-256 takes as long as the rest
                digested: Future[None] | None = None
                for piece, final in _ahead(_buffered(pieces)):
                    if digested is not None:
                        digested.result()
                    digested = beside.submit(fingerprinter.update, piece)
                    sealing.writer.write(out[: sealing.seal_into(piece, out, final=final)])
                    os.write(shown, piece[:room])
                    room -= len(piece[:room])
            shown_bytes = min(size_bytes, SHOWN_BYTES_MAX)
            extraction = self.extractor.submit(shown, name, shown_bytes).result()
        except BaseException:
            sealing.writer.abort()
            raise
        finally:
            os.close(shown)
        return Content(
            fingerprint=fingerprinter.result(),
            sealing=sealing,
            media_type=extraction.media_type,
            name_mismatch=extraction.name_mismatch,
            claims=extraction.claims,
        )


def _ahead(  # noqa: C901 - a thread and its end
    buffers: Iterator[tuple[memoryview, bool]],
) -> Iterator[tuple[memoryview, bool]]:
    """The buffers, filled by a thread of its own while earlier ones are dealt with."""
    ready: Queue[tuple[memoryview, bool] | BaseException] = Queue(WAITING_MAX)
    gone = threading.Event()

    def fill() -> None:
        try:
            for each in buffers:
                ready.put(each)
                if gone.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where buffers are taken
            ready.put(error)

    thread = threading.Thread(target=fill, name="arriving-ahead")
    thread.start()
    try:
        while True:
            each = ready.get()
            if isinstance(each, BaseException):
                raise each
            yield each
            if each[1]:
                return
    finally:
        gone.set()
        while thread.is_alive():
            with suppress(Empty):
                ready.get(timeout=0.05)
        thread.join()


def _buffered(pieces: Iterator[bytes]) -> Iterator[tuple[memoryview, bool]]:
    """The pieces in buffers of a size that can be sealed, each with whether it is the last."""
    buffers = [memoryview(bytearray(BUFFER_BYTES)) for _ in range(BUFFERS)]
    turn, filled = 0, 0
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            if filled == BUFFER_BYTES:
                yield buffers[turn], False
                turn, filled = (turn + 1) % BUFFERS, 0
            taken = rest[: BUFFER_BYTES - filled]
            buffers[turn][filled : filled + len(taken)] = taken
            filled += len(taken)
            rest = rest[len(taken) :]
    yield buffers[turn][:filled], True
