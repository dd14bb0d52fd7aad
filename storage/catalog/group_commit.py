"""One durable commit for the acts that come at the same time. It does not know what they do.

The classic group commit: the first act begins the transaction; those that came meanwhile enter it in turn, each
behind a savepoint of its own; when nobody waits, or it is full, it is committed, and only then do they all go on.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import SQLAlchemyError

from evidence_store.errors import CatalogBusyError, EvidenceError
from storage.catalog.engine import begun_writing, commit, for_writing
from storage.catalog.faults import translated
from storage.catalog.prepared import driven

ACTS_MAX = 64
OPEN_SECONDS_MAX = (
    0.02  # nobody enters a transaction that is older: its first act waits long enough
)


class GroupCommit:
    """Who writes through this process: one thread at a time, first come, first served.

    The transaction is held by whoever has the turn. A thread that has done its act hands the turn
    on, with the transaction open if the next may enter it, and waits for its end: whoever finds
    nobody to hand it to commits for all.
    """

    def __init__(self, engine: Engine, wait_seconds: float) -> None:
        self._engine = engine
        self._wait_seconds = wait_seconds
        self._mutex = threading.Lock()  # over the two that follow
        self._is_taken = False
        self._waiting: deque[_Waiter] = deque()
        self._open: _Group | None = None  # this and what follows are touched by whose turn it is
        self._kept: Connection | None = None

    @contextmanager
    def turn(self, *, shares: bool) -> Iterator[Connection]:
        """A connection in a transaction that nobody else writes beside.

        What is done is durable on a clean exit and undone on an exception; what others do in the
        same transaction, which only those who share meet, is not touched by that.

        Raises:
            CatalogBusyError: if others write for longer than the configured wait, or the database
                does not answer; if the transaction that was shared was lost with another's act.
            NoSpaceError: if the disk is full.
        """
        self._take(shares=shares)
        group: _Group | None = None
        try:
            with translated():
                group = self._entered(shares=shares)
                yield group.connection
                if group.acts:
                    driven(group.connection, "RELEASE SAVEPOINT act")
                group.acts += 1
        except BaseException:
            if group is not None:
                self._undo(group)
            raise
        finally:
            self._pass_on()
        group.over.wait()
        if group.failure is not None:
            raise type(group.failure)(str(group.failure)) from None

    def close(self) -> None:
        """Let go of the connection, unless it is in use."""
        with self._mutex:
            if not self._is_taken and self._kept is not None:
                self._kept.close()
                self._kept = None

    # ------------------------------------------------------------------ turns

    def _take(self, *, shares: bool) -> None:
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return
            waiter = _Waiter(shares)
            self._waiting.append(waiter)
        try:
            has_come = waiter.called.wait(self._wait_seconds)
        except BaseException:
            if not self._withdrawn(waiter):
                self._pass_on()
            raise
        if not has_come and self._withdrawn(waiter):
            raise CatalogBusyError("catalog: somebody else is writing; try again")

    def _withdrawn(self, waiter: "_Waiter") -> bool:
        """Whether the waiter waits no more. If not, it has the turn already."""
        with self._mutex:
            if waiter.called.is_set():
                return False
            self._waiting.remove(waiter)
            return True

    def _pass_on(self) -> None:
        """Hand the turn to the next: with the open transaction, or after committing it."""
        group = self._open
        if group is not None:
            with self._mutex:
                if group.may_grow and self._waiting and self._waiting[0].shares:
                    self._waiting.popleft().called.set()
                    return
        try:
            if group is not None:
                self._commit(group)
        finally:
            with self._mutex:
                if self._waiting:
                    self._waiting.popleft().called.set()
                else:
                    self._is_taken = False

    # ----------------------------------------------------------- transactions

    def _entered(self, *, shares: bool) -> "_Group":
        if self._open is None:
            connection = self._kept or for_writing(self._engine)
            self._kept = None  # until it has shown again that it works
            transaction = begun_writing(connection)
            self._open = _Group(connection, transaction, shares)
        else:
            # The first needs none: without it there is nothing in the transaction.
            driven(self._open.connection, "SAVEPOINT act")
        return self._open

    def _undo(self, group: "_Group") -> None:
        """Undo the act of whose turn it is; if that alone cannot be, the whole transaction."""
        if not group.acts:
            self._end(group, None)
            return
        try:
            driven(group.connection, "ROLLBACK TO SAVEPOINT act")
            driven(group.connection, "RELEASE SAVEPOINT act")
        except SQLAlchemyError:
            # Of its own accord SQLite undoes all on a full disk, PostgreSQL when a line is cut.
            group.connection.invalidate()
            self._end(group, CatalogBusyError("catalog: the transaction was lost; try again"))

    def _commit(self, group: "_Group") -> None:
        failure: EvidenceError | None = CatalogBusyError(
            "catalog: the commit was interrupted; look whether the act is there, and try again"
        )
        try:
            with translated():
                commit(group.transaction)
            failure = None
        except EvidenceError as error:
            failure = error
        finally:
            self._end(group, failure)

    def _end(self, group: "_Group", failure: EvidenceError | None) -> None:
        """Let those go on who wait for the transaction's end. What is not committed is undone."""
        self._open = None
        group.failure = failure
        try:
            is_sound = failure is None and not group.transaction.is_active
            if is_sound and self._engine.dialect.name == "sqlite":
                self._kept = group.connection  # a server's may be cut meanwhile: the pool asks
            else:
                with translated():
                    group.connection.close()
        finally:
            group.over.set()


@dataclass(eq=False, slots=True)
class _Waiter:
    shares: bool
    called: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False, slots=True)
class _Group:
    """An open transaction, and how many acts are in it that wait for its end."""

    connection: Connection
    transaction: RootTransaction
    shares: bool
    acts: int = 0
    since: float = field(default_factory=time.monotonic)
    over: threading.Event = field(default_factory=threading.Event)
    failure: EvidenceError | None = None

    @property
    def may_grow(self) -> bool:
        """Whether another act may enter it."""
        is_young = time.monotonic() - self.since < OPEN_SECONDS_MAX
        return self.shares and self.acts < ACTS_MAX and is_young
