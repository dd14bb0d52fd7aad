from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from evidence_store.canonical import Json, canonical, parse_canonical
from evidence_store.errors import MalformedError, SettingsError
from evidence_store.identifiers import AuthorityId, PersonCode
from evidence_store.sharing.decision import (
    BROKEN,
    NO_RULE,
    Allow,
    Asked,
    Decision,
    Deny,
    Policy,
    facts_document,
    rule_text,
    shipped,
    shipped_schema,
)
from evidence_store.sharing.terms import Action, Assurance
from tests.sharing import (
    DAY,
    GRANT,
    LEAVES,
    NEVER_SHARED,
    NOW,
    OPENS,
    OWN,
    PERMITTED_OWN,
    PERMITTED_UNDER_GRANT,
    PROVIDER,
    SEE_NO_CONTENT,
    SHARED,
    VERSION,
    gates,
    questions,
    twin,
)

PERMIT_ALL = '@id("all")\npermit (principal, action, resource);\n'
SECOND = timedelta(seconds=1)


def officer(asked: Asked = SHARED, **changed: Any) -> Asked:  # noqa: ANN401 - any member's type
    return replace(asked, officer=replace(asked.officer, **changed))


def version(asked: Asked = SHARED, **changed: Any) -> Asked:  # noqa: ANN401 - likewise
    return replace(asked, version=replace(asked.version, **changed))


def under(**changed: Any) -> Asked:  # noqa: ANN401 - likewise
    return replace(SHARED, grant=replace(GRANT, **changed))


def provided(**changed: Any) -> Asked:  # noqa: ANN401 - likewise
    return replace(SHARED, provider=replace(PROVIDER, **changed))


def assert_allowed(asked: Asked, rule: str = PERMITTED_UNDER_GRANT) -> None:
    assert shipped().decide(asked) == Allow(rule, shipped().digest)


def assert_refused(asked: Asked, rule: str) -> None:
    """That this gate closed, and no other."""
    assert shipped().decide(asked) == Deny(rule, shipped().digest, (rule,))


def assert_closed(asked: Asked, rule: str) -> None:
    """That the gate closes the thing and its bytes, and not what is known of it."""
    for action in OPENS | LEAVES:
        assert_refused(replace(asked, action=action), rule)
    known = shipped().decide(replace(asked, action=Action.SEE_METADATA))
    assert isinstance(known, Allow)


def told(decision: Decision) -> tuple[str, str, tuple[str, ...]]:
    return decision.text, decision.rule, () if isinstance(decision, Allow) else decision.closed


# ---- The rules, and what they mean ---------------------------------------------------------------


@settings(max_examples=500)
@given(questions())
def test_the_rules_decide_what_they_mean(asked: Asked) -> None:
    assert told(shipped().decide(asked)) == twin(asked)


def test_there_is_no_rule_whose_meaning_is_not_told_and_none_is_out_of_order() -> None:
    told_of = tuple(name for name, _ in gates(SHARED))
    assert shipped().rules == (*told_of, PERMITTED_OWN, PERMITTED_UNDER_GRANT)


@pytest.mark.parametrize("action", Action)
def test_what_is_granted_is_allowed(action: Action) -> None:
    assert_allowed(replace(SHARED, action=action))


@pytest.mark.parametrize("action", Action)
def test_whoever_needs_to_know_an_own_case_needs_no_grant(action: Action) -> None:
    assert_allowed(replace(OWN, action=action), PERMITTED_OWN)


def test_of_several_closed_gates_the_first_gives_the_name_and_all_are_told() -> None:
    asked = officer(under(state="revoked", case="SI-CASE-0008"), roles=frozenset(), clearance=0)
    closed = (
        "officer-without-valid-role",
        "role-sees-no-content",
        "grant-not-active",
        "case-not-covered",
        "clearance-too-low",
    )
    assert told(shipped().decide(asked)) == ("deny", closed[0], closed)


# ---- Gate 1: the person --------------------------------------------------------------------------


