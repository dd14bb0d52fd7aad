"""Kinds of evidence, and the fields each may carry, as one table a lawyer can review.

A field that was not recorded stays absent and is listed as such: people who are
forced to fill a form invent values, and that is worse than a gap. The word
"unknown" is a value; an empty string is not. Nothing here says what a file's
*own* metadata claims: that is `claims`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from evidence_store.errors import MalformedError
from evidence_store.identifiers import Ern
from evidence_store.moment import UNKNOWN, Moment
from evidence_store.wording import stated

FieldValue = str | int | bool | list[str]
LIST_ENTRIES_MAX = 1_000


class EvidenceKind(StrEnum):
    """What sort of evidence an item is."""

    WITNESS_STATEMENT = "witness_statement"
    PHYSICAL_EXHIBIT = "physical_exhibit"
    FORENSIC_IMAGE = "forensic_image"
    PHOTO = "photo"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    OPEN_SOURCE_CAPTURE = "open_source_capture"
    COMMUNICATIONS_DATA = "communications_data"
    MEDICAL_REPORT = "medical_report"
    SATELLITE_IMAGE = "satellite_image"
    EXPERT_REPORT = "expert_report"
    UNKNOWN = "unknown"


class FieldType(StrEnum):
    """What may stand in a field. `UNKNOWN` is allowed in every one."""

    TEXT = "text"
    TEXTS = "list of texts"
    NUMBER = "whole number"
    YES_NO = "yes or no"
    MOMENT = "time with zone"
    ERN = "ERN"
    ERNS = "list of ERNs"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a kind. Sensitive fields are closed by default in any share."""

    name: str
    type: FieldType = FieldType.TEXT
    choices: frozenset[str] = frozenset()
    sensitive: bool = False
    required: bool = False


def _choice(name: str, choices: str, *, sensitive: bool = False, required: bool = False) -> Field:
    return Field(name, choices=frozenset(choices.split()), sensitive=sensitive, required=required)


def _secret(name: str, of: FieldType = FieldType.TEXT) -> Field:
    return Field(name, of, sensitive=True)


_RECORDING = (
    Field("device_make"),
    Field("device_model"),
    Field("claimed_time", FieldType.MOMENT),
    Field("claimed_place"),
    Field("uploader"),
    Field("first_seen", FieldType.MOMENT),
    _choice("edited", "yes no unknown"),
    _secret("faces_present", FieldType.YES_NO),
    Field("verification_report", FieldType.ERN),
)

