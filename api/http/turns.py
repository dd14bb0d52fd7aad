"""How many requests are dealt with at once: in all, and for one caller; and how many are worked on.

A caller is an officer, if what is shown has let one in lately; everybody else is an address, whatever
they show. It is a limit of courtesy, known before anybody is looked up; it decides nothing about rights.
"""

import asyncio
from collections import Counter

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.bodies import address_of
from api.http.known import Known
from api.http.problems import RETRY_SECONDS, problem

ALL_MAX = 256
CALLER_MAX = 64
# More threads than that do less together than they do in turn: with a database in this process they
# all compute, and one computes at a time; with one elsewhere, one computes while another waits for it.
WORKING_MAX, WORKING_ELSEWHERE_MAX = 1, 2
WAIT_SECONDS = 1.0
HOLD_SECONDS = 0.1  # what takes longer goes on, and holds up nobody any more
ALWAYS = frozenset({"/health"})


class Turns:
    """Refuses what is too much at once, and says when to ask again."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        known: Known,
        all_max: int = ALL_MAX,
        caller_max: int = CALLER_MAX,
        working_max: int = WORKING_MAX,
        wait_seconds: float = WAIT_SECONDS,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        self._app, self._all_max, self._caller_max = app, all_max, caller_max
        self._known = known
        self._under_way: Counter[str] = Counter()
        self._working = asyncio.Semaphore(working_max)
        self._wait_seconds, self._hold_seconds = wait_seconds, hold_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is within the limits."""
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        request, caller = Request(scope), self._caller(scope)
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

    def _caller(self, scope: Scope) -> str:
        officer = self._known.officer(Headers(scope=scope))
        return address_of(scope) if officer is None else str(officer)

    async def _worked_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on; what only asks waits for its turn, first come first served, but not for long.

        Its place is free again as soon as it is answered, so whoever reads slowly holds up nobody;
        or when it took long, so neither does a long question.
        """
        if scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        place = _Place(self._working)
        await place.take(self._wait_seconds, self._hold_seconds)

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                place.leave()
            await send(message)

        try:
            await self._app(scope, receive, answered)
        finally:
            place.leave()


class _Place:
    """One of the few that are worked on: taken once, and left once however often it is said."""

    def __init__(self, working: asyncio.Semaphore) -> None:
        self._working = working
        self._held: asyncio.TimerHandle | None = None

    async def take(self, wait_seconds: float, hold_seconds: float) -> None:
        """Wait for it, at most so long; then it is gone on without one. Leave it after so long."""
        if self._working.locked():
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._working.acquire()
            except TimeoutError:  # others wait for something that is gone: not this one
                return
        else:
            await self._working.acquire()
        self._held = asyncio.get_running_loop().call_later(hold_seconds, self.leave)

    def leave(self) -> None:
        """Let the next one have it."""
        held, self._held = self._held, None
        if held is not None:
            held.cancel()
            self._working.release()
