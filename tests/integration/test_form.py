"""The form of answers over HTTP: methods, hosts, validators, problems, and what they never repeat."""

import asyncio
import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from api.http.connections import Patience, patient
from api.http.watching import Counts
from api.push_state import PushState
from api.pushing import Pushing
from evidence_store.errors import MalformedError
from tests.doors import Doors, doors  # noqa: F401 - a fixture

STREAMS = {"upload_events", "transfer_events", "request_events"}


def _openapi(doors: Doors) -> dict[str, Any]:  # noqa: F811 - the fixture
    found: dict[str, Any] = doors(None, "GET", "/v1/openapi.json").json()
    return found


# ---- Methods and hosts -----------------------------------------------------------------------------


def test_every_path_says_by_which_methods_it_is_called(doors: Doors) -> None:  # noqa: F811 - the fixture
    for path, operations in _openapi(doors)["paths"].items():
        allowed = {each.upper() for each in operations}
        if "get" in operations and operations["get"]["operationId"] not in STREAMS:
            allowed.add("HEAD")
        concrete = re.sub(r"{[^}]*}", "x", path)
        answer = doors("prosecutor", "TRACE", concrete)
        assert answer.status_code == 405, path
        assert allowed <= set(answer.headers["allow"].split(", ")), path


def test_a_head_is_answered_like_a_get_without_its_body(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern = doors.world.item()
    for who, path in (
        ("prosecutor", f"/v1/items/{ern}"),
        ("prosecutor", "/v1/items?limit=1"),
        ("prosecutor", "/v1/items/SI-2026-999999"),
        (None, "/v1/log/checkpoint"),
        (None, "/v1/items"),
        (None, "/health"),
        (None, "/v1/session"),
    ):
        got, headed = doors(who, "GET", path), doors(who, "HEAD", path)
        assert (headed.status_code, headed.content) == (got.status_code, b""), path
        for name in ("content-type", "content-length", "etag"):
            if name == "content-length" and got.status_code >= 400:
                continue  # a problem's identifier is of its request
            assert headed.headers.get(name) == got.headers.get(name), (path, name)


def test_a_stream_has_no_head(doors: Doors) -> None:  # noqa: F811 - the fixture
    answer = doors("prosecutor", "HEAD", "/v1/requests/SI-REQ-000001/events")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_no_answer_sends_anybody_to_a_host_that_the_request_named(doors: Doors) -> None:  # noqa: F811 - the fixture
    for path in ("/v1/items/?a=1", "/v1/log/checkpoint/", "/health/", "/v1/session/"):
        answer = doors.client.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
        assert answer.status_code == 404, path
        assert "location" not in answer.headers
        assert answer.json()["code"] == "E404"


@pytest.mark.parametrize("hosts", [[], [b"a", b"b"], [b"a", b"a"]])
def test_a_request_names_one_host(doors: Doors, hosts: list[bytes]) -> None:  # noqa: F811 - the fixture
    scope = {
        "type": "http", "method": "GET", "path": "/health", "raw_path": b"/health",
        "query_string": b"", "headers": [(b"host", each) for each in hosts], "root_path": "",
        "scheme": "http", "http_version": "1.1", "client": ("127.0.0.1", 1), "server": ("a", 1),
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(doors.client.app(scope, receive, send))
    assert sent[0]["status"] == 400
    assert json.loads(sent[1]["body"])["code"] == "E100"


# ---- What one has seen -----------------------------------------------------------------------------


def test_any_of_several_validators_may_be_the_right_one(doors: Doors) -> None:  # noqa: F811 - the fixture
    path = f"/v1/items/{doors.world.item()}"
    for spelled in ('"x","{}"', '"x", "{}"', '"{}" ,"x"', '"x",\t"{}"'):
        seen = doors("prosecutor", "GET", f"{path}/custody").headers["etag"].strip('"')
        headers = {"If-Match": spelled.format(seen)}
        done = doors("prosecutor", "POST", f"{path}/acts", json={"act": "moved"}, headers=headers)
        assert done.status_code == 200, (spelled, done.text)
    weak = {"If-Match": f'W/"{seen}"'}
    refused = doors("prosecutor", "POST", f"{path}/acts", json={"act": "moved"}, headers=weak)
    assert refused.status_code == 412


# ---- Problems --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/items/1'--", None),
        ("GET", "/v1/cases/1'--", None),
        ("GET", "/v1/grants/1'--", None),
        ("GET", "/v1/transfers/1'--", None),
        ("GET", "/v1/states/1'--", None),
        ("GET", "/v1/officers/1'--", None),
        ("GET", "/v1/items?after=1'--", None),
        ("POST", "/v1/verifications", {"sha256": "1'--"}),
        ("POST", "/v1/items/{ern}/acts", {"act": "1'--"}),
        ("POST", "/v1/items/{ern}/acts", {"act": "moved", "occurred_at": "1'--"}),
        ("POST", "/v1/registry", {"entry": {"entry": "1'--"}}),
        ("POST", "/v1/requests", {"to": "1'--", "document": {"kind": "training"}}),
        ("POST", "/v1/requests", {"to": "bravo-central", "document": {"kind": "1'--"}}),
        ("POST", "/v1/grants", {"document": {"mode": "1'--"}}),
    ],
)
def test_a_problem_does_not_repeat_what_was_sent(
    doors: Doors,  # noqa: F811 - the fixture
    method: str,
    path: str,
    body: object,
) -> None:
    who = "registrar" if path == "/v1/registry" else "prosecutor"
    path = path.replace("{ern}", str(doors.world.item()))
    answer = doors(who, method, path, json=body)
    assert 400 <= answer.status_code < 500
    assert "1'--" not in answer.text


