"""Copies that carry their identity: a mark inside the file, where its format has a place for one.

A marked copy has another digest than the evidence; it is for viewing, and its own digest is
recorded. JPEG (a comment segment, ITU-T T.81 B.2.4.5), PNG (a tEXt chunk, PNG 11.3.3.3), PDF (a
comment behind the end, ISO 32000-1 7.2.3). Of other formats the copy stays as it is.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

MARK = b"evidence-copy:"
_FIND = re.compile(re.escape(MARK) + rb"([0-9a-f]{32})")
_PNG_START = 8 + 25  # the signature and the header chunk
_JPEG_START = 2


def marked(content: Iterator[bytes], media_type: str, copy_id: str) -> Iterator[bytes]:
    """The content with the mark in it; as it is, if the format has no place for one."""
    mark = MARK + copy_id.encode()
    if media_type == "application/pdf":
        yield from content
        yield b"\n% " + mark + b"\n"
        return
    insertion = _INSERTIONS.get(media_type)
    if insertion is None:
        yield from content
        return
    start, made = insertion
    head = b""
    for chunk in content:
        head += chunk
        if len(head) >= start:
            yield head[:start] + made(mark) + head[start:]
            break
    else:
        yield head
        return
    yield from content


def marks_in(chunks: Iterator[bytes]) -> list[str]:
    """The identities of the copies that the content carries marks of; memory is bounded."""
    found: dict[str, None] = {}
    rest = b""
    for chunk in chunks:
        window = rest + chunk
        found.update(dict.fromkeys(each.decode() for each in _FIND.findall(window)))
        rest = window[-(len(MARK) + 32) :]
    return list(found)


def _jpeg(mark: bytes) -> bytes:
    return b"\xff\xfe" + struct.pack(">H", len(mark) + 2) + mark


def _png(mark: bytes) -> bytes:
    body = b"tEXtComment\0" + mark
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


_INSERTIONS: Mapping[str, tuple[int, Callable[[bytes], bytes]]] = {
    "image/jpeg": (_JPEG_START, _jpeg),
    "image/png": (_PNG_START, _png),
}
