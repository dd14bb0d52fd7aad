"""Tiles (C2SP tlog-tiles): the tree cut into files of 256 hashes, and every proof from them.

A tile of level l holds hashes that each stand for 256^l leaves. Full tiles never change; the
right edge is in partial tiles. The entries themselves are in bundles of 256. Reads are few
and logarithmic: one tile for each level, and the right edge. Knows no files: `Read` is given.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from evidence_store.errors import LedgerAlteredError, MalformedError, NotFoundError
from evidence_store.ledger.merkle import EMPTY_ROOT, HASH_BYTES, leaf_hash, node_hash, root_of

WIDTH = 256
HEIGHT = 8
ENTRY_BYTES_MAX = 65_535

Read = Callable[[str], bytes]
"""The content under a path. Raises NotFoundError if there is none."""


def tile_path(level: int, number: int, width: int = WIDTH) -> str:
    """The path of a tile of hashes; of its first `width`, if it is partial."""
    return f"tile/{level}/{_numbered(number, width)}"


def bundle_path(number: int, width: int = WIDTH) -> str:
    """The path of a bundle of entries."""
    return f"tile/entries/{_numbered(number, width)}"


def _numbered(number: int, width: int) -> str:
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:  # noqa: PLR2004 - groups of three digits
        number //= 1000
        groups.append(f"x{number % 1000:03d}")
    partial = "" if width == WIDTH else f".p/{width}"
    return "/".join(reversed(groups)) + partial


def packed(entries: Sequence[bytes]) -> bytes:
    """A bundle: each entry behind its length.

    Raises:
        MalformedError: if an entry is longer than 65,535 bytes.
    """
    if any(len(entry) > ENTRY_BYTES_MAX for entry in entries):
        raise MalformedError(f"log entry: expected at most {ENTRY_BYTES_MAX} bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unpacked(bundle: bytes) -> list[bytes]:
    """The inverse of `packed`.

    Raises:
        MalformedError: if it is not a bundle.
    """
    entries, at = [], 0
    while at < len(bundle):
        length = int.from_bytes(bundle[at : at + 2], "big")
        entry = bundle[at + 2 : at + 2 + length]
        if len(entry) != length or at + 2 > len(bundle):
            raise MalformedError("entry bundle: cut short")
        entries.append(entry)
        at += 2 + length
    return entries


@dataclass(slots=True)
class TileTree:
    """The tree of a given size, read from its tiles.

    `read` is asked for a partial tile first and for the full one where there is no such, as
    tlog-tiles lets a log delete partial tiles. Tiles are kept for the life of this value, with
    the roots of the subtrees in them, so keep it short.
    """

    read: Read
    size: int
    _tiles: dict[tuple[int, int], list[list[bytes]]] = field(default_factory=dict)

    def root(self) -> bytes:
        """The root of the whole."""
        return self.root_at(self.size)

    def root_at(self, size: int) -> bytes:
        """The root of the first `size` leaves."""
        self._check(size)
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """The proof that the leaf at `index` is in the tree of `size` (RFC 9162, 2.1.3.1)."""
        size = self.size if size is None else size
        self._check(size)
        if not 0 <= index < size:
            raise MalformedError(f"inclusion: expected an index below {size}, found {index}")
        return self._path(index, 0, size)

    def consistency(self, size1: int, size2: int | None = None) -> list[bytes]:
        """The proof that the first `size1` leaves are a beginning of `size2` (RFC 9162, 2.1.4.1)."""
        size2 = self.size if size2 is None else size2
        self._check(size2)
        if not 0 <= size1 <= size2:
            raise MalformedError(f"consistency: expected a size up to {size2}, found {size1}")
        if size1 in (0, size2):
            return []
        return self._sub_proof(size1, 0, size2, whole=True)

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        """The hashes of these leaves."""
        return [self._subtree(index, index + 1) for index in range(start, end)]

    def edge(self, level: int) -> list[bytes]:
        """The hashes of the last tile of a level, if that is partial."""
        number, width = divmod(self.size >> (level * HEIGHT), WIDTH)
        return self._hashes(level, number) if width else []

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _split(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._range(middle, end)]
        return [*self._path(index, middle, end), self._range(start, middle)]

    def _sub_proof(self, size1: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if size1 == end:
            return [] if whole else [self._range(start, end)]
        middle = start + _split(end - start)
        if size1 <= middle:
            inner = self._sub_proof(size1, start, middle, whole=whole)
            return [*inner, self._range(middle, end)]
        inner = self._sub_proof(size1, middle, end, whole=False)
        return [*inner, self._range(start, middle)]

    def _range(self, start: int, end: int) -> bytes:
        """The root over the leaves from `start` to `end`; `start` is aligned to its split."""
        found: bytes | None = None
        for first, last in reversed(list(_perfect(start, end))):
            each = self._subtree(first, last)
            found = each if found is None else node_hash(each, found)
        if found is None:
            raise MalformedError("tree: an empty range")
        return found

    def _subtree(self, start: int, end: int) -> bytes:
        """The root of a perfect, aligned subtree."""
        height = (end - start).bit_length() - 1
        level, inner = divmod(height, HEIGHT)
        number, place = divmod(start >> (level * HEIGHT), WIDTH)
        return self._tile(level, number)[inner][place >> inner]

    def _tile(self, level: int, number: int) -> list[list[bytes]]:
        """The tile's hashes, and above them the roots of its perfect subtrees."""
        found = self._tiles.get((level, number))
        if found is None:
            found = [self._hashes(level, number)]
            while len(found[-1]) > 1:
                below = found[-1]
                found.append([node_hash(*below[i : i + 2]) for i in range(0, len(below) - 1, 2)])
            self._tiles[level, number] = found
        return found

    def _hashes(self, level: int, number: int) -> list[bytes]:
        there = (self.size >> (level * HEIGHT)) - number * WIDTH
        width = min(WIDTH, there)
        content = read_tile(self.read, tile_path(level, number, width), tile_path(level, number))
        # Neither cut short nor longer: what nobody hashes could say anything.
        if len(content) not in (width * HASH_BYTES, WIDTH * HASH_BYTES):
            raise LedgerAlteredError(f"{tile_path(level, number, width)}: has another length")
        return [content[i * HASH_BYTES : (i + 1) * HASH_BYTES] for i in range(width)]

    def _check(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise MalformedError(f"tree: expected a size up to {self.size}, found {size}")


def read_tile(read: Read, partial: str, full: str) -> bytes:
    """The partial tile, or the full one in its place.

    Raises:
        LedgerAlteredError: if there is neither.
    """
    for path in dict.fromkeys((partial, full)):
        try:
            return read(path)
        except NotFoundError:
            continue
    raise LedgerAlteredError(f"{partial}: the log has no such tile")


def grown(
    tree: TileTree, bundle: Sequence[bytes], entries: Sequence[bytes]
) -> tuple[int, dict[str, bytes]]:
    """What the log's files become when `entries` are appended: the new size, and files by path.

    `bundle` are the entries of the last, partial bundle as they are now. Only the right edge
    of the tree is read. Full tiles and bundles come first, the partial ones that replace
    nothing and are superseded by the next growth come last.
    """
    size = tree.size + len(entries)
    files: dict[str, bytes] = {}
    partial: dict[str, bytes] = {}
    first = tree.size // WIDTH
    tail = [*bundle, *entries]
    for number in range(first, -(-size // WIDTH)):
        part = tail[(number - first) * WIDTH : (number - first + 1) * WIDTH]
        target = files if len(part) == WIDTH else partial
        target[bundle_path(number, len(part))] = packed(part)
    hashes = [leaf_hash(entry) for entry in entries]
    level, before = 0, tree.size
    while hashes:
        number = before // WIDTH
        row = [*tree.edge(level), *hashes]
        hashes = []
        for start in range(0, len(row), WIDTH):
            part = row[start : start + WIDTH]
            target = files if len(part) == WIDTH else partial
            target[tile_path(level, number, len(part))] = b"".join(part)
            if len(part) == WIDTH:
                hashes.append(root_of(part))
            number += 1
        level, before = level + 1, before // WIDTH
    return size, {**files, **partial}


def _split(size: int) -> int:
    """The largest power of two below the size."""
    return 1 << ((size - 1).bit_length() - 1)


def _perfect(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The range as perfect, aligned subtrees, from the left."""
    while start < end:
        largest = 1 << ((end - start).bit_length() - 1)
        aligned = start & -start or largest
        width = min(largest, aligned)
        yield start, start + width
        start += width
