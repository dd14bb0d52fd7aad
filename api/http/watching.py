"""What an operator watches: a line of the log for each request, and counts for Prometheus.

Neither ever holds content, names, identifiers of people or things, or secrets: a route is named by
its template, and what was asked by its outcome.
"""

import logging
import re
import secrets
import time
from http import HTTPStatus

from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("evidence.http")
# It stands in logs and answers: so hexadecimal or a UUID, in which nobody writes a name.
_REQUEST_ID = re.compile(rb"[0-9a-f]{16,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRACE_PARENT = re.compile(rb"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def request_id(scope: Scope) -> str:
    """The client's identifier of a request, if it is harmless; else a new one."""
    headers = dict(scope["headers"])
    stated = headers.get(b"x-request-id", b"")
    if _REQUEST_ID.fullmatch(stated):
        return str(stated.decode("ascii"))
    trace = _TRACE_PARENT.fullmatch(headers.get(b"traceparent", b""))
    if trace is not None and trace[1] != b"0" * 32:
        return str(trace[1].decode("ascii"))
    return secrets.token_hex(8)


class Counts:
    """What is counted of requests, for one process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter(
            "evidence_requests", "Requests answered.", labels, registry=self.registry
        )
        self.seconds = Histogram(
            "evidence_request_seconds",
            "How long requests took, to the last byte.",
            ("method", "route"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.received = Counter(
            "evidence_received_bytes",
            "Bytes of bodies received.",
            ("route",),
            registry=self.registry,
        )
        self.sent = Counter(
            "evidence_sent_bytes", "Bytes of bodies sent.", ("route",), registry=self.registry
        )
        self.under_way = Gauge(
            "evidence_requests_under_way", "Requests being answered.", registry=self.registry
        )

    def unread(self, status: int, identifier: str) -> None:
        """Count and log an answer to what never became a request of the application."""
        self.requests.labels("-", "-", str(int(status))).inc()
        fields = {"method": "-", "route": "-", "status": int(status), "request_id": identifier}
        log.info("- - %d %s", status, identifier, extra={"fields": fields})


class Watch:
    """Counts and logs each request of the application that it stands around."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._app, self._counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and say what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = request_id(scope)
        scope.setdefault("state", {})["request_id"] = found
        line = _Line(receive, send)
        started = time.monotonic()
        self._counts.under_way.inc()
        try:
            await self._app(scope, line.receive, line.send)
        finally:
            self._counts.under_way.dec()
            self._tell(scope, line, found, time.monotonic() - started)

    def _tell(self, scope: Scope, line: "_Line", identifier: str, seconds: float) -> None:
        route = scope.get("route")
        template = route.path if isinstance(route, APIRoute) else "-"
        method = scope["method"] if scope["method"] in METHODS else "-"
        counts = self._counts
        counts.requests.labels(method, template, str(line.status)).inc()
        counts.seconds.labels(method, template).observe(seconds)
        counts.received.labels(template).inc(line.received)
        counts.sent.labels(template).inc(line.sent)
        fields = {
            "method": method,
            "route": template,
            "status": line.status,
            "duration_ms": round(seconds * 1e3, 1),
            "request_id": identifier,
            "received_bytes": line.received,
            "sent_bytes": line.sent,
        }
        log.info(
            "%s %s %s %.0f ms %s",
            method,
            template,
            line.status,
            seconds * 1e3,
            identifier,
            extra={"fields": fields},
        )


class _Line:
    """The line to a client: what comes and goes is counted."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.received, self.sent = 0, 0
        self.status = int(HTTPStatus.INTERNAL_SERVER_ERROR)  # of what was never answered

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
        await self._send(message)