FIELDS: Mapping[EvidenceKind, tuple[Field, ...]] = {
    EvidenceKind.WITNESS_STATEMENT: (
        _secret("person"),
        _choice("capacity", "witness victim suspect expert insider unknown"),
        _choice("statement_type", "first_account investigative judicial addendum unknown"),
        Field("rights_caution", FieldType.YES_NO),
        Field("oath", FieldType.YES_NO),
        Field("language"),
        Field("interviewers", FieldType.TEXTS),
        _secret("interpreter"),
        _secret("present", FieldType.TEXTS),
        Field("started", FieldType.MOMENT),
        Field("ended", FieldType.MOMENT),
        Field("read_back", FieldType.YES_NO),
        Field("signed_pages", FieldType.NUMBER),
        Field("exhibits_shown", FieldType.ERNS),
        _secret("prior_statements", FieldType.TEXTS),
        Field("recording", FieldType.ERN),
        Field("transcript", FieldType.ERN),
        Field("correction_of", FieldType.ERN),
        _secret("vulnerability"),
        Field("consent"),
    ),
    EvidenceKind.PHYSICAL_EXHIBIT: (
        Field("seal_numbers", FieldType.TEXTS, required=True),
        Field("container", required=True),
        Field("condition", required=True),
        Field("category"),
        Field("quantity", FieldType.NUMBER),
        Field("dimensions"),
        Field("marks"),
        Field("found_at"),
        Field("packaging"),
        Field("hazards", FieldType.TEXTS),
        Field("storage_requirements"),
        Field("owner"),
        Field("return_to"),
        Field("photographs", FieldType.ERNS),
    ),
    EvidenceKind.FORENSIC_IMAGE: (
        Field("source_device", FieldType.ERN),
        Field("interface"),
        Field("write_blocker"),
        Field("acquisition_tool"),
        _choice("format", "E01 AFF4 raw logical unknown"),
        Field("segments", FieldType.NUMBER),
        Field("acquisition_digest"),
        Field("bad_sectors", FieldType.NUMBER),
        _choice("encryption", "none locked unlocked unknown"),
        _choice("extent", "complete partial unknown"),
    ),
    EvidenceKind.PHOTO: _RECORDING,
    EvidenceKind.VIDEO: _RECORDING,
    EvidenceKind.AUDIO: (*_RECORDING, Field("speakers", sensitive=True)),
    EvidenceKind.DOCUMENT: (
        Field("author"),
        Field("issuer"),
        Field("date_on_document", FieldType.MOMENT),
        Field("reference_number"),
        Field("recipients", FieldType.TEXTS),
        Field("stamps_signatures"),
        Field("language"),
        Field("pages", FieldType.NUMBER),
        Field("found_in_context"),
        Field("authenticity_assessment"),
    ),
    EvidenceKind.OPEN_SOURCE_CAPTURE: (
        Field("target_url"),
        Field("final_url"),
        Field("account"),
        Field("post_id"),
        Field("posted_at", FieldType.MOMENT),
        Field("captured_at", FieldType.MOMENT),
        Field("capture_tool"),
        _secret("machine_address"),
        _secret("virtual_identity"),
        Field("third_party_archive_url"),
        _choice("content_present", "yes no unclear unknown"),
        Field("takedown_risk", FieldType.YES_NO),
    ),
    EvidenceKind.COMMUNICATIONS_DATA: (
        Field("authorisation"),
        Field("interception_point"),
        Field("operator"),
        _secret("target_selector"),
        Field("period_start", FieldType.MOMENT),
        Field("period_end", FieldType.MOMENT),
        Field("record_count", FieldType.NUMBER),
        Field("decryption"),
        Field("speaker_attribution"),
        Field("operator_certificate", FieldType.ERN),
        Field("minimisation_applied", FieldType.YES_NO),
    ),
    EvidenceKind.MEDICAL_REPORT: (
        Field("body_or_case_number"),
        Field("exhumation_site", FieldType.ERN),
        Field("sample_type"),
        Field("parent_sample", FieldType.ERN),
        Field("laboratory"),
        Field("accreditation"),
        Field("method_kit"),
        _secret("profile", FieldType.ERN),
        Field("match_statistics"),
        _secret("reference_donor"),
        Field("pathologist"),
        Field("cause_of_death"),
        Field("consistency_with_account"),
    ),
    EvidenceKind.SATELLITE_IMAGE: (
        Field("provider"),
        Field("sensor"),
        Field("acquired_at", FieldType.MOMENT),
        Field("product_id"),
        Field("processing_level"),
        Field("resolution"),
        Field("cloud_percent", FieldType.NUMBER),
        Field("footprint"),
        _secret("licence_terms"),
        Field("paired_with", FieldType.ERN),
        Field("analyst_report", FieldType.ERN),
    ),
    EvidenceKind.EXPERT_REPORT: (
        Field("expert"),
        Field("mandate"),
        Field("questions", FieldType.TEXTS),
        Field("items_examined", FieldType.ERNS),
        Field("methods"),
        Field("limits"),
        Field("conclusion_scale"),
        Field("signed", FieldType.YES_NO),
    ),
    EvidenceKind.UNKNOWN: (),
}


_KIND_OF_TYPE = {
    "application/x-ewf": EvidenceKind.FORENSIC_IMAGE,
    "application/warc": EvidenceKind.OPEN_SOURCE_CAPTURE,
    "application/wacz": EvidenceKind.OPEN_SOURCE_CAPTURE,
    "application/pdf": EvidenceKind.DOCUMENT,
    "application/msword": EvidenceKind.DOCUMENT,
    "application/rtf": EvidenceKind.DOCUMENT,
    "message/rfc822": EvidenceKind.DOCUMENT,
}
_KIND_OF_FAMILY = {
    "image/": EvidenceKind.PHOTO,
    "video/": EvidenceKind.VIDEO,
    "audio/": EvidenceKind.AUDIO,
    "text/": EvidenceKind.DOCUMENT,
    "application/vnd.": EvidenceKind.DOCUMENT,
}


