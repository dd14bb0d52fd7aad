"""Compound files (MS-CFB): Word, Excel and PowerPoint of before 2007, and Outlook messages.

`olefile` reads the directory and the property streams; macros and text are not looked at.
"""

import hashlib
import re

import olefile  # type: ignore[import-untyped] # has no types

from ingest.extraction.reader import Found, Values, without_gaps
from ingest.extraction.source import SourceFile
from ingest.extraction.tidy import decoded
from ingest.extraction.wire import Tool

TOOL = Tool("olefile", olefile.__version__)
MEDIA_TYPE = "application/x-ole-storage"
OUTLOOK = "application/vnd.ms-outlook"
STREAM_BYTES_MAX = 64 * 1024 * 1024
RECIPIENTS_MAX = ATTACHMENTS_MAX = 500

# The stream that only files of the type have, in order of precedence.
_STREAMS = (
    ("__properties_version1.0", OUTLOOK),
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("Book", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
)
_TYPES = frozenset({MEDIA_TYPE, *(media_type for _, media_type in _STREAMS)})
_UNICODE, _BYTES = "001F", "001E"  # property types of MS-OXCDATA

# Property identifiers of MS-OXPROPS.
_OF_MESSAGE = {
    "subject": "0037",
    "from_name": "0C1A",
    "from_address": "5D01",
    "sender_address": "0C1F",
    "display_to": "0E04",
    "display_cc": "0E03",
    "display_bcc": "0E02",
    "message_id": "1035",
    "in_reply_to": "1042",
}
_TRANSPORT_HEADERS = "007D"
_DATE_LINE = re.compile(r"^Date:[ \t]*([^\r\n]{1,200})", re.MULTILINE | re.IGNORECASE)


def matches(media_type: str, source_name: bytes) -> bool:  # noqa: ARG001 - as every reader's
    """See `Reader.matches`."""
    return media_type in _TYPES


def media_type(file: SourceFile) -> str:
    """What sort of compound file it is, by its directory.

    Raises:
        Exception: whatever `olefile` raises.
    """
    file.seek(0)
    with olefile.OleFileIO(file) as compound:
        for stream, found in _STREAMS:
            if compound.exists(stream):
                return found
    return MEDIA_TYPE


def read(file: SourceFile) -> Found:
    """See `Reader.read`."""
    file.seek(0)
    with olefile.OleFileIO(file) as compound:
        if compound.exists(_STREAMS[0][0]):
            return _message(compound)
        return Found({**_properties(compound), "macros": _has_macros(compound)})


def _properties(compound: olefile.OleFileIO) -> Values:
    metadata = compound.get_metadata()
    names = (*metadata.SUMMARY_ATTRIBS, *metadata.DOCSUM_ATTRIBS)
    skipped = {"thumbnail", "heading_pairs", "titles_of_parts", "hlinks", "dig_sig", "unused"}
    return without_gaps({name: getattr(metadata, name) for name in names if name not in skipped})


def _has_macros(compound: olefile.OleFileIO) -> bool:
    return any(compound.exists(path) for path in ("Macros/VBA", "_VBA_PROJECT_CUR", "VBA"))


def _message(compound: olefile.OleFileIO) -> Found:
    values: dict[str, object] = {
        name: _text(compound, "", identifier) for name, identifier in _OF_MESSAGE.items()
    }
    headers = _text(compound, "", _TRANSPORT_HEADERS) or ""
    date = _DATE_LINE.search(headers)
    values["date"] = date[1] if date else None
    folders = sorted({path[0] for path in compound.listdir(streams=True) if len(path) > 1})
    recipients = [name for name in folders if name.startswith("__recip_version1.0_")]
    attachments = [name for name in folders if name.startswith("__attach_version1.0_")]
    values["recipients"] = [
        _text(compound, f"{name}/", "39FE") or _text(compound, f"{name}/", "3003")
        for name in recipients[:RECIPIENTS_MAX]
    ]
    values["attachments"] = [
        _attachment(compound, f"{name}/") for name in attachments[:ATTACHMENTS_MAX]
    ]
    cut = len(attachments) > ATTACHMENTS_MAX or len(recipients) > RECIPIENTS_MAX
    return Found(without_gaps(values), "not all recipients or attachments" if cut else None)


def _attachment(compound: olefile.OleFileIO, folder: str) -> Values:
    stream = f"{folder}__substg1.0_37010102"
    content = _stream(compound, stream)
    return without_gaps(
        {
            "name": _text(compound, folder, "3707") or _text(compound, folder, "3704"),
            "media_type": _text(compound, folder, "370E"),
            "size_bytes": None if content is None else len(content),
            "sha256": None if content is None else hashlib.sha256(content).hexdigest(),
        }
    )


def _text(compound: olefile.OleFileIO, folder: str, identifier: str) -> str | None:
    unicode = _stream(compound, f"{folder}__substg1.0_{identifier}{_UNICODE}")
    if unicode is not None:
        return unicode.decode("utf-16-le", "replace").rstrip("\0")
    raw = _stream(compound, f"{folder}__substg1.0_{identifier}{_BYTES}")
    return None if raw is None else decoded(raw)


def _stream(compound: olefile.OleFileIO, path: str) -> bytes | None:
    if not compound.exists(path) or compound.get_size(path) > STREAM_BYTES_MAX:
        return None
    with compound.openstream(path) as stream:
        content: bytes = stream.read(STREAM_BYTES_MAX)
        return content
