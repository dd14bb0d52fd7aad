"""An instance's fixity cycle: at which pace it reads, and how it stands.

A turn is about a minute's reading. The pace is kept chunk by chunk, so that one large object does
not take the disk for hours.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from api import ledger
from api.wiring import Instance
from evidence_store.canonical import Json
from evidence_store.fixity import Cycle, Standing, Turn, standing
from evidence_store.identifiers import ObjectName
from evidence_store.ports import CatalogReader, ObjectStore
from evidence_store.vault import Vault

TURN_SECONDS = 60
Wait = Callable[[float], None]


@dataclass(slots=True)
class Paced:
    """Reads of a store at so many bytes a second. `wait` may raise, to end the reading."""

    store: ObjectStore
    bytes_per_second: int
    wait: Wait
    _free_at: float = 0.0

    def __getattr__(self, name: str) -> object:
        """All else is the store's own."""
        return getattr(self.store, name)

    def read(
        self, name: ObjectName, *, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """See `ObjectStore.read`."""
        for chunk in self.store.read(name, offset=offset, length=length):
            now = time.monotonic()
            self.wait(max(0.0, self._free_at - now))
            self._free_at = max(now, self._free_at) + len(chunk) / self.bytes_per_second
            yield chunk


def period(instance: Instance) -> timedelta:
    """Within what time every byte is read again."""
    return timedelta(days=instance.settings.fixity_days)


def turn(instance: Instance, wait: Wait = time.sleep, *, failed_again: bool = False) -> Turn:
    """A turn of the cycle. See `Cycle.turn`.

    Raises:
        KeyUnavailableError: if the key file cannot be opened: nothing would be verifiable.
    """
    instance.keyring.check()
    rate = instance.settings.fixity_bytes_per_second
    store: ObjectStore = Paced(instance.objects, rate, wait)  # type: ignore[assignment] # the rest is passed on
    cycle = Cycle(
        catalog=instance.catalog,
        vault=Vault(store, instance.keyring, instance.random),
        tiles=instance.tiles,
        recorder=partial(ledger.recorder, instance),
        period=period(instance),
        turn_bytes=rate * TURN_SECONDS,
    )
    return cycle.turn(instance.clock.now, failed_again=failed_again)


def stands(instance: Instance) -> Standing:
    """How the cycle stands now."""
    with instance.catalog.read() as reader:
        return standing(reader, period(instance), instance.clock.now())


def word(found: Standing) -> str:
    """The cycle in a word."""
    return "failed" if found.failed else "late" if found.late else "ok"


def failures(reader: CatalogReader, found: Standing) -> list[dict[str, Json]]:
    """What is not as registered, version by version; a journal has no ERN."""
    rows: list[dict[str, Json]] = []
    for each in found.failed:
        versions = [(str(ern), number) for ern, number in reader.fixity.held_in(each.name)]
        row: dict[str, Json] = {
            "object": str(each.name),
            "outcome": each.outcome,
            "code": each.code,
            "found_at": each.measured_at.isoformat(),
            "turn": None if each.turn is None else str(each.turn),
        }
        rows += [{"ern": ern, "version": number, **row} for ern, number in versions]
        if not versions:
            rows.append({"ern": None, "version": None, **row})
    return rows
