"""Setting up an S3 bucket for evidence: the connection, and the bucket itself."""

from datetime import timedelta
from pathlib import Path

import urllib3
from minio import Minio

from evidence_store.errors import SettingsError
from storage.objects.s3 import PARALLEL_WRITES
from storage.objects.s3_lock import LockMode, LockRule
from storage.objects.s3_wire import Wire

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0  # for each piece that arrives, not for the whole


def connect(
    endpoint: str,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    secure: bool = True,
    ca_file: Path | None = None,
) -> Minio:
    """A client for the server at `endpoint` (host and port). Sends nothing yet.

    `ca_file` holds the certificates to trust; by default they are the system's. A client is for
    one process: make another after a fork.

    Raises:
        SettingsError: if something is not as it must be.
    """
    if ca_file is not None and not ca_file.is_file():
        raise SettingsError(f"object store: expected certificates in {ca_file}, found no file")
    # The SDK's own pool repeats writes, and a repeated write can make a second version.
    pool = urllib3.PoolManager(
        maxsize=2 * PARALLEL_WRITES,
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        retries=urllib3.Retry(total=0),
        cert_reqs="CERT_REQUIRED",
        ca_certs=None if ca_file is None else str(ca_file),
    )
    try:
        return Minio(
            endpoint,
            access_key=access_key,
            secret_key=secret_key,
            region=region,
            secure=secure,
            http_client=pool,
        )
    except ValueError as error:
        raise SettingsError(f"object store: S3 endpoint {endpoint!r}: {error}") from error


def create_bucket(
    client: Minio,
    bucket: str,
    *,
    retention: timedelta | None,
    mode: LockMode = LockMode.COMPLIANCE,
) -> None:
    """Create the bucket, with versions, Object Lock and the retention as its default.

    One that exists is left as it is. Prove it afterwards, with `S3ObjectStore.prove_lock`.

    Raises:
        SettingsError: if the name is not one a bucket can have.
        StoreUnavailableError: if the server does not answer, or refuses.
    """
    wire = Wire(client, bucket)
    if not wire.has_bucket():
        wire.create_bucket(LockRule(retention, mode))
