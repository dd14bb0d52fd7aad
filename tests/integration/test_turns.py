"""Requests at once: so many in all and so many of one caller; whoever is refused is told when to ask again."""

import asyncio
from collections.abc import Coroutine

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.http.bodies import Bodies
from api.http.known import Known
from api.http.turns import Turns
from evidence_store.identifiers import PersonCode, Role


class Slow:
    """An application in which every request waits until it may go on."""

    def __init__(self) -> None:
        self.inside, self.go_on = 0, asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.inside += 1
        if Request(scope).url.path == "/v1/slow":
            await self.go_on.wait()
        await Response(status_code=204)(scope, receive, send)


def shows(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def _asked(turns: Turns, slow: Slow, callers: list[str]) -> list[httpx2.Response]:
    transport = httpx2.ASGITransport(app=turns)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        waiting = []
        for each in callers:
            inside = slow.inside
            waiting.append(asyncio.create_task(client.get("/v1/slow", headers=shows(each))))
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
        slow, known = Slow(), Known()
        for each in callers:
            known.let_in(shows(each), PersonCode(Role.OFFICER, ord(each)))
        return await _asked(Turns(slow, known=known, all_max=4, caller_max=2), slow, callers)

    answers = asyncio.run(play())
    assert [each.status_code for each in answers] == expected
    for each in answers:
        if each.status_code in {429, 503}:
            assert int(each.headers["retry-after"]) > 0
            assert each.json()["code"] in {"E429", "E900"}


class Counted:
    """An application that remembers how many it worked on at once."""

    def __init__(self, *, answers_first: bool = False) -> None:
        self.inside, self.most, self.answers_first = 0, 0, answers_first
        self.seconds = 0.05

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if self.answers_first:
            await send(start)
        await asyncio.sleep(self.seconds)
        if not self.answers_first:
            await send(start)
        await send({"type": "http.response.body", "body": b"done"})
        self.inside -= 1


def most_at_once(
    app: Counted, *, method: str = "GET", wait_seconds: float = 10, hold_seconds: float = 10
) -> int:
    async def play() -> None:
        turns = Turns(
            app, known=Known(), working_max=2, wait_seconds=wait_seconds, hold_seconds=hold_seconds
        )
        transport = httpx2.ASGITransport(app=turns)
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
            found = await asyncio.gather(*(client.request(method, "/v1/x") for _ in range(8)))
        assert [each.text for each in found] == ["done"] * 8

    asyncio.run(play())
    return app.most


def test_what_only_asks_is_worked_on_in_turn() -> None:
    assert most_at_once(Counted()) == 2
    assert most_at_once(Counted(), method="POST") == 8


def test_a_place_is_free_as_soon_as_it_is_answered_however_slowly_it_is_read() -> None:
    assert most_at_once(Counted(answers_first=True)) == 8


def test_nobody_waits_long_for_those_who_wait_themselves() -> None:
    assert most_at_once(Counted(), wait_seconds=0.01) == 8


def test_a_long_question_holds_up_nobody_for_long() -> None:
    assert most_at_once(Counted(), hold_seconds=0.01) > 2


def test_a_place_is_left_once() -> None:
    """Answered after it was left for its length: that frees no second place."""
    app = Counted()

    async def play() -> int:
        turns = Turns(app, known=Known(), working_max=1, wait_seconds=10, hold_seconds=0.02)
        transport = httpx2.ASGITransport(app=turns)
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
            await client.get("/v1/x")  # takes 0.05 s
            app.seconds, app.most = 0.001, 0
            await asyncio.gather(*(client.get("/v1/x") for _ in range(4)))
        return app.most

    assert asyncio.run(play()) == 1


def test_whoever_came_first_is_served_first() -> None:
    order: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        order.append(scope["path"])
        await asyncio.sleep(0.001)
        await Response()(scope, receive, send)

    async def play() -> None:
        transport = httpx2.ASGITransport(app=Turns(app, known=Known(), working_max=1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
            await asyncio.gather(*(client.get(f"/v1/{number}") for number in range(16)))

    asyncio.run(play())
    assert order == [f"/v1/{number}" for number in range(16)]


def test_who_was_not_let_in_is_counted_by_address_whatever_is_shown() -> None:
    async def play() -> list[httpx2.Response]:
        slow = Slow()
        return await _asked(
            Turns(slow, known=Known(), all_max=9, caller_max=2), slow, ["x", "y", "z"]
        )

    assert [each.status_code for each in asyncio.run(play())] == [204, 204, 429]


def slow_body(
    bodies: Bodies, address: str, *, chunks: int, seconds: float
) -> Coroutine[None, None, int]:
    """A request whose body comes in chunks, each after so long; its status."""
    answered: list[int] = []
    left = chunks

    async def receive() -> Message:
        nonlocal left
        await asyncio.sleep(seconds)
        left -= 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": left > 0}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    headers = [(b"content-length", b"%d" % (1000 * chunks)), (b"authorization", b"Bearer nobody")]
    scope = {
        "type": "http", "method": "POST", "path": "/v1/cases", "headers": headers,
        "client": (address, 1), "query_string": b"",
    }  # fmt: skip

    async def ask() -> int:
        await bodies(scope, receive, send)
        return answered[0]

    return ask()


def test_bodies_that_come_slowly_take_nobodys_turn_and_end() -> None:
    """A stranger at one address has many bodies coming; others are served at once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        await Response(status_code=204 if body else 400)(scope, receive, send)

    async def play() -> tuple[list[int], int, int]:
        turns = Turns(app, known=Known(), all_max=4, caller_max=4)
        bodies = Bodies(turns, is_streamed=lambda _: False, seconds_max=0.3, of_address_max=8)
        slow = [
            asyncio.create_task(slow_body(bodies, "6.6.6.6", chunks=1000, seconds=0.02))
            for _ in range(10)
        ]
        await asyncio.sleep(0.05)
        own = await slow_body(bodies, "1.1.1.1", chunks=2, seconds=0)
        ended = [await each for each in slow]
        return ended, own, await slow_body(bodies, "6.6.6.6", chunks=2, seconds=0)

    assert asyncio.run(play()) == ([408] * 8 + [429] * 2, 204, 204)
