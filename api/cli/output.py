"""How the command line speaks: JSON or text on stdout, everything else on stderr.

JSON is written with `--json`, and whenever stdout is not a terminal, so that a
program never has to parse what is meant for a person. Names that are not UTF-8
are shown with replacement characters, and exactly in a `…_base64` beside them.
"""

import base64
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from evidence_store.errors import EvidenceError

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


_encode = json.JSONEncoder(ensure_ascii=False).encode  # made once: there may be a million lines


class ReaderGoneError(Exception):
    """Whoever read stdout has gone; there is nobody to tell."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's data goes. `as_json` chooses between programs and people."""

    as_json: bool

    def record(self, value: Mapping[str, Json], text: str | Sequence[str]) -> None:
        """One record: a JSON line, or the text for a person: one line, or these lines.

        A line break within a line is shown as an escape: it came with a value, a file's name or
        a title, and would otherwise forge a line.
        """
        if self.as_json:
            self.line(_encode(value))
            return
        for each in (text,) if isinstance(text, str) else text:
            self.line(each)

    def line(self, text: str) -> None:
        """One line, flushed: what is acknowledged is seen at once.

        Raises:
            ReaderGoneError: if nobody reads stdout any more.
        """
        try:
            sys.stdout.write(printable(text) + "\n")
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise ReaderGoneError from error

    def table(self, rows: Iterable[Mapping[str, Json]], columns: Sequence[str]) -> None:
        """Rows: JSON Lines as they come, or a table of these columns."""
        if self.as_json:
            for row in rows:
                self.record(row, "")
            return
        table = Table(*columns, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(printable(_cell(row.get(column))) for column in columns))
        Console(markup=False, highlight=False).print(table)

    def problem(self, error: EvidenceError) -> None:
        """An error, on stderr."""
        if self.as_json:
            text = json.dumps(
                {"error": {"code": error.code, "message": str(error), **error.details}}
            )
        else:
            text = f"{error.code}: {error}"
        self.note(text)

    def note(self, text: str) -> None:
        """Something for a person only, on stderr."""
        sys.stderr.write(printable(text) + "\n")


def name_fields(name: bytes | None, field: str = "path") -> dict[str, Json]:
    """A name of any bytes, as JSON fields: readable, and exact where readable is not."""
    if name is None:
        return {field: None}
    text = name.decode("utf-8", "replace")
    if text.encode() == name:
        return {field: text}
    return {field: text, f"{field}_base64": base64.b64encode(name).decode("ascii")}


def printable(text: str) -> str:
    """The text with escapes for what drives the terminal, breaks the line or turns its direction.

    Whatever is not printable is shown, and none of it acts: a file's name may hold anything.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _cell(value: Json) -> str:
    return "" if value is None else str(value)
