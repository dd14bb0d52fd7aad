"""Requests at once: so many in all and so many of one caller; whoever is refused is told when to ask again."""

import asyncio

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.http.turns import Turns


class Slow:
    """An application in which every request waits until it may go on."""

    def __init__(self) -> None:
        self.inside, self.go_on = 0, asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.inside += 1
        if Request(scope).url.path == "/v1/slow":
            await self.go_on.wait()
        await Response(status_code=204)(scope, receive, send)


async def _asked(turns: Turns, slow: Slow, callers: list[str]) -> list[httpx2.Response]:
    transport = httpx2.ASGITransport(app=turns)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        waiting = []
        for each in callers:
            inside = slow.inside
            headers = {"Authorization": f"Bearer {each}"}
            waiting.append(asyncio.create_task(client.get("/v1/slow", headers=headers)))
            while slow.inside == inside and not waiting[-1].done():  # noqa: ASYNC110 - it is one loop's turn
                await asyncio.sleep(0)
        health = await client.get("/health")
        slow.go_on.set()
        answers = [await each for each in waiting]
        after = await client.get("/v1/slow", headers={"Authorization": "Bearer a"})
    assert health.status_code == 204
    assert after.status_code == 204  # a place is free again
    return answers


@pytest.mark.parametrize(
    ("callers", "expected"),
    [
        (["a", "a", "a", "b"], [204, 204, 429, 204]),
        (["a", "a", "b", "b", "c"], [204, 204, 204, 204, 503]),
    ],
)
def test_so_many_at_once(callers: list[str], expected: list[int]) -> None:
    async def play() -> list[httpx2.Response]:
        slow = Slow()
        return await _asked(Turns(slow, all_max=4, caller_max=2), slow, callers)

    answers = asyncio.run(play())
    assert [each.status_code for each in answers] == expected
    for each in answers:
        if each.status_code in {429, 503}:
            assert int(each.headers["retry-after"]) > 0
            assert each.json()["code"] in {"E429", "E900"}
