"""How many of something there may be at a time: for one officer, and for all of them."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from evidence_store.errors import RateError
from evidence_store.identifiers import PersonCode


@dataclass(slots=True)
class Places:
    """Places of one server process. Nobody waits for one: who gets none is told to ask again."""

    what: str
    of_caller_max: int
    of_all_max: int
    _taken: Counter[PersonCode] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, officer: PersonCode) -> None:
        """Take a place.

        Raises:
            RateError: if there is none left.
        """
        with self._lock:
            if self._taken[officer] >= self.of_caller_max or self._taken.total() >= self.of_all_max:
                raise RateError(
                    f"{self.what}: expected at most {self.of_caller_max} at a time, and"
                    f" {self.of_all_max} of everybody; ask again"
                )
            self._taken[officer] += 1

    def give_back(self, officer: PersonCode) -> None:
        """Let another have it."""
        with self._lock:
            self._taken[officer] -= 1
            if not self._taken[officer]:
                del self._taken[officer]

    @contextmanager
    def taken(self, officer: PersonCode) -> Iterator[None]:
        """A place for as long as this lasts.

        Raises:
            RateError: as `take`.
        """
        self.take(officer)
        try:
            yield
        finally:
            self.give_back(officer)
