"""tus-js-client, which we did not write, against the server as a process of its own."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.served import MEBIBYTE, Served

CLIENTS = Path(__file__).parents[1] / "clients"
INSTALL_SECONDS = 120


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clients, installed in a temporary folder as their lock says: from npm's cache, else the network."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("clients")
    for name in ("package.json", "package-lock.json", "upload.mjs"):
        shutil.copy(CLIENTS / name, folder)
    arguments = ["ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        ran = subprocess.run(  # noqa: S603 - npm
            [npm, *arguments], cwd=folder, capture_output=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm ci: tus-js-client could not be had within {INSTALL_SECONDS} s")
    if ran.returncode != 0:
        pytest.skip(f"npm ci: tus-js-client cannot be had: {ran.stderr.decode()[-300:]}")
    return folder


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path / "home")
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.kill()


class Client:
    """tus-js-client, about to upload a file."""

    def __init__(self, clients: Path, served: Served, file: Path, **order: object) -> None:
        self.served, self.file = served, file
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        said = {
            "endpoint": f"{served.address}/v1/uploads",
            "headers": served.headers(),
            "metadata": {"filename": file.name, "case": served.case, "sha256": sha256},
            "file": str(file),
            **order,
        }
        node = shutil.which("node")
        assert node is not None
        self.process = subprocess.Popen(  # noqa: S603 - node, and a script of ours
            [node, "upload.mjs", json.dumps(said)], cwd=clients, stdout=subprocess.PIPE, text=True
        )
        self.lines: list[dict[str, Any]] = []

    def until_sent(self, size_bytes: int) -> None:
        """Wait until it has sent so much."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))
            if self.lines[-1].get("sent", 0) >= size_bytes:
                return
        raise AssertionError(f"it ended before: {self.lines[-3:]}")

    def insist_taken_in(self) -> None:
        """Wait for its end: what is stored is the file."""
        out, _ = self.process.communicate(timeout=240)
        self.lines += [json.loads(line) for line in out.splitlines()]
        assert self.process.returncode == 0, self.lines[-1]
        path = "/v1/uploads/" + self.lines[-1]["url"].rpartition("/")[2]
        outcome = self.served.outcome(path)["outcome"]
        content = self.file.read_bytes()
        assert outcome["status"] == "ingested"
        assert outcome["sha256"] == hashlib.sha256(content).hexdigest()
        assert self.served.stored(outcome["ern"]) == content


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "vidéo 1.bin"
    made.write_bytes(os.urandom(40 * MEBIBYTE + 17))
    return made


@pytest.mark.slow
def test_a_whole_upload(clients: Path, served: Served, file: Path) -> None:
    Client(clients, served, file).insist_taken_in()


@pytest.mark.slow
@pytest.mark.parametrize("piece", [None, 8 * MEBIBYTE], ids=["one body", "pieces"])
def test_the_server_is_killed_in_the_middle_and_the_client_goes_on(
    clients: Path, served: Served, file: Path, piece: int | None
) -> None:
    file.write_bytes(os.urandom(120 * MEBIBYTE + 17))
    client = Client(clients, served, file, chunkSize=piece)
    client.until_sent(40 * MEBIBYTE)
    served.kill()
    time.sleep(1)  # it meets a server that is not there
    served.start()
    client.insist_taken_in()


@pytest.mark.slow
def test_three_parts_at_once_are_put_together(clients: Path, served: Served, file: Path) -> None:
    Client(clients, served, file, parallelUploads=3).insist_taken_in()


@pytest.mark.slow
def test_each_piece_with_its_checksum(clients: Path, served: Served, file: Path) -> None:
    client = Client(clients, served, file, chunkSize=8 * MEBIBYTE, checksums=True)
    client.insist_taken_in()
    assert sum("checksum" in each for each in client.lines) == 6
