"""An instance with officers of every role in two States, and one request for each route.

The table of who may call what is data in `tests/integration/test_authorisation.py`.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

from api.serving import application
from api.uploading import Uploading
from evidence_store.cooperation.registry import (
    KIND_OF,
    AssignmentEntry,
    AuthorityRole,
    Entry,
    OfficerEntry,
    OfficerRole,
    document_of,
    tag_of,
)
from evidence_store.dossiers import Taken, new_dossier
from evidence_store.identifiers import AuthorityId, DossierKind, Role
from evidence_store.moment import Moment
from evidence_store.ports import CatalogWriter
from evidence_store.protecting import request_measure
from evidence_store.requesting import draft
from evidence_store.sharing.measure import MeasureType
from evidence_store.teaming import propose_team
from ingest.extraction.supervisor import Extractor
from tests.cooperation import (
    ALFA,
    ALWAYS,
    BRAVO,
    BRAVO_CENTRAL,
    CENTRAL_ROLES,
    Whole,
    World,
    authority,
)
from tests.doors import ORIGIN, Doors, instance_at

CONTENT = b"evidence"
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


@dataclass
class Hall:
    """The application, and officers: `own-<role>` of its State, `other-<role>` of Bravo."""

    doors: Doors
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def world(self) -> World[Whole]:
        return self.doors.world

    def once(self, name: str, make: Callable[[], str]) -> str:
        """A thing that every caller is asked about."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]

    def item(self) -> str:
        return self.once("item", lambda: str(self.world.item(CONTENT)))

    def proposed(self) -> str:
        """A grant to Bravo, under review; each time another."""
        return str(self.world.propose(self.world.document(self.item())))

    def active(self) -> str:
        """A grant that Bravo has."""

        def made() -> str:
            document = self.world.document(self.item(), mode="certified_copy")
            return str(self.world.grant(document))

        return self.once("grant", made)

    def drafted(self) -> str:
        """A request that Bravo drafts to this State; each time another."""
        document = {"kind": "training"}
        return str(draft(self.world.desk("b-prosecutor"), self.world.home, document))

    def consent(self) -> str:
        """A consent of this State, asked for by Bravo; each time another."""
        asked = {"subject": "onward", "grant": self.active(), "to": "charlie-central"}
        made = self.doors("b-prosecutor", "POST", "/v1/consents", json={**asked, "reason": "trial"})
        return str(made.json()["consent"])

    def measure(self) -> str:
        """A measure that is asked for; each time another, on an item of its own."""
        ern = self.world.item()
        desk = self.world.desk("prosecutor")
        return str(request_measure(desk, ern, MeasureType.REDACTION, [], "danger"))

    def team(self) -> str:
        """A team of both States that this one proposed, and only Bravo has to sign."""
        parties = [self.world.home, BRAVO_CENTRAL]
        return str(propose_team(self.world.desk("central"), parties, "case", "rules", ALWAYS))

    def transfer(self) -> str:
        """An offer of an item to Bravo; each time another."""
        made = self.doors("prosecutor", "POST", "/v1/transfers", json=self.offer())
        return str(made.json()["transfer"])

    def webhook(self) -> str:
        """A subscription of this State's central authority; each time another, in place of the last."""
        if "hook" in self.kept:
            self.doors(f"own-{OfficerRole.CENTRAL}", "DELETE", f"/v1/webhooks/{self.kept['hook']}")
        made = self.doors(f"own-{OfficerRole.CENTRAL}", "POST", "/v1/webhooks", json=HOOK)
        self.kept["hook"] = str(made.json()["webhook"])
        return self.kept["hook"]

    def offer(self) -> dict[str, Any]:
        return {
            "items": [str(self.world.item())], "to": "bravo-central", "to_person": "B",
            "purpose": "analysis", "reference": "Kt 1", "valid_until": "2099Z",
        }  # fmt: skip

    def change(self) -> str:
        """A change of the registry that is proposed; each time another."""
        made = self.doors("registrar", "POST", "/v1/registry", json={"entry": self.state()})
        return str(made.json()["change"])

    def state(self) -> dict[str, Any]:
        return {
            "entry": "state", "code": "XD", "name": "Delta", "kind": "state", "languages": ["en"],
        }  # fmt: skip

    def upload(self, name: str, content: bytes = CONTENT, *, partial: bool = True) -> str:
        """A partial upload of an officer's own, whole; none if the officer may not upload."""
        headers = {**BYTES, "Upload-Length": str(len(content)), "Upload-Concat": "partial"}
        if not partial:
            headers["Upload-Metadata"] = self.metadata()
            del headers["Upload-Concat"]
        made = self.doors(name, "POST", "/v1/uploads", headers=headers, content=content)
        return str(made.headers.get("location", "/" + "0" * 32).rpartition("/")[2])

    def metadata(self) -> str:
        said = {"filename": "a.txt", "case": str(self.world.case)}
        return ",".join(
            f"{name} {base64.b64encode(each.encode()).decode()}" for name, each in said.items()
        )

    def abroad(self, name: str) -> str:
        """An authority that is not the caller's."""
        return "bravo-central" if name == "c-central" else "charlie-central"

    @property
    def exhibit(self) -> dict[str, Any]:
        return {
            "case": str(self.world.case), "seal_numbers": ["A-1"], "container": "bag",
            "condition": "dry", "method": "by hand", "collected_by": "A", "collected_at": "unknown",
        }  # fmt: skip


