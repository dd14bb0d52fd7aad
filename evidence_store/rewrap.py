"""Rotating keys: every header wrapped anew to the current key, what it opens untouched.

Each batch is a transaction, so a rotation that is cut short goes on where it stopped, and a
second run changes nothing. The old key must stay in the keyring until nothing is wrapped to it,
and as long as backups hold headers that are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from evidence_store.errors import EvidenceError
from evidence_store.ports import Catalog, Keyring

BATCH_OBJECTS = 500
OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """What became of one header; `error` is set where it stays as it was."""

    what: str
    name: str
    error: EvidenceError | None = None


@dataclass(frozen=True, slots=True)
class Wrapped:
    """The header of something that is kept; what is no header is refused when it is opened."""

    name: str
    header: bytes = field(repr=False)


class Kept(Protocol):
    """Things of one kind that are sealed to the keyring and are no objects, such as uploads."""

    @property
    def what(self) -> str:
        """What one of them is called."""
        ...

    def wrapped(self, *, after: str | None = None, limit: int = 100) -> Sequence[Wrapped]:
        """Their headers by name, from behind `after`."""
        ...

    def rewrap(self, changes: Sequence[tuple[Wrapped, bytes]]) -> None:
        """Put each header in the place of the one that was read, durably; the rest stays as it is.

        After a crash at any line each has the old or the new one. What was changed or has gone
        meanwhile is left.

        Raises:
            CatalogBusyError, NoSpaceError, UnavailableError: some may have the new one.
        """
        ...


def rewrap_all(catalog: Catalog, keyring: Keyring, old_recipient: str) -> Iterator[Rewrapped]:
    """Wrap the objects' headers that are wrapped to `old_recipient` to the current recipients.

    A header that no key opens, or that was altered, is reported and left.

    Raises:
        CatalogBusyError: what was yielded is done, the rest is as it was.
    """
    after = None
    while True:
        with catalog.read() as reader:
            batch = reader.sealed_objects(after=after, recipient=old_recipient, limit=BATCH_OBJECTS)
        if not batch:
            return
        done: list[Rewrapped] = []
        with catalog.write() as writer:
            for sealed in batch:
                name = sealed.name.value
                try:
                    header = keyring.wrap(keyring.unwrap(sealed.header))
                except EvidenceError as error:
                    done.append(Rewrapped(OBJECT, name, error))
                    continue
                writer.rewrap(sealed.name, header=header, recipient=keyring.recipient)
                done.append(Rewrapped(OBJECT, name))
        yield from done
        after = batch[-1].name


def rewrap_kept(kept: Kept, keyring: Keyring) -> Iterator[Rewrapped]:
    """Wrap to the current recipients what is kept and not wrapped to the current key yet.

    A header that no key opens, or that was altered, is reported and left.

    Raises:
        CatalogBusyError, NoSpaceError, UnavailableError: what was yielded is done.
    """
    for batch in _batches(kept):
        done: list[Rewrapped] = []
        changes: list[tuple[Wrapped, bytes]] = []
        for each in batch:
            if keyring.is_current(each.header):
                continue
            try:
                changes.append((each, keyring.wrap(keyring.unwrap(each.header))))
            except EvidenceError as error:
                done.append(Rewrapped(kept.what, each.name, error))
            else:
                done.append(Rewrapped(kept.what, each.name))
        kept.rewrap(changes)
        yield from done


def older(kept: Kept, keyring: Keyring) -> Iterator[str]:
    """The names of what is kept and not wrapped to the current key."""
    for batch in _batches(kept):
        yield from (each.name for each in batch if not keyring.is_current(each.header))


def _batches(kept: Kept) -> Iterator[Sequence[Wrapped]]:
    after = None
    while batch := kept.wrapped(after=after, limit=BATCH_OBJECTS):
        yield batch
        after = batch[-1].name
