"""Consents: to pass evidence on, to use it for another purpose, of a provider, of an owner.

A consent is asked and answered, by different authorities or at least by different officers; it
can be withdrawn, and then counts for nothing that comes after.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from evidence_store.cooperation.registry import member
from evidence_store.dossier import Step, Table, moves
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, Ern, PersonCode
from evidence_store.provider import Purpose

CONSENT = Table(
    "consent",
    moves(
        "-: asked -> asked",
        "asked: given -> given",
        "asked: refused -> refused",
        "asked: dropped -> dropped",
        "given: withdrawn -> withdrawn",
    ),
)


class Subject(StrEnum):
    """What a consent is to."""

    ONWARD = "onward"  # passing it on to another authority
    PURPOSE = "purpose"  # using it for another purpose
    PROVIDER = "provider"  # of whoever provided it, recorded by the authority that asked


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent, as its steps have it. `answers` is the authority that gives it."""

    state: str
    subject: Subject
    asked_by: AuthorityId
    asker: PersonCode
    answers: AuthorityId
    reasons: str
    grant: DossierId | None = None
    to: AuthorityId | None = None
    purposes: tuple[Purpose, ...] = ()
    items: tuple[Ern, ...] = ()
    reply: str = ""


def consent_of(steps: Sequence[Step]) -> Consent:
    """The consent that the steps tell.

    Raises:
        MalformedError: if a step does not say what it must.
        OutOfOrderError: if they are no way through the table.
    """
    first = steps[0]
    grant, to = first.data.get("grant"), first.data.get("to")
    found = Consent(
        state=CONSENT.walked(steps),
        subject=member(Subject, first.text("subject"), "consent: subject"),
        asked_by=first.by,
        asker=first.officer,
        answers=AuthorityId(first.text("answers")),
        reasons=first.text("reasons"),
        grant=None if grant is None else DossierId.parse(str(grant), DossierKind.GRANT),
        to=None if to is None else AuthorityId(str(to)),
        purposes=tuple(member(Purpose, each, "purpose") for each in first.texts("purposes")),
        items=tuple(map(Ern.parse, first.texts("items"))),
    )
    for step in steps[1:]:
        found = replace(found, reply=str(step.private.get("reply", "")))
    return found