def opened(home: Path) -> Iterator[Hall]:
    """A hall; close it by going on."""
    with closing(instance_at(home)) as instance, Extractor(workers=1) as extractor:
        world = World(Whole(instance), vault=instance.vault)
        hire_everybody(world)
        uploading = Uploading(instance, instance.uploads, extractor)
        app = application(instance, uploading, ORIGIN)
        app.state.is_stopping = lambda: True  # streams say what there is, and end
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
            hall = Hall(Doors(world, uploading, client))
            hall.active()
            yield hall


def hire_everybody(world: World[Whole]) -> None:
    """Officers of every role in both States, in one change; those of this State know the case."""
    with world.catalog.write() as writer:
        made: list[Entry] = [
            authority(of, state, *CENTRAL_ROLES, AuthorityRole.PROTECTION_UNIT)
            for of, state in ((world.home, ALFA), (BRAVO_CENTRAL, BRAVO))
        ]
        for side, of in (("own", world.home), ("other", BRAVO_CENTRAL)):
            made += [_officer(world, writer, f"{side}-{role}", of, role) for role in OfficerRole]
        made.append(_officer(world, writer, "stranger", world.home, OfficerRole.PROSECUTOR))
        assigned = [
            AssignmentEntry(world.people[f"own-{role}"], world.case, Moment.parse("2099Z"))
            for role in OfficerRole
        ]
        made += assigned
        change = new_dossier(
            writer,
            world.ledger.recorder,
            DossierKind.REGISTRY,
            Taken(
                "founded",
                world.people["registrar"],
                {},
                {"entries": [document_of(each) for each in made]},
            ),
            state="approved",
            tags={"entry": [tag_of(KIND_OF[type(each)], each.key) for each in made]},
        )
        for each in assigned:
            until = each.until.earliest
            assert until is not None
            writer.dossiers.assign(each.officer, each.case_id, until, change)


def _officer(
    world: World[Whole], writer: CatalogWriter, name: str, of: AuthorityId, role: OfficerRole
) -> OfficerEntry:
    world.people[name] = code = writer.next_person(Role.OFFICER)
    return OfficerEntry(code, name, of, {role: ALWAYS})


HOOK = {"url": "https://court.example/hook", "events": ["transfer.offered"]}
Asked = tuple[str, str, dict[str, Any]]
DIGEST = hashlib.sha256(CONTENT).hexdigest()
_SOUGHT = {"crime": "a", "district": "b", "month": "2022-03"}
_PERSON = {"name": "A B", "born": "1970-05-14"}
_WHY = {"reason": "danger"}


