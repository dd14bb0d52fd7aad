"""The first tables: installation, serials, cases, people, items, sealed objects, versions."""

import sqlalchemy as sa
from alembic import op

from storage.catalog.tables import PlainText, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "case_file",
        sa.Column("case_key", PlainText(), nullable=False),
        sa.Column("title", PlainText(), nullable=False),
        sa.Column("reference", PlainText(), nullable=True),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("case_key"),
        sa.UniqueConstraint("reference"),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("state", PlainText(), nullable=False),
        sa.Column("authority", PlainText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "person",
        sa.Column("code_key", PlainText(), nullable=False),
        sa.Column("role", PlainText(), nullable=False),
        sa.Column("name", PlainText(), nullable=False),
        sa.PrimaryKeyConstraint("code_key"),
    )
    op.create_index("ix_person_role_name", "person", ["role", "name"], unique=True)
    op.create_table(
        "sealed_object",
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("blake3", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", PlainText(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index(
        "ix_sealed_object_recipient_name", "sealed_object", ["recipient", "name"], unique=False
    )
    op.create_index(
        "ix_sealed_object_sha256_number", "sealed_object", ["sha256", "number"], unique=False
    )
    op.create_table(
        "serial",
        sa.Column("series", PlainText(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("series"),
    )
    op.create_table(
        "item",
        sa.Column("ern_key", PlainText(), nullable=False),
        sa.Column("case_key", PlainText(), nullable=False),
        sa.Column("status", PlainText(), nullable=False),
        sa.Column("status_reason", PlainText(), nullable=True),
        sa.Column("kind", PlainText(), nullable=False),
        sa.Column("collected_by", PlainText(), nullable=False),
        sa.Column("collected_at", PlainText(), nullable=False),
        sa.Column("method", PlainText(), nullable=False),
        sa.Column("place", PlainText(), nullable=False),
        sa.Column("source", PlainText(), nullable=False),
        sa.Column("title", PlainText(), nullable=True),
        sa.Column("fields", PlainText(), nullable=False),
        sa.Column("terms", PlainText(), nullable=True),
        sa.Column("registered_at", UtcDateTime(), nullable=False),
        sa.Column("source_name", sa.LargeBinary(), nullable=True),
        sa.Column("source_key", sa.LargeBinary(), nullable=True),
        sa.Column("stated_sha256", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["case_key"],
            ["case_file.case_key"],
        ),
        sa.ForeignKeyConstraint(
            ["collected_by"],
            ["person.code_key"],
        ),
        sa.PrimaryKeyConstraint("ern_key"),
        sa.UniqueConstraint("source_key"),
    )
    op.create_index("ix_item_case_ern", "item", ["case_key", "ern_key"], unique=False)
    op.create_table(
        "version",
        sa.Column("ern_key", PlainText(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("type", PlainText(), nullable=False),
        sa.Column("derived_from", sa.Integer(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("blake3", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("object_name", PlainText(), nullable=False),
        sa.Column("media_type", PlainText(), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.Column("method", PlainText(), nullable=True),
        sa.Column("language", PlainText(), nullable=True),
        sa.Column("name_mismatch", sa.Boolean(), nullable=False),
        sa.Column("claims", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ern_key"],
            ["item.ern_key"],
        ),
        sa.ForeignKeyConstraint(
            ["object_name"],
            ["sealed_object.name"],
        ),
        sa.ForeignKeyConstraint(
            ["ern_key", "derived_from"],
            ["version.ern_key", "version.number"],
        ),
        sa.PrimaryKeyConstraint("ern_key", "number"),
    )
    op.create_index("ix_version_blake3", "version", ["blake3", "ern_key", "number"], unique=False)
    op.create_index("ix_version_sha256", "version", ["sha256", "ern_key", "number"], unique=False)