@pytest.mark.parametrize("mark", ["\u0001", "\u202e", "\u2066", "\x7f", "\x85"])
def test_text_that_is_not_shown_as_it_is_written_is_refused(doors: Doors, mark: str) -> None:  # noqa: F811 - the fixture
    answer = doors("registrar", "POST", "/v1/cases", json={"title": f"Case {mark}fdp.exe"})
    assert (answer.status_code, answer.json()["code"]) == (400, "E100")
    assert f"U+{ord(mark):04X}" in answer.json()["detail"]
    assert mark not in answer.text
    right_to_left = doors(
        "registrar", "POST", "/v1/cases", json={"title": "\u0642\u0636\u064a\u0629\u200f 7\n"}
    )
    assert right_to_left.status_code == 201


def test_how_long_to_wait_is_said_once(doors: Doors) -> None:  # noqa: F811 - the fixture
    headers = {"Origin": "https://evidence.example"}
    for _ in range(70):
        answer = doors.client.post("/v1/session/passkey/options", json={}, headers=headers)
        if answer.status_code == 429:
            break
    assert answer.status_code == 429
    seconds = int(answer.headers["retry-after"])
    assert 1 <= seconds <= 60
    assert f"{seconds} s" in answer.json()["detail"]


# ---- Lines -----------------------------------------------------------------------------------------


def test_what_is_refused_before_it_is_a_request_is_counted_and_can_be_found(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counts = Counts()

    async def asked() -> bytes:
        from uvicorn import Config  # noqa: PLC0415 - it is slow
        from uvicorn.server import ServerState  # noqa: PLC0415 - likewise

        async def app(_scope: object, _receive: object, _send: object) -> None:
            raise AssertionError("it never became a request")

        config = Config(app, http=patient(Patience(), counts.unread), lifespan="off")
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: config.http_protocol_class(config, ServerState(), {}), "127.0.0.1", 0
        )
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(b"nonsense\r\n\r\n")
        answer = await reader.read()
        writer.close()
        server.close()
        return answer

    with caplog.at_level("INFO", "evidence.http"):
        head, _, body = asyncio.run(asked()).partition(b"\r\n\r\n")
    found = json.loads(body)
    assert found["status"] == HTTPStatus.BAD_REQUEST
    assert re.fullmatch("[0-9a-f]{16}", found["request_id"])
    assert f"x-request-id: {found['request_id']}" in head.decode()
    assert found["request_id"] in caplog.text
    labels = {"method": "-", "route": "-", "status": "400"}
    assert counts.registry.get_sample_value("evidence_requests_total", labels) == 1


@pytest.mark.parametrize(
    "server", ["http://evidence.example", "http://192.0.2.1:80", "http://[2001:db8::1]"]
)
def test_a_token_goes_over_a_line_that_nobody_reads(tmp_path: Path, server: str) -> None:
    with PushState(tmp_path / "state") as state:
        with pytest.raises(MalformedError, match="in-clear"):
            Pushing(server, "evr_pat_x", state)
        Pushing(server, "evr_pat_x", state, in_clear=True)
        for own in (
            "http://127.0.0.1:8000",
            "http://[::1]:8000",
            "http://localhost",
            "https://a.example",
        ):
            Pushing(own, "evr_pat_x", state)