def _reading(hall: Hall) -> dict[str, Callable[[str], Asked]]:
    """Requests that change nothing: the path."""
    first = {
        "list_cases": lambda: "/v1/cases",
        "get_case": lambda: f"/v1/cases/{hall.world.case}",
        "list_items": lambda: "/v1/items",
        "get_item": lambda: f"/v1/items/{hall.item()}",
        "list_versions": lambda: f"/v1/items/{hall.item()}/versions",
        "get_custody": lambda: f"/v1/items/{hall.item()}/custody",
        "get_receipts": lambda: f"/v1/items/{hall.item()}/receipts",
        "list_events": lambda: f"/v1/items/{hall.item()}/events",
        "get_proof_bundle": lambda: f"/v1/items/{hall.item()}/proof",
        "list_measures": lambda: f"/v1/items/{hall.item()}/measures",
        "get_measure": lambda: f"/v1/measures/{hall.once('measure', hall.measure)}",
        "list_accesses": lambda: f"/v1/accesses?item={hall.item()}",
        "list_states": lambda: "/v1/states",
        "get_state": lambda: "/v1/states/XB",
        "list_institutions": lambda: "/v1/institutions",
        "list_authorities": lambda: "/v1/authorities",
        "get_authority": lambda: "/v1/authorities/bravo-central",
        "list_officers": lambda: "/v1/officers",
        "get_officer": lambda: f"/v1/officers/{hall.world.people['registrar']}",
        "list_entries": lambda: "/v1/registry/state",  # each kind: `test_what_is_hidden.py`
        "list_changes": lambda: "/v1/registry/changes",
        "get_change": lambda: f"/v1/registry/changes/{hall.once('change', hall.change)}",
        "list_request_kinds": lambda: "/v1/request-kinds",
        "list_requests": lambda: "/v1/requests",
        "get_request": lambda: f"/v1/requests/{hall.once('request', hall.drafted)}",
        "list_grants": lambda: "/v1/grants",
        "get_grant": lambda: f"/v1/grants/{hall.active()}",
        "list_consents": lambda: "/v1/consents",
        "get_consent": lambda: f"/v1/consents/{hall.once('consent', hall.consent)}",
        "list_teams": lambda: "/v1/teams",
        "get_team": lambda: f"/v1/teams/{hall.once('team', hall.team)}",
        "list_transfers": lambda: "/v1/transfers",
        "get_transfer": lambda: f"/v1/transfers/{hall.once('transfer', hall.transfer)}",
        "transfer_events": lambda: f"/v1/transfers/{hall.once('transfer', hall.transfer)}/events",
        "request_events": lambda: f"/v1/requests/{hall.once('request', hall.drafted)}/events",
        "list_webhooks": lambda: "/v1/webhooks",
    }

    def got(path: Callable[[], str]) -> Callable[[str], Asked]:
        return lambda _: ("GET", path(), {})

    return {name: got(path) for name, path in first.items()}


def _changing(hall: Hall) -> dict[str, Callable[[str], Asked]]:
    """Requests that are acts, with JSON: the method, the path and the body."""

    def posted(path: Callable[[], str], body: Callable[[str], Any]) -> Callable[[str], Asked]:
        return lambda name: ("POST", path(), {"json": body(name)})

    return {
        "open_case": posted(lambda: "/v1/cases", lambda _: {"title": "Case"}),
        "register_item": posted(lambda: "/v1/items", lambda _: hall.exhibit),
        "add_item_version": posted(
            lambda: f"/v1/items/{hall.item()}/versions",
            lambda name: {"upload": hall.upload(name), "type": "redacted", "method": name},
        ),
        "record_act": posted(lambda: f"/v1/items/{hall.item()}/acts", lambda _: {"act": "moved"}),
        "verify_digest": posted(
            lambda: "/v1/verifications", lambda _: {"sha256": DIGEST, "item": hall.item()}
        ),
        "open_access": posted(
            lambda: "/v1/accesses",
            lambda _: {"item": hall.item(), "purpose": "prosecution", "action": "download"},
        ),
        "make_package": posted(
            lambda: "/v1/packages",
            lambda _: {
                "items": [hall.item()],
                "purpose": "prosecution",
                "reference": "Kt 1",
                "versions": [1],
            },
        ),
        "propose_entry": posted(lambda: "/v1/registry", lambda _: {"entry": hall.state()}),
        "approve_change": posted(
            lambda: f"/v1/registry/changes/{hall.change()}/approval", lambda _: {}
        ),
        "reject_change": posted(
            lambda: f"/v1/registry/changes/{hall.change()}/rejection", lambda _: _WHY
        ),
        "draft_request": posted(
            lambda: "/v1/requests",
            lambda name: {
                "to": hall.abroad(name),
                "document": {"kind": "training", "facts": name},
            },
        ),
        "amend_request": lambda _: (
            "PUT",
            f"/v1/requests/{hall.drafted()}/document",
            {"json": {"document": {"kind": "training"}}},
        ),
        "take_request_step": posted(
            lambda: f"/v1/requests/{hall.drafted()}/steps",
            lambda _: {"act": "withdrawn", "note": "n"},
        ),
        "propose_terms": posted(
            lambda: "/v1/grants",
            lambda name: {
                "document": {
                    **hall.world.document(hall.item()),
                    "grantee": hall.abroad(name),
                    "reference": name,
                }
            },
        ),
        "take_grant_step": posted(
            lambda: f"/v1/grants/{hall.proposed()}/steps",
            lambda _: {"act": "dropped", "reason": "over"},
        ),
        "prepare_grant_step": posted(
            lambda: f"/v1/grants/{hall.proposed()}/steps/signing", lambda _: {"act": "offered"}
        ),
        "sign_grant_step": posted(
            lambda: f"/v1/grants/{hall.once('proposed', hall.proposed)}/steps/signed",
            lambda _: {"credential": {}},
        ),
        "ask_for_consent": posted(
            lambda: "/v1/consents",
            lambda _: {
                "subject": "onward",
                "grant": hall.active(),
                "to": "charlie-central",
                **_WHY,
            },
        ),
        "answer": posted(
            lambda: f"/v1/consents/{hall.consent()}/answer", lambda _: {"act": "given", **_WHY}
        ),
        "ask_for_measure": posted(
            lambda: "/v1/measures",
            lambda _: {"item": str(hall.world.item()), "type": "redaction", **_WHY},
        ),
        "take_measure_step": posted(
            lambda: f"/v1/measures/{hall.measure()}/steps", lambda _: {"act": "rejected", **_WHY}
        ),
        "propose_joint_team": posted(
            lambda: "/v1/teams",
            lambda _: {
                "parties": [hall.world.home.value, "bravo-central", "charlie-central"],
                "purpose": "case",
                "rules": "rules",
                "valid_until": "2099Z",
            },
        ),
        "take_team_step": posted(
            lambda: f"/v1/teams/{hall.team()}/steps", lambda _: {"act": "signed"}
        ),
        "enter_in_index": posted(
            lambda: "/v1/index/entries", lambda _: {**_SOUGHT, "item": hall.item()}
        ),
        "withhold_from_index": posted(
            lambda: "/v1/index/withholdings", lambda _: {"item": hall.item(), "withheld": True}
        ),
        "search_index": posted(
            lambda: "/v1/index/searches", lambda _: {**_SOUGHT, "purpose": "prosecution"}
        ),
        "register_person_statement": posted(
            lambda: "/v1/statements", lambda _: {**_PERSON, "item": hall.item()}
        ),
        "look_up_statement": posted(
            lambda: "/v1/statements/lookups", lambda _: {**_PERSON, **_WHY}
        ),
        "offer_transfer": posted(lambda: "/v1/transfers", lambda _: hall.offer()),
        "take_transfer_step": posted(
            lambda: f"/v1/transfers/{hall.transfer()}/steps",
            lambda _: {"act": "refused", "reason": "duplicate"},
        ),
        "prepare_transfer_step": posted(
            lambda: f"/v1/transfers/{hall.once('transfer', hall.transfer)}/steps/signing",
            lambda _: {"act": "accepted"},
        ),
        "sign_transfer_step": posted(
            lambda: f"/v1/transfers/{hall.once('transfer', hall.transfer)}/steps/signed",
            lambda _: {"credential": {}},
        ),
        "subscribe": posted(lambda: "/v1/webhooks", lambda _: HOOK),
        "end_sessions_of": lambda _: (
            "DELETE",
            f"/v1/officers/{hall.world.people['second']}/sessions",
            {},
        ),
        "end_tokens_of": lambda _: (
            "DELETE",
            f"/v1/officers/{hall.world.people['second']}/tokens",
            {},
        ),
        "unsubscribe": lambda _: ("DELETE", f"/v1/webhooks/{hall.webhook()}", {}),
    }


