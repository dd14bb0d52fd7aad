"""Hostile files in the isolated process: it may die, the ingest may not, and nothing gets out."""

import bz2
import io
import lzma
import os
import signal
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from evidence_store.claims import Reading
from ingest.extraction.supervisor import Extraction, Extractor, Limits
from tests import extraction_samples as samples

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "corpus"


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    with Extractor(limits=Limits(wall_seconds=3)) as pool:
        yield pool


@pytest.fixture(autouse=True)
def isolated(extractor: Extractor) -> None:
    if not extractor.is_isolated:
        pytest.skip(f"nothing can be isolated here: {extractor.isolation()}")


def read(extractor: Extractor, path: Path) -> Extraction:
    fd = os.open(path, os.O_RDONLY)
    try:
        return extractor.extract(fd, os.fsencode(path.name), path.stat().st_size)
    finally:
        os.close(fd)


def read_bytes(extractor: Extractor, tmp_path: Path, name: str, content: bytes) -> Extraction:
    path = tmp_path / name
    path.write_bytes(content)
    return read(extractor, path)


def photograph() -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.new("RGB", (8, 8)).save(out, "JPEG", exif=exif)
    return out.getvalue()


GOOD: dict[str, Callable[[], bytes]] = {
    "a.jpg": samples.photograph,
    "a.png": lambda: samples.photograph("PNG", gps=False),
    "a.tif": lambda: samples.photograph("TIFF"),
    "a.wav": samples.sound,
    "a.pdf": samples.pdf,
    "a.docx": samples.docx,
    "a.odt": samples.odt,
    "a.eml": samples.message,
    "a.msg": lambda: samples.outlook_message(b"attached"),
    "a.zip": lambda: samples.zipped({"a.txt": b"a"}),
    "a.tar": samples.tar,
    "a.gz": lambda: samples.gzipped(b"a"),
    "a.bz2": lambda: bz2.compress(samples.tar()),
    "a.xz": lambda: lzma.compress(samples.tar()),
    "a.E01": lambda: samples.forensic_image(bytes(70_000)),
    "a.warc": lambda: samples.warc(compressed=False),
    "a.warc.gz": samples.warc,
    "a.wacz": samples.wacz,
}


@pytest.mark.parametrize("name", GOOD)
def test_nothing_that_a_parser_needs_is_out_of_its_reach_once_it_is_isolated(
    tmp_path: Path, name: str
) -> None:
    with Extractor() as fresh:  # what a file before brought along would hide that it was missing
        found = read_bytes(fresh, tmp_path, name, GOOD[name]())
    assert len(found.claims) > 1
    assert {each.reading for each in found.claims} == {Reading.READ}


def test_what_isolates_the_parsers_is_said_in_words(extractor: Extractor) -> None:
    words = extractor.isolation()
    assert "system calls" in words
    assert "network" in words


def test_the_isolated_process_has_no_environment_no_files_and_is_confined(
    extractor: Extractor,
) -> None:
    (process,) = extractor.process_ids()
    root = Path(f"/proc/{process}")
    assert b"EVIDENCE" not in root.joinpath("environ").read_bytes()
    status = dict(line.split(":\t", 1) for line in root.joinpath("status").read_text().splitlines())
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    opened = {os.readlink(each) for each in root.joinpath("fd").iterdir()}  # noqa: PTH115
    assert all(each.startswith(("/dev/null", "socket:", "/memfd:progress")) for each in opened)


def test_a_worker_that_is_killed_costs_one_file_and_the_next_is_read(
    extractor: Extractor, tmp_path: Path
) -> None:
    good = tmp_path / "good.jpg"
    good.write_bytes(photograph())
    assert read(extractor, good).media_type == "image/jpeg"
    for process in extractor.process_ids():
        os.kill(process, signal.SIGKILL)
    readings = [{each.reading for each in read(extractor, good).claims} for _ in range(3)]
    assert readings[-1] == {Reading.READ}


def test_a_camera_makers_note_that_costs_a_parser_seconds_costs_nothing_here(
    extractor: Extractor, tmp_path: Path
) -> None:
    note = os.urandom(4000)
    entries = struct.pack("<HHLL", 0x927C, 7, len(note), 100)
    ifd = struct.pack("<H", 1) + struct.pack("<HHLL", 0x8769, 4, 1, 50) + struct.pack("<L", 0)
    body = (b"II*\0" + struct.pack("<L", 8) + ifd).ljust(50, b"\0")
    body += (struct.pack("<H", 1) + entries + struct.pack("<L", 0)).ljust(50, b"\0") + note
    app1 = b"Exif\0\0" + body
    content = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + b"\xff\xd9"
    started = time.monotonic()
    found = read_bytes(extractor, tmp_path, "note.jpg", content)
    assert found.media_type == "image/jpeg"
    assert time.monotonic() - started < 1


