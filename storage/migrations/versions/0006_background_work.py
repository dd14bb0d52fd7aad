"""Background work: positions, fixity, deadlines, notices, webhooks. `storage.catalog.work_tables`."""

import sqlalchemy as sa
from alembic import op

from storage.catalog.tables import PlainText, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "work_position",
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "fixity",
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("measured_at", UtcDateTime(), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("outcome", PlainText(), nullable=True),
        sa.Column("code", PlainText(), nullable=True),
        sa.Column("turn", PlainText(), nullable=True),
        sa.ForeignKeyConstraint(["name"], ["sealed_object.name"]),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("ix_fixity_measured", "fixity", ["measured_at", "name"])
    op.create_index("ix_fixity_failed", "fixity", ["failed", "measured_at"])
    op.create_index("ix_sealed_object_number", "sealed_object", ["number"])
    op.create_index("ix_version_object", "version", ["object_name", "ern_key", "number"])
    op.create_table(
        "deadline",
        sa.Column("subject", PlainText(), nullable=False),
        sa.Column("kind", PlainText(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "kind"),
    )
    op.create_index("ix_deadline_at", "deadline", ["at"])
    op.create_table(
        "notice",
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("type", PlainText(), nullable=False),
        sa.Column("subject", PlainText(), nullable=False),
        sa.Column("officer", PlainText(), nullable=True),
        sa.Column("authorities", PlainText(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "webhook",
        sa.Column("id", PlainText(), nullable=False),
        sa.Column("authority", PlainText(), nullable=False),
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("url", PlainText(), nullable=False),
        sa.Column("events", PlainText(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.Column("reason", PlainText(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_webhook_authority", "webhook", ["authority", "id"])
    op.create_table(
        "outgoing",
        sa.Column("id", PlainText(), nullable=False),
        sa.Column("webhook", PlainText(), nullable=False),
        sa.Column("body", PlainText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_outgoing_due", "outgoing", ["due_at", "id"])
    op.create_index("ix_outgoing_webhook", "outgoing", ["webhook", "id"])
    for table, column in EXPIRING:
        op.create_index(f"ix_{table}_{column}", table, [column])


EXPIRING = (
    ("enrolment", "expires_at"),
    ("session", "expires_at"),
    ("challenge", "expires_at"),
    ("token", "expires_at"),
    ("idempotency", "created_at"),
)
