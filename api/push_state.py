"""Where a sender is: one file of JSON Lines, only ever added to, each line durable when it counts.

It may lie on the medium that is sent, so it is believed for progress only: never for an address,
and never for what the server has.
"""

import fcntl
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evidence_store.errors import MalformedError, UnavailableError

_UPLOAD = re.compile(r"/v1/uploads/[0-9a-f]{32}", re.ASCII)


class PushState:
    """The state of one folder's sending. Use it as a context manager; one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._uploads: dict[tuple[str, str], str | None] = {}
        self._seals: dict[str, str] = {}
        self._done: set[tuple[str, str]] = set()
        self._fd = -1

    def __enter__(self) -> Self:
        """Open it.

        Raises:
            MalformedError: if it cannot be written there.
            UnavailableError: if another process sends the same folder.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._fd = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise MalformedError(
                f"{self.path}: cannot be written ({error.strerror}); give --state FILE elsewhere"
            ) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise UnavailableError(f"{self.path}: another process sends this folder") from None
        for line in self._lines():
            self._take(line)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def upload(self, name: str, sha256: str) -> str | None:
        """The path on the server of the upload that was begun for a file; None if there is none."""
        return self._uploads.get((name, sha256))

    def begun(self, name: str, sha256: str, upload: str | None) -> None:
        """Write down where a file's upload is, before its first byte is sent; None forgets it.

        Raises:
            UnavailableError: if it cannot be written.
        """
        self._add({"path": name, "sha256": sha256, "upload": upload})

    def is_done(self, name: str, sha256: str) -> bool:
        """Whether the server said what became of a file."""
        return (name, sha256) in self._done

    def done(self, name: str, sha256: str) -> None:
        """Write down that the server said what became of a file. Raises: as `begun`."""
        self._add({"path": name, "sha256": sha256, "done": True})

    def seals(self) -> Iterator[bytes]:
        """The seals that were made while watching, in order."""
        return (each.encode() for each in list(self._seals.values()))

    def sealed(self, sha256: str, seal: bytes) -> None:
        """Write down a seal, before anything of it is sent. Raises: as `begun`."""
        self._add({"seal": seal.decode(), "sha256": sha256})

    def _add(self, line: dict[str, Any]) -> None:
        content = json.dumps(line).encode() + b"\n"
        with self._lock:
            try:
                written = os.write(self._fd, content)
                os.fsync(self._fd)
            except OSError as error:
                raise UnavailableError(f"{self.path}: {error.strerror}") from error
            if written != len(content):
                raise UnavailableError(f"{self.path}: the disk is full")
            self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        match line:
            case {"path": str(name), "sha256": str(sha256), "upload": None}:
                self._uploads[name, sha256] = None
            case {"path": str(name), "sha256": str(sha256), "upload": str(upload)}:
                # Of an older state the whole address; another server's would get our token.
                found = _UPLOAD.search(upload)
                if found is not None:
                    self._uploads[name, sha256] = found[0]
            case {"path": str(name), "sha256": str(sha256), "done": True}:
                self._done.add((name, sha256))
            case {"seal": str(seal), "sha256": str(sha256)}:
                self._seals[sha256] = seal
            case _:
                pass  # of a later version, or not ours

    def _lines(self) -> Iterator[dict[str, Any]]:
        last = b"\n"
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            for each in file:
                last = each
                try:
                    found = json.loads(each)
                except ValueError:
                    continue  # cut off in the middle: that upload is begun again
                if isinstance(found, dict):
                    yield found
        if not last.endswith(b"\n"):
            os.write(self._fd, b"\n")  # so that the next line is not lost with the broken one
