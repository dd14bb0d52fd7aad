"""The Rust log of witness-log checks our proofs, and we check its log: two readings of one standard.

Its witness is judged beside ours in `tests/integration/test_witness_judge.py`.
"""

import pytest

from evidence_store.errors import ProofError
from evidence_store.ledger.add_checkpoint import AddCheckpoint
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.merkle import verify_consistency, verify_inclusion
from evidence_store.ledger.note import Note, VerifierKey
from evidence_store.ledger.signing import verified_by
from tests.judges.conftest import SIZE, LargeLog, entry
from tests.naive_tree import naive_leaf

rust = pytest.importorskip("witness_log", reason="needs the package witness-log")


def accepts(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    steps = [each.hex() for each in path]
    try:
        return bool(rust.verify_inclusion(leaf.hex(), index, size, steps, root.hex()))
    except (ValueError, rust.WitnessLogError):
        return False


@pytest.mark.parametrize("index", [0, 255, 256, 65_535, 65_536, SIZE - 1])
def test_rust_accepts_our_proof_and_no_changed_one(large: LargeLog, index: int) -> None:
    tree = large.tree()
    path, root, leaf = tree.inclusion(index), tree.root(), naive_leaf(entry(index))
    assert accepts(leaf, index, SIZE, path, root)
    changed = [*path[:-1], path[-1][:-1] + bytes([path[-1][-1] ^ 1])]
    for refused in (
        (naive_leaf(b"other"), index, SIZE, path, root),
        (leaf, index ^ 1, SIZE, path, root),
        (leaf, index, SIZE, changed, root),
        (leaf, index, SIZE, path[:-1], root),
        (leaf, index, SIZE, [*path, path[-1]], root),
        (leaf, index, SIZE, path, leaf),
        (leaf, SIZE, SIZE, path, root),
    ):
        assert not accepts(*refused)
        with pytest.raises(ProofError):
            verify_inclusion(*refused)


def test_we_accept_the_log_that_rust_keeps() -> None:
    log = rust.WitnessLog.resume(bytes(range(32)), 1)
    size = 37
    for number in range(size):
        log.append_intent(b"act %d" % number)
    origin = log.canonical_origin()
    key = VerifierKey.parse(log.c2sp_vkey(origin))
    note = Note.parse(log.sign_c2sp_checkpoint(origin).encode())
    assert str(key) == log.c2sp_vkey(origin)
    assert verified_by(note, key) == 0
    checkpoint = Checkpoint.of(note)
    assert (checkpoint.origin, checkpoint.size) == (origin, size)
    for index in range(size):
        _, _, steps = log.inclusion_proof(index)
        path = [bytes.fromhex(each) for each in steps]
        leaf = bytes.fromhex(log.leaf_hash_hex(index))
        verify_inclusion(leaf, index, size, path, checkpoint.root)
        with pytest.raises(ProofError):
            verify_inclusion(leaf, (index + 1) % size, size, path, checkpoint.root)


def test_we_accept_what_rust_asks_a_witness() -> None:
    log = rust.WitnessLog.resume(bytes(range(32)), 1)
    for number in range(20):
        log.append_intent(b"act %d" % number)
    for older, size in ((0, 20), (1, 20), (7, 20), (16, 20), (19, 20), (8, 13), (20, 20)):
        body = log.add_checkpoint_body_at(size, older).encode()
        request = AddCheckpoint.parse(body)
        assert request.encode() == body
        if older:
            root = bytes.fromhex(log.root_hex_at(older))
            found = request.checkpoint
            verify_consistency(older, size, root, found.root, request.proof)
            with pytest.raises(ProofError):
                verify_consistency(older, size, root[::-1], found.root, request.proof)
