"""Server-sent events: how long work stands, for who may see it, and only as long as that is so."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.types import Message

from api.http import happenings
from evidence_store.doors import UploadState
from tests.doors import Doors, doors  # noqa: F401 - a fixture
from tests.integration.test_uploads import Client, client  # noqa: F401 - a fixture

Chunk = Callable[[str], None]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happenings, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(happenings, "CHECKED_SECONDS", 0.05)
    monkeypatch.setattr(happenings, "KEEP_ALIVE_SECONDS", 0.1)


def listen(
    doors: Doors,  # noqa: F811 - the fixture's value
    path: str,
    token: str,
    on_chunk: Chunk,
    last: str | None = None,
    seconds: float = 20,
) -> tuple[int, str]:
    """A stream to its end, chunk by chunk as it comes: the status and the text."""
    status, text = 0, ""

    async def receive() -> Message:
        await asyncio.sleep(3600)
        raise AssertionError("it has ended before")

    async def send(message: Message) -> None:
        nonlocal status, text
        if message["type"] == "http.response.start":
            status = message["status"]
        elif chunk := message.get("body", b"").decode():
            text += chunk
            await asyncio.to_thread(on_chunk, chunk)

    headers = [(b"authorization", f"Bearer {token}".encode()), (b"host", b"127.0.0.1")]
    if last is not None:
        headers.append((b"last-event-id", last.encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    asyncio.run(asyncio.wait_for(doors.client.app(scope, receive, send), seconds))
    return status, text


def states(text: str) -> Iterator[dict[str, Any]]:
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if fields.get("event") == "state":
            yield {"id": fields["id"], **json.loads(fields["data"])}


def nothing(_: str) -> None:
    """Only listen."""


def test_an_upload_is_told_from_open_to_done_and_goes_on_where_one_left_off(
    client: Client,  # noqa: F811 - the fixture
) -> None:
    doors = client.doors  # noqa: F811 - of this client
    path = client.create(10).headers["location"]
    token = doors.token("prosecutor")

    def go_on(chunk: str) -> None:
        if '"offset":0' in chunk:
            client.patch(path, 0, b"12345")
        elif '"offset":5' in chunk:
            client.patch(path, 5, b"67890")

    status, text = listen(doors, f"{path}/events", token, go_on)
    told = list(states(text))
    assert status == 200
    assert [each["offset"] for each in told][:2] == [0, 5]
    assert told[-1]["state"] == UploadState.DONE.value
    assert told[-1]["outcome"]["status"] == "ingested"
    status, text = listen(doors, f"{path}/events", token, nothing, last=told[0]["id"])
    assert [each["id"] for each in states(text)] == [told[-1]["id"]]
    assert listen(doors, f"{path}/events", token, nothing, last=told[-1]["id"]) == (204, "")


def test_a_stream_says_that_it_is_alive_and_ends_with_the_token(
    client: Client,  # noqa: F811 - the fixture
) -> None:
    doors = client.doors  # noqa: F811 - of this client
    path = client.create(10).headers["location"]
    token = doors.token("prosecutor")
    person, now = doors.world.people["prosecutor"], doors.instance.clock.now()

    def sign_out(chunk: str) -> None:
        if chunk.startswith(":"):
            for each in doors.instance.doors.tokens(person):
                doors.instance.doors.end_token(person, each.id, now)

    status, text = listen(doors, f"{path}/events", token, sign_out)
    assert status == 200
    assert text.rstrip().endswith("still here")


def test_streams_of_a_caller_are_bounded_and_a_place_comes_back(
    client: Client,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doors = client.doors  # noqa: F811 - of this client
    state = doors.client.app.state  # type: ignore[attr-defined] # the application's
    monkeypatch.setattr(state.streams, "of_caller_max", 1)
    monkeypatch.setattr(happenings, "LIFE_SECONDS", 0.3)
    path = client.create(10).headers["location"]
    token = doors.token("prosecutor")
    seen: list[int] = []

    def another(_: str) -> None:
        if not seen:
            seen.append(client("GET", f"{path}/events", {}).status_code)

    assert listen(doors, f"{path}/events", token, another)[0] == 200
    assert seen == [429]
    assert listen(doors, f"{path}/events", token, nothing)[0] == 200


def test_who_may_not_see_it_gets_what_is_not_there(client: Client) -> None:  # noqa: F811 - the fixture
    doors = client.doors  # noqa: F811 - of this client
    path = client.create(10).headers["location"]
    for name, address in (
        ("central", f"{path}/events"),
        ("c-central", "/v1/transfers/SI-TRF-000001/events"),
        ("c-central", "/v1/requests/SI-REQ-000001/events"),
    ):
        assert doors(name, "GET", address).status_code == 404
