"""Bytes for S3 with their checksums, and the checksums that S3 then gives the object.

Two go with every request: MD5, which every server checks, and SHA-256, which is kept beside the
object where the server knows it. Both guard against damage on the way; against an attacker the
vault authenticates what it reads. The form of the composite ones is that of multipart uploads in
the Amazon S3 user guide, "Checking object integrity".
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Checksums:
    """An object's ETag and SHA-256, as S3 writes them. A server may lack the SHA-256."""

    etag: str
    sha256: str | None

    def agree(self, found: "Checksums") -> bool:
        """Whether the found ones are of the same bytes, sent in the same parts."""
        return self.sha256 == found.sha256 if found.sha256 else self.etag == found.etag


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes to send, with the digests by which the server sees that they arrived as they are."""

    content: bytes | bytearray
    sha256: bytes
    md5: bytes

    @classmethod
    def of(cls, content: bytes | bytearray) -> Self:
        """The bytes, digested."""
        return cls(content, hashlib.sha256(content).digest(), md5(content))

    def headers(self) -> dict[str, str]:
        """The digests, as the server wants them."""
        return {"Content-MD5": base64_of(self.md5), "x-amz-checksum-sha256": base64_of(self.sha256)}

    def checksums(self) -> Checksums:
        """Of the object, if this is all of it."""
        return Checksums(self.md5.hex(), base64_of(self.sha256))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload that the server has acknowledged, under its ETag."""

    etag: str
    sha256: bytes
    md5: bytes


def checksums_of(parts: Sequence[Part]) -> Checksums:
    """Of the object that the parts make: digests of their digests, and how many they are."""
    sha256 = hashlib.sha256(b"".join(part.sha256 for part in parts)).digest()
    etag = md5(b"".join(part.md5 for part in parts)).hex()
    return Checksums(f"{etag}-{len(parts)}", f"{base64_of(sha256)}-{len(parts)}")


def md5(content: bytes | bytearray) -> bytes:
    """An MD5, for servers that ask for one."""
    return hashlib.md5(content, usedforsecurity=False).digest()


def base64_of(value: bytes) -> str:
    """The value, as HTTP headers and S3 documents carry it."""
    return base64.b64encode(value).decode("ascii")