def test_an_officer_whose_roles_have_ended_sees_not_even_that_there_is_something() -> None:
    asked = replace(officer(roles=frozenset()), action=Action.SEE_METADATA)
    assert_refused(asked, "officer-without-valid-role")


@pytest.mark.parametrize("asked", [SHARED, OWN])
def test_whoever_runs_the_server_sees_nothing_even_as_a_judge(asked: Asked) -> None:
    roles = frozenset({"judge", "system_operator"})
    assert_refused(officer(asked, roles=roles), "operator-has-no-access")


def test_an_authority_that_is_designated_for_nothing_gets_nothing() -> None:
    assert_refused(officer(authority_roles=frozenset()), "authority-not-designated")


@pytest.mark.parametrize("role", sorted(SEE_NO_CONTENT))
@pytest.mark.parametrize("asked", [SHARED, OWN])
def test_an_overseer_sees_that_there_is_something_and_not_what(asked: Asked, role: str) -> None:
    assert_closed(officer(asked, roles=frozenset({role})), "role-sees-no-content")


def test_an_officer_of_the_state_who_need_not_know_the_case_is_refused() -> None:
    assert_refused(officer(OWN, cases=frozenset({"SI-CASE-0008"})), "no-need-to-know")


# ---- Gate 2: the grant ---------------------------------------------------------------------------


def test_another_state_sees_nothing_without_a_grant() -> None:
    assert_refused(replace(SHARED, grant=None, action=Action.SEE_METADATA), "no-grant")


def test_another_state_sees_nothing_without_a_grant_even_of_a_case_it_works_on() -> None:
    assert_refused(officer(OWN, state="HR", authority="court"), "no-grant")


def test_a_grant_to_a_neighbouring_authority_does_not_count() -> None:
    assert_refused(under(grantee=AuthorityId("tribunal")), "grant-to-another-authority")


@pytest.mark.parametrize("state", ["under_review", "offered", "suspended", "revoked", "closed"])
def test_only_a_grant_in_force_opens_anything(state: str) -> None:
    assert_refused(under(state=state), "grant-not-active")


def test_a_grant_is_valid_from_its_first_second() -> None:
    assert_refused(under(valid_from=NOW + SECOND), "grant-not-yet-valid")
    assert_allowed(under(valid_from=NOW))


def test_a_grant_has_expired_at_its_end() -> None:
    assert_refused(under(valid_until=NOW), "grant-expired")
    assert_allowed(under(valid_until=NOW + SECOND))


def test_a_grant_to_named_officers_is_for_them_alone() -> None:
    others = frozenset({PersonCode.parse("OFF-0002")})
    assert_refused(under(officers=others), "grant-names-other-officers")


def test_a_grant_that_names_nobody_is_for_every_officer_of_the_grantee() -> None:
    assert_allowed(under(officers=frozenset()))


@pytest.mark.parametrize("number", [1, 3])
def test_neither_the_original_nor_a_later_version_is_granted_with_a_copy(number: int) -> None:
    assert_refused(version(id=f"SI-2026-000123/{number}"), "version-not-granted")


@pytest.mark.parametrize("action", Action)
def test_every_other_mode_does_not_allow_this_action(action: Action) -> None:
    asked = replace(under(actions=frozenset(Action) - {action}), action=action)
    assert_refused(asked, "mode-does-not-allow")


def test_a_used_up_grant_opens_nothing_more_but_the_thing_itself_still_goes() -> None:
    used = replace(SHARED, uses_left=0)
    for action in OPENS:
        assert_refused(replace(used, action=action), "grant-used-up")
    for action in {Action.SEE_METADATA} | LEAVES:
        assert_allowed(replace(used, action=action))


# ---- Gates 3 to 5: the purpose, the case, the offence, the assurances ----------------------------


