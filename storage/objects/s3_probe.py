"""The proof that a bucket locks what is written: some servers accept the words and do nothing.

Two probes of a few bytes, one put whole and one in parts, are written under `probe/` as evidence
is, and then attacked. They cannot be removed before their short retention lapses; a lifecycle
rule of the bucket may clear them away.

It proves what *these credentials* cannot do. The server's administrator, and whoever reaches the
ports behind its S3 door, can do more.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

from evidence_store.errors import ConflictError, EvidenceError, NotFoundError, SettingsError
from storage.objects.s3_body import Body
from storage.objects.s3_errors import RefusedError
from storage.objects.s3_lock import Lock, LockMode, LockRule
from storage.objects.s3_wire import Wire

PREFIX = "probe/"
PERIOD = timedelta(minutes=5)  # longer than clocks differ
SHORTENED = timedelta(minutes=2)
_CONTENT = b"probe"


def prove_lock(wire: Wire, mode: LockMode, now: datetime) -> None:
    """Write probes and see that none can be replaced, removed or released early.

    Raises:
        SettingsError: if the bucket is missing, keeps no versions, or a probe is not safe.
        StoreUnavailableError: if the server does not answer.
    """
    lock = LockRule(PERIOD, mode).at(now)
    try:
        if not wire.keeps_versions():
            raise _unfit(wire, "expected a bucket with versions, found one without")
        for put in (_put_whole, _put_in_parts):
            key = f"{PREFIX}{uuid4().hex}"
            version = put(wire, key, lock)
            _attack(wire, key, version, put, lock, now)
    except RefusedError as error:
        raise _unfit(wire, str(error)) from error


def _attack(
    wire: Wire,
    key: str,
    version: str | None,
    put: Callable[[Wire, str, Lock], str | None],
    lock: Lock,
    now: datetime,
) -> None:
    if version is None:
        raise _unfit(wire, "expected a version for what was written, found none")
    _check_lock(wire, key, version, lock)
    try:
        put(wire, key, lock)
    except ConflictError:
        pass
    else:
        raise _unfit(wire, "expected the second write of a name to be refused, found it done")
    shortened = now + SHORTENED
    if not _refused(lambda: wire.retain(key, version, lock.mode or LockMode.COMPLIANCE, shortened)):
        raise _unfit(wire, "expected a shortened retention to be refused, found it accepted")
    if not _refused(lambda: wire.try_to_remove(key, version)):
        raise _unfit(wire, "expected the removal of a locked version to be refused, found it done")
    _check_lock(wire, key, version, lock)  # what it answered is not yet what it did


def _check_lock(wire: Wire, key: str, version: str, lock: Lock) -> None:
    try:
        found = wire.head(key, version).lock
    except NotFoundError as error:
        raise _unfit(wire, "expected the probe to be there, found it gone") from error
    if not found.covers(lock):
        raise _unfit(wire, f"expected the lock {lock}, found {found}")


def _put_whole(wire: Wire, key: str, lock: Lock) -> str | None:
    return wire.put(key, Body.of(_CONTENT), lock)


def _put_in_parts(wire: Wire, key: str, lock: Lock) -> str | None:
    upload_id = wire.begin_upload(key, lock)
    try:
        part = wire.put_part(key, upload_id, 1, Body.of(_CONTENT))
        return wire.complete(key, upload_id, [part])
    except EvidenceError:
        wire.abort(key, upload_id)
        raise


def _refused(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except RefusedError:
        return True
    return False


def _unfit(wire: Wire, finding: str) -> SettingsError:
    return SettingsError(
        f"object store: the bucket {wire.bucket} does not protect evidence: {finding};"
        " use a bucket made with Object Lock, on a server that enforces it"
    )
