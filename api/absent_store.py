"""The place of an object store that is not there: whatever is asked of it says so.

For looking at the rest of an instance. It holds nothing and pretends nothing: no answer is empty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from evidence_store.errors import StoreUnavailableError
from evidence_store.identifiers import ObjectName
from evidence_store.ports import ObjectWriter, StoredObject


@dataclass(frozen=True, slots=True)
class AbsentStore:
    """Implements `evidence_store.ports.ObjectStore`. `reason` is why the store could not be opened."""

    reason: str

    def begin(self, name: ObjectName, *, size_bytes: int | None = None) -> ObjectWriter:  # noqa: ARG002 - as the port has it
        """See `ObjectStore.begin`."""
        self._refuse()

    def adopts(self, folder: str) -> bool:  # noqa: ARG002 - as the port has it
        """See `ObjectStore.adopts`."""
        return False

    def adopt(self, name: ObjectName, file: str) -> ObjectWriter:  # noqa: ARG002 - as the port has it
        """See `ObjectStore.adopt`."""
        self._refuse()

    def commit(self, writers: Sequence[ObjectWriter], /) -> None:  # noqa: ARG002 - as the port has it
        """See `ObjectStore.commit`."""
        self._refuse()

    def stat(self, name: ObjectName) -> StoredObject:  # noqa: ARG002 - as the port has it
        """See `ObjectStore.stat`."""
        self._refuse()

    def read(
        self,
        name: ObjectName,  # noqa: ARG002 - as the port has it
        *,
        offset: int = 0,  # noqa: ARG002 - as the port has it
        length: int | None = None,  # noqa: ARG002 - as the port has it
    ) -> Iterator[bytes]:
        """See `ObjectStore.read`."""
        self._refuse()

    def names(self, *, after: ObjectName | None = None) -> Iterator[ObjectName]:  # noqa: ARG002 - as the port has it
        """See `ObjectStore.names`."""
        self._refuse()

    def unfinished(self, *, before: datetime) -> Sequence[str]:  # noqa: ARG002 - as the port has it
        """See `ObjectStore.unfinished`."""
        self._refuse()

    def discard_unfinished(self, *, before: datetime) -> int:  # noqa: ARG002 - as the port has it
        """See `ObjectStore.discard_unfinished`."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreUnavailableError(self.reason)
