"""Rotating keys: every header wrapped anew to the current key, the content untouched.

Each batch is a transaction, so a rotation that is cut short goes on where it
stopped. The old key must stay in the keyring until no header is wrapped to it,
and as long as backups of the catalog hold headers that are.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from evidence_store.errors import EvidenceError
from evidence_store.identifiers import ObjectName
from evidence_store.ports import Catalog, Keyring

BATCH_OBJECTS = 500


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """What became of one object's header; `error` is set where it stays as it was."""

    name: ObjectName
    error: EvidenceError | None = None


def rewrap_all(catalog: Catalog, keyring: Keyring, old_recipient: str) -> Iterator[Rewrapped]:
    """Wrap the headers that are wrapped to `old_recipient` to the keyring's current recipients.

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
                try:
                    header = keyring.wrap(keyring.unwrap(sealed.header))
                except EvidenceError as error:
                    done.append(Rewrapped(sealed.name, error))
                    continue
                writer.rewrap(sealed.name, header=header, recipient=keyring.recipient)
                done.append(Rewrapped(sealed.name))
        yield from done
        after = batch[-1].name
