"""Values from a file, made fit to be kept: JSON, clean text, bounded.

Readers hand over what their parsers gave them; here it becomes claims. Both sides tidy:
the worker because the file is hostile, the trusted process because the worker may be.
Tidying twice changes nothing.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from json.encoder import encode_basestring_ascii
from typing import Any

from evidence_store.claims import SET_BYTES_MAX, ClaimValue

TEXT_CHARACTERS_MAX = 4_000
NAME_CHARACTERS_MAX = 500
DEPTH_MAX = 8
INTEGER_MAX = 2**63 - 1
SCALAR_BYTES = 28  # the longest number, and what parts it from the next value
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Controls, lone surrogates, and the marks that make a name read otherwise than it is stored
# (CVE-2021-42574). The marks that Persian and Arabic spelling needs are left alone.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_WHITE = re.compile("[\t\n\r\v\f\x85\u2028\u2029 ]+")


@dataclass(slots=True)
class _Tidying:
    """One set of values under way. `cut` is set when something was left out."""

    bytes_left: int
    cut: bool = False

    def value(self, value: object, depth: int) -> ClaimValue:
        match value:
            case str():  # first, because most are
                return self._text(value, TEXT_CHARACTERS_MAX)
            case dict() | list() | tuple():
                return self._spend(self._container(value, depth + 1))
            case None | bool() | float():
                return self._spend(value if _is_json(value) else None)
            case int() if -INTEGER_MAX <= value <= INTEGER_MAX:
                return self._spend(value)
            case _:
                return self._text(_words(value), TEXT_CHARACTERS_MAX)

    def _container(
        self, value: dict[Any, object] | list[object] | tuple[object, ...], depth: int
    ) -> ClaimValue:
        if depth > DEPTH_MAX:
            self.cut = True
            return None
        return (
            self.entries(value, depth) if isinstance(value, Mapping) else self._list(value, depth)
        )

    def entries(self, values: Mapping[Any, object], depth: int) -> dict[str, ClaimValue]:
        tidied: dict[str, ClaimValue] = {}
        for name, value in values.items():
            if self.bytes_left <= 0:
                self.cut = True
                break
            key = self._text(name if isinstance(name, str) else str(name), NAME_CHARACTERS_MAX)
            self.cut |= key in tidied
            tidied[key] = self.value(value, depth)
        return tidied

    def _list(self, values: Iterable[object], depth: int) -> list[ClaimValue]:
        tidied: list[ClaimValue] = []
        for value in values:
            if self.bytes_left <= 0:
                self.cut = True
                break
            tidied.append(self.value(value, depth))
        return tidied

    def _text(self, text: str, characters_max: int) -> str:
        tidied = clean(text)
        if len(tidied) > characters_max:
            self.cut = True
            tidied = tidied[:characters_max].rstrip()
        size_bytes = len(encode_basestring_ascii(tidied)) + 4
        if size_bytes > self.bytes_left:
            self.cut = True
            tidied, size_bytes = "", 4
        self.bytes_left -= size_bytes
        return tidied

    def _spend(self, value: ClaimValue) -> ClaimValue:
        self.bytes_left -= SCALAR_BYTES
        return value


def tidy(
    values: Mapping[Any, object], bytes_max: int = SET_BYTES_MAX
) -> tuple[dict[str, ClaimValue], bool]:
    """The values as JSON of at most `bytes_max`, and whether anything had to be left out."""
    tidying = _Tidying(bytes_max - 64)
    return tidying.entries(values, 1), tidying.cut


def clean(text: str) -> str:
    """The text without controls and surrogates: white space as one space, the rest replaced."""
    if text.isprintable() and "  " not in text and text[:1] != " " != text[-1:]:
        return text
    return _UNFIT.sub(REPLACEMENT, _WHITE.sub(" ", text)).strip(" ")


def decoded(raw: bytes) -> str:
    """Text of unknown encoding: UTF-8 if it is that, otherwise Latin-1; ends at a NUL."""
    raw = raw.split(b"\0", 1)[0]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _is_json(value: float | None) -> bool:
    """JSON has no infinities and no NaN."""
    return value is None or math.isfinite(value)


def _words(value: object) -> str:
    """What is neither a number nor a container, as text."""
    match value:
        case bytes() | bytearray():
            return decoded(bytes(value))
        case date():
            return value.isoformat()
        case int():
            return hex(value)
        case _:
            return str(value)
