"""Objects under S3 Object Lock: what a real server refuses, and how a lax one is found out."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from minio import Minio
from minio.commonconfig import COMPLIANCE, GOVERNANCE
from minio.error import S3Error
from minio.retention import Retention

from evidence_store.errors import (
    ConflictError,
    NotFoundError,
    SettingsError,
    StoreUnavailableError,
)
from evidence_store.identifiers import ObjectName
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_body import Body
from storage.objects.s3_bucket import create_bucket
from storage.objects.s3_lock import Lock, LockMode, LockRule
from storage.objects.s3_probe import prove_lock
from storage.objects.s3_wire import Wire
from tests.seaweedfs import SeaweedServer, SystemClock

pytestmark = pytest.mark.s3

PART_BYTES = 5 * 1024 * 1024
RETENTION = timedelta(hours=1)
WHOLE, IN_PARTS = 10, PART_BYTES + 10
SIZES = pytest.mark.parametrize("size_bytes", [WHOLE, IN_PARTS], ids=["whole", "in parts"])


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket with Object Lock, and the raw client of somebody who attacks it."""

    client: Minio
    name: str

    def store(
        self,
        *,
        mode: LockMode = LockMode.COMPLIANCE,
        retention: timedelta | None = RETENTION,
        legal_hold: bool = False,
    ) -> S3ObjectStore:
        return S3ObjectStore(
            self.client,
            self.name,
            clock=SystemClock(),
            retention=retention,
            mode=mode,
            legal_hold=legal_hold,
            part_bytes=PART_BYTES,
        )

    def version(self, name: ObjectName) -> str:
        found = self.client.stat_object(self.name, key(name)).version_id
        assert found is not None
        return found

    def retention(self, name: ObjectName) -> Retention | None:
        return self.client.get_object_retention(self.name, key(name), self.version(name))

    def remove(self, name: ObjectName) -> None:
        self.client.remove_object(self.name, key(name), version_id=self.version(name))

    def set_retention(self, name: ObjectName, mode: str, until: datetime) -> None:
        self.client.set_object_retention(
            self.name, key(name), Retention(mode, until), self.version(name)
        )


@pytest.fixture
def bucket(s3_server: SeaweedServer, s3_bucket_name: str) -> Bucket:
    client = s3_server.client()
    create_bucket(client, s3_bucket_name, retention=RETENTION)
    return Bucket(client, s3_bucket_name)


def key(name: ObjectName) -> str:
    return f"objects/{name.value[:2]}/{name}"


def put(store: S3ObjectStore, size_bytes: int) -> ObjectName:
    writer = store.begin(ObjectName.of(secrets.token_bytes(16)))
    writer.write(secrets.token_bytes(size_bytes))
    store.commit([writer])
    return writer.name


def now() -> datetime:
    return datetime.now(tz=UTC)


def is_refused(attempt: Callable[[], object]) -> bool:
    with pytest.raises(S3Error) as refusal:
        attempt()
    return 400 <= refusal.value.response.status < 500


@SIZES
def test_every_object_is_retained_from_its_own_request(bucket: Bucket, size_bytes: int) -> None:
    before = now()
    store = bucket.store()
    name = put(store, size_bytes)
    found = bucket.retention(name)
    assert found is not None
    assert found.mode == COMPLIANCE
    assert before + RETENTION <= found.retain_until_date <= now() + RETENTION + timedelta(seconds=1)
    assert store.stat(name).retain_until == found.retain_until_date
    assert not store.stat(name).legal_hold


@SIZES
@pytest.mark.parametrize("mode", LockMode)
def test_a_locked_version_refuses_deletion(bucket: Bucket, size_bytes: int, mode: LockMode) -> None:
    store = bucket.store(mode=mode)
    name = put(store, size_bytes)
    assert is_refused(lambda: bucket.remove(name))
    assert store.stat(name).size_bytes == size_bytes


