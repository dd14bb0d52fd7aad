import pytest

from evidence_store.errors import MalformedError
from evidence_store.kinds import (
    FIELDS,
    EvidenceKind,
    FieldType,
    FieldValue,
    checked_fields,
    field_from_text,
    kind_of,
    not_recorded,
)
from evidence_store.wording import stated


def test_every_kind_has_a_table_of_fields_without_repetition() -> None:
    assert set(FIELDS) == set(EvidenceKind)
    for fields in FIELDS.values():
        names = [field.name for field in fields]
        assert len(names) == len(set(names))


def test_who_a_witness_is_is_sensitive_by_default() -> None:
    sensitive = {f.name for f in FIELDS[EvidenceKind.WITNESS_STATEMENT] if f.sensitive}
    assert {"person", "interpreter", "present", "vulnerability"} <= sensitive


def test_unknown_is_a_value_in_every_field_of_every_kind() -> None:
    for kind, fields in FIELDS.items():
        given = {field.name: "unknown" for field in fields}
        assert checked_fields(kind, dict(given)) == given


def test_an_empty_string_is_no_value() -> None:
    with pytest.raises(MalformedError):
        checked_fields(EvidenceKind.DOCUMENT, {"author": "  "})
    with pytest.raises(MalformedError):
        stated("", "method")


def test_an_exhibit_needs_seals_container_and_condition_but_they_may_be_unknown() -> None:
    fields: dict[str, FieldValue] = {
        "seal_numbers": ["A-1", "A-2"],
        "container": "bag",
        "condition": "unknown",
    }
    assert checked_fields(EvidenceKind.PHYSICAL_EXHIBIT, fields) == fields
    for name in fields:
        rest = {key: value for key, value in fields.items() if key != name}
        with pytest.raises(MalformedError, match=name):
            checked_fields(EvidenceKind.PHYSICAL_EXHIBIT, rest)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (EvidenceKind.DOCUMENT, "pages", "twelve"),
        (EvidenceKind.DOCUMENT, "pages", True),
        (EvidenceKind.DOCUMENT, "author", 7),
        (EvidenceKind.DOCUMENT, "date_on_document", "2026-03-14"),
        (EvidenceKind.WITNESS_STATEMENT, "oath", "perhaps"),
        (EvidenceKind.WITNESS_STATEMENT, "statement_type", "gossip"),
        (EvidenceKind.WITNESS_STATEMENT, "exhibits_shown", ["not an ERN"]),
        (EvidenceKind.WITNESS_STATEMENT, "interviewers", ["A", ""]),
        (EvidenceKind.PHOTO, "shoe_size", 44),
        (EvidenceKind.DOCUMENT, "author", "x" * 10_001),
        (EvidenceKind.WITNESS_STATEMENT, "interviewers", ["A"] * 1_001),
    ],
)
def test_a_value_that_is_not_of_its_fields_type_is_refused(
    kind: EvidenceKind, name: str, value: FieldValue
) -> None:
    with pytest.raises(MalformedError):
        checked_fields(kind, {name: value})


def test_what_was_not_recorded_is_listed_not_invented() -> None:
    missing = not_recorded(EvidenceKind.SATELLITE_IMAGE, {"provider": "unknown"})
    assert "provider" not in missing
    assert "sensor" in missing


@pytest.mark.parametrize(
    ("kind", "name", "text", "value"),
    [
        (EvidenceKind.DOCUMENT, "pages", "12", 12),
        (EvidenceKind.DOCUMENT, "pages", "unknown", "unknown"),
        (EvidenceKind.DOCUMENT, "recipients", "A, B", ["A", "B"]),
        (EvidenceKind.WITNESS_STATEMENT, "oath", "yes", True),
        (EvidenceKind.WITNESS_STATEMENT, "oath", "no", False),
        (EvidenceKind.DOCUMENT, "author", "A", "A"),
    ],
)
def test_fields_are_typed_as_a_person_would(
    kind: EvidenceKind, name: str, text: str, value: FieldValue
) -> None:
    assert field_from_text(kind, name, text) == value


@pytest.mark.parametrize(
    ("name", "text"), [("pages", "1.5"), ("pages", "1e3"), ("oath", "y"), ("nothing", "x")]
)
def test_a_field_that_is_typed_wrongly_is_refused(name: str, text: str) -> None:
    kind = EvidenceKind.WITNESS_STATEMENT if name == "oath" else EvidenceKind.DOCUMENT
    with pytest.raises(MalformedError):
        field_from_text(kind, name, text)


def test_every_type_of_field_is_used() -> None:
    used = {field.type for fields in FIELDS.values() for field in fields}
    assert used == set(FieldType)


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("image/jpeg", EvidenceKind.PHOTO),
        ("video/mp4", EvidenceKind.VIDEO),
        ("audio/mpeg", EvidenceKind.AUDIO),
        ("application/pdf", EvidenceKind.DOCUMENT),
        ("text/plain", EvidenceKind.DOCUMENT),
        ("application/octet-stream", EvidenceKind.UNKNOWN),
    ],
)
def test_the_kind_follows_from_the_content_where_nobody_stated_it(
    media_type: str, kind: EvidenceKind
) -> None:
    assert kind_of(media_type) is kind
