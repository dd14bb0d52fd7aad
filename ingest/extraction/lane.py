"""Files on their way through one isolated process, in order, and what becomes of each.

A lane owns a process and a thread that listens to it. Requests run a little ahead, so that
the process never waits; answers come in the order of the requests. When the process dies or
is ended, the file at the head is the one it was on: that file is answered for, and those
behind it are asked again of a fresh process.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from evidence_store.claims import ClaimSet, Reading
from evidence_store.errors import MalformedError, UnavailableError
from ingest.extraction.limits import Limits
from ingest.extraction.process import Process
from ingest.extraction.wire import UNIDENTIFIED, Identity, Report, Tool

AHEAD_MAX = 4
STARTS_MAX = 2
_IDENTIFICATION = Tool("libmagic", "")  # until the process has said which version it has


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a file is and claims. Its claims always say how their reading ended."""

    media_type: str
    name_mismatch: bool
    claims: tuple[ClaimSet, ...]


@dataclass(slots=True)
class Job:
    """A file to be read. The descriptor is the job's own, and closed when it is settled."""

    fd: int
    name: bytes
    size_bytes: int
    future: "Future[Extraction]" = field(default_factory=Future)

    def settle(self, extraction: Extraction) -> None:
        """Answer for the file."""
        os.close(self.fd)
        with suppress(InvalidStateError):  # whoever asked has cancelled it
            self.future.set_result(extraction)


def unread(problem: str) -> Extraction:
    """What is said of a file that was not parsed, because nothing could isolate the parser."""
    claims = ClaimSet("isolation", "", Reading.UNAVAILABLE, {}, problem)
    return Extraction(UNIDENTIFIED, name_mismatch=False, claims=(claims,))


class Lane:
    """One process, the few files that it was asked for, and the thread that settles them."""

    def __init__(self, limits: Limits, on_room: Callable[[], None]) -> None:
        """Start the thread. It calls `on_room` whenever the lane can take another file."""
        self._limits = limits
        self._on_room = on_room
        self._changed = threading.Condition()
        self._ahead: deque[Job] = deque()
        self._process: Process | None = None
        self._is_lost = False
        self._is_closing = False
        self._problem: str | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="extraction-lane", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        """How many files are on their way."""
        return len(self._ahead)

    @property
    def process_id(self) -> int | None:
        """The process that reads now."""
        process = self._process
        return process.process_id if process else None

    def isolation(self) -> tuple[bool, str]:
        """Whether files are parsed, and what isolates their parser or why nothing does."""
        self._started.wait()
        process = self._process
        if self._problem is not None:
            return False, self._problem
        return True, process.isolation if process else "a fresh process is being started"

    def offer(self, job: Job) -> bool:
        """Take the file, if there is room."""
        with self._changed:
            if self._is_closing or len(self._ahead) >= AHEAD_MAX:
                return False
            self._ahead.append(job)
            if self._process is not None:
                self._ask(self._process, job)
            self._changed.notify()
            return True

    def close(self) -> None:
        """End the process. Files on their way are answered for as not read."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
            if self._process is not None:
                self._process.kill()
        self._thread.join()

    # -------------------------------------------------------------- in its own thread

    def _run(self) -> None:
        self._start()
        while (job := self._head()) is not None:
            extraction = self._read(job)
            with self._changed:
                self._ahead.popleft()
                if self._is_closing:
                    extraction = unread("the extractor was closed before the file was read")
            self._on_room()
            job.settle(extraction)
        self._end()
        while self._ahead:
            self._ahead.popleft().settle(unread("the extractor was closed"))

    def _head(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ahead or self._is_closing)
            return None if self._is_closing else self._ahead[0]

    def _ask(self, process: Process, job: Job) -> None:
        if not process.ask(job.fd, job.name, job.size_bytes):
            self._is_lost = True  # it ended while it had nothing to do, and no file is to blame

    def _start(self) -> None:
        """Have a process, and ask it for all that are waiting; or know why there is none."""
        for _ in range(STARTS_MAX):
            if self._problem is not None and self._started.is_set():
                return
            try:
                process = Process.start(self._limits)
            except UnavailableError as error:
                self._problem = str(error)
                continue
            with self._changed:
                self._process, self._is_lost, self._problem = process, False, None
                for job in self._ahead:
                    self._ask(process, job)
            break
        self._started.set()

    def _end(self) -> int:
        """End the process, if there is one; returns how it ended."""
        with self._changed:
            process, self._process = self._process, None
        return process.end() if process else 0

    def _read(self, job: Job) -> Extraction:
        if self._is_lost:
            self._end()
        if self._process is None:
            self._start()
        if self._process is None:
            return unread(self._problem or "the process did not start")
        report = self._report(self._process, job)
        if report.retiring:
            self._end()
        return Extraction(report.identity.media_type, report.identity.name_mismatch, report.claims)

    def _report(self, process: Process, job: Job) -> Report:
        try:
            return self._hear(process, job)
        except TimeoutError:
            self._end()
            ending = Reading.TIMED_OUT, "the limit on time was reached"
        except EOFError:
            ending = _how_it_died(self._end())
        except MalformedError:
            self._end()
            ending = Reading.KILLED, "the process answered out of form, and was ended"
        return _cut_short(process.progress(), *ending)

    def _hear(self, process: Process, job: Job) -> Report:
        """Wait as long as any file may take, and longer for one that is known to need it."""
        seconds = self._limits.wall_seconds
        try:
            return process.hear(seconds)
        except TimeoutError:
            known = process.progress()
            if known is None:
                raise
            media_type = known.identity.media_type
            return process.hear(self._limits.seconds_for(media_type, job.size_bytes) - seconds)


def _cut_short(known: Report | None, reading: Reading, problem: str) -> Report:
    """The report on a file that was too much for the tool that read it."""
    known = known or Report(Identity(UNIDENTIFIED), (), _IDENTIFICATION)
    tool = known.next_tool or _IDENTIFICATION
    claims = ClaimSet(tool.name, tool.version, reading, {}, problem)
    return Report(known.identity, (*known.claims, claims))


def _how_it_died(code: int) -> tuple[Reading, str]:
    match -code:
        case signal.SIGPROF:
            return Reading.TIMED_OUT, "the limit on processor time was reached"
        case signal.SIGSYS:
            return Reading.KILLED, "the parser tried what the isolation forbids"
        case number if number > 0:
            return Reading.KILLED, f"the process ended on signal {number}"
        case _:
            return Reading.KILLED, "the process ended by itself"
