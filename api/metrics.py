"""Metrics for Prometheus, on a port of their own: requests of this process, and how the instance stands.

What is read from the database is read when somebody asks, at most every few seconds, and each value
goes by an index. No label names a thing or a person.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api import fixity
from api.wiring import Instance
from evidence_store.errors import EvidenceError, SettingsError

KEPT_SECONDS = 5.0
UPLOADS_COUNTED_MAX = 10_000
Values = dict[str, float]
HELP = {
    "evidence_log_size": "Entries of the log, those included that wait.",
    "evidence_log_head_size": "Entries of the newest state of the log.",
    "evidence_log_head_age_seconds": "Since when the newest state is there.",
    "evidence_log_sealed_size": "Entries of the newest state that the policy's witnesses cosigned.",
    "evidence_log_sealed_age_seconds": "Since when that state is there: the witnesses' age.",
    "evidence_log_pending": "Entries that wait for a state of the log.",
    "evidence_time_stamp_age_seconds": "Since when no time-stamp was had; none if there never was.",
    "evidence_uploads_open": "Uploads under way; 10000 stands for more.",
    "evidence_fixity_oldest_seconds": "How long ago the oldest measurement of a stored object was.",
    "evidence_fixity_failed": "Stored objects that are not as registered; 100 stands for more.",
    "evidence_fixity_late": "Whether an object was not read within the period.",
    "evidence_fixity_period_seconds": "Within what time every object is read again.",
    "evidence_up": "Whether the database answered.",
}


@dataclass(slots=True, eq=False)
class Standing(Collector):
    """How the instance stands, as Prometheus asks for it."""

    instance: Instance
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _at: float = -KEPT_SECONDS
    _kept: list[GaugeMetricFamily] = field(default_factory=list)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See `prometheus_client.registry.Collector.collect`."""
        with self._lock:
            if time.monotonic() - self._at >= KEPT_SECONDS:
                self._kept = self._families()
                self._at = time.monotonic()
            yield from self._kept

    def _families(self) -> list[GaugeMetricFamily]:
        values: Values = {"evidence_up": 0}
        work: list[GaugeMetricFamily] = []
        with suppress(EvidenceError):
            values |= self._log() | self._fixity()
            work = self._work()
            values["evidence_up"] = 1
        return [
            *(GaugeMetricFamily(name, HELP[name], value) for name, value in values.items()),
            *work,
        ]

    def _log(self) -> Values:
        now = self.instance.clock.now()
        with self.instance.catalog.read() as reader:
            head, sealed = reader.ledger.head(), reader.ledger.sealed_head()
            size = reader.ledger.size()
        found: Values = {
            "evidence_log_size": size,
            "evidence_log_pending": size - (head.size if head else 0),
            "evidence_uploads_open": self.instance.work.open_uploads(most=UPLOADS_COUNTED_MAX),
        }
        if head is not None:
            found["evidence_log_head_size"] = head.size
            found["evidence_log_head_age_seconds"] = _age(head.made_at, now)
        if sealed is not None:
            found["evidence_log_sealed_size"] = sealed.size
            found["evidence_log_sealed_age_seconds"] = _age(sealed.made_at, now)
        stamped = self.instance.work.position("time-stamp")
        if stamped is not None:
            found["evidence_time_stamp_age_seconds"] = max(0.0, now.timestamp() - stamped)
        return found

    def _fixity(self) -> Values:
        found, now = fixity.stands(self.instance), self.instance.clock.now()
        return {
            "evidence_fixity_oldest_seconds": _age(found.oldest or now, now),
            "evidence_fixity_failed": len(found.failed),
            "evidence_fixity_late": float(found.late),
            "evidence_fixity_period_seconds": fixity.period(self.instance).total_seconds(),
        }

    def _work(self) -> list[GaugeMetricFamily]:
        now = self.instance.clock.now()
        done = GaugeMetricFamily(
            "evidence_task_done_age_seconds", "Since when a task was not done.", labels=["task"]
        )
        held = GaugeMetricFamily(
            "evidence_task_lease", "Whether a worker does a task now.", labels=["task", "worker"]
        )
        for each in self.instance.work.leases():
            if each.done_at is not None:
                done.add_metric([each.name], _age(each.done_at, now))
            held.add_metric([each.name, each.holder], float(each.until > now))
        return [done, held]


@contextmanager
def exposed(
    instance: Instance, host: str, port: int | None, registry: CollectorRegistry
) -> Iterator[int | None]:
    """The metrics at a port, while this lasts; none without one. Yields which port it is.

    Raises:
        SettingsError: if it cannot listen there.
    """
    if port is None:
        yield None
        return
    registry.register(Standing(instance))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise SettingsError(f"metrics: {host}:{port}: {error.strerror}") from error
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _age(then: datetime, now: datetime) -> float:
    return max(0.0, (now - then).total_seconds())
