"""One isolated process, as the trusted side holds it: start, ask, listen, end.

The process gets one end of a socket pair. Everything that comes back is bounded and parsed
by `wire`; a descriptor that came back would be dropped by the kernel, as none is asked for.
"""

import math
import os
import select
import socket
import subprocess
import sys
import time
from array import array
from pathlib import Path
from typing import Self

from evidence_store.errors import MalformedError, UnavailableError
from ingest.extraction import wire
from ingest.extraction.blackbox import BlackBox
from ingest.extraction.limits import Limits

START_SECONDS_MAX = 60.0
_ROOT = str(Path(__file__).resolve().parents[2])
_MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from ingest.extraction.limits import Limits; "
    "from ingest.extraction.worker import main; "
    "main(int(sys.argv[2]), int(sys.argv[3]), Limits.from_json(sys.argv[4]))"
)


class Process:
    """A worker that said it is isolated. Its owner must `end` it."""

    def __init__(
        self, child: "subprocess.Popen[bytes]", channel: socket.socket, box: BlackBox
    ) -> None:
        self._child = child
        self._channel = channel
        self._box = box
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._buffer = wire.MessageBuffer()
        self._number = 1  # of the file that it is on
        self.isolation = ""

    @classmethod
    def start(cls, limits: Limits) -> Self:
        """Start a worker and wait until it is isolated.

        Raises:
            UnavailableError: if it is not, saying why.
        """
        box, box_fd = BlackBox.create()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            child = _popen([theirs.fileno(), box_fd], limits)
        except OSError as error:
            ours.close()
            raise UnavailableError("isolation: the process could not be started") from error
        finally:
            theirs.close()
            os.close(box_fd)
        process = cls(child, ours, box)
        try:
            process.isolation = process._hear_ready()
        except UnavailableError:
            process.end()
            raise
        return process

    @property
    def process_id(self) -> int:
        """Its process id."""
        return self._child.pid

    def ask(self, fd: int, name: bytes, size_bytes: int) -> bool:
        """Send a request with its descriptor; returns whether there was anybody to send it to."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))]
        try:
            self._channel.sendmsg([wire.request(name, size_bytes)], rights)
        except OSError:
            return False
        return True

    def hear(self, seconds: float) -> wire.Report:
        """The report on the file it is on; the next one is then the file behind it.

        Raises:
            TimeoutError: if it is not whole within this time.
            EOFError: if the worker is gone.
            MalformedError: if what it says is no such report.
        """
        report = wire.parse_report(self._message(seconds), self._number)
        if report.next_tool is not None:
            raise MalformedError("extraction: expected a report that is complete")
        self._number += 1
        return report

    def progress(self) -> wire.Report | None:
        """What the worker noted about the file it is on, or was on when it ended."""
        try:
            return wire.parse_report(self._box.read(), self._number)
        except MalformedError:
            return None

    def kill(self) -> None:
        """Make it end, whatever it is at. `end` must follow."""
        self._child.kill()

    def end(self) -> int:
        """End the process if it has not ended; returns its exit code, or minus its signal."""
        self._channel.close()
        self._child.kill()  # of no effect on one that has ended
        return self._child.wait()

    def _hear_ready(self) -> str:
        try:
            ready = wire.parse_ready(self._message(START_SECONDS_MAX))
        except (TimeoutError, EOFError, MalformedError) as error:
            raise UnavailableError(
                "isolation: expected the process to become ready, it did not"
            ) from error
        if not ready.isolated:
            raise UnavailableError(ready.isolation)
        return ready.isolation

    def _message(self, seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        message = None
        while message is None:
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(math.ceil(left * 1000)):
                raise TimeoutError
            try:
                fragment = self._channel.recv(wire.FRAGMENT_BYTES_MAX + 1)
            except ConnectionError as error:
                raise EOFError from error
            if not fragment:
                raise EOFError
            message = self._buffer.take(fragment)
        return message


def _popen(fds: list[int], limits: Limits) -> "subprocess.Popen[bytes]":
    arguments = [_ROOT, *map(str, fds), limits.to_json()]
    return subprocess.Popen(  # noqa: S603 - our own interpreter, and no outside words
        [sys.executable, "-I", "-X", "utf8", "-c", _MAIN, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        pass_fds=fds,
    )
