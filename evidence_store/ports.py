"""What the ground asks of the outside world.

Each protocol is as small as its callers need, and states the guarantee an
implementation must give. `tests/contract` holds every implementation to it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from evidence_store.digest import Digest
from evidence_store.dossier_port import DossierReader, DossierWriter
from evidence_store.fixity_port import FixityReader, FixityWriter
from evidence_store.identifiers import CaseId, Ern, ObjectName, PersonCode, Role, StateCode
from evidence_store.item import Case, Item, Listed, Person, SealedObject, Version
from evidence_store.ledger_port import LedgerReader, LedgerWriter
from evidence_store.page import Page


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """The current instant, in UTC."""
        ...


class Randomness(Protocol):
    """Where unpredictable bytes come from."""

    def __call__(self, size_bytes: int, /) -> bytes:
        """That many bytes from a source fit for keys."""
        ...


# ------------------------------------------------------------------------ objects


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a store says about an object. It is not trusted for more than availability."""

    name: ObjectName
    size_bytes: int
    retain_until: datetime | None = None
    legal_hold: bool = False


class ObjectWriter(Protocol):
    """An object being written. Nobody can read it until it is committed."""

    @property
    def name(self) -> ObjectName:
        """The name it will have."""
        ...

    @property
    def size_bytes(self) -> int:
        """How much has been written."""
        ...

    def write(self, chunk: bytes | bytearray | memoryview, /) -> None:
        """Append the chunk. The caller may reuse the buffer as soon as this returns.

        Raises:
            NoSpaceError: if the disk is full.
            StoreUnavailableError: if the store does not answer.
        """
        ...

    def abort(self) -> None:
        """Let go of what was written. May be called twice; after the commit it does nothing."""
        ...


