"""The sending side of a resumable upload (tus 1.0.0): goes on where it was cut off, by any means.

Each file's digest is computed before and told at the creation, each piece has a checksum of its own.
Where an upload lies is written down before its first byte is sent, so a killed sender goes on too.
"""

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import urllib3

from evidence_store.errors import (
    EvidenceError,
    FixityError,
    MalformedError,
    SourceChangedError,
    UnavailableError,
)

PIECE_BYTES = 8 * 1024 * 1024
TRIES = 5
VERSION = {"Tus-Resumable": "1.0.0"}
GONE = frozenset({404, 410})
MISMATCH = 460
OK = range(200, 300)


@dataclass(slots=True)
class Pushing:
    """Sends files to one server as one officer. `state` is where it writes down how far it is."""

    server: str
    token: str = field(repr=False)
    state: Path
    _pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))

    def push(self, file: Path, name: str, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Send a file; what became of it.

        Raises:
            UnavailableError: if the line is down: run it again.
            SourceChangedError: if the file changed meanwhile.
            FixityError: if the server has other bytes.
            MalformedError: if the server refuses what is said of the file.
        """
        sha256, size = _digest(file)
        said = {**metadata, "filename": file.name, "path": name, "sha256": sha256}
        location = self._known(name, sha256) or self._created(name, sha256, size, said)
        offset = self._offset(location)
        if offset is None:
            location, offset = self._created(name, sha256, size, said), 0
        with file.open("rb") as content:
            while offset < size:
                content.seek(offset)
                piece = content.read(min(PIECE_BYTES, size - offset))
                if not piece:
                    raise SourceChangedError(f"{name}: it became shorter while it was sent")
                offset = self._sent(location, offset, piece)
        return self._outcome(location, name, sha256)

    def _created(self, name: str, sha256: str, size: int, said: Mapping[str, str]) -> str:
        encoded = ",".join(
            f"{key} {base64.b64encode(value.encode('utf-8', 'surrogateescape')).decode()}"
            for key, value in said.items()
        )
        headers = {"Upload-Length": str(size), "Upload-Metadata": encoded}
        answer = self._ask("POST", urljoin(self.server, "/v1/uploads"), headers)
        if answer.status not in OK:
            raise _refused(answer)
        location = urljoin(self.server, answer.headers["location"])
        self._write_down(name, sha256, location)
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
        checksum = base64.b64encode(hashlib.sha256(piece).digest()).decode()
        headers = {
            "Upload-Offset": str(offset),
            "Upload-Checksum": f"sha256 {checksum}",
            "Content-Type": "application/offset+octet-stream",
        }
        answer = self._ask("PATCH", location, headers, piece)
        if answer.status in OK:
            return int(answer.headers["upload-offset"])
        if answer.status in {409, 408, MISMATCH}:
            found = self._offset(location)
            if found is not None:
                return found
        raise _refused(answer)

    def _outcome(self, location: str, name: str, sha256: str) -> dict[str, Any]:
        answer = self._ask("GET", location, {})
        if answer.status not in OK:
            raise _refused(answer)
        found: dict[str, Any] = json.loads(answer.data)
        outcome = found.get("outcome") or {"status": found["state"]}
        if outcome.get("sha256", sha256) != sha256:
            raise FixityError(what=name, expected=sha256, found=str(outcome["sha256"]))
        return {"path": name, "upload": location, **outcome}

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        """An answer, asked for several times over a bad line.

        Raises:
            UnavailableError: if none comes.
        """
        sent = {**VERSION, "Authorization": f"Bearer {self.token}", **headers}
        for _ in range(TRIES):
            try:
                answer = self._pool.request(
                    method, url, headers=sent, body=body, redirect=False, timeout=120
                )
            except urllib3.exceptions.HTTPError:
                if method == "PATCH":  # how much of it arrived is for the server to say
                    break
                continue
            if answer.status != 503:  # noqa: PLR2004 - the only one that says: later
                return answer
        raise UnavailableError(f"{url}: no answer; run the same command again, it goes on")

    def _known(self, name: str, sha256: str) -> str | None:
        found = None
        for line in self._lines():
            if line.get("path") == name and line.get("sha256") == sha256:
                found = str(line.get("upload"))
        return found

    def _write_down(self, name: str, sha256: str, location: str) -> None:
        line = json.dumps({"path": name, "sha256": sha256, "upload": location})
        fd = os.open(self.state, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(fd, line.encode() + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.state.exists():
            return
        for line in self.state.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # cut off in the middle: that upload is begun again


def _digest(file: Path) -> tuple[str, int]:
    state, size = hashlib.sha256(), 0
    with file.open("rb") as content:
        while piece := content.read(PIECE_BYTES):
            state.update(piece)
            size += len(piece)
    return state.hexdigest(), size


def _refused(answer: urllib3.BaseHTTPResponse) -> EvidenceError:
    try:
        problem = json.loads(answer.data)
        text = f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        text = f"status {answer.status}"
    kind = UnavailableError if answer.status >= 500 else MalformedError  # noqa: PLR2004 - the server's side
    return kind(f"the server refuses: {text}")
