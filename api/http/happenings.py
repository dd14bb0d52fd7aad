"""Server-sent events: how something that takes long stands, each time it has changed.

A stream tells states and not steps: whoever comes back with `Last-Event-ID` is told what it is now,
if that is another. It ends with the session or token, when all is done, and after ten minutes;
the next request goes on. Nothing of it is a record: receipts are.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.http.caller import Caller, authenticated
from api.http.places import Places
from evidence_store.errors import EvidenceError, RateError, UnavailableError

POLL_SECONDS = 1.0
CHECKED_SECONDS = 5.0  # the way in is looked at again
KEEP_ALIVE_SECONDS = 15.0
LIFE_SECONDS = 600.0
OF_CALLER_MAX, OF_ALL_MAX = 4, 64
Look = Callable[[], "Stands"]
LastEvent = Annotated[
    str | None, Header(alias="Last-Event-ID", max_length=64, description="The last event seen.")
]
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `state`, each with the state as JSON; comments keep the line alive.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'event: state\nid: 5f2b7c0d9e8a4b1c\ndata: {"state":"open"}\n\n',
            }
        },
    },
    204: {"description": "All is done, and was told: do not come back."},
}


@dataclass(frozen=True, slots=True)
class Stands:
    """How something stands. Nothing follows on what is `over`."""

    record: Mapping[str, Any]
    over: bool

    @property
    def text(self) -> str:
        """The state as JSON, in one line."""
        return json.dumps(self.record, separators=(",", ":"))

    @property
    def id(self) -> str:
        """What names exactly this state."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def event(self) -> str:
        """As it goes over the line."""
        return f"event: state\nid: {self.id}\ndata: {self.text}\n\n"


def stream(request: Request, caller: Caller, last: str | None, look: Look) -> Response:
    """A stream of how something stands. `look` raises as soon as the caller may not know of it.

    Raises:
        EvidenceError: as `look`.
        RateError: if the caller has as many streams as there may be.
    """
    first = look()
    if first.over and last == first.id:
        return Response(status_code=204)
    places: Places = request.app.state.streams
    places.take(caller.officer)
    return _Stream(
        _told(request, caller, last, first, look), lambda: places.give_back(caller.officer)
    )


async def _told(
    request: Request, caller: Caller, last: str | None, found: Stands, look: Look
) -> AsyncIterator[str]:
    started = said = checked = time.monotonic()
    is_stopping: Callable[[], bool] = request.app.state.is_stopping
    yield f"retry: {int(POLL_SECONDS * 1000)}\n\n"
    while True:
        if found.id != last:
            last, said = found.id, time.monotonic()
            yield found.event
        now = time.monotonic()
        if found.over or now - started > LIFE_SECONDS or is_stopping():
            return
        if now - said > KEEP_ALIVE_SECONDS:
            said = now
            yield ": still here\n\n"
        await asyncio.sleep(POLL_SECONDS)
        try:
            if time.monotonic() - checked > CHECKED_SECONDS:
                checked = time.monotonic()
                await run_in_threadpool(_insist_same, request, caller)
            found = await run_in_threadpool(look)
        except UnavailableError:
            continue  # the database is away for a moment
        except EvidenceError:
            return  # signed out, or it is not the caller's to know any more


def _insist_same(request: Request, caller: Caller) -> None:
    """Insist that who called is still let in."""
    found = authenticated(request)
    if (found.officer, found.roles, found.scopes) != (caller.officer, caller.roles, caller.scopes):
        raise RateError("events: another has signed in")


class _Stream(StreamingResponse):
    """A stream that gives its place back, however it ends."""

    def __init__(self, content: AsyncIterator[str], ended: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type="text/event-stream", headers=headers)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()
