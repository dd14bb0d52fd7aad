"""The fourteen kinds of assistance: each asks for what it needs, and leads to its endings."""

from datetime import date, timedelta
from importlib import resources

import pytest

from evidence_store.canonical import Json
from evidence_store.cooperation.kind import FieldType, Kind, kinds, read_kind
from evidence_store.errors import SettingsError

TODAY = date(2026, 3, 14)
ALL = list(kinds().values())
FILES = {
    each.name: each.read_text(encoding="utf-8")
    for each in (resources.files("evidence_store.cooperation") / "kinds").iterdir()
}


def whole(kind: Kind) -> dict[str, Json]:
    """Fields that satisfy a kind: what is required, and then what its rules still ask for."""
    fields: dict[str, Json] = {
        each.name: value_of(kind, each.name) for each in kind.fields if each.required
    }
    for _ in kind.rules:
        for rule in kind.rules:
            if rule.problem(fields, TODAY) is None:
                continue
            named = rule.body.get("fields", [rule.body.get("field")])
            for name in [*rule.needs, *named]:
                fields.setdefault(name, value_of(kind, name))
            if rule.form == "forbid":
                fields[rule.body["field"]] = another(kind, rule.body["field"], rule.body["value"])
    return fields


def value_of(kind: Kind, name: str) -> Json:
    (field,) = (each for each in kind.fields if each.name == name)
    match field.type:
        case FieldType.BOOLEAN:
            return False
        case FieldType.NUMBER:
            return 3
        case FieldType.CHOICE:
            return field.choices[0]
        case FieldType.DATE:
            return (TODAY + timedelta(days=365)).isoformat()
        case FieldType.TEXT | FieldType.PERSON:
            return "stated"
        case _:
            return ["stated"]


def another(kind: Kind, name: str, value: Json) -> Json:
    if isinstance(value, bool):
        return not value
    (field,) = (each for each in kind.fields if each.name == name)
    return next(each for each in field.choices if each != value)


def papers(kind: Kind) -> list[str]:
    return [each.name for each in kind.papers]


def test_there_are_fourteen_in_the_order_of_the_provisions() -> None:
    assert [each.number for each in ALL] == list(range(1, 15))
    assert all(not each.instrument.startswith("Art") for each in ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.id)
def test_a_whole_request_lacks_nothing_and_one_without_a_field_is_listed(kind: Kind) -> None:
    fields = whole(kind)
    assert list(kind.findings(fields, papers(kind), TODAY)) == []
    for field in (each for each in kind.fields if each.required):
        less = {name: value for name, value in fields.items() if name != field.name}
        found = list(kind.findings(less, papers(kind), TODAY))
        assert any(each.startswith(f"/fields/{field.name}:") for each in found)
    for paper in (each for each in kind.papers if each.required and each.at == "transmission"):
        if paper.side == "requesting":
            others = [each for each in papers(kind) if each != paper.name]
            found = list(kind.findings(fields, others, TODAY))
            assert any(each.startswith(f"/papers/{paper.name}:") for each in found)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.id)
def test_a_field_of_another_type_or_that_is_none_of_its_own_is_listed(kind: Kind) -> None:
    fields = whole(kind)
    for field in kind.fields:
        wrongs: tuple[Json, ...] = ({"a": 1}, "", [], None)
        for wrong in wrongs:
            found = list(kind.findings({**fields, field.name: wrong}, papers(kind), TODAY))
            assert any(each.startswith(f"/fields/{field.name}:") for each in found)
    found = list(kind.findings({**fields, "own_invention": "x"}, papers(kind), TODAY))
    assert any(each.startswith("/fields/own_invention:") for each in found)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.id)
def test_every_rule_can_be_broken(kind: Kind) -> None:
    fields = whole(kind)
    for rule in kind.rules:
        assert rule.problem(fields, TODAY) is None
        match rule.form:
            case "when":
                value = rule.body.get("equals", value_of(kind, rule.body["field"]))
                broken = {name: each for name, each in fields.items() if name not in rule.needs}
                broken[rule.body["field"]] = value
            case "one_of":
                named = rule.body["fields"]
                broken = {name: each for name, each in fields.items() if name not in named}
            case "forbid":
                broken = {**fields, rule.body["field"]: rule.body["value"]}
            case "order":
                first, last = rule.body["fields"]
                broken = {**fields, first: "2027-01-02", last: "2027-01-01"}
            case _:
                soon = TODAY + timedelta(days=rule.body["days"] - 1)
                broken = {**fields, rule.body["field"]: soon.isoformat()}
        assert rule.problem(broken, TODAY) == rule.text


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.id)
def test_every_ending_can_be_reached_and_is_left_by_nothing(kind: Kind) -> None:
    reached = {kind.initial}
    for _ in kind.steps:
        reached |= {step.to for step in kind.steps if step.sources & reached}
    assert kind.final <= reached
    assert not any(step.sources & kind.final for step in kind.steps)


def test_what_the_treaty_expects_is_certified() -> None:
    forms = {kind.id: {form.name for form in kind.certificates} for kind in ALL}
    assert "minutes" in forms["taking_evidence"]
    assert "minutes" in forms["videoconference"]
    assert "proof_of_service" in forms["service_of_documents"]
    assert {"inventory", "attestation_of_seized_items"} <= forms["search_and_seizure"]
    (attestation,) = (
        form
        for kind in ALL
        for form in kind.certificates
        if kind.id == "search_and_seizure" and form.name == "attestation_of_seized_items"
    )
    assert attestation.items


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('id = "service_of_documents"', ""),
        ('type = "person"', 'type = "persn"'),
        ('initial = "received"', 'initial = "recieved"'),
        ('side = "requesting"', 'side = "both"'),
        ('name = "appearance_date"', 'name = "apearance_date"'),
        ("verified = false", "verified = false\nchecked = true"),
        ("[routing]", "[routing]\nsecret = true"),
        ('final = ["served"', 'final = ["nowhere"'),
        ("number = 7", "number = 7\nweight = 3"),
        ("[[rule]]", "[[rul]]"),
    ],
)
def test_a_file_with_a_mistake_is_refused(old: str, new: str) -> None:
    text = FILES["07-service-of-documents.toml"]
    assert old in text
    read_kind(text, "as it is")
    with pytest.raises(SettingsError):
        read_kind(text.replace(old, new, 1), "with a mistake")
