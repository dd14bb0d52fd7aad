"""Resumable uploads, probe by probe: what is acknowledged is durable, and nothing else counts."""

import base64
import hashlib
from datetime import timedelta
from typing import Any

import pytest
from httpx2 import Response

from api.uploading import Uploading
from api.worker import Worker
from api.writing import PIECE_BYTES
from evidence_store.doors import UploadState
from evidence_store.errors import StoreUnavailableError
from ingest.arriving import Arriving
from tests.doors import Doors, doors  # noqa: F401 - a fixture

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


def metadata(**said: str) -> str:
    return ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in said.items()
    )


class Client:
    """A client of the protocol."""

    def __init__(self, doors: Doors, name: str = "prosecutor") -> None:  # noqa: F811 - the fixture's value
        self.doors, self.name = doors, name

    def __call__(self, method: str, path: str, headers: dict[str, str], **more: Any) -> Response:
        return self.doors(self.name, method, path, headers=headers, **more)

    def create(self, length: int | None, *, content: bytes | None = None, **said: str) -> Response:
        headers = {
            **(TUS if content is None else BYTES),
            "Upload-Metadata": metadata(filename="a.txt", case=str(self.doors.world.case), **said),
        }
        headers |= (
            {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        )
        return self("POST", "/v1/uploads", headers, content=content)

    def patch(self, path: str, offset: int, content: bytes, **more: str) -> Response:
        headers = {**BYTES, "Upload-Offset": str(offset), **more}
        return self("PATCH", path, headers, content=content)

    def offset(self, path: str) -> int:
        return int(self("HEAD", path, TUS).headers["upload-offset"])

    def outcome(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self("GET", path, {}).json()
        return found


@pytest.fixture
def client(doors: Doors) -> Client:  # noqa: F811 - the fixture
    return Client(doors)


def stored(client: Client, outcome: dict[str, Any]) -> bytes:
    instance = client.doors.instance
    from evidence_store.identifiers import Ern  # noqa: PLC0415 - of this helper

    with instance.catalog.read() as reader:
        (version,) = reader.versions(Ern.parse(outcome["ern"]))
        sealed = reader.sealed(version.object_name)
    return b"".join(instance.vault.open(sealed))


def test_an_upload_in_pieces_is_taken_in_with_digests_and_a_receipt(client: Client) -> None:
    content = b"0123456789" * 2_000_000
    made = client.create(len(content), sha256=hashlib.sha256(content).hexdigest())
    path = made.headers["location"]
    assert made.status_code == 201
    assert path.startswith("/v1/uploads/")
    at = 0
    for size in (1, 65_535, 1_000_000, 9_999_999, len(content)):
        piece = content[at : at + size]
        answer = client.patch(path, at, piece)
        assert answer.status_code == 204
        at += len(piece)
        assert answer.headers["upload-offset"] == str(at)
    found = client.outcome(path)
    assert found["state"] == "done"
    outcome = found["outcome"]
    assert outcome["sha256"] == hashlib.sha256(content).hexdigest()
    assert outcome["receipt"]["receipt"] == "sealed"
    assert stored(client, outcome) == content
    assert list((client.doors.instance.home / "uploads").iterdir()) == []


def test_nothing_is_ever_there_in_the_clear(client: Client) -> None:
    marker = b"A WITNESS NAMED NOBODY" * 1000
    path = client.create(len(marker) + 1).headers["location"]
    client.patch(path, 0, marker)
    for file in client.doors.instance.home.rglob("*"):
        if file.is_file():
            assert b"A WITNESS NAMED" not in file.read_bytes(), file
    (segments,) = (client.doors.instance.home / "uploads").iterdir()
    assert segments.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", [None, "b-central"])
def test_who_may_not_upload_leaves_no_byte(client: Client, name: str | None) -> None:
    path = client.create(10).headers["location"]
    other = client.doors(
        name, "PATCH", path, headers={**BYTES, "Upload-Offset": "0"}, content=b"12345"
    )
    assert other.status_code == (401 if name is None else 404)
    assert client.offset(path) == 0


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "text/plain", "Upload-Offset": "0", **TUS}, b"1", 415),
        ({**BYTES, "Upload-Offset": "3"}, b"1", 409),
        ({**BYTES, "Upload-Offset": "-1"}, b"1", 400),
        ({**BYTES}, b"1", 400),
        ({**BYTES, "Upload-Offset": "0"}, b"12345678901", 413),
        ({**BYTES, "Upload-Offset": "0", "Tus-Resumable": "0.2.2"}, b"1", 412),
        ({**BYTES, "Upload-Offset": "0", "Upload-Checksum": "md5 AAAA"}, b"1", 400),
        ({**BYTES, "Upload-Offset": "0", "Upload-Checksum": "sha256 AAAA"}, b"1", 460),
        ({**BYTES, "Upload-Offset": "0", "Upload-Checksum": "sha256 ?"}, b"1", 400),
    ],
)
def test_what_is_refused_leaves_no_byte(
    client: Client, headers: dict[str, str], content: bytes, status: int
) -> None:
    path = client.create(10).headers["location"]
    assert client("PATCH", path, headers, content=content).status_code == status
    assert client.offset(path) == 0
    client.patch(path, 0, b"ABCDEFGHIJ")
    assert stored(client, client.outcome(path)["outcome"]) == b"ABCDEFGHIJ"


