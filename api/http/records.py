"""The records that answers hold, as the OpenAPI describes them: what `api.views` makes, by name.

Models only. What is left out of a record is not known, or not this caller's to see.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from evidence_store.accounts import Method

Document = dict[str, Any]


class Settled(BaseModel):
    """What every act answers beside its record: whether the log holds it already."""

    receipt: str | None = Field(
        default=None, description="`sealed`: the log holds it.", examples=["sealed"]
    )
    waits_for: str | None = Field(default=None, description="Why the log has not sealed it yet.")


class CaseView(BaseModel):
    """A case."""

    case: str = Field(examples=["SI-CASE-0007"])
    title: str = Field(examples=["Shelling of the village of Brod"])
    reference: str | None = Field(examples=["Kt 117/2026"])
    opened_at: str = Field(examples=["2026-03-14T09:20:00Z"])


class CasePage(BaseModel):
    """The cases that the officer needs to know."""

    cases: list[CaseView]
    next_cursor: str | None


class ItemView(BaseModel):
    """An item of evidence."""

    ern: str = Field(examples=["SI-2026-000123"])
    case: str = Field(examples=["SI-CASE-0007"])
    kind: str = Field(examples=["photo"])
    status: str = Field(examples=["registered"])
    registered_at: str = Field(examples=["2026-03-14T09:20:00Z"])
    title: str | None = None


class ItemPage(BaseModel):
    """A page of items; `next_cursor` begins the next one."""

    items: list[ItemView]
    next_cursor: str | None


class ReceiptView(BaseModel):
    """What an act's doer gets in hand: the proof that the log holds it, or that it is pending."""

    seq: int = Field(examples=[3])
    act: str = Field(examples=["sealed"])
    by: str = Field(examples=["SI/police-directorate/1"])
    at: str = Field(examples=["2026-03-14T09:20:00Z"])
    commitment: str = Field(description="SHA-256, hexadecimal.")
    index: int | None = Field(description="The entry's place in the log.")
    receipt: str = Field(examples=["sealed"])
    proof: str | None = Field(default=None, description="A C2SP tlog-proof.")
    fetch: str | None = None
    waits_for: str | None = None


class ExhibitView(ItemView):
    """A physical exhibit that was registered, with its receipt."""

    asserted: Document
    receipt: ReceiptView


class VersionView(BaseModel):
    """A version of an item's bytes."""

    number: int = Field(examples=[1])
    type: str = Field(examples=["original"])
    sha256: str
    blake3: str
    size_bytes: int
    media_type: str = Field(examples=["image/jpeg"])
    added_at: str
    derived_from: int | None
    method: str | None = None
    language: str | None = None


class VersionPage(BaseModel):
    """An item's versions, by number."""

    versions: list[VersionView]
    next_cursor: str | None


class TimelineRow(BaseModel):
    """An act of an item's history."""

    seq: int
    act: str
    by: str
    recorded_at: str
    late: bool
    custodian: str | None


class GapView(BaseModel):
    """What a history does not show, or should not show."""

    kind: str = Field(examples=["no_receipt"])
    seq: int
    detail: str


class CustodyView(BaseModel):
    """Who holds an item and since when, its seals and holds, its timeline and every gap."""

    ern: str
    state: str | None = Field(examples=["in_store"])
    custodian: str | None = Field(examples=["police-directorate"])
    since: str | None = None
    seals: dict[str, str] = Field(default_factory=dict, description="Number: what was last found.")
    holds: dict[str, str] = Field(default_factory=dict, description="Reference: who placed it.")
    transfer: str | None = None
    timeline: list[TimelineRow]
    gaps: list[GapView]
    ledger_problems: list[str]


class ActDone(BaseModel):
    """Custody after an act, with the act's receipt."""

    ern: str
    state: str | None
    custodian: str | None
    since: str | None
    seals: dict[str, str]
    holds: dict[str, str]
    transfer: str | None = None
    receipt: ReceiptView


