"""Signed notes (C2SP signed-note) and the keys that sign them.

A note is text and signature lines. A verifier ignores keys it does not know, and refuses the
whole note if a key it knows signed badly. Every encoding has one accepted spelling.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from evidence_store.errors import MalformedError

SIGNATURES_MAX = 64
NOTE_BYTES_MAX = 1_000_000
NAME_BYTES_MAX = 255
KEY_ID_BYTES = 4
_DASH = "\u2014"


class KeyType(IntEnum):
    """How a key signs, by the byte that names it."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    MLDSA44_COSIGNATURE = 0x06

    @property
    def public_bytes(self) -> int:
        """The length of such a public key."""
        return 1312 if self is KeyType.MLDSA44_COSIGNATURE else 32


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key by name, as a `vkey` writes it: `name+hash+base64(type, key)`."""

    name: str
    type: KeyType
    public: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.public) != self.type.public_bytes:
            raise MalformedError(f"vkey {self.name}: a public key of {len(self.public)} bytes")

    @property
    def key_id(self) -> bytes:
        """The first bytes of SHA-256 over name and key: what a signature line calls it by."""
        content = self.name.encode() + b"\n" + bytes([self.type]) + self.public
        return hashlib.sha256(content).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes([self.type]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a vkey.

        Raises:
            MalformedError: if it is not one, of an unknown type, or its key ID is not its key's.
        """
        parts = text.split("+", 2)
        if len(parts) != 3:  # noqa: PLR2004 - name, ID and key
            raise MalformedError("vkey: expected name+id+key", found=text)
        name, _, encoded = parts
        content = from_base64(encoded, "vkey")
        try:
            key = cls(name, KeyType(content[0]), content[1:])
        except (ValueError, IndexError):
            raise MalformedError(f"vkey {name[:80]}: of no type that is known here") from None
        if str(key) != text:
            raise MalformedError(f"vkey {name[:80]}: its ID is not that of its key")
        return key


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line: the key's name and ID, and what the key type makes of the rest."""

    name: str
    key_id: bytes
    value: bytes

    def __post_init__(self) -> None:
        check_name(self.name)

    def __str__(self) -> str:
        return f"{_DASH} {self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"

    def is_by(self, key: VerifierKey) -> bool:
        """Whether the line says it is by this key."""
        return self.name == key.name and self.key_id == key.key_id

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line without its end.

        Raises:
            MalformedError: if it is not one.
        """
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != _DASH:  # noqa: PLR2004 - dash, name, signature
            raise MalformedError("signed note: expected a signature line")
        content = from_base64(parts[2], "signed note")
        if len(content) <= KEY_ID_BYTES:
            raise MalformedError("signed note: a signature without bytes")
        return cls(parts[1], content[:KEY_ID_BYTES], content[KEY_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class Note:
    """Text that ends in a newline, and its signatures. Nothing is verified here."""

    text: str
    signatures: tuple[Signature, ...]

    def __post_init__(self) -> None:
        _utf8(self.text)
        if not self.text.endswith("\n") or _has_control(self.text):
            raise MalformedError("signed note: expected text lines without control characters")

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))

    def encode(self) -> bytes:
        """The note's bytes."""
        return str(self).encode()

    def with_signatures(self, more: Sequence[Signature]) -> "Note":
        """The note with these signatures behind its own; none twice."""
        return Note(self.text, tuple(dict.fromkeys((*self.signatures, *more))))

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read a signed note.

        Raises:
            MalformedError: if it is not one, or unreasonably large.
        """
        if len(content) > NOTE_BYTES_MAX:
            raise MalformedError("signed note: too large")
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise MalformedError("signed note: expected UTF-8") from None
        at = text.rfind("\n\n")
        if at < 0 or not text.endswith("\n"):
            raise MalformedError("signed note: expected an empty line before the signatures")
        lines = text[at + 2 : -1].split("\n")
        if len(lines) > SIGNATURES_MAX:
            raise MalformedError("signed note: too many signatures")
        return cls(text[: at + 1], tuple(map(Signature.parse, lines)))


def check_name(name: str) -> None:
    """Insist that a key may be called so.

    Raises:
        MalformedError: if it is empty, too long, or has a space, a plus or a control character.
    """
    if not name or len(_utf8(name)) > NAME_BYTES_MAX or re.search(r"[\s+]", name):
        raise MalformedError("key name: expected one without spaces and +", found=name)
    if _has_control(name):
        raise MalformedError("key name: expected no control characters")


def from_base64(text: str, what: str) -> bytes:
    """The bytes that base64 spells; only the spelling that an encoder gives.

    Raises:
        MalformedError: on any other.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError(f"{what}: expected base64") from None
    if base64.b64encode(content).decode() != text:
        raise MalformedError(f"{what}: base64 that is not canonical")
    return content


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a character, as Python makes of bytes in an argument
        raise MalformedError("signed note: expected text that UTF-8 can spell") from None


def _has_control(text: str) -> bool:
    return any(ord(each) < 0x20 and each != "\n" for each in text)  # noqa: PLR2004 - C0
