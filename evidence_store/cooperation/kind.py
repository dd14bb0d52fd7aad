"""The kinds of assistance: what each asks for, what may happen, what is certified, and its rules.

Each kind is one file in `kinds/`, written to be read by a lawyer; this module is its grammar. A
file that says something twice, or speaks of what it does not define, is refused when it is read.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, assert_never

from evidence_store.canonical import Json
from evidence_store.cooperation.registry import AuthorityRole
from evidence_store.errors import EvidenceError, MalformedError, NotFoundError, SettingsError

TEXT_CHARACTERS_MAX = 20_000


class FieldType(StrEnum):
    """What a field holds."""

    TEXT = "text"
    TEXTS = "texts"
    DATE = "date"
    NUMBER = "number"
    CHOICE = "choice"
    BOOLEAN = "boolean"
    PERSON = "person"
    PERSONS = "persons"
    ITEMS = "items"


class Side(StrEnum):
    """Which of the two sides does something."""

    REQUESTING = "requesting"
    REQUESTED = "requested"


@dataclass(frozen=True, slots=True)
class Field:
    """Something a request of this kind says, beyond what every request says."""

    name: str
    label: str
    type: FieldType
    required: bool
    sensitive: bool
    help: str
    choices: tuple[str, ...] = ()

    def problem(self, value: Json) -> str | None:
        """What is wrong with a value, if anything is."""
        match self.type:
            case FieldType.BOOLEAN:
                fits, expected = isinstance(value, bool), "true or false"
            case FieldType.NUMBER:
                fits, expected = type(value) is int, "a whole number"
            case FieldType.CHOICE:
                fits, expected = value in self.choices, f"one of {', '.join(self.choices)}"
            case FieldType.DATE:
                fits, expected = day(value) is not None, "a date as in 2026-03-14"
            case FieldType.TEXT | FieldType.PERSON:
                fits, expected = _is_text(value), "a text, neither empty nor endless"
            case FieldType.TEXTS | FieldType.PERSONS | FieldType.ITEMS:
                fits = isinstance(value, list) and bool(value) and all(map(_is_text, value))
                expected = "a list of texts"
            case _:
                assert_never(self.type)
        return None if fits else f"expected {expected}"


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper that one side sends the other: by when it must be there."""

    name: str
    label: str
    side: Side
    at: str
    required: bool


@dataclass(frozen=True, slots=True)
class Move:
    """A step of the execution: from which states, to which, by which side, stating what."""

    name: str
    label: str
    sources: frozenset[str]
    to: str
    side: Side
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CertificateForm:
    """What the requested side certifies. With `items`, of each item identity, condition, custody."""

    name: str
    label: str
    endings: frozenset[str]
    fields: tuple[str, ...]
    items: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that is checked before anything is sent. `form` is one of five."""

    name: str
    text: str
    form: str
    body: Mapping[str, Any]
    needs: tuple[str, ...] = ()

    def problem(self, fields: Mapping[str, Json], on: date) -> str | None:
        """Why the fields break the rule on the day of sending, if they do."""
        return None if _holds(self, fields, on) else self.text


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of assistance."""

    id: str
    number: int
    title: str
    summary: str
    provision: str
    instrument: str
    yields: frozenset[str]
    initial: str
    final: frozenset[str]
    requesting: AuthorityRole
    requested: AuthorityRole
    executing: frozenset[AuthorityRole]
    may_be_oral: bool
    facts_required: bool
    fields: tuple[Field, ...]
    papers: tuple[Paper, ...]
    steps: tuple[Move, ...]
    certificates: tuple[CertificateForm, ...]
    rules: tuple[Rule, ...]

    def findings(
        self, fields: Mapping[str, Json], papers: Sequence[str], on: date
    ) -> Iterator[str]:
        """What is missing or wrong before it may be sent, as `pointer: problem`."""
        for name in sorted(set(fields) - {field.name for field in self.fields}):
            yield f"/fields/{name}: {self.id} has no such field"
        for field in self.fields:
            problem = field.problem(fields[field.name]) if field.name in fields else None
            if field.required and field.name not in fields:
                problem = f"missing: {field.label}"
            if problem is not None:
                yield f"/fields/{field.name}: {problem}"
        yield from self._papers_missing(papers)
        for rule in self.rules:
            if broken := rule.problem(fields, on):
                yield f"/rules/{rule.name}: {broken}"

    def _papers_missing(self, papers: Sequence[str]) -> Iterator[str]:
        for paper in self.papers:
            due = paper.required and paper.side is Side.REQUESTING and paper.at == "transmission"
            if due and paper.name not in papers:
                yield f"/papers/{paper.name}: missing: {paper.label}"

    def move(self, name: str) -> Move:
        """The step of this name.

        Raises:
            NotFoundError: if there is none.
        """
        for each in self.steps:
            if each.name == name:
                return each
        raise NotFoundError(
            f"{self.id}: there is no such step; the list of kinds has the steps of each"
        )

    def certificate(self, name: str) -> CertificateForm:
        """The certificate of this name.

        Raises:
            NotFoundError: if there is none.
        """
        for each in self.certificates:
            if each.name == name:
                return each
        raise NotFoundError(f"{self.id}: there is no certificate {name!r}")


@cache
def kinds() -> Mapping[str, Kind]:
    """All kinds, by their identifiers, in the order of the provisions.

    Raises:
        SettingsError: if a file is not as it must be.
    """
    found: dict[str, Kind] = {}
    folder = resources.files("evidence_store.cooperation") / "kinds"
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.name.endswith(".toml"):
            kind = read_kind(file.read_text(encoding="utf-8"), file.name)
            if kind.id in found or kind.number != len(found) + 1:
                raise SettingsError(f"{file.name}: expected another identifier or number")
            found[kind.id] = kind
    return found


