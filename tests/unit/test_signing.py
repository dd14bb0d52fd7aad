"""Signatures over checkpoints: what they cover, bit by bit, and keys under which they mean nothing."""

import contextlib
import dataclasses
import itertools
import struct

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from evidence_store.errors import MalformedError, ProofError
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.note import KeyType, Note, Signature, VerifierKey
from evidence_store.ledger.signing import Signer, verified_by, verify_ed25519

NAME = "witness.invalid/a"
CHECKPOINT = Checkpoint("log.invalid/si", 41, bytes(range(32)))
AT = 1_700_000_000
ED25519 = Ed25519PrivateKey.from_private_bytes(b"e" * 32)
MLDSA = MLDSA44PrivateKey.from_seed_bytes(b"m" * 32)
SIGNERS = {
    KeyType.ED25519: Signer(
        VerifierKey(NAME, KeyType.ED25519, ED25519.public_key().public_bytes_raw()), ED25519
    ),
    KeyType.ED25519_COSIGNATURE: Signer(
        VerifierKey(NAME, KeyType.ED25519_COSIGNATURE, ED25519.public_key().public_bytes_raw()),
        ED25519,
    ),
    KeyType.MLDSA44_COSIGNATURE: Signer(
        VerifierKey(NAME, KeyType.MLDSA44_COSIGNATURE, MLDSA.public_key().public_bytes_raw()), MLDSA
    ),
}
COSIGNERS = [SIGNERS[KeyType.ED25519_COSIGNATURE], SIGNERS[KeyType.MLDSA44_COSIGNATURE]]
every_type = pytest.mark.parametrize(
    "signer", SIGNERS.values(), ids=[each.name for each in SIGNERS]
)
cosigners = pytest.mark.parametrize("signer", COSIGNERS, ids=lambda each: each.key.type.name)


def note_of(line: Signature, checkpoint: Checkpoint = CHECKPOINT) -> Note:
    return Note(checkpoint.text, (line,))


def refuses(key: VerifierKey, note: Note) -> bool:
    try:
        verified_by(note, key)
    except ProofError:
        return True
    return False


@every_type
def test_a_signature_verifies_with_its_time(signer: Signer) -> None:
    at = 0 if signer.key.type is KeyType.ED25519 else AT
    assert verified_by(note_of(signer.sign(CHECKPOINT, AT)), signer.key) == at


def test_what_is_signed_is_what_the_standard_spells() -> None:
    text = CHECKPOINT.text.encode()
    public = ED25519.public_key()
    public.verify(SIGNERS[KeyType.ED25519].sign(CHECKPOINT, AT).value, text)
    value = SIGNERS[KeyType.ED25519_COSIGNATURE].sign(CHECKPOINT, AT).value
    assert value[:8] == AT.to_bytes(8, "big")
    public.verify(value[8:], b"cosignature/v1\ntime 1700000000\n" + text)
    value = SIGNERS[KeyType.MLDSA44_COSIGNATURE].sign(CHECKPOINT, AT).value
    assert value[:8] == AT.to_bytes(8, "big")
    MLDSA.public_key().verify(
        value[8:],
        b"subtree/v1\n\x00\x11witness.invalid/a"
        + struct.pack(">Q", AT)
        + b"\x0elog.invalid/si"
        + struct.pack(">QQ", 0, 41)
        + bytes(range(32)),
    )


@every_type
def test_a_signature_covers_origin_size_and_root(signer: Signer) -> None:
    line = signer.sign(CHECKPOINT, AT)
    for other in (
        dataclasses.replace(CHECKPOINT, origin="log.invalid/sj"),
        dataclasses.replace(CHECKPOINT, size=42),
        *(
            dataclasses.replace(
                CHECKPOINT, root=(int.from_bytes(CHECKPOINT.root) ^ 1 << bit).to_bytes(32)
            )
            for bit in (0, 7, 100, 255)
        ),
    ):
        assert refuses(signer.key, note_of(line, other))


