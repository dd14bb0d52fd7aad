"""The log's files in a folder: `docs/format.md`, 13. Any web server can serve it as it is.

Full tiles are written once and never change. Partial tiles are what the right edge was at a
size; they stay, because a reader may hold a checkpoint of that size.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from evidence_store.errors import LedgerAlteredError, NotFoundError
from storage.objects import durable
from storage.objects.filesystem_writer import store_errors

CHECKPOINT = "checkpoint"
SIZE_BYTES_MAX = 256 * 65_537  # of a full bundle of the longest entries
_FOLDER = 0o755
_FILE = 0o444


class TileFolder:
    """Implements `evidence_store.ledger_port.TileStore`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes:
        """See `TileStore.read`."""
        with store_errors(self._root):
            try:
                with (self._root / path).open("rb") as file:
                    return file.read(SIZE_BYTES_MAX)
            except (FileNotFoundError, NotADirectoryError):
                raise NotFoundError(f"ledger: there is no {path}") from None

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `TileStore.write`."""
        folders: dict[Path, None] = {}
        with store_errors(self._root):
            for path, content in files.items():
                target = self._root / path
                folders.update(dict.fromkeys(self._make(target.parent)))
                if self._is_there(target, path, content):
                    continue
                self._put(target, content)
                folders[target.parent] = None
            for folder in folders:
                durable.flush_directory(folder)

    def checkpoint(self) -> bytes | None:
        """See `TileStore.checkpoint`."""
        try:
            return self.read(CHECKPOINT)
        except NotFoundError:
            return None

    def publish(self, note: bytes) -> None:
        """See `TileStore.publish`."""
        with store_errors(self._root):
            self._make(self._root)
            temporary = self._written(self._root, note)
            temporary.replace(self._root / CHECKPOINT)
            durable.flush_directory(self._root)

    def _make(self, folder: Path) -> list[Path]:
        """Make the folder; returns those whose entries must be made durable."""
        new = []
        while not folder.is_dir():
            new.append(folder)
            folder = folder.parent
        for each in reversed(new):
            each.mkdir(_FOLDER, exist_ok=True)
        return [each.parent for each in new]

    def _is_there(self, target: Path, path: str, content: bytes) -> bool:
        try:
            found = target.read_bytes()
        except FileNotFoundError:
            return False
        if found != content:
            raise LedgerAlteredError(
                f"ledger: {path} is there with other content; the log was altered, or another "
                "instance writes to the same folder"
            )
        return True

    def _put(self, target: Path, content: bytes) -> None:
        temporary = self._written(target.parent, content)
        try:
            durable.place(temporary, target)
        except FileExistsError:
            temporary.unlink()
            self._is_there(target, target.name, content)

    def _written(self, folder: Path, content: bytes) -> Path:
        """A new file with this content, durable, under a name that nobody looks for."""
        temporary = folder / f".{secrets.token_hex(8)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary


class TileMemory:
    """Implements `evidence_store.ledger_port.TileStore` for tests: gone with the process."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, path: str) -> bytes:
        """See `TileStore.read`."""
        if path not in self.files:
            raise NotFoundError(f"ledger: there is no {path}")
        return self.files[path]

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `TileStore.write`."""
        for path, content in files.items():
            if self.files.setdefault(path, content) != content:
                raise LedgerAlteredError(f"ledger: {path} is there with other content")

    def checkpoint(self) -> bytes | None:
        """See `TileStore.checkpoint`."""
        return self.files.get(CHECKPOINT)

    def publish(self, note: bytes) -> None:
        """See `TileStore.publish`."""
        self.files[CHECKPOINT] = note
