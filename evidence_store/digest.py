"""Content digests: the name by which every byte is known.

A digest is written `algorithm:hex`, lower case, e.g. `blake3:af1349b9…`. There
is one accepted spelling, so equal digests are equal strings.

SHA-256 (FIPS 180-4) is the interchange digest, because court tooling expects
it; BLAKE3 with 32 bytes of output (https://c2sp.org/BLAKE3) is the fast one.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

from blake3 import blake3

from evidence_store.errors import FixityError, MalformedError


class Algorithm(StrEnum):
    """Digest algorithms this system accepts."""

    BLAKE3 = "blake3"
    SHA256 = "sha256"


SIZE_BYTES = 32  # of every accepted algorithm's output


@dataclass(frozen=True, slots=True)
class Digest:
    """An algorithm and its output. Cannot exist in a malformed state."""

    algorithm: Algorithm
    value: bytes

    def __post_init__(self) -> None:
        if len(self.value) != SIZE_BYTES:
            raise MalformedError(f"digest: expected {SIZE_BYTES} bytes, found {len(self.value)}")

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value.hex()}"

    @property
    def hex(self) -> str:
        """The output alone, in lower-case hexadecimal, as `sha256sum` writes it."""
        return self.value.hex()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `algorithm:hex`.

        Raises:
            MalformedError: on anything `str()` of a digest would not have written.
        """
        name, _, hexadecimal = text.partition(":")
        try:
            digest = cls(Algorithm(name), bytes.fromhex(hexadecimal))
        except ValueError as error:
            raise MalformedError(
                f"digest: expected algorithm:hex with one of {', '.join(Algorithm)}", found=text
            ) from error
        if str(digest) != text:
            raise MalformedError(f"digest: {text[:80]!r} is not in canonical form")
        return digest

    @classmethod
    def sha256_hex(cls, text: str) -> Self:
        """Read a SHA-256 as tools print it: 64 hexadecimal digits, either case.

        Raises:
            MalformedError: on anything else.
        """
        return cls.parse(f"{Algorithm.SHA256}:{text.lower()}")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What one pass over the bytes learns: both digests and the length."""

    sha256: Digest
    blake3: Digest
    size_bytes: int

    def __post_init__(self) -> None:
        if (self.sha256.algorithm, self.blake3.algorithm) != (Algorithm.SHA256, Algorithm.BLAKE3):
            raise MalformedError("fingerprint: the digests are not SHA-256 and BLAKE3, in order")
        if self.size_bytes < 0:
            raise MalformedError(f"fingerprint: a size of {self.size_bytes} bytes")

    def digest(self, algorithm: Algorithm) -> Digest:
        """The digest by this algorithm."""
        return self.sha256 if algorithm is Algorithm.SHA256 else self.blake3


class Hasher(Protocol):
    """What `hashlib` objects and `blake3` have in common."""

    def update(self, data: bytes | bytearray | memoryview, /) -> object:
        """Take in more bytes."""
        ...

    def digest(self) -> bytes:
        """The output over all bytes so far."""
        ...


def hasher(algorithm: Algorithm) -> Hasher:
    """A fresh hash state. Both kinds release the interpreter lock on large updates."""
    return hashlib.sha256() if algorithm is Algorithm.SHA256 else blake3()


class Fingerprinter:
    """Both digests over chunks as they pass, so that bytes are read once."""

    def __init__(self) -> None:
        self._sha256 = hasher(Algorithm.SHA256)
        self._blake3 = hasher(Algorithm.BLAKE3)
        self._size_bytes = 0

    def update(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take in the next chunk."""
        self._sha256.update(chunk)
        self._blake3.update(chunk)
        self._size_bytes += len(chunk)

    def result(self) -> Fingerprint:
        """The fingerprint of all chunks so far."""
        return Fingerprint(
            sha256=Digest(Algorithm.SHA256, self._sha256.digest()),
            blake3=Digest(Algorithm.BLAKE3, self._blake3.digest()),
            size_bytes=self._size_bytes,
        )


def fingerprint(chunks: Iterable[bytes]) -> Fingerprint:
    """Fingerprint a stream, discarding it."""
    fingerprinter = Fingerprinter()
    for chunk in chunks:
        fingerprinter.update(chunk)
    return fingerprinter.result()


def verified(chunks: Iterable[bytes], *expected: Digest) -> Iterator[bytes]:
    """Yield the chunks, insisting that they are the expected bytes.

    The last chunk is held back until every digest agrees, so that no reader ever
    has the whole of a changed object, even one who ignores the error.

    Raises:
        FixityError: instead of yielding the last chunk, when a digest differs.
    """
    hashers = [(digest, hasher(digest.algorithm)) for digest in expected]
    held_back = b""
    for chunk in chunks:
        if not chunk:
            continue  # otherwise an empty one at the end would push the last bytes out unverified
        for _, state in hashers:
            state.update(chunk)
        if held_back:
            yield held_back
        held_back = chunk
    for digest, state in hashers:
        found = Digest(digest.algorithm, state.digest())
        if found != digest:
            raise FixityError(expected=str(digest), found=str(found))
    if held_back:
        yield held_back