class ObjectStore(Protocol):
    """Write-once bytes under random names. There is no delete.

    Trusted for availability only: an attacker who controls it can withhold or
    change objects, and `evidence_store.vault` notices, because it authenticates
    and digests everything it reads. Safe to use from several threads; a writer
    belongs to one thread at a time.
    """

    def begin(self, name: ObjectName, *, size_bytes: int | None = None) -> ObjectWriter:
        """Begin to write an object. `size_bytes` is a hint, where the length is known.

        Memory per writer is bounded whatever the length.

        Raises:
            NoSpaceError, StoreUnavailableError: as `ObjectWriter.write`.
        """
        ...

    def adopts(self, folder: str) -> bool:
        """Whether files in this folder of this machine can become objects as they are, without being copied."""
        ...

    def adopt(self, name: ObjectName, file: str) -> ObjectWriter:
        """A writer that has written the whole of a file in a folder that the store `adopts` from.

        Nothing more is written to it. The file's own name stays until whoever has it removes it.

        Raises:
            NoSpaceError, StoreUnavailableError: as `ObjectWriter.write`, or if it cannot be adopted.
        """
        ...

    def commit(self, writers: Sequence[ObjectWriter], /) -> None:
        """Make the objects durable and readable under their names, all with one flush.

        When this returns, every one of them survives a power failure, and is
        retained as long as the store is configured to retain. When it raises,
        none may be relied on; some may be there, and nothing refers to them.

        Raises:
            ConflictError: if a name is taken; what is there stays as it was.
            NoSpaceError, StoreUnavailableError: as `ObjectWriter.write`.
        """
        ...

    def stat(self, name: ObjectName) -> StoredObject:
        """What the store says about the object.

        Raises:
            NotFoundError: if there is no such object.
            StoreUnavailableError: if the store does not answer.
        """
        ...

    def read(
        self, name: ObjectName, *, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """Yield the stored bytes from `offset`, `length` of them or all there are, unverified.

        Fewer bytes come if the object ends. A range that begins at or behind the
        end yields nothing.

        Raises:
            NotFoundError: if there is no such object.
            StoreUnavailableError: if the store does not answer, before or between chunks.
        """
        ...

    def names(self, *, after: ObjectName | None = None) -> Iterator[ObjectName]:
        """Every committed object's name in ascending order, beginning behind `after`.

        Raises:
            StoreUnavailableError: if the store does not answer.
        """
        ...

    def unfinished(self, *, before: datetime) -> Sequence[str]:
        """Writes begun before that instant and neither committed nor aborted: what a crash left.

        Raises:
            StoreUnavailableError: if the store does not answer.
        """
        ...

    def discard_unfinished(self, *, before: datetime) -> int:
        """Let go of what `unfinished` lists, and say how many. Committed objects are untouched.

        Raises:
            StoreUnavailableError: if the store does not answer.
        """
        ...


class LockingObjectStore(ObjectStore, Protocol):
    """An object store that itself refuses deletion (S3 Object Lock)."""

    def retain(self, name: ObjectName, until: datetime) -> None:
        """Extend the object's retention.

        Raises:
            ConflictError: if it is retained longer already; it stays so.
            NotFoundError, StoreUnavailableError: as `stat`.
        """
        ...

    def hold(self, name: ObjectName, *, on: bool) -> None:
        """Place or lift a legal hold.

        Raises:
            NotFoundError, StoreUnavailableError: as `stat`.
        """
        ...


# --------------------------------------------------------------------------- keys


class Keyring(Protocol):
    """Holds the keys that file keys are wrapped to. Keys never leave it, nor enter the catalog."""

    @property
    def recipient(self) -> str:
        """The public name of the key that new file keys are wrapped to (`age1…`)."""
        ...

    def wrap(self, file_key: bytes) -> bytes:
        """An age v1 header that holds this file key, wrapped to every current recipient."""
        ...

    def is_current(self, header: bytes) -> bool:
        """Whether the key that new file keys are wrapped to opens this header.

        False also for what is no header, or was altered.
        """
        ...

    def unwrap(self, header: bytes) -> bytes:
        """The 16-byte file key in an age v1 header.

        Raises:
            KeyUnavailableError: if no key here opens it.
            MalformedError: if it is not an age v1 header.
            FixityError: if the header was altered.
        """
        ...


# ------------------------------------------------------------------------ catalog


class CatalogReader(Protocol):
    """A consistent view of the catalog. Every list goes by cursor; nothing scans the whole."""

    @property
    def ledger(self) -> LedgerReader:
        """The ledger's part of it."""
        ...

    @property
    def dossiers(self) -> DossierReader:
        """The dossiers' part of it."""
        ...

    @property
    def fixity(self) -> FixityReader:
        """What the fixity cycle found."""
        ...

    def is_exercise(self) -> bool:
        """Whether this is for training: nothing in it is evidence."""
        ...

    def state(self) -> StateCode:
        """The State whose catalog this is."""
        ...

    def authority(self) -> str:
        """The authority whose catalog this is."""
        ...

    def case(self, case_id: CaseId) -> Case:
        """Look a case up.

        Raises:
            NotFoundError: if there is none.
        """
        ...

    def cases(self, *, after: str | None = None, limit: int = 100) -> Page[Case]:
        """Cases by identifier.

        Raises:
            MalformedError: if `after` is not a cursor that an earlier page gave.
        """
        ...

    def person(self, code: PersonCode) -> Person:
        """Look a person up.

        Raises:
            NotFoundError: if there is none.
        """
        ...

    def item(self, ern: Ern) -> Item:
        """Look an item up.

        Raises:
            NotFoundError: if the ERN was not allocated.
        """
        ...

    def items_listed(self, erns: Sequence[Ern]) -> Sequence[Listed]:
        """The items of these ERNs, in their order, but for those that were never allocated."""
        ...

    def items(
        self, *, case_id: CaseId | None = None, after: str | None = None, limit: int = 100
    ) -> Page[Item]:
        """Items by ERN, of one case or of all.

        Raises:
            MalformedError: if `after` is not a cursor that an earlier page gave.
        """
        ...

    def versions(self, ern: Ern) -> Sequence[Version]:
        """An item's versions by number, without their claims. None for a physical exhibit."""
        ...

    def held(
        self, *, after: str | None = None, limit: int = 100
    ) -> Page[tuple[Version, SealedObject]]:
        """Every version of every item, each with what opens it, by ERN and number.

        Raises:
            MalformedError: if `after` is not a cursor that an earlier page gave.
        """
        ...

    def without_versions(self, *, after: str | None = None, limit: int = 100) -> Page[Ern]:
        """The items whose registration was signed and that have no version, by ERN.

        Raises:
            MalformedError: if `after` is not a cursor that an earlier page gave.
        """
        ...

    def claims(self, ern: Ern, number: int) -> bytes:
        """A version's sealed claims (see `evidence_store.vault`), empty if there are none.

        Raises:
            NotFoundError: if there is no such version.
        """
        ...

    def versions_with(self, digest: Digest, *, limit: int = 100) -> Sequence[Version]:
        """Versions whose content has this digest, by ERN and number, without their claims."""
        ...

    def erns_of(self, source_keys: Iterable[bytes]) -> Mapping[bytes, Ern]:
        """Which of these sources were registered, and as which item."""
        ...

    def sealed(self, name: ObjectName) -> SealedObject:
        """What opens a stored object.

        Raises:
            NotFoundError: if the catalog does not know it.
        """
        ...

    def sealed_with(self, digests: Iterable[Digest]) -> Mapping[Digest, SealedObject]:
        """The objects that hold content with these SHA-256 digests; the newest where several do."""
        ...

    def sealed_objects(
        self, *, after: ObjectName | None = None, recipient: str | None = None, limit: int = 1000
    ) -> Sequence[SealedObject]:
        """Objects by name, from behind `after`; only those wrapped to `recipient`, if given."""
        ...

    def recipients(self) -> Sequence[str]:
        """The keys that any object's header is wrapped to, in order."""
        ...

    def last_registered(self) -> Item | None:
        """The item with the greatest ERN, if there is any."""
        ...


class CatalogWriter(CatalogReader, Protocol):
    """A transaction. Nobody else writes while it lasts; it sees what it wrote."""

    @property
    def ledger(self) -> LedgerWriter:
        """The ledger's part of it."""
        ...

    @property
    def dossiers(self) -> DossierWriter:
        """The dossiers' part of it."""
        ...

    @property
    def fixity(self) -> FixityWriter:
        """The fixity cycle's part of it."""
        ...

    def next_person(self, role: Role) -> PersonCode:
        """A new code for a person whose name is kept elsewhere."""
        ...

    def open_case(self, title: str, reference: str | None, opened_at: datetime) -> Case:
        """Open a case under the next free identifier.

        Raises:
            ConflictError: if a case has this reference already.
        """
        ...

    def person_named(self, role: Role, name: str) -> Person:
        """The person of this role and exact name, entered under a new code if there is none."""
        ...

    def allocate(self, year: int, count: int) -> Sequence[Ern]:
        """The next `count` ERNs of this State and year, in order. Never given out twice."""
        ...

    def add_items(self, items: Sequence[Item]) -> None:
        """Enter new items.

        Raises:
            ConflictError: if an ERN or a source key is taken.
        """
        ...

    def void(self, ern: Ern, reason: str) -> Item:
        """Declare an ERN void, for ever; its versions stay, and its source may come in again.

        Raises:
            NotFoundError: if the ERN was not allocated.
            ConflictError: if it is void already.
        """
        ...

    def add_sealed(self, objects: Sequence[SealedObject]) -> None:
        """Enter stored objects.

        Raises:
            ConflictError: if a name is taken.
        """
        ...

    def rewrap(self, name: ObjectName, *, header: bytes, recipient: str) -> None:
        """Replace an object's header by one that wraps the same file key to another recipient.

        Raises:
            NotFoundError: if the catalog does not know the object.
        """
        ...

    def add_versions(self, versions: Sequence[tuple[Version, bytes]]) -> None:
        """Enter versions, each with its sealed claims (empty if it has none).

        Raises:
            ConflictError: if an item has a version of that number already.
            NotFoundError: if the item or object is not there.
        """
        ...


class Catalog(Protocol):
    """The index of cases, items, versions and sealed objects. Trusted for order, not for history."""

    def read(self) -> AbstractContextManager[CatalogReader]:
        """A view for reading.

        Raises:
            CatalogBusyError: if the database is locked or does not answer.
        """
        ...

    def write(self) -> AbstractContextManager[CatalogWriter]:
        """A transaction: on a clean exit everything is durable, on an exception nothing happened.

        Raises:
            CatalogBusyError: if another writer holds it longer than the configured wait.
            NoSpaceError: if the disk is full.
        """
        ...

    def act(self) -> AbstractContextManager[CatalogWriter]:
        """A transaction as `write` gives it, for an act that may come at the same time as others.

        Such acts may become durable in one commit, which each of them waits for: one after
        another, each sees what those before it did, and if one is undone the others are not. So
        nothing must be done within that has an effect outside of the transaction: what it rests
        on may never become durable.

        Raises:
            CatalogBusyError: as `write`; also if the act was lost together with others.
            NoSpaceError: if the disk is full.
        """
        ...
