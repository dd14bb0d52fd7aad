"""The isolated process: takes one file after the other and answers with its claims.

Started by `process` with one socket and nothing else: no paths, no environment, no standard
streams. Whatever goes wrong in a parser becomes a reading that says so.
"""

import io
import logging
import os
import signal
import socket
import sys
import time
import warnings
from array import array
from contextlib import suppress
from dataclasses import replace

from evidence_store.claims import Reading
from ingest.extraction import reading, sandbox, wire
from ingest.extraction.limits import Limits
from ingest.extraction.source import SourceFile

SECONDS_TO_SPARE = 0.9  # a reader that minds its time stops by itself before it is stopped
_DESCRIPTOR = array("i", [0])


class _Nowhere(io.TextIOBase):
    """Where standard output goes, however much of it there is."""

    def write(self, text: str, /) -> int:
        return len(text)


def main(descriptor: int, limits: Limits) -> None:
    """Serve until the other side closes the socket."""
    channel = socket.socket(fileno=descriptor)
    try:
        _prepare()
        reading.warm_up()
        isolation = sandbox.enter(limits.memory_bytes)
    except Exception as error:  # noqa: BLE001 - no file was parsed, so the message quotes none
        problem = str(error) or type(error).__name__
        wire.send_message(channel, {"isolation": problem, "isolated": False})
        return
    wire.send_message(channel, {"isolation": isolation, "isolated": True})
    with suppress(ConnectionError):  # the supervisor is gone, and with it the purpose of this
        _serve(channel, limits)


def _prepare() -> None:
    """Be quiet, be still on Ctrl-C (the supervisor acts upon it), and be nowhere in the world."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable()
    warnings.simplefilter("ignore")
    sys.stdout = sys.stderr = _Nowhere()
    os.environ["TZ"] = "UTC0"  # a claim must not depend on where it was read
    time.tzset()


def _serve(channel: socket.socket, limits: Limits) -> None:
    for files_left in reversed(range(limits.files_per_worker)):
        received = _receive(channel)
        if received is None:
            return
        with SourceFile(*received, deadline=0) as file:
            if _answer(channel, file, limits, is_last=files_left == 0):
                return


def _receive(channel: socket.socket) -> tuple[int, bytes, int] | None:
    """The next file's descriptor, name and size; None when there is none."""
    space = socket.CMSG_SPACE(_DESCRIPTOR.itemsize)
    packet, ancillary, _, _ = channel.recvmsg(wire.REQUEST_BYTES_MAX, space)
    if not packet:
        return None
    (descriptor,) = array("i", ancillary[0][2])
    return descriptor, *wire.parse_request(packet)


def _answer(channel: socket.socket, file: SourceFile, limits: Limits, *, is_last: bool) -> bool:
    """Answer for one file; returns whether this process retires after it."""
    _allow(file, limits.wall_seconds)
    is_retiring = is_last
    for answer in reading.read(file):
        if answer.identity is not None:
            _allow(file, limits.seconds_for(answer.identity.media_type, file.size_bytes))
        # A process that ran out of memory, or tried what it must not, is not fit for another file.
        is_retiring |= answer.claims.reading is Reading.KILLED
        is_final = answer.next_tool is None
        sent = replace(answer, retiring=is_retiring and is_final)
        wire.send_message(channel, wire.answer_message(sent))
    return is_retiring


def _allow(file: SourceFile, seconds: float) -> None:
    """Give the file this much time from now on. When its processor time is over, SIGPROF kills."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    file.deadline = time.monotonic() + seconds * SECONDS_TO_SPARE
