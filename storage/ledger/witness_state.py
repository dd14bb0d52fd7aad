"""What a witness remembers, in an SQLite file of its own, private to its owner.

A witness that lost its memory would cosign a fork. So it is made by `create` only, a missing or
empty one is an error, and a commit is on the disk when it returns (WAL, `synchronous=FULL`).
A file restored from an older backup is a lost memory too, and cannot be told from here.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from evidence_store.errors import (
    ConflictError,
    LedgerAlteredError,
    MalformedError,
    NoSpaceError,
    SettingsError,
    UnavailableError,
)
from evidence_store.ledger.add_checkpoint import Refusal
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.note import Note, check_name
from evidence_store.ledger.witness import Kept, Seen
from storage.keys import private_file

KEPT_MAX = 1000
"""Refused requests for each log and reason."""
BUSY_SECONDS = 10.0
_VERSION = 1
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE witness (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL) STRICT;
CREATE TABLE seen (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER seen_never_forgets BEFORE DELETE ON seen
    BEGIN SELECT RAISE(ABORT, 'a witness does not forget'); END;
CREATE TABLE refused (
    number INTEGER PRIMARY KEY, origin TEXT NOT NULL, reason TEXT NOT NULL, size INTEGER NOT NULL,
    root BLOB NOT NULL, request BLOB NOT NULL, at REAL NOT NULL,
    UNIQUE (origin, reason, size, root)
) STRICT;
PRAGMA user_version = {_VERSION};
"""  # the transaction is committed with the name
# One statement, so that nobody comes between the check and the change.
_ADVANCE = """
INSERT INTO seen (origin, size, root, note, at)
    SELECT :origin, :size, :root, :note, :at
    WHERE :from_size = 0 OR EXISTS (SELECT 1 FROM seen WHERE origin = :origin)
ON CONFLICT (origin) DO UPDATE
    SET size = excluded.size, root = excluded.root, note = excluded.note, at = excluded.at
    WHERE seen.size = :from_size AND excluded.at >= seen.at
      AND (excluded.size > seen.size OR excluded.size = seen.size AND excluded.root = seen.root)
"""
_KEEP = """
INSERT INTO refused (origin, reason, size, root, request, at)
    SELECT :origin, :reason, :size, :root, :request, :at
    WHERE :max > (SELECT count(*) FROM refused WHERE origin = :origin AND reason = :reason)
ON CONFLICT DO NOTHING
"""


class SqliteWitnessState:
    """Implements `evidence_store.ledger.witness.WitnessState`; also knows the witness's name."""

    def __init__(self, file: Path) -> None:
        """Open a memory that is there.

        Raises:
            SettingsError: if there is none; it is never made anew in silence.
            LedgerAlteredError: if it is damaged.
            UnavailableError: if it cannot be opened now.
        """
        self._file = file
        self._lock = threading.Lock()
        if not file.is_file() or file.stat().st_size == 0:
            raise SettingsError(
                f"{file}: the witness's memory is not there; a new one would let it cosign a fork. "
                "Retire the witness key, tell those who trust it, and make a new witness"
            )
        with _errors(file):
            self._connection = _connected(file)
        found = self._one("PRAGMA user_version")
        if found is None or found[0] != _VERSION:
            self.close()
            raise SettingsError(
                f"{file}: expected a witness's memory of version {_VERSION}, found another file"
            )

    @classmethod
    def create(cls, file: Path, name: str) -> Self:
        """Make an empty memory for a new witness; one that a crash left unfinished is finished.

        Raises:
            ConflictError: if there is one.
            MalformedError: if a witness cannot be called so.
            NoSpaceError, SettingsError, UnavailableError: if it cannot be made.
        """
        check_name(name)
        if not file.exists():
            private_file.write_new(file, b"")  # SQLite would make one that all may read
        with _errors(file), closing(_connected(file)) as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0]:
                raise ConflictError(f"{file}: there is a witness's memory already")
            connection.executescript(_SCHEMA)
            connection.execute("INSERT INTO witness VALUES (1, ?)", (name,))
            connection.execute("COMMIT")
        return cls(file)

    def name(self) -> str:
        """What the witness is called.

        Raises:
            LedgerAlteredError, UnavailableError: if it cannot be read.
        """
        row = self._one("SELECT name FROM witness")
        if row is None:
            raise self._altered()
        return str(row[0])

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def latest(self, origin: str) -> Seen | None:
        """See `WitnessState.latest`."""
        row = self._one("SELECT size, root, note, at FROM seen WHERE origin = ?", (origin,))
        if row is None:
            return None
        size, root, note, at = row
        try:
            seen = Seen(Checkpoint(origin, size, root), Note.parse(note), at)
            agrees = Checkpoint.of(seen.note) == seen.checkpoint
        except MalformedError as error:
            raise self._altered() from error
        if not agrees:
            raise self._altered()
        return seen

    def advance(self, seen: Seen, *, from_size: int) -> bool:
        """See `WitnessState.advance`."""
        return self._change(
            _ADVANCE,
            {
                "origin": seen.checkpoint.origin,
                "size": seen.checkpoint.size,
                "root": seen.checkpoint.root,
                "note": seen.note.encode(),
                "at": seen.at,
                "from_size": from_size,
            },
        )

    def keep_refused(self, kept: Kept) -> None:
        """See `WitnessState.keep_refused`."""
        self._change(
            _KEEP,
            {
                "origin": kept.checkpoint.origin,
                "reason": str(kept.reason),
                "size": kept.checkpoint.size,
                "root": kept.checkpoint.root,
                "request": kept.request,
                "at": kept.at.timestamp(),
                "max": KEPT_MAX,
            },
        )

    def refused(self) -> Sequence[Kept]:
        """See `WitnessState.refused`."""
        rows = self._all(
            "SELECT origin, size, root, reason, request, at FROM refused ORDER BY number"
        )
        try:
            return [
                Kept(
                    Checkpoint(origin, size, root),
                    Refusal(reason),
                    request,
                    datetime.fromtimestamp(at, tz=UTC),
                )
                for origin, size, root, reason, request, at in rows
            ]
        except (MalformedError, ValueError) as error:
            raise self._altered() from error

    def origins(self) -> Sequence[str]:
        """See `WitnessState.origins`."""
        return [str(row[0]) for row in self._all("SELECT origin FROM seen ORDER BY origin")]

    def _one(self, statement: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        return next(iter(self._all(statement, values)), None)

    def _all(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock, _errors(self._file):
            return self._connection.execute(statement, values).fetchall()

    def _change(self, statement: str, values: dict[str, object]) -> bool:
        """Run one statement as a transaction of its own; whether it changed anything."""
        with self._lock, _errors(self._file):
            return self._connection.execute(statement, values).rowcount == 1

    def _altered(self) -> LedgerAlteredError:
        return LedgerAlteredError(
            f"{self._file}: the witness's memory disagrees with itself; it cosigns nothing more. "
            "Retire the witness key, and make a new witness"
        )


def _connected(file: Path) -> sqlite3.Connection:
    # As a URI, so that SQLite never makes the file. Without transactions of the driver's own.
    connection = sqlite3.connect(
        f"file:{quote(str(file))}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _errors(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
        if code == sqlite3.SQLITE_FULL:
            raise NoSpaceError(f"{file}: the disk is full; make room and try again") from error
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise LedgerAlteredError(
                f"{file}: the witness's memory is damaged; retire the witness key"
            ) from error
        raise UnavailableError(
            f"{file}: the witness's memory does not answer: {error}; try again"
        ) from error
