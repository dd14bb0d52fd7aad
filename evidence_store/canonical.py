"""Canonical JSON (RFC 8785), narrowed to what three languages read alike: `docs/format.md`, 9.

Strings, booleans, null, arrays, objects with ASCII names, whole numbers below 2^53. Whoever
verifies hashes the bytes as they were stored; nothing is ever written anew in order to verify.
"""

import json
from collections.abc import Mapping
from typing import NoReturn

from evidence_store.errors import MalformedError

Json = str | int | bool | None | list["Json"] | dict[str, "Json"]
INTEGER_MAX = 2**53 - 1
DEPTH_MAX = 16
_PLAIN = (str, bool, type(None))
# Of what `_check` lets pass, this spells everything as RFC 8785 does: names in ASCII sort alike by
# character and by UTF-16 unit, and there are no fractions. The tests hold it to a library for
# the whole of RFC 8785, which takes five times as long.
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def canonical(value: Mapping[str, Json]) -> bytes:
    """The one spelling of an object.

    Raises:
        MalformedError: if it holds anything that the narrowed form does not have.
    """
    whole = dict(value)
    _check(whole, DEPTH_MAX)
    try:
        return _ENCODER.encode(whole).encode()
    except UnicodeEncodeError:
        raise MalformedError("canonical JSON: expected text in UTF-8") from None


def parse_canonical(content: bytes, what: str) -> dict[str, Json]:
    """The object that these bytes spell.

    Raises:
        MalformedError: if they spell none, or in another way than `canonical` does.
    """
    try:
        value = json.loads(
            content.decode(),
            object_pairs_hook=_unambiguous,
            parse_float=_refuse,
            parse_constant=_refuse,
        )
        if isinstance(value, dict) and canonical(value) == content:
            return value
    except (ValueError, RecursionError):
        pass
    raise MalformedError(f"{what}: expected canonical JSON, an object")


def _check(value: object, depth: int) -> None:
    if isinstance(value, _PLAIN):
        return
    if depth == 0:
        raise MalformedError("canonical JSON: nested too deeply")
    match value:
        case int() if abs(value) <= INTEGER_MAX:
            pass
        case list():
            for each in value:
                _check(each, depth - 1)
        case dict():
            _check_members(value, depth - 1)
        case _:
            raise MalformedError(
                f"canonical JSON: expected text, whole numbers, lists and objects, found "
                f"{type(value).__name__}"
            )


def _check_members(value: dict[object, object], depth: int) -> None:
    for name, each in value.items():
        if not (isinstance(name, str) and name.isascii()):
            raise MalformedError("canonical JSON: expected names in ASCII")
        if not isinstance(each, _PLAIN):  # as most are
            _check(each, depth)


def _unambiguous(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _refuse(_: str) -> NoReturn:
    raise ValueError
