"""Work that takes long, in few threads of its own: whose turn it is goes round among those who wait.

It is none of the threads that requests are worked on in, so nothing else ever waits for it. Nothing
rests on it: what it was given and did not do is found again by whoever looks for it.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

AT_ONCE_MAX = 2  # each may show up to 64 MiB to the isolated process
T = TypeVar("T")


@dataclass(slots=True)
class Finishing(Generic[T]):
    """Does one thing at a time for each caller, and as many as it has threads for all of them."""

    _pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(AT_ONCE_MAX, "finishing")
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting: dict[Hashable, deque[tuple[str, Callable[[], T]]]] = field(default_factory=dict)
    _busy: set[Hashable] = field(default_factory=set)
    _futures: dict[str, Future[T]] = field(default_factory=dict)

    def submit(self, caller: Hashable, name: str, act: Callable[[], T]) -> Future[T]:
        """Do it when it is the caller's turn; of one name there is one at a time. Never waits.

        Raises:
            RuntimeError: if it was closed.
        """
        with self._lock:
            known = self._futures.get(name)
            if known is not None:
                return known
            self._pool.submit(self._work_on_one)
            found: Future[T] = Future()
            self._futures[name] = found
            self._waiting.setdefault(caller, deque()).append((name, act))
            return found

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work_on_one(self) -> None:
        with self._lock:
            caller = next((each for each in self._waiting if each not in self._busy), None)
            if caller is None:
                return  # whoever works for the one that waits goes on with it
            waiting = self._waiting.pop(caller)
            name, act = waiting.popleft()
            if waiting:
                self._waiting[caller] = waiting  # behind all others
            self._busy.add(caller)
        try:
            result = act()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._ended(caller, name).set_exception(error)
        else:
            self._ended(caller, name).set_result(result)

    def _ended(self, caller: Hashable, name: str) -> Future[T]:
        with self._lock:
            self._busy.discard(caller)
            if self._waiting:
                try:
                    self._pool.submit(self._work_on_one)
                except RuntimeError:  # closed: what waits is found again
                    self._waiting.clear()
            return self._futures.pop(name)