def kind_named(name: str) -> Kind:
    """The kind of this identifier.

    Raises:
        NotFoundError: if there is none.
    """
    found = kinds().get(name)
    if found is None:
        raise NotFoundError("there is no such kind of assistance; the list of kinds has all")
    return found


def read_kind(text: str, name: str) -> Kind:
    """A kind from its file.

    Raises:
        SettingsError: if the file is not as it must be.
    """
    try:
        kind = _kind(tomllib.loads(text))
        _check(kind)
    except (KeyError, TypeError, AttributeError, ValueError, EvidenceError) as error:
        raise SettingsError(f"{name}: expected a kind of assistance, whole: {error}") from error
    return kind


def day(value: Json) -> date | None:
    """The day that a text names, if it names one."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _is_text(value: Json) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= TEXT_CHARACTERS_MAX


def _kind(raw: dict[str, Any]) -> Kind:
    basis, routing = raw.pop("basis"), raw.pop("routing")
    if set(basis) != {"instrument", "provision", "article", "verified"}:
        raise MalformedError("basis: expected instrument, provision, article and verified")
    kind = Kind(
        id=raw.pop("id"),
        number=raw.pop("number"),
        title=raw.pop("title"),
        summary=raw.pop("summary"),
        provision=basis["provision"],
        instrument=basis["instrument"],
        yields=frozenset(raw.pop("yields")),
        initial=raw.pop("initial"),
        final=frozenset(raw.pop("final")),
        requesting=AuthorityRole(routing.pop("requesting")),
        requested=AuthorityRole(routing.pop("requested")),
        executing=frozenset(map(AuthorityRole, routing.pop("executing"))),
        may_be_oral=routing.pop("may_be_oral"),
        facts_required=routing.pop("facts_required"),
        fields=tuple(_field(each) for each in raw.pop("field")),
        papers=tuple(
            Paper(each["name"], each["label"], Side(each["side"]), each["at"], each["required"])
            for each in raw.pop("document")
        ),
        steps=tuple(
            Move(
                each["name"],
                each["label"],
                frozenset(each["from"]),
                each["to"],
                Side(each["side"]),
                tuple(each["needs"]),
            )
            for each in raw.pop("step")
        ),
        certificates=tuple(
            CertificateForm(
                each["name"],
                each["label"],
                frozenset(each["for"]),
                tuple(each["fields"]),
                each["items"],
            )
            for each in raw.pop("certificate", [])
        ),
        rules=tuple(_rule(each) for each in raw.pop("rule", [])),
    )
    if raw or routing:
        raise MalformedError(f"it says what a kind does not say: {', '.join([*raw, *routing])}")
    return kind


def _field(each: dict[str, Any]) -> Field:
    return Field(
        each.pop("name"),
        each.pop("label"),
        FieldType(each.pop("type")),
        each.pop("required"),
        each.pop("sensitive"),
        each.pop("help"),
        **{name: tuple(value) for name, value in each.items()},
    )


def _rule(each: dict[str, Any]) -> Rule:
    forms = [name for name in _FORMS if name in each]
    if len(forms) != 1:
        raise MalformedError(f"rule {each['name']}: expected one of {', '.join(_FORMS)}")
    body = each[forms[0]]
    content = body if isinstance(body, dict) else {"fields": body}
    return Rule(each["name"], each["text"], forms[0], content, tuple(each.get("needs", ())))


_FORMS = ("when", "one_of", "forbid", "order", "days_ahead")


def _holds(rule: Rule, fields: Mapping[str, Json], on: date) -> bool:
    body = rule.body
    match rule.form:
        case "when":
            value = fields.get(body["field"])
            applies = value == body["equals"] if "equals" in body else value is not None
            return not applies or all(name in fields for name in rule.needs)
        case "one_of":
            return any(name in fields for name in body["fields"])
        case "forbid":
            return body["field"] not in fields or fields[body["field"]] != body["value"]
        case "order":
            days = [day(fields.get(name)) for name in body["fields"]]
            known = [each for each in days if each is not None]
            return len(known) < len(days) or known == sorted(known)
        case _:
            found = day(fields.get(body["field"]))
            return found is None or found >= on + timedelta(days=body["days"])


def _check(kind: Kind) -> None:
    """Insist that a kind speaks only of what it defines, and that its track leads somewhere."""
    names = {field.name for field in kind.fields}
    for group in (kind.fields, kind.papers, kind.steps, kind.certificates, kind.rules):
        known = [each.name for each in group]
        if len(set(known)) != len(known):
            raise MalformedError(f"{kind.id}: something has its name twice among {known}")
    for field in kind.fields:
        if (field.type is FieldType.CHOICE) != bool(field.choices):
            raise MalformedError(f"{field.name}: a choice, and nothing else, has choices")
    for rule in kind.rules:
        named = {*rule.needs, *rule.body.get("fields", ())}
        named |= {rule.body["field"]} if "field" in rule.body else set()
        if not named <= names:
            raise MalformedError(f"rule {rule.name}: speaks of {', '.join(named - names)}")
    states = {kind.initial} | {step.to for step in kind.steps}
    sources = {each for step in kind.steps for each in step.sources}
    endings = {each for form in kind.certificates for each in form.endings}
    if sources != states - kind.final or not kind.final <= states or not endings <= kind.final:
        raise MalformedError(f"{kind.id}: its steps do not lead from its first state to its last")
