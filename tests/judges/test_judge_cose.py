"""scitt-cose judges our COSE receipts: each field changed by itself is refused."""

from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evidence_store.ledger.cose import receipt
from tests.judges.conftest import SIZE, LargeLog, entry

scitt_cose = pytest.importorskip("scitt_cose", reason="needs the package scitt-cose")

INDEX = 65_500
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"c" * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"d" * 32)


def accepts(content: bytes, index: int = INDEX, private: Ed25519PrivateKey = PRIVATE) -> bool:
    public = private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    found = scitt_cose.verify_receipt(
        content, leaf_entry_hex=entry(index).hex(), log_public_key_pem=pem
    )
    return bool(found.ok)


def made(log: LargeLog, index: int = INDEX, size: int = SIZE) -> bytes:
    tree = log.tree()
    path = tree.inclusion(index, size)
    return receipt(tree.root_at(size), size, index, path, PRIVATE, log.ed25519.key.key_id)


@pytest.mark.parametrize(
    ("index", "size"), [(0, 2), (1, 2), (0, SIZE), (256, 257), (INDEX, SIZE), (SIZE - 1, SIZE)]
)
def test_a_receipt_is_accepted_for_its_entry_and_key_only(
    large: LargeLog, index: int, size: int
) -> None:
    content = made(large, index, size)
    assert accepts(content, index)
    assert not accepts(content, index + 1)
    assert not accepts(content, index, STRANGER)


Proof = list[Any]
CHANGES: dict[str, Callable[[Proof], Proof]] = {
    "another index": lambda proof: [proof[0], proof[1] ^ 1, proof[2]],
    "an index beyond the tree": lambda proof: [proof[0], proof[0], proof[2]],
    "a short path": lambda proof: [*proof[:2], proof[2][:-1]],
    "a long path": lambda proof: [*proof[:2], [*proof[2], proof[2][-1]]],
    "a path in another order": lambda proof: [*proof[:2], proof[2][::-1]],
    "another hash": lambda proof: [*proof[:2], [bytes(32), *proof[2][1:]]],
    "no path": lambda proof: [*proof[:2], []],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_receipt_with_another_proof_is_refused(
    large: LargeLog, change: Callable[[Proof], Proof]
) -> None:
    tagged = cbor2.loads(made(large))
    protected, unprotected, payload, signature = tagged.value
    proof = cbor2.loads(unprotected[396][-1][0])

    def with_proof(proof: Proof) -> bytes:
        value = [protected, {396: {-1: [cbor2.dumps(proof)]}}, payload, signature]
        return cbor2.dumps(cbor2.CBORTag(18, value))

    assert accepts(with_proof(proof))
    assert not accepts(with_proof(change(proof)))


@pytest.mark.parametrize("header", [{1: -7}, {395: 2}, {4: b"another"}, {99: 1}])
def test_a_receipt_with_another_header_is_refused(
    large: LargeLog, header: dict[int, object]
) -> None:
    tagged = cbor2.loads(made(large))
    changed = cbor2.dumps({**cbor2.loads(tagged.value[0]), **header}, canonical=True)
    assert not accepts(cbor2.dumps(cbor2.CBORTag(18, [changed, *tagged.value[1:]])))


def test_a_receipt_with_another_signature_is_refused(large: LargeLog) -> None:
    content = made(large)
    for at in range(1, 65):
        changed = bytearray(content)
        changed[-at] ^= 1
        assert not accepts(bytes(changed))