class EventView(BaseModel):
    """An event as it was signed. `disclosed` holds what this caller may see of what it withholds."""

    seq: int
    act: str
    by: str = Field(examples=["SI/police-directorate/1"])
    at: str
    data: Document
    disclosed: Document
    commitment: str
    index: int | None
    body: str = Field(description="The exact bytes that were signed, base64.")
    signature: str = Field(description="Ed25519, base64 (format, section 11).")


class EventPage(BaseModel):
    """An item's events, by number; `next_cursor` begins the next page."""

    events: list[EventView]
    next_cursor: str | None


class ReceiptPage(BaseModel):
    """An item's events, each with its proof."""

    receipts: list[ReceiptView]
    next_cursor: str | None


class ProvedEvent(BaseModel):
    """An event with its proof; nothing that can be withheld is in it."""

    seq: int
    body: str = Field(description="Base64.")
    signature: str = Field(description="Base64.")
    proof: str | None = Field(
        description="A C2SP tlog-proof; none while the log has not sealed it."
    )


class ProvedControl(BaseModel):
    """An entry of the log about its keys, with its proof."""

    entry: str = Field(description="Base64 of canonical JSON (format, section 12).")
    index: int
    proof: str | None


class ProofBundle(BaseModel):
    """Everything that a verifier needs to check an item's history without this server."""

    ern: str
    item_key: str = Field(description="Hexadecimal: finds the item's entries in the log.")
    events: list[ProvedEvent]
    controls: list[ProvedControl]
    checkpoint: str | None = Field(description="The newest sealed one, a signed note.")
    policy: str = Field(description="The policy that it was sealed under; a court brings its own.")


class Attested(BaseModel):
    """What the log attests of a match."""

    event: int | None
    by: str | None
    recorded_at: str | None
    custodian: str | None
    receipt: str
    proof: str | None


class Verification(BaseModel):
    """Whether a digest is of what was registered, as far as the caller may know."""

    outcome: str = Field(
        description="`match`, `mismatch`, `unknown` or `not_verifiable`.", examples=["match"]
    )
    sha256: str
    ern: str | None = None
    version: int | None = None
    version_type: str | None = None
    reason: str | None = None
    ledger: Attested | None = None


class VerificationList(BaseModel):
    """One verification for each version that it is of; one that says why, if there is none."""

    verifications: list[Verification]


class AccessView(BaseModel):
    """An access: who asked for what and why, what was decided by which rule, what was served."""

    access: str = Field(examples=["SI-ACC-000001"])
    at: str
    officer: str = Field(examples=["OFF-0003"])
    authority: str
    item: str
    version: int
    action: str = Field(examples=["download"])
    purpose: str = Field(examples=["prosecution"])
    grant: str | None
    decision: str = Field(examples=["allow"])
    rule: str
    policy: str
    copy_: str = Field(alias="copy")
    served_bytes: int | None
    served_sha256: str | None
    first_byte: int
    continues: str | None = Field(description="The access that it goes on with, as one use.")
    ended: str | None
    ended_at: str | None


class AccessPage(BaseModel):
    """A page of the record of access."""

    accesses: list[AccessView]
    next_cursor: str | None


class Decided(BaseModel):
    """A decision without bytes."""

    access: str
    decision: str
    rule: str
    policy: str
    copy_: str = Field(alias="copy")


class StateView(BaseModel):
    """A State, or an institution that acts beside States."""

    code: str = Field(examples=["XB"])
    name: str
    kind: str = Field(examples=["state"])
    languages: list[str]
    change: str = Field(examples=["SI-REG-000002"])
    recorded_at: str


class StatePage(BaseModel):
    """A page of States, by code."""

    states: list[StateView]
    next_cursor: str | None


class InstitutionView(BaseModel):
    """An institution of a State."""

    id: str
    state: str
    name: str
    change: str
    recorded_at: str


class InstitutionPage(BaseModel):
    """A page of institutions, by identifier."""

    institutions: list[InstitutionView]
    next_cursor: str | None


