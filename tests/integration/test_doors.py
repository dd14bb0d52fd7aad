"""The HTTP API: who may call what, what comes back, and what does not."""

import hashlib
import json
from datetime import timedelta

import pytest

from api.http.app import BODY_BYTES_MAX, PARAMETERS_MAX
from evidence_store.granting import step
from tests.doors import Doors, doors  # noqa: F401 - a fixture


def test_a_token_counts_until_it_is_ended_or_over(doors: Doors) -> None:  # noqa: F811 - the fixture
    text = doors.token("prosecutor", "read")
    as_it = {"headers": {"Authorization": f"Bearer {text}"}}
    assert doors(None, "GET", "/v1/items", **as_it).status_code == 200
    (token,) = doors.instance.doors.tokens(doors.world.people["prosecutor"])
    assert text not in repr(token)
    doors.instance.doors.end_token(token.officer, token.id, doors.instance.clock.now())
    assert doors(None, "GET", "/v1/items", **as_it).status_code == 401
    for wrong in (text[:-1] + "x", "evr_pat_", "x", "", text + "1"):
        answer = doors(None, "GET", "/v1/items", headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401
    over = doors.token("prosecutor", "read", life=timedelta(microseconds=1))
    answer = doors(None, "GET", "/v1/items", headers={"Authorization": f"Bearer {over}"})
    assert answer.status_code == 401


def test_what_one_may_not_know_of_is_not_there(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern = str(doors.world.item())
    assert doors("prosecutor", "GET", f"/v1/items/{ern}").json()["ern"] == ern
    for path in (
        f"/v1/items/{ern}",
        f"/v1/items/{ern}/versions",
        f"/v1/items/{ern}/custody",
        f"/v1/accesses?item={ern}",
    ):
        here = doors("b-central", "GET", path)
        there = doors("b-central", "GET", path.replace(ern, "SI-2026-999999"))
        assert here.status_code == there.status_code == 404
        assert _same(here.json(), ern) == _same(there.json(), "SI-2026-999999")
    assert doors("b-central", "GET", "/v1/items").json() == {"items": [], "next_cursor": None}


def _same(body: dict[str, object], ern: str) -> str:
    return json.dumps({**body, "request_id": ""}).replace(ern, "")


def test_a_whole_cooperation_over_http(doors: Doors) -> None:  # noqa: F811 - the fixture
    content = b"x" * 3_000_000
    ern = doors.world.item(content)
    made = doors(
        "prosecutor", "POST", "/v1/grants", json={"document": doors.world.document(ern)}
    ).json()
    grant = made["grant"]
    assert made["missing"] == []
    offered = doors("central", "POST", f"/v1/grants/{grant}/steps", json={"act": "offered"})
    assert offered.status_code == 200
    steps = f"/v1/grants/{grant}/steps"
    assert doors("prosecutor", "POST", steps, json={"act": "offered"}).status_code == 409
    wrong = doors("b-central", "POST", steps, json={"act": "accepted", "terms": "0" * 64})
    assert wrong.status_code == 400
    accepted = doors("b-central", "POST", steps, json={"act": "accepted", "terms": made["terms"]})
    assert accepted.json()["state"] == "active"
    asked = {"item": str(ern), "action": "download", "purpose": "prosecution", "grant": grant}
    answer = doors("b-central", "POST", "/v1/accesses", json=asked)
    assert answer.content == content
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-length"] == str(len(content))
    for name, value in (("x-content-type-options", "nosniff"), ("cache-control", "no-store")):
        assert answer.headers[name] == value
    assert "sandbox" in answer.headers["content-security-policy"]
    part = doors(
        "b-central", "POST", "/v1/accesses", json=asked,
        headers={"Range": "bytes=1000000-", "If-Range": answer.headers["etag"]},
    )  # fmt: skip
    assert part.status_code == 206
    assert part.content == content[1_000_000:]
    assert part.headers["content-range"] == f"bytes 1000000-2999999/{len(content)}"
    assert part.headers["repr-digest"] == answer.headers["repr-digest"]
    beyond = doors(
        "b-central", "POST", "/v1/accesses", json=asked, headers={"Range": "bytes=3000000-"}
    )
    assert beyond.status_code == 416
    other = doors("b-central", "POST", "/v1/accesses", json={**asked, "purpose": "trial"})
    assert (other.status_code, other.json()["rule"]) == (403, "purpose-not-granted")
    record = doors("auditor", "GET", f"/v1/accesses?item={ern}").json()["accesses"]
    assert [(each["decision"], each["served_bytes"]) for each in record[:2]] == [
        ("allow", 3_000_000),
        ("allow", 2_000_000),
    ]
    revoked = doors("central", "POST", steps, json={"act": "revoked", "reason": "over"})
    assert revoked.json()["state"] == "revoked"
    assert doors("b-central", "POST", "/v1/accesses", json=asked).status_code == 404


def test_a_revocation_stops_a_download_under_way(doors: Doors) -> None:  # noqa: F811 - the fixture
    content = b"x" * (40 * 1024 * 1024)
    ern = doors.world.item(content)
    grant = doors.world.grant(doors.world.document(ern))
    from api import cooperation  # noqa: PLC0415 - of this test
    from evidence_store.accessing import Question, ask, serve  # noqa: PLC0415 - likewise
    from evidence_store.errors import DeniedError  # noqa: PLC0415 - likewise
    from evidence_store.sharing.terms import Action  # noqa: PLC0415 - likewise

    desk = doors.world.desk("b-central")
    question = Question(ern, None, Action.DOWNLOAD, "prosecution", grant)
    opening = ask(desk, cooperation.policy(), question)
    pieces = serve(desk, cooperation.policy(), opening, doors.instance.vault)
    left = len(next(pieces))
    step(doors.world.desk("central"), grant, "revoked", {}, "over")
    with pytest.raises(DeniedError):
        next(pieces)
    assert left < len(content)


def test_problems_have_codes_and_pointers_and_no_traceback(doors: Doors) -> None:  # noqa: F811 - the fixture
    answer = doors("prosecutor", "POST", "/v1/accesses", json={"item": 7})
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, body["code"]) == (422, "E100")
    assert {each["pointer"] for each in body["errors"]} >= {"/item", "/purpose"}
    assert answer.headers["x-request-id"] == body["request_id"]
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/items", 405),
        ("GET", "/v1/items?after=nonsense", 400),
        ("GET", "/v1/items?limit=100000", 422),
        ("GET", "/v1/items/" + "%00" * 3, 400),
        ("GET", "/v1/items/..%2f..%2fetc", 404),
        ("GET", "/v1/log/tile/../../../etc/passwd", 404),
        ("GET", "/v1/log/tile/0/x00", 404),
        ("GET", f"/v1/log/proofs/{2**70}", 422),
    ):
        answer = doors("prosecutor", method, path)
        assert answer.status_code == status, path
        assert "Traceback" not in answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_what_is_larger_than_anybody_needs_is_refused(doors: Doors) -> None:  # noqa: F811 - the fixture
    many = "&".join(f"a{number}=1" for number in range(PARAMETERS_MAX + 1))
    assert doors("prosecutor", "GET", f"/v1/items?{many}").status_code == 414
    assert doors("prosecutor", "GET", "/v1/items?a=" + "x" * 9000).status_code == 414
    large = b" " * (BODY_BYTES_MAX + 1)
    assert doors("prosecutor", "POST", "/v1/accesses", content=large).status_code == 413
    as_upload = {"Content-Type": "application/offset+octet-stream"}
    answer = doors("prosecutor", "POST", "/v1/accesses", content=large, headers=as_upload)
    assert answer.status_code == 413

    def trickling() -> object:
        for _ in range(20):
            yield b" " * (BODY_BYTES_MAX // 10)

    answer = doors("prosecutor", "POST", "/v1/accesses", content=trickling())
    assert (answer.status_code, answer.json()["code"]) == (413, "E413")


@pytest.mark.parametrize(
    "text", ["' OR 1=1 --", "{{7*7}}", "${jndi:x}", "\u202eabc", "a\r\nSet-Cookie: x=1"]
)
def test_text_that_means_something_elsewhere_means_nothing_here(doors: Doors, text: str) -> None:  # noqa: F811 - the fixture
    body = {"to": doors.world.home.value, "document": {"kind": "training", "facts": text}}
    made = doors("b-prosecutor", "POST", "/v1/requests", json=body)
    assert made.status_code == 201
    shown = doors("b-prosecutor", "GET", f"/v1/requests/{made.json()['request']}").json()
    assert shown["document"]["facts"] == text
    answer = doors("b-prosecutor", "GET", "/v1/items/x", headers={"If-Range": "x"})
    assert "set-cookie" not in answer.headers


def test_the_log_is_public_and_can_be_kept(doors: Doors) -> None:  # noqa: F811 - the fixture
    doors(
        "prosecutor",
        "POST",
        "/v1/grants",
        json={"document": doors.world.document(doors.world.item())},
    )
    note = doors(None, "GET", "/v1/log/checkpoint")
    assert note.status_code == 200
    size = int(note.text.splitlines()[1])
    assert (
        doors(None, "GET", f"/v1/log/tile/0/000.p/{size}")
        .headers["cache-control"]
        .endswith("immutable")
    )
    assert doors(None, "GET", "/v1/log/proofs/0").text.startswith("c2sp.org/tlog-proof@v1")
    assert doors(None, "GET", f"/v1/log/proofs/{size}").status_code == 404
    keys = doors(None, "GET", "/v1/log/keys").json()
    assert keys["origin"] == note.text.splitlines()[0]


def test_a_transfer_over_http_is_for_its_two_sides(doors: Doors) -> None:  # noqa: F811 - the fixture
    content = b"content"
    ern = str(doors.world.item(content))
    body = {
        "items": [ern], "to": "bravo-central", "to_person": "B", "purpose": "analysis",
        "reference": "Kt 1", "valid_until": "2099Z",
    }  # fmt: skip
    made = doors("prosecutor", "POST", "/v1/transfers", json=body)
    assert made.status_code == 201
    path = f"/v1/transfers/{made.json()['transfer']}"
    assert doors("c-central", "GET", path).status_code == 404
    steps = f"{path}/steps"
    assert doors("prosecutor", "POST", steps, json={"act": "accepted"}).status_code == 409
    assert doors("b-central", "POST", steps, json={"act": "accepted"}).status_code == 200
    released = {"act": "released", "carrier": "C"}
    assert doors("prosecutor", "POST", steps, json=released).status_code == 200
    import blake3  # noqa: PLC0415 - of this test

    line = {
        "ern": ern, "condition": "ok", "sha256": hashlib.sha256(content).hexdigest(),
        "blake3": blake3.blake3(content).hexdigest(), "size_bytes": len(content),
    }  # fmt: skip
    received = doors("b-central", "POST", steps, json={"act": "received", "lines": [line]})
    assert received.json()["items"][0]["custodian"] == "bravo-central"
    assert received.json()["open"] == []


def test_a_change_says_which_version_it_is_of(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern = doors.world.item()
    document = {"document": doors.world.document(ern)}
    made = doors("prosecutor", "POST", "/v1/grants", json=document).json()
    path = f"/v1/grants/{made['grant']}"
    seen = doors("central", "GET", path).headers["etag"]
    offered = {"act": "offered"}
    assert (
        doors.client.post(f"{path}/steps", json=offered, headers=_as(doors, "central")).status_code
        == 428
    )
    stale = {**_as(doors, "central"), "If-Match": '"0000"'}
    assert doors.client.post(f"{path}/steps", json=offered, headers=stale).status_code == 412
    fresh = {**_as(doors, "central"), "If-Match": seen}
    assert doors.client.post(f"{path}/steps", json=offered, headers=fresh).status_code == 200
    assert doors("central", "GET", path).headers["etag"] != seen
    # Who may not know of it learns nothing from the condition either.
    other = {**_as(doors, "c-central"), "If-Match": seen}
    assert doors.client.post(f"{path}/steps", json=offered, headers=other).status_code == 404


def test_what_is_created_under_a_key_is_created_once(doors: Doors) -> None:  # noqa: F811 - the fixture
    body = {"to": doors.world.home.value, "document": {"kind": "training"}}
    key = {"Idempotency-Key": "a"}
    first = doors("b-prosecutor", "POST", "/v1/requests", json=body, headers=key)
    again = doors("b-prosecutor", "POST", "/v1/requests", json=body, headers=key)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    other = {**body, "document": {"kind": "extradition"}}
    answer = doors("b-prosecutor", "POST", "/v1/requests", json=other, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (422, "E422")
    wrong = {"to": "nobody", "document": {"kind": "training"}}
    failing = {"Idempotency-Key": "b"}
    assert (
        doors("b-prosecutor", "POST", "/v1/requests", json=wrong, headers=failing).status_code
        == 404
    )
    assert (
        doors("b-prosecutor", "POST", "/v1/requests", json=wrong, headers=failing).status_code
        == 404
    )
    # Another officer's key is another key.
    mine = doors("c-prosecutor", "POST", "/v1/requests", json=body, headers=key)
    assert mine.json()["request"] != first.json()["request"]


def _as(doors: Doors, name: str) -> dict[str, str]:  # noqa: F811 - the fixture's value
    return {"Authorization": f"Bearer {doors.token(name)}"}


def test_a_copy_for_viewing_is_marked_and_no_range_gets_round_that(doors: Doors) -> None:  # noqa: F811 - the fixture
    import io  # noqa: PLC0415 - of this test

    from PIL import Image  # noqa: PLC0415 - likewise

    from evidence_store.sharing.marking import marks_in  # noqa: PLC0415 - likewise

    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "JPEG")
    ern = doors.world.item(picture.getvalue(), media_type="image/jpeg")
    grant = doors.world.grant(doors.world.document(ern, mode="view_only"))
    asked = {"item": str(ern), "action": "view", "purpose": "prosecution", "grant": str(grant)}
    for headers in ({}, {"Range": "bytes=0-"}):
        answer = doors("b-central", "POST", "/v1/accesses", json=asked, headers=headers)
        assert answer.status_code == 200
        assert marks_in(iter([answer.content])) == [answer.headers["x-evidence-copy"]]
        assert "etag" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [
        "[" * 200_000,
        '{"document":' + "[" * 100_000,
        '{"to": "a", "document": ' + '{"a":' * 20_000,
        "\xff",
        "nan",
    ],
)
def test_a_body_that_is_no_sensible_json_is_a_problem_and_no_failure(
    doors: Doors,  # noqa: F811 - the fixture's value
    body: str,
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = doors(
        "b-prosecutor", "POST", "/v1/requests", content=body.encode("latin-1"), headers=headers
    )
    assert answer.status_code in {400, 422}
    assert answer.json()["code"] == "E100"
