"""Tiles: whichever way a log grew, its files are those of tlog-tiles and its proofs the naive ones."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.errors import LedgerAlteredError, MalformedError, NotFoundError, ProofError
from evidence_store.ledger.merkle import EMPTY_ROOT, verify_inclusion
from evidence_store.ledger.tiles import (
    ENTRY_BYTES_MAX,
    TileTree,
    bundle_path,
    grown,
    packed,
    tile_path,
    unpacked,
)
from tests.naive_tree import naive_consistency, naive_inclusion, naive_leaf, naive_root


@dataclass
class Files:
    """A log's files in memory, and which of them were read."""

    content: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    size: int = 0

    def read(self, path: str) -> bytes:
        self.asked.append(path)
        try:
            return self.content[path]
        except KeyError:
            raise NotFoundError(path) from None

    def tree(self) -> TileTree:
        return TileTree(self.read, self.size)

    def grow(self, entries: Sequence[bytes]) -> dict[str, bytes]:
        number, width = divmod(self.size, 256)
        bundle = unpacked(self.read(bundle_path(number, width))) if width else []
        self.size, files = grown(self.tree(), bundle, entries)
        self.content |= files
        return files


def entry(number: int) -> bytes:
    return b"entry %d" % number


def log_of(*batches: int) -> Files:
    files = Files()
    for batch in batches:
        files.grow([entry(files.size + number) for number in range(batch)])
    return files


def expected_files(size: int) -> dict[str, bytes]:
    """What tlog-tiles says a log of this size must serve, by its definition of a tile's hashes."""
    files = {}
    level, hashes = 0, [naive_leaf(entry(number)) for number in range(size)]
    while hashes:
        rows = [hashes[at : at + 256] for at in range(0, len(hashes), 256)]
        for number, row in enumerate(rows):
            files[tile_path(level, number, len(row))] = b"".join(row)
        level, hashes = level + 1, [naive_root(row) for row in rows if len(row) == 256]
    for at in range(0, size, 256):
        bundle = [entry(number) for number in range(at, min(at + 256, size))]
        files[bundle_path(at // 256, len(bundle))] = b"".join(
            bytes([0, len(each)]) + each for each in bundle
        )
    return files


# -------------------------------------------------------------------------- growing


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=5), st.data())
def test_however_a_log_grew_its_files_and_proofs_are_the_naive_ones(
    batches: list[int], data: st.DataObject
) -> None:
    files = Files()
    for batch in batches:
        before = dict(files.content)
        new = files.grow([entry(files.size + number) for number in range(batch)])
        assert new.keys().isdisjoint(before)  # what was once published never changes
        assert expected_files(files.size).items() <= files.content.items()
    leaves = [naive_leaf(entry(number)) for number in range(files.size)]
    tree = files.tree()
    size = data.draw(st.integers(1, files.size))
    index, older = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert tree.root_at(size) == naive_root(leaves[:size])
    assert tree.inclusion(index, size) == naive_inclusion(index, leaves[:size])
    assert tree.consistency(older, size) == naive_consistency(older, leaves[:size])
    assert tree.leaf_hashes(index, size) == leaves[index:size]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512])
def test_the_edges_of_tiles_are_served_exactly(size: int) -> None:
    assert log_of(size).content == expected_files(size)


def test_a_log_of_three_levels_has_the_files_that_the_standard_counts() -> None:
    files = log_of(65_536, 4_464)
    hashes = {path for path in files.content if "entries" not in path}
    first = {path for path in hashes if path.startswith("tile/0/")}
    assert len(first) == 274
    assert "tile/0/273.p/112" in first
    assert {path for path in hashes - first if path.startswith("tile/1/")} == {
        "tile/1/000",
        "tile/1/001.p/17",
    }
    assert {path for path in hashes if path.startswith("tile/2/")} == {"tile/2/000.p/1"}
    leaves = [naive_leaf(entry(number)) for number in range(70_000)]
    tree = files.tree()
    assert tree.root() == naive_root(leaves)
    for index in (0, 65_535, 65_536, 69_999):
        files.asked.clear()
        proof = files.tree().inclusion(index)
        assert len(files.asked) == len(set(files.asked)) <= 6  # logarithmic: edge and way
        verify_inclusion(leaves[index], index, 70_000, proof, tree.root())
    files.asked.clear()
    files.tree().consistency(65_537)
    assert len(files.asked) <= 6


def test_growing_reads_the_right_edge_only() -> None:
    files = log_of(65_536, 300)
    files.asked.clear()
    files.grow([b"one more"])
    # An edge is read where hashes arrive; nothing arrives above a tile that is not yet full.
    assert files.asked == [bundle_path(257, 44), "tile/0/257.p/44"]


