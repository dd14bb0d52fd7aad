"""What an upload is made of, whether a request was done, and which access a range goes on with."""

import sqlalchemy as sa
from alembic import op

from storage.catalog.tables import PlainText

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "upload", sa.Column("concatenated", PlainText(), nullable=False, server_default="")
    )
    op.create_index("ix_upload_officer", "upload", ["officer", "state"])
    op.add_column(
        "idempotency",
        sa.Column("is_done", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column(
        "access", sa.Column("first_byte", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("access", sa.Column("continues", PlainText(), nullable=True))
    op.create_index("ix_access_continues", "access", ["continues"])
