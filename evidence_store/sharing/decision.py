"""The decision on an access: the facts, the rules in `policies/`, and Allow or Deny with a name.

The rules are Cedar, read once and checked against a schema; a mistake in them stops the system
from starting. A refusal is named by the first gate that closed, in the order of the file; all
that closed are told with it. Facts go in, a decision comes out: nothing is looked up here.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any, cast

import cedarpy

from evidence_store.canonical import Json
from evidence_store.errors import MalformedError, SettingsError
from evidence_store.sharing.grant import Effective
from evidence_store.sharing.terms import Action

NEVER = 2**40  # seconds since 1970: later than every date
NO_RULE = "no-rule-permits"
BROKEN = "rule-could-not-be-evaluated"


@dataclass(frozen=True, slots=True)
class OfficerFacts:
    """Who asks, as the registry has it today."""

    code: str
    authority: str
    state: str
    roles: frozenset[str]
    authority_roles: frozenset[str]
    clearance: int
    cases: frozenset[str]


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What is asked for. `measures` are those in force that this version does not satisfy."""

    id: str
    item: str
    case: str
    owner: str
    owner_state: str
    custodian: str
    status: str
    classification: int
    verified_hours: int
    holds: frozenset[str] = frozenset()
    measures: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """What whoever provided the item allows."""

    recipients: frozenset[str]
    purposes: frozenset[str]
    valid_until: datetime | None  # None: no end is known


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, when, for which purpose, under which grant."""

    action: Action
    purpose: str
    now: datetime
    officer: OfficerFacts
    version: VersionFacts
    grant: Effective | None = None
    uses_left: int = 0
    provider: ProviderFacts | None = None
    consents: frozenset[str] = frozenset()
    continued: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Allow:
    """Allowed, by this rule of the policy of this digest."""

    rule: str
    policy: str
    text = "allow"


@dataclass(frozen=True, slots=True)
class Deny:
    """Denied, by this rule; `closed` are all the gates that closed, in order."""

    rule: str
    policy: str
    closed: tuple[str, ...] = ()
    text = "deny"


Decision = Allow | Deny


class Policy:
    """Rules that can be decided by."""

    def __init__(self, text: str, schema: str, name: str = "policy") -> None:
        """Read and check the rules.

        Raises:
            SettingsError: if they cannot be read, speak of what the schema does not know, or one
                has no name.
        """
        self.text = text
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self.rules = tuple(
            dict.fromkeys(re.findall(r'^@id\("([a-z0-9-]+)"\)$', text, re.MULTILINE))
        )
        try:
            self._set = cedarpy.PolicySet.from_str(text)
            self._schema = cedarpy.Schema.from_str(schema)
            result = cedarpy.validate_policies(text, schema)
        except ValueError as error:
            raise SettingsError(f"{name}: the rules cannot be read: {error}") from None
        if not result.validation_passed:
            raise SettingsError(f"{name}: {'; '.join(str(each) for each in result.errors)}")
        bodies = len(re.findall(r"^\s*(?:permit|forbid)\b", text, re.MULTILINE))
        names = len(re.findall(r'^\s*@id\("[a-z0-9-]+"\)$', text, re.MULTILINE))
        if not bodies or bodies != names:
            raise SettingsError(f'{name}: expected a name before every rule, as in @id("no-grant")')

    def decide(self, asked: Asked) -> Decision:
        """The decision. A rule that cannot be evaluated refuses."""
        return self._decided(_request(asked), _entities(asked))

    def decide_again(self, facts: Mapping[str, Json]) -> Decision:
        """What these rules decide of facts that were recorded by `facts_document`.

        Raises:
            MalformedError: if they are none.
        """
        match facts:
            case {"request": dict(request), "entities": list(entities)} if all(
                isinstance(each, dict) for each in entities
            ):
                try:
                    return self._decided(request, cast("list[dict[Any, Any]]", entities))
                except (KeyError, TypeError, ValueError):
                    pass
        raise MalformedError("decision: expected facts as they were recorded")

    def _decided(self, request: dict[Any, Any], entities: list[dict[Any, Any]]) -> Decision:
        result = cedarpy.is_authorized(request, self._set, entities, schema=self._schema)
        diagnostics = result.diagnostics
        named = set(diagnostics.id_annotations_by_reason.values())
        rules = tuple(rule for rule in self.rules if rule in named)
        if diagnostics.errors:
            return Deny(BROKEN, self.digest, (BROKEN,))
        if result.allowed and rules:
            return Allow(rules[0], self.digest)
        return Deny(rules[0] if rules else NO_RULE, self.digest, rules or (NO_RULE,))


@cache
def shipped() -> Policy:
    """The rules that come with the system.

    Raises:
        SettingsError: as `Policy`.
    """
    return Policy(_file("access.cedar"), shipped_schema(), "access.cedar")


def shipped_schema() -> str:
    """What rules may speak of."""
    return _file("access.cedarschema")


def _file(name: str) -> str:
    folder = resources.files("evidence_store.sharing") / "policies"
    return (folder / name).read_text(encoding="utf-8")


def facts_document(asked: Asked) -> dict[str, Json]:
    """The facts as they are recorded with a decision, so that it can be decided again."""
    return {"request": _request(asked), "entities": [*_entities(asked)]}


def rule_text(policy: str, rule: str) -> str:
    """A rule as it is written, with the comment above it; empty if the policy has no such rule."""
    blocks = re.split(r"\n\s*\n", policy)
    return "\n\n".join(each.strip() for each in blocks if f'@id("{rule}")' in each)


def _request(asked: Asked) -> dict[str, Any]:
    context: dict[str, Any] = {
        "now": int(asked.now.timestamp()),
        "purpose": asked.purpose,
        "offences": [] if asked.grant is None else sorted(asked.grant.charged),
        "consents": sorted(asked.consents),
        "continued": sorted(asked.continued),
    }
    if asked.grant is not None:
        context["grant"] = _grant(asked.grant, asked.version.id, asked.uses_left)
    if asked.provider is not None:
        context["provider"] = {
            "recipients": sorted(asked.provider.recipients),
            "purposes": sorted(asked.provider.purposes),
            "valid_until": _seconds(asked.provider.valid_until),
        }
    return {
        "principal": {"type": "Officer", "id": asked.officer.code},
        "action": {"type": "Action", "id": asked.action.value},
        "resource": {"type": "Version", "id": asked.version.id},
        "context": context,
    }


def _seconds(end: datetime | None) -> int:
    return NEVER if end is None else int(end.timestamp())


def _grant(grant: Effective, version: str, uses_left: int) -> dict[str, Any]:
    return {
        "state": grant.state,
        "grantee": grant.grantee.value,
        "officers": sorted(map(str, grant.officers)),
        "purposes": sorted(grant.purposes),
        "case": grant.case,
        "offences": sorted(grant.offences),
        "versions": sorted(grant.versions & {version}),  # of a thousand, only what is asked for
        "actions": sorted(grant.actions),
        "valid_from": int(grant.valid_from.timestamp()),
        "valid_until": int(grant.valid_until.timestamp()),
        "uses_left": uses_left,
        "assurances": sorted(grant.assurances),
        "assured": sorted(grant.assured),
        "measures": sorted(grant.measures),
        "is_onward": grant.is_onward,
        "onward_allowed": grant.onward_allowed,
    }


def _entities(asked: Asked) -> list[dict[Any, Any]]:
    officer, version = asked.officer, asked.version
    return [
        {
            "uid": {"type": "Officer", "id": officer.code},
            "attrs": {
                "code": officer.code,
                "authority": officer.authority,
                "state": officer.state,
                "roles": sorted(officer.roles),
                "authority_roles": sorted(officer.authority_roles),
                "clearance": officer.clearance,
                "cases": sorted(officer.cases),
            },
            "parents": [],
        },
        {
            "uid": {"type": "Version", "id": version.id},
            "attrs": {
                "id": version.id,
                "item": version.item,
                "case": version.case,
                "owner": version.owner,
                "owner_state": version.owner_state,
                "custodian": version.custodian,
                "status": version.status,
                "classification": version.classification,
                "verified_hours": version.verified_hours,
                "holds": sorted(version.holds),
                "measures": sorted(version.measures),
            },
            "parents": [],
        },
    ]
