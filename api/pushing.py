"""The sending side of a resumable upload (tus 1.0.0): goes on where it was cut off, by any means.

Each file's digest is told at the creation: the sealed one where there is a seal, else one computed
before. Each piece has a checksum of its own. Where an upload lies is written down before its first
byte is sent, so a killed sender goes on too.
"""

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3

from api.push_state import PushState
from evidence_store.errors import (
    EvidenceError,
    FixityError,
    MalformedError,
    SourceChangedError,
    UnavailableError,
)

PIECE_BYTES = 8 * 1024 * 1024
PIECE_BYTES_MIN = 64 * 1024
TRIES = 5
PAUSE_SECONDS = 0.1  # doubled at each try
ENDING_TRIES = 60
ENDING_SECONDS = 0.5
ANSWER_SECONDS = 120
VERSION = {"Tus-Resumable": "1.0.0"}
GONE = frozenset({404, 410})
AGAIN = frozenset({429, 503})
MISMATCH = 460
OK = range(200, 300)


class Pace:
    """At most so many bytes in a second, over all files; no limit without one."""

    def __init__(self, bytes_per_second: int | None = None) -> None:
        self._rate = bytes_per_second
        self._free_at = time.monotonic()
        self._lock = threading.Lock()

    @property
    def piece_bytes(self) -> int:
        """How long a piece is: of a slow line no more than about a second's worth."""
        if self._rate is None:
            return PIECE_BYTES
        return max(PIECE_BYTES_MIN, min(PIECE_BYTES, self._rate))

    def wait(self, size_bytes: int, stopped: threading.Event) -> None:
        """Wait until so many bytes may be sent, or until it is stopped."""
        if self._rate is None:
            return
        with self._lock:
            start = max(self._free_at, time.monotonic())
            self._free_at = start + size_bytes / self._rate
        stopped.wait(max(0.0, start - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file to send. `name` is what it is called there; `sha256` what was sealed, if it was.

    `content` is sent in place of a file's, where there is none.
    """

    path: bytes
    name: bytes
    said: Mapping[str, str]
    sha256: str | None = None
    content: bytes | None = None

    def open(self) -> int:
        """A descriptor to read it from.

        Raises:
            OSError: if the system refuses.
        """
        if self.content is None:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(self.path, flags)
        fd = os.memfd_create("outgoing", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(self.content)
        return fd


@dataclass(slots=True)
class Pushing:
    """Sends files to one server as one officer; from several threads, if wanted.

    `sent` is told how many bytes the server has taken. `stopped` ends it between two pieces.
    """

    server: str
    token: str = field(repr=False)
    state: PushState
    pace: Pace = field(default_factory=Pace)
    in_clear: bool = False
    """Whether the token may go over a line that others can read; to this machine it may always."""
    sent: Callable[[int], None] = lambda _: None
    stopped: threading.Event = field(default_factory=threading.Event)
    _pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(retries=False, maxsize=32)
    )

    def __post_init__(self) -> None:
        parts = urlsplit(self.server)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise MalformedError("--to: expected an address as in https://evidence.example")
        if parts.scheme == "http" and not self.in_clear and not _is_loopback(parts.hostname):
            raise MalformedError(
                "--to: expected https: over http the token and the files can be read on the way; "
                "--in-clear sends them all the same"
            )

    def push(self, file: Outgoing) -> dict[str, Any]:
        """Send a file; what became of it.

        Raises:
            UnavailableError: if the line is down: run it again.
            SourceChangedError: if the file changed meanwhile, or cannot be read.
            FixityError: if the server has other bytes than it was sent.
            MalformedError: if the server refuses what is said of the file.
        """
        try:
            return self._push(file)
        except OSError as error:
            raise SourceChangedError(f"source: cannot be read ({error.strerror})") from error

    def _push(self, file: Outgoing) -> dict[str, Any]:
        key = os.fsdecode(file.name)
        fd = file.open()
        try:
            size = os.fstat(fd).st_size
            sha256 = file.sha256 or _digest(fd)
            location = self.state.upload(key, sha256)
            offset = None if location is None else self._offset(location)
            if location is None or offset is None:
                location, offset = self._created(key, sha256, size, file), 0
            self.sent(offset)
            while offset < size:
                piece = os.pread(fd, min(self.pace.piece_bytes, size - offset), offset)
                if not piece:
                    raise SourceChangedError("source: it became shorter while it was sent")
                moved = self._sent(location, offset, piece)
                self.sent(moved - offset)
                offset = moved
        finally:
            os.close(fd)
        return self._outcome(location, key, sha256)

    def _created(self, key: str, sha256: str, size: int, file: Outgoing) -> str:
        name = os.fsdecode(file.name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        said = {
            **file.said,
            "filename": name.rpartition("/")[2],
            "path": name,
            "sha256": sha256,
        }
        encoded = ",".join(
            f"{what} {base64.b64encode(value.encode()).decode()}" for what, value in said.items()
        )
        headers = {"Upload-Length": str(size), "Upload-Metadata": encoded}
        answer = self._ask("POST", "/v1/uploads", headers)
        if answer.status not in OK:
            raise _refused(answer)
        # The path alone: a token never goes to another server than the one that was named.
        location = urlsplit(answer.headers["location"]).path
        self.state.begun(key, sha256, location)
        return location

    def _offset(self, location: str) -> int | None:
        """How far the server is; None if it does not know the upload any more."""
        answer = self._ask("HEAD", location, {})
        if answer.status in GONE:
            return None
        if answer.status not in OK:
            raise _refused(answer)
        return int(answer.headers["upload-offset"])

    def _sent(self, location: str, offset: int, piece: bytes) -> int:
        """Where the server is after a piece: also after one of which only a part arrived."""
        checksum = base64.b64encode(hashlib.sha256(piece).digest()).decode()
        headers = {
            "Upload-Offset": str(offset),
            "Upload-Checksum": f"sha256 {checksum}",
            "Content-Type": "application/offset+octet-stream",
        }
        answer: urllib3.BaseHTTPResponse | None = None
        for number in range(TRIES):
            self.pace.wait(len(piece), self.stopped)
            try:
                answer = self._once("PATCH", location, headers, piece)
            except urllib3.exceptions.HTTPError:
                answer = None
            if answer is not None and answer.status in OK:
                return int(answer.headers["upload-offset"])
            if answer is not None and answer.status not in {408, 409, MISMATCH, *AGAIN}:
                raise _refused(answer)
            # How much of it arrived is for the server to say.
            found = self._offset(location)
            if found is None:
                raise UnavailableError("the server let go of the upload; run the command again")
            if found != offset:
                return found
            self.stopped.wait(PAUSE_SECONDS * 2**number)
        raise UnavailableError("the line is down; run the same command again, it goes on")

    def _outcome(self, location: str, key: str, sha256: str) -> dict[str, Any]:
        for _ in range(ENDING_TRIES):
            answer = self._ask("GET", location, {})
            if answer.status not in OK:
                raise _refused(answer)
            found: dict[str, Any] = json.loads(answer.data)
            if found["state"] in {"done", "failed"}:
                break
            self.stopped.wait(ENDING_SECONDS)
        else:
            raise UnavailableError(
                "the server has every byte, and takes it in later; run the same command again"
            )
        outcome: dict[str, Any] = found.get("outcome") or {}
        if found["state"] == "failed":
            self.state.begun(key, sha256, None)  # the next run sends it anew
            raise _failed(outcome.get("error") or {})
        if outcome.get("status") != "quarantined" and outcome.get("sha256") != sha256:
            raise FixityError(what="content", expected=sha256, found=str(outcome.get("sha256")))
        return {"upload": location, **outcome}

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """An answer, asked for several times over a bad line.

        Raises:
            UnavailableError: if none comes, or it is stopped.
        """
        for number in range(TRIES):
            try:
                answer = self._once(method, path, headers, None)
            except urllib3.exceptions.HTTPError:
                answer = None
            if answer is not None and answer.status not in AGAIN:
                return answer
            self.stopped.wait(PAUSE_SECONDS * 2**number)
        raise UnavailableError("no answer from the server; run the same command again, it goes on")

    def _once(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> urllib3.BaseHTTPResponse:
        if self.stopped.is_set():
            raise UnavailableError("stopped; run the same command again, it goes on")
        return self._pool.request(
            method,
            urljoin(self.server, path),
            headers={**VERSION, "Authorization": f"Bearer {self.token}", **headers},
            body=body,
            redirect=False,
            timeout=ANSWER_SECONDS,
        )


def _digest(fd: int) -> str:
    state, at = hashlib.sha256(), 0
    while piece := os.pread(fd, PIECE_BYTES, at):
        state.update(piece)
        at += len(piece)
    return state.hexdigest()


def _failed(error: Mapping[str, Any]) -> EvidenceError:
    """What the server said of an upload that it could not take in."""
    code, text = str(error.get("code")), str(error.get("message"))
    kind = UnavailableError if code.startswith("E9") else MalformedError
    if code == FixityError.code:
        return FixityError(what="the server", expected="what was sent", found=text)
    return kind(f"the server could not take it in: {code}: {text}")


def _refused(answer: urllib3.BaseHTTPResponse) -> EvidenceError:
    try:
        problem = json.loads(answer.data)
        text = f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        text = f"status {answer.status}"
    kind = UnavailableError if answer.status >= 500 else MalformedError  # noqa: PLR2004 - the server's side
    return kind(f"the server refuses: {text}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