@pytest.mark.parametrize("purpose", sorted(NEVER_SHARED))
def test_some_purposes_are_never_served_whatever_anybody_granted(purpose: str) -> None:
    granted = under(purposes=frozenset({purpose}))
    provider = replace(PROVIDER, purposes=frozenset({purpose}))
    assert_refused(replace(granted, purpose=purpose, provider=provider), "purpose-excluded")


def test_an_own_officer_has_no_access_for_an_excluded_purpose_either() -> None:
    assert_refused(replace(OWN, purpose="media", provider=None), "purpose-excluded")


def test_a_trial_is_no_appeal() -> None:
    assert_refused(under(purposes=frozenset({"appeal"})), "purpose-not-granted")


def test_a_grant_for_another_case_does_not_count() -> None:
    assert_refused(under(case="SI-CASE-0008"), "case-not-covered")


def test_a_charge_of_another_offence_closes_the_grant() -> None:
    assert_refused(under(charged=frozenset({"murder", "theft"})), "offence-not-covered")


def test_a_death_penalty_assurance_is_missing_after_a_new_charge() -> None:
    assert_closed(under(assured=frozenset()), "assurance-missing")


def test_an_assurance_that_nobody_asked_for_replaces_none() -> None:
    assert_refused(under(assured=frozenset({Assurance.FAIR_TRIAL})), "assurance-missing")


def test_of_two_assurances_one_is_not_enough() -> None:
    both = GRANT.assurances | {Assurance.FAIR_TRIAL}
    assert_refused(under(assurances=both), "assurance-missing")
    assert_allowed(under(assurances=both, assured=both))


# ---- Gates 6 to 8: the recipient, the provider, onward sharing -----------------------------------


@pytest.mark.parametrize("role", sorted(NEVER_SHARED))
def test_an_authority_that_is_also_for_intelligence_is_no_recipient(role: str) -> None:
    asked = officer(authority_roles=frozenset({"court", role}))
    assert_refused(asked, "recipient-class-excluded")


def test_a_provider_that_names_others_excludes_the_recipient() -> None:
    named = frozenset({"DE", "tribunal"})
    assert_closed(provided(recipients=named), "provider-excludes-recipient")


def test_a_provider_may_name_the_authority_instead_of_its_state() -> None:
    assert_allowed(provided(recipients=frozenset({"court"})))


def test_a_provider_need_not_name_the_state_whose_item_it_is() -> None:
    provider = replace(PROVIDER, recipients=frozenset[str]())
    assert_allowed(replace(OWN, provider=provider), PERMITTED_OWN)


def test_a_provider_that_allows_another_purpose_excludes_this() -> None:
    assert_closed(provided(purposes=frozenset({"appeal"})), "provider-excludes-purpose")


def test_the_terms_of_a_provider_bind_the_own_officers_too() -> None:
    asked = replace(OWN, provider=replace(PROVIDER, purposes=frozenset({"appeal"})))
    assert_refused(asked, "provider-excludes-purpose")


def test_the_terms_of_a_provider_are_over_at_their_end() -> None:
    assert_closed(provided(valid_until=NOW), "provider-terms-over")
    assert_allowed(provided(valid_until=NOW + SECOND))
    assert_allowed(provided(valid_until=None))


@pytest.mark.parametrize(
    "changed",
    [{"recipients": frozenset()}, {"purposes": frozenset()}, {"valid_until": NOW - DAY}],
    ids=str,
)
def test_what_a_provider_excludes_it_can_consent_to(changed: Mapping[str, Any]) -> None:
    asked = provided(**changed)
    assert_allowed(replace(asked, consents=frozenset({"provider"})))
    assert isinstance(shipped().decide(replace(asked, consents=frozenset({"owner"}))), Deny)
    assert_allowed(replace(asked, action=Action.SEE_METADATA))


def test_what_is_passed_on_without_consent_is_closed() -> None:
    assert_refused(under(onward_allowed=False), "onward-without-consent")
    assert_allowed(under(is_onward=False, onward_allowed=False))


# ---- Gates 9 to 12: protection, classification, integrity, holds ---------------------------------


