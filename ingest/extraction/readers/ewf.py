"""Expert Witness images (E01, version 1): who acquired what, and whether its own digest holds.

The format is documented by libewf ("Expert Witness Compression Format"); section numbers below
are its. The digests stored in the image are recomputed over the media, chunk by chunk,
where the image is one segment; a match says that the container is intact, not that it is true.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ingest.extraction.reader import Found, without_gaps
from ingest.extraction.source import SourceFile
from ingest.extraction.tidy import decoded
from ingest.extraction.wire import Tool

TOOL = Tool("evidence-store ewf", "1")
SECTIONS_MAX = 100_000
TABLE_ENTRIES_MAX = 1 << 24
CHUNK_BYTES_MAX = 64 * 1024 * 1024
TEXT_BYTES_MAX = 1024 * 1024

_SIGNATURES = {b"EVF\x09\x0d\x0a\xff\x00": "EWF", b"LVF\x09\x0d\x0a\xff\x00": "EWF logical"}
_FILE_HEADER = struct.Struct("<8sBHH")
_SECTION = struct.Struct("<16sQQ40sL")
_VOLUME = struct.Struct("<B3xLLLQ")
_VOLUME_SMART = struct.Struct("<LLLLL")
_VOLUME_BYTES = 1052
_TABLE = struct.Struct("<L4xQ4xL")
_CHECKSUM_BYTES = 4
_COMPRESSED = 0x8000_0000
_OFFSET_MAX = 0x7FFF_FFFF
_MATCH, _MISMATCH = "match", "mismatch"

# Section 4.1.2: identifiers of the header's columns.
_COLUMNS: Mapping[str, str] = {
    "c": "case_number",
    "n": "evidence_number",
    "a": "description",
    "e": "examiner",
    "t": "notes",
    "av": "acquisition_tool_version",
    "ov": "acquisition_system",
    "m": "acquired",
    "u": "system_date",
    "md": "model",
    "sn": "serial_number",
    "l": "label",
}


class BadImageError(Exception):
    """The image is not laid out as the format says."""


@dataclass(frozen=True, slots=True)
class _Table:
    offset: int  # of its first entry
    entries: int
    base: int
    end: int  # where the chunks that it lists end


@dataclass(slots=True)
class _Image:
    """What the sections said."""

    segment: int
    values: dict[str, object] = field(default_factory=dict)
    tables: list[_Table] = field(default_factory=list)
    chunk_count: int = 0
    chunk_bytes: int = 0
    media_bytes: int = 0
    stored: dict[str, bytes] = field(default_factory=dict)
    sectors_end: int = 0
    is_complete: bool = False  # its last section says that no segment follows
    broken_checksums: int = 0


def matches(media_type: str, source_name: bytes) -> bool:  # noqa: ARG001 - as every reader's
    """See `Reader.matches`."""
    return media_type == "application/x-ewf"


def read(file: SourceFile) -> Found:
    """See `Reader.read`."""
    signature, _, segment, _ = _FILE_HEADER.unpack(_exactly(file, 0, _FILE_HEADER.size))
    image = _Image(segment)
    image.values |= {"format": _SIGNATURES.get(signature, "EWF"), "segment": segment}
    problem = None
    try:
        for kind, start, end in _sections(file, image):
            _take_section(file, image, kind, start, end)
    except BadImageError:
        problem = "the sections break off"
    outcome = _verify(file, image) if problem is None else "the sections break off"
    image.values |= {
        "bytes": image.media_bytes,
        "chunks": image.chunk_count,
        "stored_digests": {name: value.hex() for name, value in image.stored.items()},
        "broken_checksums": image.broken_checksums,
    }
    if outcome in {_MATCH, _MISMATCH}:
        image.values["container_digest"] = outcome
    else:
        image.values |= {"container_digest": "not_verifiable", "container_digest_reason": outcome}
    return Found(without_gaps(image.values), problem)


# ---------------------------------------------------------------------- sections


def _sections(file: SourceFile, image: _Image) -> Iterator[tuple[str, int, int]]:
    """Kind, start and end of each section's content. Section 3.1."""
    at = _FILE_HEADER.size
    for _ in range(SECTIONS_MAX):
        header = _exactly(file, at, _SECTION.size)
        raw_kind, next_at, size_bytes, _, checksum = _SECTION.unpack(header)
        if zlib.adler32(header[:-_CHECKSUM_BYTES]) != checksum:
            raise BadImageError
        kind = raw_kind.rstrip(b"\0").decode("ascii", "replace")
        end = at + size_bytes if size_bytes else next_at
        yield kind, at + _SECTION.size, max(end, at + _SECTION.size)
        if kind in {"done", "next"}:
            image.is_complete = kind == "done"
            return
        if next_at <= at:  # otherwise a loop
            raise BadImageError
        at = next_at
    raise BadImageError


def _take_section(file: SourceFile, image: _Image, kind: str, start: int, end: int) -> None:
    match kind:
        case "header" | "header2" | "xheader":
            _take_header(_exactly(file, start, min(end - start, TEXT_BYTES_MAX)), image)
        case "volume" | "disk" | "data":
            _take_volume(_exactly(file, start, min(end - start, _VOLUME_BYTES)), image)
        case "sectors":
            image.sectors_end = end
        case "table":
            _take_table(file, image, start, end)
        case "hash":
            image.stored.setdefault("md5", _exactly(file, start, 16))
        case "digest":
            image.stored["md5"] = _exactly(file, start, 16)
            image.stored["sha1"] = _exactly(file, start + 16, 20)
        case "error2":
            image.values["acquisition_errors"] = int.from_bytes(_exactly(file, start, 4), "little")
        case _:
            pass


