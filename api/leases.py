"""Pieces of background work, and the lease that each is done under. Who does them: `api.worker`."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from evidence_store.errors import UnavailableError

BACKOFF_SECONDS_MAX = 300.0


class Keep:
    """A lease that is held. `insist` is called where work can stop in order."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def end(self) -> None:
        """It is lost, or the worker is to stop."""
        self._over.set()

    def insist(self, wait_seconds: float = 0.0) -> None:
        """Insist that it is held still, having waited so long if that is asked.

        Raises:
            UnavailableError: if not: leave the rest to whoever has it now.
        """
        if self._over.wait(wait_seconds) if wait_seconds > 0 else self._over.is_set():
            raise UnavailableError("worker: the lease is over; another goes on")


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work: what is done, and how long to wait before it is done again."""

    name: str
    act: Callable[[Keep], object]
    pause_seconds: float
    backoff_seconds_max: float = BACKOFF_SECONDS_MAX

    def wait_seconds(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        factor = float(2 ** min(failures, 16))
        return min(self.pause_seconds * factor, self.backoff_seconds_max)
