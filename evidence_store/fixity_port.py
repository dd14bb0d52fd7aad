"""What the fixity cycle asks of the outside world: its part of the catalog.

An index of what is to be read next, and what was found last. What was found stands in signed
events too; these rows are trusted for order only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from evidence_store.identifiers import DossierId, Ern, ObjectName


@dataclass(frozen=True, slots=True)
class Measured:
    """A stored object, and when it was last read to its end: at intake, or in a `turn`."""

    name: ObjectName
    measured_at: datetime
    failed: bool = False
    outcome: str | None = None
    code: str | None = None
    turn: DossierId | None = None


class FixityReader(Protocol):
    """The cycle's part of a consistent view of the catalog. Every query goes by an index."""

    def measured(self, name: ObjectName) -> Measured | None:
        """What is known of an object; None while the cycle has not taken it in."""
        ...

    def oldest(self) -> datetime | None:
        """The oldest measurement there is; None if there is nothing to measure."""
        ...

    def due(self, before: datetime, *, limit: int) -> Sequence[Measured]:
        """Objects last measured before that instant, the oldest first."""
        ...

    def failed(self, *, before: datetime | None = None, limit: int = 100) -> Sequence[Measured]:
        """Objects that are not as registered, the oldest finding first."""
        ...

    def is_behind(self) -> bool:
        """Whether there are objects that the cycle has not taken in."""
        ...

    def held_in(self, name: ObjectName, *, limit: int = 1000) -> Sequence[tuple[Ern, int]]:
        """The versions whose bytes an object holds; none if it is a journal."""
        ...


class FixityWriter(FixityReader, Protocol):
    """The cycle's part of a transaction."""

    def take_in(self, now: datetime, *, limit: int) -> int:
        """Let objects into the cycle, in the order they were stored; how many.

        Each counts as measured when its version was added, and a journal now.
        """
        ...

    def record(self, found: Sequence[Measured]) -> None:
        """What was found of objects that are in the cycle."""
        ...
