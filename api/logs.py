"""How the process logs: one line a record, for people or as JSON. What is logged is decided where.

Only this product's own records are written, and of an exception its type alone: libraries put
addresses, names and values into what they say.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

Format = Literal["text", "json"]
OWN = "evidence"


class JsonLines(logging.Formatter):
    """A record as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        fields = getattr(record, "fields", None)
        row = {
            "at": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **(fields if isinstance(fields, dict) else {"message": record.getMessage()}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            row["error"] = record.exc_info[0].__name__
        return json.dumps(row, ensure_ascii=True)


class TextLines(logging.Formatter):
    """A record as a line."""

    def formatException(self, ei: object) -> str:  # noqa: ARG002, N802 - the library's name
        """No traceback: its lines may hold what nobody is to read."""
        return ""


def install(chosen: Format) -> None:
    """Let this process log so, on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    text = TextLines("%(asctime)s %(name)s %(message)s")
    handler.setFormatter(JsonLines() if chosen == "json" else text)
    own = logging.getLogger(OWN)
    own.handlers, own.propagate = [handler], False
    own.setLevel(logging.INFO)
    # A library says only that something is wrong, and where it stands in our log, not what.
    others = logging.getLogger()
    others.handlers = [_Others(own)]
    others.setLevel(logging.WARNING)


class _Others(logging.Handler):
    """A library's warning, without what it says."""

    def __init__(self, own: logging.Logger) -> None:
        super().__init__(logging.WARNING)
        self._own = own

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        what = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "-"
        self._own.warning("library %s: %s %s", record.name, record.levelname, what)
