"""Signed notes and keys: one spelling each, and what is anything else is refused."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.errors import MalformedError
from evidence_store.ledger.note import (
    NAME_BYTES_MAX,
    NOTE_BYTES_MAX,
    SIGNATURES_MAX,
    KeyType,
    Note,
    Signature,
    VerifierKey,
    from_base64,
)
from evidence_store.ledger.signing import verify_ed25519

NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotp"
    "RZb6KE6RyyBwJnAM=\n"
)
SIGNED = Signature("witness.invalid/a", b"\x00\x01\x02\x03", b"signature")
NOTE = Note("first line\n\nthird line\n", (SIGNED, Signature("b", b"abcd", b"x")))
KEY = VerifierKey("witness.invalid/a", KeyType.ED25519, bytes(range(32)))


# --------------------------------------------------------------------------- notes


def test_the_example_of_the_standard_is_read_and_verifies() -> None:
    key, note = VerifierKey.parse(NEUMANN), Note.parse(NEUMANN_NOTE.encode())
    (line,) = note.signatures
    assert line.is_by(key)
    assert str(key) == NEUMANN
    verify_ed25519(key.public, line.value, note.text.encode())


def test_the_last_empty_line_ends_the_text() -> None:
    assert Note.parse(NOTE.encode()) == NOTE
    ends_empty = Note("text\n\n", (SIGNED,))
    assert Note.parse(ends_empty.encode()) == ends_empty


@given(st.data())
def test_whatever_is_read_as_a_note_is_spelt_as_it_was_read(data: st.DataObject) -> None:
    content = bytearray(NOTE.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"\n", b" ", b"=", b"\xe2\x80\x94", b"+", b"", b"A"])
            | st.binary(max_size=2)
        )
        if not content:
            return
    try:
        note = Note.parse(bytes(content))
    except MalformedError:
        return
    assert note.encode() == bytes(content)


@pytest.mark.parametrize("control", [chr(code) for code in range(32) if chr(code) != "\n"])
def test_control_characters_are_refused_wherever_they_stand(control: str) -> None:
    for at in (0, 5, NEUMANN_NOTE.index("\n\n") + 4, len(NEUMANN_NOTE) - 5):
        with pytest.raises(MalformedError):
            Note.parse((NEUMANN_NOTE[:at] + control + NEUMANN_NOTE[at:]).encode())
    with pytest.raises(MalformedError):
        Note(f"text{control}\n", ())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\n\n",
        b"text\n",
        b"text\n\n",
        NOTE.encode()[:-1],
        NOTE.encode() + b"\n",
        NOTE.encode() + b"remark\n",
        NOTE.encode().replace(b"\n", b"\r\n"),
        b"\xff" + NOTE.encode(),
        b"\xef\xbf" + NOTE.encode(),
        NOTE.encode().replace("\u2014".encode(), b"-"),
        NOTE.encode().replace("\u2014".encode(), "\u2013".encode()),
        NOTE.encode().replace("\u2014 ".encode(), "\u2014  ".encode()),
        NOTE.encode().replace(b" AAEC", b"  AAEC"),
        NOTE.encode().replace(b" AAEC", b"\tAAEC"),
        b"text\n\n\xe2\x80\x94 a AAECAw==\n",
        b"text\n\n\xe2\x80\x94 a AAEC\n",
        b"text\n\n\xe2\x80\x94 a \n",
        b"text\n\n\xe2\x80\x94  AAECAwQ=\n",
    ],
)  # fmt: skip
def test_what_is_no_note_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedError):
        Note.parse(content)


def test_many_signatures_are_read_and_too_many_are_not() -> None:
    def with_lines(count: int) -> bytes:
        return b"text\n\n" + str(SIGNED).encode() * count

    assert len(Note.parse(with_lines(16)).signatures) == 16
    assert len(Note.parse(with_lines(SIGNATURES_MAX)).signatures) == SIGNATURES_MAX
    with pytest.raises(MalformedError):
        Note.parse(with_lines(SIGNATURES_MAX + 1))
    with pytest.raises(MalformedError):
        Note.parse(b"x" * NOTE_BYTES_MAX + b"\n\n" + str(SIGNED).encode())


def test_a_signature_is_added_once_and_behind_the_others() -> None:
    more = Signature("c", b"efgh", b"y")
    assert NOTE.with_signatures([more, SIGNED, more]).signatures == (*NOTE.signatures, more)


# ---------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a+b", "a\tb", "a\nb", "a\u00a0b", "a\u2003b", "a\u2028b", "a\u3000b", "a\x85b",
     "a\x00b", "a\x1bb", "x" * (NAME_BYTES_MAX + 1), "\u017e" * 128, "a\ud800b"],
)  # fmt: skip
def test_names_that_could_be_read_in_two_ways_are_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        VerifierKey(name, KeyType.ED25519, bytes(32))
    with pytest.raises(MalformedError):
        Signature(name, b"abcd", b"x")


def test_a_line_is_by_a_key_only_if_name_and_id_agree() -> None:
    assert Signature(KEY.name, KEY.key_id, b"x").is_by(KEY)
    assert not Signature("other", KEY.key_id, b"x").is_by(KEY)
    assert not Signature(KEY.name, b"\x00\x00\x00\x00", b"x").is_by(KEY)


def test_the_id_of_a_key_depends_on_name_type_and_key() -> None:
    keys = {
        KEY.key_id,
        VerifierKey("b", KEY.type, KEY.public).key_id,
        VerifierKey(KEY.name, KeyType.ED25519_COSIGNATURE, KEY.public).key_id,
        VerifierKey(KEY.name, KEY.type, KEY.public[::-1]).key_id,
    }
    assert len(keys) == 4


@pytest.mark.parametrize("at", range(len(KEY.name), len(str(KEY))))
def test_no_character_of_a_vkey_can_be_another(at: int) -> None:
    text = str(KEY)
    for other in "A0g+/= \n":
        changed = text[:at] + other + text[at + 1 :]
        if changed != text:
            with pytest.raises(MalformedError):
                VerifierKey.parse(changed)


def spelt(kind: int, public: bytes, name: str = "k") -> str:
    """A vkey with the right ID for this type and key, whatever they are."""
    content = bytes([kind]) + public
    key_id = hashlib.sha256(name.encode() + b"\n" + content).hexdigest()[:8]
    return f"{name}+{key_id}+{base64.b64encode(content).decode()}"


def test_keys_of_unknown_types_and_wrong_lengths_are_refused() -> None:
    assert VerifierKey.parse(spelt(1, bytes(32))).public == bytes(32)
    assert VerifierKey.parse(spelt(6, bytes(1312))).type is KeyType.MLDSA44_COSIGNATURE
    for wrong in (
        spelt(0, bytes(32)),
        spelt(2, bytes(32)),
        spelt(5, bytes(32)),
        spelt(255, bytes(32)),
        spelt(1, bytes(31)),
        spelt(1, bytes(33)),
        spelt(4, bytes(1312)),
        spelt(6, bytes(32)),
        spelt(1, b""),
        spelt(1, bytes(32)).replace("+", "", 1),
        spelt(1, bytes(32)).upper(),
        "k+00000000+",
    ):
        with pytest.raises(MalformedError):
            VerifierKey.parse(wrong)


# -------------------------------------------------------------------------- base64


@given(st.binary(max_size=40))
def test_bytes_have_one_spelling_in_base64(content: bytes) -> None:
    text = base64.b64encode(content).decode()
    assert from_base64(text, "x") == content
    for other in (text.rstrip("="), text + "=", text + "\n", " " + text, text.replace("A", "A\n")):
        if other != text:
            with pytest.raises(MalformedError):
                from_base64(other, "x")


@pytest.mark.parametrize(
    "text", ["AB==", "AAB=", "AA", "A", "AA=A", "=", "==", "AA==AA==", "AA-_", "\u0410AAA", "A A="]
)
def test_base64_with_bits_to_spare_or_another_alphabet_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        from_base64(text, "x")
