"""Checkpoints (C2SP tlog-checkpoint): a log's size and root under its signatures."""

import base64
import re
from dataclasses import dataclass
from typing import Self

from evidence_store.errors import MalformedError
from evidence_store.ledger.merkle import HASH_BYTES, SIZE_MAX
from evidence_store.ledger.note import Note, check_name, from_base64


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: which log, how many entries, and the root over them."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_name(self.origin)
        if not 0 <= self.size <= SIZE_MAX or len(self.root) != HASH_BYTES:
            raise MalformedError("checkpoint: expected a size and a root of 32 bytes")

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def of(cls, note: Note) -> Self:
        """The checkpoint in a note.

        Raises:
            MalformedError: if it is none. Extension lines are refused: not every signature
                would cover them.
        """
        lines = note.text.split("\n")
        if len(lines) != 4 or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1], re.ASCII):  # noqa: PLR2004 - three lines and an end
            raise MalformedError("checkpoint: expected three lines: origin, size and root")
        return cls(lines[0], int(lines[1]), from_base64(lines[2], "checkpoint"))
