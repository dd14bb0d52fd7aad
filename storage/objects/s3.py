"""An object store in an S3 bucket that is versioned and has Object Lock.

Keys are `objects/ab/abcdef…`. Every object is created by a conditional write, with checksums,
retention and hold in the request that brings its bytes (or begins its upload), and looked at
afterwards, because servers drop headers silently. Nothing here deletes, and nothing copies:
a server-side copy can come out unlocked.
"""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta

from minio import Minio

from evidence_store.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    StoreUnavailableError,
)
from evidence_store.identifiers import ObjectName
from evidence_store.ports import Clock, ObjectWriter, StoredObject
from storage.objects.s3_errors import PAUSES_SECONDS
from storage.objects.s3_lock import LockMode, LockRule, whole_second
from storage.objects.s3_probe import prove_lock
from storage.objects.s3_wire import Upload, Wire
from storage.objects.s3_writer import S3ObjectWriter

PREFIX = "objects/"
PART_BYTES = 8 * 1024 * 1024
PARALLEL_WRITES = 8
_KEY = re.compile(r"objects/([0-9a-f]{2})/(\1[0-9a-f]{30})")


class S3ObjectStore:
    """Implements `evidence_store.ports.LockingObjectStore`."""

    def __init__(
        self,
        client: Minio,
        bucket: str,
        *,
        clock: Clock,
        retention: timedelta | None,
        mode: LockMode = LockMode.COMPLIANCE,
        legal_hold: bool = False,
        part_bytes: int = PART_BYTES,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
    ) -> None:
        """Use the bucket through the client, which `s3_bucket.connect` makes.

        Every new object is retained for `retention` (not at all, if None) from its writing. One
        longer than `part_bytes` (S3 wants at least 5 MiB) is sent in parts. `pauses_seconds` are
        those between the tries of a request that is not answered.
        """
        self._wire = Wire(client, bucket, pauses_seconds)
        self._clock = clock
        self._rule = LockRule(retention, mode, legal_hold)
        self._part_bytes = part_bytes

    def begin(self, name: ObjectName, *, size_bytes: int | None = None) -> S3ObjectWriter:
        """See `ObjectStore.begin`. Nothing is sent before the first part is full."""
        return S3ObjectWriter(
            self._wire,
            self._clock,
            self._rule,
            name,
            _key(name),
            part_bytes=self._part_bytes,
            size_bytes=size_bytes,
        )

    def adopts(self, folder: str) -> bool:  # noqa: ARG002 - no folder
        """See `ObjectStore.adopts`."""
        return False

    def adopt(self, name: ObjectName, file: str) -> ObjectWriter:  # noqa: ARG002 - no file
        """See `ObjectStore.adopt`."""
        raise StoreUnavailableError(f"object {name}: this store adopts no files")

    def commit(self, writers: Sequence[ObjectWriter], /) -> None:
        """See `ObjectStore.commit`. S3 has no common flush: the objects go side by side."""
        own = [_own(writer) for writer in writers]
        if not own:
            return
        try:
            with ThreadPoolExecutor(min(PARALLEL_WRITES, len(own)), "s3-commit") as threads:
                futures = [threads.submit(writer.finish) for writer in own]
                try:
                    for future in futures:
                        future.result()
                finally:  # after an error the others need not begin
                    threads.shutdown(cancel_futures=True)
        except BaseException:
            for writer in own:
                writer.abort()
            raise

    def stat(self, name: ObjectName) -> StoredObject:
        """See `ObjectStore.stat`."""
        try:
            found = self._wire.head(_key(name))
        except NotFoundError:
            # The answer is the same when the whole bucket is gone: that is not lost evidence.
            if not self._wire.has_bucket():
                raise StoreUnavailableError(
                    f"object store: expected the bucket {self._wire.bucket}, found none;"
                    " see that its name is right"
                ) from None
            raise
        return StoredObject(name, found.size_bytes, found.lock.retain_until, found.lock.legal_hold)

    def read(
        self, name: ObjectName, *, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """See `ObjectStore.read`."""
        if length == 0:  # in S3 there is no range of no bytes
            self.stat(name)
            return
        yield from self._wire.get(_key(name), offset, length)

    def names(self, *, after: ObjectName | None = None) -> Iterator[ObjectName]:
        """See `ObjectStore.names`."""
        for key in self._wire.keys(PREFIX, None if after is None else _key(after)):
            # Anything else in there is not an object of ours: nothing refers to it.
            if found := _KEY.fullmatch(key):
                yield ObjectName(found[2])

    def unfinished(self, *, before: datetime) -> Sequence[str]:
        """See `ObjectStore.unfinished`. Only uploads in parts leave anything."""
        return [f"{each.key} {each.id}" for each in self._left(before)]

    def discard_unfinished(self, *, before: datetime) -> int:
        """See `ObjectStore.discard_unfinished`."""
        left = self._left(before)
        for each in left:
            with suppress(NotFoundError):  # completed or aborted meanwhile
                self._wire.abort(each.key, each.id)
        return len(left)

    def _left(self, before: datetime) -> Sequence[Upload]:
        return [each for each in self._wire.uploads(PREFIX) if each.begun_at < before]

    def retain(self, name: ObjectName, until: datetime) -> None:
        """See `LockingObjectStore.retain`."""
        until = whole_second(until)
        found = self._wire.head(_key(name))
        retained_until = found.lock.retain_until
        if retained_until is not None and retained_until > until:
            raise ConflictError(
                f"object {name}: expected a retention that ends before {until.isoformat()},"
                f" found {retained_until.isoformat()}; it stays so"
            )
        mode = found.lock.mode or self._rule.mode
        self._wire.retain(_key(name), found.version, mode, until)
        found = self._wire.head(_key(name), found.version)
        if found.lock.retain_until is None or found.lock.retain_until < until:
            raise StoreUnavailableError(
                f"object {name}: expected it retained until {until.isoformat()},"
                f" found {found.lock}; the server stores but does not lock: use another"
            )

    def hold(self, name: ObjectName, *, on: bool) -> None:
        """See `LockingObjectStore.hold`."""
        found = self._wire.head(_key(name))
        self._wire.hold(_key(name), found.version, on=on)
        if self._wire.head(_key(name), found.version).lock.legal_hold != on:
            raise StoreUnavailableError(
                f"object {name}: expected its legal hold to be {'on' if on else 'off'},"
                " found it unchanged; the server stores but does not lock: use another"
            )

    def prove_lock(self) -> None:
        """See that the bucket locks what is written; `s3_probe.prove_lock` says how.

        Raises:
            SettingsError: if it does not.
            StoreUnavailableError: if the store does not answer.
        """
        prove_lock(self._wire, self._rule.mode, self._clock.now())


def _key(name: ObjectName) -> str:
    return f"{PREFIX}{name.value[:2]}/{name.value}"


def _own(writer: ObjectWriter) -> S3ObjectWriter:
    if not isinstance(writer, S3ObjectWriter):
        raise MalformedError(
            f"object {writer.name}: expected a writer of an S3 store,"
            f" found {type(writer).__name__}; begin it there"
        )
    return writer
