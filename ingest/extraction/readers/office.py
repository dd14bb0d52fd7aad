"""What OOXML (ECMA-376) and OpenDocument (ISO/IEC 26300) files say of themselves.

Reads the property parts only, by the archive's directory, never the text of the document.
"""

import sys
from collections.abc import Mapping
from xml.parsers.expat import ExpatError

from ingest.extraction.reader import Found, without_gaps
from ingest.extraction.readers import xml, zips
from ingest.extraction.source import SourceFile
from ingest.extraction.wire import Tool

TOOL = Tool("python", ".".join(map(str, sys.version_info[:3])))
ENTRIES_MAX = 20_000
CUSTOM_PROPERTIES_MAX = 100
_FAMILIES = (
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
    "application/epub+zip",
)
_PARTS = frozenset({"docProps/core.xml", "docProps/app.xml", "docProps/custom.xml", "meta.xml"})
_SIGNATURES = ("_xmlsignatures/", "META-INF/documentsignatures.xml")

_NAMES: Mapping[str, str] = {
    "title": "title",
    "subject": "subject",
    "creator": "creator",
    "initial-creator": "initial_creator",
    "lastModifiedBy": "last_modified_by",
    "keywords": "keywords",
    "keyword": "keywords",
    "description": "description",
    "category": "category",
    "created": "created",
    "creation-date": "created",
    "modified": "modified",
    "date": "modified",
    "lastPrinted": "last_printed",
    "print-date": "last_printed",
    "printed-by": "printed_by",
    "revision": "revision",
    "editing-cycles": "revision",
    "editing-duration": "editing_duration",
    "version": "version",
    "language": "language",
    "Application": "application",
    "AppVersion": "application_version",
    "generator": "application",
    "Company": "company",
    "Manager": "manager",
    "Template": "template",
    "TotalTime": "editing_minutes",
    "Pages": "pages",
    "Words": "words",
    "Characters": "characters",
    "Slides": "slides",
    "Paragraphs": "paragraphs",
}


def matches(media_type: str, source_name: bytes) -> bool:  # noqa: ARG001 - as every reader's
    """See `Reader.matches`."""
    return media_type.startswith(_FAMILIES)


def read(file: SourceFile) -> Found:
    """See `Reader.read`."""
    values: dict[str, object] = {}
    custom: dict[str, object] = {}
    problems: list[str] = []
    for number, entry in enumerate(zips.entries(file)):
        if number >= ENTRIES_MAX:
            problems.append(f"only the first {ENTRIES_MAX} parts were looked at")
            break
        if entry.name.endswith(("vbaProject.bin", "Basic/script-lc.xml")):
            values["macros"] = True
        if entry.name.startswith(_SIGNATURES):
            values["signatures_present"] = True
        if entry.name in _PARTS:
            try:
                document = zips.content(file, entry, xml.XML_BYTES_MAX)
                _take(document, values, custom)
            except (zips.BadZipError, xml.RefusedXmlError, ExpatError) as error:
                problems.append(f"a property part was refused ({type(error).__name__})")
    return Found(without_gaps({**values, "custom": custom}), "; ".join(problems) or None)


def _take(document: bytes, values: dict[str, object], custom: dict[str, object]) -> None:
    for element in xml.elements(document):
        text = element.text.strip()
        if element.name == "document-statistic":
            values |= {name.replace("-", "_"): value for name, value in element.attributes.items()}
        elif element.name == "user-defined" or element.parent == "property":
            _take_custom(element, text, custom)
        elif element.name == "property":
            custom.setdefault(element.attributes.get("name", ""), "")
        elif element.name in _NAMES and text:
            values.setdefault(_NAMES[element.name], text)


def _take_custom(element: xml.Element, text: str, custom: dict[str, object]) -> None:
    """ODF names the value; OOXML names the property, and the value is its child."""
    if len(custom) > CUSTOM_PROPERTIES_MAX:
        return
    if element.name == "user-defined":
        custom[element.attributes.get("name", "")] = text
    elif custom:
        custom[next(reversed(custom))] = text
