"""A grant, as its steps have it: under review, offered, active, and how it ends.

Nothing opens before both sides have signed the same terms. What a grant allows is what its own
terms and all those that it rests on allow together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import combinations

from evidence_store.cooperation.registry import member
from evidence_store.dossier import Step, Table, moves
from evidence_store.errors import MalformedError, NotFoundError, OutOfOrderError
from evidence_store.identifiers import AuthorityId, PersonCode
from evidence_store.moment import Moment
from evidence_store.sharing.terms import Action, Assurance, DefenceDisclosure, Onward, Terms

ENDED = "revoked, expired, exhausted"
GRANT = Table(
    "grant",
    moves(
        "-: proposed -> under_review",
        "under_review: offered -> offered",
        "under_review, offered: dropped -> dropped",
        "offered: accepted -> active",
        "offered: declined -> declined",
        "offered, active, suspended: assurance_given -> =",
        "active, suspended: charge_notified, consent_noted, consent_ended -> =",
        "active: suspended -> suspended",
        "suspended: resumed -> active",
        "active, suspended: revoked -> revoked",
        "active, suspended: expired -> expired",
        "active, suspended: exhausted -> exhausted",
        f"active, suspended, {ENDED}: use_report_requested, use_reported -> =",
        f"active, suspended, {ENDED}, closed: exculpatory_notified -> =",
        f"active, {ENDED}: declared -> closed",
    ),
)
BY_GRANTEE = frozenset(
    {
        "accepted",
        "declined",
        "assurance_given",
        "charge_notified",
        "use_reported",
        "declared",
        "exhausted",
    }
)
BY_EITHER = frozenset({"exculpatory_notified", "expired"})
DECLARATIONS = ("returned", "destroyed", "kept_admitted")


@dataclass(frozen=True, slots=True)
class Refused:
    """An item that was asked for and is not granted, and why."""

    ern: str
    reason: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant. `charges` are all there are; `assured` says for which of them each was given.

    At first the offences of the terms are the charges; `offences` are those that any charge is of.
    """

    state: str
    terms: Terms
    proposed_by: PersonCode
    refused: tuple[Refused, ...] = ()
    charges: frozenset[str] = frozenset()
    offences: frozenset[str] = frozenset()
    assured: Mapping[Assurance, frozenset[str]] = field(default_factory=dict)
    onward_to: frozenset[AuthorityId] = frozenset()
    purposes_added: frozenset[str] = frozenset()
    declaration: str | None = None
    report_due: bool = False
    reason: str = ""

    @property
    def is_signed(self) -> bool:
        """Whether both sides have signed the terms."""
        return self.state not in {"under_review", "offered", "dropped", "declined"}

    @property
    def given(self) -> frozenset[Assurance]:
        """The assurances that are given for every charge there is."""
        return frozenset(each for each, known in self.assured.items() if self.charges <= known)

    def insist_possible(self, act: str, authority: AuthorityId) -> str:
        """The state that follows an act, insisting that it is possible and by the right side.

        Raises:
            OutOfOrderError: if it is not.
            NotFoundError: if the authority is on neither side.
        """
        self.insist_side(authority)
        state = GRANT.after(self.state, act)
        expected = self.terms.grantee if act in BY_GRANTEE else self.terms.grantor
        if act not in BY_EITHER and authority != expected:
            raise OutOfOrderError(f"grant: {act} is for {expected}")
        return state

    def insist_side(self, authority: AuthorityId) -> None:
        """Insist that an authority is a side of the grant.

        Raises:
            NotFoundError: if it is not: it is not to know of it.
        """
        if authority not in {self.terms.grantor, self.terms.grantee}:
            raise NotFoundError("there is no such grant")


