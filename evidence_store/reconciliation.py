"""Do the object store and the catalog speak of the same objects? What a crash or a loss left.

An orphan is an object that nothing refers to: a crash between the store and the
catalog leaves one, and it is harmless. A missing object is a loss. Sizes and
digests are not looked at here: that is `verification`.
"""

import heapq
from collections.abc import Iterator
from enum import StrEnum

from evidence_store.identifiers import ObjectName
from evidence_store.ports import Catalog, ObjectStore

PAGE_OBJECTS = 1000


class Discrepancy(StrEnum):
    """On which side an object is lacking."""

    ORPHAN = "orphan"
    MISSING = "missing"


def reconcile(catalog: Catalog, objects: ObjectStore) -> Iterator[tuple[Discrepancy, ObjectName]]:
    """Walk both in the order of names, in constant memory, and yield where they differ.

    What is being taken in meanwhile may show as an orphan: look again before believing one.

    Raises:
        StoreUnavailableError, CatalogBusyError: as the ports have it.
    """
    known, stored = _known(catalog), objects.names()
    # One merge of two sorted walks; a name that both have comes twice in a row, and cancels out.
    previous: tuple[ObjectName, Discrepancy] | None = None
    sides = (
        ((name, Discrepancy.MISSING) for name in known),
        ((name, Discrepancy.ORPHAN) for name in stored),
    )
    for name, lacking in heapq.merge(*sides):
        if previous is not None and previous[0] == name:
            previous = None
            continue
        if previous is not None:
            yield previous[1], previous[0]
        previous = name, lacking
    if previous is not None:
        yield previous[1], previous[0]


def _known(catalog: Catalog) -> Iterator[ObjectName]:
    after = None
    while True:
        with catalog.read() as reader:
            page = reader.sealed_objects(after=after, limit=PAGE_OBJECTS)
        if not page:
            return
        for sealed in page:
            if sealed.header:  # without one it was disposed of, and may be gone
                yield sealed.name
        after = page[-1].name
