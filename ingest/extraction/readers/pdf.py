"""What a PDF (ISO 32000) says of itself: the information dictionary, XMP, pages, signatures.

`pypdf` does the parsing, with its own limits on nesting, sizes and recovery. Nothing is
rendered, no text is read, and no password is tried but the empty one.
"""

from collections.abc import Mapping

from pypdf import PdfReader, __version__
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject, StreamObject

from ingest.extraction.reader import Found, Values, without_gaps
from ingest.extraction.readers import xml
from ingest.extraction.source import SourceFile
from ingest.extraction.wire import Tool

TOOL = Tool("pypdf", __version__)
FIELDS_MAX = 10_000
ENTRIES_MAX = 50
NAMES_XMP: Mapping[str, str] = {
    "CreateDate": "create_date",
    "ModifyDate": "modify_date",
    "MetadataDate": "metadata_date",
    "CreatorTool": "creator_tool",
    "Producer": "producer",
    "DocumentID": "document_id",
    "InstanceID": "instance_id",
    "OriginalDocumentID": "original_document_id",
}
_BROKEN = (PyPdfError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)


def matches(media_type: str, source_name: bytes) -> bool:  # noqa: ARG001 - as every reader's
    """See `Reader.matches`."""
    return media_type == "application/pdf"


def read(file: SourceFile) -> Found:
    """See `Reader.read`."""
    version = file.at(0, 16).partition(b"%PDF-")[2][:3]
    file.seek(0)
    document = PdfReader(file, strict=False)
    values: dict[str, object] = {"pdf_version": version, "encrypted": document.is_encrypted}
    problems: list[str] = []
    for part in (_information, _xmp, _pages, _form):
        try:
            values |= part(document)
        except _BROKEN as error:
            problems.append(f"{part.__name__.strip('_')}: {type(error).__name__}")
    return Found(without_gaps(values), "; ".join(problems) or None)


def _information(document: PdfReader) -> Values:
    """The dates as written: PDF readers disagree about broken ones, and a claim is a text."""
    information: Mapping[str, object] = document.metadata or {}
    found: dict[str, str] = {}
    for number, (name, value) in enumerate(information.items()):
        if number >= ENTRIES_MAX:
            break
        found[str(name).lstrip("/")] = str(value)
    return {"information": found}


def _xmp(document: PdfReader) -> Values:
    stream = document.root_object.get("/Metadata")
    stream = stream.get_object() if stream is not None else None
    if not isinstance(stream, StreamObject):
        return {}
    found: dict[str, str] = {}
    for element in xml.elements(stream.get_data()):
        for name, text in ((element.name, element.text), *element.attributes.items()):
            if name in NAMES_XMP and text.strip():
                found.setdefault(NAMES_XMP[name], text.strip())
    return {"xmp": found}


def _pages(document: PdfReader) -> Values:
    """The number that the root of the page tree states; walking the tree is a way to be held up."""
    pages = document.root_object["/Pages"]
    count = pages.get("/Count") if isinstance(pages, DictionaryObject) else None
    if not isinstance(count, int):
        raise PyPdfError
    return {"pages": int(count)}


def _form(document: PdfReader) -> Values:
    """Whether there are signatures and forms. Signatures are not verified here."""
    root = document.root_object
    form = root.get("/AcroForm")
    form = form.get_object() if form is not None else None
    names = root.get("/Names")
    names = names.get_object() if names is not None else None
    found: dict[str, object] = {
        "javascript": isinstance(names, DictionaryObject) and "/JavaScript" in names,
        "attachments_present": "/AF" in root
        or (isinstance(names, DictionaryObject) and "/EmbeddedFiles" in names),
    }
    if isinstance(form, DictionaryObject):
        found["xfa_form"] = "/XFA" in form
        found["signatures"] = _signatures(form.get("/Fields"))
    return {name: value for name, value in found.items() if value}


def _signatures(fields: object) -> int:
    fields = fields.get_object() if hasattr(fields, "get_object") else fields
    if not isinstance(fields, ArrayObject):
        return 0
    count = 0
    for field in fields[:FIELDS_MAX]:
        entry = field.get_object()
        if isinstance(entry, DictionaryObject) and entry.get("/FT") == "/Sig" and "/V" in entry:
            count += 1
    return count
