"""Those who wait for the writer's turn, in an order that a test decides."""

import threading
import time
from collections.abc import Callable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from storage.catalog import SqlCatalog

T = TypeVar("T")
WAITING_MAX = 16


@dataclass
class Queue:
    """Officers who wait behind one who holds the writer's turn, in the order in which they came."""

    catalog: SqlCatalog
    pool: ThreadPoolExecutor

    def come(self, act: Callable[..., T], *arguments: object) -> "Future[T]":
        """An officer comes, and waits."""
        waiting = len(self._waiting)
        future = self.pool.submit(act, *arguments)
        ends = time.monotonic() + 20
        while len(self._waiting) == waiting:
            assert time.monotonic() < ends
            time.sleep(0.001)
        return future

    @property
    def _waiting(self) -> Sized:
        return self.catalog._turns._waiting  # noqa: SLF001 - who waits is nobody's business else


@contextmanager
def queue(catalog: SqlCatalog) -> Iterator[Queue]:
    """While this lasts, who comes waits; then they are let in."""
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with catalog.write():
            held.set()
            leave.wait(60)

    pool = ThreadPoolExecutor(WAITING_MAX)
    holder = pool.submit(hold)
    assert held.wait(10)
    try:
        yield Queue(catalog, pool)
    finally:
        leave.set()
        pool.shutdown(wait=False)
    holder.result(60)
