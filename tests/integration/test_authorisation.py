"""Who may call what: role by route by own or other State. Written as data that a reader can check.

Every role is an officer of the State whose item, case, grant it is (`own`), and of Bravo, to which the item
was granted and which is the other side of everything (`other`). `stranger` is a prosecutor of the own State
who does not need to know the case; `third` an officer of the central authority of a State without part.
A route without a row fails the build.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from api.tokens import SCOPES
from evidence_store.cooperation.registry import OfficerRole as R
from tests.authorisation import Hall, opened, outcome, requests_of

ALL = frozenset(R)
WORKING = ALL - {R.OPERATOR}
NOBODY: frozenset[R] = frozenset()
INTAKE = frozenset({R.INVESTIGATOR, R.CUSTODIAN, R.EXAMINER, R.PROSECUTOR})
HANDLERS = INTAKE | {R.REGISTRAR, R.CENTRAL}
DRAFTERS = frozenset({R.INVESTIGATOR, R.PROSECUTOR, R.CENTRAL, R.JUDGE})
EXECUTORS = WORKING - {R.EXAMINER, R.DEFENCE, R.DATA_PROTECTION, R.AUDITOR, R.REGISTRY}
PROPOSERS = frozenset({R.PROSECUTOR, R.CENTRAL, R.JUDGE})
SEE_CONTENT = WORKING - {R.DATA_PROTECTION, R.AUDITOR, R.REGISTRY}
INDEXERS = frozenset({R.PROSECUTOR, R.CENTRAL, R.CUSTODIAN, R.INVESTIGATOR})
SEARCHERS = frozenset({R.PROSECUTOR, R.CENTRAL, R.INVESTIGATOR})
INTERVIEWERS = SEARCHERS | {R.PROTECTION, R.VICTIMS, R.JUDGE}
ENDANGERED = frozenset({R.PROTECTION, R.PROSECUTOR, R.INVESTIGATOR, R.VICTIMS})
ORDERERS = frozenset({R.JUDGE, R.PROTECTION, R.PROSECUTOR})
REGISTRY, CENTRAL = frozenset({R.REGISTRY}), frozenset({R.CENTRAL})
ALLOWED, REFUSED, INVISIBLE = "allowed", "refused", "invisible"


@dataclass(frozen=True)
class Side:
    """Which roles of a State are allowed; what the others get, and the system operator if otherwise."""

    allowed: frozenset[R]
    others: str = REFUSED
    operator: str | None = None

    def expected(self, role: R) -> str:
        if role in self.allowed:
            return ALLOWED
        return self.operator if role is R.OPERATOR and self.operator else self.others


@dataclass(frozen=True)
class Row:
    """A route's scope, and what each caller gets."""

    scope: str
    own: Side
    other: Side
    stranger: str
    third: str


def seen() -> Row:
    """Reading what belongs to the own State, by those who need to know it."""
    own = Side(WORKING, INVISIBLE)
    return Row("read", own, Side(NOBODY, INVISIBLE), INVISIBLE, INVISIBLE)


EVERYBODY = Row("read", Side(ALL), Side(ALL), ALLOWED, ALLOWED)
SIDES = Row("read", Side(WORKING, INVISIBLE), Side(WORKING, INVISIBLE), ALLOWED, INVISIBLE)
UNSEEN = Side(NOBODY, INVISIBLE)


def own_act(scope: str, roles: frozenset[R]) -> Row:
    """An act on an own item, by roles that need to know it; for everybody else it is not there."""
    return Row(scope, Side(roles, REFUSED, INVISIBLE), UNSEEN, INVISIBLE, INVISIBLE)


def either(scope: str, roles: frozenset[R], *, stranger: str, third: str) -> Row:
    """What any State does for itself, by roles."""
    return Row(scope, Side(roles), Side(roles), stranger, third)


REGISTRARS = Row("registry", Side(REGISTRY), Side(NOBODY), REFUSED, REFUSED)
UPLOADS = Row("upload", UNSEEN, UNSEEN, INVISIBLE, INVISIBLE)  # they are one officer's own
SUBSCRIBING = frozenset({R.CENTRAL, R.REGISTRAR})
SUBSCRIBERS = Row("webhook", Side(SUBSCRIBING), Side(SUBSCRIBING), REFUSED, ALLOWED)
BY_HAND = Side(NOBODY, REFUSED, INVISIBLE)

