"""Several server processes on one socket, and the parent that starts another where one died.

The parent opens nothing of the instance: each process has connections of its own, and whatever one of
them does alone it does under a lease or a lock that dies with it.
"""

import ctypes
import logging
import os
import signal
import socket
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from api import cooperation, logs, wiring
from api import settings as configuration
from api.cli.exits import Exit, exit_of
from api.cli.output import Json, Output
from api.cli.witness import listening
from api.http.watching import Counts
from api.metrics import exposed
from api.serving import Door, address_of, serve_on
from api.wiring import Passphrase
from evidence_store.errors import EvidenceError, MalformedError, SettingsError

log = logging.getLogger("evidence.workers")
_PR_SET_PDEATHSIG = 1
_WATCHED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
LOOK_SECONDS = 1.0
AGAIN_SECONDS = 1.0  # between two starts, so that what dies at once does not eat the machine
LAST_SECONDS = 15.0  # beyond the grace of each process


def serve_by_several(home: Path, ask: Passphrase, door: Door, output: Output, count: int) -> None:
    """Serve with `count` processes until interrupted. Prints the address.

    Each gives metrics of its own, at the ports that follow one another.

    Raises:
        SettingsError: if the settings or rules are wrong, or it cannot listen there.
        MalformedError: if metrics are wanted at a port that is not named.
    """
    if door.metrics_port == 0:
        raise MalformedError("serve: expected a --metrics-port other than 0 with --workers")
    grace = configuration.load(home).http_grace_seconds
    cooperation.policy()
    with listening(door.host, door.port) as listener:
        address = address_of(door, listener)
        row: dict[str, Json] = {"address": address}
        if door.metrics_port is not None:
            ports = range(door.metrics_port, door.metrics_port + count)
            row["metrics"] = [f"http://{door.metrics_host}:{each}/metrics" for each in ports]
        output.record(row, address)
        _Processes(home, ask, door, listener, count, grace).run()


@dataclass(slots=True)
class _Processes:
    """The processes that serve, by number."""

    home: Path
    ask: Passphrase
    door: Door
    listener: socket.socket
    count: int
    grace_seconds: float
    places: dict[int, int] = field(default_factory=dict)  # by process: which of the `count` it is
    _next_start: float = 0.0

    def run(self) -> None:
        """Start them, and others for those that die, until a signal ends it."""
        logs.install(self.door.log)
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        for _ in range(self.count):
            self._start()
        try:
            while True:
                found = signal.sigtimedwait(_WATCHED, LOOK_SECONDS)
                if found is not None and found.si_signo != signal.SIGCHLD:
                    return
                for pid, code in self._gone():
                    log.warning("process %d ended (%d)", pid, code)
                    if code == Exit.USAGE:
                        raise SettingsError(
                            "serve: a process could not be set up; it says why above"
                        )
                if len(self.places) < self.count and time.monotonic() >= self._next_start:
                    self._start()
        finally:
            self._stop()

    def _start(self) -> None:
        self._next_start = time.monotonic() + AGAIN_SECONDS
        place = min(set(range(self.count)) - set(self.places.values()))
        parent = os.getpid()
        pid = os.fork()  # the parent has one thread, and no connection that could be shared
        if pid:
            self.places[pid] = place
            return
        code = int(Exit.AGAIN)
        try:
            # Whatever becomes of the parent: nobody is left who serves unseen.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            if os.getppid() == parent:
                code = self._serve(place)
        finally:
            os._exit(code)

    def _serve(self, place: int) -> int:
        try:
            with ExitStack() as opened:
                extractor = opened.enter_context(wiring.start_extractor(self.home))
                instance = wiring.open_instance(self.home, self.ask)
                opened.callback(instance.close)
                counts, port = Counts(), self.door.metrics_port
                port = None if port is None else port + place
                metrics = exposed(instance, self.door.metrics_host, port, counts.registry)
                opened.enter_context(metrics)
                serve_on(self.listener, instance, extractor, self.door, counts)
        except EvidenceError as error:
            log.error("%s: %s", error.code, error)  # noqa: TRY400 - a message for people
            return exit_of(error)
        except KeyboardInterrupt:
            return Exit.DONE
        except Exception as error:  # noqa: BLE001 - no traceback, and the parent starts another
            log.error("not foreseen: %s", type(error).__name__)  # noqa: TRY400 - no content in logs
            return Exit.AGAIN
        return Exit.DONE

    def _gone(self) -> list[tuple[int, int]]:
        found = []
        for pid in list(self.places):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del self.places[pid]
                found.append((pid, os.waitstatus_to_exitcode(status)))
        return found

    def _stop(self) -> None:
        """Let all of them end in order; whoever does not is ended."""
        for pid in self.places:
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + self.grace_seconds + LAST_SECONDS
        while self.places and time.monotonic() < until:
            self._gone()
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        for pid in self.places:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