def test_a_log_without_entries_has_the_root_of_nothing() -> None:
    assert Files().tree().root() == EMPTY_ROOT
    assert grown(Files().tree(), (), ()) == (0, {})


def test_partial_tiles_may_be_gone_once_the_full_one_is_there() -> None:
    files = log_of(300, 300)
    root = files.tree().root_at(300)
    for path in [path for path in files.content if ".p/" in path]:
        if path.split(".p/")[0] in files.content:
            del files.content[path]
    older = TileTree(files.read, 300)
    assert older.root() == root  # of tile 1 it takes the first 44 of 256
    assert files.asked.index("tile/0/001.p/44") < files.asked.index("tile/0/001")


# ------------------------------------------------------------------------- sabotage


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2"])
def test_a_bit_changed_in_a_tile_changes_a_root_or_breaks_a_proof(path: str) -> None:
    root = log_of(600).tree().root()
    chance = random.Random(5)  # noqa: S311 - which bits, not secrets
    for _ in range(50):
        files = log_of(600)
        bit = chance.randrange(len(files.content[path]) * 8)
        changed = bytearray(files.content[path])
        changed[bit // 8] ^= 1 << bit % 8
        files.content[path] = bytes(changed)
        if path.startswith("tile/0/000"):
            # A full tile's hash is in the level above: proofs through it lead elsewhere.
            index = bit // 256
            leaf, proof = naive_leaf(entry(index)), files.tree().inclusion(index ^ 1)
            with pytest.raises(ProofError):
                verify_inclusion(naive_leaf(entry(index ^ 1)), index ^ 1, 600, proof, root)
            assert files.tree().leaf_hashes(index, index + 1) != [leaf]
        else:
            assert files.tree().root() != root


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:-32],
        lambda content: content + bytes(1),
        lambda content: content + bytes(32),
        lambda _: b"",
    ],
    ids=["a byte short", "a hash short", "a byte long", "a hash long", "empty"],
)
@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2"])
def test_a_tile_of_another_length_is_refused(path: str, damage: object) -> None:
    files = log_of(600)
    files.content[path] = damage(files.content[path])  # type: ignore[operator] # one of the above
    with pytest.raises(LedgerAlteredError):
        _ = (files.tree().root(), files.tree().leaf_hashes(0, 1))


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2"])
def test_a_tile_that_is_gone_is_refused(path: str) -> None:
    files = log_of(600)
    del files.content[path]
    with pytest.raises(LedgerAlteredError):
        _ = (files.tree().root(), files.tree().leaf_hashes(0, 1))


def test_nothing_beyond_the_tree_is_proved() -> None:
    tree = log_of(300).tree()
    for index, size in ((-1, 300), (300, 300), (5, 5), (0, 301), (0, -1)):
        with pytest.raises(MalformedError):
            tree.inclusion(index, size)
    for older, size in ((-1, 300), (301, 300), (0, 301), (5, 4)):
        with pytest.raises(MalformedError):
            tree.consistency(older, size)
    for size in (-1, 301):
        with pytest.raises(MalformedError):
            tree.root_at(size)


# -------------------------------------------------------------------------- bundles


@given(st.binary(max_size=600))
def test_bytes_are_a_bundle_in_one_way_or_in_none(content: bytes) -> None:
    try:
        entries = unpacked(content)
    except MalformedError:
        return
    assert packed(entries) == content


@pytest.mark.parametrize("rest", [b"\x00", b"\x01", b"\x00\x01", b"\x00\x02x", b"\xff\xff"])
def test_a_bundle_that_was_cut_is_refused(rest: bytes) -> None:
    for before in (b"", packed([b"", b"entry"])):
        with pytest.raises(MalformedError):
            unpacked(before + rest)


def test_an_entry_fits_its_length_of_two_bytes_or_is_refused() -> None:
    largest = bytes(ENTRY_BYTES_MAX)
    assert unpacked(packed([largest, b""])) == [largest, b""]
    with pytest.raises(MalformedError):
        packed([largest + b"\x00"])


@pytest.mark.parametrize(
    ("number", "width", "path"),
    [
        (0, 256, "tile/entries/000"),
        (999, 1, "tile/entries/999.p/1"),
        (1_000, 255, "tile/entries/x001/000.p/255"),
        (1_234_067, 256, "tile/entries/x001/x234/067"),
        (1_000_000_000, 256, "tile/entries/x001/x000/x000/000"),
    ],
)
def test_bundles_lie_where_tlog_tiles_says(number: int, width: int, path: str) -> None:
    assert bundle_path(number, width) == path
    assert tile_path(63, number, width) == path.replace("entries", "63")
