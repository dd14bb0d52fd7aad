"""Proofs of inclusion as files (C2SP tlog-proof): everything but the leaf and the policy."""

import base64
import re
from dataclasses import dataclass
from typing import Self

from evidence_store.errors import MalformedError
from evidence_store.ledger.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from evidence_store.ledger.note import Note, from_base64
from evidence_store.ledger.policy import Policy, Sealed

MAGIC = "c2sp.org/tlog-proof@v1"
HASHES_MAX = 63


@dataclass(frozen=True, slots=True)
class LogProof:
    """That an entry is at `index` of the tree of a checkpoint."""

    index: int
    hashes: tuple[bytes, ...]
    note: Note

    def __str__(self) -> str:
        hashes = "".join(f"{base64.b64encode(each).decode()}\n" for each in self.hashes)
        return f"{MAGIC}\nindex {self.index}\n{hashes}\n{self.note}"

    def verify(self, entry: bytes, policy: Policy) -> Sealed:
        """The checkpoint, after insisting that the policy accepts it and it holds the entry.

        Raises:
            ProofError: if not.
            MalformedError: if it carries no checkpoint.
        """
        sealed = policy.checked(self.note)
        checkpoint = sealed.checkpoint
        verify_inclusion(
            leaf_hash(entry), self.index, checkpoint.size, self.hashes, checkpoint.root
        )
        return sealed

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read a proof.

        Raises:
            MalformedError: if it is not one.
        """
        head, separator, note = content.partition(b"\n\n")
        lines = head.decode("ascii", "replace").split("\n")
        if not separator or lines[0] != MAGIC or len(lines) < 2:  # noqa: PLR2004 - magic, index
            raise MalformedError(f"proof: expected {MAGIC}")
        if lines[1].startswith("extra "):
            from_base64(lines.pop(1).removeprefix("extra "), "proof")  # not signed: passed over
        index = re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines[1] if lines[1:] else "", re.ASCII)
        if index is None or len(lines) - 2 > HASHES_MAX:
            raise MalformedError("proof: expected an index and at most 63 hashes")
        hashes = tuple(from_base64(line, "proof") for line in lines[2:])
        if any(len(each) != HASH_BYTES for each in hashes):
            raise MalformedError(f"proof: expected hashes of {HASH_BYTES} bytes")
        return cls(int(index[1]), hashes, Note.parse(note))
