"""Headers: what opens, and everything that must not.

Headers that break one rule are made with the right authentication code, so that it
is the rule that refuses them. Vectors: C2SP CCTV, "age test vectors".
"""

import hmac
import secrets
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.age.file import open_file, seal_file
from evidence_store.age.header import open_header, seal_header, split
from evidence_store.age.scrypt import ScryptIdentity, ScryptRecipient
from evidence_store.age.stanza import Stanza
from evidence_store.age.x25519 import X25519Identity, X25519Recipient
from evidence_store.errors import EvidenceError, FixityError, KeyUnavailableError, MalformedError

FILE_KEY = b"YELLOW SUBMARINE"
IDENTITY = X25519Identity.parse(
    "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0"
)
STANZA = b"""-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc
hjabGXwSLQ9c3S6Lw2i+S2Tu2fiwQHHslbBN6B41FLE
"""
SCRYPT_STANZA = b"""-> scrypt rF0/NwblUHHTpgQgRpe5CQ 10
gUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY
"""
PASSWORD = ScryptIdentity(b"password")
OPENING, BODY = STANZA.splitlines()


def unpadded(content: bytes) -> bytes:
    return b64encode(content).rstrip(b"=")


def sealed(
    *stanzas: bytes, version: bytes = b"age-encryption.org/v1\n", mark: bytes = b"---"
) -> bytes:
    """A header of these lines with the code they have under FILE_KEY (RFC 5869, RFC 2104)."""
    lines = version + b"".join(stanzas) + mark
    key = hmac.digest(hmac.digest(bytes(32), FILE_KEY, "sha256"), b"header\x01", "sha256")
    return lines + b" " + unpadded(hmac.digest(key, lines, "sha256")) + b"\n"


# ----------------------------------------------------------------------- what opens


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("x25519", STANZA + b"--- WyJp9F/9FOZh7gJdheq2WIJcwHgYc8NIVh3ddwhrcNg\n"),
        (
            "x25519_grease",
            b"-> grease\n\n" + STANZA + b"-> grease\n\n"
            b"--- QIfAOEMt1fGOf2FP2m3+TwFQtfy2H3sX3YqUAQRApkM\n",
        ),
        (
            "x25519_multiple_recipients",
            b"""-> X25519 ajtqAvDEkVNr2B7zUOtq2mAQXDSBlNrVAuM/dKb5sT4
0evrK/HQXVsQ4YaDe+659l5OQzvAzD2ytLGHQLQiqxg
-> X25519 0qC7u6AbLxuwnM8tPFOWVtWZn/ZZe7z7gcsP5kgA0FI
Y3OzevLm23Vx7PN9k33F9y+ercWe/bcZJLqhqA3h408
--- 855pKblQzZ3oabDowxRDQvSj/xo47ZSh5WTjkmK0I0U
""",
        ),
        ("scrypt", SCRYPT_STANZA + b"--- IOXiQYStkoT1mvZW2tFOqZdhRVvj58egABx/sWfZQbc\n"),
    ],
)
def test_a_published_header_opens(name: str, header: bytes) -> None:
    whole = b"age-encryption.org/v1\n" + header
    assert open_header(whole, [IDENTITY, PASSWORD]) == FILE_KEY, name
    assert split(whole + b"body\n--- \n") == len(whole)


def test_a_published_file_opens() -> None:
    body = bytes.fromhex("eecf62c7ce91b433274e68d4f2f9134cb74c5bfef7beaa52c8f0bc0e992c1e8331fb66")
    assert open_file(sealed(STANZA) + body, [IDENTITY]) == b"age"


@given(st.binary(min_size=16, max_size=16), st.integers(1, 4))
def test_every_recipient_opens_what_was_sealed_to_all(file_key: bytes, number: int) -> None:
    identities = [X25519Identity.generate(secrets.token_bytes) for _ in range(number)]
    header = seal_header(
        file_key, [identity.recipient for identity in identities], secrets.token_bytes
    )
    for identity in identities:
        assert open_header(header, [identity]) == file_key


