"""Uploads under attack: other officers' bytes, bombs, roles, bounds, digests, and what the protocol says."""

import base64
import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from httpx2 import Response

from api.http import uploads
from api.uploading import Uploading
from evidence_store.cooperation.registry import OfficerRole
from evidence_store.doors import Upload, UploadState
from evidence_store.errors import MalformedError
from tests.authorisation import hire_everybody
from tests.doors import Doors, doors  # noqa: F401 - a fixture
from tests.integration.test_uploads import BYTES, TUS, Client, metadata, stored

PARTIAL = {**BYTES, "Upload-Concat": "partial"}


@pytest.fixture
def client(doors: Doors) -> Client:  # noqa: F811 - the fixture
    return Client(doors)


def part(client: Client, content: bytes, **more: str) -> Response:
    headers = {**PARTIAL, "Upload-Length": str(len(content)), **more}
    return client("POST", "/v1/uploads", headers, content=content)


def final(client: Client, *parts: str) -> Response:
    said = metadata(filename="a.txt", case=str(client.doors.world.case))
    headers = {**TUS, "Upload-Concat": f"final;{' '.join(parts)}", "Upload-Metadata": said}
    return client("POST", "/v1/uploads", headers)


def identifier(path: str) -> str:
    return path.rpartition("/")[2]


@pytest.mark.parametrize("name", ["concat", "concatenated", "parts"])
def test_no_metadata_makes_another_officers_bytes_ones_own(client: Client, name: str) -> None:
    client.doors.world.hire("victim", client.doors.world.home, OfficerRole.INVESTIGATOR)
    client.doors.world.assign("victim")
    victim = Client(client.doors, "victim")
    path = victim.create(10).headers["location"]
    victim.patch(path, 0, b"SECRET")
    refused = client(
        "POST",
        "/v1/uploads",
        {
            **TUS,
            "Upload-Length": "0",
            "Upload-Concat": "partial",
            "Upload-Metadata": metadata(**{name: identifier(path)}),
        },
    )
    assert refused.status_code == 400
    assert final(client, path).status_code == 404


def test_a_record_that_names_another_officers_upload_opens_nothing(client: Client) -> None:
    world, uploading = client.doors.world, client.doors.uploading
    world.hire("victim", world.home, OfficerRole.INVESTIGATOR)
    world.assign("victim")
    theirs = part(Client(client.doors, "victim"), b"SECRET").headers["location"]
    mine = uploading.mine(
        identifier(part(client, b"123456").headers["location"]), world.people["prosecutor"]
    )
    with pytest.raises(Exception, match="a part of it is gone"):
        b"".join(uploading.plaintext(replace(mine, concatenated=(identifier(theirs),))))


def test_a_concatenation_is_of_whole_parts_each_once_and_of_one_level(client: Client) -> None:
    whole = part(client, b"12345").headers["location"]
    begun = client("POST", "/v1/uploads", {**TUS, "Upload-Length": "5", "Upload-Concat": "partial"})
    plain = client.create(5).headers["location"]
    assert final(client, whole, whole).status_code == 400
    assert final(client, whole, begun.headers["location"]).status_code == 400
    assert final(client, whole, plain).status_code == 400
    made = final(client, whole)
    assert made.status_code == 201
    again = part(client, b"67890").headers["location"]
    assert final(client, again, made.headers["location"]).status_code == 400
    assert final(client, again).status_code == 201


def test_what_comes_is_compared_with_the_length_that_is_recorded(client: Client) -> None:
    uploading = client.doors.uploading
    mine = uploading.mine(
        identifier(part(client, b"123456").headers["location"]),
        client.doors.world.people["prosecutor"],
    )
    for wrong in (5, 7, 0):
        with pytest.raises(Exception, match="upload: bytes: expected"):
            b"".join(uploading.plaintext(replace(mine, offset=wrong)))


def test_parts_end_with_what_they_were_put_together_to(client: Client) -> None:
    path = part(client, b"12345").headers["location"]
    made = final(client, path)
    assert stored(client, client.outcome(made.headers["location"])["outcome"]) == b"12345"
    assert client("HEAD", path, TUS).status_code == 410
    assert client.patch(path, 5, b"").status_code == 410
    assert final(client, path).status_code == 410
    kept = client.doors.uploading.doors.upload(identifier(path))
    assert kept is not None
    assert (kept.state, kept.header) == (UploadState.ENDED, b"")
    assert list((client.doors.instance.home / "uploads").iterdir()) == []


