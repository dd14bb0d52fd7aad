"""Rows of dossiers: where each stands, what it can be found by, and what was granted to whom.

They are an index: what a dossier says is in its signed events, and is read from there. A row
that was altered can hide a dossier or show a stale one, and never opens anything.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Index
from sqlmodel import Field, SQLModel

from storage.catalog.tables import PlainText, UtcDateTime


class DossierRow(SQLModel, table=True):
    """A dossier: whose it is, who is on the other side, and where it stands."""

    __tablename__ = "dossier"
    __table_args__ = (
        Index("ix_dossier_kind", "kind", "subject_key"),
        Index("ix_dossier_owner", "owner", "kind", "subject_key"),
        Index("ix_dossier_owner_made", "owner", "kind", "made_at"),
        Index("ix_dossier_counterpart", "counterpart", "kind", "subject_key"),
    )

    subject_key: str = Field(sa_type=PlainText, primary_key=True)
    kind: str = Field(sa_type=PlainText)
    state: str = Field(sa_type=PlainText)
    owner: str = Field(sa_type=PlainText)
    counterpart: str | None = Field(default=None, sa_type=PlainText)
    made_at: datetime = Field(sa_type=UtcDateTime)
    changed_at: datetime = Field(sa_type=UtcDateTime)


class TagRow(SQLModel, table=True):
    """What a dossier can be found by: an item, a registry entry, a blinded identifier."""

    __tablename__ = "dossier_tag"
    __table_args__ = (Index("ix_dossier_tag_value", "name", "value", "subject_key"),)

    subject_key: str = Field(sa_type=PlainText, primary_key=True, foreign_key="dossier.subject_key")
    name: str = Field(sa_type=PlainText, primary_key=True)
    value: str = Field(sa_type=PlainText, primary_key=True)


class GrantItemRow(SQLModel, table=True):
    """A version that a grant names. `officer` is empty where it is for all of the grantee's."""

    __tablename__ = "grant_item"
    __table_args__ = (
        Index("ix_grant_item_grantee", "grantee", "is_open", "ern_key", "subject_key"),
        Index("ix_grant_item_ern", "ern_key", "subject_key"),
    )

    subject_key: str = Field(sa_type=PlainText, primary_key=True, foreign_key="dossier.subject_key")
    ern_key: str = Field(sa_type=PlainText, primary_key=True, foreign_key="item.ern_key")
    version: int = Field(primary_key=True)
    officer: str = Field(sa_type=PlainText, primary_key=True)
    grantee: str = Field(sa_type=PlainText)
    is_open: bool
    valid_from: datetime = Field(sa_type=UtcDateTime)
    valid_until: datetime = Field(sa_type=UtcDateTime)


class AssignmentRow(SQLModel, table=True):
    """An officer's need to know a case."""

    __tablename__ = "assignment"

    officer: str = Field(sa_type=PlainText, primary_key=True)
    case_key: str = Field(sa_type=PlainText, primary_key=True)
    until: datetime = Field(sa_type=UtcDateTime)
    subject_key: str = Field(sa_type=PlainText, foreign_key="dossier.subject_key")


class AccessRow(SQLModel, table=True):
    """A decision on an access, and what was served. The reasons are in its events."""

    __tablename__ = "access"
    __table_args__ = (
        Index("ix_access_ern", "ern_key", "subject_key"),
        Index("ix_access_grant", "grant_key", "subject_key"),
        Index("ix_access_grant_action", "grant_key", "action", "decision"),
        Index("ix_access_officer", "officer", "subject_key"),
        Index("ix_access_sha256", "served_sha256"),
        Index("ix_access_continues", "continues"),
    )

    subject_key: str = Field(sa_type=PlainText, primary_key=True, foreign_key="dossier.subject_key")
    at: datetime = Field(sa_type=UtcDateTime)
    officer: str = Field(sa_type=PlainText)
    authority: str = Field(sa_type=PlainText)
    ern_key: str = Field(sa_type=PlainText)
    version: int
    action: str = Field(sa_type=PlainText)
    purpose: str = Field(sa_type=PlainText)
    grant_key: str | None = Field(default=None, sa_type=PlainText)
    decision: str = Field(sa_type=PlainText)
    rule: str = Field(sa_type=PlainText)
    policy: str = Field(sa_type=PlainText)
    copy_id: str = Field(sa_type=PlainText, unique=True)
    served_bytes: int | None = Field(default=None, sa_type=BigInteger)
    served_sha256: str | None = Field(default=None, sa_type=PlainText)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended: str | None = Field(default=None, sa_type=PlainText)
    first_byte: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    continues: str | None = Field(default=None, sa_type=PlainText)


class PolicyTextRow(SQLModel, table=True):
    """The text of a policy that decisions were made by, under its own digest."""

    __tablename__ = "policy_text"

    digest: str = Field(sa_type=PlainText, primary_key=True)
    text: str = Field(sa_type=PlainText)