class AuthorityView(BaseModel):
    """An authority, with what it is designated for; `roles_at` are those valid at the instant."""

    id: str = Field(examples=["bravo-central"])
    state: str = Field(examples=["XB"])
    name: str
    institution: str | None
    designations: list[Document]
    languages: list[str]
    channels: list[str]
    contact: str
    by_court: str | None
    roles_at: list[str] = Field(examples=[["central_authority_mla"]])
    change: str
    recorded_at: str


class AuthorityPage(BaseModel):
    """A page of authorities, by identifier."""

    authorities: list[AuthorityView]
    next_cursor: str | None


class OfficerView(BaseModel):
    """An officer by code, without a name; `roles_at` are those valid at the instant."""

    code: str = Field(examples=["OFF-0003"])
    authority: str
    roles: dict[str, Document]
    competences: dict[str, Document]
    clearance: str
    roles_at: list[str] = Field(examples=[["prosecutor"]])
    change: str
    recorded_at: str


class OfficerPage(BaseModel):
    """A page of officers, by code."""

    officers: list[OfficerView]
    next_cursor: str | None


class EntryPage(BaseModel):
    """A page of the registry's entries of a kind, by key."""

    entries: list[Document]
    next_cursor: str | None


class ChangeMade(Settled):
    """A change of the registry after a step."""

    change: str = Field(examples=["SI-REG-000002"])
    state: str | None = Field(default=None, examples=["proposed"])
    entries: list[Document] | None = None


class ChangeView(BaseModel):
    """A change of the registry, as officers of the registry see it."""

    change: str
    state: str = Field(examples=["proposed"])
    made_at: str
    proposed_by: str | None = None
    entries: list[Document] | None = None


class ChangePage(BaseModel):
    """A page of changes, by identifier."""

    changes: list[ChangeView]
    next_cursor: str | None


class DossierView(BaseModel):
    """Where a dossier stands."""

    id: str = Field(examples=["SI-GRT-000001"])
    state: str = Field(examples=["active"])
    from_: str = Field(alias="from")
    to: str | None
    changed_at: str


class Me(BaseModel):
    """Who has signed in."""

    officer: str
    authority: str
    method: Method
    expires_at: datetime


class PeerView(BaseModel):
    """As whom a peer is known, and by which of its keys."""

    authority: str = Field(examples=["bravo-central"])
    key: str


class DeliveryView(BaseModel):
    """The receipt of a package that a peer delivered. `signature` is over `receipt`, in base64."""

    delivery: str
    authority: str = Field(examples=["bravo-central"])
    sha256: str
    size_bytes: int
    received_at: str
    receipt: str
    signature: str


class WebhookView(BaseModel):
    """A subscription: how many messages wait (counted up to 1000), and why it is disabled."""

    webhook: str = Field(examples=["5f2b7c0d9e8a4b1c"])
    url: str = Field(examples=["https://court.example/hooks/evidence"])
    events: list[str] = Field(examples=[["transfer.offered", "grant.offered"]])
    created_by: str = Field(examples=["OFF-0003"])
    created_at: str
    pending: int
    disabled_at: str | None
    reason: str | None


class WebhookMade(WebhookView):
    """A new subscription, with the secret that signs its messages. It is shown this once."""

    secret: str


class WebhookPage(BaseModel):
    """The authority's subscriptions; there are 20 at most."""

    webhooks: list[WebhookView]
    next_cursor: None = None


class DossierPage(BaseModel):
    """A page of dossiers, by identifier."""

    entries: list[DossierView]
    next_cursor: str | None


class KindPage(BaseModel):
    """The kinds of assistance, each with its fields, papers, steps, certificates and rules."""

    kinds: list[Document]
    next_cursor: str | None


class RequestView(Settled):
    """A request for assistance. `missing` lists what must be there before it may be sent."""

    request: str = Field(examples=["XB-REQ-000001"])
    kind: str
    state: str = Field(examples=["draft"])
    track: str | None
    from_: str = Field(alias="from")
    to: str
    document: Document
    missing: list[str]
    certificates: list[Document]
    yields: list[str]
    formalities: list[str]
    refusal: str | None
    postponed_until: str | None
    acts: list[str]