@dataclass(frozen=True, slots=True)
class Effective:
    """What a grant allows with everything it inherits."""

    state: str
    grantee: AuthorityId
    officers: frozenset[PersonCode]
    purposes: frozenset[str]
    case: str
    offences: frozenset[str]
    versions: frozenset[str]
    actions: frozenset[Action]
    valid_from: datetime
    valid_until: datetime
    assurances: frozenset[Assurance]
    assured: frozenset[Assurance]
    measures: frozenset[str]
    charged: frozenset[str]
    is_onward: bool
    onward_allowed: bool


def grant_of(steps: Sequence[Step]) -> Grant:
    """The grant that the steps tell.

    Raises:
        MalformedError: if a step does not say what it must, or one signed other terms.
        OutOfOrderError: if they are no way through the table.
    """
    first = steps[0]
    terms = Terms.parse(first.text("terms_document").encode())
    refused = first.private.get("refused")
    found = Grant(
        state="",
        terms=terms,
        proposed_by=first.officer,
        refused=tuple(
            Refused(str(each.get("ern")), str(each.get("reason")))
            for each in (refused if isinstance(refused, list) else [])
            if isinstance(each, dict)
        ),
        charges=frozenset(terms.offences),
        offences=frozenset(terms.offences),
    )
    state: str | None = None
    for step in steps:
        state = GRANT.after(state, step.act)
        signing = step.act in {"proposed", "offered", "accepted"}
        if signing and step.data.get("terms") != terms.digest:
            raise MalformedError(f"grant: {step.act} is of other terms")
        expected = terms.grantee if step.act in BY_GRANTEE else terms.grantor
        if step.act not in BY_EITHER and step.by != expected:
            raise MalformedError(f"grant: {step.act} is signed by {step.by}, not by {expected}")
        found = replace(_after(found, step), state=state)
    return found


IsParty = Callable[[AuthorityId, AuthorityId], bool]
"""Whether the second is a court, or the defence before it, in the State of the first."""


def effective(chain: Sequence[Grant], is_party: IsParty) -> Effective:
    """What a grant allows, given it and those it rests on, from the first grantor's on.

    Raises:
        MalformedError: if there is none.
    """
    if not chain:
        raise MalformedError("grant: expected at least one")
    last = chain[-1]
    inactive = [each.state for each in chain if each.state != "active"]
    starts = [each.terms.valid_from.earliest for each in chain]
    ends = [each.terms.valid_until.earliest for each in chain]
    # Everybody who granted it, and not the last one only, must allow each who has it further down.
    consents = [
        may_pass_on(before, after.terms.grantee, is_party)
        for before, after in combinations(chain, 2)
    ]
    required = frozenset(each for grant in chain for each in grant.terms.assurances)
    return Effective(
        state=inactive[0] if inactive else "active",
        grantee=last.terms.grantee,
        officers=frozenset(last.terms.officers),
        purposes=_common(
            {each.value for each in grant.terms.purposes} | grant.purposes_added for grant in chain
        ),
        case=str(chain[0].terms.case_id),
        offences=_common(set(grant.terms.offences) for grant in chain),
        versions=_common({str(each) for each in grant.terms.items} for grant in chain),
        actions=frozenset.intersection(*(grant.terms.actions for grant in chain)),
        valid_from=max(each for each in starts if each is not None),
        valid_until=min(each for each in ends if each is not None),
        assurances=required,
        assured=frozenset.intersection(
            *(grant.given | (required - set(grant.terms.assurances)) for grant in chain)
        ),
        measures=_common({str(each) for each in grant.terms.measures} for grant in chain),
        charged=frozenset.union(*(grant.offences for grant in chain)),
        is_onward=len(chain) > 1,
        onward_allowed=all(consents),
    )


