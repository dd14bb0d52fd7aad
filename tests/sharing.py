"""What sharing is tested with: an allowed question, questions near it, and the rules once more.

The rules here are written from what they mean, gate after gate, and know nothing of Cedar.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from evidence_store.cooperation.registry import AuthorityRole, OfficerRole
from evidence_store.identifiers import (
    AuthorityId,
    CaseId,
    DossierId,
    Ern,
    PersonCode,
)
from evidence_store.moment import Moment
from evidence_store.provider import Purpose
from evidence_store.sharing.decision import Asked, OfficerFacts, ProviderFacts, VersionFacts
from evidence_store.sharing.grant import Effective
from evidence_store.sharing.terms import (
    Action,
    Assurance,
    Basis,
    DefenceDisclosure,
    Granted,
    Mode,
    Onward,
    Terms,
)

POLICE, COURT, TRIBUNAL = AuthorityId("police"), AuthorityId("court"), AuthorityId("tribunal")
NOW = datetime(2026, 3, 14, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

OFFICER = OfficerFacts(
    code="OFF-0001",
    authority="court",
    state="HR",
    roles=frozenset({"judge"}),
    authority_roles=frozenset({"court"}),
    clearance=1,
    cases=frozenset(),
)
VERSION = VersionFacts(
    id="SI-2026-000123/2",
    item="SI-2026-000123",
    case="SI-CASE-0007",
    owner="police",
    owner_state="SI",
    custodian="police",
    status="registered",
    classification=1,
    verified_hours=17_520,
)
GRANT = Effective(
    state="active",
    grantee=COURT,
    officers=frozenset({PersonCode.parse("OFF-0001")}),
    purposes=frozenset({"trial"}),
    case="SI-CASE-0007",
    offences=frozenset({"murder", "torture"}),
    versions=frozenset({"SI-2026-000123/2"}),
    actions=frozenset(Action),
    valid_from=NOW,
    valid_until=NOW + DAY,
    assurances=frozenset({Assurance.NO_DEATH_PENALTY}),
    assured=frozenset({Assurance.NO_DEATH_PENALTY}),
    measures=frozenset({"SI-MSR-000001"}),
    charged=frozenset({"murder"}),
    is_onward=True,
    onward_allowed=True,
)
PROVIDER = ProviderFacts(frozenset({"HR"}), frozenset({"trial"}), NOW + DAY)
SHARED = Asked(
    action=Action.VIEW,
    purpose="trial",
    now=NOW,
    officer=OFFICER,
    version=VERSION,
    grant=GRANT,
    uses_left=1,
    provider=PROVIDER,
    continued=frozenset({"SI-MSR-000001"}),
)
"""A judge of another State views what was granted; no rule has anything against it."""
OWN = replace(
    SHARED,
    officer=replace(OFFICER, authority="police", state="SI", cases=frozenset({"SI-CASE-0007"})),
    grant=None,
    uses_left=0,
)
"""An officer of the State whose item it is needs to know the case; there is no grant."""

TERMS = Terms(
    grant=DossierId.parse("SI-GRT-000004"),
    grantor=POLICE,
    grantee=COURT,
    basis=Basis.REQUEST,
    reference="HR-REQ-000001",
    legal_basis="convention, article 18",
    case_id=CaseId.parse("SI-CASE-0007"),
    proceeding="K 12/2026",
    purposes=(Purpose.TRIAL, Purpose.APPEAL),
    offences=("murder", "torture"),
    items=(
        Granted(Ern.parse("SI-2026-000123"), 2, "ab" * 32),
        Granted(Ern.parse("SI-2026-000124"), 0, None),
    ),
    mode=Mode.DOWNLOAD_COPY,
    onward=Onward.WITH_CONSENT,
    defence=DefenceDisclosure.ALLOWED,
    valid_from=Moment.parse("2026-03-14Z"),
    valid_until=Moment.parse("2027-03-14Z"),
    conditions=("closed session",),
    assurances=(Assurance.NO_DEATH_PENALTY,),
    measures=(DossierId.parse("SI-MSR-000001"),),
)

# ---- Questions near the allowed ones, from alphabets so small that they often meet ---------------


def sets(*members: str) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(members), max_size=3)


_CASES = ("SI-CASE-0007", "SI-CASE-0008")
_VERSIONS = ("SI-2026-000123/1", "SI-2026-000123/2")
_MEASURES = ("SI-MSR-000001", "SI-MSR-000002")
_PURPOSES = ("trial", "appeal", "immigration", "intelligence", "media")
_TIMES = st.sampled_from([NOW + after for after in (-DAY, -HOUR / 3600, 0 * DAY, HOUR, DAY)])
_ASSURANCES = st.frozensets(st.sampled_from([*Assurance][:3]))
_OFFICER: Mapping[str, st.SearchStrategy[Any]] = {
    "authority": st.sampled_from(["court", "police"]),
    "state": st.sampled_from(["HR", "SI"]),
    "roles": sets(*OfficerRole),
    "authority_roles": sets(*AuthorityRole),
    "clearance": st.integers(0, 2),
    "cases": sets(*_CASES),
}
_VERSION: Mapping[str, st.SearchStrategy[Any]] = {
    "id": st.sampled_from(_VERSIONS),
    "case": st.sampled_from(_CASES),
    "owner": st.sampled_from(["court", "police"]),
    "owner_state": st.sampled_from(["HR", "SI"]),
    "custodian": st.sampled_from(["court", "police"]),
    "status": st.sampled_from(["registered", "quarantined", "void"]),
    "classification": st.integers(0, 2),
    "verified_hours": st.sampled_from([0, 17_520, 17_521, 2**31]),
    "holds": sets("court", "tribunal"),
    "measures": sets(*_MEASURES),
}
_GRANT: Mapping[str, st.SearchStrategy[Any]] = {
    "state": st.sampled_from(["active", "offered", "suspended", "revoked"]),
    "grantee": st.sampled_from([COURT, POLICE]),
    "officers": st.frozensets(st.sampled_from([*map(PersonCode.parse, ("OFF-0001", "OFF-0002"))])),
    "purposes": sets(*_PURPOSES),
    "case": st.sampled_from(_CASES),
    "offences": sets("murder", "torture", "theft"),
    "versions": sets(*_VERSIONS),
    "actions": st.frozensets(st.sampled_from(Action), max_size=4),
    "valid_from": _TIMES,
    "valid_until": _TIMES,
    "assurances": _ASSURANCES,
    "assured": _ASSURANCES,
    "measures": sets(*_MEASURES),
    "charged": sets("murder", "torture", "theft"),
    "is_onward": st.booleans(),
    "onward_allowed": st.booleans(),
}
_PROVIDER: Mapping[str, st.SearchStrategy[Any]] = {
    "recipients": sets("HR", "SI", "court", "police"),
    "purposes": sets(*_PURPOSES),
    "valid_until": st.none() | _TIMES,
}
_ASKED: Mapping[str, st.SearchStrategy[Any]] = {
    "action": st.sampled_from(Action),
    "purpose": st.sampled_from(_PURPOSES),
    "now": _TIMES,
    "uses_left": st.integers(-1, 2),
    "consents": sets("provider", "owner"),
    "continued": sets(*_MEASURES),
    "grant": st.sampled_from([None, GRANT]),
    "provider": st.sampled_from([None, PROVIDER]),
}


_PARTS: Mapping[str, Mapping[str, st.SearchStrategy[Any]]] = {
    "officer": _OFFICER,
    "version": _VERSION,
    "grant": _GRANT,
    "provider": _PROVIDER,
}
_FACTS = (*_ASKED, *(f"{part}.{name}" for part, each in _PARTS.items() for name in each))


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    """Both allowed questions, for any action, with some facts changed."""
    asked = draw(st.sampled_from([SHARED, SHARED, OWN]))
    asked = replace(asked, action=draw(st.sampled_from(Action)))
    for _ in range(draw(st.sampled_from([1, 4, 8, 12]))):
        part, _, name = draw(st.sampled_from(_FACTS)).rpartition(".")
        if not part:
            asked = replace(asked, **{name: draw(_ASKED[name])})
        elif (whole := getattr(asked, part)) is not None:
            changed: Any = replace(whole, **{name: draw(_PARTS[part][name])})
            asked = replace(asked, **{part: changed})
    return asked


# ---- The rules once more -------------------------------------------------------------------------

NEVER_SHARED = frozenset({"immigration", "intelligence", "media"})
SEE_NO_CONTENT = frozenset({"auditor", "data_protection_officer", "registry_officer"})
OPENS = frozenset({Action.VIEW, Action.DOWNLOAD, Action.CERTIFIED_COPY})
LEAVES = frozenset({Action.BORROW, Action.TAKE_CUSTODY})
PERMITTED_OWN, PERMITTED_UNDER_GRANT = "own-officer-who-needs-to-know", "officer-under-a-grant"
Gates = Iterator[tuple[str, bool]]


def twin(asked: Asked) -> tuple[str, str, tuple[str, ...]]:
    """What is decided, by which rule, and every gate that closed, in order."""
    closed = tuple(name for name, shut in gates(asked) if shut)
    if closed:
        return "deny", closed[0], closed
    if asked.grant is not None:
        return "allow", PERMITTED_UNDER_GRANT, ()
    return "allow", PERMITTED_OWN, ()


def gates(asked: Asked) -> Gates:
    """Every gate, and whether it is shut, in the order in which they are passed."""
    yield from _person(asked)
    yield from _grant(asked, asked.grant)
    yield from _purpose_and_case(asked, asked.grant)
    yield "recipient-class-excluded", bool(asked.officer.authority_roles & NEVER_SHARED)
    yield from _provider(asked, asked.provider)
    yield from _protection(asked, asked.grant)
    yield from _state_of_the_item(asked, shared=asked.grant is not None)


def _person(asked: Asked) -> Gates:
    officer, version = asked.officer, asked.version
    sees = officer.roles - SEE_NO_CONTENT - {"system_operator"}
    own = officer.state == version.owner_state
    yield "officer-without-valid-role", len(officer.roles) == 0
    yield "operator-has-no-access", "system_operator" in officer.roles
    yield "authority-not-designated", len(officer.authority_roles) == 0
    yield "role-sees-no-content", _touches(asked) and not sees
    yield (
        "no-need-to-know",
        asked.grant is None and own and version.case not in officer.cases,
    )
    yield "no-grant", asked.grant is None and not own


def _grant(asked: Asked, grant: Effective | None) -> Gates:
    officers = set() if grant is None else {str(each) for each in grant.officers}
    for name, shut in (
        ("grant-to-another-authority", lambda g: str(g.grantee) != asked.officer.authority),
        ("grant-not-active", lambda g: g.state != "active"),
        ("grant-not-yet-valid", lambda g: g.valid_from > asked.now),
        ("grant-expired", lambda g: g.valid_until <= asked.now),
        ("grant-names-other-officers", lambda _: officers and asked.officer.code not in officers),
        ("version-not-granted", lambda g: asked.version.id not in g.versions),
        ("mode-does-not-allow", lambda g: asked.action not in g.actions),
        ("grant-used-up", lambda _: asked.action in OPENS and asked.uses_left < 1),
    ):
        yield name, grant is not None and bool(shut(grant))


def _purpose_and_case(asked: Asked, grant: Effective | None) -> Gates:
    yield "purpose-excluded", asked.purpose in NEVER_SHARED
    yield "purpose-not-granted", grant is not None and asked.purpose not in grant.purposes
    yield "case-not-covered", grant is not None and grant.case != asked.version.case
    yield "offence-not-covered", grant is not None and bool(grant.charged - grant.offences)
    yield (
        "assurance-missing",
        grant is not None and _touches(asked) and bool(grant.assurances - grant.assured),
    )


def _provider(asked: Asked, terms: ProviderFacts | None) -> Gates:
    asks = terms is not None and _touches(asked) and "provider" not in asked.consents
    officer = asked.officer
    abroad = officer.state != asked.version.owner_state
    recipients, purposes, end = (
        (terms.recipients, terms.purposes, terms.valid_until)
        if terms is not None
        else (frozenset[str](), frozenset[str](), None)
    )
    yield (
        "provider-excludes-recipient",
        asks and abroad and not recipients & {officer.state, officer.authority},
    )
    yield "provider-excludes-purpose", asks and asked.purpose not in purposes
    yield "provider-terms-over", asks and end is not None and end <= asked.now


def _protection(asked: Asked, grant: Effective | None) -> Gates:
    protects = (
        "protection_officer" in asked.officer.roles
        and asked.officer.authority == asked.version.owner
    )
    yield (
        "onward-without-consent",
        grant is not None and grant.is_onward and not grant.onward_allowed,
    )
    yield (
        "protective-measure",
        _touches(asked) and len(asked.version.measures) > 0 and not protects,
    )
    yield (
        "measure-not-continued",
        grant is not None and _touches(asked) and bool(asked.continued - grant.measures),
    )


def _state_of_the_item(asked: Asked, *, shared: bool) -> Gates:
    version, shared_bytes = asked.version, shared and _touches(asked)
    yield "clearance-too-low", asked.officer.clearance < version.classification
    yield "quarantined", shared_bytes and version.status != "registered"
    yield "integrity-not-verified-lately", shared_bytes and version.verified_hours > 2 * 365 * 24
    yield "held-by-another", asked.action in LEAVES and len(version.holds) > 0


def _touches(asked: Asked) -> bool:
    """Whether it is about the thing or its bytes, not only about what is known of it."""
    return asked.action in OPENS | LEAVES