class GrantView(Settled):
    """A grant with its terms. `missing` lists what stands in the way of an offer."""

    grant: str = Field(examples=["SI-GRT-000001"])
    state: str = Field(examples=["under_review"])
    terms: str = Field(description="SHA-256 of the terms: what both sides sign.")
    document: str = Field(description="The terms, canonical JSON (format, section 17).")
    refused: list[Document]
    charges: list[str]
    assured: list[str]
    onward_to: list[str]
    declaration: str | None
    report_due: bool
    reason: str | None
    missing: list[str]


class ConsentView(Settled):
    """A consent."""

    consent: str = Field(examples=["SI-CNS-000001"])
    subject: str = Field(examples=["onward"])
    state: str = Field(examples=["asked"])
    asked_by: str
    answers: str
    grant: str | None
    to: str | None
    purposes: list[str]
    items: list[str]
    reasons: str
    reply: str | None


class TransferItem(BaseModel):
    """An item of a transfer: its last act in it, and who is its custodian now."""

    ern: str
    version: int | None
    sha256: str | None
    last: str | None
    custodian: str | None


class TransferView(BaseModel):
    """Where a transfer stands, item by item."""

    transfer: str = Field(examples=["SI-TRF-000001"])
    offer: str = Field(description="SHA-256 of the offer's document.")
    from_: str = Field(alias="from")
    to: str
    items: list[TransferItem]
    open: list[str]
    waits_for: str | None = None


class TransferRow(BaseModel):
    """A transfer in a list."""

    transfer: str
    offer: str
    from_: str = Field(alias="from")
    to: str
    items: int
    mode: str
    valid_until: str


class TransferPage(BaseModel):
    """A page of transfers; it may be short although there are more: `next_cursor` says so."""

    transfers: list[TransferRow]
    next_cursor: str | None


class MeasureView(Settled):
    """A protective measure on an item; `satisfied_by` are the versions that may be shared."""

    measure: str = Field(examples=["SI-MSR-000001"])
    item: str
    type: str = Field(examples=["redaction"])
    state: str = Field(examples=["requested"])
    issuer: str
    satisfied_by: list[int]


class MeasurePage(BaseModel):
    """The measures on an item."""

    measures: list[MeasureView]
    next_cursor: str | None


class TeamView(Settled):
    """A joint investigation team; active when all parties have signed."""

    team: str = Field(examples=["SI-JIT-000001"])
    state: str = Field(examples=["proposed"])
    leader: str
    parties: list[str]
    signed: list[str]
    left: list[str]


class IndexEntry(Settled):
    """An item that other States can learn of: whom to ask, and nothing else."""

    entry: str = Field(examples=["SI-IDX-000001"])
    item: str
    state: str = Field(examples=["entered"])


class IndexState(Settled):
    """How many entries of an item changed, and to what."""

    item: str
    entries: int
    state: str = Field(examples=["withheld"])


class Answered(Settled):
    """Hit or no hit, and whom to ask."""

    search: str = Field(examples=["SI-IDX-000001"])
    hit: bool
    ask: list[str]


class StatementView(Settled):
    """A statement that was registered; who gave it is not kept."""

    statement: str = Field(examples=["SI-PST-000001"])
    item: str


class LogKeys(BaseModel):
    """The log's origin and verifier keys, and the policy under which it is sealed."""

    origin: str
    vkeys: list[str]
    policy: str


class UploadView(BaseModel):
    """Where an upload stands; when it is taken in, what became of it."""

    upload: str
    state: str = Field(examples=["done"])
    offset: int
    length: int | None
    expires_at: str
    outcome: Any = None


class Alive(BaseModel):
    """The process answers."""

    status: str = Field(examples=["alive"])


class Ready(BaseModel):
    """Everything that the process stands on answers, and what the fixity cycle found."""

    status: str = Field(examples=["ready"])
    fixity: str = Field(examples=["ok"])
