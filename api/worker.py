"""Background work: each task under a lease in the database, with a pause and a back-off of its own.

Several workers can run and any of them can die: its leases run out, and another goes on. A lease is
renewed while the work goes on; who has lost one is told, and stops.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from api.leases import Keep, Task
from api.tasks import all_tasks
from api.uploading import Uploading
from api.wiring import Instance
from evidence_store.errors import EvidenceError

log = logging.getLogger("evidence.worker")
LEASE = timedelta(seconds=60)
RENEWALS = 4  # in the time of a lease
GRACE_SECONDS = 30.0


@dataclass(slots=True)
class Worker:
    """Does what is due, again and again, until it is stopped."""

    instance: Instance
    uploading: Uploading | None
    tasks: Sequence[Task] = ()  # by default all there are
    lease: timedelta = LEASE
    holder: str = field(default_factory=lambda: secrets.token_hex(8))
    _stopped: threading.Event = field(default_factory=threading.Event)
    _held: dict[str, Keep] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # renewing, or letting go
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.tasks and self.uploading is not None:
            self.tasks = all_tasks(self.instance, self.uploading)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, in threads of its own: a task that takes long holds up no other."""
        for task in self.tasks:
            self._begin(task.name, lambda task=task: self._go_on(task))  # type: ignore[misc] # bound now
        self._begin("leases", self._renew)

    def run(self) -> None:
        """Wait until `stop`."""
        self._stopped.wait()

    def stop(self) -> None:
        """Let the work that is under way end where it can, and begin nothing more."""
        self._stopped.set()
        for keep in list(self._held.values()):
            keep.end()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(GRACE_SECONDS)

    def once(self) -> list[str]:
        """Do everything once, in order; the names of what was done."""
        return [task.name for task in self.tasks if self._under_lease(task) is True]

    def _begin(self, name: str, act: Callable[[], None]) -> None:
        thread = threading.Thread(target=act, name=f"worker-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _go_on(self, task: Task) -> None:
        failures = 0
        while not self._stopped.is_set():
            done = self._under_lease(task)
            failures = failures + 1 if done is False else 0
            self._stopped.wait(task.wait_seconds(failures))

    def _renew(self) -> None:
        while not self._stopped.wait(self.lease.total_seconds() / RENEWALS):
            for name, keep in list(self._held.items()):
                with self._lock:
                    if name in self._held and not self._renewed(name):
                        keep.end()

    def _renewed(self, name: str) -> bool:
        """Whether a lease is ours still. What cannot be asked now is ours until it runs out."""
        now = self.instance.clock.now()
        try:
            return self.instance.doors.lease(name, self.holder, now, now + self.lease)
        except EvidenceError as error:
            log.warning("%s: its lease could not be renewed: %s", name, error.code)
            return False

    def _under_lease(self, task: Task) -> bool | None:
        """Whether it was done; None if it is another's now."""
        doors, clock, keep = self.instance.doors, self.instance.clock, Keep()
        try:
            now = clock.now()
            if not doors.lease(task.name, self.holder, now, now + self.lease):
                return None
            self._held[task.name] = keep
            if self._stopped.is_set():  # since it was looked at: nobody else would tell the task
                keep.end()
            try:
                task.act(keep)
            except BaseException:
                self._no_more(task.name)
                self._let_go(task.name)
                raise
            self._no_more(task.name)
            doors.release(task.name, self.holder, clock.now())
        except EvidenceError as error:
            if not self._stopped.is_set():
                log.warning("%s: %s", task.name, error.code)
            return False
        except Exception as error:  # noqa: BLE001 - a worker goes on, whatever happened
            log.error("%s: not foreseen: %s", task.name, type(error).__name__)  # noqa: TRY400 - no content in logs
            return False
        return True

    def _no_more(self, name: str) -> None:
        """Renew it no more; when this returns, nobody is about to."""
        with self._lock:
            self._held.pop(name, None)

    def _let_go(self, name: str) -> None:
        """Let another try at once what failed here; if that cannot be said, the lease runs out."""
        doors, now = self.instance.doors, self.instance.clock.now()
        try:
            doors.lease(name, self.holder, now, now)
        except EvidenceError as error:
            log.warning("%s: its lease is left to run out: %s", name, error.code)
