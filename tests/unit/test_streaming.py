"""Answers that are made while they leave: what makes them is closed at once, however they end."""

import asyncio
from collections.abc import Generator

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.http.streaming import Streamed

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "headers": [],
    "asgi": {"spec_version": "2.4"},
}


class Source:
    """Makes pieces, and remembers what became of it."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def pieces(self) -> Generator[bytes, None, None]:
        try:
            yield b"two"
            yield b"three"
            self.said.append("whole")
        finally:
            self.said.append("closed")

    def answer(self) -> Streamed:
        ended = lambda: self.said.append("ended")  # noqa: E731 - it is said in order
        return Streamed(b"one", self.pieces(), {}, media_type="text/plain", ended=ended)


async def _nothing() -> Message:
    await asyncio.sleep(60)
    raise AssertionError("it has ended before")


def sent(source: Source, *, most: int = 100) -> bytes:
    """What a client got that goes away after so many pieces."""
    got: list[bytes] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            if len(got) == most:
                raise OSError("gone")
            got.append(message["body"])

    asyncio.run(source.answer()(dict(SCOPE), _nothing, send))
    return b"".join(got)


def test_whoever_reads_to_the_end_has_every_piece_in_order() -> None:
    source = Source()
    assert sent(source) == b"onetwothree"
    assert source.said == ["whole", "closed", "ended"]


@pytest.mark.parametrize("most", [1, 2])
def test_what_makes_it_is_closed_when_the_reader_goes_away(most: int) -> None:
    source = Source()
    with pytest.raises(ClientDisconnect):
        sent(source, most=most)
    assert source.said == ["closed", "ended"]


def test_what_makes_it_is_closed_when_the_answer_is_cancelled() -> None:
    source = Source()

    async def cancelled() -> None:
        begun = asyncio.Event()

        async def send(message: Message) -> None:
            if message.get("body") == b"two":
                begun.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(source.answer()(dict(SCOPE), _nothing, send))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert source.said == ["closed", "ended"]
