"""How often a network address may try: so many times in a span, then it is told to wait.

Counts are this process's own and in memory; what guards an account for good is the count in the
catalog (`AccountStore.begin_attempt`). A network of IPv6 is its first 64 bits.
"""

import math
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

from fastapi import Request

from evidence_store.errors import RateError

SPAN_SECONDS = 60.0
NETWORKS_MAX = 10_000
NETWORK_BITS = 64


class Rate:
    """Counts by network. Safe in threads; memory is bounded."""

    def __init__(
        self,
        most: int,
        *,
        span_seconds: float = SPAN_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._span, self._now = most, span_seconds, now
        self._counts: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def take(self, network: str) -> None:
        """Count a try.

        Raises:
            RateError: if there were too many in this span.
        """
        with self._lock:
            now = self._now()
            start, count = self._counts.pop(network, (now, 0))
            if now - start >= self._span:
                start, count = now, 0
            self._counts[network] = (start, count + 1)  # the last in the order that is kept
            if len(self._counts) > NETWORKS_MAX:
                del self._counts[next(iter(self._counts))]
        if count >= self._most:
            seconds = math.ceil(start + self._span - now)
            raise RateError(
                f"too many tries from this network; try again in {seconds} s", after_seconds=seconds
            )


def network_of(request: Request) -> str:
    """The network that a request comes from."""
    host = "" if request.client is None else request.client.host
    try:
        address = ip_address(host)
    except ValueError:
        return host  # a socket of this machine
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{int(address) >> (128 - NETWORK_BITS):x}::/{NETWORK_BITS}"
