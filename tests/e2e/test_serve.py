"""The server as a process of its own: killed in the middle, asked by clients that we did not write."""

import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance
from tusclient import client as tus

from evidence_store.cooperation.registry import OfficerRole
from tests.doors import ORIGIN
from tests.served import MEBIBYTE, OFFSET, TUS, Line, Served, said, statuses


@contextmanager
def half_sent(served: Served, path: str, length: int, content: bytes) -> Iterator[None]:
    """A PATCH of which a part has been sent, on an open line."""
    with closing(socket.create_connection(("127.0.0.1", served.port))) as line:
        head = (
            f"PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nUpload-Offset: 0\r\n"
            "Content-Type: application/offset+octet-stream\r\nTus-Resumable: 1.0.0\r\n"
            f"Authorization: {served.headers()['Authorization']}\r\n\r\n"
        )
        line.sendall(head.encode() + content)
        yield


@pytest.mark.slow
def test_a_server_killed_in_the_middle_of_an_upload_loses_nothing_that_it_acknowledged(
    served: Served,
) -> None:
    content = os.urandom(40 * MEBIBYTE)
    headers = {**served.headers(), **TUS}
    made = httpx2.post(
        f"{served.address}/v1/uploads",
        headers={
            **headers,
            "Upload-Length": str(len(content)),
            "Upload-Metadata": said(
                filename="a.bin", case=served.case, sha256=hashlib.sha256(content).hexdigest()
            ),
        },
    )
    path = made.headers["location"]
    with half_sent(served, path, len(content), content[: 21 * MEBIBYTE]):
        until = time.monotonic() + 30
        while time.monotonic() < until and served.outcome(path)["offset"] == 0:
            time.sleep(0.05)
        served.kill()
    served.start()
    offset = int(httpx2.head(served.address + path, headers=headers).headers["upload-offset"])
    assert 0 < offset <= 21 * MEBIBYTE
    answer = httpx2.patch(
        served.address + path,
        headers={
            **headers,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        },
        content=content[offset:],
        timeout=120,
    )
    assert answer.status_code == 204
    outcome = served.outcome(path)["outcome"]
    assert outcome["status"] == "ingested"
    assert served.stored(outcome["ern"]) == content
    assert served.stop() == 0


@pytest.mark.slow
def test_a_half_open_line_is_taken_over_at_once_and_the_server_answers_meanwhile(
    served: Served,
) -> None:
    headers = {**served.headers(), **TUS}
    made = httpx2.post(
        f"{served.address}/v1/uploads",
        headers={
            **headers,
            "Upload-Length": "10",
            "Upload-Metadata": said(filename="a", case=served.case),
        },
    )
    path = made.headers["location"]
    with half_sent(served, path, 10, b"12345"):
        started = time.monotonic()
        assert httpx2.get(f"{served.address}/health").status_code == 200
        assert httpx2.head(served.address + path, headers=headers).headers["upload-offset"] == "0"
        answer = httpx2.patch(
            served.address + path,
            headers={
                **headers,
                "Upload-Offset": "0",
                "Content-Type": "application/offset+octet-stream",
            },
            content=b"ABCDEFGHIJ",
        )
        assert answer.status_code == 204
        assert time.monotonic() - started < 10
    assert served.stored(served.outcome(path)["outcome"]["ern"]) == b"ABCDEFGHIJ"


@pytest.mark.slow
def test_tuspy_which_we_did_not_write_uploads_and_resumes(served: Served) -> None:
    content = os.urandom(3 * MEBIBYTE + 17)
    client = tus.TusClient(f"{served.address}/v1/uploads", headers=served.headers())
    metadata = {"filename": "video.bin", "case": served.case}
    first = client.uploader(
        file_stream=io.BytesIO(content),
        chunk_size=MEBIBYTE,
        metadata=metadata,
        upload_checksum=True,
    )
    first.upload_chunk()  # type: ignore[no-untyped-call] # the library has no types
    again = client.uploader(
        file_stream=io.BytesIO(content), chunk_size=MEBIBYTE, url=first.url, metadata=metadata
    )
    assert again.get_offset() == MEBIBYTE
    again.upload()
    path = "/v1/uploads/" + str(first.url).rpartition("/")[2]
    assert served.stored(served.outcome(path)["outcome"]["ern"]) == content


@pytest.mark.slow
def test_no_request_that_the_openapi_allows_makes_the_server_fail(tmp_path: Path) -> None:
    served = Served(tmp_path / "home", "--origin", ORIGIN, "--passwords", everybody=True)
    served.start()
    try:
        _probe(served)
    finally:
        served.kill()


