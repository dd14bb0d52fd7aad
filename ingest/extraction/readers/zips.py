"""A ZIP archive's central directory, in constant memory, and bounded reads of its members.

Follows PKWARE's APPNOTE 6.3, sections 4.3 and 4.4, ZIP64 included. `zipfile` would hold the whole
directory as objects, and that is what an archive of 10^7 entries is made for. Extracts nothing.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ingest.extraction.source import SourceFile

STORED, DEFLATED = 0, 8
PIECE_BYTES = 64 * 1024
_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_ENTRY_SIGNATURE = b"PK\x01\x02"
_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_FILLED, _FILLED_SHORT = 0xFFFF_FFFF, 0xFFFF  # the true value is in a ZIP64 record
_ZIP64_EXTRA = 1


class BadZipError(Exception):
    """The archive is not laid out as a ZIP archive."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the central directory: what it says of a member."""

    name: str
    size_bytes: int
    stored_bytes: int
    method: int
    is_encrypted: bool
    modified: datetime | None
    header_offset: int

    @property
    def is_directory(self) -> bool:
        """Whether the entry is a folder."""
        return self.name.endswith("/")


@dataclass(frozen=True, slots=True)
class _Directory:
    start: int
    size_bytes: int
    shift: int  # what stands before the archive, as in a self-extracting one
    entries: int


def declared_entries(file: SourceFile) -> int:
    """How many entries the archive says it has.

    Raises:
        BadZipError: if there is no end-of-directory record.
    """
    return _directory(file).entries


def entries(file: SourceFile) -> Iterator[Entry]:
    """The central directory, entry by entry. Reading members meanwhile is allowed.

    Raises:
        BadZipError: if there is no directory, or where it breaks off.
    """
    directory = _directory(file)
    offset, end = directory.start, directory.start + directory.size_bytes
    while offset + _ENTRY.size <= end:
        fields = _ENTRY.unpack(_exactly(file, offset, _ENTRY.size))
        if fields[0] != _ENTRY_SIGNATURE:
            raise BadZipError
        name_bytes, extra_bytes, comment_bytes = fields[10:13]
        variable = _exactly(file, offset + _ENTRY.size, name_bytes + extra_bytes)
        yield _entry(fields, variable[:name_bytes], variable[name_bytes:], directory.shift)
        offset += _ENTRY.size + name_bytes + extra_bytes + comment_bytes


def member(file: SourceFile, entry: Entry) -> Iterator[bytes]:
    """A member's content in pieces. Its length is not checked: count what you take.

    Raises:
        BadZipError: if it is encrypted, compressed by a method unknown here, or broken.
    """
    if entry.is_encrypted or entry.method not in {STORED, DEFLATED}:
        raise BadZipError
    fields = _LOCAL.unpack(_exactly(file, entry.header_offset, _LOCAL.size))
    if fields[0] != _LOCAL_SIGNATURE:
        raise BadZipError
    offset = entry.header_offset + _LOCAL.size + fields[9] + fields[10]
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == DEFLATED else None
    left = entry.stored_bytes
    while left > 0 and not (inflater and inflater.eof):
        piece = file.at(offset, min(left, PIECE_BYTES))
        if not piece:
            raise BadZipError
        offset += len(piece)
        left -= len(piece)
        if inflater is None:
            yield piece
            continue
        while piece:
            yield _inflated(inflater, piece)
            piece = inflater.unconsumed_tail


def content(file: SourceFile, entry: Entry, bytes_max: int) -> bytes:
    """A member's whole content.

    Raises:
        BadZipError: as `member`, or if it is longer than `bytes_max`, whatever the archive says.
    """
    found = bytearray()
    for piece in member(file, entry):
        found += piece
        if len(found) > bytes_max:
            raise BadZipError
    return bytes(found)


def _inflated(inflater: "zlib._Decompress", piece: bytes) -> bytes:
    try:
        return inflater.decompress(piece, PIECE_BYTES)
    except zlib.error as error:
        raise BadZipError from error


def _exactly(file: SourceFile, offset: int, length: int) -> bytes:
    found = file.at(offset, length)
    if len(found) != length:
        raise BadZipError
    return found


def _directory(file: SourceFile) -> _Directory:
    tail_bytes = min(file.size_bytes, _END.size + 0xFFFF)
    tail_start = file.size_bytes - tail_bytes
    tail = file.at(tail_start, tail_bytes)
    at = tail.rfind(_END_SIGNATURE, 0, len(tail) - _END.size + len(_END_SIGNATURE))
    if at < 0:
        raise BadZipError
    end = tail_start + at
    _, _, _, _, count, size_bytes, offset, _ = _END.unpack_from(tail, at)
    if count == _FILLED_SHORT or _FILLED in {size_bytes, offset}:
        zip64 = _zip64_end(file, end)
        if zip64 is not None:
            end, count, size_bytes, offset = zip64
    start = end - size_bytes
    if start < 0 or start < offset:
        raise BadZipError
    return _Directory(start, size_bytes, start - offset, count)


def _zip64_end(file: SourceFile, end: int) -> tuple[int, int, int, int] | None:
    """Where the ZIP64 end record stands, the number of entries, the directory's size and offset."""
    if end < _END64_LOCATOR.size:
        return None
    signature, _, at, _ = _END64_LOCATOR.unpack(
        _exactly(file, end - _END64_LOCATOR.size, _END64_LOCATOR.size)
    )
    if signature != b"PK\x06\x07":
        return None
    fields = _END64.unpack(_exactly(file, at, _END64.size))
    if fields[0] != b"PK\x06\x06":
        raise BadZipError
    return at, fields[7], fields[8], fields[9]


def _entry(fields: tuple[int, ...], raw_name: bytes, extra: bytes, shift: int) -> Entry:
    flags, method, time, date = fields[3:7]
    stored_bytes, size_bytes = fields[8:10]
    header_offset = fields[16]
    wide = iter(_zip64_values(extra))
    if size_bytes == _FILLED:
        size_bytes = next(wide, size_bytes)
    if stored_bytes == _FILLED:
        stored_bytes = next(wide, stored_bytes)
    if header_offset == _FILLED:
        header_offset = next(wide, header_offset)
    return Entry(
        name=raw_name.decode("utf-8" if flags & 0x800 else "cp437", "replace"),
        size_bytes=size_bytes,
        stored_bytes=stored_bytes,
        method=method,
        is_encrypted=bool(flags & 1),
        modified=_modified(date, time),
        header_offset=header_offset + shift,
    )


def _zip64_values(extra: bytes) -> tuple[int, ...]:
    offset = 0
    while offset + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, offset)
        if kind == _ZIP64_EXTRA:
            body = extra[offset + 4 : offset + 4 + length]
            return struct.unpack_from(f"<{len(body) // 8}Q", body)
        offset += 4 + length
    return ()


def _modified(date: int, time: int) -> datetime | None:
    """The local time of whoever packed it; the format knows no zone."""
    try:
        return datetime(  # noqa: DTZ001 - there is no zone to know
            1980 + (date >> 9),
            (date >> 5) & 15,
            date & 31,
            time >> 11,
            (time >> 5) & 63,
            min((time & 31) * 2, 59),
        )
    except ValueError:
        return None
