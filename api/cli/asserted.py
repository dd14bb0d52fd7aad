"""From what an officer types to what the officer asserts: options, fields and terms, checked.

Everything is checked before anything is read or written.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from evidence_store.errors import MalformedError
from evidence_store.identifiers import AuthorityId, PersonCode, Role
from evidence_store.item import Asserted
from evidence_store.kinds import EvidenceKind, FieldValue, checked_fields, field_from_text
from evidence_store.moment import UNKNOWN, Moment
from evidence_store.ports import Catalog
from evidence_store.provider import ProviderTerms, Purpose
from evidence_store.wording import named, stated

AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="AUTHORITY",
        help="The authority that acts, as in police-directorate; by default this instance's.",
    ),
]
CaseOption = Annotated[str, typer.Option(help="The case, as in SI-CASE-0001.")]
MethodOption = Annotated[
    str, typer.Option(help="How it was collected: tool, version, procedure; or 'unknown'.")
]
CollectedByOption = Annotated[
    str, typer.Option(help="Who collected it: a name, a code as in COL-0004, or 'unknown'.")
]
CollectedAtOption = Annotated[
    str,
    typer.Option(
        help="When, with zone and as exact as known: 2026-03-14T10:22:05+01:00, 2026-03-14Z, "
        "2026-03Z; or 'unknown'."
    ),
]
PlaceOption = Annotated[str, typer.Option(help="Where it was collected.")]
SourceOption = Annotated[
    str, typer.Option(help="From whom or what it came: a person's code, an organisation.")
]
TitleOption = Annotated[str | None, typer.Option(help="A neutral title, without names.")]
FieldOption = Annotated[
    list[str] | None,
    typer.Option("--field", help="NAME=VALUE of the kind's own fields; may be repeated."),
]
MetadataOption = Annotated[
    Path | None,
    typer.Option(help="A JSON object of the kind's own fields.", exists=True, dir_okay=False),
]
TermsOption = Annotated[
    Path | None,
    typer.Option(
        help="The provider's terms, as JSON: may_see, purposes, until, ask. Without it, it is "
        "recorded that there are none.",
        exists=True,
        dir_okay=False,
    ),
]

_FIELDS = TypeAdapter(dict[str, str | bool | int | list[str]])


class _Terms(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    may_see: list[str]
    purposes: list[str]
    until: str
    ask: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What was typed, checked, with the collector's name not yet turned into a code."""

    kind: EvidenceKind
    collected_by: str
    collected_at: Moment
    method: str
    place: str
    source: str
    title: str | None
    fields: dict[str, FieldValue]
    terms: ProviderTerms | None

    def asserted(self, catalog: Catalog) -> Asserted:
        """What is asserted, the collector entered among the people if new."""
        return Asserted(
            kind=self.kind,
            collected_by=_collector(catalog, self.collected_by),
            collected_at=self.collected_at,
            method=self.method,
            place=self.place,
            source=self.source,
            fields=self.fields,
            terms=self.terms,
            title=self.title,
        )


def statement(  # noqa: PLR0913 - one parameter for each thing an officer states
    *,
    kind: EvidenceKind,
    now: datetime,
    collected_by: str,
    collected_at: str,
    method: str,
    place: str,
    source: str,
    title: str | None = None,
    fields: Sequence[str] = (),
    metadata: Path | None = None,
    terms: Path | None = None,
) -> Statement:
    """Check what was typed.

    Raises:
        MalformedError: if anything is empty, of the wrong form, or in the future.
    """
    return Statement(
        kind=kind,
        collected_by=named(collected_by, "collected-by", unknown=True),
        collected_at=Moment.parse(collected_at).not_after(now),
        method=stated(method, "method", unknown=True),
        place=named(place, "place", unknown=True),
        source=named(source, "source", unknown=True),
        title=None if title is None else named(title, "title"),
        fields=_fields(kind, fields, metadata),
        terms=None if terms is None else _terms(terms),
    )


def kind_named(text: str) -> EvidenceKind:
    """The kind of this name.

    Raises:
        MalformedError: if there is none.
    """
    try:
        return EvidenceKind(text)
    except ValueError:
        names = ", ".join(EvidenceKind)
        raise MalformedError(f"kind: expected one of {names}; found {text[:80]!r}") from None


def _fields(
    kind: EvidenceKind, typed: Sequence[str], metadata: Path | None
) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {}
    if metadata is not None:
        try:
            fields.update(_FIELDS.validate_python(_json(metadata), strict=True))
        except ValidationError as error:
            raise MalformedError(f"{metadata.name}: {_first(error)}") from None
    for each in typed:
        name, equals, text = each.partition("=")
        if not equals:
            raise MalformedError(f"field: expected NAME=VALUE, found {each[:80]!r}")
        fields[name] = field_from_text(kind, name, text)
    return checked_fields(kind, fields)


def _terms(file: Path) -> ProviderTerms:
    try:
        read = _Terms.model_validate(_json(file))
    except ValidationError as error:
        raise MalformedError(f"{file.name}: {_first(error)}") from None
    unknown = [each for each in read.purposes if each not in set(Purpose)]
    if unknown:
        raise MalformedError(
            f"terms: purposes: expected some of {', '.join(Purpose)}; found {unknown[0][:80]!r}"
        )
    return ProviderTerms(
        may_see=tuple(read.may_see),
        purposes=tuple(map(Purpose, read.purposes)),
        until=Moment.parse(read.until),
        ask=read.ask,
    )


def _json(file: Path) -> Any:  # noqa: ANN401 - whatever the file holds; validated by the caller
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{file.name}: expected JSON; {error}") from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"


def _collector(catalog: Catalog, text: str) -> PersonCode:
    try:
        code = PersonCode.parse(text)
    except MalformedError:
        with catalog.write() as writer:
            return writer.person_named(Role.COLLECTOR, text).code
    with catalog.read() as reader:
        return reader.person(code).code


DEFAULT_STATED = UNKNOWN  # for what an officer may leave out: recorded as not known


def acting(authority: str | None) -> AuthorityId | None:
    """The authority that was named, if one was.

    Raises:
        MalformedError: if it is not the form of one.
    """
    return None if authority is None else AuthorityId(authority)
