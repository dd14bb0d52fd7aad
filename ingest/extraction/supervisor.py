"""What the trusted process calls to learn what a file is and claims, without parsing it.

Files go to long-lived isolated processes; only open descriptors, names and sizes go in, and
only bounded, checked claims come out. Nothing a file contains makes these calls raise.
"""

import os
import threading
from collections import deque
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from evidence_store.errors import UnavailableError
from ingest.extraction.lane import Extraction, Job, Lane, unread
from ingest.extraction.limits import Limits

__all__ = ["Extraction", "Extractor", "Limits"]


class Extractor:
    """A pool of isolated processes, started at once and kept for the whole run.

    Safe to use from several threads. `close` it, or use it as a context manager.
    """

    def __init__(self, *, workers: int = 1, limits: Limits | None = None) -> None:
        """Start `workers` processes; they become ready while the caller goes on."""
        self._lock = threading.Lock()
        self._backlog: deque[Job] = deque()
        self._is_closed = False
        self._lanes = [Lane(limits or Limits(), self._feed) for _ in range(workers)]

    def submit(self, fd: int, name: bytes, size_bytes: int) -> "Future[Extraction]":
        """Ask what the file is and claims; the future always comes to a result.

        `fd` is an open file and is duplicated, so the caller may close it at once. It is only
        read by position: its offset stays where it is. `name` serves to notice an ending that
        contradicts the content. The caller bounds how many are under way: each holds a
        descriptor until its result is there.

        Raises:
            UnavailableError: if this process has no descriptor left.
        """
        try:
            job = Job(os.dup(fd), name, size_bytes)
        except OSError as error:
            raise UnavailableError("extraction: expected a free descriptor, found none") from error
        with self._lock:
            is_taken = not self._is_closed
            if is_taken:
                self._backlog.append(job)
        if is_taken:
            self._feed()
        else:
            job.settle(unread("the extractor was closed"))
        return job.future

    def extract(self, fd: int, name: bytes, size_bytes: int) -> Extraction:
        """See `submit`; waits for the result.

        Raises:
            UnavailableError: as `submit`.
        """
        return self.submit(fd, name, size_bytes).result()

    @property
    def is_isolated(self) -> bool:
        """Whether files are parsed at all. Waits until the processes are ready."""
        return all(isolated for isolated, _ in (lane.isolation() for lane in self._lanes))

    def isolation(self) -> str:
        """In words, what isolates the parsers, or why nothing does and no file is parsed."""
        return "; ".join(
            dict.fromkeys(words for _, words in (lane.isolation() for lane in self._lanes))
        )

    def process_ids(self) -> list[int]:
        """The processes that read now."""
        return [number for lane in self._lanes if (number := lane.process_id) is not None]

    def close(self) -> None:
        """End the processes. What is still under way is answered for as not read."""
        with self._lock:
            self._is_closed = True
            abandoned = list(self._backlog)
            self._backlog.clear()
        for lane in self._lanes:
            lane.close()
        for job in abandoned:
            job.settle(unread("the extractor was closed"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _feed(self) -> None:
        """Hand waiting files to the lanes, the least loaded first."""
        with self._lock:
            while self._backlog:
                lane = min(self._lanes, key=lambda lane: lane.load)
                if not lane.offer(self._backlog[0]):
                    return
                self._backlog.popleft()
