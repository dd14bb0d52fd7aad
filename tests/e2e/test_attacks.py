"""What hostile clients send to a real server, and what they get: an answer, an end, and nothing else."""

import gzip
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.served import MEBIBYTE, OFFSET, TUS, Line, Served, said, statuses

pytestmark = pytest.mark.slow
HEAD_SECONDS = 2
SLOW_SECONDS = 4
CONNECTIONS = 60
JSON = "application/json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all of it, which waits for nobody long: every attack finds it after the others."""
    found = Served(
        tmp_path_factory.mktemp("attacked") / "home",
        http_head_seconds=HEAD_SECONDS,
        http_slow_seconds=SLOW_SECONDS,
        http_connections_max=CONNECTIONS,
    )
    found.start()
    yield found
    assert found.stop() == 0
    log = found.log.read_text()
    assert "Traceback" not in log
    assert found.tokens["prosecutor"] not in log


# ------------------------------------------------------------------ what is no proper request


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /v1/items\r\n\r\n", 400),
        (b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nA\x00B: 1\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nA: 1\x00\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n folded: 1\r\n\r\n", 400),
        (b"CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"x" * 300_000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: 1\r\n" * 5000 + b"\r\n", 431),
        (b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    ],
)
def test_what_is_no_proper_request_is_answered_with_a_problem(
    server: Served, request_bytes: bytes, status: int
) -> None:
    with Line(server, timeout=3) as line:
        line.say(request_bytes)
        heard = line.hear()
    assert statuses(heard) == [status]
    assert b"application/problem+json" in heard


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        b"Content-Length: 6\r\nContent-Length: 5\r\n",
        b"Content-Length: 6\r\nContent-Length: 6\r\n",
        b"Content-Length: +6\r\n",
        b"Content-Length: 0x6\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ],
)
def test_nothing_is_smuggled_behind_a_body_of_two_lengths(server: Served, framing: bytes) -> None:
    """The second request would be answered if the two lengths were read differently."""
    smuggled = b"0\r\n\r\nGET /v1/log/keys HTTP/1.1\r\nHost: x\r\n\r\n"
    token = server.headers()["Authorization"].encode()
    head = b"POST /v1/accesses HTTP/1.1\r\nHost: x\r\nAuthorization: " + token
    with Line(server, timeout=3) as line:
        line.say(head + b"\r\nContent-Type: application/json\r\n" + framing + b"\r\n" + smuggled)
        heard = line.hear()
    assert [each for each in statuses(heard) if each < 400] == []
    assert len(statuses(heard)) == 1
    assert server.asked("GET", "/health").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5;" + b"e" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_are_none_end_the_line_and_acknowledge_nothing(
    server: Served, body: bytes
) -> None:
    path = server.begun(5)
    head = server.head(
        "PATCH",
        path,
        **{**OFFSET, "Upload-Offset": 0, "Transfer-Encoding": "chunked"},
    )
    with Line(server, timeout=6) as line:
        line.say(head + body)
        heard = line.hear()
    assert all(each >= 400 for each in statuses(heard)) or b"hello" in body
    assert server.offset(path) in {0, 5}
    if server.offset(path) == 5:  # an extension of a chunk is allowed, and means nothing
        assert server.stored(server.outcome(path)["outcome"]["ern"]) == b"hello"


def test_a_body_that_is_compressed_is_refused_before_it_is_opened(server: Served) -> None:
    bomb = gzip.compress(bytes(200 * MEBIBYTE))
    headers = {"Content-Encoding": "gzip", "Content-Type": JSON}
    before = resident(server.pid)
    answer = server.asked("POST", "/v1/accesses", headers=headers, content=bomb[:MEBIBYTE])
    assert answer.status_code == 415
    assert answer.json()["code"] == "E415"
    path = server.begun(len(bomb))
    headers = {**OFFSET, "Upload-Offset": "0", "Content-Encoding": "gzip"}
    assert server.asked("PATCH", path, headers=headers, content=bomb).status_code == 415
    assert server.offset(path) == 0
    assert resident(server.pid) - before < 100 * MEBIBYTE


def test_a_hundred_thousand_parameters_are_refused(server: Served) -> None:
    query = "&".join(f"a{number}=1" for number in range(100_000))
    with Line(server, timeout=5) as line:
        line.say(server.head("GET", f"/v1/items?{query}"))
        assert statuses(line.hear()) in ([414], [431])
    few = "&".join(["after=SI-2026-000001"] * 60)
    assert server.asked("GET", f"/v1/items?{few}").status_code == 414


# ------------------------------------------------------------------ bodies and their lengths