@pytest.mark.parametrize("asked", [SHARED, OWN])
def test_a_witness_s_protection_goes_before_everybody_s_interest(asked: Asked) -> None:
    asked = version(asked, measures=frozenset({"SI-MSR-000002"}))
    assert_closed(asked, "protective-measure")


def test_only_the_owner_s_protection_officer_sees_what_is_protected() -> None:
    protected = version(OWN, measures=frozenset({"SI-MSR-000002"}))
    protecting = officer(protected, roles=frozenset({"protection_officer"}))
    assert_allowed(protecting, PERMITTED_OWN)
    assert_refused(officer(protecting, authority="laboratory"), "protective-measure")


def test_whoever_does_not_continue_a_measure_gets_nothing_under_it() -> None:
    assert_closed(under(measures=frozenset()), "measure-not-continued")


def test_whoever_continues_one_measure_has_not_continued_the_other() -> None:
    both = SHARED.continued | {"SI-MSR-000002"}
    assert_refused(replace(SHARED, continued=both), "measure-not-continued")
    assert_allowed(replace(under(measures=both), continued=both))


@pytest.mark.parametrize("asked", [SHARED, OWN])
def test_what_is_more_secret_than_the_officer_is_cleared_for_is_closed(asked: Asked) -> None:
    assert_refused(officer(asked, clearance=0), "clearance-too-low")
    assert_refused(version(asked, classification=2), "clearance-too-low")


@pytest.mark.parametrize("status", ["quarantined", "void"])
def test_what_is_quarantined_is_not_shared_but_its_keepers_may_look(status: str) -> None:
    assert_closed(version(status=status), "quarantined")
    assert_allowed(version(OWN, status=status), PERMITTED_OWN)


def test_what_nobody_has_measured_for_two_years_is_not_shared() -> None:
    assert VERSION.verified_hours == 2 * 365 * 24
    stale = VERSION.verified_hours + 1
    assert_closed(version(verified_hours=stale), "integrity-not-verified-lately")
    assert_allowed(version(OWN, verified_hours=stale), PERMITTED_OWN)


@pytest.mark.parametrize("action", sorted(LEAVES))
@pytest.mark.parametrize("asked", [SHARED, OWN])
def test_what_another_authority_holds_does_not_leave_the_house(
    asked: Asked, action: Action
) -> None:
    held = version(asked, holds=frozenset({"tribunal"}))
    assert_refused(replace(held, action=action), "held-by-another")
    assert isinstance(shipped().decide(held), Allow)  # copies may leave


# ---- Files of rules ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    {
        "a typo in a keyword": PERMIT_ALL.replace("permit", "permitt"),
        "a typo in a variable": PERMIT_ALL.replace(";", " when { principle.clearance > 0 };"),
        "an attribute that is not known": PERMIT_ALL.replace(";", " when { principal.rank > 0 };"),
        "a type that is not known": PERMIT_ALL.replace("(principal,", "(principal is Clerk,"),
        "an action that is not known": PERMIT_ALL.replace("action,", 'action == Action::"delete",'),
        "an attribute of another type": PERMIT_ALL.replace(";", ' when { context.now == "now" };'),
        "a grant that need not be there": PERMIT_ALL.replace(
            ";", ' when { context.grant.state == "active" };'
        ),
        "no name": "permit (principal, action, resource);\n",
        "no name but for one": PERMIT_ALL + "forbid (principal, action, resource);\n",
        "a name of another form": PERMIT_ALL.replace("all", "All Of It"),
        "nothing": "",
        "nothing but a comment": "// permit (principal, action, resource);\n",
        "no Cedar at all": "Officers of another State see nothing.\n",
        "another language": '{"version": "2012-10-17", "Statement": []}\n',
    }.items(),
    ids=lambda each: each[0],
)
def test_rules_with_a_mistake_are_refused(text: tuple[str, str]) -> None:
    Policy(PERMIT_ALL, shipped_schema())
    with pytest.raises(SettingsError):
        Policy(text[1], shipped_schema())


