"""Requests for assistance: what every one says, what is missing, and the one lifecycle of all.

A draft may say anything; the findings say what is missing before it may be sent. A request is
what its steps say; nothing is stored beside them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from evidence_store.canonical import Json
from evidence_store.cooperation.kind import Kind, Side, kind_named
from evidence_store.dossier import Step, Table, moves
from evidence_store.errors import MalformedError, NotFoundError, OutOfOrderError
from evidence_store.identifiers import AuthorityId, PersonCode
from evidence_store.moment import Moment
from evidence_store.provider import Purpose

OPEN = (
    "acknowledged, information_requested, in_execution, information_requested_meanwhile, postponed"
)
REQUEST = Table(
    "request",
    moves(
        "-: drafted -> draft",
        "draft: amended -> draft",
        "draft: signed -> signed",
        "signed: reopened -> draft",
        "signed: transmitted -> transmitted",
        # By word of mouth, in urgency: it lapses unless it is confirmed in writing in time.
        "-: made_orally -> oral",
        "oral: provisional_measure -> =",
        "oral: confirmed -> transmitted",
        "oral: lapsed -> lapsed",
        "transmitted: acknowledged -> acknowledged",
        "acknowledged: information_requested -> information_requested",
        "information_requested: information_given -> acknowledged",
        "in_execution: information_requested -> information_requested_meanwhile",
        "information_requested_meanwhile: information_given -> in_execution",
        "acknowledged, executed_in_part: execution_begun -> in_execution",
        "in_execution: advanced, certified, yielded, formality_observed, progress_reported -> =",
        "acknowledged, in_execution: postponed -> postponed",
        "postponed: resumed -> in_execution",
        f"{OPEN}: consulted, cannot_keep_confidential, confidentiality_answered -> =",
        f"{OPEN}: refused -> refused",
        "in_execution: executed_in_part -> executed_in_part",
        "in_execution: executed -> executed",
        "executed, executed_in_part: closed -> closed",
        f"draft, signed, oral, transmitted, {OPEN}: withdrawn -> withdrawn",
    ),
)
BY_REQUESTING = frozenset(
    {
        "drafted",
        "amended",
        "signed",
        "reopened",
        "transmitted",
        "made_orally",
        "confirmed",
        "information_given",
        "confidentiality_answered",
        "withdrawn",
        "closed",
    }
)
BY_EITHER = frozenset({"advanced", "consulted", "lapsed"})


class RefusalGround(StrEnum):
    """Why assistance may be refused. Bank secrecy and, for these crimes, politics are no grounds."""

    FORM = "form"
    SOVEREIGNTY = "sovereignty_security_public_order"
    OWN_LAW = "prohibited_by_own_law_for_own_offence"
    LEGAL_SYSTEM = "contrary_to_legal_system"
    PERSECUTION = "discrimination_or_persecution"
    DEATH_PENALTY = "death_penalty"
    TORTURE = "torture_or_cruel_treatment"
    FAIR_TRIAL = "no_fair_trial"
    NE_BIS_IN_IDEM = "already_judged"
    UNAVAILABLE = "nothing_to_give"


# What every request says: name -> (what it is, whether it must be there).
CONTENTS: Mapping[str, tuple[str, bool]] = {
    "proceeding": ("the proceeding: the reference of the case", True),
    "nature": ("the subject and nature of the proceeding", True),
    "conducted_by": ("the authority that conducts it, its name and functions", True),
    "facts": ("a summary of the relevant facts", True),
    "assistance": ("the assistance sought", True),
    "persons": ("the persons concerned: identity, location, nationality, as far as known", False),
    "offences": ("the offences", True),
    "purpose": ("what the evidence is to be used for", True),
    "procedure": ("particular procedures that are to be followed", False),
    "confidential": ("why the request must be kept confidential", False),
    "deadline": ("by when it is needed", False),
    "language": ("the language it is written in", True),
}
_LISTS = frozenset({"persons", "offences", "procedure"})
_MEMBERS = frozenset({"kind", "fields", "papers", "translated_into", *CONTENTS})


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the requested side certified: of which form, over which document's digest."""

    form: str
    sha256: str
    document: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, as its steps have it."""

    state: str
    requesting: AuthorityId
    requested: AuthorityId
    document: Mapping[str, Json]
    drafted_by: PersonCode
    kind: Kind
    confirm_by: datetime | None = None
    track: str = ""
    consulted: bool = False
    unconfidential: bool = False  # notice was given, and is not answered
    certificates: tuple[Certificate, ...] = ()
    yields: tuple[str, ...] = ()
    formalities: tuple[str, ...] = ()
    refusal: str | None = None
    until: str | None = None
    acts: tuple[str, ...] = field(default=())

    def at(self, now: datetime) -> "Request":
        """As it stands at an instant: what was not confirmed in time has lapsed."""
        if self.state == "oral" and self.confirm_by is not None and now > self.confirm_by:
            return replace(self, state="lapsed")
        return self

    def side(self, authority: AuthorityId) -> Side:
        """Which side an authority is on.

        Raises:
            NotFoundError: if on none: it is not to know of the request.
        """
        if authority == self.requesting:
            return Side.REQUESTING
        if authority == self.requested:
            return Side.REQUESTED
        raise NotFoundError("there is no such request")

    def insist_possible(self, act: str, authority: AuthorityId, now: datetime) -> str:
        """The state that follows an act, insisting that it is possible and by the right side.

        Raises:
            OutOfOrderError: if it is not.
            NotFoundError: if the authority is on neither side.
        """
        side, current = self.side(authority), self.at(now)
        state = REQUEST.after(current.state, act)
        expected = Side.REQUESTING if act in BY_REQUESTING else Side.REQUESTED
        if act not in BY_EITHER and side is not expected:
            raise OutOfOrderError(f"request: {act} is for the {expected} side")
        if self.unconfidential and act in {"advanced", "execution_begun", "executed"}:
            raise OutOfOrderError(
                "request: it cannot be kept confidential, and the requesting side has not said yet "
                "whether to go on"
            )
        return state

    def missing_to_execute(self) -> list[str]:
        """What is missing before it is executed: an ending, and its certificates."""
        if self.track not in self.kind.final:
            return [f"/track: {self.track} is not an ending of {self.kind.id}"]
        have = {each.form for each in self.certificates}
        asked = self.document.get("procedure")
        return [
            f"/certificates/{form.name}: missing: {form.label}"
            for form in self.kind.certificates
            if self.track in form.endings and form.name not in have
        ] + [
            f"/procedure: not observed: {each}"
            for each in (asked if isinstance(asked, list) else [])
            if each not in self.formalities
        ]


def request_of(steps: Sequence[Step]) -> Request:
    """The request that the steps tell.

    Raises:
        MalformedError: if a step does not say what it must.
        OutOfOrderError: if they are no way through the table.
    """
    first = steps[0]
    document = _document(first)
    request = Request(
        state="",
        requesting=first.by,
        requested=AuthorityId(first.text("to")),
        document=document,
        drafted_by=first.officer,
        kind=kind_named(str(document.get("kind"))),
    )
    request = replace(request, track=request.kind.initial)
    state: str | None = None
    for step in steps:
        state = REQUEST.after(state, step.act)
        request = replace(_after(request, step), state=state, acts=(*request.acts, step.act))
    return request


def findings(request: Request | Mapping[str, Json], kind: Kind, on: datetime) -> Iterator[str]:
    """What is missing or wrong in a draft before it may be signed and sent, as pointers."""
    document = request.document if isinstance(request, Request) else request
    for name in sorted(set(document) - _MEMBERS):
        yield f"/{name}: a request does not say this"
    for name, (label, required) in CONTENTS.items():
        value = document.get(name)
        needed = required and not (name == "facts" and not kind.facts_required)
        if value in (None, "", []):
            if needed:
                yield f"/{name}: missing: {label}"
        elif isinstance(value, list) != (name in _LISTS):
            yield f"/{name}: expected {'a list' if name in _LISTS else 'a text'}"
    yield from _purposes(document)
    fields, papers = document.get("fields", {}), document.get("papers", {})
    if not isinstance(fields, dict) or not isinstance(papers, dict):
        yield "/fields: expected objects of fields and of papers"
        return
    yield from kind.findings(fields, list(papers), on.date())


def _purposes(document: Mapping[str, Json]) -> Iterator[str]:
    purpose = document.get("purpose")
    if purpose and purpose not in {each.value for each in Purpose}:
        yield f"/purpose: expected one of {', '.join(Purpose)}"
    deadline = document.get("deadline")
    if deadline:
        try:
            Moment.parse(str(deadline))
        except MalformedError as error:
            yield f"/deadline: {error}"


def _after(request: Request, step: Step) -> Request:
    change = _CHANGES.get(step.act)
    return request if change is None else replace(request, **change(request, step))


def _certificate(step: Step) -> Certificate:
    document = str(step.private.get("certificate", ""))
    return Certificate(step.text("form"), step.text("sha256"), document)


# What an act changes, beyond the state.
_CHANGES: Mapping[str, Callable[[Request, Step], dict[str, Any]]] = {
    "amended": lambda _, step: {"document": _document(step)},
    "confirmed": lambda _, step: {"document": _document(step)},
    "made_orally": lambda _, step: {"confirm_by": Moment.parse(step.text("confirm_by")).latest},
    "advanced": lambda before, step: {"track": before.kind.move(step.text("step")).to},
    "consulted": lambda _, __: {"consulted": True},
    "cannot_keep_confidential": lambda _, __: {"unconfidential": True},
    "confidentiality_answered": lambda _, __: {"unconfidential": False},
    "certified": lambda before, step: {"certificates": (*before.certificates, _certificate(step))},
    "yielded": lambda before, step: {"yields": (*before.yields, step.text("what"))},
    "formality_observed": lambda before, step: {
        "formalities": (*before.formalities, step.text("formality"))
    },
    "refused": lambda _, step: {"refusal": step.text("ground")},
    "postponed": lambda _, step: {"until": step.text("until")},
}


def _document(step: Step) -> Mapping[str, Json]:
    found = step.private.get("document")
    if not isinstance(found, dict):
        raise MalformedError("request: expected its document")
    return found
