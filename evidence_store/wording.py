"""What may stand in words that an officer states and an authority signs: something, in bounds, in UTF-8.

The one rule for every door. It does not judge what the words mean, and it is not applied to what a
file brings: a file's own name is kept byte for byte, whatever it is.
"""

from collections.abc import Mapping

from evidence_store.canonical import Json
from evidence_store.errors import MalformedError
from evidence_store.moment import UNKNOWN

TEXT_CHARACTERS_MAX = 10_000

# What is one document, bounded by its own rules, and not somebody's words.
_DOCUMENTS = ("_document",)
# What a medium brings, not an officer: kept as it is.
_BROUGHT = frozenset({"source_name"})
# What names somebody or something, and is shown on one line: no line break may forge another.
_NAMES = frozenset(
    {"officer", "counterparty", "carrier", "waybill", "place", "source", "title", "hold"}
)
# Embeddings, overrides and isolates turn the direction of what follows: `gpj.exe` reads `exe.jpg`.
# The marks that Arabic and Hebrew need are not among them.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BREAKING = frozenset("\u2028\u2029")
_IN_PROSE = frozenset("\n\r\t")


def stated(text: str, what: str, *, unknown: bool = False) -> str:
    """The text without surrounding space, insisting that something was stated.

    `unknown` says that the word "unknown" is an answer here: then the message says so.

    Raises:
        MalformedError: if it is empty, unreasonably long, or no text in UTF-8.
    """
    text = text.strip()
    if not text:
        advice = f"write {UNKNOWN!r} if it is not known" if unknown else "it must be stated"
        raise MalformedError(f"{what}: is empty; {advice}")
    if len(text) > TEXT_CHARACTERS_MAX:
        raise MalformedError(
            f"{what}: expected at most {TEXT_CHARACTERS_MAX} characters, found {len(text)}"
        )
    if not text.isascii() and any("\ud800" <= each <= "\udfff" for each in text):
        raise MalformedError(f"{what}: expected text in UTF-8")
    return text


def named(text: str, what: str, *, unknown: bool = False) -> str:
    """What was stated, insisting that it is one line that reads as it is written.

    Raises:
        MalformedError: as `stated`, and for control characters, line breaks, and characters that
            turn the direction of what follows.
    """
    text = stated(text, what, unknown=unknown)
    if not text.isprintable():
        _refuse(text, what, _TURNING | _BREAKING, also=frozenset())
    return text


def check_signed(fields: Mapping[str, Json]) -> None:
    """Insist that all words among an act's fields may be signed; absent is absent, never empty.

    Raises:
        MalformedError: for the first field of which it is not so.
    """
    for name, value in fields.items():
        if name in _BROUGHT or name.endswith(_DOCUMENTS):
            continue
        for each in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(each, str):
                _check(name, each)


def _check(name: str, text: str) -> None:
    if name in _NAMES:
        named(text, name)
        return
    stated(text, name)
    if not text.isprintable():
        _refuse(text, name, _TURNING, also=_IN_PROSE)


def _refuse(text: str, what: str, refused: frozenset[str], *, also: frozenset[str]) -> None:
    for each in text:
        is_control = (each < " " or "\x7f" <= each <= "\x9f") and each not in also
        if is_control or each in refused:
            raise MalformedError(
                f"{what}: expected text that reads as it is written, found the character "
                f"U+{ord(each):04X}"
            )