@every_type
def test_a_signature_with_another_bit_or_length_is_refused(signer: Signer) -> None:
    line = signer.sign(CHECKPOINT, AT)
    step = max(1, len(line.value) // 40)
    for at, bit in itertools.product(range(0, len(line.value), step), (0, 7)):
        value = bytearray(line.value)
        value[at] ^= 1 << bit
        changed = dataclasses.replace(line, value=bytes(value))
        assert refuses(signer.key, note_of(changed))  # the time's bits are covered, too
    for other in (line.value[:-1], line.value + b"\x00", line.value[:8], line.value[:7], b"x"):
        assert refuses(signer.key, note_of(dataclasses.replace(line, value=other)))


@cosigners
@pytest.mark.parametrize("at", [0, 253_402_300_800, 2**63, 2**64 - 1])
def test_a_cosignature_at_no_time_that_can_be_written_is_refused(signer: Signer, at: int) -> None:
    assert refuses(signer.key, note_of(signer.sign(CHECKPOINT, at)))


@cosigners
def test_the_earliest_of_several_times_counts_and_each_line_must_be_good(signer: Signer) -> None:
    lines = tuple(signer.sign(CHECKPOINT, at) for at in (AT + 9, AT, AT + 5))
    assert verified_by(Note(CHECKPOINT.text, lines), signer.key) == AT
    value = lines[0].value
    bad = dataclasses.replace(lines[0], value=value[:-1] + bytes([value[-1] ^ 1]))
    assert refuses(signer.key, Note(CHECKPOINT.text, (*lines, bad)))


def test_a_signature_of_one_kind_is_none_of_another() -> None:
    note, cosignature = SIGNERS[KeyType.ED25519], SIGNERS[KeyType.ED25519_COSIGNATURE]
    value = note.sign(CHECKPOINT, AT).value
    line = Signature(NAME, cosignature.key.key_id, struct.pack(">Q", AT) + value)
    assert refuses(cosignature.key, note_of(line))
    value = cosignature.sign(CHECKPOINT, AT).value[8:]
    assert refuses(note.key, note_of(Signature(NAME, note.key.key_id, value)))


def test_a_cosignature_of_the_larger_kind_covers_its_signers_name() -> None:
    signer = SIGNERS[KeyType.MLDSA44_COSIGNATURE]
    other = dataclasses.replace(signer.key, name="witness.invalid/b")
    line = signer.sign(CHECKPOINT, AT)
    assert refuses(other, note_of(Signature(other.name, other.key_id, line.value)))


@every_type
def test_lines_of_others_say_nothing_of_a_key(signer: Signer) -> None:
    line = signer.sign(CHECKPOINT, AT)
    garbage = bytes(len(line.value))
    for stranger in (
        Signature("other", line.key_id, garbage),
        Signature(line.name, b"\x00\x00\x00\x00", garbage),
    ):
        assert verified_by(note_of(stranger), signer.key) is None


@every_type
def test_only_checkpoints_are_verified(signer: Signer) -> None:
    with pytest.raises(MalformedError):
        verified_by(Note("words\n", (signer.sign(CHECKPOINT, AT),)), signer.key)


# --------------------------------------------------- keys under which anything verifies

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def added(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    """The sum of two points of the curve (RFC 8032, section 5.1.4, in affine coordinates)."""
    (x1, y1), (x2, y2) = one, two
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def root(square: int) -> int | None:
    found = pow(square, (P + 3) // 8, P)
    for each in (found, found * pow(2, (P - 1) // 4, P) % P):
        if each * each % P == square % P:
            return each
    return None


def small_order() -> set[tuple[int, int]]:
    """The eight points whose order divides 8: any point, times the group's prime order."""
    prime = 2**252 + 27742317777372353535851937790883648493
    for y in range(2, 100):
        x = root((y * y - 1) * pow(D * y * y + 1, -1, P))
        if x is None:
            continue
        point, found = (x, y), (0, 1)
        for bit in f"{prime:b}":
            found = added(found, found)
            if bit == "1":
                found = added(found, point)
        points, each = {(0, 1)}, found
        while each not in points:
            points.add(each)
            each = added(each, found)
        if len(points) == 8:
            return points
    raise AssertionError("the curve has a point of order 8")


def spellings() -> set[bytes]:
    """Every 32 bytes that a lenient reader takes for a point of small order."""
    ys = {y for _, y in small_order()} | {y + P for _, y in small_order() if y + P < 2**255}
    return {(y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1)}


def test_no_spelling_of_a_key_of_small_order_verifies_anything() -> None:
    neutral = (1).to_bytes(32, "little") + bytes(32)
    keys = spellings()
    assert len(keys) == 14
    forged = set()  # what the library alone accepts, though nobody signed it
    for key, number in itertools.product(keys, range(30)):
        message = b"message %d" % number
        with contextlib.suppress(InvalidSignature, ValueError):
            Ed25519PublicKey.from_public_bytes(key).verify(neutral, message)
            forged.add((key, message))
        with pytest.raises(ProofError):
            verify_ed25519(key, neutral, message)
    assert len(forged) > 30  # otherwise this test would show nothing


@pytest.mark.parametrize("y", range(P, 2**255))
def test_a_key_is_not_spelt_with_a_number_beyond_the_field(y: int) -> None:
    for sign in (0, 1):
        with pytest.raises(ProofError):
            verify_ed25519((y | sign << 255).to_bytes(32, "little"), bytes(64), b"message")


def test_a_signature_has_one_spelling() -> None:
    prime = 2**252 + 27742317777372353535851937790883648493
    public, signature = ED25519.public_key().public_bytes_raw(), ED25519.sign(b"message")
    verify_ed25519(public, signature, b"message")
    second = int.from_bytes(signature[32:], "little") + prime
    with pytest.raises(ProofError):
        verify_ed25519(public, signature[:32] + second.to_bytes(32, "little"), b"message")


def test_a_key_of_another_length_is_refused() -> None:
    for public in (b"", b"\x02" * 31, b"\x02" * 33):
        with pytest.raises(ProofError):
            verify_ed25519(public, bytes(64), b"message")
