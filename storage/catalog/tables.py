"""Rows. A row is not the domain's value: it is how the database spells one.

SQLModel does not validate `table=True` models when they are constructed, so
invariants live in `evidence_store` and rows are built only in this package. Rows
refer to each other by key; there are no relationship attributes. Identifiers are
spelled with their serial in twelve digits, so that text order is their order.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Table,
    Text,
    false,
)
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel

from evidence_store.errors import MalformedError
from evidence_store.moment import in_utc


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. SQLite forgets the zone on the way, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        """Into the database: in UTC, and as text without a zone where the database knows none."""
        return _instant_text if dialect.name == "sqlite" else _instant

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401 - the library's signature
        """Out of the database: aware, in UTC."""
        if value is None:
            return None
        found: datetime = value
        return found.replace(tzinfo=UTC) if dialect.name == "sqlite" else found.astimezone(UTC)


class PlainText(TypeDecorator[str]):
    """Text that both databases keep, compare and order alike: by its bytes in UTF-8.

    A PostgreSQL database has a language, and in Danish `aa` comes after `z`: names
    would come in another order than an object store lists them in.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type it has there."""
        postgresql = dialect.name == "postgresql"
        return dialect.type_descriptor(Text(collation="C" if postgresql else None))

    def bind_processor(self, dialect: Dialect) -> Callable[[str | None], str | None]:  # noqa: ARG002 - the library's signature
        """Into the database, if it can be kept there."""
        return _keepable


class InstallationRow(SQLModel, table=True):
    """Whose catalog this is: one row, for ever."""

    __tablename__ = "installation"

    id: int = Field(primary_key=True)
    state: str = Field(sa_type=PlainText)
    authority: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    exercise: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class SerialRow(SQLModel, table=True):
    """The next free serial of a series. It only ever grows."""

    __tablename__ = "serial"

    series: str = Field(sa_type=PlainText, primary_key=True)
    next: int = Field(sa_type=BigInteger)


class CaseRow(SQLModel, table=True):
    """A case."""

    __tablename__ = "case_file"  # "case" is a reserved word

    case_key: str = Field(sa_type=PlainText, primary_key=True)
    title: str = Field(sa_type=PlainText)
    reference: str | None = Field(default=None, sa_type=PlainText, unique=True)
    opened_at: datetime = Field(sa_type=UtcDateTime)


class PersonRow(SQLModel, table=True):
    """A person by role code."""

    __tablename__ = "person"
    __table_args__ = (Index("ix_person_role_name", "role", "name", unique=True),)

    code_key: str = Field(sa_type=PlainText, primary_key=True)
    role: str = Field(sa_type=PlainText)
    name: str = Field(sa_type=PlainText)


class ItemRow(SQLModel, table=True):
    """An item of evidence. `fields` and `terms` are JSON with sorted names."""

    __tablename__ = "item"
    __table_args__ = (Index("ix_item_case_ern", "case_key", "ern_key"),)

    ern_key: str = Field(sa_type=PlainText, primary_key=True)
    case_key: str = Field(sa_type=PlainText, foreign_key="case_file.case_key")
    status: str = Field(sa_type=PlainText)
    status_reason: str | None = Field(default=None, sa_type=PlainText)
    kind: str = Field(sa_type=PlainText)
    collected_by: str = Field(sa_type=PlainText, foreign_key="person.code_key")
    collected_at: str = Field(sa_type=PlainText)
    method: str = Field(sa_type=PlainText)
    place: str = Field(sa_type=PlainText)
    source: str = Field(sa_type=PlainText)
    title: str | None = Field(default=None, sa_type=PlainText)
    fields: str = Field(sa_type=PlainText)
    terms: str | None = Field(default=None, sa_type=PlainText)
    registered_at: datetime = Field(sa_type=UtcDateTime)
    source_name: bytes | None = Field(default=None, sa_type=LargeBinary)
    source_key: bytes | None = Field(default=None, sa_type=LargeBinary, unique=True)
    stated_sha256: bytes | None = Field(default=None, sa_type=LargeBinary)


class SealedObjectRow(SQLModel, table=True):
    """A stored object and the header that opens it. A greater `number` is a newer object."""

    __tablename__ = "sealed_object"
    __table_args__ = (
        Index("ix_sealed_object_sha256_number", "sha256", "number"),
        Index("ix_sealed_object_recipient_name", "recipient", "name"),
        Index("ix_sealed_object_number", "number"),
    )

    name: str = Field(sa_type=PlainText, primary_key=True)
    number: int = Field(sa_type=BigInteger)
    sha256: bytes = Field(sa_type=LargeBinary)
    blake3: bytes = Field(sa_type=LargeBinary)
    size_bytes: int = Field(sa_type=BigInteger)  # INTEGER ends at 2 GiB on PostgreSQL
    stored_bytes: int = Field(sa_type=BigInteger)
    header: bytes = Field(sa_type=LargeBinary)
    recipient: str = Field(sa_type=PlainText)


class VersionRow(SQLModel, table=True):
    """A version of an item. `claims` is sealed; lists never load it."""

    __tablename__ = "version"
    __table_args__ = (
        Index("ix_version_sha256", "sha256", "ern_key", "number"),
        Index("ix_version_blake3", "blake3", "ern_key", "number"),
        Index("ix_version_object", "object_name", "ern_key", "number"),
        ForeignKeyConstraint(["ern_key", "derived_from"], ["version.ern_key", "version.number"]),
    )

    ern_key: str = Field(sa_type=PlainText, primary_key=True, foreign_key="item.ern_key")
    number: int = Field(primary_key=True)
    type: str = Field(sa_type=PlainText)
    derived_from: int | None = None
    sha256: bytes = Field(sa_type=LargeBinary)
    blake3: bytes = Field(sa_type=LargeBinary)
    size_bytes: int = Field(sa_type=BigInteger)
    object_name: str = Field(sa_type=PlainText, foreign_key="sealed_object.name")
    media_type: str = Field(sa_type=PlainText)
    added_at: datetime = Field(sa_type=UtcDateTime)
    method: str | None = Field(default=None, sa_type=PlainText)
    language: str | None = Field(default=None, sa_type=PlainText)
    name_mismatch: bool
    claims: bytes = Field(sa_type=LargeBinary)


def table_of(row: type[SQLModel]) -> Table:
    """The table of these rows."""
    return SQLModel.metadata.tables[str(row.__tablename__)]


def _instant(value: datetime | None) -> datetime | None:
    return None if value is None else in_utc(value)


def _instant_text(value: datetime | None) -> str | None:
    if value is None:
        return None
    return in_utc(value).replace(tzinfo=None).isoformat(" ", "microseconds")


def _keepable(value: str | None) -> str | None:
    """The text itself.

    Raises:
        MalformedError: if it holds NUL, which PostgreSQL cannot keep, or half a character.
    """
    if value is None:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        raise MalformedError("catalog: expected text, found bytes that are no UTF-8") from None
    if "\0" in value:
        raise MalformedError("catalog: expected text, found the character NUL in it")
    return value
