"""The isolated process: takes one file after the other and answers with its claims.

Started by `process` with a socket pair and nothing else: no paths, no environment, no
standard streams. Whatever goes wrong in a parser becomes a reading that says so. Names of
exceptions are reported, never their messages, which may quote the file.
"""

import logging
import os
import signal
import socket
import sys
import time
import warnings
from array import array
from contextlib import suppress

from ingest.extraction import reading, sandbox, wire
from ingest.extraction.limits import Limits
from ingest.extraction.source import SourceFile

SECONDS_TO_SPARE = 0.9  # a reader that knows its time stops by itself before it is stopped


def main(descriptor: int, limits: Limits) -> None:
    """Serve until the other side closes the socket pair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor to act upon
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    channel = socket.socket(fileno=descriptor)
    try:
        _silence()
        reading.warm_up()
        isolation = sandbox.enter(limits.memory_bytes)
    except Exception as error:  # noqa: BLE001 - reported; no file has been parsed
        wire.send_message(channel, {"isolation": f"{error or type(error).__name__}", "isolated": False})
        return
    wire.send_message(channel, {"isolation": isolation, "isolated": True})
    with suppress(ConnectionError):  # the supervisor is gone, and so is the purpose of this process
        _serve(channel, limits)


def _silence() -> None:
    """Nothing that a library prints may reach anybody, or cost anything."""
    logging.disable()
    warnings.simplefilter("ignore")
    sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment] # as under pythonw
    os.environ["TZ"] = "UTC0"  # a claim must not depend on where it was read
    time.tzset()


def _serve(channel: socket.socket, limits: Limits) -> None:
    for number in range(1, limits.files_per_worker + 1):
        received = _receive(channel)
        if received is None:
            return
        descriptor, name, size_bytes = received
        with SourceFile(descriptor, name, size_bytes) as file:
            if not _answer(channel, file, limits, is_last=number == limits.files_per_worker):
                return


def _receive(channel: socket.socket) -> tuple[int, bytes, int] | None:
    packet, ancillary, _, _ = channel.recvmsg(4096, socket.CMSG_SPACE(array("i").itemsize))
    if not packet:
        return None
    name, size_bytes = wire.parse_request(packet)
    descriptors = array("i", ancillary[0][2])
    return descriptors[0], name, size_bytes


def _answer(
    channel: socket.socket, file: SourceFile, limits: Limits, *, is_last: bool
) -> bool:
    """Answer for one file; returns whether this process is fit for another."""
    media_type = wire.UNIDENTIFIED
    _allow(file, limits.seconds_for(media_type, file.size_bytes))
    for answer in reading.read(file):
        if answer.identity is not None and answer.identity.media_type != media_type:
            _allow(file, limits.seconds_for(answer.identity.media_type, file.size_bytes))
        wire.send_message(channel, wire.answer_message(answer))
    return True


def _allow(file: SourceFile, seconds: float) -> None:
    """Let the file have this much time from now on."""
    signal.setitimer(signal.ITIMER_PROF, seconds)  # processor time; ends the process
    file.deadline = time.monotonic() + seconds * SECONDS_TO_SPARE
