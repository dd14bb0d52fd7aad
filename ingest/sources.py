"""Which files a set of paths means: the walk over folders, and what cannot be evidence bytes.

Names are bytes and kept exactly, whatever their encoding. Links are not
followed and special files are not opened: each is refused with its reason, and
the rest goes on. Nothing is read here but directories.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from evidence_store.errors import EvidenceError, SourceChangedError, UnsupportedSourceError

_SPECIAL = {
    stat.S_IFLNK: "a symbolic link; give the file it points to",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device; make a forensic image of it and ingest that",
    stat.S_IFCHR: "a device",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file to take in. `path` is absolute; `name` is the path as the officer gave it."""

    path: bytes
    name: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Refused:
    """What the walk met and cannot take in."""

    name: bytes
    error: EvidenceError


def walk(
    roots: Iterable[bytes], *, excluded: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[Source | Refused]:
    """Every file under the roots, in the byte order of names, folder by folder.

    Memory is in proportion to the largest single folder. `excluded` are folders by
    device and inode that must not be entered: the store's own home.
    """
    for root in roots:
        yield from _visit(absolute(root), os.path.normpath(root), excluded)


def absolute(path: bytes) -> bytes:
    """The one absolute spelling of a path; a link in its last part is left unfollowed."""
    path = os.path.abspath(path)
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _visit(
    path: bytes, name: bytes, excluded: frozenset[tuple[int, int]]
) -> Iterator[Source | Refused]:
    # An own stack: folders may be nested deeper than Python recurses.
    stack = [(path, name)]
    while stack:
        path, name = stack.pop()
        try:
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode):
                yield Source(path, name, found.st_size)
            elif not stat.S_ISDIR(found.st_mode):
                yield Refused(name, _unsupported(found.st_mode))
            elif (found.st_dev, found.st_ino) in excluded:
                reason = "the store's own folder, which cannot be evidence in itself"
                yield Refused(name, UnsupportedSourceError(f"source: this is {reason}"))
            else:
                entries = sorted(os.listdir(path), reverse=True)
                stack.extend(
                    (os.path.join(path, each), os.path.join(name, each)) for each in entries
                )
        except OSError as error:
            yield Refused(name, unreadable(error))


def unreadable(error: OSError) -> EvidenceError:
    """The operating system's refusal to let a source be read, as ours."""
    if isinstance(error, FileNotFoundError):
        return SourceChangedError(
            "source: expected a file, found none; it is not there, or not any more"
        )
    return UnsupportedSourceError(
        f"source: cannot be read ({error.strerror}); check its permissions and the medium"
    )


def _unsupported(mode: int) -> UnsupportedSourceError:
    reason = _SPECIAL.get(stat.S_IFMT(mode), "not a file")
    return UnsupportedSourceError(f"source: expected a file, found {reason}")
