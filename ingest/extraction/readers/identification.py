"""What a file is, by its content: libmagic, with the containers looked into.

libmagic comes as a wheel with its database. It gets the first 2 KiB, and where a container's
own type says little, its directory decides. The file's name decides nothing.
"""

import ctypes
from itertools import islice

import pylibmagic  # noqa: F401 - before `magic`, which it shows the way to its library

import magic  # isort: skip
from ingest.extraction.reader import Values
from ingest.extraction.readers import compressed, names, ole, signatures, web, zips
from ingest.extraction.source import SourceFile, extension
from ingest.extraction.wire import UNIDENTIFIED, Identity, Tool, is_media_type

_VERSION: int = magic.magic_version()
TOOL = Tool("libmagic", f"{_VERSION // 100}.{_VERSION % 100}")
_NO_CHECK_TEXT = 0x020000  # magic.h: the patterns that are only for texts
NAMES_MAX = 2_000
_types = magic.Magic(mime=True)
magic.magic_setflags(_types.cookie, magic.MAGIC_MIME_TYPE | _NO_CHECK_TEXT)
_descriptions = magic.Magic()
_UNSAID = frozenset({"data", ""})

# pylibmagic looks for every library beside its own first, with calls that the sandbox refuses.
ctypes.CDLL.__init__ = ctypes.CDLL.__init_orig__  # type: ignore[attr-defined, method-assign] # undoes pylibmagic's own patch

_MARKS_OF_ZIPS = (  # the member that only archives of the type have, in order of precedence
    (
        "word/document.xml",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("xl/workbook.xml", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xl/workbook.bin", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (
        "ppt/presentation.xml",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("AndroidManifest.xml", "application/vnd.android.package-archive"),
    (web.PACKAGE, web.WACZ),
    ("META-INF/MANIFEST.MF", "application/java-archive"),
)
_MIMETYPE_PREFIXES = ("application/vnd.oasis.opendocument.", "application/epub+zip")


def identify(file: SourceFile) -> Identity:
    """What the file is, and whether its name says otherwise."""
    head = file.at(0, signatures.HEAD_BYTES)
    media_type = _media_type(file, head)
    mismatch = names.contradicts(media_type, extension(file.source_name))
    return Identity(media_type, mismatch)


def describe(file: SourceFile) -> Values:
    """The type in words, for files about which nothing more is read."""
    text = _descriptions.from_buffer(file.at(0, signatures.HEAD_BYTES))
    return {} if text in _UNSAID else {"description": text}


def _media_type(file: SourceFile, head: bytes) -> str:
    said = _types.from_buffer(head).lower()
    media_type: str = said if is_media_type(said) else UNIDENTIFIED
    if media_type == UNIDENTIFIED:
        volume = b""
        if file.size_bytes > signatures.ISO_9660_OFFSET:
            volume = file.at(signatures.ISO_9660_OFFSET, 5)
        media_type = (
            signatures.binary_type(head, volume) or signatures.text_type(head) or media_type
        )
    try:
        if head.startswith(b"PK\x03\x04"):
            return _zip_type(file)
        if head.startswith(b"\xd0\xcf\x11\xe0"):
            return ole.media_type(file)
        if media_type == "application/gzip" and _inflated_head(file).startswith(b"WARC/"):
            return web.WARC
    except Exception:  # noqa: BLE001, S110 - a broken container is still what it begins as
        pass
    return ole.MEDIA_TYPE if media_type == "application/cdfv2" else media_type


def _zip_type(file: SourceFile) -> str:
    """By its members: the order in which they stand, which libmagic goes by, is up to the maker."""
    found = {entry.name: entry for entry in islice(zips.entries(file), NAMES_MAX)}
    if "mimetype" in found:
        stated = zips.content(file, found["mimetype"], 200).decode("ascii").strip()
        if stated.startswith(_MIMETYPE_PREFIXES):
            return stated
    for member, media_type in _MARKS_OF_ZIPS:
        if member in found:
            return media_type
    return "application/zip"


def _inflated_head(file: SourceFile) -> bytes:
    buffer = bytearray(5)
    compressed.Inflated(file, "application/gzip", bytes_max=64).readinto(buffer)
    return bytes(buffer)
