"""Recipient stanzas: the lines of a header that each hold the file key for one recipient.

    -> X25519 XEl0dJ6y3C7KZkgmgWUicg63EyXJiwBJW8PdYJ/cYBE
    qRS0AMjdjPvZ/WT08U2KL4G+PIooA3hy38SvLpvaC1E

C2SP age, section "Recipient stanza". What a stanza means is its recipient's matter.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from evidence_store.errors import MalformedError

COLUMNS = 64
_ARGUMENT = re.compile(rb"[!-~]+")  # 1*VCHAR
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")


def encoded(content: bytes) -> bytes:
    """Base64 without padding (RFC 4648, section 4)."""
    return b64encode(content).rstrip(b"=")


def decoded(text: bytes) -> bytes:
    """Read base64 without padding.

    Raises:
        MalformedError: on anything `encoded` would not have written. Otherwise a header could
            be changed without changing what it says.
    """
    if _BASE64.fullmatch(text) is None:
        raise MalformedError("age header: expected base64 characters only, without padding")
    try:
        content = b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error as error:
        raise MalformedError("age header: base64 of an impossible length") from error
    if encoded(content) != text:
        raise MalformedError("age header: base64 that is not in canonical form")
    return content


@dataclass(frozen=True, slots=True)
class Stanza:
    """The kind of a stanza, its arguments, and its body: usually the wrapped file key."""

    kind: bytes
    arguments: tuple[bytes, ...]
    body: bytes

    def __bytes__(self) -> bytes:
        text = encoded(self.body)
        # A body ends with a line shorter than 64 columns: an empty one, if need be.
        lines = [text[at : at + COLUMNS] for at in range(0, len(text) + 1, COLUMNS)]
        return b"\n".join((b" ".join((b"->", self.kind, *self.arguments)), *lines, b""))

    @classmethod
    def read(cls, opening: bytes, following: Iterator[bytes]) -> Self:
        """Read a stanza from its opening line and as many following lines as are its own.

        Raises:
            MalformedError: on anything `bytes` of a stanza would not have written.
        """
        arrow, *arguments = opening.split(b" ")
        if arrow != b"->" or not arguments:
            raise MalformedError("age header: expected a line that begins with '-> ' or '--- '")
        if not all(map(_ARGUMENT.fullmatch, arguments)):
            raise MalformedError("age header: a stanza's argument is empty or not visible ASCII")
        return cls(arguments[0], tuple(arguments[1:]), decoded(_body(following)))


def _body(lines: Iterator[bytes]) -> bytes:
    parts: list[bytes] = []
    for line in lines:
        if len(line) > COLUMNS:
            raise MalformedError(
                f"age header: expected at most {COLUMNS} columns, found {len(line)}"
            )
        parts.append(line)
        if len(line) < COLUMNS:
            return b"".join(parts)
    raise MalformedError("age header: it ends inside a stanza")
