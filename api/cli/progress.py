"""A progress bar on stderr, where a person watches; silent elsewhere.

The total is counted beside the work, in a thread of its own, so that counting a
large folder delays nothing.
"""

import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

from ingest.pipeline import Result
from ingest.sources import Source, walk


class Progress:
    """How far an intake is. Use it as a context manager."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        self._roots = roots
        self._stop = threading.Event()
        self._exit = ExitStack()
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = self._exit.enter_context(
                Bar(
                    TextColumn("{task.fields[files]} files"),
                    BarColumn(),
                    DownloadColumn(),
                    TransferSpeedColumn(),
                    TimeRemainingColumn(),
                    console=Console(stderr=True),
                    transient=True,
                )
            )
            self._task = self._bar.add_task("ingest", total=None, files=0)
            counter = threading.Thread(target=self._count, name="ingest-count", daemon=True)
            counter.start()
            self._exit.callback(counter.join)
            self._exit.callback(self._stop.set)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.close()

    def advance(self, result: Result) -> None:
        """Another source is done."""
        if self._bar is None:
            return
        size_bytes = 0 if result.fingerprint is None else result.fingerprint.size_bytes
        files = self._bar.tasks[self._task].fields["files"] + 1
        self._bar.update(self._task, advance=size_bytes, files=files)

    def _count(self) -> None:
        total = 0
        for source in walk(self._roots):
            if self._stop.is_set() or self._bar is None:
                return
            total += source.size_bytes if isinstance(source, Source) else 0
        if self._bar is not None:
            self._bar.update(self._task, total=total)
