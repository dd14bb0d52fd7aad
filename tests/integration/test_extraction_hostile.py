"""Files made to hold a parser up or blow it up: each costs itself, within its limits, and no other."""

import gzip
import io
import json
import os
import tarfile
import time
import zlib
from collections.abc import Iterator

import pytest

from evidence_store.claims import SET_BYTES_MAX, Reading
from ingest.extraction.supervisor import Extraction, Extractor, Limits
from tests import extraction_samples as samples
from tests.extraction_samples import named

WALL_SECONDS = 2.0


@pytest.fixture(scope="module", name="extractor")
def _extractor() -> Iterator[Extractor]:
    with Extractor(limits=Limits(wall_seconds=WALL_SECONDS)) as extractor:
        if not extractor.is_isolated:
            pytest.skip(f"nothing can be isolated here: {extractor.isolation()}")
        yield extractor


def survived(extractor: Extractor, content: bytes) -> Extraction:
    """The content's claims, after the limits were kept and the next file was read as if nothing was."""
    fd = samples.memory_file(content)
    started = time.monotonic()
    try:
        extraction = extractor.extract(fd, b"", len(content))
    finally:
        os.close(fd)
    assert time.monotonic() - started < WALL_SECONDS + 2
    for claims in extraction.claims:
        assert (claims.problem is None) is (claims.reading is Reading.READ)
        assert len(json.dumps(claims.to_json()["values"])) <= SET_BYTES_MAX
    following = samples.memory_file(samples.photograph())
    try:
        next_one = extractor.extract(following, b"", len(samples.photograph()))
    finally:
        os.close(following)
    assert [claims.reading for claims in next_one.claims] == [Reading.READ, Reading.READ]
    return extraction


def test_a_compressed_archive_that_inflates_for_ever_is_read_in_part(extractor: Extractor) -> None:
    head = tarfile.TarInfo("zeros")
    head.size = 1 << 40
    member = gzip.compress(bytes(32 << 20), 9)
    extraction = survived(extractor, gzip.compress(head.tobuf()) + member * 400)
    assert extraction.media_type == "application/gzip"
    assert extraction.claims[1].reading is Reading.PARTIAL
    assert named(extraction.claims[1].values, "entries") == 1


def test_an_archive_of_archives_is_not_entered(extractor: Extractor) -> None:
    content = samples.zipped({"zeros": bytes(10 << 20)})
    for _ in range(4):
        content = samples.zipped({f"{number}.zip": content for number in range(16)})
    extraction = survived(extractor, content)
    assert named(extraction.claims[1].values, "entries") == 16


def test_members_that_inflate_for_ever_do_not_fill_an_office_reader(extractor: Extractor) -> None:
    extraction = survived(extractor, samples.docx(" " * (300 << 20)))
    assert extraction.claims[1].reading is Reading.PARTIAL
    assert named(extraction.claims[1].values, "application") == "Writer"


def test_a_directory_of_a_million_entries_is_counted(extractor: Extractor) -> None:
    one = samples.zipped({"a": ""})
    start, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    entry = one[start:end]
    count = 1_000_000
    content = one[:start] + entry * count
    size, offset = (len(entry) * count).to_bytes(4, "little"), start.to_bytes(4, "little")
    content += one[end : end + 8] + (count & 0xFFFF).to_bytes(2, "little") * 2 + size + offset
    extraction = survived(extractor, content + b"\0\0")
    claims = extraction.claims[1]
    assert claims.reading is Reading.PARTIAL
    assert named(claims.values, "entries") > 100_000
    assert len(named(claims.values, "listing")) <= 1_000


@pytest.mark.parametrize(
    "value", ["[" * 200_000, "<< /A " * 100_000, "[" * 50_000 + "]" * 50_000], ids=["[", "<<", "[]"]
)
def test_a_pdf_of_endless_nesting_ends(value: str, extractor: Extractor) -> None:
    content = samples.pdf_of(f"<< /Type /Catalog /Pages 2 0 R /X {value} >>", "<< /Count 1 >>")
    extraction = survived(extractor, content)
    assert extraction.media_type == "application/pdf"
    assert extraction.claims[1].tool == "pypdf"


def test_a_pdf_whose_objects_are_each_other_ends(extractor: Extractor) -> None:
    content = samples.pdf_of(
        "<< /Type /Catalog /Pages 2 0 R /AcroForm 3 0 R /Names 3 0 R /Metadata 4 0 R >>",
        "<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 3 0 R >>",
        "3 0 R",
        "4 0 R",
        trailer="/Info 3 0 R /Prev 9",
    )
    assert survived(extractor, content).media_type == "application/pdf"


def test_xmp_that_inflates_for_ever_is_refused(extractor: Extractor) -> None:
    packed = zlib.compress(bytes(200 << 20))
    stream = f"<< /Type /Metadata /Filter /FlateDecode /Length {len(packed)} >>\nstream\n"
    content = samples.pdf_of(
        "<< /Type /Catalog /Pages 3 0 R /Metadata 2 0 R >>", "X", "<< /Count 1 >>"
    )
    content = content.replace(b"X\nendobj", stream.encode() + packed + b"\nendstream\nendobj")
    assert survived(extractor, content).claims[1].reading is not Reading.READ


def test_a_forensic_image_that_lists_one_chunk_for_ever_is_not_waited_for(
    extractor: Extractor,
) -> None:
    extraction = survived(extractor, samples.forensic_image(bytes(4096), repeat=3_000_000))
    claims = extraction.claims[1]
    assert named(claims.values, "container_digest") == "not_verifiable"
    assert "time" in named(claims.values, "container_digest_reason")


def test_a_message_within_messages_without_end_is_given_up_or_read(extractor: Extractor) -> None:
    nested = b"MIME-Version: 1.0\nContent-Type: message/rfc822\n\n" * 20_000
    extraction = survived(extractor, b"From: a@b.example\n" + nested)
    assert extraction.media_type == "message/rfc822"


def test_a_web_archive_that_inflates_for_ever_is_read_in_part(extractor: Extractor) -> None:
    head = b"WARC/1.0\r\nWARC-Type: resource\r\nContent-Length: 1099511627776\r\n\r\n"
    content = gzip.compress(head) + gzip.compress(bytes(32 << 20), 9) * 400
    extraction = survived(extractor, content)
    assert extraction.media_type == "application/warc"
    assert extraction.claims[1].reading is not Reading.READ


def test_a_recording_that_is_only_a_promise_ends(extractor: Extractor) -> None:
    sound = bytearray(samples.sound()[:60])
    sound[4:8] = sound[40:44] = b"\xff\xff\xff\x7f"
    assert survived(extractor, bytes(sound)).media_type == "audio/x-wav"


def test_names_in_an_archive_that_would_deceive_a_reader_are_made_plain(
    extractor: Extractor,
) -> None:
    content = io.BytesIO(samples.zipped({"invoice\u202efdp.exe": "x", "a\nb\x1b[31m": "y"}))
    extraction = survived(extractor, content.getvalue())
    text = json.dumps(extraction.claims[1].to_json(), ensure_ascii=False)
    assert not set(text) & {"\u202e", "\x1b", "\n"}