def test_directories_of_exif_that_point_at_each_other_end(
    extractor: Extractor, tmp_path: Path
) -> None:
    ifd = struct.pack("<H", 1) + struct.pack("<HHLL", 0x0100, 3, 1, 8) + struct.pack("<L", 8)
    found = read_bytes(extractor, tmp_path, "loop.tif", b"II*\0" + struct.pack("<L", 8) + ifd)
    assert found.media_type == "image/tiff"
    assert read_bytes(extractor, tmp_path, "next.jpg", photograph()).media_type == "image/jpeg"


def test_a_bomb_in_an_archive_is_listed_and_not_opened(
    extractor: Extractor, tmp_path: Path
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(200 * 1024 * 1024))
    started = time.monotonic()
    found = read_bytes(extractor, tmp_path, "bomb.zip", out.getvalue())
    assert found.media_type == "application/zip"
    assert time.monotonic() - started < 3


def test_an_archive_of_a_hundred_thousand_entries_is_counted_and_listed_in_part(
    extractor: Extractor, tmp_path: Path
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(100_000):
            archive.writestr(f"{number:06d}", b"")
    found = read_bytes(extractor, tmp_path, "many.zip", out.getvalue())
    readings = {each.tool: each.reading for each in found.claims}
    assert Reading.PARTIAL in readings.values()
    assert all(len(str(each.values)) < 512 * 1024 for each in found.claims)


def test_a_document_whose_entities_multiply_is_given_up(
    extractor: Extractor, tmp_path: Path
) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1 if n else chr(32).strip()};" * 10}">' for n in range(9)
    )
    bomb += "]><l>&a8;</l>"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<d/>")
        archive.writestr("docProps/core.xml", bomb)
    started = time.monotonic()
    found = read_bytes(extractor, tmp_path, "bomb.docx", out.getvalue())
    assert time.monotonic() - started < 3
    assert {each.reading for each in found.claims} & {Reading.FAILED, Reading.PARTIAL}


def test_5_gib_of_zeros_are_not_read(extractor: Extractor, tmp_path: Path) -> None:
    path = tmp_path / "zeros"
    with path.open("wb") as file:
        file.truncate(5 * 1024**3)
    started = time.monotonic()
    assert read(extractor, path).media_type == "application/octet-stream"
    assert time.monotonic() - started < 2


def test_an_empty_file_is_said_to_be_empty(extractor: Extractor, tmp_path: Path) -> None:
    assert "empty" in read_bytes(extractor, tmp_path, "empty", b"").media_type


def test_files_of_noise_under_any_name_never_end_the_ingest(
    extractor: Extractor, tmp_path: Path
) -> None:
    heads = [
        b"%PDF-1.7\n",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"EVF\t\r\n\xff\0",
        b"RIFF",
        b"II*\0",
    ]
    heads += [
        b"\0\0\0\x18ftypheic",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"WARC/1.0\r\n",
        b"\x1f\x8b\x08",
    ]
    for number, head in enumerate(heads):
        found = read_bytes(extractor, tmp_path, f"noise-{number}.jpg", head + os.urandom(20_000))
        assert found.media_type
        assert found.claims
    assert read_bytes(extractor, tmp_path, "good.jpg", photograph()).media_type == "image/jpeg"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real files is not beside the tree")
def test_real_files_are_what_they_are_and_say_what_they_say(extractor: Extractor) -> None:
    found = {path.name: read(extractor, path) for path in CORPUS.rglob("*") if path.is_file()}
    claims = {
        name: {key: value for each in one.claims for key, value in each.values.items()}
        for name, one in found.items()
    }
    assert found["ext2.E01"].media_type == "application/x-ewf"
    assert claims["ext2.E01"]["container_digest"] == "match"
    assert claims["Nikon_D70.jpg"]["make"] == "NIKON CORPORATION"
    gps = claims["DSCN0010.jpg"]["gps"]
    assert isinstance(gps, dict)
    assert round(float(str(gps["latitude"])), 3) == 43.467
    assert found["samplefilehub.heif"].media_type in {"image/heif", "image/heic"}
    unread = {
        name: one for name, one in found.items()
        if {each.reading for each in one.claims} & {Reading.KILLED, Reading.TIMED_OUT}
    }  # fmt: skip
    assert unread == {}


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real files is not beside the tree")
def test_a_truncated_heic_is_still_identified(extractor: Extractor, tmp_path: Path) -> None:
    content = (CORPUS / "photos/samplefilehub.heif").read_bytes()
    for length in (64, 1000, len(content) // 2):
        found = read_bytes(extractor, tmp_path, f"cut-{length}.heic", content[:length])
        assert found.media_type in {"image/heif", "image/heic"}
