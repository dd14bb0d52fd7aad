"""How the catalog's tables came to be, step by step, from the first one on. There is no way back.

Evidence is never dropped, so no step has a downgrade: to undo one, restore a backup.
`alembic revision -m "what changes"` makes the frame of a step; it is written by hand,
named in `HEAD`, and the tests hold it to what `storage.catalog.tables` declares.
"""

from pathlib import Path

from sqlalchemy import Connection

from evidence_store.errors import SettingsError

HEAD = "0009"  # so that opening a catalog need not load the migration tool


def upgrade(connection: Connection) -> None:
    """Take all steps that are missing, within the connection's transaction: all of them or none.

    Raises:
        SettingsError: if the tables are of a step that is not known here.
        sqlalchemy.exc.SQLAlchemyError: as the database has it; the caller translates.
    """
    # Heavy, and needed only here.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.util import CommandError  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SettingsError(
            f"catalog: expected tables of revision {HEAD} or earlier, found others; "
            "use the newest version of the software"
        ) from error
