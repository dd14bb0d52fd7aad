"""A governed instance, and `evidence serve` on it as a process of its own, that tests talk to and kill."""

import base64
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from copy import copy
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

from api.tokens import SCOPES, make_token
from evidence_store.identifiers import Ern
from tests.authorisation import hire_everybody
from tests.cooperation import Whole, World
from tests.doors import instance_at

MEBIBYTE = 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}
OFFSET = {**TUS, "Content-Type": "application/offset+octet-stream"}


class Served:
    """A governed instance, and a server on it that can be killed and started again."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        everybody: bool = False,
        **settings: str | float | bool,
    ) -> None:
        """`everybody`: with officers of every role, as in `tests.authorisation`."""
        self.home, self.arguments = home, arguments
        home.mkdir(mode=0o700)
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
        (home / "settings.toml").write_text("".join(lines))
        with closing(instance_at(home)) as instance:
            world = World(Whole(instance), vault=instance.vault)
            if everybody:
                hire_everybody(world)
            self.case = str(world.case)
            now = instance.clock.now()
            life = timedelta(days=1)
            self.tokens = {
                name: make_token(instance.doors, person, "t", SCOPES, now, life)[1]
                for name, person in world.people.items()
            }
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        run = "import sys; from api.cli.main import main; sys.exit(main())"
        arguments = ["--home", self.home, "serve", "--port", self.port, *self.arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [sys.executable, "-c", run, *map(str, arguments)],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=Path(__file__).parents[1],
            )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if httpx2.get(f"{self.address}/ready", timeout=5).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.1)
        raise AssertionError("the server did not come up")

    def beside(self) -> "Served":
        """Another server process on the same instance, at a port of its own, started."""
        other = copy(self)
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            other.port = free.getsockname()[1]
        other.start()
        return other

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    @property
    def log(self) -> Path:
        return self.home.with_name(f"{self.home.name}.log")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def asked(
        self, method: str, path: str, name: str = "prosecutor", **more: Any
    ) -> httpx2.Response:
        """An answer to an officer."""
        headers = {**self.headers(name), **more.pop("headers", {})}
        return httpx2.request(method, self.address + path, headers=headers, timeout=60, **more)

    def begun(self, length: int, **metadata: str) -> str:
        """The path of a new upload."""
        told = said(**{"filename": "a.bin", "case": self.case, **metadata})
        headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": told}
        made = self.asked("POST", "/v1/uploads", headers=headers)
        assert made.status_code == 201, made.text
        return str(made.headers["location"])

    def sent(self, path: str, offset: int, content: bytes) -> httpx2.Response:
        """The next bytes of an upload."""
        headers = {**OFFSET, "Upload-Offset": str(offset)}
        return self.asked("PATCH", path, headers=headers, content=content)

    def offset(self, path: str) -> int:
        """How many bytes are acknowledged."""
        return int(self.asked("HEAD", path, headers=TUS).headers["upload-offset"])

    def taken_in(self, content: bytes) -> str:
        """The ERN of an upload from beginning to end."""
        path = self.begun(len(content))
        assert self.sent(path, 0, content).status_code == 204
        return str(self.outcome(path)["outcome"]["ern"])

    def head(self, method: str, path: str, **headers: object) -> bytes:
        """The head of a request by an officer, as bytes."""
        rows = {
            "Host": "x",
            **self.headers(),
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in rows.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def headers(self, name: str = "prosecutor") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[name]}"}

    def outcome(self, path: str) -> dict[str, Any]:
        answer = httpx2.get(self.address + path, headers=self.headers(), timeout=60)
        found: dict[str, Any] = answer.json()
        return found

    def stored(self, ern: str) -> bytes:
        from api import wiring  # noqa: PLC0415 - of this helper

        with closing(wiring.open_instance(self.home, lambda: b"")) as instance:
            with instance.catalog.read() as reader:
                (version,) = reader.versions(Ern.parse(ern))
                sealed = reader.sealed(version.object_name)
            return b"".join(instance.vault.open(sealed))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path / "home", tokens_sign_for_officers=True)
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.kill()


def said(**metadata: str) -> str:
    return ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items()
    )


class Line:
    """A connection on which a test says what it likes, byte by byte."""

    def __init__(self, served: Served, *, timeout: float = 30) -> None:
        self.socket = socket.create_connection(("127.0.0.1", served.port), timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, content: bytes) -> None:
        self.socket.sendall(content)

    def hear(self) -> bytes:
        """All there is until the server closes the line, or for a moment keeps silent."""
        found = b""
        with suppress(TimeoutError, ConnectionResetError):
            while piece := self.socket.recv(MEBIBYTE):
                found += piece
        return found

    def is_closed(self) -> bool:
        """Whether the server has let go of it; what it had to say is passed over."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(MEBIBYTE):
                pass
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


def statuses(heard: bytes) -> list[int]:
    """The status codes of the answers on a line, in order."""
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", heard)]
