"""What background work keeps: how far it has come, who does it, what is to be told to whom.

None of it is evidence. `tests/contract` holds every `WorkStore` to this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from evidence_store.canonical import Json
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
    """An event by its place in the log, with what it says openly."""

    place: int
    subject: Subject
    seq: int
    act: str
    at: datetime
    data: Mapping[str, Json]


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
class Outgoing:
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

    def happened(self, after: int, *, limit: int) -> Sequence[Happened]:
        """Events by their place in the log, from behind `after`."""
        ...

    def add_notice(self, notice: Notice) -> None:
        """Enter something to tell; its number is given here."""
        ...

    def notices(self, after: int, *, limit: int) -> Sequence[Notice]:
        """What is to be told, from behind a number."""
        ...

    def tell(
        self,
        name: str,
        position: int,
        outgoing: Sequence[Outgoing],
        deadlines: Sequence[Deadline] = (),
    ) -> None:
        """Enter messages and deadlines, and how far that has come, all at once.

        A message that is there already is left as it is; of a deadline, the last holds.
        """
        ...

    def over(self, now: datetime, *, limit: int) -> Sequence[Deadline]:
        """Deadlines whose time is over."""
        ...

    def forget(self, deadline: Deadline) -> None:
        """Let go of a deadline."""
        ...

    def add_webhook(self, webhook: Webhook, *, most: int) -> bool:
        """Enter a subscription; False if the authority has so many already."""
        ...

    def webhooks(self, authority: AuthorityId) -> Sequence[Webhook]:
        """An authority's subscriptions, disabled ones included."""
        ...

    def webhook(self, webhook_id: str) -> Webhook | None:
        """A subscription."""
        ...

    def end_webhook(self, authority: AuthorityId, webhook_id: str) -> bool:
        """End a subscription, with what was still to be told; whether there was one."""
        ...

    def disable_webhook(self, webhook_id: str, at: datetime, reason: str) -> None:
        """Tell a subscriber nothing more. What was to be told is let go of."""
        ...

    def due(self, now: datetime, *, limit: int) -> Sequence[Outgoing]:
        """Messages whose next attempt is due, the longest waiting first."""
        ...

    def delivered(self, outgoing_id: str) -> None:
        """A message was acknowledged."""
        ...

    def postpone(self, outgoing_id: str, attempts: int, due_at: datetime) -> None:
        """A message was not acknowledged, and is sent again later."""
        ...

    def pending(self, webhook_id: str, *, most: int) -> int:
        """How many messages wait, counted up to so many."""
        ...
