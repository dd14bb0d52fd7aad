"""Joint investigation teams: an agreement that every member signs, and who has left.

What a member puts in is a grant to each other member, so every item stays its contributor's. Nothing
more is granted to or by a member that has left; what was granted goes on until it is revoked or over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from evidence_store.canonical import Json
from evidence_store.cooperation.registry import OfficerRole, Validity
from evidence_store.desk import Desk
from evidence_store.dossier import Step, Table, moves
from evidence_store.dossiers import Chains, Taken, new_dossier, take
from evidence_store.errors import MalformedError, NotFoundError, OutOfOrderError
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind
from evidence_store.moment import Moment
from evidence_store.ports import CatalogReader
from evidence_store.wording import stated

TEAM = Table(
    "team",
    moves(
        "-: proposed -> proposed",
        "proposed, active: signed -> =",
        "proposed: completed -> active",
        "active: left -> =",
        "proposed, active: ended -> ended",
    ),
)
FEWEST = 2


@dataclass(frozen=True, slots=True)
class Team:
    """A team, as its steps have it."""

    state: str
    leader: AuthorityId
    parties: tuple[AuthorityId, ...]
    purpose: str
    rules: str
    period: Validity
    signed: frozenset[AuthorityId] = frozenset()
    left: frozenset[AuthorityId] = frozenset()

    def members_at(self, at: datetime) -> frozenset[AuthorityId]:
        """Who is a member at that instant: nobody before all have signed, or after its end."""
        active = self.state == "active" and self.period.holds_at(at)
        return frozenset(self.parties) - self.left if active else frozenset()


def team(reader: CatalogReader, chains: Chains, dossier: DossierId, of: AuthorityId) -> Team:
    """A team, for an authority that is a party of it.

    Raises:
        NotFoundError: in the same words if there is none, or the authority is no party.
    """
    found = team_of(chains.steps(reader, dossier))
    if of not in found.parties:
        raise NotFoundError(f"there is no {dossier}")
    return found


def team_of(steps: Sequence[Step]) -> Team:
    """The team that the steps tell.

    Raises:
        MalformedError: if a step does not say what it must.
        OutOfOrderError: if they are no way through the table.
    """
    first = steps[0]
    found = Team(
        state=TEAM.walked(steps),
        leader=first.by,
        parties=tuple(map(AuthorityId, first.texts("parties"))),
        purpose=first.text("purpose"),
        rules=first.text("rules"),
        period=Validity(
            Moment.parse(first.text("valid_from")), Moment.parse(first.text("valid_until"))
        ),
        signed=frozenset({first.by}),
    )
    for step in steps[1:]:
        match step.act:
            case "signed":
                found = replace(found, signed=found.signed | {step.by})
            case "left":
                found = replace(found, left=found.left | {step.by})
            case _:
                pass
    return found


def propose_team(
    desk: Desk, parties: Sequence[AuthorityId], purpose: str, rules: str, period: Validity
) -> DossierId:
    """Propose a team, and sign it as its leader.

    Raises:
        MalformedError: if there are not two different parties, this authority among them.
        NotFoundError: if an authority is not in the registry.
        OutOfOrderError: if the officer may not.
    """
    if len(set(parties)) < FEWEST or desk.authority not in parties:
        raise MalformedError("team: expected two parties or more, one's own authority among them")
    with desk.catalog.act() as writer:
        desk.insist(writer, [OfficerRole.CENTRAL])
        for each in parties:
            desk.registry(writer).authority(each)
        data: dict[str, Json] = {
            "parties": [each.value for each in dict.fromkeys(parties)],
            **period.to_json(),
        }
        private: dict[str, Json] = {
            "purpose": stated(purpose, "purpose"),
            "rules": stated(rules, "rules"),
        }
        return new_dossier(
            writer,
            desk.recorder,
            DossierKind.TEAM,
            Taken("proposed", desk.officer, data, private),
            state="proposed",
            tags={"party": [each.value for each in parties]},
        )


def carry_on(desk: Desk, dossier: DossierId, act: str, reason: str = "") -> Team:
    """Sign, leave or end a team, as one of its parties. It is active when all have signed.

    Raises:
        NotFoundError: if there is none that this authority is a party of.
        OutOfOrderError: if it is not possible now, or by this officer; only its leader ends it.
    """
    with desk.catalog.act() as writer:
        desk.insist(writer, [OfficerRole.CENTRAL])
        found = team(writer, desk.chains, dossier, desk.authority)
        if act not in {"signed", "left", "ended"}:
            raise OutOfOrderError(f"team: {act} is no step of a party")
        state = TEAM.after(found.state, act)
        if act == "ended" and desk.authority != found.leader:
            raise OutOfOrderError(f"team: it is for {found.leader}, its leader, to end it")
        if act == "signed" and desk.authority in found.signed:
            raise OutOfOrderError("team: this authority has signed already")
        private: dict[str, Json] = {"reason": reason}
        take(writer, desk.recorder, dossier, Taken(act, desk.officer, {}, private), state=state)
        if found.state == "proposed" and found.signed | {desk.authority} >= set(found.parties):
            take(writer, desk.recorder, dossier, Taken("completed", desk.officer), state="active")
        return team(writer, desk.chains, dossier, desk.authority)
