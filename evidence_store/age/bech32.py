"""Bech32 (BIP 173) without its limit on length: how age spells keys.

Only what BIP 173 calls valid is read: one case, the right checksum, no padding
beyond what is needed. Errors never quote the text, because it may be a secret.
"""

from collections.abc import Iterable, Iterator

from evidence_store.errors import MalformedError

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_CHARACTERS = 6
_SYMBOL_BITS, _BYTE_BITS = 5, 8


def encode(prefix: str, content: bytes) -> str:
    """The content behind a lower-case prefix, with its checksum, in lower case."""
    symbols = list(_regrouped(content, _BYTE_BITS, _SYMBOL_BITS))
    if excess := len(content) * _BYTE_BITS % _SYMBOL_BITS:
        symbols.append(content[-1] << (_SYMBOL_BITS - excess) & 31)
    check = _checksum(prefix, [*symbols, *[0] * _CHECKSUM_CHARACTERS]) ^ 1
    symbols += [
        check >> _SYMBOL_BITS * place & 31 for place in reversed(range(_CHECKSUM_CHARACTERS))
    ]
    return f"{prefix}1{''.join(_ALPHABET[symbol] for symbol in symbols)}"


def decode(prefix: str, text: str) -> bytes:
    """The content of a text with this lower-case prefix, in one case, whichever it is.

    Raises:
        MalformedError: on anything `encode` would not have written, save for the case.
    """
    lower = text.lower()
    if not text.isascii() or text not in (lower, text.upper()):
        raise MalformedError("key: expected ASCII letters of one case")
    found_prefix, separator, characters = lower.rpartition("1")
    if not separator or found_prefix != prefix:
        raise MalformedError(f"key: expected one that begins with {prefix}1 (in either case)")
    if not _VALUES.keys() >= set(characters):
        raise MalformedError("key: expected Bech32 characters, found another")
    symbols = [_VALUES[character] for character in characters]
    if len(symbols) < _CHECKSUM_CHARACTERS or _checksum(prefix, symbols) != 1:
        raise MalformedError("key: the checksum is wrong; a character was changed or left out")
    content = bytes(_regrouped(symbols[:-_CHECKSUM_CHARACTERS], _SYMBOL_BITS, _BYTE_BITS))
    if encode(prefix, content) != lower:
        raise MalformedError("key: the padding is not in canonical form")
    return content


def _regrouped(values: Iterable[int], bits: int, to_bits: int) -> Iterator[int]:
    """The same bits in groups of another size, leaving out an incomplete one at the end."""
    held, held_bits = 0, 0
    for value in values:
        held = held << bits | value
        held_bits += bits
        while held_bits >= to_bits:
            held_bits -= to_bits
            yield held >> held_bits
            held &= (1 << held_bits) - 1


def _checksum(prefix: str, symbols: Iterable[int]) -> int:
    """The checksum polynomial of BIP 173: 1 over a text that is intact."""
    expanded = [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *symbols]
    check = 1
    for symbol in expanded:
        top = check >> 25
        check = (check & 0x1FFFFFF) << _SYMBOL_BITS ^ symbol
        for place, polynomial in enumerate(_GENERATOR):
            if top >> place & 1:
                check ^= polynomial
    return check
