"""What every place for uploads under way must do. Each adapter of `Segments` is held to this suite."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from api.writing import Segments
from evidence_store.errors import NotFoundError
from storage.uploads.bucket import UploadBucket
from storage.uploads.segments import UploadFolder
from tests.seaweedfs import SeaweedServer


def make_folder(request: pytest.FixtureRequest) -> Segments:
    folder: Path = request.getfixturevalue("tmp_path")
    return UploadFolder(folder / "uploads")


def make_bucket(request: pytest.FixtureRequest) -> Segments:
    server: SeaweedServer = request.getfixturevalue("s3_server")
    bucket: str = request.getfixturevalue("s3_bucket_name")
    client = server.client()
    client.make_bucket(bucket)
    return UploadBucket(client, bucket)


@pytest.fixture(
    params=[
        pytest.param(make_folder, id="folder"),
        pytest.param(make_bucket, id="s3", marks=pytest.mark.s3),
    ]
)
def segments(request: pytest.FixtureRequest) -> Segments:
    make: Callable[[pytest.FixtureRequest], Segments] = request.param
    return make(request)


@pytest.fixture
def upload() -> str:
    return secrets.token_hex(16)


def read(segments: Segments, upload: str, epoch: int, offset: int, length: int) -> bytes:
    return b"".join(segments.read(upload, epoch, offset, length))


def test_segments_come_back_from_where_they_were_written(segments: Segments, upload: str) -> None:
    first, second = secrets.token_bytes(3_000_000), secrets.token_bytes(70_001)
    segments.write(upload, 1, 0, first)
    segments.write(upload, 1, len(first), memoryview(second))
    assert read(segments, upload, 1, 0, len(first)) == first
    assert read(segments, upload, 1, len(first), len(second)) == second
    assert read(segments, upload, 1, 0, len(first) + 5) == first + second[:5]
    assert read(segments, upload, 1, 0, len(first) + len(second)) == first + second


def test_a_segment_that_was_not_acknowledged_is_written_anew(
    segments: Segments, upload: str
) -> None:
    segments.write(upload, 1, 0, b"first" * 100)
    segments.write(upload, 1, 0, b"again")
    assert read(segments, upload, 1, 0, 5) == b"again"


def test_a_writer_that_was_fenced_off_touches_nobody_elses_bytes(
    segments: Segments, upload: str
) -> None:
    segments.write(upload, 1, 0, b"before")
    segments.write(upload, 2, 0, b"taken over")
    segments.write(upload, 1, 0, b"stale!")
    assert read(segments, upload, 2, 0, 10) == b"taken over"


def test_what_is_not_there_is_not_found(segments: Segments, upload: str) -> None:
    with pytest.raises(NotFoundError):
        read(segments, upload, 1, 0, 1)


def test_what_is_let_go_is_gone_and_others_stay(segments: Segments, upload: str) -> None:
    other = secrets.token_hex(16)
    for epoch in (1, 2):
        segments.write(upload, epoch, 0, b"bytes")
    segments.write(other, 1, 0, b"other")
    segments.remove(upload)
    segments.remove(upload)  # of what is gone, nothing
    for epoch in (1, 2):
        with pytest.raises(NotFoundError):
            read(segments, upload, epoch, 0, 5)
    assert read(segments, other, 1, 0, 5) == b"other"
