"""E-mail as it travelled (RFC 5322, MIME): header fields, and attachments by their digests.

Decoded attachments are digested so that a file elsewhere can be matched with the message that
brought it; they are not kept. Text is not read. Outlook's own format is in `ole`.
"""

import email
import hashlib
import sys
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.message import Message
from email.policy import compat32
from email.utils import parsedate_to_datetime

from ingest.extraction.reader import Found, Values, without_gaps
from ingest.extraction.source import SourceFile
from ingest.extraction.wire import Tool

TOOL = Tool("python", ".".join(map(str, sys.version_info[:3])))
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
PARTS_MAX = 1_000
FIELD_CHARACTERS_MAX = 8_000
RECEIVED_MAX = 50

_FIELDS = (
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Return-Path",
    "X-Originating-IP",
    "X-Mailer",
    "User-Agent",
    "Authentication-Results",
)


def matches(media_type: str, source_name: bytes) -> bool:  # noqa: ARG001 - as every reader's
    """See `Reader.matches`."""
    return media_type == "message/rfc822"


def read(file: SourceFile) -> Found:
    """See `Reader.read`."""
    content = file.at(0, MESSAGE_BYTES_MAX)
    message = email.message_from_bytes(content, policy=compat32)
    values: dict[str, object] = {
        name.lower().replace("-", "_"): _field(message, name) for name in _FIELDS
    }
    values["date_utc"] = _instant(message)
    values["received"] = [_decoded(line) for line in message.get_all("Received", [])][:RECEIVED_MAX]
    values["dkim_signature_present"] = "DKIM-Signature" in message
    values["content_type"] = message.get_content_type()
    incomplete = None
    if file.size_bytes > MESSAGE_BYTES_MAX:
        incomplete = f"only the first {MESSAGE_BYTES_MAX} bytes were read"
    attachments: list[Values] = []
    for number, part in enumerate(message.walk()):
        if number >= PARTS_MAX or file.is_late:
            incomplete = f"not all parts were looked at, only {number}"
            break
        attachments += _attachment(part)
    return Found(without_gaps({**values, "attachments": attachments}), incomplete)


def _attachment(part: "Message[str, str]") -> Iterator[Values]:
    name = part.get_filename()
    if part.is_multipart() or (name is None and part.get_content_disposition() != "attachment"):
        return
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return
    yield without_gaps(
        {
            "name": _decoded(name or ""),
            "media_type": part.get_content_type(),
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    )


def _field(message: "Message[str, str]", name: str) -> str | None:
    values = message.get_all(name, [])
    return _decoded(", ".join(str(value) for value in values)) if values else None


def _decoded(value: object) -> str:
    """The field with its encoded words (RFC 2047) read, or as it stands where they are broken."""
    text = str(value)[:FIELD_CHARACTERS_MAX]
    try:
        return str(make_header(decode_header(text)))
    except (ValueError, LookupError, UnicodeError):
        return text


def _instant(message: "Message[str, str]") -> str | None:
    try:
        return parsedate_to_datetime(str(message["Date"])[:200]).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
