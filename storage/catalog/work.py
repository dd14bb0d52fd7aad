"""The rows of background work, each verb in a transaction of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, func, insert, select, update

from evidence_store.background import Lease
from evidence_store.doors import UploadState
from storage.catalog.door_tables import (
    ChallengeRow,
    EnrolmentRow,
    IdempotencyRow,
    LeaseRow,
    SessionRow,
    TokenRow,
    UploadRow,
)
from storage.catalog.engine import reading, writing
from storage.catalog.queries import Queries
from storage.catalog.spelling import Found
from storage.catalog.tables import table_of
from storage.catalog.work_tables import PositionRow

CHALLENGE, ENROLMENT = table_of(ChallengeRow), table_of(EnrolmentRow)
IDEMPOTENCY, LEASE = table_of(IdempotencyRow), table_of(LeaseRow)
SESSION, TOKEN, UPLOAD = table_of(SessionRow), table_of(TokenRow), table_of(UploadRow)
POSITION = table_of(PositionRow)
# How long each is kept when it is over: long enough to be seen in a list, or to answer a retry.
KEPT = (
    (CHALLENGE.c.expires_at, timedelta()),
    (SESSION.c.expires_at, timedelta(days=1)),
    (ENROLMENT.c.expires_at, timedelta(days=30)),
    (TOKEN.c.expires_at, timedelta(days=30)),
    (IDEMPOTENCY.c.created_at, timedelta(days=2)),
)


class SqlWorkStore:
    """Implements `evidence_store.background.WorkStore`. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def clean(self, now: datetime) -> None:
        """See `WorkStore.clean`."""
        for column, kept in KEPT:
            over = column < now - kept
            query = select(column).where(over).limit(1)
            with self._reading() as queries:
                if not queries.all(query, bool):
                    continue
            with self._writing() as queries:
                queries.run(delete(column.table).where(over))

    def leases(self) -> Sequence[Lease]:
        """See `WorkStore.leases`."""
        with self._reading() as queries:
            return queries.all(
                select(LEASE).where(LEASE.c.name > "").order_by(LEASE.c.name),
                lambda row: Lease(row.name, row.holder, row.until, row.done_at),
            )

    def position(self, name: str) -> int | None:
        """See `WorkStore.position`."""
        with self._reading() as queries:
            return position(queries, name)

    def set_position(self, name: str, position: int) -> None:
        """See `WorkStore.set_position`."""
        with self._writing() as queries:
            move(queries, name, position)

    def open_uploads(self, *, most: int) -> int:
        """See `WorkStore.open_uploads`."""
        states = [UploadState.OPEN.value, UploadState.WHOLE.value, UploadState.PARTIAL.value]
        some = select(UPLOAD.c.id).where(UPLOAD.c.state.in_(states)).limit(most).subquery()
        with self._reading() as queries:
            return queries.all(select(func.count().label("found")).select_from(some), _count)[0]

    @contextmanager
    def _reading(self) -> Iterator[Queries]:
        with reading(self._engine) as connection:
            yield Queries(connection)

    @contextmanager
    def _writing(self) -> Iterator[Queries]:
        with writing(self._engine) as connection:
            yield Queries(connection)


def position(queries: Queries, name: str) -> int | None:
    """How far a piece of work has come."""
    query = select(POSITION.c.position).where(POSITION.c.name == name)
    found = queries.all(query, lambda row: int(row.position))
    return found[0] if found else None


def move(queries: Queries, name: str, to: int) -> None:
    """Say how far a piece of work has come."""
    if queries.run(update(POSITION).where(POSITION.c.name == name).values(position=to)) == 0:
        queries.run(insert(POSITION), [{"name": name, "position": to}])


def _count(row: Found) -> int:
    return int(row.found)
