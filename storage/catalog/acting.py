"""Which answered-once request this thread does now: each transaction that it commits says that it was done.

So what was done and the word that it was are durable together, or neither is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, update

from evidence_store.errors import ConflictError
from storage.catalog.door_tables import IdempotencyRow
from storage.catalog.tables import table_of

IDEMPOTENCY = table_of(IdempotencyRow)


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that was claimed: whose, which, when."""

    officer: str
    key: str
    at: datetime


_claim: ContextVar[Claim | None] = ContextVar("claim", default=None)


@contextmanager
def acting(claim: Claim) -> Iterator[None]:
    """Within it, what this thread commits is done under the claim."""
    before = _claim.set(claim)
    try:
        yield
    finally:
        _claim.reset(before)


def say_done(connection: Connection) -> None:
    """Say in this transaction that what the thread has claimed is done, if it has claimed anything.

    Raises:
        ConflictError: if the claim ran out and another has it: nothing of this is to be committed.
    """
    claim = _claim.get()
    if claim is None:
        return
    query = update(IDEMPOTENCY).where(
        IDEMPOTENCY.c.officer == claim.officer,
        IDEMPOTENCY.c.key == claim.key,
        IDEMPOTENCY.c.created_at == claim.at,
    )
    if connection.execute(query.values(is_done=True)).rowcount != 1:
        raise ConflictError("Idempotency-Key: another request does this now")
