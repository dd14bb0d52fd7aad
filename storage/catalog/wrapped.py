"""Rows whose secrets are sealed to the keyring, so that they can be wrapped to a new key.

The header alone, or the whole age file with its header in front, is in one column. Implements
`evidence_store.rewrap.Kept`; knows nothing of keys.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Select, Table, select, update

from evidence_store.accounts import Purpose
from evidence_store.age.header import split
from evidence_store.errors import MalformedError
from evidence_store.rewrap import Kept, Wrapped
from storage.catalog.door_tables import AccountRow, ChallengeRow, UploadRow
from storage.catalog.engine import reading, writing
from storage.catalog.ordering import FIRST
from storage.catalog.queries import Queries
from storage.catalog.spelling import Found
from storage.catalog.tables import table_of
from storage.catalog.work_tables import WebhookRow


@dataclass(frozen=True, slots=True)
class Column:
    """Where the sealed bytes are, and how the row's key and they are spelled."""

    table: Table
    key: str
    name: str
    only: tuple[str, object] | None = None  # a column, and the value that it must have
    key_of: Callable[[str], Any] = str
    name_of: Callable[[Any], str] = str
    read: Callable[[Any], bytes] = bytes
    write: Callable[[bytes], Any] = bytes


class SqlWrapped:
    """Implements `evidence_store.rewrap.Kept` for the rows of a table."""

    def __init__(self, engine: Engine, what: str, column: Column) -> None:
        self._engine, self._what, self._column = engine, what, column

    @property
    def what(self) -> str:
        """See `Kept.what`."""
        return self._what

    def wrapped(self, *, after: str | None = None, limit: int = 100) -> Sequence[Wrapped]:
        """See `Kept.wrapped`."""
        column = self._column
        key, value = column.table.c[column.key], column.table.c[column.name]
        query: Select[Any] = select(key.label("key"), value.label("content")).where(
            value.is_not(None)
        )
        if column.only is not None:
            query = query.where(column.table.c[column.only[0]] == column.only[1])
        query = query.where(key > column.key_of(FIRST if after is None else after))
        with reading(self._engine) as connection:
            return Queries(connection).all(query.order_by(key).limit(limit), self._wrapped)

    def rewrap(self, changes: Sequence[tuple[Wrapped, bytes]]) -> None:
        """See `Kept.rewrap`."""
        if not changes:
            return
        column = self._column
        key, value = column.table.c[column.key], column.table.c[column.name]
        with writing(self._engine) as connection:
            queries = Queries(connection)
            for before, header in changes:
                is_it = key == column.key_of(before.name)
                query = select(value).where(is_it, value.is_not(None))
                for found in queries.all(query, lambda row: column.read(row[0])):
                    if not found.startswith(before.header):
                        continue
                    changed = column.write(header + found[len(before.header) :])
                    queries.run(update(column.table).where(is_it).values({column.name: changed}))

    def _wrapped(self, row: Found) -> Wrapped:
        column = self._column
        return Wrapped(column.name_of(row.key), _header(column.read(row.content)))


def wrapped_rows(engine: Engine) -> Sequence[Kept]:
    """All rows that are sealed to the keyring; objects' are `CatalogReader.sealed_objects`."""
    return (
        SqlWrapped(engine, "upload", Column(table_of(UploadRow), "id", "header")),
        SqlWrapped(engine, "webhook", Column(table_of(WebhookRow), "id", "header")),
        SqlWrapped(engine, "one-time codes", Column(table_of(AccountRow), "officer", "totp")),
        SqlWrapped(
            engine,
            "one-time codes that are being enrolled",
            Column(
                table_of(ChallengeRow),
                "digest",
                "content",
                only=("purpose", Purpose.TOTP.value),
                key_of=bytes.fromhex,
                name_of=bytes.hex,
                read=_from_text,
                write=_to_text,
            ),
        ),
    )


def _header(content: bytes) -> bytes:
    """What the sealed bytes begin with; all of them where that is no header."""
    try:
        return content[: split(content)]
    except MalformedError:
        return content


def _from_text(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _to_text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
