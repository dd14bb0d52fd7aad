"""An object store in memory, for tests and demonstrations. Nothing outlives the process.

Held to the same contract as the stores that are durable, so that what is tested
against it behaves the same with them.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from threading import Lock
from uuid import uuid4

from evidence_store.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    StoreUnavailableError,
)
from evidence_store.identifiers import ObjectName
from evidence_store.ports import ObjectWriter, StoredObject

CHUNK_BYTES = 256 * 1024


class MemoryObjectWriter:
    """Implements `evidence_store.ports.ObjectWriter`."""

    def __init__(self, store: "MemoryObjectStore", name: ObjectName) -> None:
        self._store = store
        self._name = name
        self._content = bytearray()
        self.key = uuid4().hex
        self.begun_at = datetime.now(tz=UTC)

    @property
    def name(self) -> ObjectName:
        """See `ObjectWriter.name`."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """See `ObjectWriter.size_bytes`."""
        return len(self._content)

    def write(self, chunk: bytes | bytearray | memoryview, /) -> None:
        """See `ObjectWriter.write`."""
        self._content += chunk

    def abort(self) -> None:
        """See `ObjectWriter.abort`."""
        self._store.let_go(self)

    def content(self) -> bytes:
        """All that was written."""
        return bytes(self._content)


class MemoryObjectStore:
    """Implements `evidence_store.ports.ObjectStore`.

    `objects` is public so that a test can play the attacker who changes or withholds one.
    """

    def __init__(self) -> None:
        self.objects: dict[ObjectName, bytes] = {}
        self._open: dict[str, MemoryObjectWriter] = {}
        self._lock = Lock()

    def begin(self, name: ObjectName, *, size_bytes: int | None = None) -> MemoryObjectWriter:
        """See `ObjectStore.begin`."""
        del size_bytes  # there is nothing to prepare
        writer = MemoryObjectWriter(self, name)
        with self._lock:
            self._open[writer.key] = writer
        return writer

    def adopts(self, folder: str) -> bool:  # noqa: ARG002 - no folder
        """See `ObjectStore.adopts`."""
        return False

    def adopt(self, name: ObjectName, file: str) -> ObjectWriter:  # noqa: ARG002 - no file
        """See `ObjectStore.adopt`."""
        raise StoreUnavailableError(f"object {name}: this store adopts no files")

    def commit(self, writers: Sequence[ObjectWriter], /) -> None:
        """See `ObjectStore.commit`."""
        with self._lock:
            for writer in writers:
                if not isinstance(writer, MemoryObjectWriter) or writer.key not in self._open:
                    raise MalformedError(
                        f"object {writer.name}: expected a writer begun here and still open,"
                        " found another; begin again"
                    )
                if writer.name in self.objects:
                    raise ConflictError(f"object {writer.name}: the name is taken")
                self.objects[writer.name] = writer.content()
                del self._open[writer.key]

    def stat(self, name: ObjectName) -> StoredObject:
        """See `ObjectStore.stat`."""
        return StoredObject(name, len(self._content(name)))

    def read(
        self, name: ObjectName, *, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """See `ObjectStore.read`."""
        content = self._content(name)
        end = len(content) if length is None else min(offset + length, len(content))
        for start in range(offset, end, CHUNK_BYTES):
            yield content[start : min(start + CHUNK_BYTES, end)]

    def names(self, *, after: ObjectName | None = None) -> Iterator[ObjectName]:
        """See `ObjectStore.names`."""
        yield from (name for name in sorted(self.objects.copy()) if after is None or name > after)

    def unfinished(self, *, before: datetime) -> Sequence[str]:
        """See `ObjectStore.unfinished`."""
        with self._lock:
            return [key for key, writer in self._open.items() if writer.begun_at < before]

    def discard_unfinished(self, *, before: datetime) -> int:
        """See `ObjectStore.discard_unfinished`."""
        left = self.unfinished(before=before)
        with self._lock:
            for key in left:
                self._open.pop(key, None)
        return len(left)

    def let_go(self, writer: MemoryObjectWriter) -> None:
        """Forget an open writer. One that was committed stays committed."""
        with self._lock:
            self._open.pop(writer.key, None)

    def _content(self, name: ObjectName) -> bytes:
        try:
            return self.objects[name]
        except KeyError:
            raise NotFoundError(f"object {name}: there is none in the store") from None
