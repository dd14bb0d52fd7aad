"""Rows of background work: how far it has come, fixity, deadlines, webhooks. None of it is evidence.

What was found of evidence stands in signed events; these rows say what is to be done next. An
instance that was made anew begins its cycle again and has no webhooks.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary
from sqlmodel import Field, SQLModel

from storage.catalog.tables import PlainText, UtcDateTime


class PositionRow(SQLModel, table=True):
    """How far a piece of work has come in what grows: objects by number, the log by place."""

    __tablename__ = "work_position"

    name: str = Field(sa_type=PlainText, primary_key=True)
    position: int = Field(sa_type=BigInteger)


class FixityRow(SQLModel, table=True):
    """When a stored object was last read to its end, and what was found. `turn` told of it."""

    __tablename__ = "fixity"
    __table_args__ = (
        Index("ix_fixity_measured", "measured_at", "name"),
        Index("ix_fixity_failed", "failed", "measured_at"),
    )

    name: str = Field(sa_type=PlainText, primary_key=True, foreign_key="sealed_object.name")
    measured_at: datetime = Field(sa_type=UtcDateTime)
    failed: bool
    outcome: str | None = Field(default=None, sa_type=PlainText)
    code: str | None = Field(default=None, sa_type=PlainText)
    turn: str | None = Field(default=None, sa_type=PlainText)


class DeadlineRow(SQLModel, table=True):
    """When the time of a transfer or a grant is over, so that it can be told."""

    __tablename__ = "deadline"
    __table_args__ = (Index("ix_deadline_at", "at"),)

    subject: str = Field(sa_type=PlainText, primary_key=True)
    kind: str = Field(sa_type=PlainText, primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)


class NoticeRow(SQLModel, table=True):
    """Something to tell that is no event of the log: by whom or to whom, and when it was."""

    __tablename__ = "notice"

    number: int = Field(sa_type=BigInteger, primary_key=True)
    type: str = Field(sa_type=PlainText)
    subject: str = Field(sa_type=PlainText)
    officer: str | None = Field(default=None, sa_type=PlainText)
    authorities: str = Field(sa_type=PlainText)
    at: datetime = Field(sa_type=UtcDateTime)


class WebhookRow(SQLModel, table=True):
    """A subscription of an authority. The secret is sealed under a key that `header` opens."""

    __tablename__ = "webhook"
    __table_args__ = (Index("ix_webhook_authority", "authority", "id"),)

    id: str = Field(sa_type=PlainText, primary_key=True)
    authority: str = Field(sa_type=PlainText)
    officer: str = Field(sa_type=PlainText)
    url: str = Field(sa_type=PlainText)
    events: str = Field(sa_type=PlainText)
    secret: bytes = Field(sa_type=LargeBinary)
    header: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=UtcDateTime)
    disabled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    reason: str | None = Field(default=None, sa_type=PlainText)


class OutgoingRow(SQLModel, table=True):
    """A message that a subscriber has not acknowledged yet."""

    __tablename__ = "outgoing"
    __table_args__ = (
        Index("ix_outgoing_due", "due_at", "id"),
        Index("ix_outgoing_webhook", "webhook", "id"),
    )

    id: str = Field(sa_type=PlainText, primary_key=True)
    webhook: str = Field(sa_type=PlainText)
    body: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    due_at: datetime = Field(sa_type=UtcDateTime)
    attempts: int
