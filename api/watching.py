"""A folder that is watched: what appears and is at rest is sealed, written down, and sent.

The folder itself is the queue: what is not sealed yet simply waits in it. A seal is in the state
file before anything of it is sent, so a watch that was killed goes on; sending has a thread of its
own, so a dead line delays no seal until so many wait that no more are made.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, Queue

from api.push_state import PushState
from api.pushing import Pushing
from api.sending import Parcel, SealToSend, Sent, send_all, send_seal
from evidence_store.errors import EvidenceError, SourceChangedError, UnavailableError
from evidence_store.field_seal import Circumstances, FieldSeal, SealedFile, Unsealed
from evidence_store.ledger.signing import PrivateKey
from ingest.field_sealing import SEAL_NAME, FieldFolder, spelt_time
from ingest.sources import Refused, Source
from ingest.writers import is_written

BATCH_FILES_MAX = 200  # under one seal
WAITING_MAX = 100  # seals that are made and not sent
RESCAN_SECONDS = 30.0  # for what no message comes of: network mounts, a full queue of the kernel
BACKOFF_SECONDS_MAX = 60.0

Stamp = tuple[int, str | None]


@dataclass(frozen=True, slots=True)
class Sealer:
    """Who seals, and with which key."""

    private: PrivateKey
    public: bytes
    circumstances: Circumstances
    tool: str

    def seal(
        self, started: datetime, files: Mapping[bytes, SealedFile], refused: list[Unsealed]
    ) -> SealToSend:
        """A seal over files that were just digested."""
        now = datetime.now(UTC)
        made = FieldSeal(
            self.circumstances, started, now, self.tool, self.public, files, tuple(refused)
        )
        return SealToSend(made, made.signed(self.private))


@dataclass(slots=True)
class Watch:
    """One folder. `told` is told what became of each file, by either thread."""

    folder: FieldFolder
    said: Mapping[str, str]
    sealer: Sealer
    state: PushState
    pushing: Callable[[], Pushing]
    told: Callable[[Sent], None]
    at_once: int = 3
    settle_seconds: float = 2.0
    once: bool = False
    _stopped: threading.Event = field(default_factory=threading.Event)
    _queue: "Queue[SealToSend]" = field(default_factory=lambda: Queue(WAITING_MAX))
    _known: dict[bytes, Stamp] = field(default_factory=dict)
    _seen: dict[bytes, tuple[Stamp, float]] = field(default_factory=dict)
    _complained: set[tuple[bytes, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failure: BaseException | None = None
    _sending: Pushing | None = None
    _gave_up: bool = False
    _unsent: int = 0

    def run(self) -> bool:
        """Watch until `stop`, or with `once` until nothing is left; whether everything was sent.

        Raises:
            UnsupportedSourceError, SourceChangedError: if the folder itself is gone.
        """
        left = self._restored()
        sender = threading.Thread(target=self._send, args=(left,), name="watch-sender")
        sender.start()
        try:
            for _ in self._moments():
                if self._tick() and self.once:
                    break
        finally:
            while self.once and self._unsent and not self._gave_up and not self._stopped.is_set():
                self._stopped.wait(0.05)
            self.stop()
            sender.join()
        if self._failure is not None:
            raise self._failure
        return self._unsent == 0 and not self._gave_up

    def stop(self) -> None:
        """End in order: the piece that is being sent is the last. May be called by a signal."""
        self._stopped.set()
        sending = self._sending
        if sending is not None:
            sending.stopped.set()

    def _moments(self) -> Iterator[None]:
        """Whenever something may have changed, and at least so often as files settle."""
        yield None
        last = time.monotonic()
        while not self._stopped.is_set():
            try:
                for is_changed in self._messages():
                    is_due = time.monotonic() - last > RESCAN_SECONDS
                    if is_changed or self._seen or is_due or self.once:
                        last = time.monotonic()
                        yield None
            except RuntimeError:
                # A name that is not UTF-8, which the library cannot tell, or no more watches to be
                # had from the kernel: the folder is looked at instead.
                self._stopped.wait(self.settle_seconds)
                yield None

    def _messages(self) -> Iterator[bool]:
        """Whether anything but our own files changed; False whenever the time to settle is over.

        Raises:
            RuntimeError: what the library makes of anything else.
        """
        from watchfiles import watch  # noqa: PLC0415 - for this command only

        own = {os.fsdecode(each) for each in self.folder.own}
        for changes in watch(
            os.fsdecode(self.folder.root),
            watch_filter=lambda _, path: path not in own,
            stop_event=self._stopped,
            rust_timeout=max(50, int(self.settle_seconds * 1000)),
            yield_on_timeout=True,
            debounce=200,
            raise_interrupt=False,
        ):
            yield bool(changes)

    def _restored(self) -> list[SealToSend]:
        """The seals that were made before, of which something is not sent."""
        left = []
        for content in self.state.seals():
            sealed = SealToSend(FieldSeal.opened(content), content)
            parcel = Parcel(self.folder, self.said, sealed)
            for name, file in sealed.seal.files.items():
                self._known[name] = _stamp_of(file)
            if not all(self._is_done(parcel, name) for name in sealed.seal.files):
                left.append(sealed)
                self._count(1)
        return left

    def _tick(self) -> bool:
        """Seal what is at rest; whether nothing waits to be."""
        if self._queue.full():
            return False  # it waits in the folder
        ready: list[tuple[bytes, Source, Stamp]] = []
        now, seen = time.monotonic(), {}
        for name, source in self.folder.sources():
            if isinstance(source, Refused):
                self._complain(Sent(name, error=source.error))
                continue
            stamp = _stamp(source.path)
            if stamp is None or self._known.get(name) == stamp:
                continue
            before, since = self._seen.get(name, (None, now))
            since = since if before == stamp else now
            seen[name] = (stamp, since)
            is_still = before == stamp and now - since >= self.settle_seconds
            if is_still and len(ready) < BATCH_FILES_MAX and not is_written(source.path):
                ready.append((name, source, stamp))
        self._seen = seen
        if ready:
            self._seal(ready)
        return not self._seen

    def _seal(self, ready: list[tuple[bytes, Source, Stamp]]) -> None:
        started, files = datetime.now(UTC), {}
        for name, source, _ in ready:
            found = self.folder.seal(name, source)
            if not isinstance(found, Unsealed):  # else it moved again, and waits until it settles
                files[name] = found.file
        if not files:
            return
        sealed = self.sealer.seal(started, files, [])
        self.state.sealed(sealed.sha256, sealed.content)
        for name, file in files.items():
            self._known[name] = _stamp_of(file)
            self._seen.pop(name, None)
        self._count(1)
        self._queue.put(sealed)

    def _send(self, left: list[SealToSend]) -> None:
        """The sender's thread: one seal after the other, each until it is through."""
        try:
            for sealed in left:
                self._send_one(sealed)
            while not self._stopped.is_set():
                with suppress(Empty):
                    self._send_one(self._queue.get(timeout=0.2))
        except BaseException as error:  # noqa: BLE001 - raised again where the folder is watched
            self._failure = error
            self._stopped.set()

    def _send_one(self, sealed: SealToSend) -> None:
        """Send a seal and its files, again and again until the server said what became of each."""
        pause, parcel = 0.5, Parcel(self.folder, self.said, sealed)
        while not self._stopped.is_set() and not self._gave_up:
            self._sending = pushing = self.pushing()
            if self._stopped.is_set():  # between the two lines above
                return
            try:
                if self._is_sent(pushing, parcel, sealed):
                    self._count(-1)
                    return
            except UnavailableError:
                pass  # the line is down
            except EvidenceError as error:
                self._complain(Sent(SEAL_NAME, error=error))
            self._gave_up = self.once
            self._stopped.wait(0 if self.once else pause)
            pause = min(2 * pause, BACKOFF_SECONDS_MAX)

    def _is_sent(self, pushing: Pushing, parcel: Parcel, sealed: SealToSend) -> bool:
        """Send what is left of a seal's files; whether nothing is left after it."""
        seal = send_seal(pushing, parcel)
        if seal is not None and seal.is_quarantined:
            self._complain(seal)
        names = []
        for name, file in sealed.seal.files.items():
            if self._is_done(parcel, name):
                continue
            if _stamp(self.folder.path_of(name)) == _stamp_of(file):
                names.append(name)
            else:
                error = SourceChangedError("source: it changed or went away after it was sealed")
                self._settle(parcel, name, Sent(parcel.file(name).name, error=error))
        is_whole = True
        sending = send_all(pushing, (parcel.file(name) for name in names), self.at_once)
        for name, sent in zip(names, sending, strict=False):
            if sent.outcome is not None or isinstance(sent.error, SourceChangedError):
                self._settle(parcel, name, sent)
            else:  # refused now; a new token or a change at the server may let it in
                self._complain(sent)
                is_whole = False
        return is_whole

    def _settle(self, parcel: Parcel, name: bytes, sent: Sent) -> None:
        self.told(sent)
        self.state.done(*self._key(parcel, name))

    def _complain(self, sent: Sent) -> None:
        """Tell of a failure, once."""
        code = "" if sent.error is None else sent.error.code
        if (sent.name, code) not in self._complained:
            self._complained.add((sent.name, code))
            self.told(sent)

    def _count(self, more: int) -> None:
        with self._lock:
            self._unsent += more

    def _is_done(self, parcel: Parcel, name: bytes) -> bool:
        return self.state.is_done(*self._key(parcel, name))

    def _key(self, parcel: Parcel, name: bytes) -> tuple[str, str]:
        file = parcel.file(name)
        return os.fsdecode(file.name), str(file.sha256)


def _stamp_of(file: SealedFile) -> Stamp:
    return file.fingerprint.size_bytes, file.modified_at


def _stamp(path: bytes) -> Stamp | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size, spelt_time(found.st_mtime_ns)