def _probe(served: Served) -> None:
    """Requests of every kind, by nobody and by an officer of each role, and of another State."""
    answer = httpx2.get(f"{served.address}/v1/openapi.json")
    document = answer.json()
    for streamed in ("/v1/uploads/{identifier}", "/v1/peer/deliveries"):
        document["paths"].pop(streamed)  # the protocols' own tests are better
    document["paths"]["/v1/uploads"]["post"].pop("requestBody")  # likewise
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig())
    schema.config.update(base_url=served.address)
    seen: Counter[int] = Counter()
    callers = [None, *(f"own-{role}" for role in OfficerRole), "b-central", "c-central"]
    tokens = [{} if name is None else served.headers(name) for name in callers]
    for operation in schema.get_all_operations():
        assert isinstance(operation, Ok)
        _examine(operation.ok().as_strategy(), tokens, served.address, seen)
    assert seen[401]
    assert seen[200]


def _examine(
    strategy: Any, tokens: list[dict[str, str]], address: str, seen: "Counter[int]"
) -> None:
    """Requests of one kind, each by every caller: never a failure, and every refusal a problem."""

    @settings(max_examples=2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def check(case: Any) -> None:
        for headers in tokens:
            response = case.call(base_url=address, headers=headers)
            seen[response.status_code] += 1
            assert response.status_code < 500, (case.method, case.path, response.text)
            declared = case.operation.definition.raw["responses"]
            assert str(response.status_code) in declared, (case.method, case.path, response.text)
            case.validate_response(response, checks=[response_schema_conformance])
            if response.status_code >= 400:
                assert json.loads(response.text)["code"]

    check()


@pytest.mark.slow
def test_push_goes_on_after_it_was_killed_and_sends_nothing_twice(
    served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "field"
    folder.mkdir()
    contents = {"a.bin": os.urandom(30 * MEBIBYTE), "b.txt": b"note"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    first = _push(served, folder)
    until = time.monotonic() + 30
    while time.monotonic() < until and not _progress(served):
        time.sleep(0.02)
    first.kill()
    first.communicate(timeout=30)
    again = _push(served, folder)
    out, _ = again.communicate(timeout=120)
    rows = [json.loads(line) for line in out.splitlines()]
    assert again.returncode == 0
    for row in rows:
        assert served.stored(row["ern"]) == contents[row["path"].rpartition("/")[2]]
    third = _push(served, folder)
    out, _ = third.communicate(timeout=120)
    assert [json.loads(line)["ern"] for line in out.splitlines()] == [row["ern"] for row in rows]


def _push(served: Served, folder: Path) -> "subprocess.Popen[str]":
    run = "import sys; from api.cli.main import main; sys.exit(main())"
    arguments = ["push", str(folder), "--to", served.address, "--case", served.case, "--json"]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", run, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "EVIDENCE_TOKEN": served.tokens["prosecutor"]},
        cwd=Path(__file__).parents[2],
    )


def _progress(served: Served) -> bool:
    folder = served.home / "uploads"
    return folder.exists() and any(each.stat().st_size > MEBIBYTE for each in folder.iterdir())


def test_a_stop_ends_an_upload_that_brings_nothing_just_now_with_all_that_came(
    served: Served,
) -> None:
    came = b"x" * (30 * MEBIBYTE + 777)
    path = served.begun(40 * MEBIBYTE)
    with Line(served) as line:
        head = {**OFFSET, "Upload-Offset": 0, "Content-Length": 40 * MEBIBYTE}
        line.say(served.head("PATCH", path, **{k.replace("-", "_"): v for k, v in head.items()}))
        line.say(came)
        time.sleep(3)  # it pauses; what came is received
        started = time.monotonic()
        assert served.stop() == 0
        assert time.monotonic() - started < 20
        assert statuses(line.hear()) == [503]
    served.start()
    assert served.offset(path) == len(came)


def test_slow_bodies_of_a_stranger_shut_nobody_out(served: Served) -> None:
    """270 of one address, each under another token that is none; they are refused or wait apart."""
    with ExitStack() as lines:
        opened = [lines.enter_context(Line(served)) for _ in range(270)]
        for number, line in enumerate(opened):
            shown = {"Authorization": f"Bearer nobody{number}", "Content-Length": 1_000_000}
            line.say(
                served.head("POST", "/v1/cases", Content_Type="application/json", **shown)
                + b"x" * 1400
            )
        for name in ("prosecutor", "central", "prosecutor"):
            assert served.asked("GET", "/v1/items", name).status_code == 200
        body = {"json": {"to": "nobody", "document": {}}}
        refused = [statuses_now(line) for line in opened]
        assert refused.count([429]) == 270 - 64
        assert served.asked("POST", "/v1/requests", "b-prosecutor", **body).status_code == 429
    deadline = time.monotonic() + 10
    while served.asked("POST", "/v1/requests", "b-prosecutor", **body).status_code == 429:
        assert time.monotonic() < deadline, "the lines are gone, and their bodies still count"
        time.sleep(0.1)


def statuses_now(line: Line) -> list[int]:
    """The status codes of what a server has said on a line up to now."""
    line.socket.settimeout(0.01)
    return statuses(line.hear())
