"""Work that is done once for all who ask for it meanwhile. It does not know which work.

Whoever asks wants a run that began afterwards: one that is under way may have passed by what it
was asked for. So there is at most one that runs, and one that all the others wait for.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from evidence_store.errors import UnavailableError

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Run(Generic[T]):
    over: threading.Event = field(default_factory=threading.Event)
    outcome: T | None = None
    failure: Exception | None = None


class SharedRuns(Generic[T]):
    """Runs of one kind of work. Safe to use from several threads."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._under_way: _Run[T] | None = None
        self._next: _Run[T] | None = None

    def run(self, work: Callable[[], T]) -> T | None:
        """What a run gave that began after this was called; whatever it raised is raised to all."""
        own = _Run[T]()
        with self._mutex:
            before, joined = self._under_way, self._next
            if before is None and joined is None:
                self._under_way = own
            elif joined is None:
                self._next = own
        if joined is None:
            return self._done(own, before, work)
        joined.over.wait()
        return _outcome(joined)

    def _done(self, own: _Run[T], before: _Run[T] | None, work: Callable[[], T]) -> T | None:
        try:
            if before is not None:
                before.over.wait()
            with self._mutex:
                # From here on whoever asks waits for the run behind this one.
                if self._next is own:
                    self._under_way, self._next = own, None
            own.outcome = work()
        except Exception as error:
            own.failure = error
            raise
        except BaseException:
            own.failure = UnavailableError("the run that was shared was ended; try again")
            raise
        finally:
            with self._mutex:
                if self._under_way is own:
                    self._under_way = None
                if self._next is own:
                    self._next = None
            own.over.set()
        return own.outcome


def _outcome(run: _Run[T]) -> T | None:
    if run.failure is not None:
        raise run.failure
    return run.outcome
