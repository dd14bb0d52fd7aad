"""An object store in a folder: write-once files, durable before anybody is told.

`<root>/objects/ab/abcdef…` are the objects, mode 0444; `<root>/incoming/` holds what is being
written; `<root>/.evidence-objects` marks the root, so that the empty folder left by a disk that
is not mounted is never taken for an empty store. Every object appears under its name whole,
by a hard link that cannot replace another. Nothing here deletes an object.
"""

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Self

from evidence_store.errors import (
    MalformedError,
    NoSpaceError,
    NotFoundError,
    SettingsError,
    StoreUnavailableError,
)
from evidence_store.identifiers import ObjectName
from evidence_store.ports import ObjectWriter, StoredObject
from storage.objects import durable
from storage.objects.filesystem_writer import FilesystemObjectWriter, store_errors

MARKER = ".evidence-objects"
MARKER_CONTENT = b"evidence objects, version 1\n"
CHUNK_BYTES = 256 * 1024
MANY_WRITERS = 8  # from here on two flushes of the filesystem are cheaper than two for each object
DIRECT_BYTES = 16 * 1024 * 1024  # from here on the page cache costs more than it helps
LARGE_BYTES = 64 * 1024 * 1024  # worth a look at the free space before hours of writing
_PRIVATE = 0o700
_FAN_OUT = tuple(f"{byte:02x}" for byte in range(256))
_OWN_ENTRIES = frozenset({MARKER, f"{MARKER}.new", "objects", "incoming", "lost+found"})


