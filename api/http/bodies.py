"""Bodies, received whole before a request takes anybody's turn. Not those that a route takes in as they come.

So whoever sends slowly keeps only itself waiting: there is an end to the time that a body may take over
all, and to how many an address has coming at once, as nobody has been looked up yet.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import RETRY_SECONDS, problem

BYTES_MAX = 1024 * 1024
SECONDS_MAX = 30.0
OF_ADDRESS_MAX = 64


class Bodies:
    """Receives a body within its bounds, and passes the request on with it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_streamed: Callable[[Scope], bool],
        seconds_max: float = SECONDS_MAX,
        of_address_max: int = OF_ADDRESS_MAX,
    ) -> None:
        self._app, self._is_streamed = app, is_streamed
        self._seconds_max, self._of_address_max = seconds_max, of_address_max
        self._coming: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what has come whole."""
        if scope["type"] != "http" or not _has_body(scope) or self._is_streamed(scope):
            await self._app(scope, receive, send)
            return
        address = address_of(scope)
        if self._coming[address] >= self._of_address_max:
            await _refuse(
                scope, receive, send, 429, "E429", "too many bodies of this address are coming"
            )
            return
        self._coming[address] += 1
        try:
            async with asyncio.timeout(self._seconds_max):
                body = await _received(receive)
        except TimeoutError:
            await _refuse(scope, receive, send, 408, "E408", "the body came too slowly")
            return
        finally:
            self._coming[address] -= 1
            if not self._coming[address]:
                del self._coming[address]
        if body is None:
            return  # whoever sent it has gone
        if len(body) > BYTES_MAX:
            await _refuse(scope, receive, send, 413, "E413", f"expected at most {BYTES_MAX} bytes")
            return
        await self._app(scope, Again(body, receive), send)


def address_of(scope: Scope) -> str:
    """The address that a request came from, as far as is known."""
    return str((scope.get("client") or ("", 0))[0])


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


async def _received(receive: Receive) -> bytes | None:
    """The body, or more than there may be of it; None if the line was cut."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > BYTES_MAX or not message.get("more_body", False):
            return bytes(body)


class Again:
    """A body that was received, once more; then whatever comes."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        """The next message: the body, the first time."""
        body, self._body = self._body, None
        if body is None:
            return await self._receive()
        return {"type": "http.request", "body": body, "more_body": False}


async def _refuse(
    scope: Scope, receive: Receive, send: Send, status: int, code: str, detail: str
) -> None:
    again = {"Retry-After": RETRY_SECONDS} if status == 429 else None  # noqa: PLR2004 - as it reads
    await problem(Request(scope), status, code, detail, None, again)(scope, receive, send)