def test_a_body_of_unknown_length_that_is_too_long_leaves_no_byte(client: Client) -> None:
    path = client.create(10).headers["location"]

    def pieces() -> Any:
        yield b"12345"
        yield b"67890"
        yield b"X"

    answer = client("PATCH", path, {**BYTES, "Upload-Offset": "0"}, content=pieces())
    assert answer.status_code == 413
    assert client.offset(path) == 0


def test_a_checksum_that_agrees_is_kept(client: Client) -> None:
    path = client.create(5).headers["location"]
    digest = base64.b64encode(hashlib.sha256(b"12345").digest()).decode()
    answer = client.patch(path, 0, b"12345", **{"Upload-Checksum": f"sha256 {digest}"})
    assert answer.status_code == 204
    assert client.outcome(path)["state"] == "done"


def test_creation_with_upload_that_completes_is_taken_in_once(client: Client) -> None:
    made = client.create(5, content=b"12345")
    assert (made.status_code, made.headers["upload-offset"]) == (201, "5")
    path = made.headers["location"]
    first = client.outcome(path)
    assert first["state"] == "done"
    for _ in range(2):  # an empty piece at the end changes nothing
        assert client.patch(path, 5, b"").status_code == 204
    assert client.outcome(path)["outcome"]["ern"] == first["outcome"]["ern"]
    with client.doors.instance.catalog.read() as reader:
        assert len(reader.items().entries) == 1


def test_creation_with_more_than_the_length_is_refused(client: Client) -> None:
    assert client.create(2, content=b"12345678").status_code == 413
    assert client.create(2**41).status_code == 413


def test_a_length_can_be_told_later(client: Client) -> None:
    path = client.create(None).headers["location"]
    assert client("HEAD", path, TUS).headers["upload-defer-length"] == "1"
    client.patch(path, 0, b"123")
    assert client.patch(path, 3, b"45", **{"Upload-Length": "5"}).status_code == 204
    assert client.outcome(path)["state"] == "done"


def test_an_empty_file_is_evidence_too(client: Client) -> None:
    path = client.create(0).headers["location"]
    assert client.outcome(path)["outcome"]["size_bytes"] == 0


def test_whoever_comes_last_goes_on_and_the_one_before_is_fenced_off(client: Client) -> None:
    path = client.create(10).headers["location"]
    uploading = client.doors.uploading
    officer = client.doors.world.people["prosecutor"]
    stale = uploading.take_over(uploading.mine(path.rpartition("/")[2], officer))
    assert client.patch(path, 0, b"ABCDE").status_code == 204
    with pytest.raises(Exception, match="another request"):
        uploading.writer(stale).put(b"12345", final=True)
    # What the stale one wrote is in a file of its own, and nothing refers to it.
    assert client.offset(path) == 5
    client.patch(path, 5, b"FGHIJ")
    assert stored(client, client.outcome(path)["outcome"]) == b"ABCDEFGHIJ"


def test_bytes_that_are_not_those_the_sender_stated_go_into_quarantine(client: Client) -> None:
    path = client.create(5, content=b"12345", sha256="0" * 64).headers["location"]
    outcome = client.outcome(path)["outcome"]
    assert outcome["status"] == "quarantined"
    assert stored(client, outcome) == b"12345"