def _uploads(hall: Hall) -> dict[str, Callable[[str], Asked]]:
    """Uploads: each officer's own, but for the one that is asked about by its identifier."""

    def theirs() -> str:
        return "/v1/uploads/" + hall.once("upload", lambda: hall.upload("prosecutor"))

    created = {**TUS, "Upload-Length": "8", "Upload-Metadata": hall.metadata()}
    return {
        "create_upload": lambda _: ("POST", "/v1/uploads", {"headers": created}),
        "upload_offset": lambda _: ("HEAD", theirs(), {"headers": TUS}),
        "get_upload": lambda _: ("GET", theirs(), {}),
        "upload_events": lambda _: ("GET", f"{theirs()}/events", {}),
        "end_upload": lambda _: ("DELETE", theirs(), {"headers": TUS}),
        "append_to_upload": lambda _: (
            "PATCH",
            theirs(),
            {"headers": {**BYTES, "Upload-Offset": "0"}, "content": b"x"},
        ),
    }


def requests_of(hall: Hall) -> dict[str, Callable[[str], Asked]]:
    """For each route that is not public: the request that a caller makes."""
    return {**_reading(hall), **_changing(hall), **_uploads(hall)}


def outcome(answer: Response) -> str:
    """What became of a request: allowed, refused, or as if the thing were not there."""
    if answer.status_code < 300:
        return "allowed"
    if answer.status_code == 404:
        return "invisible"
    code = answer.json()["code"] if answer.content else ""
    if answer.status_code in {401, 403} or (answer.status_code, code) in {
        (409, "E430"),
        (409, "E431"),
    }:
        return "refused"
    return f"{answer.status_code} {code} {answer.text[:200]}"
