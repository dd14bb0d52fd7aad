"""The key headers of stored objects, in batches, in a folder without any lock.

A header is what opens an object. To destroy it, here and in the catalog, is to dispose of the
content, even where the object store refuses deletion: so headers never lie in that store.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from evidence_store.errors import ConflictError, NotFoundError
from storage.keys import private_file


class HeaderFolder:
    """Implements `evidence_store.journal.HeaderStore`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def batches(self) -> Iterator[tuple[int, int]]:
        """See `HeaderStore.batches`."""
        found = [] if not self._root.is_dir() else [each.name for each in self._root.iterdir()]
        matches = [re.fullmatch(r"(\d{12})-(\d{12})\.json", name) for name in found]
        yield from sorted((int(each[1]), int(each[2])) for each in matches if each)

    def read(self, start: int, end: int) -> bytes:
        """See `HeaderStore.read`."""
        try:
            return self._path(start, end).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"headers: there is no batch from {start} to {end}") from None

    def write(self, start: int, end: int, content: bytes) -> None:
        """See `HeaderStore.write`."""
        path = self._path(start, end)
        self._root.mkdir(private_file.FOLDER_MODE, exist_ok=True)
        try:
            private_file.write_new(path, content)
        except ConflictError:
            with private_file.locked(path):
                private_file.replace(path, content)

    def _path(self, start: int, end: int) -> Path:
        return self._root / f"{start:012d}-{end:012d}.json"
