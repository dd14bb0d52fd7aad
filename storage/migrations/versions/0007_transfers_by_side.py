"""Transfers by side: `storage.catalog.ledger_tables.TransferSideRow`, filled from the offers."""

import json

import sqlalchemy as sa
from alembic import op

from storage.catalog.tables import PlainText

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    sides = op.create_table(
        "transfer_side",
        sa.Column("authority", PlainText(), nullable=False),
        sa.Column("transfer_key", PlainText(), nullable=False),
        sa.ForeignKeyConstraint(["transfer_key"], ["transfer.transfer_key"]),
        sa.PrimaryKeyConstraint("authority", "transfer_key"),
    )
    offers = sa.table(
        "transfer", sa.column("transfer_key", PlainText()), sa.column("document", sa.LargeBinary())
    )
    rows = []
    for key, document in op.get_bind().execute(sa.select(offers)):
        said = json.loads(bytes(document))
        rows += [
            {"authority": said[side]["authority"], "transfer_key": key} for side in ("from", "to")
        ]
    if rows:
        op.bulk_insert(sides, rows)
