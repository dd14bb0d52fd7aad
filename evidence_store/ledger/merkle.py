"""The Merkle tree of RFC 9162, section 2.1, with SHA-256: hashes and the checking of proofs.

A proof lists hashes from the leaf's sibling upwards. Everything is bytes; a check that does
not hold raises, so that nobody can forget to look at an answer.
"""

import hashlib
from collections.abc import Sequence

from evidence_store.errors import ProofError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
SIZE_MAX = 2**63 - 1


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry as a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over two hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes, all at once (RFC 9162, section 2.1.1)."""
    level = list(hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        pairs = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


class Frontier:
    """The right edge of a growing tree: the root over any number of leaves, in constant memory."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[bytes] = []  # roots of perfect subtrees, the largest first

    def append(self, leaf: bytes) -> None:
        """Take in the hash of the next leaf."""
        found, size = leaf, self.size
        while size & 1:
            found, size = node_hash(self._edge.pop(), found), size >> 1
        self._edge.append(found)
        self.size += 1

    def root(self) -> bytes:
        """The root over the leaves so far."""
        if not self._edge:
            return EMPTY_ROOT
        *rest, found = self._edge
        for each in reversed(rest):
            found = node_hash(each, found)
        return found


def root_and_paths(hashes: Sequence[bytes]) -> tuple[bytes, list[tuple[bytes, ...]]]:
    """The root over these leaf hashes, and for each the proof that it is there (2.1.3.1).

    Raises:
        ProofError: if there are none.
    """
    if not hashes:
        raise ProofError("inclusion: expected a leaf")
    if len(hashes) == 1:
        return hashes[0], [()]
    split = 1 << (len(hashes) - 1).bit_length() - 1  # the greatest power of two below
    left, lefts = root_and_paths(hashes[:split])
    right, rights = root_and_paths(hashes[split:])
    paths = [(*each, right) for each in lefts] + [(*each, left) for each in rights]
    return node_hash(left, right), paths


def verify_inclusion(
    leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Insist that the leaf is at this index of the tree with this size and root.

    RFC 9162, section 2.1.3.2. The proof's length follows from index and size.

    Raises:
        ProofError: if it is not, or if anything is not of the form it must have.
    """
    _check_form("inclusion", (root,))
    if root_from(leaf_hash, index, size, proof) != root:
        raise ProofError("inclusion: the proof leads to another root")


def root_from(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a proof leads to.

    Raises:
        ProofError: if anything is not of the form it must have.
    """
    _check_form("inclusion", (leaf_hash, *proof))
    if not 0 <= index < size <= SIZE_MAX:
        raise ProofError(f"inclusion: expected an index below the size {size}, found {index}")
    node, last = index, size - 1
    found = leaf_hash
    for step in proof:
        if last == 0:
            raise ProofError("inclusion: the proof is too long")
        if node & 1 or node == last:
            found = node_hash(step, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, step)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ProofError("inclusion: the proof is too short")
    return found


def verify_consistency(
    size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]
) -> None:
    """Insist that the first tree is the beginning of the second.

    RFC 9162, section 2.1.4.2. Of a tree without entries every tree is a continuation, and a
    tree of itself: both need no proof.

    Raises:
        ProofError: if it is not, or if anything is not of the form it must have.
    """
    _check_form("consistency", (root1, root2, *proof))
    if not 0 <= size1 <= size2 <= SIZE_MAX:
        raise ProofError(f"consistency: expected sizes in order, found {size1} and {size2}")
    if size1 in (0, size2):
        _check_trivial(size1, size2, root1, root2, proof)
        return
    if not proof:
        raise ProofError("consistency: the proof is empty")
    # A full tree is not repeated in the proof.
    steps = [root1, *proof] if size1 & (size1 - 1) == 0 else list(proof)
    found1, found2 = _climbed(size1, size2, steps)
    if found1 != root1:
        raise ProofError("consistency: the proof does not lead to the first root")
    if found2 != root2:
        raise ProofError("consistency: the proof does not lead to the second root")


def _climbed(size1: int, size2: int, steps: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of both trees that a consistency proof leads to."""
    node, last = size1 - 1, size2 - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    found1 = found2 = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofError("consistency: the proof is too long")
        if node & 1 or node == last:
            found1, found2 = node_hash(step, found1), node_hash(step, found2)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found2 = node_hash(found2, step)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ProofError("consistency: the proof is too short")
    return found1, found2


def _check_trivial(
    size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]
) -> None:
    if proof:
        raise ProofError("consistency: expected no proof between these sizes")
    if size1 == 0 and root1 != EMPTY_ROOT:
        raise ProofError("consistency: a tree without entries has another root")
    if size1 == size2 and root1 != root2:
        raise ProofError("consistency: two roots for one size: the log was forked")


def _check_form(what: str, hashes: Sequence[bytes]) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofError(f"{what}: expected hashes of {HASH_BYTES} bytes")
