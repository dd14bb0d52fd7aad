"""What an operator sees of a server: its log and its metrics, and nothing of what was asked."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.tokens import SCOPES, make_token
from tests.cooperation import Whole, World
from tests.doors import ORIGIN, instance_at
from tests.served import Served, said

MARK = "S3cretMark"
RUN = "import sys; from api.cli.main import main; sys.exit(main())"


class Watched:
    """A server whose log and metrics are read."""

    def __init__(self, home: Path) -> None:
        with closing(instance_at(home)) as instance:
            world = World(Whole(instance), vault=instance.vault)
            self.ern, self.case = str(world.item(MARK.encode())), str(world.case)
            person = world.people["prosecutor"]
            now, life = instance.clock.now(), timedelta(days=1)
            self.token = make_token(instance.doors, person, MARK, SCOPES, now, life)[1]
        self.home, self.officer = home, str(person)
        self.stderr = home.parent / "stderr"
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [
                    *(sys.executable, "-c", RUN, "--home", str(home), "--json", "serve"),
                    *("--port", "0", "--metrics-port", "0", "--log", "json"),
                ],
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=Path(__file__).parents[2],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        assert self.process.stdout is not None
        found = json.loads(self.process.stdout.readline())
        self.address, self.metrics = found["address"], found["metrics"]

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:  # noqa: ANN401 - whatever a client is given
        return httpx2.request(method, self.address + path, timeout=30, **more)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stderr.read_text().splitlines()]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    found = Watched(tmp_path / "home")
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait(30)
    assert found.process.stdout is not None
    found.process.stdout.close()


@pytest.mark.slow
def test_secrets_sent_everywhere_are_in_no_line_of_the_log_and_in_no_metric(
    watched: Watched,
) -> None:
    auth = {"Authorization": f"Bearer {watched.token}"}
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}
    named = {"Upload-Metadata": said(filename=f"{MARK}.txt", case=watched.case, title=MARK)}
    whole = {"Content-Type": "application/offset+octet-stream"}
    known = "5f2b7c0d9e8a4b1c"
    for method, path, more in (
        ("GET", f"/v1/items/{watched.ern}", {"headers": {**auth, "X-Request-Id": known}}),
        ("GET", f"/v1/items/{MARK}?q={MARK}", {"headers": {**auth, "X-Request-Id": MARK}}),
        ("GET", f"/{MARK}", {"headers": {"User-Agent": MARK, "Cookie": f"a={MARK}"}}),
        ("GET", "/v1/cases", {"headers": {"Authorization": f"Bearer evr_pat_{MARK}"}}),
        ("POST", "/v1/requests", {"headers": auth, "json": {"to": MARK, MARK: MARK}}),
        ("POST", "/v1/accesses", {"headers": auth, "json": {"item": watched.ern, "action": MARK}}),
        (MARK.upper(), "/v1/cases", {"headers": auth}),
        (
            "POST",
            "/v1/uploads",
            {"headers": {**auth, **tus, **named, **whole}, "content": MARK.encode()},
        ),
        ("PUT", "/v1/uploads", {"headers": auth, "content": MARK.encode() * 1_000_000}),
    ):
        watched.ask(method, path, **more)
    metrics = httpx2.get(watched.metrics, timeout=30).text
    watched.stop()
    text = watched.stderr.read_text()
    secret = (MARK, watched.token, watched.ern, watched.case, watched.officer, str(watched.home))
    for each in secret:
        assert each.lower() not in text.lower()
        assert each.lower() not in metrics.lower()
    requests = [line for line in watched.lines if "route" in line]
    assert len(requests) == 9  # the one of a method that is none, too
    assert requests[0]["request_id"] == known
    assert {"method", "route", "status", "duration_ms", "request_id"} <= set(requests[0])
    assert requests[0]["route"] == "/v1/items/{ern}"
    assert all(re.fullmatch("[0-9a-f]{16}", line["request_id"]) for line in requests)


@pytest.mark.slow
def test_metrics_tell_how_log_fixity_and_work_stand(watched: Watched) -> None:
    watched.ask("GET", "/health")
    watched.ask("GET", "/v1/cases")
    metrics = httpx2.get(watched.metrics, timeout=30).text
    found = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert found['evidence_requests_total{method="GET",route="/health",status="200"}'] == "1.0"
    assert found['evidence_requests_total{method="GET",route="/v1/cases",status="401"}'] == "1.0"
    assert float(found["evidence_log_size"]) > 0
    assert found["evidence_fixity_failed"] == "0.0"
    assert found["evidence_up"] == "1.0"
    assert watched.ask("GET", "/ready").json() == {"status": "ready", "fixity": "ok"}
    assert httpx2.get(watched.address + "/metrics", timeout=30).status_code == 404
    watched.stop()


def test_each_of_several_processes_gives_its_metrics_at_a_port_of_its_own(tmp_path: Path) -> None:
    first = _two_free_ports()
    served = Served(
        tmp_path / "home", "--workers", "2", "--metrics-port", str(first), "--origin", ORIGIN
    )
    served.start()
    try:
        for port in (first, first + 1):
            found = httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=30)
            assert "evidence_up 1.0" in found.text
    finally:
        assert served.stop() == 0


def _two_free_ports() -> int:
    for _ in range(100):
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            port: int = free.getsockname()[1]
        with suppress(OSError), closing(socket.create_server(("127.0.0.1", port + 1))):
            return port
    raise AssertionError("there are no two ports beside each other")
