"""Protective measures: who ordered one on an item, which versions satisfy it, until it is lifted.

A measure goes with the item: whoever is granted it undertakes to continue it, and only the
authority that ordered it, or its successor, lifts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from evidence_store.cooperation.registry import member
from evidence_store.dossier import Step, Table, moves
from evidence_store.errors import MalformedError
from evidence_store.identifiers import AuthorityId, Ern, PersonCode

MEASURE = Table(
    "measure",
    moves(
        "-: requested -> requested",
        "requested: ordered -> in_force",
        "requested: rejected -> rejected",
        "in_force: varied, continued -> =",
        "in_force: lifted -> lifted",
    ),
)


class MeasureType(StrEnum):
    """What protects a person."""

    PSEUDONYM = "pseudonym"
    REDACTION = "redaction"
    DISTORTION = "face_or_voice_distortion"
    CLOSED_SESSION = "closed_session"
    VIDEOLINK = "videolink"
    DELAYED_DISCLOSURE = "delayed_disclosure"
    NO_CONTACT = "no_contact"
    IN_CAMERA = "in_camera_testimony"


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure. `satisfied_by` are the versions that may be shared while it is in force."""

    state: str
    type: MeasureType
    ern: Ern
    requested_by: PersonCode
    issuer: AuthorityId
    satisfied_by: frozenset[int]

    def blocks(self, version: int) -> bool:
        """Whether it keeps a version from being opened."""
        return self.state == "in_force" and version not in self.satisfied_by


def measure_of(steps: Sequence[Step]) -> Measure:
    """The measure that the steps tell.

    Raises:
        MalformedError: if a step does not say what it must.
        OutOfOrderError: if they are no way through the table.
    """
    first = steps[0]
    found = Measure(
        state=MEASURE.walked(steps),
        type=member(MeasureType, first.text("type"), "measure: type"),
        ern=Ern.parse(first.text("item")),
        requested_by=first.officer,
        issuer=first.by,
        satisfied_by=_versions(first),
    )
    for step in steps[1:]:
        if step.act in {"ordered", "varied"}:
            found = replace(found, satisfied_by=_versions(step))
    return found


def _versions(step: Step) -> frozenset[int]:
    found = step.data.get("satisfied_by")
    if not isinstance(found, list) or not all(type(each) is int for each in found):
        raise MalformedError("measure: expected the versions that satisfy it")
    return frozenset(each for each in found if isinstance(each, int))
