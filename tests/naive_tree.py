"""The tree of RFC 9162, section 2.1, word for word: slow, recursive, and written for the tests only.

Shares no line with `evidence_store.ledger`, so that the two can disagree.
"""

import hashlib
from collections.abc import Sequence


def naive_leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH over leaf hashes (2.1.1)."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_inclusion(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH (2.1.3.1)."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*naive_inclusion(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_inclusion(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_consistency(m: int, leaves: Sequence[bytes], *, known: bool = True) -> list[bytes]:
    """PROOF and SUBPROOF (2.1.4.1), for 0 < m <= n."""
    if m == len(leaves):
        return [] if known else [naive_root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*naive_consistency(m, leaves[:k], known=known), naive_root(leaves[k:])]
    return [*naive_consistency(m - k, leaves[k:], known=False), naive_root(leaves[:k])]


def split(size: int) -> int:
    """The largest power of two below the size."""
    k = 1
    while 2 * k < size:
        k *= 2
    return k


def way_of_inclusion(index: int, size: int) -> str:
    """On which side the steps of a proof stand, from the leaf upwards: all that it tells of a place."""
    if size == 1:
        return ""
    k = split(size)
    if index < k:
        return way_of_inclusion(index, k) + "R"
    return way_of_inclusion(index - k, size - k) + "L"


def way_of_consistency(size1: int, size2: int, *, known: bool = True) -> str:
    """Likewise for consistency, with whether it begins at the first root or at a hash of its own."""
    if size1 == size2:
        return "=" if known else "+"
    k = split(size2)
    if size1 <= k:
        return way_of_consistency(size1, k, known=known) + "R"
    return way_of_consistency(size1 - k, size2 - k, known=False) + "L"