TABLE = {
    # what is seen
    "list_cases": EVERYBODY,  # of what the caller knows; so are all lists
    "get_case": seen(),
    "list_items": EVERYBODY,
    "get_item": Row(
        "read", Side(WORKING, INVISIBLE), Side(WORKING, INVISIBLE), INVISIBLE, INVISIBLE
    ),
    "list_versions": Row(
        "read", Side(WORKING, INVISIBLE), Side(WORKING, INVISIBLE), INVISIBLE, INVISIBLE
    ),
    "get_custody": seen(),
    "get_receipts": seen(),
    "list_events": seen(),
    "get_proof_bundle": seen(),
    "list_measures": seen(),
    "get_measure": seen(),
    "list_accesses": seen(),
    "list_states": EVERYBODY,
    "get_state": EVERYBODY,
    "list_institutions": EVERYBODY,
    "list_authorities": EVERYBODY,
    "get_authority": EVERYBODY,
    "list_officers": EVERYBODY,
    "get_officer": EVERYBODY,
    "list_entries": EVERYBODY,
    "list_changes": REGISTRARS,
    "get_change": REGISTRARS,
    "list_request_kinds": EVERYBODY,
    "list_requests": EVERYBODY,
    "get_request": Row("read", UNSEEN, Side(WORKING, INVISIBLE), INVISIBLE, INVISIBLE),  # a draft
    "list_grants": EVERYBODY,
    "get_grant": SIDES,
    "list_consents": EVERYBODY,
    "get_consent": SIDES,
    "list_teams": EVERYBODY,
    "get_team": SIDES,
    "list_transfers": EVERYBODY,
    "get_transfer": SIDES,
    "transfer_events": SIDES,
    "request_events": Row("read", UNSEEN, Side(WORKING, INVISIBLE), INVISIBLE, INVISIBLE),
    "list_webhooks": SUBSCRIBERS,
    # what is done
    "open_case": Row(
        "upload",
        Side(frozenset({R.PROSECUTOR, R.INVESTIGATOR, R.CENTRAL, R.REGISTRY})),
        Side(NOBODY),
        ALLOWED,
        REFUSED,
    ),
    "register_item": Row(
        "upload", Side(INTAKE), Side(NOBODY, REFUSED), INVISIBLE, REFUSED
    ),  # see UNASSIGNED
    "add_item_version": own_act("upload", INTAKE),
    "record_act": own_act("custody", HANDLERS),
    "verify_digest": Row(
        "read", Side(WORKING, INVISIBLE), Side(WORKING, INVISIBLE), INVISIBLE, INVISIBLE
    ),
    "open_access": Row(
        "access",
        Side(SEE_CONTENT, REFUSED, INVISIBLE),
        Side(SEE_CONTENT, REFUSED, INVISIBLE),
        INVISIBLE,
        INVISIBLE,
    ),
    "make_package": Row(
        "access",
        Side(SEE_CONTENT, REFUSED, INVISIBLE),
        Side(SEE_CONTENT, REFUSED, INVISIBLE),
        INVISIBLE,
        INVISIBLE,
    ),
    "end_sessions_of": REGISTRARS,  # and the registry officers of another authority, of theirs
    "end_tokens_of": REGISTRARS,
    "propose_entry": REGISTRARS,
    "approve_change": REGISTRARS,
    "reject_change": REGISTRARS,
    "draft_request": either("request", DRAFTERS, stranger=ALLOWED, third=ALLOWED),
    "amend_request": Row(
        "request", UNSEEN, Side(EXECUTORS, REFUSED, INVISIBLE), INVISIBLE, INVISIBLE
    ),
    "take_request_step": Row(
        "request", UNSEEN, Side(EXECUTORS, REFUSED, INVISIBLE), INVISIBLE, INVISIBLE
    ),
    "propose_terms": Row("grant", Side(PROPOSERS), Side(NOBODY), INVISIBLE, INVISIBLE),
    "take_grant_step": Row(
        "grant", Side(PROPOSERS, REFUSED, INVISIBLE), UNSEEN, ALLOWED, INVISIBLE
    ),  # not offered yet
    # By token nobody signs what is for an officer's own hand; `test_signed_by_hand.py` has who may.
    "prepare_grant_step": Row("grant", BY_HAND, UNSEEN, REFUSED, INVISIBLE),
    "sign_grant_step": Row("grant", BY_HAND, UNSEEN, REFUSED, INVISIBLE),
    "ask_for_consent": either("grant", PROPOSERS, stranger=ALLOWED, third=INVISIBLE),
    "answer": Row(
        "grant",
        Side(CENTRAL, REFUSED, INVISIBLE),
        Side(NOBODY, REFUSED, INVISIBLE),
        REFUSED,
        INVISIBLE,
    ),
    "ask_for_measure": Row("grant", Side(ENDANGERED), Side(NOBODY), INVISIBLE, REFUSED),
    "take_measure_step": own_act("grant", ORDERERS),
    "propose_joint_team": either("grant", CENTRAL, stranger=REFUSED, third=ALLOWED),
    "take_team_step": Row(
        "grant",
        Side(NOBODY, REFUSED, INVISIBLE),  # it has signed
        Side(CENTRAL, REFUSED, INVISIBLE),
        REFUSED,
        INVISIBLE,
    ),
    "enter_in_index": Row("request", Side(INDEXERS), Side(NOBODY), INVISIBLE, INVISIBLE),
    "withhold_from_index": Row("request", Side(INDEXERS), Side(NOBODY), INVISIBLE, INVISIBLE),
    "search_index": either("request", SEARCHERS, stranger=ALLOWED, third=ALLOWED),
    "register_person_statement": Row(
        "request", Side(INTERVIEWERS), Side(NOBODY), INVISIBLE, INVISIBLE
    ),
    "look_up_statement": either(
        "request", frozenset({R.PROTECTION}), stranger=REFUSED, third=REFUSED
    ),
    "offer_transfer": Row("transfer", Side(HANDLERS), Side(NOBODY), INVISIBLE, INVISIBLE),
    "take_transfer_step": Row(
        "transfer",
        Side(NOBODY, REFUSED, INVISIBLE),  # it is for the receiver to accept
        Side(HANDLERS, REFUSED, INVISIBLE),
        REFUSED,
        INVISIBLE,
    ),
    "prepare_transfer_step": Row("transfer", BY_HAND, BY_HAND, REFUSED, INVISIBLE),
    "sign_transfer_step": Row("transfer", BY_HAND, BY_HAND, REFUSED, INVISIBLE),
    "subscribe": SUBSCRIBERS,
    "unsubscribe": Row("webhook", Side(SUBSCRIBING), Side(NOBODY), REFUSED, INVISIBLE),
    # uploads
    "create_upload": Row("upload", Side(INTAKE), Side(NOBODY), INVISIBLE, REFUSED),
    "upload_offset": UPLOADS,
    "get_upload": UPLOADS,
    "upload_events": UPLOADS,
    "end_upload": UPLOADS,
    "append_to_upload": UPLOADS,
}
# Roles that would be allowed, but know no such thing: for them it is not there.
UNASSIGNED = {
    "register_item": INTAKE,
    "create_upload": INTAKE,
    "offer_transfer": HANDLERS,
    "propose_terms": PROPOSERS,
    "ask_for_measure": ENDANGERED,
    "enter_in_index": INDEXERS,
    "withhold_from_index": INDEXERS,
    "register_person_statement": INTERVIEWERS,
    "unsubscribe": SUBSCRIBING,
}
PUBLIC = {
    "checkpoint",
    "tile",
    "keys",
    "policy",
    "proof",
    "health",
    "ready",
    "upload_options",
    "list_problems",
    # before anybody has signed in
    "ask_passkey",
    "sign_in_by_passkey",
    "sign_in_by_password",
    "list_providers",
    "begin_at_provider",
    "come_back_from_provider",
    "ask_enrolment",
    "enrol_passkey",
    "enrol_password",
}
# For whoever has signed in, for themselves: no token opens them.
SESSION = {
    "who_am_i",
    "sign_out",
    "list_sessions",
    "end_sessions",
    "end_session",
    "issue_enrolment",
    "confirm_enrolment",
    "list_enrolments",
    "cancel_enrolment",
    "make_a_token",
    "list_my_tokens",
    "end_a_token",
}
# For other instances, by the signature of an authority: `test_peers.py` has what each may see.
PEER = {
    "who_is_this_peer",
    "list_accesses_of_provider",
    "list_grants_of_peer",
    "get_grant_of_peer",
    "get_transfer_of_peer",
    "deliver_package",
    "get_delivery",
}


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    yield from opened(tmp_path_factory.mktemp("hall") / "home")