@SIZES
def test_a_locked_version_refuses_a_shortened_retention(bucket: Bucket, size_bytes: int) -> None:
    name = put(bucket.store(), size_bytes)
    before = bucket.retention(name)
    soon = now() + timedelta(minutes=1)
    assert is_refused(lambda: bucket.set_retention(name, COMPLIANCE, soon))
    assert bucket.retention(name) == before


@SIZES
def test_compliance_cannot_be_turned_into_governance(bucket: Bucket, size_bytes: int) -> None:
    name = put(bucket.store(), size_bytes)
    before = bucket.retention(name)
    later = now() + 2 * RETENTION
    assert is_refused(lambda: bucket.set_retention(name, GOVERNANCE, later))
    assert bucket.retention(name) == before


@SIZES
def test_a_legal_hold_refuses_deletion_until_it_is_lifted(bucket: Bucket, size_bytes: int) -> None:
    store = bucket.store(retention=None, legal_hold=True)
    name = put(store, size_bytes)
    assert store.stat(name).legal_hold
    assert is_refused(lambda: bucket.remove(name))
    store.hold(name, on=False)
    assert not store.stat(name).legal_hold
    store.hold(name, on=True)
    assert store.stat(name).legal_hold
    assert is_refused(lambda: bucket.remove(name))


def test_without_retention_nothing_is_locked(bucket: Bucket) -> None:
    store = bucket.store(retention=None)
    name = put(store, WHOLE)
    assert store.stat(name).retain_until is None
    bucket.remove(name)
    with pytest.raises(NotFoundError):
        store.stat(name)


def test_a_retention_is_extended_but_never_shortened(bucket: Bucket) -> None:
    store = bucket.store()
    name = put(store, WHOLE)
    later = now() + 2 * RETENTION
    store.retain(name, later)
    extended = store.stat(name).retain_until
    assert extended is not None
    assert later <= extended <= later + timedelta(seconds=1)
    store.retain(name, extended)  # nothing to do is no error
    with pytest.raises(ConflictError):
        store.retain(name, later - timedelta(minutes=1))
    assert store.stat(name).retain_until == extended


def test_a_lock_on_what_is_not_there_is_not_found(bucket: Bucket) -> None:
    store = bucket.store()
    missing = ObjectName.of(secrets.token_bytes(16))
    with pytest.raises(NotFoundError):
        store.retain(missing, now() + RETENTION)
    with pytest.raises(NotFoundError):
        store.hold(missing, on=True)


def test_a_delete_marker_hides_an_object_and_destroys_nothing(bucket: Bucket) -> None:
    store = bucket.store()
    name = put(store, WHOLE)
    version = bucket.version(name)
    bucket.client.remove_object(bucket.name, key(name))
    with pytest.raises(NotFoundError):
        store.stat(name)
    found = bucket.client.stat_object(bucket.name, key(name), version_id=version)
    assert found.size == WHOLE


def test_a_bucket_without_object_lock_takes_no_evidence(
    s3_server: SeaweedServer, s3_bucket_name: str
) -> None:
    client = s3_server.client()
    client.make_bucket(s3_bucket_name)
    store = Bucket(client, s3_bucket_name).store()
    with pytest.raises(StoreUnavailableError):
        put(store, WHOLE)
    assert list(store.names()) == []
    with pytest.raises(SettingsError):
        store.prove_lock()


# ------------------------------------------------------------------ setting up


def test_a_new_bucket_has_versions_and_the_retention_as_its_default(
    s3_server: SeaweedServer, s3_bucket_name: str
) -> None:
    client = s3_server.client()
    create_bucket(client, s3_bucket_name, retention=timedelta(days=3650), mode=LockMode.GOVERNANCE)
    create_bucket(client, s3_bucket_name, retention=timedelta(days=1))  # leaves it as it is
    found = client.get_object_lock_config(s3_bucket_name)
    assert (found.mode, found.duration, found.duration_unit) == (GOVERNANCE, 3650, "Days")
    assert client.get_bucket_versioning(s3_bucket_name).status == "Enabled"


def test_a_name_no_bucket_can_have_is_refused(s3_server: SeaweedServer) -> None:
    with pytest.raises(SettingsError):
        create_bucket(s3_server.client(), "Not A Bucket", retention=None)