def inherited(parent: Terms, child: Terms) -> list[str]:
    """Where terms go beyond those they rest on, as pointers; none may."""
    problems = [
        f"/{name}: not in {parent.grant}: {', '.join(sorted(map(str, beyond)))}"
        for name in ("purposes", "offences", "items")
        if (beyond := set(getattr(child, name)) - set(getattr(parent, name)))
    ]
    problems += [
        f"/{name}: missing: {', '.join(sorted(map(str, lacking)))}"
        for name in ("conditions", "assurances", "measures")
        if (lacking := set(getattr(parent, name)) - set(getattr(child, name)))
    ]
    if child.grantor != parent.grantee:
        problems.append(f"/grantor: expected {parent.grantee}, to whom it was granted")
    if not child.actions <= parent.actions:
        problems.append(f"/mode: {child.mode} allows more than {parent.mode}")
    ends = (child.valid_until.earliest, parent.valid_until.earliest)
    if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
        problems.append(f"/valid_until: is after {parent.valid_until}")
    by = (child.return_or_destroy_by, parent.return_or_destroy_by)
    if by[1] is not None and (by[0] is None or not _is_by(by[0], by[1])):
        problems.append(f"/return_or_destroy_by: expected {by[1]} at the latest")
    for name, order in (("onward", list(Onward)), ("defence", list(DefenceDisclosure)[::-1])):
        if order.index(getattr(child, name)) > order.index(getattr(parent, name)):
            problems.append(f"/{name}: allows more than {getattr(parent, name)}")
    if child.case_id != parent.case_id:
        problems.append(f"/case: expected {parent.case_id}")
    return problems


def _is_by(moment: Moment, limit: Moment) -> bool:
    ends = (moment.latest, limit.latest)
    return ends[0] is not None and ends[1] is not None and ends[0] <= ends[1]


def may_pass_on(grant: Grant, to: AuthorityId, is_party: IsParty) -> bool:
    """Whether the grantee may pass on to an authority what it was granted."""
    match grant.terms.onward:
        case Onward.FORBIDDEN:
            return False
        case Onward.WITH_CONSENT:
            return to in grant.onward_to
        case Onward.COURT_AND_PARTIES:
            return to in grant.onward_to or is_party(grant.terms.grantee, to)


def _common(sets: Iterable[set[str]]) -> frozenset[str]:
    return frozenset(set.intersection(*sets))


def _after(found: Grant, step: Step) -> Grant:
    change = _CHANGES.get(step.act)
    return found if change is None else change(found, step)


def _assured(found: Grant, step: Step) -> Grant:
    kind = member(Assurance, step.text("assurance"), "grant: assurance")
    known = found.assured.get(kind, frozenset()) | set(step.texts("charges"))
    return replace(found, assured={**found.assured, kind: frozenset(known)})


def _charged(found: Grant, step: Step) -> Grant:
    return replace(
        found,
        charges=found.charges | {step.text("charge")},
        offences=found.offences | {step.text("offence")},
    )


def _consented(found: Grant, step: Step) -> Grant:
    return replace(
        found,
        onward_to=found.onward_to | _authorities(step),
        purposes_added=found.purposes_added | set(step.texts("purposes")),
    )


def _no_longer_consented(found: Grant, step: Step) -> Grant:
    return replace(
        found,
        onward_to=found.onward_to - _authorities(step),
        purposes_added=found.purposes_added - set(step.texts("purposes")),
    )


def _authorities(step: Step) -> frozenset[AuthorityId]:
    to = step.data.get("to")
    return frozenset() if to is None else frozenset({AuthorityId(str(to))})


def _reasoned(found: Grant, step: Step) -> Grant:
    return replace(found, reason=str(step.private.get("reason", "")))


# What an act changes, beyond the state.
_CHANGES: Mapping[str, Callable[[Grant, Step], Grant]] = {
    "assurance_given": _assured,
    "charge_notified": _charged,
    "consent_noted": _consented,
    "consent_ended": _no_longer_consented,
    "use_report_requested": lambda found, _: replace(found, report_due=True),
    "use_reported": lambda found, _: replace(found, report_due=False),
    "declared": lambda found, step: replace(found, declaration=step.text("declaration")),
    "suspended": _reasoned,
    "revoked": _reasoned,
    "declined": _reasoned,
    "dropped": _reasoned,
}
