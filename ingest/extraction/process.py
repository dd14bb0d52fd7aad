"""One isolated process, as the trusted side holds it: start, ask, listen, end.

The process gets one end of a socket pair. Everything that comes back is bounded and parsed
by `wire`; a descriptor that came back would be dropped by the kernel, as none is asked for.
"""

import math
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
from ingest.extraction.limits import Limits

START_SECONDS_MAX = 60.0
_ROOT = str(Path(__file__).resolve().parents[2])
_MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from ingest.extraction.limits import Limits; "
    "from ingest.extraction.worker import main; "
    "main(int(sys.argv[2]), Limits.from_json(sys.argv[3]))"
)


class Process:
    """A worker that said it is isolated. Its owner must `end` it."""

    def __init__(self, child: "subprocess.Popen[bytes]", channel: socket.socket) -> None:
        self._child = child
        self._channel = channel
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._buffer = wire.MessageBuffer()
        self.isolation = ""

    @classmethod
    def start(cls, limits: Limits) -> Self:
        """Start a worker and wait until it is isolated.

        Raises:
            UnavailableError: if it is not, saying why.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                child = subprocess.Popen(  # noqa: S603 - our own interpreter, and no outside words
                    [
                        sys.executable,
                        *("-I", "-X", "utf8", "-c", _MAIN),
                        *(_ROOT, str(theirs.fileno()), limits.to_json()),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={},
                    cwd="/",
                    pass_fds=[theirs.fileno()],
                )
            except OSError as error:
                ours.close()
                raise UnavailableError("isolation: the process could not be started") from error
        process = cls(child, ours)
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

    def hear(self, seconds: float) -> wire.Answer:
        """The next answer.

        Raises:
            TimeoutError: if none is whole within this time.
            EOFError: if the worker is gone.
            MalformedError: if what it says is no answer.
        """
        return wire.parse_answer(self._message(seconds))

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
