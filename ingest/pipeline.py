"""Many sources into one case: reading runs ahead, registration follows in batches.

One thread reads, digests and seals source after source; the isolated process
extracts claims beside it; the caller's thread registers batches, each with one
flush and one transaction, and yields what became of every source. Nothing is
yielded as taken in before it is durable. Memory and open files are bounded by
`IN_FLIGHT_BYTES` and `BATCH_SOURCES_MAX`, whatever the sizes and the number.
"""

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, Queue

from evidence_store.digest import Fingerprint
from evidence_store.errors import EvidenceError, UnavailableError
from evidence_store.identifiers import Ern
from evidence_store.intake import (
    Arrival,
    Intake,
    IntakeStatus,
    Registered,
    source_key,
)
from evidence_store.item import Asserted
from evidence_store.kinds import EvidenceKind, kind_of
from ingest.content import ReadAhead, read_ahead
from ingest.extraction.supervisor import Extractor
from ingest.onepass import OnePass
from ingest.sources import Refused, Source
from ingest.stated import Stated, unnamed

BATCH_SOURCES_MAX = 128
BATCH_BYTES_MAX = 32 * 1024 * 1024
QUEUE_SOURCES_MAX = 64
LINGER_SECONDS = 0.2  # how long a batch waits for more before it is registered as it is


@dataclass(frozen=True, slots=True)
class Order:
    """What an officer orders to be done with the files: what is asserted of every one of them.

    Where `infer_kind` is set the kind follows from each file's content.
    """

    asserted: Asserted
    infer_kind: bool

    def asserted_of(self, media_type: str) -> Asserted:
        """What is asserted of a file of this type."""
        return (
            replace(self.asserted, kind=kind_of(media_type)) if self.infer_kind else self.asserted
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one source. A failed one has an error and no ERN.

    `differs` names what was stated of a source that was registered before with another statement:
    the first statement stands, and nothing was changed.
    """

    name: bytes
    status: IntakeStatus
    ern: Ern | None = None
    fingerprint: Fingerprint | None = None
    media_type: str | None = None
    kind: EvidenceKind | None = None
    name_mismatch: bool = False
    error: EvidenceError | None = None
    differs: Sequence[str] = ()


@dataclass(slots=True)
class Pipeline:
    """Takes sources into a case. `stopped_by` is set when the run ended before the sources did."""

    intake: Intake
    extractor: Extractor
    order: Order
    stated: Stated
    stopped_by: EvidenceError | None = None

    def run(self, sources: Iterable[Source | Refused]) -> Generator[Result, None, None]:
        """Take in the sources; yield a result for each, in order, once it is durable.

        A store or catalog that fails ends the run (`stopped_by`); a source that fails does
        not. Closing the iterator, as an interruption does, lets go of what is unregistered.
        """
        reader = _Reader(self.intake, self.extractor, self.stated, sources)
        reader.start()
        try:
            for batch in reader.batches():
                for result in self._register(batch):
                    if isinstance(result.error, UnavailableError):
                        self.stopped_by = result.error
                    yield result
                if self.stopped_by is not None:
                    return
            for name, error in self.stated.missing():
                yield Result(name, IntakeStatus.FAILED, error=error)
        finally:
            reader.stop()

    def _register(self, batch: "Sequence[ReadAhead | Result]") -> Iterator[Result]:
        reads = [each for each in batch if isinstance(each, ReadAhead)]
        try:
            registered = self.intake.register([self._arrival(each) for each in reads])
            results = [self._result(*each) for each in zip(reads, registered, strict=True)]
        except EvidenceError as error:
            self.stopped_by = error
            results = [_failed(each.opened.source, error) for each in reads]
        finally:
            for read in reads:
                read.discard()  # of no effect on what was committed
        following = iter(results)
        for each in batch:
            yield each if isinstance(each, Result) else next(following)

    def _arrival(self, read: ReadAhead) -> Arrival:
        source, content = read.opened.source, read.content()
        return Arrival(
            content=content,
            source_name=source.name,
            source_key=source_key(self.intake.case_id, source.path, content.fingerprint.sha256),
            asserted=self.order.asserted_of(content.media_type),
            stated=read.stated,
        )

    def _result(self, read: ReadAhead, registered: Registered) -> Result:
        arrival = registered.arrival
        error: EvidenceError | None = registered.problem
        if error is None and self.stated.is_unnamed(read.opened.source.path):
            error = unnamed()
        return Result(
            name=arrival.source_name,
            status=registered.status,
            ern=registered.ern,
            fingerprint=arrival.content.fingerprint,
            media_type=arrival.content.media_type,
            kind=arrival.asserted.kind,
            name_mismatch=arrival.content.name_mismatch,
            error=error,
            differs=self._differing(registered),
        )

    def _differing(self, registered: Registered) -> Sequence[str]:
        if registered.status is not IntakeStatus.RESUMED:
            return ()
        with self.intake.catalog.read() as reader:
            before = reader.item(registered.ern).asserted
        return before.differing(registered.arrival.asserted)


def _failed(source: Source | Refused, error: EvidenceError) -> Result:
    return Result(source.name, IntakeStatus.FAILED, error=error)


class _Reader:
    """Reads ahead in a thread of its own, and parts what it read into batches."""

    def __init__(
        self,
        intake: Intake,
        extractor: Extractor,
        stated: Stated,
        sources: Iterable[Source | Refused],
    ) -> None:
        self._vault = intake.vault
        self._extractor = extractor
        self._stated = stated
        self._sources = sources
        self._queue: Queue[ReadAhead | Result | BaseException | None] = Queue(QUEUE_SOURCES_MAX)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest-reader")
        self._one_pass = OnePass()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end, and let go of what it read that nobody took."""
        self._stop.set()
        while self._thread.is_alive() or not self._queue.empty():
            with suppress(Empty):
                left = self._queue.get(timeout=0.05)
                if isinstance(left, ReadAhead):
                    left.discard()
        self._thread.join()

    def batches(self) -> "Iterator[Sequence[ReadAhead | Result]]":
        batch: list[ReadAhead | Result] = []
        size_bytes = 0
        while True:
            try:
                each = self._queue.get(timeout=LINGER_SECONDS if batch else None)
            except Empty:
                yield batch
                batch, size_bytes = [], 0
                continue
            if isinstance(each, BaseException):
                raise each
            if each is not None:
                batch.append(each)
                size_bytes += each.fingerprint.size_bytes if isinstance(each, ReadAhead) else 0
            if each is None or len(batch) >= BATCH_SOURCES_MAX or size_bytes >= BATCH_BYTES_MAX:
                yield batch
                batch, size_bytes = [], 0
            if each is None:
                return

    def _run(self) -> None:
        try:
            for source in self._sources:
                if self._stop.is_set():
                    return
                read = self._read(source)
                self._queue.put(read)
                if isinstance(read, Result) and isinstance(read.error, UnavailableError):
                    break  # what failed this one would fail the next
            self._queue.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._queue.put(error)

    def _read(self, source: Source | Refused) -> ReadAhead | Result:
        if isinstance(source, Refused):
            return _failed(source, source.error)
        stated = self._stated.take(source.path)
        try:
            return read_ahead(self._vault, self._extractor, self._one_pass, source, stated)
        except EvidenceError as error:
            return _failed(source, error)
