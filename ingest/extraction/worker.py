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
from ingest.extraction.blackbox import BlackBox
from ingest.extraction.limits import Limits
from ingest.extraction.source import SourceFile

SECONDS_TO_SPARE = 0.9  # a reader that minds its time stops by itself before it is stopped
_DESCRIPTOR = array("i", [0])


class _Nowhere(io.TextIOBase):
    """Where standard output goes, however much of it there is."""

    def write(self, text: str, /) -> int:
        return len(text)


def main(channel_fd: int, box_fd: int, limits: Limits) -> None:
    """Serve until the other side closes the socket."""
    channel = socket.socket(fileno=channel_fd)
    try:
        box = BlackBox(box_fd)
        os.close(box_fd)
        _prepare()
        reading.warm_up()
        isolation = sandbox.enter(limits.memory_bytes)
    except Exception as error:  # noqa: BLE001 - no file was parsed, so the message quotes none
        problem = str(error) or type(error).__name__
        wire.send_message(channel, {"isolation": problem, "isolated": False})
        return
    wire.send_message(channel, {"isolation": isolation, "isolated": True})
    with suppress(ConnectionError):  # the supervisor is gone, and with it the purpose of this
        _serve(channel, box, limits)


def _prepare() -> None:
    """Be quiet, be still on Ctrl-C (the supervisor acts upon it), and be nowhere in the world."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable()
    warnings.simplefilter("ignore")
    sys.stdout = sys.stderr = _Nowhere()
    os.environ["TZ"] = "UTC0"  # a claim must not depend on where it was read
    time.tzset()


def _serve(channel: socket.socket, box: BlackBox, limits: Limits) -> None:
    for number in range(1, limits.files_per_worker + 1):
        received = _receive(channel)
        if received is None:
            return
        box.note(b"")
        with SourceFile(*received, deadline=0) as file:
            report = _report(file, number, box, limits)
        is_last = report.retiring or number == limits.files_per_worker
        final = replace(report, retiring=is_last)
        wire.send_message(channel, wire.report_message(number, final))
        if is_last:
            return


def _receive(channel: socket.socket) -> tuple[int, bytes, int] | None:
    """The next file's descriptor, name and size; None when there is none."""
    space = socket.CMSG_SPACE(_DESCRIPTOR.itemsize)
    packet, ancillary, _, _ = channel.recvmsg(wire.REQUEST_BYTES_MAX, space)
    if not packet:
        return None
    (descriptor,) = array("i", ancillary[0][2])
    return descriptor, *wire.parse_request(packet)


def _report(file: SourceFile, number: int, box: BlackBox, limits: Limits) -> wire.Report:
    """Read the file to the end, noting on the way what is known of it."""
    began = time.monotonic()
    _allow(file, began, limits.wall_seconds)
    report = wire.Report(wire.Identity(wire.UNIDENTIFIED), ())
    for report in reading.read(file):
        if report.next_tool is not None:
            box.note(wire.encoded(wire.report_message(number, report)))
            _allow(file, began, limits.seconds_for(report.identity.media_type, file.size_bytes))
    # A process that ran out of memory, or tried what it must not, is not fit for another file.
    is_unfit = any(claims.reading is Reading.KILLED for claims in report.claims)
    return replace(report, retiring=is_unfit)


def _allow(file: SourceFile, began: float, seconds: float) -> None:
    """Give the file this much time. When as much processor time is used up, SIGPROF kills."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    file.deadline = began + seconds * SECONDS_TO_SPARE
