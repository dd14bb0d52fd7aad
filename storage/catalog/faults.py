"""The databases' errors, as ours.

No statement, parameter or password ever gets into a message, nor into the chain
behind it: they hold what officers stated, and the URL holds a secret.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as NoFreeConnectionError

from evidence_store.errors import (
    CatalogBusyError,
    ConflictError,
    DamagedError,
    EvidenceError,
    MalformedError,
    NoSpaceError,
    NotFoundError,
    SettingsError,
)

# By the beginning of SQLite's name for a result code, or of PostgreSQL's SQLSTATE.
_FAULTS: tuple[tuple[str, type[EvidenceError], str], ...] = (
    ("SQLITE_FULL|53100", NoSpaceError, "the disk is full; nothing of this transaction was kept"),
    ("SQLITE_BUSY|SQLITE_LOCKED|55P03", CatalogBusyError, "somebody else is writing; try again"),
    (
        "SQLITE_CORRUPT|SQLITE_NOTADB|XX00[12]",
        DamagedError,
        "the database is damaged; restore it from a backup",
    ),
    (
        "SQLITE_CANTOPEN|SQLITE_READONLY|SQLITE_PERM|SQLITE_AUTH|25006|42501",
        SettingsError,
        "the database cannot be opened for writing here; give this user the right to",
    ),
    (
        r"SQLITE_ERROR$|42|3F000",
        SettingsError,
        "the tables are not those of this software; restore them from a backup",
    ),
    ("SQLITE_TOOBIG|22|54", MalformedError, "a value is not one that the database can keep"),
)


@contextmanager
def translated() -> Iterator[None]:
    """The databases' errors, as ours."""
    try:
        yield
    except IntegrityError as error:
        raise _integrity(error) from None
    except DBAPIError as error:
        raise _fault(error) from None
    except StatementError as error:
        if isinstance(error.orig, EvidenceError):  # a value was refused on its way in
            raise error.orig from None
        raise
    except NoFreeConnectionError:
        raise CatalogBusyError(
            "catalog: every connection of this process is in use; try again"
        ) from None


def _integrity(error: IntegrityError) -> EvidenceError:
    if _code(error) in {"SQLITE_CONSTRAINT_FOREIGNKEY", "23503"}:
        return NotFoundError("catalog: what the new entry refers to is not there")
    return ConflictError("catalog: the identifier or key is taken; what is there was left as it is")


def _fault(error: DBAPIError) -> EvidenceError:
    code = _code(error)
    for codes, kind, text in _FAULTS:
        if re.match(codes, code):
            return kind(f"catalog: {text}")
    return CatalogBusyError(
        "catalog: the database cannot be reached or does not answer "
        f"({code or type(error.orig).__name__}); see that it runs and that database_url is right"
    )


def _code(error: DBAPIError) -> str:
    name = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
    return str(name or "")
