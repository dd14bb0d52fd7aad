"""Parts that go away under load: an honest answer meanwhile, nothing lost, and recovery without a restart."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import blake3
import httpx2
import pytest

from api import wiring
from evidence_store.audit import audit
from tests.postgres import OwnServer
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedServer
from tests.served import MEBIBYTE, OFFSET, Line, Served

pytestmark = pytest.mark.slow


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.1)


@contextmanager
def load(served: Served, path: str) -> Iterator["Counter[int]"]:
    """Four clients that ask again and again; what they were answered."""
    seen: Counter[int] = Counter()
    ended = threading.Event()

    def ask() -> None:
        with httpx2.Client(headers=served.headers(), timeout=60) as client:
            while not ended.is_set():
                try:
                    answer = client.get(served.address + path)
                except httpx2.TransportError:
                    seen[0] += 1
                    continue
                seen[answer.status_code] += 1
                if answer.status_code == 503:
                    assert int(answer.headers["retry-after"]) > 0
                    assert answer.json()["code"].startswith("E9")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def finished(served: Served, path: str, content: bytes) -> None:
    """Go on from what was acknowledged; every byte is there at the end."""
    offset = served.offset(path)
    assert served.sent(path, offset, content[offset:]).status_code == 204
    eventually(lambda: served.outcome(path)["state"] == "done")
    outcome = served.outcome(path)["outcome"]
    assert outcome["sha256"] == hashlib.sha256(content).hexdigest()
    assert served.stored(outcome["ern"]) == content


def audited(served: Served) -> None:
    """Catalog and log agree in everything."""
    with closing(wiring.open_instance(served.home, lambda: b"")) as instance:
        found = [each for each in audit(instance.catalog, instance.tiles) if each.problem]
    assert found == []


@pytest.mark.postgresql
def test_the_database_is_gone_for_a_while_and_comes_back(
    tmp_path: Path, own_postgresql: OwnServer
) -> None:
    served = Served(tmp_path / "home", database_url=own_postgresql.url, database_busy_seconds=2)
    served.start()
    try:
        content = os.urandom(20 * MEBIBYTE)
        path = served.begun(len(content))
        assert served.sent(path, 0, content[: 9 * MEBIBYTE]).status_code == 204
        pid = served.pid
        with load(served, "/v1/items") as seen:
            eventually(lambda: seen[200] > 10)
            own_postgresql.stop()
            eventually(lambda: seen[503] > 10)
            refused = served.sent(path, 9 * MEBIBYTE, content[9 * MEBIBYTE :])
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
            assert served.asked("GET", "/ready").status_code == 503
            assert served.asked("GET", "/health").status_code == 200
            own_postgresql.start()
            good = seen[200]
            eventually(lambda: seen[200] > good + 10)
        assert set(seen) <= {200, 503}
        assert served.offset(path) >= 9 * MEBIBYTE
        finished(served, path, content)
        assert served.pid == pid
        assert served.stop() == 0
        audited(served)
    finally:
        served.kill()


@pytest.mark.s3
def test_the_object_store_is_gone_for_a_while_and_comes_back(
    tmp_path: Path, s3_server: SeaweedServer, s3_bucket_name: str
) -> None:
    (tmp_path / "access").write_text(ACCESS_KEY)
    (tmp_path / "secret").write_text(SECRET_KEY)
    served = Served(
        tmp_path / "home",
        objects="s3",
        s3_endpoint=s3_server.endpoint,
        s3_secure=False,
        s3_bucket=s3_bucket_name,
        s3_access_key_file=str(tmp_path / "access"),
        s3_secret_key_file=str(tmp_path / "secret"),
        s3_retention_days=1,
    )
    served.start()
    try:
        ern = served.taken_in(b"before")
        content = os.urandom(20 * MEBIBYTE)
        path = served.begun(len(content))
        assert served.sent(path, 0, content[: 9 * MEBIBYTE]).status_code == 204
        asked = {"item": ern, "action": "download", "purpose": "prosecution"}
        s3_server.kill()
        for answer in (
            served.asked("POST", "/v1/accesses", json=asked),
            served.sent(path, 9 * MEBIBYTE, content[9 * MEBIBYTE :]),
        ):
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
        assert served.asked("GET", "/ready").status_code == 503
        assert served.asked("GET", "/v1/items").status_code == 200  # what needs no object goes on
        s3_server.start()
        assert served.offset(path) >= 9 * MEBIBYTE
        finished(served, path, content)
        assert served.asked("POST", "/v1/accesses", json=asked).content == b"before"
        assert served.stop() == 0
        audited(served)
    finally:
        served.kill()


def test_two_servers_and_one_upload_the_newer_fences_the_older(served: Served) -> None:
    other = served.beside()
    try:
        content = os.urandom(20 * MEBIBYTE)
        path = served.begun(len(content))
        head = served.head(
            "PATCH", path, **{**OFFSET, "Upload-Offset": 0, "Content-Length": len(content)}
        )
        with Line(served, timeout=10) as older:
            older.say(head + content[: 9 * MEBIBYTE])
            eventually(lambda: served.outcome(path)["offset"] > 0)
            finished(other, path, content)
            with suppress(OSError):
                older.say(bytes(11 * MEBIBYTE))  # other bytes, from where the older one was
            assert b" 204 " not in older.hear()
        assert served.stored(served.outcome(path)["outcome"]["ern"]) == content
        assert len(served.asked("GET", "/v1/items").json()["items"]) == 1
    finally:
        other.kill()


def test_a_server_process_that_dies_is_replaced_and_the_others_go_on(tmp_path: Path) -> None:
    served = Served(tmp_path / "home", "--workers", "2")
    served.start()
    try:
        content = os.urandom(3 * MEBIBYTE)
        path = served.begun(len(content))
        assert served.sent(path, 0, content[:MEBIBYTE]).status_code == 204
        eventually(lambda: len(children(served.pid)) == 2)
        first, second = children(served.pid)
        os.kill(first, signal.SIGKILL)
        for _ in range(20):
            with suppress(httpx2.TransportError):  # those that it had accepted are cut
                assert served.asked("GET", "/v1/items").status_code == 200
        eventually(lambda: len(children(served.pid)) == 2 and first not in children(served.pid))
        assert second in children(served.pid)
        eventually(lambda: all(served.asked("GET", "/ready").status_code == 200 for _ in range(8)))
        finished(served, path, content)
        assert served.stop() == 0
        assert not Path(f"/proc/{second}").exists()
    finally:
        served.kill()


def test_when_the_parent_dies_its_processes_end_too(tmp_path: Path) -> None:
    served = Served(tmp_path / "home", "--workers", "2")
    served.start()
    eventually(lambda: len(children(served.pid)) == 2)
    found = children(served.pid)
    served.kill()
    eventually(lambda: not any(is_running(each) for each in found))


def children(pid: int) -> list[int]:
    """The processes that a process has started itself."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in tasks.split()]


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MiB."""
    folder, mount = tmp_path / "disk", shutil.which("mount")
    folder.mkdir()
    if mount is None or os.geteuid() != 0:
        pytest.skip("a small disk can be mounted by root only")
    arguments = [mount, "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    made = subprocess.run(arguments, check=False, capture_output=True)  # noqa: S603 - our own
    if made.returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S603, S607 - likewise


def test_a_full_disk_loses_nothing_that_was_acknowledged(small_disk: Path) -> None:
    served = Served(small_disk / "home")
    served.start()
    try:
        content = os.urandom(64 * MEBIBYTE)
        path = served.begun(len(content))
        refused = served.sent(path, 0, content)
        assert refused.status_code == 503
        assert refused.json()["code"] == "E920"
        assert refused.headers["retry-after"]
        offset = served.outcome(path)["offset"]
        assert offset > 0
        arguments = ["mount", "-o", "remount,size=400m", str(small_disk)]
        subprocess.run(arguments, check=True)  # noqa: S603 - our own
        assert served.offset(path) == offset
        finished(served, path, content)
        assert served.stop() == 0
        audited(served)
    finally:
        served.kill()


def test_a_download_that_a_kill_cuts_off_shows_in_the_record(served: Served) -> None:
    content = os.urandom(40 * MEBIBYTE)
    ern = served.taken_in(content)
    body = json.dumps({"item": ern, "action": "download", "purpose": "prosecution"}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": len(body)}
    for bytes_read in (0, 1, 9 * MEBIBYTE):
        with Line(served, timeout=60) as line:
            line.say(served.head("POST", "/v1/accesses", **headers) + body)
            heard = 0
            while heard < bytes_read:
                heard += len(line.socket.recv(MEBIBYTE))
            served.kill()
        served.start()
        rows = served.asked("GET", f"/v1/accesses?item={ern}").json()["accesses"]
        if bytes_read:  # no byte has left without a record, and none says that the whole has
            assert rows
        for row in rows:
            assert row["decision"] == "allow"
            assert row["ended"] is None
            assert row["served_bytes"] is None
    answer = served.asked(
        "POST", "/v1/accesses", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.content == content
    newest = served.asked("GET", f"/v1/accesses?item={ern}").json()["accesses"]
    assert [row["ended"] for row in newest].count("complete") == 1
    assert served.stop() == 0
    audited(served)


def test_a_transfer_goes_on_after_a_kill_in_each_of_its_acts(served: Served) -> None:
    content = b"content"
    ern = served.taken_in(content)
    offer = {
        "items": [ern], "to": "bravo-central", "to_person": "B", "purpose": "analysis",
        "reference": "Kt 1", "valid_until": "2099Z",
    }  # fmt: skip
    line = {
        "ern": ern, "condition": "ok", "sha256": hashlib.sha256(content).hexdigest(),
        "blake3": blake3.blake3(content).hexdigest(), "size_bytes": len(content),
    }  # fmt: skip
    killed_in(served, "prosecutor", "/v1/transfers", offer, delay=0.02)
    made = served.asked("POST", "/v1/transfers", json=offer)
    transfer = (
        made.json()["transfer"] if made.status_code == 201 else "SI-TRF-000001"
    )  # the first one is an offer already, if it came so far
    path = f"/v1/transfers/{transfer}"
    acts: list[tuple[str, dict[str, object]]] = [
        ("b-central", {"act": "accepted"}),
        ("prosecutor", {"act": "released", "carrier": "C"}),
        ("b-central", {"act": "received", "lines": [line]}),
    ]
    for number, (name, act) in enumerate(acts):
        killed_in(served, name, f"{path}/steps", act, delay=0.01 * number)
        again = served.asked("POST", f"{path}/steps", name, json=act, headers={"If-Match": "*"})
        assert again.status_code in {200, 409}, again.text  # done now, or done before
    shown = served.asked("GET", path).json()
    assert shown["items"][0]["custodian"] == "bravo-central"
    assert shown["open"] == []
    told = served.asked("GET", f"/v1/items/{ern}/custody").json()
    acts_of = [row["act"] for row in told["timeline"]]
    assert len(acts_of) == len(set(acts_of)), acts_of  # each once, whatever was asked again
    assert told["ledger_problems"] == []
    assert served.stop() == 0
    audited(served)


def killed_in(
    served: Served, name: str, path: str, body: Mapping[str, object], *, delay: float
) -> None:
    """The server killed some moments after a request was sent, and started again."""
    content = json.dumps(body).encode()
    headers = {
        **served.headers(name), "If-Match": "*",
        "Content-Type": "application/json", "Content-Length": len(content),
    }  # fmt: skip
    with Line(served) as line:
        line.say(served.head("POST", path, **headers) + content)
        time.sleep(delay)
        served.kill()
    served.start()


def test_a_server_told_to_end_lets_downloads_finish_and_uploads_go_on_later(served: Served) -> None:
    content = os.urandom(40 * MEBIBYTE)
    ern = served.taken_in(content)
    body = json.dumps({"item": ern, "action": "download", "purpose": "prosecution"}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": len(body)}
    path = served.begun(len(content), path="again", filename="b.bin")
    upload = served.head(
        "PATCH", path, **{**OFFSET, "Upload-Offset": 0, "Content-Length": len(content)}
    )
    with Line(served, timeout=30) as down, Line(served, timeout=30) as up:
        down.say(served.head("POST", "/v1/accesses", **headers) + body)
        first = down.socket.recv(MEBIBYTE)
        up.say(upload + content[: 9 * MEBIBYTE])
        eventually(lambda: served.outcome(path)["offset"] > 0)
        assert served.process is not None
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: not accepts(served))
        heard = up.hear()  # though it brings nothing just now
        assert b" 503 " in heard
        assert b"retry-after" in heard.lower()
        whole = first + down.hear()
    assert whole.partition(b"\r\n\r\n")[2] == content
    assert served.process.wait(60) == 0
    served.start()
    assert served.offset(path) >= 9 * MEBIBYTE
    finished(served, path, content)
    rows = served.asked("GET", f"/v1/accesses?item={ern}").json()["accesses"]
    assert [row["ended"] for row in rows] == ["complete"]


def accepts(served: Served) -> bool:
    try:
        socket.create_connection(("127.0.0.1", served.port), timeout=1).close()
    except OSError:
        return False
    return True
