"""A hardened reading of small XML documents: element names, texts and attributes; nothing else.

Document types are refused, and with them entities: no XML of an office document or of XMP
has one, and the billion-laughs document does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat  # the parser that stands behind every hardened wrapper

XML_BYTES_MAX = 4 * 1024 * 1024
ELEMENTS_MAX = 100_000


class RefusedXmlError(Exception):
    """The document has what such a document does not need, or too much of it."""


@dataclass(slots=True)
class Element:
    """An element by its local name and its parent's, with its text and attributes."""

    name: str
    parent: str
    attributes: dict[str, str]
    text: str = ""


def elements(document: bytes) -> Iterator[Element]:
    """The document's elements in the order in which they begin. Names are without prefix.

    Raises:
        RefusedXmlError: if it has a document type, or is too large.
        xml.parsers.expat.ExpatError: if it is not well-formed.
    """
    if len(document) > XML_BYTES_MAX:
        raise RefusedXmlError
    return iter(_Elements().parse(document))


def _local(name: str) -> str:
    return name.rpartition(":")[2]


class _Elements:
    def __init__(self) -> None:
        self._found: list[Element] = []
        self._open: list[Element] = []

    def parse(self, document: bytes) -> list[Element]:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.CharacterDataHandler = self._characters
        parser.EndElementHandler = self._end
        parser.Parse(document, True)  # noqa: FBT003 - expat's own signature
        return self._found

    def _refuse(self, *_: object) -> None:
        raise RefusedXmlError

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._found) >= ELEMENTS_MAX:
            raise RefusedXmlError
        parent = self._open[-1].name if self._open else ""
        local = {_local(key): value for key, value in attributes.items()}
        element = Element(_local(name), parent, local)
        self._found.append(element)
        self._open.append(element)

    def _characters(self, text: str) -> None:
        if self._open:
            self._open[-1].text += text

    def _end(self, _: str) -> None:
        self._open.pop()