def test_the_same_file_again_is_the_same_item(client: Client) -> None:
    first = client.outcome(client.create(5, content=b"12345").headers["location"])["outcome"]
    second = client.outcome(client.create(5, content=b"12345").headers["location"])["outcome"]
    assert (second["ern"], second["status"]) == (first["ern"], "resumed")


def test_parts_are_put_together(client: Client) -> None:
    parts = []
    for content in (b"12345", b"67890"):
        made = client(
            "POST", "/v1/uploads", {**BYTES, "Upload-Length": "5", "Upload-Concat": "partial"},
            content=content,
        )  # fmt: skip
        assert made.status_code == 201
        parts.append(made.headers["location"])
    headers = {
        **TUS,
        "Upload-Concat": f"final;{' '.join(parts)}",
        "Upload-Metadata": metadata(filename="a.txt", case=str(client.doors.world.case)),
    }
    made = client("POST", "/v1/uploads", headers)
    assert made.status_code == 201
    assert stored(client, client.outcome(made.headers["location"])["outcome"]) == b"1234567890"
    assert client.patch(made.headers["location"], 10, b"x").status_code == 403


def test_an_unfinished_upload_can_be_ended_and_a_finished_one_stays(client: Client) -> None:
    path = client.create(10).headers["location"]
    client.patch(path, 0, b"123")
    assert client("DELETE", path, TUS).status_code == 204
    assert client("HEAD", path, TUS).status_code == 410
    assert list((client.doors.instance.home / "uploads").iterdir()) == []
    done = client.create(3, content=b"123").headers["location"]
    assert client("DELETE", done, TUS).status_code == 409
    assert client.outcome(done)["state"] == "done"


@pytest.mark.parametrize(
    "said",
    [
        {"case": "SI-CASE-9999"},
        {"case": "nonsense"},
        {"kind": "nonsense"},
        {"collected_at": "yesterday"},
        {"sha256": "abc"},
        {"invention": "x"},
        {"filename": ""},
    ],
)
def test_what_is_asserted_is_checked_before_a_byte_is_sent(
    client: Client, said: dict[str, str]
) -> None:
    whole = {"filename": "a.txt", "case": str(client.doors.world.case), **said}
    answer = client(
        "POST", "/v1/uploads", {**TUS, "Upload-Length": "5", "Upload-Metadata": metadata(**whole)}
    )
    assert answer.status_code in {400, 404}
    assert not (client.doors.instance.home / "uploads").exists()


def test_a_store_that_is_gone_at_the_end_loses_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = type(client.doors.instance.objects)

    def gone(*_: object, **__: object) -> None:
        raise StoreUnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "begin", gone)
        path = client.create(5, content=b"12345").headers["location"]
        assert client.outcome(path)["state"] == UploadState.WHOLE.value
    Worker(client.doors.instance, client.doors.uploading).once()
    assert stored(client, client.outcome(path)["outcome"]) == b"12345"


def test_a_byte_changed_at_rest_is_noticed_before_it_becomes_evidence(client: Client) -> None:
    path = client.create(10).headers["location"]
    client.patch(path, 0, b"12345")
    (file,) = (client.doors.instance.home / "uploads").iterdir()
    content = bytearray(file.read_bytes())
    content[20] ^= 1
    file.write_bytes(content)
    client.patch(path, 5, b"67890")
    found = client.outcome(path)
    assert (found["state"], found["outcome"]["error"]["code"]) == ("failed", "E200")


def test_work_under_a_lease_is_done_by_one(doors: Doors) -> None:  # noqa: F811 - the fixture
    first, second = (Worker(doors.instance, doors.uploading) for _ in range(2))
    now = doors.instance.clock.now()
    assert doors.instance.doors.lease("sequencing", first.holder, now, now + timedelta(minutes=1))
    assert "sequencing" not in second.once()
    later = now + timedelta(minutes=2)  # the holder died: its lease runs out
    assert doors.instance.doors.lease(
        "sequencing", second.holder, later, later + timedelta(minutes=1)
    )


LARGE = bytes(range(256)) * (24 * 1024 * 4)  # 24 MiB, in three bodies
THIRD = len(LARGE) // 3


def sent(client: Client, path: str, *numbers: int, **more: str) -> None:
    for number in numbers:
        body = LARGE[number * THIRD : (number + 1) * THIRD]
        assert client.patch(path, number * THIRD, body, **more).status_code == 204


