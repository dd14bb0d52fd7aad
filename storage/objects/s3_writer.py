"""An object on its way into a bucket: in one request, or in parts if it is longer than one.

Two parts at most are in memory: one fills while the other is sent. What a crash leaves is an
open upload, which nobody can read and `S3ObjectStore.discard_unfinished` lets go.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from time import sleep

from evidence_store.errors import (
    ConflictError,
    EvidenceError,
    MalformedError,
    NotFoundError,
    StoreUnavailableError,
)
from evidence_store.identifiers import ObjectName
from evidence_store.ports import Clock
from storage.objects.s3_body import Body, Checksums, Part, checksums_of
from storage.objects.s3_errors import UnansweredError
from storage.objects.s3_lock import Lock, LockRule
from storage.objects.s3_wire import Head, Wire

PARTS_MAX = 10_000  # S3's own limit
GROWS_EVERY_PARTS = 1000
MIB = 1024 * 1024


class S3ObjectWriter:
    """Implements `evidence_store.ports.ObjectWriter`.

    Parts are of `part_bytes` each. That is enough for 10,000 times as much; of an object that is
    said to be longer they are larger, and where nothing was said they double every 1,000.
    """

    def __init__(
        self,
        wire: Wire,
        clock: Clock,
        rule: LockRule,
        name: ObjectName,
        key: str,
        *,
        part_bytes: int,
        size_bytes: int | None,
    ) -> None:
        self._wire = wire
        self._clock = clock
        self._rule = rule
        self._name = name
        self._key = key
        self._grows = size_bytes is None
        self._part_bytes = max(part_bytes, _part_bytes_for(size_bytes or 0))
        self._size_bytes = 0
        self._filling = bytearray()
        self._parts: list[Part] = []
        self._upload_id: str | None = None
        self._lock = Lock(None, None, legal_hold=False)  # until it is asked for
        self._sender: ThreadPoolExecutor | None = None
        self._sending: Future[Part] | None = None
        self._open = True

    @property
    def name(self) -> ObjectName:
        """See `ObjectWriter.name`."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """See `ObjectWriter.size_bytes`."""
        return self._size_bytes

    def write(self, chunk: bytes | bytearray | memoryview, /) -> None:
        """See `ObjectWriter.write`."""
        self._check_open()
        with memoryview(chunk) as view, view.cast("B") as content:
            done = 0
            while done < len(content):
                # A full part goes only when there is more, so that the last one is never empty.
                if len(self._filling) >= self._part_bytes:
                    self._send()
                room = self._part_bytes - len(self._filling)
                self._filling += content[done : done + room]
                done = min(done + room, len(content))
            self._size_bytes += done

    def abort(self) -> None:
        """See `ObjectWriter.abort`."""
        if not self._open:
            return
        self._open = False
        self._filling = bytearray()
        if self._sender is not None:  # otherwise a part could arrive after the upload is gone
            self._sender.shutdown(wait=True, cancel_futures=True)
        if self._upload_id is not None:
            with suppress(EvidenceError):  # what stays behind is found by `unfinished`
                self._wire.abort(self._key, self._upload_id)

    def finish(self) -> None:
        """Make it an object, and see that it is there, whole and locked as asked.

        Raises:
            ConflictError, NoSpaceError, StoreUnavailableError: as `ObjectStore.commit`.
        """
        self._check_open()
        upload_id = self._upload_id
        version = self._put_whole() if upload_id is None else self._complete(upload_id)
        try:
            found = self._wire.head(self._key, version)
        except NotFoundError as error:
            raise StoreUnavailableError(
                f"object {self._name}: expected it in the store, found nothing;"
                " the server loses objects: use another"
            ) from error
        if found.size_bytes != self._size_bytes:
            raise StoreUnavailableError(
                f"object {self._name}: expected {self._size_bytes} bytes in the store,"
                f" found {found.size_bytes}; the server loses bytes: use another"
            )
        if not found.lock.covers(self._lock):
            raise StoreUnavailableError(
                f"object {self._name}: expected the lock {self._lock}, found {found.lock};"
                " the server stores but does not lock: use another"
            )
        self._open = False
        self._filling = bytearray()

    def _put_whole(self) -> str | None:
        body = Body.of(self._filling)
        self._lock = lock = self._rule.at(self._clock.now())
        return self._once(lambda: self._wire.put(self._key, body, lock), body.checksums())

    def _complete(self, upload_id: str) -> str | None:
        self._send()
        self._await_part()
        if self._sender is not None:
            self._sender.shutdown()
        parts = self._parts
        return self._once(
            lambda: self._wire.complete(self._key, upload_id, parts), checksums_of(parts)
        )

    def _once(self, write: Callable[[], str | None], expected: Checksums) -> str | None:
        """Write under the name, and again while there is no answer, but never over another.

        A write that was not answered may have been done. The next one is then refused, because
        the name is taken or the upload is gone: if what is there is ours, it was done.
        """
        unanswered = False
        pauses = iter(self._wire.pauses_seconds)
        while True:
            try:
                return write()
            except UnansweredError:
                unanswered = True
                pause = next(pauses, None)
                if pause is None:
                    raise
                sleep(pause)
            except (ConflictError, NotFoundError) as error:
                if unanswered and (found := self._ours(expected)) is not None:
                    return found.version
                if isinstance(error, ConflictError):
                    raise
                raise self._upload_gone() from error

    def _ours(self, expected: Checksums) -> Head | None:
        try:
            found = self._wire.head(self._key)
        except NotFoundError:
            return None
        same = found.size_bytes == self._size_bytes and expected.agree(found.checksums)
        return found if same else None

    def _send(self) -> None:
        """Send what has filled, while the next part fills."""
        full = Body.of(self._filling)  # digested while the part before it is on its way
        self._await_part()
        if self._sender is None:
            self._sender = ThreadPoolExecutor(1, thread_name_prefix="s3-part")
        if self._upload_id is None:
            self._lock = self._rule.at(self._clock.now())
            self._upload_id = self._wire.begin_upload(self._key, self._lock)
        number = len(self._parts) + 1
        if number > PARTS_MAX:
            raise StoreUnavailableError(
                f"object {self._name}: expected at most {PARTS_MAX} parts, found more;"
                " state its size when it is begun"
            )
        self._filling = bytearray()
        self._sending = self._sender.submit(
            self._wire.put_part, self._key, self._upload_id, number, full
        )
        if self._grows and number % GROWS_EVERY_PARTS == 0:
            self._part_bytes *= 2

    def _await_part(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            try:
                self._parts.append(sending.result())
            except EvidenceError as error:
                self.abort()  # otherwise what is written next would take this part's place
                if isinstance(error, NotFoundError):
                    raise self._upload_gone() from error
                raise

    def _upload_gone(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"object {self._name}: expected its upload, found none: it was let go meanwhile;"
            " begin again"
        )

    def _check_open(self) -> None:
        if not self._open:
            raise MalformedError(
                f"object {self._name}: expected an open writer, found one that was committed or"
                " aborted; begin again"
            )


def _part_bytes_for(size_bytes: int) -> int:
    """The least part, in whole MiB, of which `PARTS_MAX` make up the object."""
    return -(-size_bytes // (PARTS_MAX * MIB)) * MIB
