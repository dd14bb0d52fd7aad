"""A vault in memory, chance that is the same in every run, and content put in the way ingest does."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evidence_store.age.header import open_header, seal_header
from evidence_store.age.stream import CHUNK_BYTES
from evidence_store.age.x25519 import X25519Identity
from evidence_store.digest import Fingerprint
from evidence_store.errors import EvidenceError, KeyUnavailableError
from evidence_store.vault import Sealing, Vault


@dataclass
class Chance:
    """Bytes that look random and are the same in every run."""

    drawn: int = 0

    def __call__(self, size_bytes: int, /) -> bytes:
        self.drawn += 1
        return hashlib.shake_128(self.drawn.to_bytes(8, "big")).digest(size_bytes)


@dataclass
class TestKeyring:
    """A `Keyring` of one key, which can be lost."""

    __test__ = False
    chance: Chance
    identities: list[X25519Identity] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.identities = [X25519Identity.generate(self.chance)]

    @property
    def recipient(self) -> str:
        return str(self.identities[0].recipient)

    def wrap(self, file_key: bytes) -> bytes:
        return seal_header(file_key, [self.identities[0].recipient], self.chance)

    def is_current(self, header: bytes) -> bool:
        try:
            open_header(header, self.identities[:1])
        except EvidenceError:
            return False
        return True

    def unwrap(self, header: bytes) -> bytes:
        if not self.identities:
            raise KeyUnavailableError("the key was lost")
        return open_header(header, self.identities)

    def rotate(self) -> None:
        self.identities.insert(0, X25519Identity.generate(self.chance))


def sealed_into(vault: Vault, content: bytes, pieces: Sequence[int] = ()) -> Sealing:
    """A sealing that all the content was written into, in pieces of so many chunks."""
    sealing = vault.begin(len(content))
    rest = memoryview(content)
    for chunks in pieces:
        piece = rest[: chunks * CHUNK_BYTES]
        if len(piece) == len(rest):
            break
        _write(sealing, piece, final=False)
        rest = rest[len(piece) :]
    _write(sealing, rest, final=True)
    return sealing


def _write(sealing: Sealing, piece: memoryview, *, final: bool) -> None:
    out = memoryview(bytearray(Sealing.room(len(piece))))
    sealing.writer.write(out[: sealing.seal_into(piece, out, final=final)])


Put = Callable[[bytes], tuple[Sealing, Fingerprint]]