def operations(hall: Hall) -> dict[str, tuple[str, str]]:
    """Every operation of the OpenAPI: its method and path."""
    found = hall.doors(None, "GET", "/v1/openapi.json").json()
    return {
        operation["operationId"]: (method, path)
        for path, each in found["paths"].items()
        for method, operation in each.items()
    }


def test_every_route_is_public_or_has_a_row_and_a_request(hall: Hall) -> None:
    assert set(operations(hall)) == PUBLIC | SESSION | PEER | set(TABLE)
    assert set(requests_of(hall)) == set(TABLE)
    assert {row.scope for row in TABLE.values()} <= set(SCOPES)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_caller_gets_what_the_table_says(hall: Hall, name: str) -> None:
    row, make = TABLE[name], requests_of(hall)[name]
    expected = {f"own-{role}": row.own.expected(role) for role in R}
    for role in R:
        unassigned = role in UNASSIGNED.get(name, NOBODY)
        expected[f"other-{role}"] = INVISIBLE if unassigned else row.other.expected(role)
    expected |= {"stranger": row.stranger, "c-central": row.third}
    found = {}
    for caller in expected:
        method, path, more = make(caller)
        found[caller] = outcome(hall.doors(caller, method, path, **more))
    assert found == expected


def test_nobody_and_a_token_without_the_scope_are_refused_everywhere(hall: Hall) -> None:
    for name, make in requests_of(hall).items():
        method, path, more = make("own-prosecutor")
        headers = dict(more.pop("headers", {}))
        answer = hall.doors(None, method, path, headers=headers, **more)
        assert answer.status_code == 401, name
        others = [each for each in SCOPES if each != TABLE[name].scope]
        headers["Authorization"] = f"Bearer {hall.doors.token('own-prosecutor', *others)}"
        answer = hall.doors(None, method, path, headers=headers, **more)
        assert answer.status_code == 403, name


