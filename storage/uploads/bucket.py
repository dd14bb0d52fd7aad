"""Sealed segments of uploads in S3: an object for each, in the bucket without lock or versions.

So several servers go on with each other's uploads, and nothing of them waits on a local disk.
"""

import io
from collections.abc import Iterator
from pathlib import Path

from minio import Minio
from minio.deleteobjects import DeleteObject

from evidence_store.errors import StoreUnavailableError
from storage.objects.s3_errors import PAUSES_SECONDS, asked, s3_errors

UPLOADS = "uploads/"
PIECE_BYTES = 1024 * 1024


class UploadBucket:
    """Implements `api.uploading.Segments` in a bucket."""

    def __init__(self, client: Minio, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def write(self, upload_id: str, epoch: int, at: int, content: bytes | memoryview) -> None:
        """Store the segment that begins at this place of an epoch; durable when this returns.

        Raises:
            NoSpaceError, StoreUnavailableError: it may be there, and counts for nothing.
        """
        body = bytes(content)
        key = _key(upload_id, epoch, at)
        asked(  # twice the same bytes under the same key do no harm
            key,
            lambda: self._client.put_object(self._bucket, key, io.BytesIO(body), len(body)),
            PAUSES_SECONDS,
        )

    def file(self, upload_id: str, epoch: int) -> Path | None:  # noqa: ARG002 - there is none
        """None: it is in no file."""
        return None

    def read(self, upload_id: str, epoch: int, offset: int, length: int) -> Iterator[bytes]:
        """The bytes of an epoch from where a segment begins, `length` or as many as there are.

        Raises:
            NotFoundError: if no segment begins there, or one between others is missing.
            StoreUnavailableError: if they cannot be read.
        """
        while length > 0:
            size = 0
            for piece in self._segment(_key(upload_id, epoch, offset), length):
                size += len(piece)
                yield piece
            if not size:
                return
            offset, length = offset + size, length - size

    def _segment(self, key: str, length: int) -> Iterator[bytes]:
        response = asked(key, lambda: self._client.get_object(self._bucket, key), PAUSES_SECONDS)
        try:
            while length > 0:
                with s3_errors(key):
                    piece = response.read(min(PIECE_BYTES, length))
                if not piece:
                    return
                length -= len(piece)
                yield piece
        finally:
            response.close()
            response.release_conn()

    def remove(self, upload_id: str) -> None:
        """Let go of an upload's segments; of none, if they are gone already.

        Raises:
            StoreUnavailableError: if the server does not answer; what is left counts for nothing.
        """
        prefix = f"{UPLOADS}{upload_id}/"

        def call() -> list[str]:
            found = self._client.list_objects(self._bucket, prefix, recursive=True)
            names = (DeleteObject(str(each.object_name)) for each in found)
            return [str(each) for each in self._client.remove_objects(self._bucket, names)]

        if asked(prefix, call, PAUSES_SECONDS):
            raise StoreUnavailableError("upload: the store did not let go of all its segments")


def _key(upload_id: str, epoch: int, at: int) -> str:
    return f"{UPLOADS}{upload_id}/{epoch:08d}/{at:020d}"
