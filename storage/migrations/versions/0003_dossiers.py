"""Dossiers: registry, requests, grants, accesses. Chains and events of more than items."""

import sqlalchemy as sa
from alembic import op

from storage.catalog.tables import PlainText, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

APPEND_ONLY = ("event", "policy_text")


def upgrade() -> None:
    op.add_column(
        "installation",
        sa.Column("exercise", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    _make_anew(
        "chain",
        "ern_key",
        [
            sa.Column("subject_key", PlainText(), nullable=False),
            sa.Column("item_key", sa.LargeBinary(), nullable=False),
            sa.Column("seq", sa.Integer(), nullable=False),
            sa.Column("head", sa.LargeBinary(), nullable=False),
        ],
        ["subject_key"],
    )
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("ix_event_commitment", "event")
    _make_anew(
        "event",
        "ern_key",
        [
            sa.Column("subject_key", PlainText(), nullable=False),
            sa.Column("seq", sa.Integer(), nullable=False),
            sa.Column("act", PlainText(), nullable=False),
            sa.Column("kid", PlainText(), nullable=False),
            sa.Column("recorded_at", UtcDateTime(), nullable=False),
            sa.Column("commitment", sa.LargeBinary(), nullable=False),
            sa.Column("body", sa.LargeBinary(), nullable=False),
            sa.Column("signature", sa.LargeBinary(), nullable=False),
            sa.Column("disclosures", PlainText(), nullable=False),
        ],
        ["subject_key", "seq"],
    )
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("ix_event_commitment", "event", ["commitment"], unique=False)
    op.create_table(
        "dossier",
        sa.Column("subject_key", PlainText(), nullable=False),
        sa.Column("kind", PlainText(), nullable=False),
        sa.Column("state", PlainText(), nullable=False),
        sa.Column("owner", PlainText(), nullable=False),
        sa.Column("counterpart", PlainText(), nullable=True),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("subject_key"),
    )
    op.create_index("ix_dossier_kind", "dossier", ["kind", "subject_key"])
    op.create_index("ix_dossier_owner", "dossier", ["owner", "kind", "subject_key"])
    op.create_index("ix_dossier_owner_made", "dossier", ["owner", "kind", "made_at"])
    op.create_index("ix_dossier_counterpart", "dossier", ["counterpart", "kind", "subject_key"])
    op.create_table(
        "dossier_tag",
        sa.Column("subject_key", PlainText(), nullable=False),
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("value", PlainText(), nullable=False),
        sa.ForeignKeyConstraint(["subject_key"], ["dossier.subject_key"]),
        sa.PrimaryKeyConstraint("subject_key", "name", "value"),
    )
    op.create_index("ix_dossier_tag_value", "dossier_tag", ["name", "value", "subject_key"])
    op.create_table(
        "grant_item",
        sa.Column("subject_key", PlainText(), nullable=False),
        sa.Column("ern_key", PlainText(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("grantee", PlainText(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("valid_from", UtcDateTime(), nullable=False),
        sa.Column("valid_until", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["subject_key"], ["dossier.subject_key"]),
        sa.ForeignKeyConstraint(["ern_key"], ["item.ern_key"]),
        sa.PrimaryKeyConstraint("subject_key", "ern_key", "version", "officer"),
    )
    op.create_index(
        "ix_grant_item_grantee", "grant_item", ["grantee", "is_open", "ern_key", "subject_key"]
    )
    op.create_index("ix_grant_item_ern", "grant_item", ["ern_key", "subject_key"])
    op.create_table(
        "assignment",
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("case_key", PlainText(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("subject_key", PlainText(), nullable=False),
        sa.ForeignKeyConstraint(["subject_key"], ["dossier.subject_key"]),
        sa.PrimaryKeyConstraint("officer", "case_key"),
    )
    op.create_table(
        "access",
        sa.Column("subject_key", PlainText(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("officer", PlainText(), nullable=False),
        sa.Column("authority", PlainText(), nullable=False),
        sa.Column("ern_key", PlainText(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("action", PlainText(), nullable=False),
        sa.Column("purpose", PlainText(), nullable=False),
        sa.Column("grant_key", PlainText(), nullable=True),
        sa.Column("decision", PlainText(), nullable=False),
        sa.Column("rule", PlainText(), nullable=False),
        sa.Column("policy", PlainText(), nullable=False),
        sa.Column("copy_id", PlainText(), nullable=False),
        sa.Column("served_bytes", sa.BigInteger(), nullable=True),
        sa.Column("served_sha256", PlainText(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("ended", PlainText(), nullable=True),
        sa.ForeignKeyConstraint(["subject_key"], ["dossier.subject_key"]),
        sa.PrimaryKeyConstraint("subject_key"),
        sa.UniqueConstraint("copy_id"),
    )
    op.create_index("ix_access_ern", "access", ["ern_key", "subject_key"])
    op.create_index("ix_access_grant", "access", ["grant_key", "subject_key"])
    op.create_index("ix_access_grant_action", "access", ["grant_key", "action", "decision"])
    op.create_index("ix_access_officer", "access", ["officer", "subject_key"])
    op.create_index("ix_access_sha256", "access", ["served_sha256"])
    op.create_table(
        "policy_text",
        sa.Column("digest", PlainText(), nullable=False),
        sa.Column("text", PlainText(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    for table in APPEND_ONLY:
        _refuse_changes(table)


def _make_anew(table: str, was: str, columns: list[sa.Column], key: list[str]) -> None:
    """The table with its first column renamed, and no longer bound to items.

    SQLite cannot drop a constraint, so there the rows move to a new table.
    """
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_{was}_fkey")
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {was} TO subject_key")
        return
    op.create_table(f"{table}_new", *columns, sa.PrimaryKeyConstraint(*key))
    names = ", ".join(column.name for column in columns[1:])
    # The names are this file's own.
    op.execute(f"INSERT INTO {table}_new (subject_key, {names}) SELECT {was}, {names} FROM {table}")  # noqa: S608 - see above
    op.drop_table(table)
    op.rename_table(f"{table}_new", table)


def _refuse_changes(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'append-only'); END"
            )
        return
    if table == "event":
        return  # it was altered in place, and kept its trigger
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION evidence_append_only()"
    )