def kind_of(media_type: str) -> EvidenceKind:
    """The kind that content of this type usually is, where the officer stated none."""
    if media_type in _KIND_OF_TYPE:
        return _KIND_OF_TYPE[media_type]
    for family, kind in _KIND_OF_FAMILY.items():
        if media_type.startswith(family):
            return kind
    return EvidenceKind.UNKNOWN


def checked_fields(kind: EvidenceKind, given: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """The given fields in the table's order, each held to its type.

    Raises:
        MalformedError: if a field is not of this kind, is of the wrong type, is empty, or if a
            required one is missing.
    """
    table = {field.name: field for field in FIELDS[kind]}
    foreign = sorted(given.keys() - table.keys())
    if foreign:
        raise MalformedError(
            f"{kind}: expected fields among {', '.join(table) or 'none'}", found=foreign[0]
        )
    missing = [name for name, field in table.items() if field.required and name not in given]
    if missing:
        raise MalformedError(
            f"{kind}: the field {missing[0]!r} is required; write {UNKNOWN!r} if it is not known"
        )
    return {name: _checked(field, given[name]) for name, field in table.items() if name in given}


def not_recorded(kind: EvidenceKind, given: Mapping[str, FieldValue]) -> list[str]:
    """The kind's fields for which nothing was recorded, in the table's order."""
    return [field.name for field in FIELDS[kind] if field.name not in given]


def _checked(field: Field, value: FieldValue) -> FieldValue:
    if value == UNKNOWN:
        return value
    match field.type, value:
        case (FieldType.TEXT | FieldType.MOMENT | FieldType.ERN, str() as text):
            return _checked_text(field, text)
        case (FieldType.YES_NO, bool()):
            return value
        case (FieldType.NUMBER, int()) if not isinstance(value, bool):
            return value
        case (FieldType.TEXTS | FieldType.ERNS, list() as entries):
            return _checked_list(field, entries)
        case _:
            raise MalformedError(
                f"{field.name}: expected {field.type}, found {type(value).__name__}"
            )


def _checked_text(field: Field, text: str) -> str:
    text = stated(text, field.name, unknown=True)
    if field.type is FieldType.MOMENT:
        return str(Moment.parse(text))
    if field.type in {FieldType.ERN, FieldType.ERNS}:
        return str(Ern.parse(text))
    if field.choices and text not in field.choices:
        choices = ", ".join(sorted(field.choices))
        raise MalformedError(f"{field.name}: expected one of {choices}", found=text)
    return text


def _checked_list(field: Field, entries: list[str]) -> list[str]:
    if len(entries) > LIST_ENTRIES_MAX:
        raise MalformedError(
            f"{field.name}: expected at most {LIST_ENTRIES_MAX} entries, found {len(entries)}"
        )
    return [_checked_text(field, entry) for entry in entries]


def field_from_text(kind: EvidenceKind, name: str, text: str) -> FieldValue:
    """Read one field as typed on a command line: lists part at commas, `yes` and `no` are yes/no.

    Only the spelling is read here; `checked_fields` holds the value to the field's rules.

    Raises:
        MalformedError: if the kind has no such field or the text is not of its type.
    """
    field = next((field for field in FIELDS[kind] if field.name == name), None)
    if field is None:
        names = ", ".join(field.name for field in FIELDS[kind]) or "none"
        raise MalformedError(f"{kind}: expected fields among {names}", found=name)
    match field.type:
        case _ if text == UNKNOWN:
            return text
        case FieldType.TEXTS | FieldType.ERNS:
            return [part.strip() for part in text.split(",")]
        case FieldType.NUMBER if re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
            return int(text)
        case FieldType.YES_NO if text in {"yes", "no"}:
            return text == "yes"
        case FieldType.NUMBER | FieldType.YES_NO:
            raise MalformedError(f"{name}: expected {field.type} or unknown", found=text)
        case FieldType.TEXT | FieldType.MOMENT | FieldType.ERN:
            return text