def test_a_body_longer_than_stated_is_no_part_of_the_upload(server: Served) -> None:
    path = server.begun(10)
    head = server.head("PATCH", path, **{**OFFSET, "Upload-Offset": 0, "Content-Length": 10})
    with Line(server, timeout=3) as line:
        line.say(head + b"0123456789GET /v1/log/keys HTTP/1.1\r\nHost: x\r\n\r\n")
        heard = line.hear()
    # What lies behind the stated length is another request, as HTTP has it, and nothing else.
    assert statuses(heard) == [204, 200]
    assert server.stored(server.outcome(path)["outcome"]["ern"]) == b"0123456789"


def test_a_body_longer_than_the_upload_is_refused_and_leaves_no_byte(server: Served) -> None:
    path = server.begun(10)
    assert server.sent(path, 0, b"x" * 11).status_code == 413
    assert server.offset(path) == 0


def test_a_body_shorter_than_stated_keeps_what_came_and_nothing_more(server: Served) -> None:
    path = server.begun(10)
    head = server.head("PATCH", path, **{**OFFSET, "Upload-Offset": 0, "Content-Length": 10})
    with Line(server) as line:
        line.say(head + b"01234")
        time.sleep(0.5)
    time.sleep(0.5)  # whoever asks for the offset fences off whoever still stores
    offset = server.offset(path)
    assert offset in {0, 5}  # what came may be kept, but need not: nothing was acknowledged
    assert server.outcome(path)["state"] == "open"
    assert server.sent(path, offset, b"0123456789"[offset:]).status_code == 204
    assert server.stored(server.outcome(path)["outcome"]["ern"]) == b"0123456789"


def test_a_refused_body_without_end_is_not_read_for_ever(server: Served) -> None:
    head = server.head(
        "PATCH",
        "/v1/uploads/" + "0" * 32,
        **{**OFFSET, "Upload-Offset": 0, "Content-Length": 2**40},
    )
    with Line(server) as line:
        line.say(head)
        until = time.monotonic() + 20
        with pytest.raises(OSError):  # noqa: PT011, PT012 - however the line ends
            while time.monotonic() < until:
                line.say(bytes(1000))
                time.sleep(0.01)


# ------------------------------------------------------------------ those who take their time


def test_many_who_send_a_byte_a_second_shut_nobody_out_and_are_ended(server: Served) -> None:
    path = server.begun(10_000)
    body = server.head("PATCH", path, **{**OFFSET, "Upload-Offset": 0, "Content-Length": 10_000})
    json_body = server.head("POST", "/v1/accesses", Content_Type=JSON, Content_Length=1000)
    openings = [b"GET /v1/items HTTP/1.1\r\nHost: x\r\nX-A: ", body, json_body, b"\r\n"]
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(server)) for _ in range(CONNECTIONS)]
        for number, line in enumerate(lines):
            # Bodies hold their places with good reason, at first; heads do not.
            line.socket.sendall(openings[number % 4 if number < 40 else 0])
        started = time.monotonic()
        while time.monotonic() - started < SLOW_SECONDS + 2 * HEAD_SECONDS:
            for line in lines:
                try:
                    line.socket.send(b"a")
                except OSError:
                    continue
            asked = time.monotonic()
            assert httpx2.get(f"{server.address}/health", timeout=5).status_code == 200
            assert server.asked("GET", "/v1/items").status_code == 200
            assert time.monotonic() - asked < 5
            time.sleep(0.5)
        assert all(line.is_closed() for line in lines)


def test_more_connections_than_there_is_room_for_are_told_to_come_again(server: Served) -> None:
    """Those with a request under way keep their places; a newcomer is told when to ask again."""
    ern = server.taken_in(os.urandom(30 * MEBIBYTE))
    body = json.dumps({"item": ern, "action": "download", "purpose": "prosecution"})
    head = server.head("POST", "/v1/accesses", Content_Type=JSON, Content_Length=len(body))
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(server)) for _ in range(12)]
        for line in lines:
            line.say(head + body.encode())
        for line in lines:
            assert line.socket.recv(12).startswith(b"HTTP/1.1 200")
        idle = [stack.enter_context(Line(server)) for _ in range(CONNECTIONS)]
        assert server.asked("GET", "/v1/items").status_code == 200
        assert len([line for line in idle if line.is_closed()]) >= 12
        assert not any(line.socket.recv(1) == b"" for line in lines)


def test_one_who_holds_nearly_every_connection_keeps_nobody_else_out(server: Served) -> None:
    paths = [server.begun(10) for _ in range(3)]
    with ExitStack() as stack:
        for number in range(CONNECTIONS - 5):
            head = server.head(
                "PATCH", paths[number % 3], **{**OFFSET, "Upload-Offset": 0, "Content-Length": 10}
            )
            stack.enter_context(Line(server)).say(head + b"1")
        assert server.asked("GET", "/v1/cases", "central").status_code == 200


