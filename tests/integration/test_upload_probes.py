"""Probes that another implementation of tus did not stand, and refusals of what is said of a seal."""

import base64
from datetime import timedelta

import pytest

from tests.doors import Doors, doors  # noqa: F401 - a fixture
from tests.integration.test_uploads import BYTES, TUS, Client, metadata


@pytest.fixture
def client(doors: Doors) -> Client:  # noqa: F811 - the fixture
    return Client(doors)


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Host"])
def test_no_header_gets_into_the_location(client: Client, name: str) -> None:
    said = metadata(filename="a.txt", case=str(client.doors.world.case))
    value = "host=evil.example" if name == "Forwarded" else "evil.example"
    headers = {**TUS, "Upload-Length": "5", "Upload-Metadata": said, name: value}
    answer = client("POST", "/v1/uploads", headers)
    if name == "Host" and answer.status_code != 201:
        return  # an unknown host may be refused altogether
    assert answer.status_code == 201
    assert answer.headers["location"].startswith("/v1/uploads/")
    assert "evil" not in str(answer.headers)


def test_an_upload_without_a_filetype_can_be_resumed(client: Client) -> None:
    path = client.create(10).headers["location"]
    client.patch(path, 0, b"12345")
    assert client("HEAD", path, TUS).status_code == 200
    assert client.offset(path) == 5


def test_an_upload_whose_time_is_over_is_let_go_of_and_a_finished_one_stays(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = client.create(10).headers["location"]
    client.patch(path, 0, b"12345")
    done = client.create(3, content=b"123").headers["location"]
    uploading = client.doors.uploading
    assert uploading.expire() == 0
    clock = type(client.doors.instance.clock)
    now = client.doors.instance.clock.now()
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda _: now + timedelta(days=8))
        assert uploading.expire() == 1
    assert client("HEAD", path, TUS).status_code == 410
    assert (
        client("PATCH", path, {**BYTES, "Upload-Offset": "5"}, content=b"67890").status_code == 410
    )
    assert client.outcome(done)["state"] == "done"
    assert list((client.doors.instance.home / "uploads").iterdir()) == []


def spelt(name: bytes) -> str:
    return base64.b64encode(name).decode()


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"sealed_in": "0" * 64, "name_base64": spelt(b"a.txt")}, 404),
        ({"sealed_in": "0" * 64}, 400),
        ({"sealed_in": "abc", "name_base64": spelt(b"a.txt")}, 400),
        ({"seal": "yes"}, 400),
        ({"seal": "manifest", "sealed_in": "0" * 64, "name_base64": spelt(b"a.txt")}, 400),
        ({"name_base64": "!"}, 400),
        ({"name_base64": spelt(b"other.txt")}, 400),
    ],
)
def test_what_is_said_of_a_seal_is_checked_before_a_byte_is_sent(
    client: Client, said: dict[str, str], status: int
) -> None:
    assert client.create(5, content=None, **said).status_code == status
    assert not (client.doors.instance.home / "uploads").exists()


def test_bytes_that_are_no_seal_are_kept_in_quarantine(client: Client) -> None:
    path = client.create(5, content=b"12345", seal="manifest").headers["location"]
    outcome = client.outcome(path)["outcome"]
    assert outcome["status"] == "quarantined"
    assert outcome["field_seal"]["agrees"] is False
    again = client.create(5, content=b"67890", sealed_in=outcome["sha256"],
                          name_base64=spelt(b"d/a.txt"))  # fmt: skip
    found = client.outcome(again.headers["location"])["outcome"]
    assert (found["status"], found["field_seal"]["key"]) == ("quarantined", None)
