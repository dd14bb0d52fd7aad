"""Identities of providers; nonces and deliveries of peers. Tables of `storage.catalog.door_tables`."""

import sqlalchemy as sa
from alembic import op

from storage.catalog.tables import PlainText, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "identity",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("issuer", PlainText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["officer"], ["account.officer"]),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_identity_officer", "identity", ["officer"])
    op.create_table(
        "nonce",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_nonce_expiry", "nonce", ["expires_at"])
    op.create_table(
        "delivery",
        sa.Column("id", PlainText(), nullable=False),
        sa.Column("authority", PlainText(), nullable=False),
        sa.Column("sha256", PlainText(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("signed", PlainText(), nullable=False),
        sa.Column("receipt", PlainText(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("authority", "sha256"),
    )