class FilesystemObjectStore:
    """Implements `evidence_store.ports.ObjectStore`."""

    def __init__(self, root: Path) -> None:
        """Open the store that `create` made in `root`.

        Raises:
            StoreUnavailableError: if there is none.
        """
        self._root = root
        self._incoming = root / "incoming"
        self._folders = {each: root / "objects" / each for each in _FAN_OUT}
        self._order = count()
        self._check_root()
        self._flushes_whole = durable.flushes_whole(root)
        self._writes_direct = durable.writes_direct(root)

    @classmethod
    def create(cls, root: Path) -> Self:
        """Make a new store in `root`, or finish one whose making was interrupted.

        The marker comes last: a root that has it has everything else.

        Raises:
            SettingsError: if the folder holds something else.
            NoSpaceError, StoreUnavailableError: as `ObjectStore.commit`.
        """
        new = [each for each in (root, *root.parents) if not each.exists()]
        with store_errors(root):
            root.mkdir(_PRIVATE, parents=True, exist_ok=True)
            foreign = sorted({each.name for each in root.iterdir()} - _OWN_ENTRIES)
            if foreign:
                raise SettingsError(
                    f"object store {root}: expected an empty folder, found {foreign[0]!r};"
                    " choose another"
                )
            folders = [root / "incoming", root / "objects"]
            folders += [root / "objects" / each for each in _FAN_OUT]
            for folder in folders:
                folder.mkdir(_PRIVATE, exist_ok=True)
            for folder in folders:
                durable.flush_directory(folder)
            durable.flush_directory(root)
            _write_marker(root)
            for each in new:
                durable.flush_directory(each.parent)
        return cls(root)

    def begin(self, name: ObjectName, *, size_bytes: int | None = None) -> FilesystemObjectWriter:
        """See `ObjectStore.begin`."""
        with store_errors(self._root):
            if size_bytes is not None and size_bytes >= LARGE_BYTES:
                self._check_space(size_bytes)
            # Random, because two may write the same name at once; the commit decides.
            temporary = self._incoming / f"{name}.{secrets.token_hex(8)}"
            direct = self._writes_direct and (size_bytes or 0) >= DIRECT_BYTES
            return FilesystemObjectWriter(name, temporary, next(self._order), direct=direct)

    def adopts(self, folder: str) -> bool:
        """See `ObjectStore.adopts`. It does if a file there can have a second name in the store."""
        with store_errors(self._root):
            found = Path(folder)
            return found.is_dir() and found.stat().st_dev == self._incoming.stat().st_dev

    def adopt(self, name: ObjectName, file: str) -> FilesystemObjectWriter:
        """See `ObjectStore.adopt`."""
        with store_errors(self._root):
            temporary = self._incoming / f"{name}.{secrets.token_hex(8)}"
            os.link(file, temporary, follow_symlinks=False)
            return FilesystemObjectWriter(name, temporary, next(self._order), is_written=True)

    def commit(self, writers: Sequence[ObjectWriter], /) -> None:
        """See `ObjectStore.commit`."""
        own = [_own(writer) for writer in writers]
        try:
            self._check_root()  # otherwise a disk that went away could pass for this one
            with store_errors(self._root):
                for writer in own:
                    writer.finish()
                if len(own) >= MANY_WRITERS and self._flushes_whole:
                    self._commit_many(own)
                else:
                    self._commit_few(own)
        except BaseException:
            for writer in own:
                writer.abort()
            raise
        for writer in own:
            writer.close()

    def _commit_few(self, writers: Sequence[FilesystemObjectWriter]) -> None:
        """Flush file by file, in the steps of `_commit_many`: a power failure leaves the same."""
        for writer in writers:
            os.fsync(writer.descriptor)
        for writer in writers:
            writer.place(self._path(writer.name))
        for folder in {self._path(writer.name).parent for writer in writers}:
            durable.flush_directory(folder)

    def _commit_many(self, writers: Sequence[FilesystemObjectWriter]) -> None:
        """Two flushes, however many objects.

        The flush takes along what other programs wrote to the same filesystem; that may cost
        time, never safety.
        """
        oldest = min(writers, key=lambda writer: writer.order).descriptor
        # A power failure before this leaves temporary files, whole or not; none has a name yet.
        durable.flush_filesystem(oldest)
        # From here every byte is on the disk, so a name that survives names a whole object: a
        # failure leaves some objects under their names, others still temporary, none referred to.
        for writer in writers:
            writer.place(self._path(writer.name))
        # Before this a name may be lost again with the power; so nobody has been told of any.
        durable.flush_filesystem(oldest)

    def stat(self, name: ObjectName) -> StoredObject:
        """See `ObjectStore.stat`."""
        with store_errors(self._root):
            try:
                found = os.stat(self._path(name), follow_symlinks=False)  # noqa: PTH116 - quicker
            except FileNotFoundError:
                raise self._missing(name) from None
        return StoredObject(name, found.st_size)

    def read(
        self, name: ObjectName, *, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """See `ObjectStore.read`."""
        with store_errors(self._root):
            try:
                descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                raise self._missing(name) from None
        try:
            left = length
            while left is None or left > 0:
                with store_errors(self._root):
                    size = CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)
                    chunk = os.pread(descriptor, size, offset)
                if not chunk:
                    return
                offset += len(chunk)
                left = None if left is None else left - len(chunk)
                yield chunk
        finally:
            os.close(descriptor)

    def names(self, *, after: ObjectName | None = None) -> Iterator[ObjectName]:
        """See `ObjectStore.names`. Holds one of the 256 folders' names at a time."""
        self._check_root()
        start = "" if after is None else after.value
        for fan, folder in self._folders.items():
            if fan < start[: len(fan)]:
                continue
            # Anything else in there is not an object of ours: nothing refers to it.
            ours = re.compile(f"{fan}[0-9a-f]{{30}}")
            with store_errors(self._root):
                found = [each for each in os.listdir(folder) if ours.fullmatch(each)]  # noqa: PTH208
            yield from (ObjectName(each) for each in sorted(found) if each > start)

    def unfinished(self, *, before: datetime) -> Sequence[str]:
        """See `ObjectStore.unfinished`.

        A file's last change stands for its beginning, so that a long write that goes on is
        never among them.
        """
        self._check_root()
        left = []
        with store_errors(self._root):
            for each in self._incoming.iterdir():
                try:
                    changed_at = each.stat(follow_symlinks=False).st_mtime
                except FileNotFoundError:
                    continue  # committed or aborted meanwhile
                if changed_at < before.timestamp():
                    left.append(each.name)
        return sorted(left)

    def discard_unfinished(self, *, before: datetime) -> int:
        """See `ObjectStore.discard_unfinished`."""
        left = self.unfinished(before=before)
        with store_errors(self._root):
            for each in left:
                (self._incoming / each).unlink(missing_ok=True)
        return len(left)

    def _path(self, name: ObjectName) -> Path:
        return self._folders[name.value[:2]] / name.value

    def _missing(self, name: ObjectName) -> NotFoundError:
        self._check_root()  # otherwise an unmounted disk would pass for lost evidence
        return NotFoundError(f"object {name}: there is none in the store {self._root}")

    def _check_root(self) -> None:
        with store_errors(self._root):
            try:
                found = (self._root / MARKER).read_bytes()
            except FileNotFoundError:
                raise StoreUnavailableError(
                    f"object store {self._root}: expected the file {MARKER}, found none;"
                    " see that the disk is mounted, or create the store"
                ) from None
        if found != MARKER_CONTENT:
            raise StoreUnavailableError(
                f"object store {self._root}: expected {MARKER} to say"
                f" {MARKER_CONTENT.decode().strip()!r}, found something else;"
                " use the version that made it"
            )

    def _check_space(self, size_bytes: int) -> None:
        found = os.statvfs(self._incoming)
        free_bytes = found.f_bavail * found.f_frsize
        if size_bytes > free_bytes:
            raise NoSpaceError(
                f"object store {self._root}: expected {size_bytes} bytes of free space,"
                f" found {free_bytes}; free some space"
            )


def _write_marker(root: Path) -> None:
    marker, new = root / MARKER, root / f"{MARKER}.new"
    if not marker.exists():
        with new.open("wb") as file:
            file.write(MARKER_CONTENT)
            file.flush()
            os.fsync(file.fileno())
        new.replace(marker)
    durable.flush_directory(root)


def _own(writer: ObjectWriter) -> FilesystemObjectWriter:
    if not isinstance(writer, FilesystemObjectWriter):
        raise MalformedError(
            f"object {writer.name}: expected a writer of a filesystem store,"
            f" found {type(writer).__name__}; begin it there"
        )
    return writer
