"""The ledger: authorities, control entries, chains, events, and the log itself."""

import sqlalchemy as sa
from alembic import op

from storage.catalog.tables import PlainText, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = ("event", "leaf", "control")


def upgrade() -> None:
    op.create_table(
        "authority",
        sa.Column("id", PlainText(), nullable=False),
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "control",
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", PlainText(), nullable=False),
        sa.Column("authority", PlainText(), nullable=True),
        sa.Column("kid", PlainText(), nullable=True),
        sa.Column("public", sa.LargeBinary(), nullable=True),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_control_authority", "control", ["authority", "number"], unique=False)
    op.create_index("ix_control_kind", "control", ["kind", "number"], unique=False)
    op.create_table(
        "chain",
        sa.Column("ern_key", PlainText(), nullable=False),
        sa.Column("item_key", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["ern_key"], ["item.ern_key"]),
        sa.PrimaryKeyConstraint("ern_key"),
    )
    op.create_table(
        "event",
        sa.Column("ern_key", PlainText(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("act", PlainText(), nullable=False),
        sa.Column("kid", PlainText(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("disclosures", PlainText(), nullable=False),
        sa.ForeignKeyConstraint(["ern_key"], ["item.ern_key"]),
        sa.PrimaryKeyConstraint("ern_key", "seq"),
    )
    op.create_index("ix_event_commitment", "event", ["commitment"], unique=False)
    op.create_table(
        "leaf",
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("place"),
        sa.UniqueConstraint("commitment"),
    )
    op.create_table(
        "transfer",
        sa.Column("transfer_key", PlainText(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("transfer_key"),
    )
    op.create_table(
        "head",
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("size"),
    )
    for table in APPEND_ONLY:
        _refuse_changes(table)


def _refuse_changes(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'append-only'); END"
            )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION evidence_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION evidence_append_only()"
    )