@pytest.mark.parametrize("name", sorted(SESSION | PEER))
def test_no_token_opens_what_is_for_sessions_and_peers(hall: Hall, name: str) -> None:
    method, path = operations(hall)[name]
    token = hall.doors.token(f"own-{R.REGISTRY}", *SCOPES)
    for headers in ({}, {"Authorization": f"Bearer {token}"}):
        more = {
            "headers": {**headers, "Sec-Fetch-Site": "same-origin"},
            **({"json": {}} if method in {"post", "put"} else {}),
        }
        assert hall.doors(None, method, path, **more).status_code == 401, headers


# For each parameter that names something: one that is there and not the caller's to know, and one
# that never was.
NAMED: dict[str, Callable[[Hall], tuple[str, str]]] = {
    "{ern}": lambda hall: (hall.item(), "SI-2026-999999"),
    "{case}": lambda hall: (str(hall.world.case), "SI-CASE-9999"),
    "/v1/requests/{identifier}": lambda hall: (
        hall.once("request", hall.drafted),
        "SI-REQ-999999",
    ),
    "/v1/grants/{identifier}": lambda hall: (hall.active(), "SI-GRT-999999"),
    "/v1/consents/{identifier}": lambda hall: (
        hall.once("consent", hall.consent),
        "SI-CNS-999999",
    ),
    "/v1/measures/{identifier}": lambda hall: (
        hall.once("measure", hall.measure),
        "SI-MSR-999999",
    ),
    "/v1/teams/{identifier}": lambda hall: (hall.once("team", hall.team), "SI-JIT-999999"),
    "/v1/transfers/{identifier}": lambda hall: (
        hall.once("transfer", hall.transfer),
        "SI-TRF-999999",
    ),
    "/v1/uploads/{identifier}": lambda hall: (
        hall.once("upload", lambda: hall.upload("prosecutor")),
        "f" * 32,
    ),
    "/v1/webhooks/{identifier}": lambda hall: (hall.webhook(), "f" * 16),
    "{change}": lambda hall: (hall.once("change", hall.change), "SI-REG-999999"),
}
OPEN_TO_ALL = (
    "/v1/states/",
    "/v1/authorities/",
    "/v1/officers/",
    "/v1/log/",
    "/v1/registry/{kind}",
)


def test_another_states_identifiers_are_answered_like_what_never_was(hall: Hall) -> None:
    """Whole answers, but for the request's identifier and the one that was asked for."""
    made = requests_of(hall)
    for name, (method, path) in operations(hall).items():
        if "{" not in path or path.startswith(OPEN_TO_ALL) or name not in TABLE:
            continue
        key = next(each for each in NAMED if each in path)
        parameter = key[key.index("{") :]
        there, never = NAMED[key](hall)
        _, _, more = made[name]("c-central")
        answers = []
        for identifier in (there, never):
            answer = hall.doors("c-central", method, path.replace(parameter, identifier), **more)
            body = json.loads(answer.text) if answer.content else {}
            told = json.dumps({**body, "request_id": ""}).replace(identifier, "")
            headers = {
                name: value
                for name, value in answer.headers.items()
                if name not in {"x-request-id", "content-length"}
            }
            answers.append((answer.status_code, told, headers))
        assert answers[0] == answers[1], name
        assert answers[0][0] == (403 if parameter == "{change}" else 404), name
