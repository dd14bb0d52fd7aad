"""Rows of the ledger: authorities, control entries, chains, events, and the log itself.

Events and leaves are append-only: the database refuses to change or delete them (migration
0002). That keeps accidents out; against whoever owns the database stand the tiles and witnesses.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from storage.catalog.tables import PlainText, UtcDateTime

TAGGED = "substr(entry, 1, 33)"  # the kind of an entry, and an event's tag
APPEND_ONLY = ("event", "leaf", "control")


class AuthorityRow(SQLModel, table=True):
    """An authority that acts here."""

    __tablename__ = "authority"

    id: str = Field(sa_type=PlainText, primary_key=True)
    name: str = Field(sa_type=PlainText, unique=True)
    created_at: datetime = Field(sa_type=UtcDateTime)


class ControlRow(SQLModel, table=True):
    """A control entry of the log, by the order in which they came."""

    __tablename__ = "control"
    __table_args__ = (
        Index("ix_control_authority", "authority", "number"),
        Index("ix_control_kind", "kind", "number"),
    )

    number: int = Field(sa_type=BigInteger, primary_key=True)
    kind: str = Field(sa_type=PlainText)
    authority: str | None = Field(default=None, sa_type=PlainText)
    kid: str | None = Field(default=None, sa_type=PlainText)
    public: bytes | None = Field(default=None, sa_type=LargeBinary)
    entry: bytes = Field(sa_type=LargeBinary)


class ChainRow(SQLModel, table=True):
    """Where the chain of an item or a dossier ends."""

    __tablename__ = "chain"

    subject_key: str = Field(sa_type=PlainText, primary_key=True)
    item_key: bytes = Field(sa_type=LargeBinary)
    seq: int
    head: bytes = Field(sa_type=LargeBinary)


class EventRow(SQLModel, table=True):
    """A signed event: its exact bytes, signature and disclosures (one a line)."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_commitment", "commitment"),)

    subject_key: str = Field(sa_type=PlainText, primary_key=True)
    seq: int = Field(primary_key=True)
    act: str = Field(sa_type=PlainText)
    kid: str = Field(sa_type=PlainText)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    commitment: bytes = Field(sa_type=LargeBinary)
    body: bytes = Field(sa_type=LargeBinary)
    signature: bytes = Field(sa_type=LargeBinary)
    disclosures: str = Field(sa_type=PlainText)


class LeafRow(SQLModel, table=True):
    """An entry of the log, by its place. It waits until a state of the log is larger than that."""

    __tablename__ = "leaf"
    __table_args__ = (Index("ix_leaf_tag", text(TAGGED)),)

    place: int = Field(sa_type=BigInteger, primary_key=True)
    commitment: bytes = Field(sa_type=LargeBinary, unique=True)
    entry: bytes = Field(sa_type=LargeBinary)


class TransferRow(SQLModel, table=True):
    """An offer of items to another authority: the document that both sides sign."""

    __tablename__ = "transfer"

    transfer_key: str = Field(sa_type=PlainText, primary_key=True)
    document: bytes = Field(sa_type=LargeBinary)
    made_at: datetime = Field(sa_type=UtcDateTime)


class TransferSideRow(SQLModel, table=True):
    """A transfer by each of its two sides, for lists."""

    __tablename__ = "transfer_side"

    authority: str = Field(sa_type=PlainText, primary_key=True)
    transfer_key: str = Field(
        sa_type=PlainText, primary_key=True, foreign_key="transfer.transfer_key"
    )


class HeadRow(SQLModel, table=True):
    """A state of the log: signed after it is entered, sealed when the policy accepts it."""

    __tablename__ = "head"

    size: int = Field(sa_type=BigInteger, primary_key=True)
    root: bytes = Field(sa_type=LargeBinary)
    made_at: datetime = Field(sa_type=UtcDateTime)
    note: bytes | None = Field(default=None, sa_type=LargeBinary)
    sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
