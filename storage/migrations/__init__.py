"""How the catalog's tables came to be, step by step, from the first one on. There is no way back.

Evidence is never dropped, so no step has a downgrade. `HEAD` names the last step,
so that opening a catalog need not load the migration tool.
"""

from pathlib import Path

from sqlalchemy import Connection

HEAD = "0001"


def upgrade(connection: Connection) -> None:
    """Take all steps that are missing, within the connection's transaction.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: as the database has it; the caller translates.
    """
    # Heavy, and needed only here.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