def _take_header(compressed: bytes, image: _Image) -> None:
    """Section 4.1: zlib over text in lines of tab-separated columns, names above values."""
    try:
        raw = zlib.decompressobj().decompress(compressed, TEXT_BYTES_MAX)
    except zlib.error as error:
        raise BadImageError from error
    is_wide = raw[:2] in {b"\xff\xfe", b"\xfe\xff"}
    text = raw.decode("utf-16", "replace") if is_wide else decoded(raw)
    lines = text.replace("\r", "").split("\n")
    for number, line in enumerate(lines[:-1]):
        names = line.split("\t")
        if number and lines[number - 1] == "main" and len(names) > 1:
            for name, value in zip(names, lines[number + 1].split("\t"), strict=False):
                if name in _COLUMNS and value.strip():
                    image.values[_COLUMNS[name]] = _date(value) if name in "mu" else value


def _date(value: str) -> str:
    """`2002 3 4 10 19 59` is a local time without a zone; seconds since 1970 are UTC."""
    parts = value.split()
    try:
        if len(parts) == 1:
            return datetime.fromtimestamp(int(value), UTC).isoformat()
        year, month, day, hour, minute, second = map(int, parts)
        return datetime(year, month, day, hour, minute, second).isoformat()  # noqa: DTZ001 - the image states no zone
    except (ValueError, OverflowError, OSError):
        return value


def _take_volume(content: bytes, image: _Image) -> None:
    """Sections 5.1 and 5.2: 1052 bytes since EnCase, 94 before."""
    if len(content) >= _VOLUME_BYTES:
        _, chunks, per_chunk, sector_bytes, sectors = _VOLUME.unpack_from(content)
    elif len(content) >= _VOLUME_SMART.size:
        _, chunks, per_chunk, sector_bytes, sectors = _VOLUME_SMART.unpack_from(content)
    else:
        raise BadImageError
    image.chunk_count = chunks
    image.chunk_bytes = per_chunk * sector_bytes
    image.media_bytes = sectors * sector_bytes


def _take_table(file: SourceFile, image: _Image, start: int, end: int) -> None:
    """Section 8.1. `table2` is a copy, and not needed where the first is whole."""
    header = _exactly(file, start, _TABLE.size)
    entries, base, checksum = _TABLE.unpack(header)
    if zlib.adler32(header[:-_CHECKSUM_BYTES]) != checksum:
        image.broken_checksums += 1
    if entries > TABLE_ENTRIES_MAX:
        raise BadImageError
    # The first versions kept the chunks in the section of the table itself.
    image.tables.append(_Table(start + _TABLE.size, entries, base, image.sectors_end or end))


# -------------------------------------------------------------------- verification


def _verify(file: SourceFile, image: _Image) -> str:
    """`match`, `mismatch`, or why neither can be said."""
    obstacle = _obstacle(image)
    if obstacle is not None:
        return obstacle
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in image.stored}
    left = image.media_bytes
    for chunk in _chunks(file, image):
        if file.is_late:
            return "the limit on time was reached"
        if chunk is None:
            return _MISMATCH  # a chunk that cannot be read is not what was acquired
        piece = memoryview(chunk)[: max(left, 0)]
        left -= len(piece)
        for digest in digests.values():
            digest.update(piece)
    same = all(digest.digest() == image.stored[name] for name, digest in digests.items())
    return _MATCH if same and left == 0 else _MISMATCH


def _obstacle(image: _Image) -> str | None:
    """Why the digest cannot be recomputed from this file alone, if it cannot."""
    if image.segment != 1 or not image.is_complete:
        return "the image has more segments than this one"
    if not image.stored:
        return "the image stores no digest"
    if not 0 < image.chunk_bytes <= CHUNK_BYTES_MAX:
        return "the size of its chunks is not one that the format has"
    if sum(table.entries for table in image.tables) != image.chunk_count:
        return "the tables list another number of chunks than the image says it has"
    if any(table.end - table.base > _OFFSET_MAX for table in image.tables):
        return "its chunk offsets exceed 2 GiB, which tools write in more than one way"
    return None


def _chunks(file: SourceFile, image: _Image) -> Iterator[bytes | None]:
    """The media, chunk by chunk; None for one that cannot be read. Counts broken checksums."""
    for table in image.tables:
        raw = _exactly(file, table.offset, 4 * table.entries)
        entries = memoryview(raw).cast("I")  # little-endian, as both machines are
        for number, entry in enumerate(entries):
            start = table.base + (entry & ~_COMPRESSED)
            following = number + 1 < len(entries)
            end = table.base + (entries[number + 1] & ~_COMPRESSED) if following else table.end
            yield _chunk(file, image, start, end, is_compressed=bool(entry & _COMPRESSED))


def _chunk(
    file: SourceFile, image: _Image, start: int, end: int, *, is_compressed: bool
) -> bytes | None:
    """Section 6: zlib, or the bytes and their Adler-32."""
    stored = file.at(start, min(max(end - start, 0), image.chunk_bytes + 4096))
    if is_compressed:
        try:
            return zlib.decompressobj().decompress(stored, image.chunk_bytes)
        except zlib.error:
            image.broken_checksums += 1
            return None
    content, checksum = stored[:-_CHECKSUM_BYTES], stored[-_CHECKSUM_BYTES:]
    if zlib.adler32(content) != int.from_bytes(checksum, "little"):
        image.broken_checksums += 1
    return content


def _exactly(file: SourceFile, offset: int, length: int) -> bytes:
    found = file.at(offset, length)
    if len(found) != length:
        raise BadImageError
    return found
