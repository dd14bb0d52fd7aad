"""How many requests are dealt with at once: in all, and for one caller.

A caller is who shows the same token or session, or without one the same address. It is a limit of
courtesy between callers, known before anybody is looked up; it decides nothing about rights.
"""

import hashlib
from collections import Counter

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.problems import RETRY_SECONDS, problem

ALL_MAX = 256
CALLER_MAX = 64
ALWAYS = frozenset({"/health"})


class Turns:
    """Refuses what is too much at once, and says when to ask again."""

    def __init__(
        self, app: ASGIApp, *, all_max: int = ALL_MAX, caller_max: int = CALLER_MAX
    ) -> None:
        self._app, self._all_max, self._caller_max = app, all_max, caller_max
        self._under_way: Counter[bytes] = Counter()

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
                await self._app(scope, receive, send)
            finally:
                self._under_way[caller] -= 1
                if not self._under_way[caller]:
                    del self._under_way[caller]


def _caller(scope: Scope) -> bytes:
    headers = dict(scope["headers"])
    shown = headers.get(b"authorization") or headers.get(b"cookie")
    if shown is None:
        client = scope.get("client") or ("", 0)
        shown = str(client[0]).encode()
    return hashlib.sha256(shown).digest()