def test_two_headers_of_one_file_key_have_nothing_in_common_but_their_form() -> None:
    first, second = (
        seal_header(FILE_KEY, [IDENTITY.recipient], secrets.token_bytes).split(b"\n") for _ in "12"
    )
    same = [line for line in first if line in second]
    assert same == [b"age-encryption.org/v1", b""]


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
            st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)),
            st.binary(max_size=200),
        )
    )
)
def test_stanzas_of_others_are_passed_over(foreign: list[tuple[str, list[str], bytes]]) -> None:
    stanzas = [
        bytes(Stanza(b"!" + kind.encode(), tuple(each.encode() for each in arguments), body))
        for kind, arguments, body in foreign
    ]
    assert open_header(sealed(*stanzas, STANZA), [IDENTITY]) == FILE_KEY


@pytest.mark.parametrize("size", [0, 1, 47, 48, 49, 95, 96, 97])
def test_a_body_ends_with_a_short_line(size: int) -> None:
    lines = bytes(Stanza(b"kind", (b"argument",), bytes(size))).split(b"\n")[1:-1]
    assert [len(line) for line in lines[:-1]] == [64] * (size // 48)
    assert len(lines[-1]) < 64


# ------------------------------------------------------------------ what must not open


def changed(old: bytes, new: bytes) -> bytes:
    assert old in STANZA
    return sealed(STANZA.replace(old, new))


SHARE = OPENING.split()[-1]
LONG = unpadded(bytes(48))
WHOLE = sealed(STANZA)
CODE = WHOLE.split()[-1]

BROKEN = {
    "empty": b"",
    "no_age_file": b"PK\x03\x04" + bytes(100),
    "version_2": sealed(STANZA, version=b"age-encryption.org/v2\n"),
    "version_line_unfinished": b"age-encryption.org/v1",
    "version_only": b"age-encryption.org/v1\n",
    "version_crlf": sealed(STANZA, version=b"age-encryption.org/v1\r\n"),
    "version_behind_an_empty_line": sealed(STANZA, version=b"\nage-encryption.org/v1\n"),
    "no_stanza": sealed(),
    "stanza_without_arguments": sealed(STANZA, b"->\n\n"),
    "stanza_empty_argument": sealed(STANZA, b"-> \n\n"),
    "stanza_two_spaces": sealed(STANZA, b"-> a  b\n\n"),
    "stanza_space_at_end": sealed(STANZA, b"-> a \n\n"),
    "stanza_no_space": sealed(STANZA, b"->a\n\n"),
    "stanza_tab": sealed(STANZA, b"-> a\tb\n\n"),
    "stanza_not_ascii": sealed(STANZA, b"-> \xc3\xa9\n\n"),
    "stanza_cr": sealed(STANZA.replace(b"\n", b"\r\n")),
    "stanza_opening_cr": sealed(OPENING + b"\r\n" + BODY + b"\n"),
    "stanza_other_start": sealed(STANZA, b"=> a\n\n"),
    "stanza_without_body": sealed(STANZA, b"-> a\n"),
    "stanza_without_final_line": sealed(STANZA, b"-> a\n", LONG, b"\n"),
    "stanza_two_short_lines": sealed(STANZA, b"-> a\nAAAA\nAAAA\n"),
    "stanza_line_of_68": sealed(STANZA, b"-> a\n", LONG, b"AAAA\n"),
    "stanza_line_of_68_and_a_short_one": sealed(STANZA, b"-> a\n", LONG, b"AAAA\nAAAA\n"),
    "stanza_body_padded": sealed(STANZA, b"-> a\nAA==\n"),
    "stanza_body_not_canonical": sealed(STANZA, b"-> a\nAB\n"),
    "stanza_body_impossible_length": sealed(STANZA, b"-> a\nAAAAA\n"),
    "stanza_body_url_alphabet": sealed(STANZA, b"-> a\n__--\n"),
    "stanza_body_space": sealed(STANZA, b"-> a\nAA AA\n"),
    "empty_line_before_the_code": sealed(STANZA, b"\n"),
    "code_missing": WHOLE[: WHOLE.index(b"---")],
    "code_line_unfinished": WHOLE[:-1],
    "code_no_space": WHOLE.replace(b"--- ", b"---"),
    "code_two_spaces": WHOLE.replace(b"--- ", b"---  "),
    "code_space_at_end": WHOLE[:-1] + b" \n",
    "code_cr": WHOLE[:-1] + b"\r\n",
    "code_short": WHOLE.replace(CODE, CODE[:-1]),
    "code_of_31_bytes": WHOLE.replace(CODE, unpadded(bytes(31))),
    "code_of_33_bytes": WHOLE.replace(CODE, unpadded(bytes(33))),
    "code_padded": WHOLE[:-1] + b"=\n",
    "code_not_canonical": WHOLE.replace(CODE, CODE[:-1] + b"/"),
    "code_mark_longer": sealed(STANZA, mark=b"----"),
    "a_byte_behind_it": WHOLE + b"\n",
    "the_body_behind_it": WHOLE + bytes(32),
    "x25519_no_share": changed(b" " + SHARE, b""),
    "x25519_two_shares": changed(SHARE, SHARE + b" " + SHARE),
    "x25519_share_of_31_bytes": changed(SHARE, unpadded(bytes([9] * 31))),
    "x25519_share_of_33_bytes": changed(SHARE, unpadded(bytes([9] * 33))),
    "x25519_share_padded": changed(SHARE, SHARE + b"="),
    "x25519_share_not_canonical": changed(SHARE, SHARE[:-1] + b"d"),
    "x25519_body_not_canonical": changed(BODY, BODY[:-1] + b"F"),
    "x25519_long_file_key": changed(BODY, unpadded(bytes(40))),
    "x25519_empty_body": changed(BODY, b""),
    "scrypt_with_x25519": sealed(SCRYPT_STANZA, STANZA),
    "x25519_with_scrypt": sealed(STANZA, SCRYPT_STANZA),
    "scrypt_with_another": sealed(STANZA, b"-> scrypt\n\n"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_header_that_breaks_a_rule_is_refused(rule: str) -> None:
    with pytest.raises(MalformedError):
        open_header(BROKEN[rule], [IDENTITY, PASSWORD])


@pytest.mark.parametrize("rule", sorted(BROKEN.keys() - {"a_byte_behind_it", "the_body_behind_it"}))
def test_no_file_opens_whose_header_breaks_a_rule(rule: str) -> None:
    body = bytes.fromhex("eecf62c7ce91b433274e68d4f2f9134cb74c5bfef7beaa52c8f0bc0e992c1e8331fb66")
    with pytest.raises(MalformedError):
        open_file(BROKEN[rule] + body, [IDENTITY, PASSWORD])


# Points whose multiples by a clamped scalar are all zero, and their spellings above 2^255-19.
PRIME = 2**255 - 19
LOW_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    PRIME - 1,
    PRIME,
    PRIME + 1,
]


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_share_of_low_order_is_refused(point: int) -> None:
    with pytest.raises(MalformedError):
        open_header(changed(SHARE, unpadded(point.to_bytes(32, "little"))), [IDENTITY])


@pytest.mark.parametrize("point", LOW_ORDER)
def test_nothing_is_sealed_to_a_point_of_low_order(point: int) -> None:
    with pytest.raises(MalformedError):
        X25519Recipient(point.to_bytes(32, "little"))


FOR_ANOTHER_KEY = {
    "tag_of_the_wrapped_key": sealed(STANZA.replace(b"FLE", b"FLA")),
    "wrapped_key": sealed(STANZA.replace(b"hjab", b"hjac")),
    "share": sealed(STANZA.replace(b"TEiF", b"TEiG")),
    "x25519_in_lower_case": sealed(STANZA.replace(b"X25519", b"x25519")),
    "scrypt_with_a_capital": sealed(SCRYPT_STANZA.replace(b"scrypt", b"Scrypt")),
    "passphrase": sealed(SCRYPT_STANZA),
    "another_recipient": seal_header(
        FILE_KEY, [X25519Identity.generate(secrets.token_bytes).recipient], secrets.token_bytes
    ),
}


@pytest.mark.parametrize("what", FOR_ANOTHER_KEY)
def test_a_header_for_another_key_stays_closed(what: str) -> None:
    with pytest.raises(KeyUnavailableError):
        open_header(FOR_ANOTHER_KEY[what], [IDENTITY])


def test_without_any_key_a_header_stays_closed() -> None:
    with pytest.raises(KeyUnavailableError):
        open_header(WHOLE, [])


ALTERED = {
    "another_code": WHOLE.replace(CODE, unpadded(bytes(32))),
    "a_stanza_added": WHOLE.replace(STANZA, STANZA + b"-> grease\n\n"),
    "a_stanza_put_first": WHOLE.replace(STANZA, b"-> grease\n\n" + STANZA),
    "a_stanza_doubled": WHOLE.replace(STANZA, STANZA + STANZA),
    "a_stanza_left_out": sealed(STANZA, b"-> grease\n\n").replace(b"-> grease\n\n", b""),
}


@pytest.mark.parametrize("change", ALTERED)
def test_a_header_changed_after_it_was_sealed_is_told_from_one_for_another_key(change: str) -> None:
    with pytest.raises(FixityError):
        open_header(ALTERED[change], [IDENTITY])


def test_no_byte_of_a_header_can_be_changed() -> None:
    other = X25519Identity.generate(secrets.token_bytes).recipient
    header = seal_header(FILE_KEY, [IDENTITY.recipient, other], secrets.token_bytes)
    for at in range(len(header)):
        for flip in (1, 0x20, 0x80):
            altered = bytearray(header)
            altered[at] ^= flip
            with pytest.raises((MalformedError, FixityError, KeyUnavailableError)):
                open_header(bytes(altered), [IDENTITY])


def test_no_prefix_of_a_header_opens() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(MalformedError):
            open_header(WHOLE[:length], [IDENTITY])
        with pytest.raises(MalformedError):
            split(WHOLE[:length])


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_in_this_systems_words(content: bytes) -> None:
    for header in (content, b"age-encryption.org/v1\n" + content, sealed(STANZA, content)):
        if header != WHOLE:
            with pytest.raises(EvidenceError):
                open_header(header, [IDENTITY])


# ----------------------------------------------------------------------- what is sealed


def test_nothing_is_sealed_to_nobody() -> None:
    with pytest.raises(MalformedError):
        seal_header(FILE_KEY, [], secrets.token_bytes)


def test_a_passphrase_is_not_mixed_with_another_recipient() -> None:
    passphrase = ScryptRecipient(b"correct horse", work_factor=1)
    for others in ([IDENTITY.recipient], [passphrase]):
        with pytest.raises(MalformedError):
            seal_header(FILE_KEY, [passphrase, *others], secrets.token_bytes)


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_file_key_has_16_bytes(size: int) -> None:
    with pytest.raises(MalformedError):
        seal_header(bytes(size), [IDENTITY.recipient], secrets.token_bytes)


@given(st.binary(max_size=100))
def test_a_small_file_comes_back(content: bytes) -> None:
    file = seal_file(content, [IDENTITY.recipient], secrets.token_bytes)
    assert open_file(file, [IDENTITY]) == content
    with pytest.raises(FixityError):
        open_file(file + b"\n", [IDENTITY])
