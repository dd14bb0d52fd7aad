"""Answers whose bytes are made while they leave. What makes them is closed however the answer ends.

Without that a reader who goes away leaves it to the collector of garbage, which closes it at any time in
any thread: also in one that holds the catalog. What the bytes are is no matter here.
"""

import asyncio
from collections.abc import Callable, Generator, Mapping
from itertools import chain

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Streamed(StreamingResponse):
    """The first piece and those that follow. `ended` is called at last, once, whatever happened."""

    def __init__(
        self,
        first: bytes,
        rest: Generator[bytes, None, None],
        headers: Mapping[str, str],
        *,
        media_type: str,
        status: int = 200,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(chain([first], rest), status, headers, media_type)
        self._rest, self._ended = rest, ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await asyncio.shield(run_in_threadpool(self._close))  # also when it is cancelled

    def _close(self) -> None:
        try:
            self._rest.close()
        finally:
            self._ended()