def test_one_part_in_two_finals_at_once_is_in_one_of_them(client: Client) -> None:
    path = part(client, b"12345").headers["location"]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: final(client, path).status_code, range(4)))
    assert answers.count(201) == 1
    assert all(each in {201, 400, 409, 410} for each in answers)
    with client.doors.instance.catalog.read() as reader:
        assert len(reader.items().entries) == 1


def test_a_final_that_is_ended_ends_its_parts(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = part(client, b"12345").headers["location"]

    def fails(*_: object) -> None:
        raise MalformedError("cannot be taken in")

    with monkeypatch.context() as patch:
        patch.setattr(Uploading, "_taken_in", fails)
        made = final(client, path).headers["location"]
    assert client.outcome(made)["state"] == "failed"
    assert client("DELETE", made, TUS).status_code == 204
    assert list((client.doors.instance.home / "uploads").iterdir()) == []


NOBODY = ["operator", "auditor", "b-prosecutor", "c-prosecutor", "other-judge", "own-auditor",
          "own-defence_counsel", "stranger"]  # fmt: skip


@pytest.mark.parametrize("name", NOBODY)
def test_who_may_not_upload_may_not_begin_a_part_either(client: Client, name: str) -> None:
    hire_everybody(client.doors.world)
    other = Client(client.doors, name)
    answer = part(other, b"12345")
    assert answer.status_code in {403, 404, 409}, answer.text
    headers = {**TUS, "Upload-Concat": "partial", "Upload-Defer-Length": "1"}
    assert other("POST", "/v1/uploads", headers).status_code in {403, 404, 409}
    assert not (client.doors.instance.home / "uploads").exists()


def bounded(client: Client, **bounds: int) -> None:
    instance = client.doors.instance
    settings = instance.settings.model_copy(update=bounds)
    client.doors.uploading.instance = replace(instance, settings=settings)


def test_an_officer_has_so_many_uploads_under_way_and_no_more(client: Client) -> None:
    bounded(client, uploads_max=3)
    made = [client.create(5).headers["location"] for _ in range(3)]
    refused = client.create(5)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    assert part(client, b"12345").status_code == 429
    client("DELETE", made[0], TUS)
    assert client.create(5).status_code == 201  # what is over counts no more


def test_an_officer_has_so_many_bytes_under_way_and_no_more(client: Client) -> None:
    bounded(client, uploads_bytes_max=2**20)
    assert client.create(2**20 - 5).status_code == 201
    assert client.create(6).status_code == 429
    assert client.create(None).status_code == 429  # it might bring any number
    path = client.create(5, content=b"12345").headers["location"]
    assert client.outcome(path)["state"] == "done"
    assert client.create(5).status_code == 201


def test_a_length_that_is_told_later_counts_when_it_is_told(client: Client) -> None:
    bounded(client, uploads_bytes_max=2**37)
    path = client.create(None).headers["location"]
    client.patch(path, 0, b"123")
    assert client.patch(path, 3, b"45", **{"Upload-Length": str(2**38)}).status_code == 429
    assert client.patch(path, 3, b"45", **{"Upload-Length": "5"}).status_code == 204


def sha(content: bytes, name: str = "sha256") -> str:
    return base64.b64encode(hashlib.new(name, content).digest()).decode()


@pytest.mark.parametrize(
    "digests",
    [
        {"Upload-Checksum": f"sha256 {sha(b'12345')}", "Content-Digest": f"sha-256=:{sha(b'x')}:"},
        {"Upload-Checksum": f"sha256 {sha(b'x')}", "Content-Digest": f"sha-256=:{sha(b'12345')}:"},
        {"Content-Digest": f"sha-256=:{sha(b'12345')}:, sha-512=:{sha(b'x', 'sha512')}:"},
        {"Content-Digest": f"sha-512=:{sha(b'x', 'sha512')}:, sha-256=:{sha(b'12345')}:"},
    ],
)
def test_every_digest_that_comes_with_a_body_is_checked(
    client: Client, digests: dict[str, str]
) -> None:
    path = client.create(5).headers["location"]
    assert client.patch(path, 0, b"12345", **digests).status_code == 460
    assert client.offset(path) == 0
    right = {"Content-Digest": f"sha-256=:{sha(b'12345')}:, sha-512=:{sha(b'12345', 'sha512')}:"}
    assert client.patch(path, 0, b"12345", **right).status_code == 204


def test_refusals_speak_the_protocol_too(client: Client) -> None:
    path = client.create(5).headers["location"]
    old = client(
        "PATCH", path, {**BYTES, "Upload-Offset": "0", "Tus-Resumable": "0.2"}, content=b""
    )
    assert old.status_code == 412
    assert (old.headers["tus-version"], old.headers["tus-resumable"]) == ("1.0.0", "1.0.0")
    conflict = client.patch(path, 3, b"1")
    assert (conflict.status_code, conflict.headers["tus-resumable"]) == (409, "1.0.0")
    nobody = client.doors(None, "POST", "/v1/uploads", headers=TUS)
    assert (nobody.status_code, nobody.headers["tus-resumable"]) == (401, "1.0.0")


def test_a_media_type_has_no_case(client: Client) -> None:
    path = client.create(5).headers["location"]
    typed = {"Content-Type": "Application/Offset+Octet-Stream"}
    assert client.patch(path, 0, b"12345", **typed).status_code == 204
    assert client.outcome(path)["state"] == "done"


def test_what_takes_long_to_be_taken_in_holds_up_nobody_else(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One officer's slow uploads, more than there are threads: others upload, and ask."""
    monkeypatch.setattr(uploads, "FINISH_SECONDS", 0.2)
    world = client.doors.world
    world.hire("other", world.home, OfficerRole.INVESTIGATOR)
    world.assign("other")
    let_go, taken_in, slow = threading.Event(), Uploading._taken_in, world.people["prosecutor"]  # noqa: SLF001 - made slow

    def slowly(self: Uploading, upload: Upload) -> str:
        if upload.officer == slow:
            let_go.wait(60)
        return taken_in(self, upload)

    monkeypatch.setattr(Uploading, "_taken_in", slowly)
    try:
        made = [client.create(5, content=b"%05d" % number) for number in range(50)]
        assert {each.status_code for each in made} == {201}
        path = made[0].headers["location"]
        assert client.outcome(path)["state"] == "whole"
        other = Client(client.doors, "other")
        theirs = other.create(5, content=b"other").headers["location"]
        until = time.monotonic() + 20  # a busy machine takes its time
        while other.outcome(theirs)["state"] != "done":
            assert time.monotonic() < until
            time.sleep(0.05)
        assert client.doors(None, "GET", "/health").status_code == 200
    finally:
        let_go.set()
    client.doors.uploading.take_in_waiting()
    assert client.outcome(path)["state"] == "done"


def test_a_digest_that_is_stated_wrongly_is_said_also_of_bytes_that_are_registered(
    client: Client,
) -> None:
    first = client.outcome(client.create(5, content=b"12345").headers["location"])["outcome"]
    wrong = client.create(5, content=b"12345", sha256="2" * 64).headers["location"]
    found = client.outcome(wrong)
    assert found["state"] == "failed"
    assert found["outcome"]["error"]["code"] == "E200"
    assert first["ern"] in found["outcome"]["error"]["message"]
    right = client.create(5, content=b"12345", sha256=hashlib.sha256(b"12345").hexdigest())
    again = client.outcome(right.headers["location"])["outcome"]
    assert (again["ern"], again["status"], again["item_status"]) == (
        first["ern"],
        "resumed",
        "registered",
    )


def test_what_is_in_quarantine_for_its_statement_is_found_again(client: Client) -> None:
    made = [
        client.outcome(client.create(5, content=b"12345", sha256="2" * 64).headers["location"])
        for _ in range(2)
    ]
    assert [each["outcome"]["status"] for each in made] == ["quarantined", "resumed"]
    assert {each["outcome"]["item_status"] for each in made} == {"quarantined"}
