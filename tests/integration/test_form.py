"""The form of answers over HTTP: methods, hosts, validators, problems, and what they never repeat."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import MutableMapping
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from api.http.codes import CODES
from api.http.connections import Patience, patient
from api.http.languages import LANGUAGES, title
from api.http.problems import status_of
from api.http.signin import TRIES_MAX
from api.http.uploads import TusError
from api.http.watching import Counts
from api.push_state import PushState
from api.pushing import Pushing
from evidence_store.errors import EvidenceError, MalformedError
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
    sent: list[Any] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def asked() -> None:
        await doors.client.app(scope, receive, send)

    asyncio.run(asked())
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
    seen = doors("prosecutor", "GET", f"{path}/custody").headers["etag"]
    weak = {"If-Match": f"W/{seen}"}
    refused = doors("prosecutor", "POST", f"{path}/acts", json={"act": "moved"}, headers=weak)
    assert refused.status_code == 412


def test_what_changes_a_thing_says_of_which_version(doors: Doors) -> None:  # noqa: F811 - the fixture
    offer = {
        "items": [str(doors.world.item())], "to": "bravo-central", "to_person": "B",
        "purpose": "analysis", "reference": "Kt 1", "valid_until": "2099Z",
    }  # fmt: skip
    state = {"entry": "state", "code": "XD", "name": "D", "kind": "state", "languages": ["en"]}
    transfer = doors("prosecutor", "POST", "/v1/transfers", json=offer).headers["location"]
    change = doors("registrar", "POST", "/v1/registry", json={"entry": state}).headers["location"]
    grant = str(doors.world.grant(doors.world.document(doors.world.item(), mode="certified_copy")))
    asked = {"subject": "onward", "grant": grant, "to": "charlie-central", "reason": "trial"}
    consent = doors("b-prosecutor", "POST", "/v1/consents", json=asked).headers["location"]
    for who, path, step, body in (
        ("b-central", transfer, "/steps", {"act": "accepted"}),
        ("second", change, "/rejection", {"reason": "wrong"}),
        ("second", change, "/approval", None),
        ("central", consent, "/answer", {"act": "given", "reason": "trial"}),
    ):
        seen = doors(who, "GET", path).headers["etag"]
        token = {"Authorization": f"Bearer {doors.token(who)}"}
        for header, status in (({}, 428), ({"If-Match": '"0"'}, 412)):
            answer = doors.client.post(path + step, json=body, headers={**token, **header})
            assert answer.status_code == status, (path + step, answer.text)
        if step != "/rejection":
            done = doors.client.post(path + step, json=body, headers={**token, "If-Match": seen})
            assert done.status_code == 200, (path + step, done.text)


def test_a_parameter_that_says_nothing_is_refused_and_not_passed_over(doors: Doors) -> None:  # noqa: F811 - the fixture
    for path in ("/v1/items?case=SI-CASE-0001", "/v1/items?limit=1&x'--=1", "/v1/log/keys?a=1"):
        answer = doors("prosecutor", "GET", path)
        assert (answer.status_code, answer.json()["code"]) == (422, "E100"), path
        assert "x'--" not in answer.text
    assert "after, limit" in doors("prosecutor", "GET", "/v1/items?case=x").json()["detail"]
    assert doors.client.get("/?from=a-link").status_code == 200


def test_what_makes_a_thing_has_a_key_or_says_why_not(doors: Doors) -> None:  # noqa: F811 - the fixture
    for path, operations in _openapi(doors)["paths"].items():
        post = operations.get("post", {})
        names = {each["name"] for each in post.get("parameters", [])}
        if "201" in post.get("responses", {}) and not path.startswith(("/v1/enrol", "/v1/peer")):
            said = "Idempotency-Key" in names or "Idempotency-Key" in post["description"]
            assert said, path


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
    path = "/v1/session/passkey/options"
    answers = [doors.client.post(path, json={}, headers=headers) for _ in range(TRIES_MAX + 1)]
    answer = answers[-1]
    assert answer.status_code == 429
    seconds = int(answer.headers["retry-after"])
    assert 1 <= seconds <= 60
    assert f"{seconds} s" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/cases", {}, {"pointer": "/title"}),
        ("/v1/cases", {"title": ["x"]}, {"pointer": "/title"}),
        ("/v1/cases", [], {"pointer": ""}),
        ("/v1/cases", b'{"title": x}', {"pointer": ""}),
        ("/v1/items?limit=0", None, {"parameter": "limit"}),
        ("/v1/states?known_at=x", None, {"parameter": "known_at"}),
    ],
)
def test_a_problem_points_into_the_body_or_names_the_parameter(
    doors: Doors,  # noqa: F811 - the fixture
    path: str,
    body: object,
    expected: dict[str, str],
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    method = "GET" if body is None else "POST"
    answer = doors("registrar", method, path, content=content, headers=headers)
    assert answer.status_code == 422, answer.text
    (found,) = answer.json()["errors"]
    del found["detail"]
    assert found == expected


def test_a_header_that_is_wrong_is_named(doors: Doors) -> None:  # noqa: F811 - the fixture
    headers = {"Idempotency-Key": "x" * 129}
    answer = doors("registrar", "POST", "/v1/cases", json={"title": "Case"}, headers=headers)
    (found,) = answer.json()["errors"]
    assert found["header"] == "Idempotency-Key"


def _codes_raised() -> dict[str, set[type[EvidenceError]]]:
    """The classes that have each code, of all that is loaded."""
    found: dict[str, set[type[EvidenceError]]] = {}

    def walk(kind: type[EvidenceError]) -> None:
        if "code" in vars(kind):
            found.setdefault(kind.code, set()).add(kind)
        for each in kind.__subclasses__():
            walk(each)

    walk(EvidenceError)
    return found


def test_a_code_means_one_thing_and_is_explained() -> None:
    raised = _codes_raised()
    # A refusal is a refusal, by policy or by the way in; a conflict is one, of names or of writers; and
    # bytes are other bytes, of a version or of a source that came again.
    shared = {"E100", "E200", "E403", "E409"}
    assert {code for code, kinds in raised.items() if len(kinds) > 1} <= shared
    root = Path(__file__).parents[2] / "api"
    spelled = {
        code
        for path in root.rglob("*.py")
        for code in re.findall(r'"(E\d{3})"', path.read_text(encoding="utf-8"))
    }
    assert set(raised) | spelled == set(CODES)
    for code, kinds in raised.items():
        for kind in kinds - {EvidenceError, TusError}:  # it states its own
            status = status_of(kind.__new__(kind))
            assert status in CODES[code].statuses, (code, kind)
    for code, found in CODES.items():
        assert len({title(code, found.statuses[0], each) for each in LANGUAGES}) in {
            1,
            len(LANGUAGES),
        }


# ---- Pages -----------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("path", ["/", "/problems"])
def test_a_page_needs_no_sign_in_and_loads_nothing(doors: Doors, path: str) -> None:  # noqa: F811 - the fixture
    answer = doors.client.get(path, headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy  # or the browser would not apply it
    tags = _Page(answer.text).tags
    assert ("html", {"lang": "en"}) in tags
    assert [name for name, _ in tags].count("h1") == 1
    assert not {"script", "img", "link", "iframe", "form"} & {name for name, _ in tags}
    for _, attributes in tags:
        assert not [
            each for each in attributes if each.startswith("on") or each in {"src", "style"}
        ]
        target = attributes.get("href") or "/"
        assert target.startswith("/")
        assert doors.client.get(target).status_code in {200, 404}  # nothing is sealed yet


def test_the_front_page_names_the_log_and_how_to_verify(doors: Doors) -> None:  # noqa: F811 - the fixture
    text = doors.client.get("/").text
    assert doors(None, "GET", "/v1/log/keys").json()["origin"] in text
    for each in (
        "/v1/log/checkpoint",
        "/v1/log/keys",
        "/v1/openapi.json",
        "/problems",
        "verify.py",
        "verify.sh",
    ):
        assert each in text


def test_the_type_of_a_problem_leads_to_what_it_means(doors: Doors) -> None:  # noqa: F811 - the fixture
    kind = doors("prosecutor", "GET", "/v1/nothing").json()["type"]
    path, _, anchor = kind.partition("#")
    page = doors.client.get(path, headers={"Accept": "text/html", "Accept-Language": "ar"})
    assert ("h2", {"id": anchor}) in _Page(page.text).tags
    assert 'dir="rtl"' in page.text
    listed = doors.client.get(path, headers={"Accept-Language": "uk"})
    assert listed.headers["content-type"] == "application/json"
    assert [each["code"] for each in listed.json()["problems"]] == list(CODES)
    assert listed.headers["content-language"] == "uk"


def test_browsers_and_search_engines_get_what_they_ask_for_unasked(doors: Doors) -> None:  # noqa: F811 - the fixture
    assert doors.client.get("/favicon.ico").status_code == 204
    assert doors.client.get("/robots.txt").text == "User-agent: *\nDisallow: /\n"


# ---- OpenAPI ---------------------------------------------------------------------------------------


def test_every_operation_says_its_ways_in_and_its_headers(doors: Doors) -> None:  # noqa: F811 - the fixture
    document = _openapi(doors)
    assert document["servers"][0]["url"] == "https://evidence.example"
    assert set(document["components"]["securitySchemes"]) == {"HTTPBearer", "session", "peer"}
    described = {each["name"]: each["description"] for each in document["tags"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where, responses = (method, path), operation["responses"]
            ways = {name for each in operation.get("security", []) for name in each}
            if path.startswith(("/v1/session", "/v1/tokens", "/v1/enrolments")):
                is_open = operation["operationId"] in {
                    "ask_passkey", "sign_in_by_passkey", "sign_in_by_password",
                    "list_providers", "begin_at_provider", "come_back_from_provider",
                }  # fmt: skip
                assert ways == (set() if is_open else {"session"}), where
            elif path.startswith("/v1/peer"):
                assert ways == {"peer"}, where
            elif ways:
                assert ways == {"HTTPBearer", "session"}, where
            assert all(described[each] for each in operation["tags"]), where
            assert {"405", "500"} <= set(responses), where
            assert ("304" in responses) <= (method == "get"), where
            names = {each["name"] for each in operation.get("parameters", [])}
            assert ("If-None-Match" in names) == ("304" in responses), where
            if "304" in responses:
                assert "ETag" in responses["200"]["headers"], where
            assert "Retry-After" in responses["429"]["headers"], where
            assert "Allow" in responses["405"]["headers"], where
            if "after" in names:
                assert "Link" in responses["200"]["headers"], where


def test_the_codes_and_the_times_are_described(doors: Doors) -> None:  # noqa: F811 - the fixture
    schemas = _openapi(doors)["components"]["schemas"]
    assert schemas["Problem"]["properties"]["code"]["enum"] == list(CODES)
    for name, schema in schemas.items():
        if name.endswith("Asked"):
            continue  # what somebody states may be as inexact as it is known
        for field, found in schema.get("properties", {}).items():
            if field.endswith("_at") and field not in {"roles_at", "collected_at", "occurred_at"}:
                kinds = [each for each in found.get("anyOf", [found]) if each["type"] == "string"]
                assert [each.get("format") for each in kinds] == ["date-time"], (name, field)


def test_an_upload_can_be_built_from_the_description(doors: Doors) -> None:  # noqa: F811 - the fixture
    operations = {
        operation["operationId"]: operation
        for path in _openapi(doors)["paths"].values()
        for operation in path.values()
    }

    def asked(name: str) -> set[str]:
        return {each["name"] for each in operations[name]["parameters"] if each["in"] == "header"}

    create, append = operations["create_upload"], operations["append_to_upload"]
    assert {"Tus-Resumable", "Upload-Length", "Upload-Metadata"} <= asked("create_upload")
    assert {"Tus-Resumable", "Upload-Offset", "Upload-Checksum"} <= asked("append_to_upload")
    assert "application/offset+octet-stream" in append["requestBody"]["content"]
    assert "Location" in create["responses"]["201"]["headers"]
    assert "Upload-Offset" in append["responses"]["204"]["headers"]


def test_times_are_spelled_in_one_way(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern = doors.world.item()
    doors.world.grant(doors.world.document(ern))
    for path in (
        "/v1/cases", "/v1/items", f"/v1/items/{ern}", f"/v1/items/{ern}/custody",
        f"/v1/items/{ern}/events", f"/v1/items/{ern}/versions", "/v1/grants", "/v1/officers",
        "/v1/states",
    ):  # fmt: skip
        answer = doors("prosecutor", "GET", path)
        assert answer.status_code == 200, path
        assert re.search(r"\d\d:\d\d[\d:.]*Z\"", answer.text), path
        assert "+00:00" not in answer.text, path


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

        protocol: Any = patient(Patience(), counts.unread)
        config = Config(app, http=protocol, lifespan="off")
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: protocol(config, ServerState(), {}), "127.0.0.1", 0
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
