"""Rows. A row is not the domain's value: it is how the database spells one.

SQLModel does not validate `table=True` models when they are constructed, so
invariants live in `evidence_store` and rows are built only in this package. Rows
refer to each other by key; there are no relationship attributes. Identifiers are
spelled with their serial in twelve digits, so that text order is their order.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Index, LargeBinary, Text
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from evidence_store.moment import in_utc


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. SQLite forgets the zone on the way, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Into the database: in UTC, and naive where the database knows no zones."""
        if value is None:
            return None
        value = in_utc(value)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401 - the library's signature
        """Out of the database: aware, in UTC."""
        if value is None:
            return None
        found: datetime = value
        return found.replace(tzinfo=UTC) if dialect.name == "sqlite" else found.astimezone(UTC)


class InstallationRow(SQLModel, table=True):
    """Whose catalog this is: one row, for ever."""

    __tablename__ = "installation"

    id: int = Field(primary_key=True)
    state: str
    authority: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcDateTime)


class SerialRow(SQLModel, table=True):
    """The next free serial of a series. It only ever grows."""

    __tablename__ = "serial"

    series: str = Field(primary_key=True)
    next: int = Field(sa_type=BigInteger)


class CaseRow(SQLModel, table=True):
    """A case."""

    __tablename__ = "case_file"  # "case" is a reserved word

    case_key: str = Field(primary_key=True)
    title: str = Field(sa_type=Text)
    reference: str | None = Field(default=None, sa_type=Text, unique=True)
    opened_at: datetime = Field(sa_type=UtcDateTime)


class PersonRow(SQLModel, table=True):
    """A person by role code."""

    __tablename__ = "person"
    __table_args__ = (Index("ix_person_role_name", "role", "name", unique=True),)

    code_key: str = Field(primary_key=True)
    role: str
    name: str = Field(sa_type=Text)


class ItemRow(SQLModel, table=True):
    """An item of evidence. `fields` and `terms` are JSON with sorted names."""

    __tablename__ = "item"
    __table_args__ = (Index("ix_item_case_ern", "case_key", "ern_key"),)

    ern_key: str = Field(primary_key=True)
    case_key: str = Field(foreign_key="case_file.case_key")
    status: str
    status_reason: str | None = Field(default=None, sa_type=Text)
    kind: str
    collected_by: str = Field(foreign_key="person.code_key")
    collected_at: str
    method: str = Field(sa_type=Text)
    place: str = Field(sa_type=Text)
    source: str = Field(sa_type=Text)
    title: str | None = Field(default=None, sa_type=Text)
    fields: str = Field(sa_type=Text)
    terms: str | None = Field(default=None, sa_type=Text)
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
    )

    name: str = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    sha256: bytes = Field(sa_type=LargeBinary)
    blake3: bytes = Field(sa_type=LargeBinary)
    size_bytes: int = Field(sa_type=BigInteger)  # INTEGER ends at 2 GiB on PostgreSQL
    stored_bytes: int = Field(sa_type=BigInteger)
    header: bytes = Field(sa_type=LargeBinary)
    recipient: str = Field(sa_type=Text)


class VersionRow(SQLModel, table=True):
    """A version of an item. `claims` is sealed; lists never load it."""

    __tablename__ = "version"
    __table_args__ = (
        Index("ix_version_sha256", "sha256", "ern_key", "number"),
        Index("ix_version_blake3", "blake3", "ern_key", "number"),
        Index("ix_version_object_name", "object_name"),
    )

    ern_key: str = Field(primary_key=True, foreign_key="item.ern_key")
    number: int = Field(primary_key=True)
    type: str
    derived_from: int | None = None
    sha256: bytes = Field(sa_type=LargeBinary)
    blake3: bytes = Field(sa_type=LargeBinary)
    size_bytes: int = Field(sa_type=BigInteger)
    object_name: str = Field(foreign_key="sealed_object.name")
    media_type: str = Field(sa_type=Text)
    added_at: datetime = Field(sa_type=UtcDateTime)
    method: str | None = Field(default=None, sa_type=Text)
    language: str | None = Field(default=None, sa_type=Text)
    name_mismatch: bool
    claims: bytes = Field(sa_type=LargeBinary)
