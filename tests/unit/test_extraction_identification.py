"""What a file is, by its content, and whether its name says otherwise."""

import bz2
import lzma

import pytest

from ingest.extraction.reader import Values
from ingest.extraction.readers import identification, names
from ingest.extraction.source import extension
from ingest.extraction.wire import Identity
from tests import extraction_samples as samples

OOXML = "application/vnd.openxmlformats-officedocument"
TEXT = "text/plain"
OLE_HEAD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def identified(content: bytes, name: bytes = b"") -> Identity:
    """What the content is."""
    with samples.source(content, name) as file:
        return identification.identify(file)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (samples.photograph(), "image/jpeg"),
        (samples.photograph("PNG"), "image/png"),
        (samples.photograph("TIFF"), "image/tiff"),
        (samples.photograph("WEBP"), "image/webp"),
        (samples.pdf(), "application/pdf"),
        (samples.docx(), f"{OOXML}.wordprocessingml.document"),
        (samples.odt(), "application/vnd.oasis.opendocument.text"),
        (samples.zipped({"xl/workbook.xml": "x"}), f"{OOXML}.spreadsheetml.sheet"),
        (samples.zipped({"ppt/presentation.xml": "x"}), f"{OOXML}.presentationml.presentation"),
        (
            samples.zipped({"a": "x", "word/document.xml": "y"}),
            f"{OOXML}.wordprocessingml.document",
        ),
        (samples.zipped({"META-INF/MANIFEST.MF": "x"}), "application/java-archive"),
        (samples.zipped({"mimetype": "text/html"}), "application/zip"),
        (samples.zipped({"a": "x"}), "application/zip"),
        (samples.wacz(), "application/wacz"),
        (samples.warc(), "application/warc"),
        (samples.warc(compressed=False), "application/warc"),
        (samples.message(), "message/rfc822"),
        (b"MIME-Version: 1.0\nSubject: x\nFrom: a\n\nbody", "message/rfc822"),
        (b"From: a@b.example\nSubject: x\n\nbody", "message/rfc822"),
        (b"From a@b.example Mon Jan  1 10:00:00 2024\nFrom: x\n\n", "application/mbox"),
        (samples.tar(), "application/x-tar"),
        (samples.gzipped(b"x"), "application/gzip"),
        (bz2.compress(b"x"), "application/x-bzip2"),
        (lzma.compress(b"x"), "application/x-xz"),
        (samples.sound(), "audio/x-wav"),
        (samples.forensic_image(bytes(4096)), "application/x-ewf"),
        (b"SQLite format 3\0" + bytes(84), "application/x-sqlite3"),
        (bytes(32769) + b"CD001" + bytes(100), "application/x-iso9660-image"),
        (b"7z\xbc\xaf'\x1c\0\4" + bytes(100), "application/x-7z-compressed"),
        (b"Rar!\x1a\x07\x01\0" + bytes(100), "application/x-rar"),
        (b"{\\rtf1\\ansi hello}", "text/rtf"),
        (b'{"a": 1}', "application/json"),
        (b"<!DOCTYPE html>\n<p>", "text/html"),
        (b"<?xml version='1.0'?>\n<html xmlns='x'>", "application/xhtml+xml"),
        (b"<?xml version='1.0'?><a/>", "text/xml"),
        (b"1\r\n00:00:01,000 --> 00:00:02,000\r\nHello", "application/x-subrip"),
        (b"#!/bin/sh\necho", "text/x-shellscript"),
        ("Здраво свете\n".encode(), TEXT),
        ("Здраво свете\n".encode("cp1251"), TEXT),
        ("Zapisnik\n".encode("utf-16"), TEXT),
        (b"Time: 10:00\nPlace: here\n\nNote: this is no message", TEXT),
        (b"", "application/x-empty"),
        (bytes(4096), "application/octet-stream"),
        (OLE_HEAD + bytes(600), "application/x-ole-storage"),
        (samples.compound({"WordDocument": b""}), "application/msword"),
        (samples.compound({"Workbook": b""}), "application/vnd.ms-excel"),
        (samples.compound({"PowerPoint Document": b""}), "application/vnd.ms-powerpoint"),
        (samples.outlook_message(b""), "application/vnd.ms-outlook"),
        (samples.compound({"Something": b""}), "application/x-ole-storage"),
        (b"PK\x03\x04" + bytes(600), "application/zip"),
    ],
)
def test_content_decides_what_a_file_is(content: bytes, media_type: str) -> None:
    assert identified(content).media_type == media_type


@pytest.mark.parametrize(
    ("content", "name", "is_mismatch"),
    [
        (samples.photograph(), b"IMG_0001.JPG", False),
        (samples.photograph(), b"IMG_0001.jpeg", False),
        (samples.photograph(), b"IMG_0001.png", True),
        (samples.photograph(), b"report.pdf", True),
        (samples.photograph(), b"IMG_0001.original", False),
        (samples.photograph(), b"IMG_0001", False),
        (samples.photograph(), b"folder.pdf/IMG_0001", False),
        (samples.photograph(), b"\xff\xfe.jpg", False),
        (samples.photograph(), b".pdf", False),
        (b"MZ\x90\0" + bytes(100), b"statement.pdf", True),
        (b"just a text", b"photo.jpg", True),
        (b"just a text", b"notes.csv", False),
        (samples.message(), b"letter.eml", False),
        (samples.docx(), b"statement.docx", False),
        (samples.docx(), b"statement.xlsx", True),
        (samples.warc(), b"capture.warc.gz", False),
        (bytes(4096), b"photo.jpg", True),
        (bytes(4096), b"disk.img", False),
        (b"", b"photo.jpg", False),
    ],
)
def test_a_name_is_flagged_only_when_it_names_other_content(
    content: bytes, name: bytes, is_mismatch: bool
) -> None:
    assert identified(content, name).name_mismatch is is_mismatch


def described(content: bytes) -> Values:
    """The content's description."""
    with samples.source(content) as file:
        return identification.describe(file)


def test_what_no_reader_reads_is_described_in_words() -> None:
    assert "GIF" in str(described(b"GIF89a\x0a\0\x0a\0\x80\0\0")["description"])
    assert described(bytes(100)) == {}


def test_the_table_of_endings_contradicts_no_type_of_its_own() -> None:
    assert not names.contradicts("image/jpeg", "jpg")
    assert names.contradicts("image/jpeg", "pdf")
    assert not names.contradicts("image/jpeg", "unheard-of")
    assert not names.contradicts("application/x-empty", "pdf")


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        (b"a.JPG", "jpg"),
        (b"a.tar.gz", "gz"),
        (b"a", ""),
        (b".hidden", ""),
        (b"a.", ""),
        (b"dir.x/a", ""),
        (b"a.\xff", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_the_ending_of_a_name(name: bytes, ending: str) -> None:
    assert extension(name) == ending
