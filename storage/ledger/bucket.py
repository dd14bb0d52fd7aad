"""The log's files beside the objects in their bucket, and the header batches in one of their own.

`ledger/` can be served to everybody as it is; the bucket's own lock keeps it. The headers' bucket
has neither lock nor versions, because destroying a key must remain possible.
"""

import io
import re
from collections.abc import Iterator, Mapping

from minio import Minio

from evidence_store.errors import LedgerAlteredError, NotFoundError
from storage.ledger.files import CHECKPOINT, SIZE_BYTES_MAX
from storage.objects.s3_errors import PAUSES_SECONDS, asked

LEDGER = "ledger/"
HEADERS = "headers/"
HEADERS_SUFFIX = "-headers"
HEADER_BYTES_MAX = 64 * 1024 * 1024


class TileBucket:
    """Implements `evidence_store.ledger_port.TileStore`."""

    def __init__(self, client: Minio, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def read(self, path: str) -> bytes:
        """See `TileStore.read`."""
        return _read(self._client, self._bucket, LEDGER + path, SIZE_BYTES_MAX)

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `TileStore.write`."""
        for path, content in files.items():
            try:
                found = self.read(path)
            except NotFoundError:
                _write(self._client, self._bucket, LEDGER + path, content)
                continue
            if found != content:
                raise LedgerAlteredError(f"ledger: {path} is there with other content")

    def checkpoint(self) -> bytes | None:
        """See `TileStore.checkpoint`."""
        try:
            return self.read(CHECKPOINT)
        except NotFoundError:
            return None

    def publish(self, note: bytes) -> None:
        """See `TileStore.publish`."""
        _write(self._client, self._bucket, LEDGER + CHECKPOINT, note)


class HeaderBucket:
    """Implements `evidence_store.journal.HeaderStore`."""

    def __init__(self, client: Minio, bucket: str) -> None:
        """Use the bucket that `create` made beside the objects' `bucket`."""
        self._client = client
        self._bucket = bucket + HEADERS_SUFFIX

    def create(self) -> None:
        """Make the bucket, unless it is there.

        Raises:
            StoreUnavailableError: if the server does not answer, or refuses.
        """
        if not asked(
            self._bucket, lambda: self._client.bucket_exists(self._bucket), PAUSES_SECONDS
        ):
            asked(self._bucket, lambda: self._client.make_bucket(self._bucket))

    def batches(self) -> Iterator[tuple[int, int]]:
        """See `HeaderStore.batches`."""
        names = asked(
            "the header batches",
            lambda: [
                str(each.object_name)
                for each in self._client.list_objects(self._bucket, HEADERS, recursive=True)
            ],
            PAUSES_SECONDS,
        )
        matches = [re.fullmatch(rf"{HEADERS}(\d{{12}})-(\d{{12}})\.json", name) for name in names]
        yield from sorted((int(each[1]), int(each[2])) for each in matches if each)

    def read(self, start: int, end: int) -> bytes:
        """See `HeaderStore.read`."""
        return _read(self._client, self._bucket, _key(start, end), HEADER_BYTES_MAX)

    def write(self, start: int, end: int, content: bytes) -> None:
        """See `HeaderStore.write`."""
        _write(self._client, self._bucket, _key(start, end), content)


def _key(start: int, end: int) -> str:
    return f"{HEADERS}{start:012d}-{end:012d}.json"


def _read(client: Minio, bucket: str, key: str, most: int) -> bytes:
    def call() -> bytes:
        response = client.get_object(bucket, key)
        try:
            return bytes(response.read(most))
        finally:
            response.close()
            response.release_conn()

    return asked(key, call, PAUSES_SECONDS)


def _write(client: Minio, bucket: str, key: str, content: bytes) -> None:
    # Twice the same bytes under the same key do no harm.
    asked(
        key,
        lambda: client.put_object(bucket, key, io.BytesIO(content), len(content)),
        PAUSES_SECONDS,
    )
