"""Everything that is sealed to the keyring, wrapped to its current key: so that an old one can go.

What is sealed to a key and is not named here is lost with that key: objects and journals, their
headers beside them, signing keys, uploads, deliveries, webhooks' secrets, one-time codes.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from api.delivering import KeptDeliveries
from api.wiring import Instance
from evidence_store.journal import older_headers, refresh_headers
from evidence_store.rewrap import OBJECT, Kept, Rewrapped, older, rewrap_all, rewrap_kept

COUNTED_MAX = 1000


def kept(instance: Instance) -> Sequence[Kept]:
    """What is sealed to the keyring beside the objects."""
    return (instance.signing, *instance.wrapped_rows, KeptDeliveries(instance))


def rewrap(instance: Instance) -> Iterator[Rewrapped]:
    """Wrap to the current key what is not yet. It can be cut short anywhere, and be run again.

    Raises:
        CatalogBusyError, NoSpaceError, UnavailableError: what was yielded is done; run it again.
    """
    keyring = instance.keyring
    with instance.catalog.read() as reader:
        recipients = [each for each in reader.recipients() if each != keyring.recipient]
    for recipient in recipients:
        yield from rewrap_all(instance.catalog, keyring, recipient)
    for each in kept(instance):
        yield from rewrap_kept(each, keyring)
    refresh_headers(instance.catalog, instance.headers)


def still_older(instance: Instance, *, thorough: bool = False) -> dict[str, int]:
    """How much of what is not wrapped to the current key, by kind, each counted to a thousand.

    The headers beside the catalog are read only if it is to be `thorough`: all of them have to be.
    """
    keyring, found = instance.keyring, dict[str, int]()
    with instance.catalog.read() as reader:
        for recipient in reader.recipients():
            if recipient != keyring.recipient:
                some = reader.sealed_objects(recipient=recipient, limit=COUNTED_MAX)
                found[OBJECT] = found.get(OBJECT, 0) + len(some)
    for each in kept(instance):
        count = sum(1 for _ in islice(older(each, keyring), COUNTED_MAX))
        if count:
            found[each.what] = count
    if thorough and (count := older_headers(instance.headers, keyring.recipient)):
        found["batch of headers"] = count
    return found


def told(counts: dict[str, int]) -> str:
    """The counts in words."""
    return ", ".join(
        f"{what}: {count}{' or more' if count >= COUNTED_MAX else ''}"
        for what, count in counts.items()
    )