@pytest.mark.parametrize("mode", LockMode)
def test_a_server_that_locks_is_proven_to(bucket: Bucket, mode: LockMode) -> None:
    store = bucket.store(mode=mode)
    store.prove_lock()
    store.prove_lock()  # probes do not get in each other's way
    assert list(store.names()) == []  # and are not evidence


def test_a_missing_bucket_proves_nothing(s3_server: SeaweedServer, s3_bucket_name: str) -> None:
    with pytest.raises(SettingsError):
        Bucket(s3_server.client(), s3_bucket_name).store().prove_lock()


class RemovingWire(Wire):
    """A server that removes what is locked."""

    def try_to_remove(self, key: str, version: str | None) -> None:
        """It says so."""


class ReleasingWire(Wire):
    """A server that shortens a retention."""

    def retain(self, key: str, version: str | None, mode: LockMode, until: datetime) -> None:
        """It says so."""


class ReplacingWire(Wire):
    """A server that ignores `If-None-Match` on a single put."""

    def put(self, key: str, body: Body, lock: Lock) -> str | None:
        """Put, and on a taken name put the version beside it."""
        try:
            return Wire.put(self, key, body, lock)
        except ConflictError:
            return "another version"


class ForgettingWire(Wire):
    """A server that drops the lock of uploads in parts, as some do, and says nothing."""

    def begin_upload(self, key: str, lock: Lock) -> str:
        """Begin one without the lock."""
        del lock
        return Wire.begin_upload(self, key, Lock(None, None, legal_hold=False))


class VersionlessWire(Wire):
    """A server that keeps one version."""

    def keeps_versions(self) -> bool:
        """It does not."""
        return False


LAX = [RemovingWire, ReleasingWire, ReplacingWire, ForgettingWire, VersionlessWire]


@pytest.mark.parametrize("lax", LAX)
def test_a_lax_server_is_found_out(bucket: Bucket, lax: type[Wire]) -> None:
    with pytest.raises(SettingsError):
        prove_lock(lax(bucket.client, bucket.name), LockMode.COMPLIANCE, now())


def test_a_lock_that_was_asked_for_and_dropped_fails_the_commit(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lock, "headers", lambda _: {})
    with pytest.raises(StoreUnavailableError):
        put(bucket.store(), WHOLE)
    with pytest.raises(StoreUnavailableError):
        put(bucket.store(), IN_PARTS)
    with pytest.raises(StoreUnavailableError):
        put(bucket.store(retention=None, legal_hold=True), WHOLE)


# ----------------------------------------------------------------------- rules

AT = datetime(2026, 3, 14, 12, 0, 0, 1, tzinfo=UTC)
LATER = AT + timedelta(days=1)


def test_a_retention_is_rounded_up_to_whole_seconds() -> None:
    lock = LockRule(timedelta(days=1)).at(AT)
    assert lock.retain_until == datetime(2026, 3, 15, 12, 0, 1, tzinfo=UTC)
    assert lock.headers()["x-amz-object-lock-retain-until-date"] == "2026-03-15T12:00:01Z"


COVERS = [
    (Lock(LockMode.COMPLIANCE, LATER, legal_hold=True), True),
    (Lock(LockMode.COMPLIANCE, LATER, legal_hold=False), True),
    (Lock(LockMode.COMPLIANCE, AT, legal_hold=False), True),
    (Lock(LockMode.GOVERNANCE, LATER, legal_hold=False), False),
    (Lock(LockMode.COMPLIANCE, AT - timedelta(seconds=1), legal_hold=False), False),
    (Lock(None, None, legal_hold=True), False),
]


@pytest.mark.parametrize(("found", "enough"), COVERS)
def test_a_found_lock_must_be_at_least_the_one_asked_for(*, found: Lock, enough: bool) -> None:
    assert found.covers(Lock(LockMode.COMPLIANCE, AT, legal_hold=False)) is enough
    assert found.covers(Lock(None, None, legal_hold=True)) is found.legal_hold
