"""The entries of the log by the tag that they begin with. `storage.catalog.ledger_tables`."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_leaf_tag", "leaf", [sa.text("substr(entry, 1, 33)")])
