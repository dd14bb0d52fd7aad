"""What background work keeps: how far it has come, who does it, what is to be told to whom.

None of it is evidence. `tests/contract` holds every `WorkStore` to this.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from evidence_store.identifiers import AuthorityId, PersonCode, Subject


@dataclass(frozen=True, slots=True)
class Lease:
    """Who does a piece of work, until when, and when it was last done to its end."""

    name: str
    holder: str
    until: datetime
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Happened:
    """An event by its place in the log, without what it says."""

    place: int
    subject: Subject
    seq: int
    act: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell that is no event: of an officer's own, or for these authorities."""

    number: int
    type: str
    subject: str
    at: datetime
    officer: PersonCode | None = None
    authorities: tuple[AuthorityId, ...] = ()


@dataclass(frozen=True, slots=True)
class Deadline:
    """When the time of something is over. `kind` says which of its times."""

    subject: str
    kind: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Webhook:
    """A subscription of an authority: where to tell it what. The secret is sealed."""

    id: str
    authority: AuthorityId
    officer: PersonCode
    url: str
    events: frozenset[str]
    secret: bytes = field(repr=False)
    header: bytes = field(repr=False)
    created_at: datetime
    disabled_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to a subscriber that it has not acknowledged. The identifier never changes."""

    id: str
    webhook: str
    body: str = field(repr=False)
    created_at: datetime
    due_at: datetime
    attempts: int = 0


class WorkStore(Protocol):
    """Each call is a transaction of its own: durable when it returns, nothing when it raises.

    Raises, all of them: CatalogBusyError, NoSpaceError.
    """

    def clean(self, now: datetime) -> None:
        """Let go of enrolments, sessions, challenges, tokens and answers that are over."""
        ...

    def leases(self) -> Sequence[Lease]:
        """Every lease there ever was, by name."""
        ...

    def position(self, name: str) -> int | None:
        """How far a piece of work has come."""
        ...

    def set_position(self, name: str, position: int) -> None:
        """Say how far a piece of work has come."""
        ...

    def open_uploads(self, *, most: int) -> int:
        """How many uploads are under way, counted up to so many."""
        ...
