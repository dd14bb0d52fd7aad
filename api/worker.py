"""Background work: the log takes in what waits, uploads are taken in or expire, grants end by time.

Each piece of work is done under a lease in the database, so several workers can run and any of them
can die: the lease runs out and another goes on.
"""

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from api import ledger
from api.uploading import Uploading
from api.wiring import Instance
from evidence_store.errors import EvidenceError

log = logging.getLogger("evidence.worker")
LEASE = timedelta(seconds=60)
PAUSE_SECONDS = 2.0


@dataclass(slots=True)
class Worker:
    """Does what is due, again and again, until it is stopped."""

    instance: Instance
    uploading: Uploading
    holder: str = field(default_factory=lambda: secrets.token_hex(8))
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Go on until `stop`."""
        while not self._stopped.is_set():
            self.once()
            self._stopped.wait(PAUSE_SECONDS)

    def stop(self) -> None:
        """Let the work that is under way end, and begin nothing more."""
        self._stopped.set()

    def once(self) -> list[str]:
        """Do everything once; the names of what was done."""
        work: dict[str, Callable[[], object]] = {
            "sequencing": lambda: ledger.settle(self.instance),
            "uploads": self.uploading.take_in_waiting,
            "expiry": self.uploading.expire,
        }
        return [name for name, act in work.items() if self._under_lease(name, act)]

    def _under_lease(self, name: str, act: Callable[[], object]) -> bool:
        doors, clock = self.instance.doors, self.instance.clock
        try:
            now = clock.now()
            if not doors.lease(name, self.holder, now, now + LEASE):
                return False
            act()
            doors.release(name, self.holder, clock.now())
        except EvidenceError as error:
            log.warning("%s: %s", name, error.code)
            return False
        except Exception as error:  # noqa: BLE001 - a worker goes on, whatever happened
            log.error("%s: not foreseen: %s", name, type(error).__name__)  # noqa: TRY400 - no content in logs
            return False
        return True
