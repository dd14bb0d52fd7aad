"""One bucket over the wire: every request to S3, and every private call of the SDK.

The SDK (pinned to 7.2.20) has no public way to make a conditional write, to send checksums
with parts, or to list and abort uploads; its `put_object` also leaks threads when a source
fails. Nothing here decides what is written or how it is locked.

What may be asked twice without harm is repeated here when there is no answer. `put` and
`complete` are not: their second answer would be about the first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar, cast
from xml.etree import ElementTree as ET

from minio import Minio
from minio.commonconfig import ENABLED
from minio.error import S3Error
from minio.helpers import check_bucket_name
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.retention import Retention
from urllib3.response import BaseHTTPResponse

from evidence_store.errors import SettingsError, StoreUnavailableError
from storage.objects.s3_body import Body, Checksums, Part, base64_of, md5
from storage.objects.s3_errors import PAUSES_SECONDS, UnansweredError, asked, s3_errors
from storage.objects.s3_lock import Lock, LockMode, LockRule, parse_lock

T = TypeVar("T")

CHUNK_BYTES = 256 * 1024
_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
_PARTIAL_CONTENT = 206


@dataclass(frozen=True, slots=True)
class Head:
    """What the server says about an object."""

    size_bytes: int
    version: str | None
    checksums: Checksums
    lock: Lock


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in parts that was begun, and neither completed nor aborted."""

    key: str
    id: str
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class Wire:
    """Requests to one bucket. All raise as `s3_errors` says."""

    client: Minio
    bucket: str
    pauses_seconds: Sequence[float] = PAUSES_SECONDS
    page_entries: int = 1000  # S3's own limit

    def __post_init__(self) -> None:
        try:
            check_bucket_name(self.bucket)
        except ValueError as error:
            raise SettingsError(f"object store: bucket {self.bucket!r}: {error}") from error

    def _repeated(self, what: str, call: Callable[[], T]) -> T:
        return asked(what, call, self.pauses_seconds)

    # ------------------------------------------------------------------- bucket

    def has_bucket(self) -> bool:
        """Whether there is such a bucket."""
        return self._repeated(
            f"look at the bucket {self.bucket}", lambda: self.client.bucket_exists(self.bucket)
        )

    def create_bucket(self, rule: LockRule) -> None:
        """Create the bucket with versions and Object Lock, and the rule as its default.

        A default is in whole days; a shorter rule holds for what this program writes only.
        """
        with s3_errors(f"create the bucket {self.bucket}"):
            self.client.make_bucket(self.bucket, object_lock=True)
            if rule.period is not None and rule.period.days > 0:
                self.client.set_object_lock_config(
                    self.bucket, ObjectLockConfig(rule.mode.value, rule.period.days, DAYS)
                )

    def keeps_versions(self) -> bool:
        """Whether the bucket keeps every version of an object."""
        found = self._repeated(
            f"look at the bucket {self.bucket}",
            lambda: self.client.get_bucket_versioning(self.bucket),
        )
        return bool(found.status == ENABLED)

    # ------------------------------------------------------------------ writing

    def put(self, key: str, body: Body, lock: Lock) -> str | None:
        """Store the bytes under a new name; returns the version. Asks once.

        Raises:
            ConflictError: if the name is taken.
        """
        with s3_errors(f"put {key}"):
            result = self.client._put_object(  # noqa: SLF001
                self.bucket,
                key,
                cast("bytes", body.content),  # a bytearray is sent as well, without a copy
                headers={
                    "Content-Type": "application/octet-stream",
                    "If-None-Match": "*",
                    **body.headers(),
                    **lock.headers(),
                },
            )
        return result.version_id

    def begin_upload(self, key: str, lock: Lock) -> str:
        """Begin an upload in parts; returns its identifier."""
        return self._repeated(
            f"begin an upload to {key}",
            lambda: self.client._create_multipart_upload(  # noqa: SLF001
                self.bucket, key, {"x-amz-checksum-algorithm": "SHA256", **lock.headers()}
            ),
        )

    def put_part(self, key: str, upload_id: str, number: int, body: Body) -> Part:
        """Send a part. One of the same number that is there is replaced."""
        etag = self._repeated(
            f"put part {number} of {key}",
            lambda: self.client._upload_part(  # noqa: SLF001
                self.bucket,
                key,
                cast("bytes", body.content),
                {**body.headers()},
                upload_id,
                number,
            ),
        )
        return Part(etag, body.sha256, body.md5)

    def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> str | None:
        """Make the parts an object under a new name; returns the version. Asks once.

        Raises:
            ConflictError: if the name is taken.
        """
        document = _parts_document(parts)
        with s3_errors(f"complete the upload to {key}"):
            response = self.client._execute(  # noqa: SLF001
                "POST",
                self.bucket,
                key,
                body=document,
                headers={
                    "Content-Type": "application/xml",
                    "Content-MD5": base64_of(md5(document)),
                    "If-None-Match": "*",
                },
                query_params={"uploadId": upload_id},
            )
            answer = ET.fromstring(response.data)  # noqa: S314 - the SDK trusts it as much
        # S3 answers 200 before it knows, and may then write an error into the body.
        if not answer.tag.endswith("CompleteMultipartUploadResult"):
            code = next((each.text for each in answer.iter() if each.tag.endswith("Code")), None)
            raise UnansweredError(
                f"object store: complete the upload to {key}: expected it done, found {code};"
                " try again"
            )
        return response.headers.get("x-amz-version-id")

    def abort(self, key: str, upload_id: str) -> None:
        """Let an upload go, with its parts."""
        self._repeated(
            f"abort the upload to {key}",
            lambda: self.client._abort_multipart_upload(self.bucket, key, upload_id),  # noqa: SLF001
        )

    # ------------------------------------------------------------------ reading

    def head(self, key: str, version: str | None = None) -> Head:
        """What the server says about the object, or about that version of it."""

        def look() -> Head:
            found = self.client.stat_object(
                self.bucket,
                key,
                version_id=version,
                extra_headers={"x-amz-checksum-mode": "ENABLED"},
            )
            headers = found.metadata or {}
            lock = parse_lock(
                headers.get("x-amz-object-lock-mode"),
                headers.get("x-amz-object-lock-retain-until-date"),
                headers.get("x-amz-object-lock-legal-hold"),
            )
            checksums = Checksums(found.etag or "", headers.get("x-amz-checksum-sha256"))
            return Head(found.size or 0, found.version_id, checksums, lock)

        return self._repeated(f"look at {key}", look)

    def get(self, key: str, offset: int, length: int | None) -> Iterator[bytes]:
        """Yield the bytes of a range, or none if it begins behind the end. `length` is not 0.

        Raises:
            StoreUnavailableError: if fewer come than the server announced.
        """
        response = self._repeated(f"read {key}", partial(self._open, key, offset, length))
        if response is None:
            return
        received_bytes = 0
        # Not decoded: a Content-Encoding would make other bytes of them.
        chunks = response.stream(CHUNK_BYTES, decode_content=False)
        try:
            while True:
                with s3_errors(f"read {key}"):
                    chunk = next(chunks, None)
                if chunk is None:
                    break
                received_bytes += len(chunk)
                yield chunk
        finally:
            response.close()  # a connection that was read to the end is in the pool already
            response.release_conn()
        announced = response.headers.get("content-length")
        if str(received_bytes) != announced:
            raise StoreUnavailableError(
                f"object store: read {key}: expected {announced} bytes, found {received_bytes};"
                " try again"
            )

    def _open(self, key: str, offset: int, length: int | None) -> BaseHTTPResponse | None:
        try:
            response = self.client.get_object(self.bucket, key, offset, length or 0)
        except S3Error as error:
            if error.code == "InvalidRange":
                return None
            raise
        if (offset or length) and response.status != _PARTIAL_CONTENT:
            response.close()  # it would send the wrong bytes
            raise StoreUnavailableError(
                f"object store: read {key}: expected a part (HTTP 206), found"
                f" HTTP {response.status}; the server ignores ranges: use another"
            )
        return response

    def keys(self, prefix: str, after: str | None) -> Iterator[str]:
        """Yield every key with the prefix in order, from behind `after`, a page at a time."""
        while True:
            # The SDK's own paging cannot go on after an error: so a page, always from a known key.
            page = self._repeated(f"list {prefix}", partial(self._page, prefix, after))
            yield from page
            if len(page) < self.page_entries:
                return
            after = page[-1]

    def _page(self, prefix: str, after: str | None) -> Sequence[str]:
        found = self.client.list_objects(
            self.bucket, prefix=prefix, recursive=True, start_after=after
        )
        return [each.object_name or "" for each in islice(found, self.page_entries)]

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """Yield the uploads to keys with this prefix that are open."""
        markers: dict[str, str] = {}
        while True:
            page, found = self._repeated(
                f"list uploads to {prefix}", partial(self._page_of_uploads, prefix, markers)
            )
            yield from page
            if not found or found == markers:
                return
            markers = found

    def _page_of_uploads(
        self, prefix: str, markers: dict[str, str]
    ) -> tuple[Sequence[Upload], dict[str, str]]:
        response = self.client._execute(  # noqa: SLF001
            "GET",
            self.bucket,
            query_params={
                "uploads": "",
                "prefix": prefix,
                "max-uploads": str(self.page_entries),
                **markers,
            },
        )
        answer = ET.fromstring(response.data)  # noqa: S314 - the SDK trusts it as much
        uploads = [
            Upload(
                key=_text(each, "Key"),
                id=_text(each, "UploadId"),
                begun_at=datetime.fromisoformat(_text(each, "Initiated")),
            )
            for each in answer.iterfind("{*}Upload")
        ]
        if _text(answer, "IsTruncated") != "true":
            return uploads, {}
        # The SDK's own reader loses the second marker, and some servers give no other.
        found = {
            "key-marker": _text(answer, "NextKeyMarker"),
            "upload-id-marker": _text(answer, "NextUploadIdMarker"),
        }
        return uploads, {name: marker for name, marker in found.items() if marker}

    # ------------------------------------------------------------------ locking

    def retain(self, key: str, version: str | None, mode: LockMode, until: datetime) -> None:
        """Set how long this version is retained."""
        self._repeated(
            f"retain {key}",
            lambda: self.client.set_object_retention(
                self.bucket, key, Retention(mode.value, until), version_id=version
            ),
        )

    def hold(self, key: str, version: str | None, *, on: bool) -> None:
        """Place this version on legal hold, or lift it."""
        client = self.client
        call = client.enable_object_legal_hold if on else client.disable_object_legal_hold
        self._repeated(f"hold {key}", lambda: call(self.bucket, key, version_id=version))

    def try_to_remove(self, key: str, version: str | None) -> None:
        """Ask for the removal of a probe, which the server is to refuse."""
        self._repeated(
            f"remove {key}",
            lambda: self.client.remove_object(self.bucket, key, version_id=version),
        )


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""


def _parts_document(parts: Sequence[Part]) -> bytes:
    root = ET.Element("CompleteMultipartUpload", xmlns=_XMLNS)
    for number, part in enumerate(parts, start=1):
        element = ET.SubElement(root, "Part")
        ET.SubElement(element, "PartNumber").text = str(number)
        ET.SubElement(element, "ETag").text = f'"{part.etag}"'
        ET.SubElement(element, "ChecksumSHA256").text = base64_of(part.sha256)
    return ET.tostring(root, encoding="unicode").encode("utf-8")
