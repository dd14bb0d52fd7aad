"""The doors: accounts, sessions, tokens, uploads, leases. Tables of `storage.catalog.door_tables`."""

import sqlalchemy as sa
from alembic import op

from storage.catalog.tables import PlainText, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("password", PlainText(), nullable=True),
        sa.Column("totp", sa.LargeBinary(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), nullable=True),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("locked_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("officer"),
    )
    op.create_table(
        "passkey",
        sa.Column("credential", PlainText(), nullable=False),
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["officer"], ["account.officer"]),
        sa.PrimaryKeyConstraint("credential"),
    )
    op.create_index("ix_passkey_officer", "passkey", ["officer", "credential"])
    op.create_table(
        "enrolment",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("issued_by", PlainText(), nullable=False),
        sa.Column("confirmed_by", PlainText(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "session",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("id", PlainText(), nullable=False),
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("method", PlainText(), nullable=False),
        sa.Column("agent", PlainText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("ix_session_officer", "session", ["officer", "id"])
    op.create_table(
        "challenge",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", PlainText(), nullable=False),
        sa.Column("officer", PlainText(), nullable=True),
        sa.Column("content", PlainText(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "token",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("id", PlainText(), nullable=False),
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("scopes", PlainText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("ix_token_officer", "token", ["officer", "id"])
    op.create_table(
        "idempotency",
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("key", PlainText(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", PlainText(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("officer", "key"),
    )
    op.create_table(
        "upload",
        sa.Column("id", PlainText(), nullable=False),
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=True),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("state", PlainText(), nullable=False),
        sa.Column("metadata_text", PlainText(), nullable=False),
        sa.Column("parts", PlainText(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("outcome", PlainText(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_upload_expiry", "upload", ["state", "expires_at"])
    op.create_table(
        "lease",
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("holder", PlainText(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("done_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