@pytest.mark.parametrize(
    "word",
    ["principal.roles", "resource.owner_state", "grant.valid_until", "context.now", "hand_over"],
)
def test_a_typo_in_the_rules_that_we_ship_would_be_found(word: str) -> None:
    with pytest.raises(SettingsError):
        Policy(shipped().text.replace(word, word[:-1], 1), shipped_schema())


def test_a_schema_with_a_mistake_is_refused() -> None:
    with pytest.raises(SettingsError):
        Policy(PERMIT_ALL, shipped_schema().replace("entity", "entitty", 1))


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_rule_that_cannot_be_evaluated_refuses_what_others_permit(effect: str) -> None:
    overflows = f"when {{ principal.clearance * {2**63 - 1} > 1 }}"
    rule = f'@id("broken")\n{effect} (principal, action, resource) {overflows};\n'
    policy = Policy(PERMIT_ALL + rule, shipped_schema())
    assert told(policy.decide(officer(clearance=2))) == ("deny", BROKEN, (BROKEN,))
    assert told(policy.decide(officer(clearance=0))) == ("allow", "all", ())


def test_what_no_rule_permits_is_refused() -> None:
    rule = '@id("only-own")\npermit (principal, action, resource) when { !(context has grant) };\n'
    policy = Policy(rule, shipped_schema())
    assert told(policy.decide(SHARED)) == ("deny", NO_RULE, (NO_RULE,))
    assert told(policy.decide(OWN)) == ("allow", "only-own", ())


def test_a_decision_names_the_very_rules_it_was_made_by() -> None:
    changed = Policy(shipped().text + "// and nothing else\n", shipped_schema())
    assert changed.decide(SHARED).policy == changed.digest != shipped().digest


# ---- Deciding again ------------------------------------------------------------------------------


@settings(max_examples=150)
@given(questions())
def test_what_was_decided_is_decided_again_from_what_was_recorded(asked: Asked) -> None:
    recorded = parse_canonical(canonical(facts_document(asked)), "facts")
    assert shipped().decide_again(recorded) == shipped().decide(asked)


def test_other_versions_of_a_grant_are_not_recorded_with_an_access_to_this() -> None:
    many = frozenset(f"SI-2026-{number:06d}/2" for number in range(1, 1001))
    assert facts_document(under(versions=many)) == facts_document(SHARED)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"request": {}},
        {"request": [], "entities": []},
        {"request": facts_document(SHARED)["request"], "entities": {}},
    ],
    ids=str,
)
def test_what_are_no_recorded_facts_is_not_decided(facts: dict[str, Json]) -> None:
    with pytest.raises(MalformedError):
        shipped().decide_again(facts)


def test_facts_of_which_a_part_is_lost_allow_nothing() -> None:
    whole = facts_document(SHARED)
    assert told(shipped().decide_again({**whole, "entities": []}))[:2] == ("deny", BROKEN)


# ---- Rules as they are told ----------------------------------------------------------------------


@pytest.mark.parametrize("rule", shipped().rules)
def test_a_rule_is_told_whole_and_alone(rule: str) -> None:
    told_of = Policy(rule_text(shipped().text, rule), shipped_schema())
    assert told_of.rules == (rule,)
    refuses = told(told_of.decide(SHARED))[0] == "deny"
    assert refuses == (rule != PERMITTED_UNDER_GRANT)


def test_a_rule_is_told_with_the_comment_above_it_and_no_other() -> None:
    above, other = "// Not at night.", "// Nor by day."
    night = f'{above}\n@id("night")\nforbid (principal, action, resource);'
    day = f'{other}\n@id("day")\nforbid (principal, action, resource);'
    policy = f"// ---- Gate 1 ----\n\n{night}\n\n{day}\n\n{PERMIT_ALL}"
    assert rule_text(policy, "night") == night
    assert rule_text(policy, "day") == day
    assert rule_text(policy, "dusk") == ""
