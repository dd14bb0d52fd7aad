"""Proof files: read as they were written, bound to one entry, one place and one signed tree."""

import base64
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.errors import EvidenceError, MalformedError, ProofError
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.note import Note
from evidence_store.ledger.policy import Policy
from evidence_store.ledger.proof import HASHES_MAX, LogProof
from tests.naive_tree import naive_inclusion, naive_leaf, naive_root, way_of_inclusion
from tests.signing import HeldKeys

ORIGIN = "log.invalid/si"
SIGNERS = HeldKeys().log_signers(ORIGIN)
POLICY = Policy.parse("".join(f"log {each.key}\n" for each in SIGNERS) + "quorum none\n")
ENTRIES = [b"entry %d" % number for number in range(21)]
LEAVES = [naive_leaf(each) for each in ENTRIES]


def note_of(size: int) -> Note:
    checkpoint = Checkpoint(ORIGIN, size, naive_root(LEAVES[:size]))
    return Note(checkpoint.text, tuple(each.sign(checkpoint, 1_700_000_000) for each in SIGNERS))


def proof_of(index: int, size: int) -> LogProof:
    return LogProof(index, tuple(naive_inclusion(index, LEAVES[:size])), note_of(size))


PROOF = proof_of(13, 21)
TEXT = str(PROOF).encode()


def refuses(proof: LogProof, entry: bytes = ENTRIES[13]) -> bool:
    try:
        proof.verify(entry, POLICY)
    except ProofError:
        return True
    return False


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (1, 2), (13, 21), (20, 21)])
def test_a_proof_is_read_as_it_was_written_and_holds(index: int, size: int) -> None:
    written = proof_of(index, size)
    proof = LogProof.parse(str(written).encode())
    assert proof == written
    assert proof.verify(ENTRIES[index], POLICY).checkpoint.size == size


def test_a_proof_is_spelt_as_the_standard_shows() -> None:
    lines = TEXT.decode().split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 13"]
    assert [base64.b64decode(each) for each in lines[2:7]] == list(PROOF.hashes)
    assert lines[7] == ""
    assert "\n".join(lines[8:]).encode() == PROOF.note.encode()


def test_a_proof_holds_for_no_other_entry_place_or_tree() -> None:
    assert not refuses(PROOF)
    assert refuses(PROOF, b"another entry")
    assert refuses(PROOF, LEAVES[13])
    for index in (*range(13), *range(14, 21), -1, 21, 2**63):
        assert refuses(dataclasses.replace(PROOF, index=index))
    for place, bit in ((place, bit) for place in range(len(PROOF.hashes)) for bit in (0, 100, 255)):
        hashes = list(PROOF.hashes)
        hashes[place] = (int.from_bytes(hashes[place]) ^ 1 << bit).to_bytes(32)
        assert refuses(dataclasses.replace(PROOF, hashes=tuple(hashes)))
    for other in (PROOF.hashes[1:], PROOF.hashes[:-1], (*PROOF.hashes, bytes(32)), ()):
        assert refuses(dataclasses.replace(PROOF, hashes=other))


def test_the_size_of_the_tree_is_bound_by_the_signature() -> None:
    checkpoint = Checkpoint.of(PROOF.note)
    same_way = [
        size for size in range(14, 40) if way_of_inclusion(13, size) == way_of_inclusion(13, 21)
    ]
    assert len(same_way) > 1  # the hashes alone cannot tell these trees apart
    for size in range(40):
        if size != 21:
            other = dataclasses.replace(checkpoint, size=size)
            assert refuses(dataclasses.replace(PROOF, note=Note(other.text, PROOF.note.signatures)))


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 7))
def test_no_bit_of_a_proof_can_be_another(at: int, bit: int) -> None:
    changed = bytearray(TEXT)
    changed[at] ^= 1 << bit
    with pytest.raises(EvidenceError):
        LogProof.parse(bytes(changed)).verify(ENTRIES[13], POLICY)


@given(st.data())
def test_whatever_is_read_as_a_proof_is_spelt_as_it_was_read(data: st.DataObject) -> None:
    content = bytearray(str(proof_of(2, 3)).encode())
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"\n", b" ", b"=", b"0", b"\r\n", b""]) | st.binary(max_size=2)
        )
    try:
        proof = LogProof.parse(bytes(content))
    except MalformedError:
        return
    assert str(proof).encode() == bytes(content)


@pytest.mark.parametrize(
    "index", ["", "013", "-1", "+1", "1 ", " 1", "0x1", "1_0", "\u0661", "9" * 20]
)
def test_an_index_has_one_spelling(index: str) -> None:
    with pytest.raises(MalformedError):
        LogProof.parse(TEXT.replace(b"index 13", f"index {index}".encode()))


def test_what_is_not_signed_is_passed_over_but_must_be_spelt_well() -> None:
    head = b"c2sp.org/tlog-proof@v1\n"
    assert LogProof.parse(TEXT.replace(head, head + b"extra YWJj\n")) == PROOF
    for extra in (
        b"extra\n",
        b"extra ?\n",
        b"extra YWJ\n",
        b"extra YWJj\nextra YWJj\n",
        b"extra  YWJj\n",
    ):
        with pytest.raises(MalformedError):
            LogProof.parse(TEXT.replace(head, head + extra))


def test_what_is_no_proof_is_refused() -> None:
    for content in (
        b"",
        b"\n\n",
        b"c2sp.org/tlog-proof@v1",
        b"c2sp.org/tlog-proof@v1\n\n" + PROOF.note.encode(),
        b"c2sp.org/tlog-proof@v1\nextra YWJj\n\n" + PROOF.note.encode(),
        TEXT.split(b"\n\n")[0],
        TEXT.replace(b"@v1", b"@v2"),
        TEXT.replace(b"index", b"Index"),
        TEXT.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + TEXT,
        b"\n" + TEXT,
        TEXT.replace(base64.b64encode(PROOF.hashes[0]), base64.b64encode(PROOF.hashes[0][:31])),
        TEXT.replace(base64.b64encode(PROOF.hashes[0]), PROOF.hashes[0].hex().encode()),
        TEXT.replace(b"index 13\n", b"index 13\n" + base64.b64encode(bytes(32)) * 2 + b"\n"),
        TEXT.replace(
            b"index 13\n", b"index 13\n" + (base64.b64encode(bytes(32)) + b"\n") * HASHES_MAX
        ),
    ):
        with pytest.raises(MalformedError):
            LogProof.parse(content)


def test_a_proof_against_words_that_are_no_checkpoint_is_refused() -> None:
    words = Note("words\n", PROOF.note.signatures)
    with pytest.raises(MalformedError):
        dataclasses.replace(PROOF, note=words).verify(ENTRIES[13], POLICY)
