"""Connections, and how long one waits for them: who sends or reads too slowly is ended.

A head must come whole within a time; a body and an answer must get on in every window of time. When
there are too many connections, the one that has kept us waiting longest without a request makes
room for the new one, so whoever opens many and says nothing shuts nobody out.
"""

import asyncio
import json
import secrets
from asyncio.events import TimerHandle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

SLOW_WINDOWS_MAX = 2  # one may have begun while we were the slow ones
LINGER_SECONDS = 5.0  # so that an answer is read although its request was not
RETRY_SECONDS = 5
VERSIONS = frozenset({"1.0", "1.1"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How many connections there may be, and how long each may take."""

    connections_max: int = 1000
    head_seconds: float = 20.0
    head_bytes_max: int = 64 * 1024
    window_seconds: float = 15.0
    window_bytes: int = 2048  # a body that brings less in two windows is let go of


Tell = Callable[[HTTPStatus, str], None]
"""Is told of each answer that is given here, and of its request's identifier."""


class _Phase(Enum):
    """What the parser is in."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    OVER = auto()


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 of uvicorn, with an end to waiting. See `patient`."""

    patience: ClassVar[Patience]
    tell: ClassVar[Sequence[Tell]] = ()
    waiting: ClassVar[dict["PatientProtocol", None]]
    """Those without a request, in the order in which they began to wait."""

    _phase = _Phase.IDLE
    _timer: TimerHandle | None = None
    _unread: TimerHandle | None = None
    _head_bytes = 0
    _body_bytes = 0
    _slow_windows = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Wait for a head, if there is room or somebody can make it."""
        super().connection_made(transport)
        if len(self.connections) > self.patience.connections_max:
            oldest = next(iter(self.waiting), None)
            if oldest is None:
                self._end(HTTPStatus.SERVICE_UNAVAILABLE, "E900", "too many connections")
                return
            oldest._end(HTTPStatus.SERVICE_UNAVAILABLE, "E900", "another connection needed room")  # noqa: SLF001 - one of us
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what waited for it."""
        self._phase = _Phase.OVER
        self.waiting.pop(self, None)
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count a head's bytes: the parser itself keeps any number of them."""
        if self._phase is _Phase.OVER:
            return
        if self._phase is _Phase.IDLE and self._under_way is None:
            self._await_head()  # also for a line's end, which the parser passes over in silence
        if self._phase is _Phase.HEAD:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._phase is _Phase.HEAD and self._head_bytes > self.patience.head_bytes_max:
            self._end(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "E432", "the head is too large")

    def on_message_begin(self) -> None:
        """A head has begun; perhaps behind another request on the same connection."""
        super().on_message_begin()
        if self._phase is _Phase.IDLE:
            self._await_head()

    def on_headers_complete(self) -> None:
        """From here on the body must get on."""
        self._phase, self._head_bytes = _Phase.BODY, 0
        self.waiting.pop(self, None)
        self._body_bytes = self._slow_windows = 0
        if self.parser.get_http_version() not in VERSIONS:
            self.send_400_response("")
            return
        self._again(self.patience.window_seconds, self._window_over)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """It gets on."""
        self._body_bytes += len(body)
        if self._phase is not _Phase.OVER:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Nothing is waited for any more."""
        if self._phase is _Phase.OVER:
            return
        self._phase = _Phase.IDLE
        self._again(None, None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """It may be kept for another request; but what is still sent for this one has an end."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_later()
        elif self._phase is _Phase.BODY:
            self._again(LINGER_SECONDS, self.transport.abort)
        elif self._phase is _Phase.IDLE and not self.pipeline:
            self.waiting[self] = None

    def timeout_keep_alive_handler(self) -> None:
        """As uvicorn, and what nobody reads is dropped."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def pause_writing(self) -> None:
        """What was sent is not read: that, too, has an end."""
        super().pause_writing()
        self._abort_later()

    def resume_writing(self) -> None:
        """It is being read."""
        super().resume_writing()
        if self._unread is not None and not self.transport.is_closing():
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered like every other mistake."""
        del msg
        self._end(HTTPStatus.BAD_REQUEST, "E100", "the request is no HTTP/1.1 that we accept")

    @property
    def _under_way(self) -> RequestResponseCycle | None:
        found: RequestResponseCycle | None = self.cycle
        return None if found is None or found.response_complete else found

    def _await_head(self) -> None:
        self._phase, self._head_bytes = _Phase.HEAD, 0
        self.waiting.pop(self, None)
        self.waiting[self] = None
        self._again(self.patience.head_seconds, self._head_late)

    def _head_late(self) -> None:
        if self.flow.read_paused:  # it is we who do not read
            self._again(self.patience.head_seconds, self._head_late)
        elif self._head_bytes == 0:
            self._unset_keepalive_if_required()
            self.transport.close()  # it never asked for anything
        else:
            self._end(HTTPStatus.REQUEST_TIMEOUT, "E408", "the request did not come")

    def _window_over(self) -> None:
        waits_for_us = self.flow.read_paused or self.cycle.waiting_for_100_continue
        is_slow = not waits_for_us and self._body_bytes < self.patience.window_bytes
        self._slow_windows = self._slow_windows + 1 if is_slow else 0
        self._body_bytes = 0
        if self._slow_windows == SLOW_WINDOWS_MAX:
            self._end(HTTPStatus.REQUEST_TIMEOUT, "E408", "the body came too slowly")
        else:
            self._again(self.patience.window_seconds, self._window_over)

    def _end(self, status: HTTPStatus, code: str, detail: str) -> None:
        """Answer, if nothing was answered yet, and close."""
        if self._phase is _Phase.OVER:
            return
        self._phase = _Phase.OVER
        self.waiting.pop(self, None)
        self._again(None, None)
        self._unset_keepalive_if_required()
        cycle, is_answered = self._under_way, False
        if cycle is not None:
            is_answered = cycle.response_started
            cycle.disconnected = True  # for the application the line is cut
            cycle.message_event.set()
        if is_answered or self.transport.is_closing():
            self.transport.abort()
            return
        request_id = secrets.token_hex(8)
        for tell in self.tell:
            tell(status, request_id)
        self.transport.write(_answer(status, code, detail, request_id))
        self.transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        if self._unread is None:
            seconds = self.patience.window_seconds * SLOW_WINDOWS_MAX
            self._unread = self.loop.call_later(seconds, self.transport.abort)

    def _again(self, seconds: float | None, act: Any) -> None:  # noqa: ANN401 - as asyncio has it
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, act)


def patient(patience: Patience, tell: Tell | None = None) -> type[PatientProtocol]:
    """The protocol for one server; connections that wait are known to it alone."""
    told = () if tell is None else (tell,)
    return type("Patient", (PatientProtocol,), {"patience": patience, "waiting": {}, "tell": told})


def _answer(status: HTTPStatus, code: str, detail: str, request_id: str) -> bytes:
    record = {
        "type": f"/problems#{code}",
        "title": status.phrase,
        "status": status.value,
        "code": code,
        "detail": detail,
        "request_id": request_id,
    }
    body = json.dumps(record).encode()
    retry = f"retry-after: {RETRY_SECONDS}\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nx-content-type-options: nosniff\r\n"
        f"x-request-id: {request_id}\r\n{retry}connection: close\r\n\r\n"
    )
    return head.encode() + body