def test_who_does_not_read_an_answer_is_ended_and_the_record_says_so(server: Served) -> None:
    ern = server.taken_in(os.urandom(30 * MEBIBYTE))
    body = json.dumps({"item": ern, "action": "download", "purpose": "prosecution"})
    with Line(server) as line:
        line.socket.setsockopt(1, 8, 4096)  # SO_RCVBUF: a small one
        head = server.head("POST", "/v1/accesses", Content_Type=JSON, Content_Length=len(body))
        line.say(head + body.encode())
        row: dict[str, Any] = {"ended": None}
        until = time.monotonic() + 3 * SLOW_SECONDS + 10
        while time.monotonic() < until:
            rows = server.asked("GET", f"/v1/accesses?item={ern}").json()["accesses"]
            row = rows[0] if rows else row
            if row["ended"] is not None:
                break
            time.sleep(0.3)
    assert row["ended"] == "interrupted"
    assert 0 < row["served_bytes"] < 30 * MEBIBYTE


# ------------------------------------------------------------------ names and paths

NAMES = [
    'a"; filename="evil.exe',
    "a\r\nSet-Cookie: x=1",
    "invoice\u202egpj.exe",
    "../../etc/passwd",
    "\x00.txt",
    "x" * 10_000,
    "%0d%0aX: y",
    "Zločin čez mejo.pdf",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_never_gets_into_a_header(server: Served, name: str) -> None:
    content = os.urandom(100)
    headers = {
        **TUS,
        "Upload-Length": str(len(content)),
        "Upload-Metadata": said(filename=name, case=server.case),
    }
    made = server.asked("POST", "/v1/uploads", headers=headers)
    assert made.status_code in {201, 400}
    if made.status_code == 400:
        assert made.json()["code"] == "E100"
        return
    path = made.headers["location"]
    assert server.sent(path, 0, content).status_code == 204
    outcome = server.outcome(path)["outcome"]
    assert "ern" in outcome, outcome
    asked = {"item": outcome["ern"], "action": "download", "purpose": "prosecution"}
    answer = server.asked("POST", "/v1/accesses", json=asked)
    assert answer.content == content
    assert re.fullmatch(
        r"attachment; filename=\"[ !#-.0-\[\]-~]{1,255}\"; filename\*=UTF-8''[\w.%~-]{1,2000}",
        answer.headers["content-disposition"],
        re.ASCII,
    )
    assert "%2F" not in answer.headers["content-disposition"].upper()
    assert answer.headers["x-evidence-item"] == f"{outcome['ern']}-v1"
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"


TRICKS = [
    "..%2f..%2fetc%2fpasswd",
    "..",
    "%2e%2e",
    "%00",
    "SI-2026-000001%00",
    "SI-2026-000001%2f..%2fx",
    "SI-2026-000001/",
    "%252e%252e%252f",
    "\\..\\x",
    "' OR 1=1 --",
    "{{7*7}}",
    "${jndi:ldap://x}",
    "\u202e1",
    "%ff%fe",
    "9" * 400,
    "-1",
    "NaN",
    "1e309",
]


def operations(server: Served) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation of the API: method, path, description."""
    document = server.asked("GET", "/v1/openapi.json").json()
    return [
        (method.upper(), path, {**told, "components": document["components"]})
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]


def test_no_path_trick_gets_anywhere_in_any_route(server: Served) -> None:
    tried = 0
    with httpx2.Client(base_url=server.address, headers=server.headers(), timeout=30) as client:
        for method, path, _ in operations(server):
            for name in re.findall(r"{(\w+)", path):
                for trick in TRICKS:
                    spelled = quote(trick, safe="%/\\")
                    target = re.sub(r"{\w+(:path)?}", "1", path.replace(f"{{{name}}}", spelled))
                    answer = client.request(method, target, headers={"If-Match": "*", **TUS})
                    tried += 1
                    assert 400 <= answer.status_code < 500 or answer.status_code in {200, 307}, (
                        method, target, answer.status_code, answer.text,
                    )  # fmt: skip
                    assert "root:" not in answer.text
                    assert "49" not in answer.headers.get("x-evidence-rule", "")
    assert tried > 100


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://evil.example/v1/cases", {200}),
        ("//v1/cases", {400, 404}),
        ("//evil.example/v1/cases", {400, 404}),
        ("/v1//cases", {404}),
        ("/v1/./cases", {404}),
        ("/v1/items/../cases", {404}),
        ("/v1/log/tile/..%2f..%2f..%2fetc%2fpasswd", {404}),
        ("/v1/log/tile//etc/passwd", {404}),
        ("/v1/cases%00", {404}),
        ("/v1/cases;a=b", {404}),
        ("/v1/cases#x", {200, 400}),
        ("*", {400, 404}),
    ],
)
def test_a_target_of_another_form_is_its_path_or_nothing(
    server: Served, target: str, expected: set[int]
) -> None:
    with Line(server, timeout=3) as line:
        line.say(server.head("GET", target, Connection="close"))
        heard = line.hear()
    assert set(statuses(heard)) <= expected, heard
    assert statuses(heard)
    assert b"evil" not in heard  # no redirection to what the client calls us


# ------------------------------------------------------------------ texts

TEXTS = [
    "'; DROP TABLE item; --",
    "{{ self.__init__.__globals__ }} ${7*7} <%= 7*7 %> #{7*7}",
    "<script>alert(1)</script>",
    "a\u202eb\ufeff\u0000c",
    "\U0001f600 č",
    "\ud83d",
    "A" * 70_000,
]


def test_a_text_in_any_field_of_any_route_is_a_text(server: Served) -> None:
    """Driven by the API's own description: every text field of every body and every query."""
    before = json.dumps(server.asked("GET", "/v1/cases").json())
    tried = kept = 0
    with httpx2.Client(base_url=server.address, headers=server.headers(), timeout=60) as client:
        for method, path, told in operations(server):
            schema = body_of(told)
            target = re.sub(r"{\w+(:path)?}", "SI-REQ-000001", path)
            for text in TEXTS:
                body = None if schema is None else filled(schema, told["components"], text)
                parameters = {
                    each["name"]: text[:2000].encode(errors="replace").decode()
                    for each in told.get("parameters", [])
                    if each["in"] == "query"
                }
                answer = client.request(
                    method,
                    target,
                    params=parameters,
                    headers={"If-Match": "*", **TUS},
                    content=None if body is None else json.dumps(body),
                )
                tried += 1
                kept += answer.status_code < 300
                assert answer.status_code < 500, (method, target, text[:20], answer.text)
                assert "Traceback" not in answer.text
                assert "sqlite" not in answer.text.lower()
    assert tried > 200
    assert kept
    assert json.dumps(server.asked("GET", "/v1/cases").json()) == before


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_returned_as_it_was_said_or_refused(server: Served, text: str) -> None:
    body = {"to": "prosecutor", "document": {"kind": "training", "facts": text}}
    content = json.dumps(body)
    made = server.asked(
        "POST", "/v1/requests", "b-prosecutor", headers={"Content-Type": JSON}, content=content
    )
    assert made.status_code in {201, 400, 422}, made.text
    if made.status_code == 201:
        shown = server.asked("GET", f"/v1/requests/{made.json()['request']}", "b-prosecutor")
        assert shown.json()["document"]["facts"] == text
        assert shown.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 500_000,
        b'{"document":' * 50_000,
        b'{"item": "\xff\xfe"}',
        b'{"item": NaN}',
        b'{"item": Infinity, "version": 1e400}',
        b'{"item": "x", "version": ' + b"9" * 5000 + b"}",
        b'{"item": "x", "version": 1, "version": 2}',
        b'{"item": "\\ud800"}',
        b'{"item": "x", "purpose": "\\u0000"}',
        b"\x00" * 1000,
        b"",
    ],
)
def test_json_that_is_none_or_has_no_measure_is_refused(server: Served, content: bytes) -> None:
    answer = server.asked("POST", "/v1/accesses", headers={"Content-Type": JSON}, content=content)
    assert answer.status_code in {400, 404, 422}, answer.text
    assert answer.json()["code"] in {"E100", "E404"}


