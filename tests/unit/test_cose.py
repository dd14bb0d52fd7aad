"""COSE receipts: the form of RFC 9942, and what the signature covers."""

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence_store.errors import MalformedError
from evidence_store.ledger.cose import receipt
from evidence_store.ledger.merkle import verify_inclusion
from tests.naive_tree import naive_inclusion, naive_leaf, naive_root

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"c" * 32)
LEAVES = [naive_leaf(bytes([number])) for number in range(13)]
ROOT = naive_root(LEAVES)


def test_a_receipt_has_the_form_of_the_standard() -> None:
    path = naive_inclusion(5, LEAVES)
    found = cbor2.loads(receipt(ROOT, 13, 5, path, PRIVATE, b"kid"))
    assert found.tag == 18  # COSE_Sign1
    protected, unprotected, payload, signature = found.value
    assert cbor2.loads(protected) == {1: -8, 4: b"kid", 395: 1}
    assert payload is None  # the root is recomputed, never believed
    assert unprotected.keys() == {396}
    (proof,) = unprotected[396][-1]
    size, index, hashes = cbor2.loads(proof)
    verify_inclusion(LEAVES[5], index, size, hashes, ROOT)
    signed = cbor2.dumps(["Signature1", protected, b"", ROOT])
    PRIVATE.public_key().verify(signature, signed)


def test_a_receipt_is_the_same_bytes_each_time() -> None:
    path = naive_inclusion(5, LEAVES)
    once, again = (receipt(ROOT, 13, 5, path, PRIVATE, b"kid") for _ in range(2))
    assert once == again


def test_a_tree_of_one_entry_has_no_receipt() -> None:
    with pytest.raises(MalformedError):
        receipt(LEAVES[0], 1, 0, [], PRIVATE, b"kid")
