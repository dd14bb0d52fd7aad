"""Files made by hand for the extraction tests: small, and each with claims that are known.

Hostile ones are beside the tests that use them.
"""

import base64
import email.policy
import gzip
import hashlib
import io
import os
import struct
import tarfile
import time
import wave
import zipfile
import zlib
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from PIL import Image

from ingest.extraction.source import SourceFile


def source(content: bytes, name: bytes = b"", seconds: float = 30) -> SourceFile:
    """The content as a reader gets it."""
    fd = memory_file(content)
    return SourceFile(fd, name, len(content), time.monotonic() + seconds)


def memory_file(content: bytes) -> int:
    """A descriptor of a file in memory with this content. The caller closes it."""
    fd = os.memfd_create("sample", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def photograph(picture_format: str = "JPEG", *, gps: bool = True) -> bytes:
    """A photograph of nothing, taken in Srebrenica in 1995 by its own account."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Nikon", "D70", 6
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0x9011] = "1995:07:11 16:30:00", "+02:00"
    details[0xA431] = "SN-0042"
    if gps:
        place = exif.get_ifd(0x8825)
        place[1], place[2] = "N", (44.0, 6.0, 22.5)
        place[3], place[4] = "W", (19.0, 17.0, 49.2)
        place[5], place[6] = b"\x01", 12.5
    if picture_format == "TIFF":  # what Pillow writes as TIFF leaves the details out
        return exif.tobytes().removeprefix(b"Exif\0\0")
    content = io.BytesIO()
    Image.new("RGB", (40, 30)).save(content, picture_format, exif=exif)
    return content.getvalue()


def pdf(*, information: str = "/Title (Report 7) /Author (A. Novak)", root: str = "") -> bytes:
    """A PDF of one page with a correct cross-reference table."""
    return pdf_of(
        f"<< /Type /Catalog /Pages 2 0 R {root} >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
        f"<< {information} >>",
        trailer="/Info 4 0 R",
    )


def pdf_of(*objects: str, trailer: str = "") -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalog."""
    content, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(content))
        content += f"{number} 0 obj\n{each}\nendobj\n".encode()
    start = len(content)
    content += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    content += b"".join(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    size = len(objects) + 1
    content += f"trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\n".encode()
    content += f"startxref\n{start}\n%%EOF\n".encode()
    return bytes(content)


def zipped(members: Mapping[str, bytes | str]) -> bytes:
    """A ZIP archive of these members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            entry = zipfile.ZipInfo(name, (2024, 5, 1, 9, 0, 0))  # the same in every process
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member)
    return content.getvalue()


def docx(core: str | None = None) -> bytes:
    """A Word document, its core properties as given."""
    properties = core or (
        '<cp:coreProperties xmlns:cp="c" xmlns:dc="d" xmlns:dcterms="t">'
        "<dc:creator>A. Novak</dc:creator><cp:lastModifiedBy>B. Kos</cp:lastModifiedBy>"
        "<dcterms:created>2024-05-01T09:00:00Z</dcterms:created></cp:coreProperties>"
    )
    return zipped(
        {
            "[Content_Types].xml": "<Types/>",
            "word/document.xml": "<w/>",
            "docProps/core.xml": properties,
            "docProps/app.xml": "<Properties><Application>Writer</Application></Properties>",
        }
    )


def odt() -> bytes:
    """An OpenDocument text."""
    return zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": "<x/>",
            "meta.xml": (
                "<m xmlns:meta='m'><meta:initial-creator>C. Zupan</meta:initial-creator>"
                "<meta:document-statistic meta:page-count='3'/>"
                "<meta:user-defined meta:name='Case'>SI-CASE-0007</meta:user-defined></m>"
            ),
        }
    )


def message(attachment: bytes = b"attached") -> bytes:
    """An e-mail with an encoded subject and one attachment."""
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["Message-ID"] = "<1@example.org>"
    mail["From"] = "Ana <ana@example.org>"
    mail["To"] = "bor@example.org"
    mail["Date"] = "Thu, 14 Mar 2024 10:22:05 +0100"
    mail["Subject"] = "Zapisnik št. 7"
    mail.set_content("Besedilo")
    mail.add_attachment(attachment, maintype="application", subtype="pdf", filename="zapis.pdf")
    return mail.as_bytes()


def tar(names: int = 3) -> bytes:
    """A tar archive of that many small members."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for number in range(names):
            entry = tarfile.TarInfo(f"folder/{number}.txt")
            entry.size, entry.mtime = 5, 1_700_000_000
            archive.addfile(entry, io.BytesIO(b"hello"))
    return content.getvalue()


def sound() -> bytes:
    """A second of silence."""
    content = io.BytesIO()
    with wave.open(content, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        audio.writeframes(bytes(16_000))
    return content.getvalue()


def warc(*, payload: bytes = b"<html>hello</html>", compressed: bool = True) -> bytes:
    """A web archive of one response, with its digests."""
    block = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + payload
    record = (
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:1>\r\n"
        "WARC-Target-URI: https://example.org/post/1\r\nWARC-Date: 2024-03-14T10:22:05Z\r\n"
        f"WARC-Payload-Digest: {_sha1(payload)}\r\nWARC-Block-Digest: {_sha1(block)}\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
    ).encode()
    record += block + b"\r\n\r\n"
    return gzip.compress(record) if compressed else record


def _sha1(content: bytes) -> str:
    digest = hashlib.sha1(content, usedforsecurity=False).digest()
    return f"sha1:{base64.b32encode(digest).decode()}"


def wacz(*, tampered: bool = False) -> bytes:
    """A WACZ package whose resource has its declared digest, or not."""
    archive = warc()
    digest = hashlib.sha256(archive).hexdigest()
    resource = f'{{"path": "archive/a.warc.gz", "hash": "sha256:{digest}", "bytes": 1}}'
    package = f'{{"profile": "data-package", "resources": [{resource}]}}'
    signed = hashlib.sha256(package.encode()).hexdigest()
    return zipped(
        {
            "datapackage.json": package,
            "datapackage-digest.json": f'{{"hash": "sha256:{signed}", "signedData": {{}}}}',
            "archive/a.warc.gz": archive + (b"x" if tampered else b""),
        }
    )


def gzipped(content: bytes, name: str = "list.txt") -> bytes:
    """A gzip file that names what it holds."""
    out = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=out, mtime=1_700_000_000) as stream:
        stream.write(content)
    return out.getvalue()


# -------------------------------------------------------------------- compound file

_FREE, _END_OF_CHAIN, _FAT_SECTOR, _NOBODY = 0xFFFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFD, 0xFFFF_FFFF
_STREAM_BYTES_MIN = 4096  # shorter ones would live in a stream of their own


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A compound file (MS-CFB, version 3) of these streams, some of them `folder/name`."""
    folders = sorted({name.partition("/")[0] for name in streams if "/" in name})
    top = [*folders, *(name for name in streams if "/" not in name)]
    rows: list[tuple[str, int, int, int, bytes]] = []  # name, kind, sibling, child, content
    numbers = {name: number for number, name in enumerate(top, start=1)}
    inner = [name for folder in folders for name in streams if name.startswith(f"{folder}/")]
    numbers |= {name: number for number, name in enumerate(inner, start=len(top) + 1)}
    rows.append(("Root Entry", 5, _NOBODY, numbers[top[0]] if top else _NOBODY, b""))
    for siblings in (top, *([n for n in inner if n.startswith(f"{f}/")] for f in folders)):
        for name, following in zip(siblings, [*siblings[1:], ""], strict=True):
            children = [each for each in inner if each.startswith(f"{name}/")]
            kind, child = (1, numbers[children[0]]) if children else (2, _NOBODY)
            content = streams.get(name, b"").ljust(0 if children else _STREAM_BYTES_MIN, b"\0")
            sibling = numbers.get(following, _NOBODY)
            rows.append((name.rpartition("/")[2], kind, sibling, child, content))
    return _compound_of(rows)


def _compound_of(rows: list[tuple[str, int, int, int, bytes]]) -> bytes:
    directory_sectors = -(-len(rows) // 4)
    fat = [_FAT_SECTOR, *_chain(1, directory_sectors)]
    directory, body = bytearray(), bytearray()
    for name, kind, sibling, child, content in rows:
        start = len(fat) if content else _END_OF_CHAIN
        fat += _chain(len(fat), -(-len(content) // 512))
        body += content.ljust(-(-len(content) // 512) * 512, b"\0")
        wide = (name + "\0").encode("utf-16-le")
        directory += wide.ljust(64, b"\0") + struct.pack("<HBB", len(wide), kind, 1)
        directory += struct.pack("<LLL36xLQ", _NOBODY, sibling, child, start, len(content))
    assert len(fat) <= 128, "one sector of table is all this writer knows"
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH6xLLLLLLLLLL", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096,
                          _END_OF_CHAIN, 0, _END_OF_CHAIN, 0, 0)  # fmt: skip
    header += struct.pack("<L", _FREE) * 108
    table = struct.pack(f"<{len(fat)}L", *fat).ljust(512, b"\xff")
    return header + table + bytes(directory.ljust(directory_sectors * 512, b"\0")) + bytes(body)


def _chain(start: int, sectors: int) -> list[int]:
    return [*range(start + 1, start + sectors), _END_OF_CHAIN] if sectors else []


def outlook_message(attachment: bytes) -> bytes:
    """A message as Outlook stores it, with one attachment."""
    folder = "__attach_version1.0_#00000000"
    headers = "Received: by x\r\nDate: Thu, 14 Mar 2024 10:22:05 +0100\r\n"
    texts = {
        "__substg1.0_0037001F": "Zapisnik št. 7",
        "__substg1.0_0C1A001F": "Ana",
        "__substg1.0_007D001F": headers,
        "__recip_version1.0_#00000000/__substg1.0_39FE001F": "bor@example.org",
        f"{folder}/__substg1.0_3707001F": "zapis.pdf",
    }
    streams = {name: text.encode("utf-16-le") for name, text in texts.items()}
    streams["__properties_version1.0"] = b""
    streams[f"{folder}/__substg1.0_37010102"] = attachment
    return compound(streams)


def summary(author: str) -> bytes:
    """A property set stream (MS-OLEPS) with an author."""
    text = author.encode("cp1252") + b"\0"
    values = struct.pack("<LL", 30, len(text)) + text.ljust(-(-len(text) // 4) * 4, b"\0")
    section = struct.pack("<LLLL", 16 + len(values), 1, 4, 16) + values
    return struct.pack("<HHL16xL16xL", 0xFFFE, 0, 0, 1, 48) + section


# ------------------------------------------------------------------ forensic image

SECTOR_BYTES, SECTORS_PER_CHUNK = 512, 8
CHUNK_BYTES = SECTOR_BYTES * SECTORS_PER_CHUNK


def forensic_image(
    media: bytes,
    *,
    md5: bytes | None = None,
    segment: int = 1,
    last: str = "done",
    store_digest: bool = True,
    repeat: int = 1,
) -> bytes:
    """An E01 image of the media, every second chunk compressed; its digest may be made wrong.

    With `repeat` its table lists the same chunks that many times.
    """
    out = bytearray(b"EVF\x09\x0d\x0a\xff\x00" + struct.pack("<BHH", 1, segment, 0))
    header = (
        "1\nmain\nc\tn\ta\te\tt\tav\tov\tm\tu\tp\n"
        "C-7\tE-1\tlaptop\tNovak\tseized\t7.10\tLinux\t2024 3 14 10 22 5\t\t0\n\n"
    )
    _section(out, b"header", zlib.compress(header.encode()))
    count = -(-len(media) // CHUNK_BYTES) * repeat
    sectors = len(media) // SECTOR_BYTES * repeat
    volume = struct.pack("<B3xLLLQ", 1, count, SECTORS_PER_CHUNK, SECTOR_BYTES, sectors)
    _section(out, b"volume", volume.ljust(1052, b"\0"))
    chunks, entries = _chunks(media, len(out) + 76)
    entries *= repeat
    _section(out, b"sectors", chunks)
    table = struct.pack("<L4xQ4x", len(entries), 0)
    table += struct.pack("<L", zlib.adler32(table)) + b"".join(
        struct.pack("<L", entry) for entry in entries
    )
    _section(out, b"table", table + struct.pack("<L", 0))
    if store_digest:
        digest = md5 or hashlib.md5(media, usedforsecurity=False).digest()
        _section(out, b"hash", digest.ljust(36, b"\0"))
    _section(out, last.encode(), b"")
    return bytes(out)


def _chunks(media: bytes, start: int) -> tuple[bytes, list[int]]:
    chunks, entries = bytearray(), []
    for number, offset in enumerate(range(0, len(media), CHUNK_BYTES)):
        chunk = media[offset : offset + CHUNK_BYTES]
        entry = start + len(chunks)
        if number % 2:
            chunks += zlib.compress(chunk)
            entry |= 0x8000_0000
        else:
            chunks += chunk + struct.pack("<L", zlib.adler32(chunk))
        entries.append(entry)
    return bytes(chunks), entries


def _section(out: bytearray, kind: bytes, content: bytes) -> None:
    is_end = kind in {b"done", b"next"}
    size = 76 + len(content)
    header = struct.pack("<16sQQ40x", kind, len(out) + (0 if is_end else size), size)
    out += header + struct.pack("<L", zlib.adler32(header)) + content


def named(values: object, *path: str | int) -> Any:  # noqa: ANN401 - JSON, for tests only
    """What stands at a path in a claim's values."""
    for step in path:
        values = values[step]  # type: ignore[index] # a wrong path fails the test
    return values
