"""The words between a log and a witness (C2SP tlog-witness, `add-checkpoint`): request and answer.

Pure text, one accepted spelling each, and bounded before anything is verified. How an answer
travels over HTTP is known in `api` only.
"""

import base64
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from evidence_store.errors import MalformedError
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.merkle import HASH_BYTES
from evidence_store.ledger.note import SIGNATURES_MAX, Note, Signature, from_base64

REQUEST_BYTES_MAX = 64 * 1024
HASHES_MAX = 63
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A log asks for a cosignature: what the witness saw last, the proof from there, the note."""

    old_size: int
    proof: tuple[bytes, ...]
    note: Note

    def __post_init__(self) -> None:
        size = Checkpoint.of(self.note).size
        if not 0 <= self.old_size <= size:
            raise MalformedError(
                f"add-checkpoint: expected an old size up to {size}, found {self.old_size}"
            )
        if len(self.proof) > HASHES_MAX or any(len(each) != HASH_BYTES for each in self.proof):
            raise MalformedError(
                f"add-checkpoint: expected at most {HASHES_MAX} hashes of {HASH_BYTES} bytes"
            )

    @property
    def checkpoint(self) -> Checkpoint:
        """What the log wants cosigned."""
        return Checkpoint.of(self.note)

    def encode(self) -> bytes:
        """The request's body."""
        hashes = "".join(f"{base64.b64encode(each).decode()}\n" for each in self.proof)
        return f"old {self.old_size}\n{hashes}\n{self.note}".encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a request; nothing is verified.

        Raises:
            MalformedError: if it is not one, is too large, or its old size is above the new one.
        """
        if len(body) > REQUEST_BYTES_MAX:
            raise MalformedError(f"add-checkpoint: expected at most {REQUEST_BYTES_MAX} bytes")
        head, separator, note = body.partition(b"\n\n")
        try:
            old, *hashes = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise MalformedError("add-checkpoint: expected ASCII before the note") from None
        found = _OLD.fullmatch(old)
        if found is None or not separator or len(hashes) > HASHES_MAX:
            raise MalformedError(
                f"add-checkpoint: expected `old` and a size, at most {HASHES_MAX} hashes, an "
                "empty line and a checkpoint"
            )
        proof = tuple(from_base64(each, "add-checkpoint") for each in hashes)
        return cls(int(found[1]), proof, Note.parse(note))


class Refusal(StrEnum):
    """Why a witness does not cosign."""

    MALFORMED = "malformed"
    UNKNOWN_LOG = "unknown log"
    UNTRUSTED = "untrusted signature"
    STALE = "stale"
    """The old size is not what this witness saw last; nothing is wrong with the checkpoint."""
    FORK = "fork"
    """Two roots for one size, both signed by the log: by itself a proof that the log was forked."""
    INCONSISTENT = "inconsistent"
    """The proof does not lead from what the witness saw to the new root."""


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The witness's cosignature lines over the checkpoint."""

    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.signatures))

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read an answer; nothing is verified.

        Raises:
            MalformedError: if it is not one or more signature lines.
        """
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise MalformedError("cosignatures: expected UTF-8") from None
        lines = text.removesuffix("\n").split("\n")
        if not text.endswith("\n") or len(lines) > SIGNATURES_MAX:
            raise MalformedError("cosignatures: expected signature lines")
        return cls(tuple(map(Signature.parse, lines)))


@dataclass(frozen=True, slots=True)
class Refused:
    """The witness does not cosign. `size` is what it saw last, where that is the reason."""

    reason: Refusal
    detail: str
    size: int | None = None


Answer = Cosigned | Refused
