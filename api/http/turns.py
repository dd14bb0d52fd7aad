"""How many requests are dealt with at once: in all, and for one caller; and how many are worked on.

A caller is who shows the same token or session, or without one the same address. It is a limit of
courtesy between callers, known before anybody is looked up; it decides nothing about rights.
"""

import asyncio
import hashlib
from collections import Counter
from contextlib import AsyncExitStack, suppress

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import RETRY_SECONDS, problem

ALL_MAX = 256
CALLER_MAX = 64
WORKING_MAX = 2  # more threads than that do less together than they do in turn
WAIT_SECONDS = 1.0
ALWAYS = frozenset({"/health"})


class Turns:
    """Refuses what is too much at once, and says when to ask again."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        all_max: int = ALL_MAX,
        caller_max: int = CALLER_MAX,
        working_max: int = WORKING_MAX,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._app, self._all_max, self._caller_max = app, all_max, caller_max
        self._under_way: Counter[bytes] = Counter()
        self._working = asyncio.Semaphore(working_max)
        self._wait_seconds = wait_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is within the limits."""
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        request, caller = Request(scope), _caller(scope)
        again = {"Retry-After": RETRY_SECONDS}
        if self._under_way.total() >= self._all_max:
            refused = problem(request, 503, "E900", "too many requests at once", None, again)
            await refused(scope, receive, send)
        elif self._under_way[caller] >= self._caller_max:
            refused = problem(
                request,
                429,
                "E429",
                f"expected at most {self._caller_max} requests at once",
                None,
                again,
            )
            await refused(scope, receive, send)
        else:
            self._under_way[caller] += 1
            try:
                await self._worked_on(scope, receive, send)
            finally:
                self._under_way[caller] -= 1
                if not self._under_way[caller]:
                    del self._under_way[caller]

    async def _worked_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on; what only asks waits until few others are worked on, but not for long.

        Its place is free again as soon as it is answered: whoever reads slowly holds up nobody.
        """
        if scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        async with AsyncExitStack() as place:
            with suppress(TimeoutError):  # others wait for something that is gone: not this one
                async with asyncio.timeout(self._wait_seconds):
                    await place.enter_async_context(self._working)

            async def answered(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await place.aclose()
                await send(message)

            await self._app(scope, receive, answered)


def _caller(scope: Scope) -> bytes:
    headers = dict(scope["headers"])
    shown = headers.get(b"authorization") or headers.get(b"cookie")
    if shown is None:
        client = scope.get("client") or ("", 0)
        shown = str(client[0]).encode()
    return hashlib.sha256(shown).digest()
