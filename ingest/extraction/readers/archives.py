"""What archives say that they hold: a listing, never the members.

ZIP by its central directory; tar by its headers, also in gzip, bzip2 and xz; a single
compressed file by its header. 7z and RAR are recognised and said not to be listed.
"""

import struct
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from itertools import islice
from typing import IO, cast

from ingest.extraction.reader import Found, without_gaps
from ingest.extraction.readers import compressed, zips
from ingest.extraction.source import SourceFile
from ingest.extraction.tidy import decoded
from ingest.extraction.wire import Tool

TOOL = Tool("python", ".".join(map(str, sys.version_info[:3])))
ENTRIES_LISTED_MAX = 1_000
ENTRIES_COUNTED_MAX = 2_000_000
RATIO_SUSPICIOUS = 200  # deflate reaches 1032; text 3 to 10
_ZIPS = frozenset(
    {"application/zip", "application/java-archive", "application/vnd.android.package-archive"}
)
_UNLISTED = frozenset(
    {"application/x-7z-compressed", "application/x-rar", "application/vnd.rar", "application/zstd"}
)
_TAR = "application/x-tar"
_TAR_BLOCK = 512
_GZIP_HEADER = struct.Struct("<3sBLBB")
_GZIP_EXTRA, _GZIP_NAME, _GZIP_COMMENT = 4, 8, 16


def matches(media_type: str, source_name: bytes) -> bool:  # noqa: ARG001 - as every reader's
    """See `Reader.matches`."""
    return (
        media_type in _ZIPS
        or media_type in _UNLISTED
        or media_type == _TAR
        or compressed.is_compressed(media_type)
    )


def read(file: SourceFile) -> Found:
    """See `Reader.read`."""
    head = file.at(0, 6)
    if head.startswith(b"PK"):
        return _read_zip(file)
    for media_type, magic in (
        ("application/gzip", b"\x1f\x8b"),
        ("application/x-bzip2", b"BZh"),
        ("application/x-xz", b"\xfd7zXZ"),
    ):
        if head.startswith(magic):
            return _read_compressed(file, media_type)
    if head.startswith((b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")):
        return Found({}, "listing this format is not supported")
    file.seek(0)
    return _read_tar(cast("IO[bytes]", file), file)


def _read_zip(file: SourceFile) -> Found:
    listing = _Listing(file)
    declared = zips.declared_entries(file)
    try:
        incomplete = listing.take(_zip_lines(file))
    except zips.BadZipError:
        incomplete = "the directory is broken"
    if incomplete is None and declared & 0xFFFF != listing.count & 0xFFFF:
        incomplete = "the archive says that it has another number of entries"
    return Found({"format": "zip", "entries_declared": declared, **listing.values()}, incomplete)


def _zip_lines(file: SourceFile) -> "Iterator[_Line]":
    for entry in zips.entries(file):
        values = {
            "name": entry.name,
            "size_bytes": entry.size_bytes,
            "stored_bytes": entry.stored_bytes,
            "modified": entry.modified,
        }
        yield _Line(values, entry.size_bytes, entry.stored_bytes, entry.is_encrypted)


def _read_compressed(file: SourceFile, media_type: str) -> Found:
    inflated = compressed.Inflated(file, media_type)
    stream = BufferedReader(inflated, compressed.PIECE_BYTES)
    head = stream.peek(_TAR_BLOCK)[:_TAR_BLOCK]
    values: dict[str, object] = {
        "compression": media_type.removeprefix("application/").removeprefix("x-")
    }
    if media_type == "application/gzip":
        values |= _gzip_header(file)
    if head[257:262] != b"ustar":
        return Found(values, inflated.stopped)
    found = _read_tar(cast("IO[bytes]", stream), file)
    sized = {"inflated_bytes": inflated.given_bytes}
    return Found({**values, **sized, **found.values}, inflated.stopped or found.incomplete)


def _read_tar(stream: IO[bytes], file: SourceFile) -> Found:
    # Not "r|", which goes on asking an archive that ended for every block that it promised.
    listing = _Listing(file)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            incomplete = listing.take(_tar_lines(archive))
    except (tarfile.TarError, EOFError) as error:
        if not listing.count:
            raise
        incomplete = f"the archive breaks off ({type(error).__name__})"
    return Found({"format": "tar", **listing.values()}, incomplete)


def _tar_lines(archive: tarfile.TarFile) -> "Iterator[_Line]":
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined] # otherwise it remembers every one
        values = {
            "name": member.name,
            "size_bytes": member.size,
            "modified": _instant(member.mtime),
            "type": None if member.isreg() else _TAR_TYPES.get(member.type, "other"),
            "link": member.linkname,
        }
        yield _Line(values, member.size)


_TAR_TYPES = {
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symbolic link",
    tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
}


def _gzip_header(file: SourceFile) -> dict[str, object]:
    """RFC 1952, section 2.3."""
    head = file.at(0, 4096)
    if len(head) < _GZIP_HEADER.size:
        return {}
    _, flags, seconds, _, system = _GZIP_HEADER.unpack_from(head)
    at = _GZIP_HEADER.size
    if flags & _GZIP_EXTRA:
        at += 2 + int.from_bytes(head[at : at + 2], "little")
    texts = {}
    for flag, field in ((_GZIP_NAME, "original_name"), (_GZIP_COMMENT, "comment")):
        if flags & flag:
            text, _, _ = head[at:].partition(b"\0")
            at += len(text) + 1
            texts[field] = decoded(text)
    return without_gaps(
        {"modified": _instant(seconds) if seconds else None, "operating_system": system, **texts}
    )


def _instant(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class _Line:
    """One entry of a listing, and what counts toward the totals."""

    values: dict[str, object]
    size_bytes: int
    stored_bytes: int = 0
    is_encrypted: bool = False


class _Listing:
    """Counts every entry and keeps the first thousand, until it is late or has counted enough."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._lines: list[dict[str, object]] = []
        self._size_bytes = 0
        self._stored_bytes = 0
        self._encrypted = 0
        self.count = 0

    def take(self, lines: Iterable[_Line]) -> str | None:
        """Count the entries; returns why not all of them are listed, if so."""
        for line in islice(lines, ENTRIES_COUNTED_MAX):
            self.count += 1
            self._size_bytes += line.size_bytes
            self._stored_bytes += line.stored_bytes
            self._encrypted += line.is_encrypted
            if self.count <= ENTRIES_LISTED_MAX:
                self._lines.append(without_gaps(line.values))
            elif self.count % 256 == 0 and self._file.is_late:
                return "the time limit was reached; not all entries were counted"
        if self.count >= ENTRIES_COUNTED_MAX:
            return f"more than {ENTRIES_COUNTED_MAX} entries"
        if self.count > ENTRIES_LISTED_MAX:
            return f"only the first {ENTRIES_LISTED_MAX} entries are listed"
        return None

    def values(self) -> dict[str, object]:
        """The totals, and the entries."""
        ratio = self._size_bytes / self._stored_bytes if self._stored_bytes else 0.0
        return {
            "entries": self.count,
            "size_bytes": self._size_bytes,
            "encrypted_entries": self._encrypted,
            **({"suspicious_ratio": round(ratio)} if ratio > RATIO_SUSPICIOUS else {}),
            "listing": self._lines,
        }
