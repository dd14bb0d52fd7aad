"""What a reader is: one family of files, one parser, the claims that it finds.

A reader may raise anything. It gets a hostile file, and what it returns is tidied and
bounded by its caller; it must itself bound its memory, its loops and its time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ingest.extraction.source import SourceFile
from ingest.extraction.wire import Tool

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """What a file claims. `incomplete` says why not everything was read, without file content."""

    values: Values
    incomplete: str | None = None


class Reader(Protocol):
    """One module of `readers`."""

    @property
    def TOOL(self) -> Tool:  # noqa: N802 - a module's constant
        """What the claims are read with."""
        ...

    def matches(self, media_type: str, source_name: bytes) -> bool:
        """Whether this reader reads such files."""
        ...

    def read(self, file: SourceFile) -> Found:
        """The claims in the file.

        Raises:
            Exception: whatever its parser raises.
        """
        ...


def without_gaps(values: Values) -> dict[str, object]:
    """The values that are there: no None, no empty text, list or mapping."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {}, b"")}
