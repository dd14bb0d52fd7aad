"""Content that arrives as a stream and not as a file: digested, sealed and identified.

Nothing of it is ever on a disk in the clear. The isolated process is shown the beginning in a file
that lies in memory only; of what is longer it sees no more than that.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from queue import Full, Queue

from evidence_store.age.stream import CHUNK_BYTES
from evidence_store.ahead import ahead
from evidence_store.claims import ClaimSet
from evidence_store.digest import Fingerprint, Fingerprinter
from evidence_store.errors import EvidenceError, UnavailableError
from evidence_store.intake import Content
from evidence_store.vault import Body, Sealing, Vault
from ingest.extraction.supervisor import Extractor

SHOWN_BYTES_MAX = 64 * 1024 * 1024
BUFFER_BYTES = 16 * CHUNK_BYTES
WAITING_MAX = 2
BUFFERS = WAITING_MAX + 3  # one is filled, two wait, one is sealed and digested, one changes hands


@dataclass(frozen=True, slots=True)
class Looked:
    """What content is, wherever it is sealed."""

    fingerprint: Fingerprint
    media_type: str
    name_mismatch: bool
    claims: tuple[ClaimSet, ...]

    def content(self, sealing: Body) -> Content:
        """It, with where it is sealed."""
        return Content(
            fingerprint=self.fingerprint,
            sealing=sealing,
            media_type=self.media_type,
            name_mismatch=self.name_mismatch,
            claims=self.claims,
        )


Taken = Content | Looked


@dataclass(slots=True)
class Arriving:
    """Takes in streams. Each holds what is shown of it, and some buffers, in memory."""

    vault: Vault
    extractor: Extractor

    def take(self, pieces: Iterator[bytes], name: bytes, size_bytes: int) -> Content:
        """The content, sealed and ready to be registered; `abort` its writer if it is not to be.

        Raises:
            NoSpaceError, StoreUnavailableError: as `ObjectWriter.write`.
            EvidenceError: what the pieces raise.
        """
        sealing = self.vault.begin(size_bytes)
        try:
            fingerprinter = Fingerprinter()
            out = memoryview(bytearray(Sealing.room(BUFFER_BYTES)))
            with (
                closing(_Shown(size_bytes)) as shown,
                ThreadPoolExecutor(1, "arriving") as beside,  # SHA-256 takes as long as the rest
                closing(ahead(_buffered(pieces), waiting=WAITING_MAX)) as buffers,
            ):
                digested: Future[None] | None = None
                for piece, final in buffers:
                    if digested is not None:
                        digested.result()
                    digested = beside.submit(fingerprinter.update, piece)
                    sealing.writer.write(out[: sealing.seal_into(piece, out, final=final)])
                    shown.take(piece)
                if digested is not None:
                    digested.result()
                found = self._looked(shown, name, fingerprinter)
        except BaseException:
            sealing.writer.abort()
            raise
        return found.content(sealing)

    def look(self, pieces: Iterator[bytes], name: bytes, size_bytes: int) -> Looked:
        """The content, digested and identified: for what is sealed elsewhere.

        Raises:
            EvidenceError: what the pieces raise.
        """
        fingerprinter = Fingerprinter()
        with closing(_Shown(size_bytes)) as shown:
            for piece in pieces:
                fingerprinter.update(piece)
                shown.take(piece)
            return self._looked(shown, name, fingerprinter)

    def _looked(self, shown: "_Shown", name: bytes, fingerprinter: Fingerprinter) -> Looked:
        extraction = self.extractor.submit(shown.descriptor, name, shown.size_bytes).result()
        return Looked(
            fingerprint=fingerprinter.result(),
            media_type=extraction.media_type,
            name_mismatch=extraction.name_mismatch,
            claims=extraction.claims,
        )


class _Shown:
    """The beginning of content, in a file that lies in memory only."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = min(size_bytes, SHOWN_BYTES_MAX)
        self.descriptor = os.memfd_create("arriving", os.MFD_CLOEXEC)
        self._room = SHOWN_BYTES_MAX

    def take(self, piece: bytes | bytearray | memoryview) -> None:
        """The next bytes, as many as are shown."""
        if self._room:
            with memoryview(piece) as whole, whole[: self._room] as part:
                os.write(self.descriptor, part)
                self._room -= len(part)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


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


class Early:
    """One stream that is taken in while it arrives. It holds nothing that is not elsewhere, too.

    Whoever feeds it says at the end whether what it was fed is what counts; if not, it is dropped
    and the content is taken in from where it is durable. Fed by one thread at a time.
    """

    def __init__(self, take: Callable[[Iterator[bytes]], Taken]) -> None:
        """Begin; `take` gets the pieces in a thread of its own."""
        self._take = take
        self._pieces: Queue[bytes | bytearray | None] = Queue(1)
        self._dropped = False
        self._content: Future[Taken] = Future()
        self.fed_at = time.monotonic()
        threading.Thread(target=self._run, name="early", daemon=True).start()

    def feed(self, piece: bytes | bytearray) -> bool:
        """Hand over the next bytes, which nobody changes any more; whether they were taken."""
        self.fed_at = time.monotonic()
        return self._put(piece)

    def taken(self) -> Taken | None:
        """What was taken in, once all was fed; None if something failed."""
        self._put(None)
        try:
            return self._content.result()
        except EvidenceError:
            return None  # it is taken in again, and what fails then is said

    def drop(self) -> None:
        """Let go of it; of no effect on what is durable elsewhere."""
        self._dropped = True
        self._put(None)
        self._content.add_done_callback(_let_go)

    def _put(self, piece: bytes | bytearray | None) -> bool:
        while not self._content.done():
            try:
                self._pieces.put(piece, timeout=0.5)
            except Full:
                continue
            return True
        return False

    def _run(self) -> None:
        try:
            taken = self._take(self._fed())
        except BaseException as error:  # noqa: BLE001 - raised again where the content is asked for
            self._content.set_exception(error)
        else:
            self._content.set_result(taken)

    def _fed(self) -> Iterator[bytes]:
        while (piece := self._pieces.get()) is not None:
            yield memoryview(piece)  # type: ignore[misc] # it is only copied from
        if self._dropped:
            raise UnavailableError("upload: it is not taken in early")


def _let_go(content: "Future[Taken]") -> None:
    if content.exception() is None and isinstance(found := content.result(), Content):
        found.sealing.writer.abort()