def insist_large(client: Client, path: str) -> None:
    outcome = client.outcome(path)["outcome"]
    assert outcome["status"] == "ingested"
    assert outcome["sha256"] == hashlib.sha256(LARGE).hexdigest()
    assert hashlib.sha256(stored(client, outcome)).hexdigest() == outcome["sha256"]


def test_a_large_upload_is_taken_in_while_it_arrives(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = client.create(len(LARGE)).headers["location"]
    monkeypatch.setattr(type(client.doors.uploading), "plaintext", None)  # nothing is read again
    sent(client, path, 0, 1, 2)
    insist_large(client, path)


def test_an_upload_in_one_body_is_sealed_once_and_becomes_the_object_as_it_is(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = client.create(len(LARGE)).headers["location"]
    uploading, identifier = client.doors.uploading, path.rpartition("/")[2]
    monkeypatch.setattr(type(uploading), "plaintext", None)  # nothing is read again
    monkeypatch.setattr(Arriving, "take", None)  # nor sealed again
    assert client.patch(path, 0, LARGE).status_code == 204
    monkeypatch.undo()
    insist_large(client, path)
    kept = uploading.doors.upload(identifier)
    assert kept is not None
    assert kept.header == b""  # what opens the object is kept with the object only
    file = uploading.segments.file(identifier, kept.parts[0][0])
    assert file is not None
    assert not file.exists()


def test_an_upload_in_one_body_that_is_cut_and_goes_on_is_whole(client: Client) -> None:
    path = client.create(len(LARGE)).headers["location"]
    uploading, identifier = client.doors.uploading, path.rpartition("/")[2]
    upload = uploading.take_over(
        uploading.mine(identifier, client.doors.world.people["prosecutor"])
    )
    # As if the process died here: whole chunks are acknowledged, and nobody said that it was all.
    uploading.writer(upload, whole=True).put(LARGE[:PIECE_BYTES], final=False)
    assert client.offset(path) == PIECE_BYTES
    assert client.patch(path, PIECE_BYTES, LARGE[PIECE_BYTES:]).status_code == 204
    insist_large(client, path)


def test_what_a_body_that_was_taken_back_held_never_counts(client: Client) -> None:
    path = client.create(len(LARGE)).headers["location"]
    sent(client, path, 0)
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    answer = client.patch(path, THIRD, bytes(THIRD), **{"Upload-Checksum": f"sha256 {wrong}"})
    assert answer.status_code == 460
    sent(client, path, 1, 2)
    insist_large(client, path)


def test_a_large_upload_through_two_servers_in_turn_is_whole(client: Client) -> None:
    path = client.create(len(LARGE)).headers["location"]
    sent(client, path, 0)
    state = client.doors.client.app.state  # type: ignore[attr-defined] # the application's
    first = client.doors.uploading
    state.uploading = Uploading(first.instance, first.segments, first.extractor)
    sent(client, path, 1)
    state.uploading = first
    sent(client, path, 2)
    insist_large(client, path)


def test_an_upload_that_failed_while_it_was_taken_in_early_is_taken_in_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = client.create(len(LARGE)).headers["location"]
    sent(client, path, 0)
    with monkeypatch.context() as patched:
        objects = type(client.doors.instance.vault.begin().writer)

        def fails(*_: object) -> None:
            raise StoreUnavailableError("the store is gone")

        patched.setattr(objects, "write", fails)
        sent(client, path, 1)
    sent(client, path, 2)
    insist_large(client, path)


def test_an_upload_that_is_ended_leaves_no_object_behind(client: Client) -> None:
    path = client.create(len(LARGE)).headers["location"]
    before = list(client.doors.instance.objects.names())
    sent(client, path, 0, 1)
    assert client("DELETE", path, TUS).status_code == 204
    client.doors.uploading.close()
    assert list(client.doors.instance.objects.names()) == before


def test_an_upload_that_another_process_takes_in_just_now_is_left_to_it(client: Client) -> None:
    path = client.create(5).headers["location"]
    kept, now = client.doors.instance.doors, client.doors.instance.clock.now()
    lease = f"upload/{path.rpartition('/')[2][:2]}"
    assert kept.lease(lease, "another", now, now + timedelta(minutes=1))
    assert client.patch(path, 0, b"12345").status_code == 204
    assert client.outcome(path)["state"] == "whole"
    kept.release(lease, "another", now)
    client.doors.uploading.take_in_waiting()
    assert client.outcome(path)["state"] == "done"