# ------------------------------------------------------------------ memory


def test_memory_is_flat_under_eight_transfers_at_once(server: Served) -> None:
    size = 64 * MEBIBYTE
    contents = [os.urandom(size) for _ in range(8)]
    server.taken_in(contents[0][: size // 2])
    before, peak, done = resident(server.pid), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, resident(server.pid))

    erns: dict[int, str] = {}

    def transfer(number: int) -> None:
        erns[number] = server.taken_in(contents[number])

    threads = [threading.Thread(target=transfer, args=(number,)) for number in range(8)]
    watching = threading.Thread(target=watch)
    watching.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    watching.join()
    assert len(erns) == 8
    # Eight segments of 8 MiB, each received, sealed and written, and one file that is shown: not 512 MiB.
    assert peak - before < 400 * MEBIBYTE


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def body_of(told: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of an operation's JSON body."""
    content = told.get("requestBody", {}).get("content", {})
    found: dict[str, Any] | None = content.get(JSON, {}).get("schema")
    return found


def filled(schema: dict[str, Any], components: dict[str, Any], text: str) -> Any:  # noqa: ANN401, PLR0911 - any JSON
    """A value of this schema in which every text is `text`."""
    if "$ref" in schema:
        return filled(components["schemas"][schema["$ref"].rpartition("/")[2]], components, text)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return filled(schema[several][0], components, text)
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {name: filled(each, components, text) for name, each in fields.items()} or {
                "kind": "training",
                text[:50]: text,
            }
        case "array":
            return [filled(schema.get("items", {}), components, text)]
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case _:
            return text
