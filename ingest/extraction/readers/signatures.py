"""What libmagic does not know, or takes milliseconds to say: signatures of our own.

libmagic tries its hundreds of text patterns, most of them for programming languages, one
after the other and needs 0.5 to 3 ms for a plain text. Those are switched off, and the few
texts that matter as evidence are told apart here.
"""

import codecs
import re

HEAD_BYTES = 2048
ISO_9660_OFFSET = 32769  # of the first volume descriptor's identifier
PLAIN_TEXT = "text/plain"

# What libmagic knows by description only, by its first bytes.
_BINARY = (
    (b"EVF\x09\x0d\x0a\xff\x00", "application/x-ewf"),
    (b"LVF\x09\x0d\x0a\xff\x00", "application/x-ewf"),
    (b"EVF2\x0d\x0a\x81\x00", "application/x-ewf2"),
    (b"LEF2\x0d\x0a\x81\x00", "application/x-ewf2"),
    (b"SQLite format 3\x00", "application/x-sqlite3"),
    (b"OggS", "application/ogg"),
    (b"\xff\x0a", "image/jxl"),
)

# The first bytes of a text, white space and byte order mark aside, in any letter case.
_TEXTS = (
    (rb"<!doctype html|<html|<head|<body|<title", "text/html"),
    (rb"<\?xml[^>]*>\s*(?:<!--.*?-->\s*)*(?:<!doctype[^>]*>\s*)?<html", "application/xhtml+xml"),
    (rb"<\?xml[^>]*>\s*(?:<!--.*?-->\s*)*<kml", "application/vnd.google-earth.kml+xml"),
    (rb"<\?xml[^>]*>\s*(?:<!--.*?-->\s*)*<gpx", "application/gpx+xml"),
    (rb"<\?xml\s", "text/xml"),
    (rb"#!\s*/[^\n]*sh\b", "text/x-shellscript"),
    (rb"webvtt\b", "text/vtt"),
    (rb"\d+\r?\n\d\d:\d\d:\d\d,\d{3} --> ", "application/x-subrip"),
    (rb"-----begin certificate-----", "application/x-pem-file"),
    (rb"from \S+ +(?:mon|tue|wed|thu|fri|sat|sun) [^\n]*\n[!-9;-~]+:", "application/mbox"),
)
_TEXT_PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), media_type) for pattern, media_type in _TEXTS
)
# A message begins with header fields (RFC 5322), one of which only a message has.
_FIELDS = re.compile(rb"(?:[!-9;-~]{1,80}:[^\n]{0,2000}\n(?:[ \t][^\n]{0,2000}\n)*){2,}", re.ASCII)
_OF_A_MESSAGE = re.compile(
    rb"^(?:received|message-id|return-path|delivered-to|mime-version|x-mailer|dkim-signature):"
    rb"|^from:[^\n]*@",
    re.IGNORECASE | re.MULTILINE,
)
_BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_IN_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def binary_type(head: bytes, volume: bytes) -> str | None:
    """The media type by signature. `volume` is what stands at `ISO_9660_OFFSET`."""
    if volume.startswith(b"CD001"):
        return "application/x-iso9660-image"
    for signature, media_type in _BINARY:
        if head.startswith(signature):
            return media_type
    return None


def text_type(head: bytes) -> str | None:
    """The media type of a text by how it begins; None if it is no text."""
    if head.startswith(_BYTE_ORDER_MARKS):
        return PLAIN_TEXT
    if not head or _NOT_IN_TEXT.search(head):
        return None
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    for pattern, media_type in _TEXT_PATTERNS:
        if pattern.match(start):
            return media_type
    fields = _FIELDS.match(start)
    if fields and _OF_A_MESSAGE.search(fields[0]):
        return "message/rfc822"
    return PLAIN_TEXT
