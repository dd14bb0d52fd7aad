"""Vectors of BIP 173, and of the age format's own page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.age import bech32
from evidence_store.errors import MalformedError


@pytest.mark.parametrize(
    ("prefix", "text", "content"),
    [
        ("a", "A12UEL5L", b""),
        ("a", "a12uel5l", b""),
        (
            "abcdef",
            "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
            bytes.fromhex("00443214c74254b635cf84653a56d7c675be77df"),
        ),
        ("?", "?1ezyfcl", b""),
        (
            "age-secret-key-",
            "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
            b"B" * 32,
        ),
    ],
)
def test_a_published_text_is_read_and_written(prefix: str, text: str, content: bytes) -> None:
    assert bech32.decode(prefix, text) == content
    assert bech32.encode(prefix, content) == text.lower()


@given(st.binary(max_size=100))
def test_what_is_written_is_read(content: bytes) -> None:
    text = bech32.encode("age", content)
    assert bech32.decode("age", text) == content
    assert bech32.decode("age", text.upper()) == content


@given(
    content=st.binary(min_size=1, max_size=40),
    place=st.integers(min_value=0),
    other=st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7lb1 "),
)
def test_one_changed_character_is_noticed(content: bytes, place: int, other: str) -> None:
    text = bech32.encode("age", content)
    at = place % len(text)
    changed = text[:at] + other + text[at + 1 :]
    if changed != text:
        with pytest.raises(MalformedError):
            bech32.decode("age", changed)


SYMBOLS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def checksummed(prefix: str, characters: str) -> str:
    """A text with these data characters and the right checksum, canonical or not."""
    data = [SYMBOLS.index(character) for character in characters]
    check = 1
    for value in [
        *(ord(c) >> 5 for c in prefix),
        0,
        *(ord(c) & 31 for c in prefix),
        *data,
        *[0] * 6,
    ]:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for place, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= term if top >> place & 1 else 0
    check ^= 1
    return f"{prefix}1{characters}" + "".join(
        SYMBOLS[check >> 5 * (5 - at) & 31] for at in range(6)
    )


def test_a_checksum_made_by_hand_is_the_published_one() -> None:
    assert checksummed("a", "") == "a12uel5l"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "age",
        "age1",
        "age1qqqq",
        "A12uel5l",  # both cases
        "a12uel5m",  # checksum
        "1nwldj5",  # no prefix
        "b" + "12uel5l",  # another prefix
        "x" + "a12uel5l",
        "a12uel5l ",
        "a12\N{KELVIN SIGN}el5l",
        checksummed("a", "q"),  # five bits are no byte
        checksummed("a", "qp"),  # padding that is not zero
        checksummed("a", "qqq"),  # more padding than is needed
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        bech32.decode("a", text)


def test_a_letter_that_only_looks_like_one_is_refused() -> None:
    text = bech32.encode("age", b"\xff" * 20).upper()
    lookalike = text.replace("K", "\N{KELVIN SIGN}")
    while lookalike == text:
        text = bech32.encode("age", text.encode("ascii")).upper()
        lookalike = text.replace("K", "\N{KELVIN SIGN}")
    assert lookalike.lower() == text.lower()
    with pytest.raises(MalformedError):
        bech32.decode("age", lookalike)


def test_a_refusal_does_not_quote_the_key() -> None:
    text = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEQ"
    with pytest.raises(MalformedError) as refused:
        bech32.decode("age-secret-key-", text)
    assert "GFPYYSJZ" not in str(refused.value).upper()
