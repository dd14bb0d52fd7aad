"""Run by Alembic: uses the connection that `storage.migrations.upgrade` hands over."""

from alembic import context
from sqlmodel import SQLModel

from storage.catalog import door_tables, dossier_tables, ledger_tables, tables, work_tables  # noqa: F401 - makes the tables known to SQLModel.metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transactional_ddl=False,  # the caller has a transaction already, on both databases
)
context.run_migrations()
