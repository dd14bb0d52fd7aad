"""The Merkle tree's hashes and checks: known answers, a naive second opinion, and sabotage."""

import base64
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from evidence_store.errors import ProofError
from evidence_store.ledger.merkle import (
    EMPTY_ROOT,
    SIZE_MAX,
    Frontier,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.naive_tree import (
    naive_consistency,
    naive_inclusion,
    naive_leaf,
    naive_root,
    way_of_consistency,
    way_of_inclusion,
)

LEAVES = [naive_leaf(bytes([number])) for number in range(40)]
SHARED = Path(os.environ.get("EVIDENCE_SHARED", Path(__file__).parents[3] / "shared"))
VECTORS = SHARED / "vectors" / "merkle"
needs_vectors = pytest.mark.skipif(
    not VECTORS.is_dir(), reason="needs the vectors of transparency-dev: set EVIDENCE_SHARED"
)


def holds(check: Callable[..., None], *arguments: object) -> bool:
    try:
        check(*arguments)
    except ProofError:
        return False
    return True


def flipped(hashes: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Everything that differs from these hashes by one bit."""
    for place, bit in itertools.product(range(len(hashes)), range(256)):
        number = int.from_bytes(hashes[place], "big") ^ 1 << bit
        yield [*hashes[:place], number.to_bytes(32, "big"), *hashes[place + 1 :]]


# ------------------------------------------------------------------------- vectors


def test_the_roots_of_the_first_certificate_logs_are_ours() -> None:
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
               "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
    roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    leaves = [leaf_hash(bytes.fromhex(entry)) for entry in entries]
    assert [root_of(leaves[:size]).hex() for size in range(9)] == roots
    assert [naive_root(leaves[:size]).hex() for size in range(9)] == roots


def decoded(case: dict[str, Any], name: str) -> bytes:
    return base64.b64decode(case[name] or "")


def judged(kind: str) -> Iterator[tuple[str, bool, bool]]:
    """Each vector of a kind: what it says, whether it is to be accepted, whether we do."""
    for path in sorted((VECTORS / kind).rglob("*.json")):
        case = json.loads(path.read_text())
        proof = [base64.b64decode(each) for each in case["proof"] or ()]
        if kind == "inclusion":
            ours = holds(
                verify_inclusion, decoded(case, "leafHash"), case["leafIdx"], case["treeSize"],
                proof, decoded(case, "root"),
            )  # fmt: skip
        else:
            ours = holds(
                verify_consistency, case["size1"], case["size2"], decoded(case, "root1"),
                decoded(case, "root2"), proof,
            )  # fmt: skip
        yield case["desc"], not case["wantErr"], ours


@needs_vectors
def test_every_vector_of_inclusion_is_judged_as_its_authors_do() -> None:
    judgments = list(judged("inclusion"))
    assert [each for each in judgments if each[1] != each[2]] == []
    assert {theirs for _, theirs, _ in judgments} == {True, False}


@needs_vectors
def test_every_vector_of_consistency_is_judged_as_its_authors_do_but_for_roots_that_are_none() -> (
    None
):
    judgments = list(judged("consistency"))
    differing = [(said, ours) for said, theirs, ours in judgments if theirs != ours]
    assert differing == [("sizes are equal (one) and proof is empty", False)]  # of 12 bytes
    assert {theirs for _, theirs, _ in judgments} == {True, False}


# ---------------------------------------------------------------- the second opinion


def test_every_proof_of_a_naive_tree_holds() -> None:
    for size in range(1, len(LEAVES) + 1):
        leaves = LEAVES[:size]
        root = naive_root(leaves)
        assert root_of(leaves) == root
        for index in range(size):
            verify_inclusion(leaves[index], index, size, naive_inclusion(index, leaves), root)
        for older in range(1, size + 1):
            proof = naive_consistency(older, leaves)
            verify_consistency(older, size, naive_root(LEAVES[:older]), root, proof)


def test_a_proof_of_inclusion_holds_for_no_other_place() -> None:
    places = [(index, size) for size in range(1, 12) for index in range(size)]
    for index, size in places:
        leaves = LEAVES[:size]
        proof, root = naive_inclusion(index, leaves), naive_root(leaves)
        held = {
            place for place in places if holds(verify_inclusion, leaves[index], *place, proof, root)
        }
        # Hashes tell the way only; it is the signed size that tells which of these it is.
        way = way_of_inclusion(index, size)
        assert held == {place for place in places if way_of_inclusion(*place) == way}
        assert [place for place in held if place[1] == size] == [(index, size)]


def test_a_proof_of_consistency_holds_for_no_other_sizes() -> None:
    pairs = list(itertools.combinations(range(1, 11), 2))
    for older, size in pairs:
        proof = naive_consistency(older, LEAVES[:size])
        roots = naive_root(LEAVES[:older]), naive_root(LEAVES[:size])
        held = {pair for pair in pairs if holds(verify_consistency, *pair, *roots, proof)}
        way = way_of_consistency(older, size)
        assert held == {pair for pair in pairs if way_of_consistency(*pair) == way}


# ------------------------------------------------------------------------- sabotage


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (2, 3), (4, 7), (6, 7), (3, 8)])
def test_one_bit_of_a_leaf_a_root_or_a_proof_of_inclusion_is_missed(index: int, size: int) -> None:
    leaves = LEAVES[:size]
    whole = [leaves[index], naive_root(leaves), *naive_inclusion(index, leaves)]
    for leaf, root, *proof in flipped(whole):
        assert not holds(verify_inclusion, leaf, index, size, proof, root)


@pytest.mark.parametrize(("older", "size"), [(1, 2), (2, 3), (3, 7), (4, 7), (6, 8), (7, 8)])
def test_one_bit_of_a_root_or_a_proof_of_consistency_is_missed(older: int, size: int) -> None:
    leaves = LEAVES[:size]
    whole = [naive_root(leaves[:older]), naive_root(leaves), *naive_consistency(older, leaves)]
    for root1, root2, *proof in flipped(whole):
        assert not holds(verify_consistency, older, size, root1, root2, proof)


def test_a_proof_that_is_short_long_or_out_of_order_is_refused() -> None:
    leaves, root = LEAVES[:13], naive_root(LEAVES[:13])
    inclusion, consistency = naive_inclusion(5, leaves), naive_consistency(5, leaves)
    old_root = naive_root(leaves[:5])
    for proof in wrong(inclusion):
        assert not holds(verify_inclusion, leaves[5], 5, 13, proof, root)
    for proof in wrong(consistency):
        assert not holds(verify_consistency, 5, 13, old_root, root, proof)


def wrong(proof: list[bytes]) -> list[list[bytes]]:
    return [
        [],
        proof[1:],
        proof[:-1],
        proof[::-1],
        [*proof, proof[-1]],
        [proof[0], *proof],
        [*proof[:-1], proof[-1][:-1]],
        [*proof[:-1], proof[-1] + b"\x00"],
        [*proof, b""],
        proof * 100,
    ]


def test_bytes_that_moved_from_one_hash_into_its_neighbour_are_refused() -> None:
    # The same bytes are hashed, so that only their lengths can tell.
    left, right = LEAVES[:2]
    root = naive_root(LEAVES[:2])
    assert not holds(verify_inclusion, left[:31], 0, 2, [left[31:] + right], root)
    assert not holds(verify_inclusion, left + right[:1], 0, 2, [right[1:]], root)
    assert not holds(verify_inclusion, left + right, 0, 2, [b""], root)
    assert not holds(verify_consistency, 1, 2, left[:31], root, [left[31:] + right])


@pytest.mark.parametrize(
    ("index", "size"),
    [(-1, 1), (0, 0), (1, 1), (0, -1), (0, SIZE_MAX + 1), (2**64, 2**64 + 1)],
)
def test_a_place_outside_the_tree_is_refused(index: int, size: int) -> None:
    assert not holds(verify_inclusion, LEAVES[0], index, size, [], LEAVES[0])


@pytest.mark.parametrize(
    ("older", "size", "root1", "root2", "proof"),
    [
        (0, 4, LEAVES[0], naive_root(LEAVES[:4]), []),
        (0, 4, EMPTY_ROOT, naive_root(LEAVES[:4]), [LEAVES[0]]),
        (0, 0, EMPTY_ROOT, LEAVES[0], []),
        (4, 4, naive_root(LEAVES[:4]), naive_root(LEAVES[:5]), []),
        (4, 4, naive_root(LEAVES[:4]), naive_root(LEAVES[:4]), [LEAVES[0]]),
        (4, 3, naive_root(LEAVES[:4]), naive_root(LEAVES[:3]), []),
        (-1, 4, EMPTY_ROOT, naive_root(LEAVES[:4]), []),
        (1, SIZE_MAX + 1, LEAVES[0], LEAVES[1], [LEAVES[2]]),
        (1, 2, LEAVES[0], naive_root(LEAVES[:2]), []),
    ],
)
def test_trees_that_cannot_follow_each_other_are_refused(
    older: int, size: int, root1: bytes, root2: bytes, proof: list[bytes]
) -> None:
    assert not holds(verify_consistency, older, size, root1, root2, proof)


def test_every_tree_follows_from_none_and_from_itself_without_a_proof() -> None:
    root = naive_root(LEAVES)
    verify_consistency(0, 40, EMPTY_ROOT, root, [])
    verify_consistency(40, 40, root, root, [])
    verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])


@pytest.mark.parametrize("count", [*range(20), 255, 256, 257])
def test_a_frontier_has_the_root_of_everything_it_took_in(count: int) -> None:
    leaves = [leaf_hash(number.to_bytes(2, "big")) for number in range(count)]
    frontier = Frontier()
    for each in leaves:
        frontier.append(each)
    assert (frontier.root(), frontier.size) == (root_of(leaves), count)
