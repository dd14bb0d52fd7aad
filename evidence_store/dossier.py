"""Dossiers: what authorities agree about evidence, as a chain of signed steps. ADR 7.

A dossier is a request, a grant, an entry in the registry, an access. It is what its steps say
and nothing else; a table says which step can follow which, and what it does not list cannot
happen. Knows nothing of what the steps mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from evidence_store.canonical import Json
from evidence_store.errors import MalformedError, OutOfOrderError
from evidence_store.identifiers import AuthorityId, DossierId, PersonCode
from evidence_store.ledger.event import SignedEvent

OFFICER = "officer"  # the disclosure that names who acted, by code


@dataclass(frozen=True, slots=True)
class Dossier:
    """A dossier as the index has it. `counterpart` is the other side, if there is one."""

    id: DossierId
    state: str
    owner: AuthorityId
    counterpart: AuthorityId | None
    made_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `data` is what its event says openly, `private` what can be withheld.

    `place` is its event's in the log, where that is known: what has a lesser one came before.
    """

    act: str
    seq: int
    by: AuthorityId
    at: datetime
    data: Mapping[str, Json] = field(default_factory=dict)
    private: Mapping[str, Json] = field(default_factory=dict)
    place: int | None = None

    @classmethod
    def of(cls, signed: SignedEvent, place: int | None = None) -> Self:
        """The step that an event records.

        Raises:
            MalformedError: if the event is none of this version.
            ProofError: if a disclosure does not belong to it.
        """
        event = signed.event
        return cls(
            act=event.act,
            seq=event.seq,
            by=event.by.authority,
            at=event.at,
            data=event.data,
            private=signed.disclosed(),
            place=place,
        )

    @property
    def officer(self) -> PersonCode:
        """Who took it.

        Raises:
            MalformedError: if that is withheld.
        """
        return PersonCode.parse(self.text(OFFICER))

    def text(self, name: str) -> str:
        """A field that must be there, open or disclosed.

        Raises:
            MalformedError: if it is not, or no text.
        """
        found = self.private.get(name, self.data.get(name))
        if not isinstance(found, str):
            raise MalformedError(f"{self.act}: expected the field {name!r}")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that lists texts; empty if it is not there."""
        found = self.private.get(name, self.data.get(name))
        return tuple(map(str, found)) if isinstance(found, list) else ()


@dataclass(frozen=True, slots=True)
class Table:
    """A machine: from a state, by an act, to a state. The first state follows on None."""

    name: str
    moves: Mapping[tuple[str | None, str], str]

    def after(self, state: str | None, act: str) -> str:
        """The state that follows.

        Raises:
            OutOfOrderError: if the table does not list it.
        """
        found = self.moves.get((state, act))
        if found is None:
            possible = sorted(each for before, each in self.moves if before == state)
            raise OutOfOrderError(
                f"{self.name}: {act} is not possible while it is {state or 'not begun'}; "
                f"possible: {', '.join(possible) or 'nothing'}"
            )
        return found

    def walked(self, steps: Sequence[Step]) -> str:
        """The state that the steps lead to.

        Raises:
            OutOfOrderError: if they are no way through the table.
        """
        state: str | None = None
        for step in steps:
            state = self.after(state, step.act)
        if state is None:
            raise OutOfOrderError(f"{self.name}: has no steps")
        return state


def moves(*lines: str) -> dict[tuple[str | None, str], str]:
    """A table as it is written: `draft, signed: sign -> signed`; `-` is before the first step.

    Raises:
        MalformedError: if a line is none, or a move is there twice.
    """
    found: dict[tuple[str | None, str], str] = {}
    for line in lines:
        before, _, rest = line.partition(":")
        acts, arrow, to = rest.partition("->")
        if not arrow:
            raise MalformedError("table: expected STATES: ACTS -> STATE", found=line)
        for state in (each.strip() for each in before.split(",")):
            for act in (each.strip() for each in acts.split(",")):
                key = (None if state == "-" else state, act)
                target = state if to.strip() == "=" else to.strip()
                if found.setdefault(key, target) != target or not state or not act:
                    raise MalformedError(f"table: {line!r} says something twice")
    return found
