"""Access to evidence: decide, record, then serve. What cannot be recorded is not served.

The facts come from signed events and the registry as it is now; the decision, its rule, the
policy's digest and the facts themselves are recorded before the first byte, and how it ended
after the last. While bytes leave, whatever ends the permission ends them too.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from evidence_store.ahead import ahead
from evidence_store.canonical import Json
from evidence_store.cooperation.registry import (
    AuthorityEntry,
    AuthorityRole,
    EntryKind,
    OfficerEntry,
    OfficerRole,
    assignment_key,
    tag_of,
)
from evidence_store.custody.act import ActType
from evidence_store.custody.timeline import History
from evidence_store.desk import Desk, owner_of
from evidence_store.digest import Algorithm, Hasher
from evidence_store.dossier_port import Access
from evidence_store.dossiers import Chains, Taken, new_dossier, take
from evidence_store.errors import (
    DeniedError,
    EvidenceError,
    LedgerAlteredError,
    MalformedError,
    NotFoundError,
    OutOfOrderError,
)
from evidence_store.fixity_port import Measured
from evidence_store.granting import grant as side_of
from evidence_store.granting import grant_chain, provider_consents, registry_party
from evidence_store.identifiers import AuthorityId, CaseId, DossierId, DossierKind, Ern, Subject
from evidence_store.item import Item, Listed, SealedObject, Version
from evidence_store.ports import CatalogReader, CatalogWriter
from evidence_store.protecting import measures_on
from evidence_store.registering import Registry
from evidence_store.sharing.decision import (
    Allow,
    Asked,
    Decision,
    Deny,
    OfficerFacts,
    Policy,
    ProviderFacts,
    VersionFacts,
    facts_document,
)
from evidence_store.sharing.grant import Grant, effective
from evidence_store.sharing.marking import marked
from evidence_store.sharing.terms import CONTENT, COPIES, Action, version_id
from evidence_store.signed_items import insist_same_bytes
from evidence_store.vault import Vault

NO_ITEM = "no-such-item"
COMPLETE = "complete"
PIECE_BYTES = 2 * 1024 * 1024
PIECES_AHEAD = 2
LOOK_EVERY = timedelta(seconds=1)
COPY_ID_BYTES = 16
GOES_ON_WITHIN = timedelta(hours=24)  # of the first access of a use
GOES_ON_BEFORE_BYTES = 16 * 1024 * 1024  # what was sent and may not have arrived
UNLIMITED = 2**31
GRANTS_TRIED_MAX = 20
CENTRAL = frozenset({AuthorityRole.CENTRAL_MLA, AuthorityRole.CENTRAL_EXTRADITION})
OVERSEERS = frozenset(
    {
        OfficerRole.AUDITOR,
        OfficerRole.DATA_PROTECTION,
        OfficerRole.CENTRAL,
        OfficerRole.JUDGE,
        OfficerRole.REGISTRAR,
        OfficerRole.PROTECTION,
    }
)
"""Who reads the record of access without needing to know the case."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an officer asks for, and why. Without a grant, those of the officer's are tried."""

    ern: Ern
    version: int | None
    action: Action
    purpose: str
    grant: DossierId | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a version's bytes. `goes_on` if it is asked for as the rest of these very bytes."""

    start: int
    length: int
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """An access that was allowed and recorded. `copy_id` names it in what is handed out."""

    access: DossierId
    decision: Allow
    question: Question
    version: Version | None
    sealed: SealedObject | None
    copy_id: str
    asked: Asked = field(repr=False)
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class _Considered:
    """A question with all that is known, and what was decided."""

    decision: Decision
    asked: Asked | None
    grant: DossierId | None
    version: Version | None


def ask(
    desk: Desk,
    policy: Policy,
    question: Question,
    wanted: Callable[[Version], Part | None] | None = None,
) -> Opening:
    """Decide and record. When this returns, the access is on record and may be served.

    `wanted` says which part of the version is to be served; None is the whole. What it raises is raised
    where the access is allowed, and then nothing is recorded, as nothing was had. A part that goes
    on with an access that was cut off is one use with it (`docs/format.md`, section 19).

    Raises:
        NotFoundError: if there is no such item, or the officer may not know that there is.
        DeniedError: if the officer may know of it, and a rule refuses what is asked.
        LedgerAlteredError: if what it rests on is not as it was signed; nothing opens.
        KeyUnavailableError, CatalogBusyError, NoSpaceError: nothing was recorded, nothing opens.
    """
    with desk.catalog.act() as writer:
        desk.chains.rely_on(writer, desk.recorder.keys.public)
        considered = _consider(writer, desk, policy, question)
        part, impossible = _part(considered, wanted)
        first = _continued(writer, desk, question, considered, part)
        if first is not None:
            again = replace(question, grant=considered.grant)
            considered = _consider(writer, desk, policy, again, under_way=True)
        if impossible is not None and isinstance(considered.decision, Allow):
            raise impossible
        served = (part, first)
        access, copy_id = _record(writer, desk, policy, question, considered, served)
        known = considered.asked is not None and _knows_of(writer, desk, considered.asked)
        sealed = (
            writer.sealed(considered.version.object_name)
            if considered.version is not None
            and isinstance(considered.decision, Allow)
            and question.action in CONTENT
            else None
        )
        if sealed is not None and considered.version is not None:
            insist_same_bytes(considered.version, sealed)
    if isinstance(considered.decision, Deny) or considered.asked is None:
        if not known:
            raise NotFoundError(f"there is no item {question.ern}")
        raise DeniedError(considered.decision.rule, policy.digest, f"{access} tells why")
    return Opening(
        access=access,
        decision=considered.decision,
        question=replace(question, grant=considered.grant),
        version=considered.version,
        sealed=sealed,
        copy_id=copy_id,
        asked=considered.asked,
        part=part,
    )


def _part(
    found: _Considered, wanted: Callable[[Version], Part | None] | None
) -> tuple[Part | None, EvidenceError | None]:
    """Which part is wanted, or why it cannot be had."""
    if wanted is None or found.version is None or found.asked is None:
        return None, None
    try:
        return wanted(found.version), None
    except EvidenceError as error:
        return None, error


def _continued(
    reader: CatalogReader, desk: Desk, question: Question, found: _Considered, part: Part | None
) -> DossierId | None:
    """The first access of the use that a part goes on with, if there is one that it may go on with.

    One use sends the version once: the next part begins where the last one ended, or as much before as
    may have been under way when the line was cut; and no byte is sent a third time.
    """
    version, grant = found.version, found.grant
    if part is None or not part.goes_on or part.start == 0 or version is None or grant is None:
        return None
    size = version.fingerprint.size_bytes
    last = reader.dossiers.last_allowed(
        desk.officer,
        (question.ern, version.number),
        grant,
        action=question.action.value,
        purpose=question.purpose,
    )
    if last is None or last.ended_at is None or last.served_bytes is None:
        return None  # what still goes on may send all of it
    use = reader.dossiers.use_of(last)
    reached = last.first_byte + last.served_bytes
    is_whole = last.ended == COMPLETE and reached >= size
    sent = sum(each.served_bytes or 0 for each in use)
    if (
        is_whole
        or desk.now - use[0].at > GOES_ON_WITHIN
        or not reached - GOES_ON_BEFORE_BYTES <= part.start <= reached
        or sent + part.length > 2 * size
    ):
        return None
    return use[0].id


def serve(
    desk: Desk, policy: Policy, opening: Opening, vault: Vault, *, content: bool = True
) -> Generator[bytes, None, None]:
    """The bytes, piece by piece, each only while the access is still allowed.

    A copy for viewing is marked with its identity where its format allows; what is downloaded is
    exact. However it ends, the count of bytes that left is recorded. Without `content` nothing
    is served, and that is what is recorded.

    Raises:
        DeniedError: instead of the next piece, if the permission has ended.
        FixityError, KeyUnavailableError, StoreUnavailableError: as `Vault.open`.
    """
    if opening.version is None or opening.sealed is None or not content:
        end(desk, opening, "nothing served", 0, None)
        return
    with ExitStack() as threads:
        through = partial(_opened_ahead, threads)
        one = (Algorithm.BLAKE3,)  # either digest would do
        bytes_of = vault.open(opening.sealed, one, through=through)
        if opening.question.action is Action.VIEW:
            state = hashlib.sha256()
            copy = marked(bytes_of, opening.version.media_type, opening.copy_id)
            yield from _watched(desk, policy, opening, _digested(copy, state), state.hexdigest)
        else:
            exact = opening.version.fingerprint.sha256.hex
            yield from _watched(desk, policy, opening, bytes_of, lambda: exact)


def serve_range(
    desk: Desk, policy: Policy, opening: Opening, vault: Vault, part: Part
) -> Generator[bytes, None, None]:
    """A part of the bytes, exact, to go on with a download that was cut off.

    Raises:
        DeniedError, FixityError, KeyUnavailableError, StoreUnavailableError: as `serve`.
    """
    if opening.sealed is None:
        end(desk, opening, "nothing served", 0, None)
        return
    with ExitStack() as threads:
        bytes_of = _opened_ahead(threads, vault.open_range(opening.sealed, part.start, part.length))
        yield from _watched(desk, policy, opening, bytes_of, None)


def _opened_ahead(threads: ExitStack, content: Iterator[bytes]) -> Iterator[bytes]:
    """Content opened by a thread of its own, while the piece before is digested and leaves."""
    return threads.enter_context(closing(ahead(_pieces(content), waiting=PIECES_AHEAD)))


def _digested(content: Iterator[bytes], state: Hasher) -> Iterator[bytes]:
    for chunk in content:
        state.update(chunk)
        yield chunk


def _watched(
    desk: Desk,
    policy: Policy,
    opening: Opening,
    content: Iterator[bytes],
    sha256: Callable[[], str] | None,
) -> Generator[bytes, None, None]:
    """The content while it may be served. `sha256` says at the end what was served as a whole."""
    sent, ended = 0, "interrupted"
    watch = Watch(desk, policy, opening)
    try:
        for piece in _pieces(content):
            watch.insist_open()
            sent += len(piece)  # counted before it leaves: never fewer than left
            yield piece
        ended = COMPLETE
    except DeniedError as error:
        ended = error.rule
        raise
    except EvidenceError as error:
        ended = error.code
        raise
    finally:
        served = sha256() if sha256 is not None and ended == COMPLETE else None
        end(desk, opening, ended, sent, served)


def end(
    desk: Desk, opening: Opening, ended: str, served_bytes: int, served_sha256: str | None
) -> None:
    """Record how an access ended.

    Raises:
        CatalogBusyError, NoSpaceError: it is not recorded; the access shows as not ended.
    """
    with desk.catalog.act() as writer:
        data: dict[str, Json] = {
            "ended": ended,
            "served_bytes": served_bytes,
            "served_sha256": served_sha256,
        }
        taken = Taken("ended", desk.officer, data)
        take(writer, desk.recorder, opening.access, taken, state="ended")
        writer.dossiers.end_access(
            opening.access,
            at=desk.now,
            ended=ended,
            served_bytes=served_bytes,
            served_sha256=served_sha256,
        )


class Watch:
    """Whether an access is still allowed. Cheap while nothing has changed.

    An act of anybody makes it look at what this access rests on, and so does a second that passes:
    roles, competences and the need to know a case end by time, without an act.
    """

    def __init__(self, desk: Desk, policy: Policy, opening: Opening) -> None:
        self._desk, self._policy, self._opening = desk, policy, opening
        self._grant = opening.asked.grant
        self._seen: object = None
        self._log_size, self._looked_at = -1, desk.now
        case_id = CaseId.parse(opening.asked.version.case)
        self._assignment = assignment_key(desk.officer, case_id)

    def insist_open(self) -> None:
        """Insist that it is.

        Raises:
            DeniedError: if the permission has ended: by time, by an act, by the registry.
        """
        with self._desk.catalog.read() as reader:
            now, log_size = self._desk.now, reader.ledger.size()
            expired = self._grant is not None and now >= self._grant.valid_until
            is_fresh = timedelta(0) <= now - self._looked_at < LOOK_EVERY
            if log_size == self._log_size and is_fresh and not expired:
                return
            seen = self._relevant(reader)
            self._log_size, self._looked_at = log_size, now
            if seen == self._seen and not expired:
                return
            found = _consider(
                reader, self._desk, self._policy, self._opening.question, under_way=True
            )
            if isinstance(found.decision, Deny):
                raise DeniedError(
                    found.decision.rule, self._policy.digest, f"{self._opening.access} has ended"
                )
            self._seen = seen

    def _relevant(self, reader: CatalogReader) -> object:
        """What changes with every event that could end the permission."""
        asked, question = self._opening.asked, self._opening.question
        subjects: list[Subject] = [question.ern]
        if question.grant is not None:
            chain = grant_chain(reader, self._desk.chains, question.grant)
            subjects += [each.terms.grant for each in chain]
        for kind, name, value in (
            (DossierKind.MEASURE, "item", str(question.ern)),
            (DossierKind.REGISTRY, "entry", tag_of(EntryKind.OFFICER, asked.officer.code)),
            (DossierKind.REGISTRY, "entry", tag_of(EntryKind.AUTHORITY, asked.officer.authority)),
            (DossierKind.REGISTRY, "entry", tag_of(EntryKind.ASSIGNMENT, self._assignment)),
        ):
            subjects += [each.id for each in reader.dossiers.tagged(kind, name, value)]
        registry, now = self._desk.registry(reader), self._desk.now
        officer = registry.officer(self._desk.officer)
        by_time = (
            officer.roles_at(now),
            registry.authority(officer.authority).roles_at(now),
            registry.needs_to_know(officer.code, CaseId.parse(asked.version.case), now),
        )
        return reader.ledger.links(subjects), by_time


def accesses(
    desk: Desk,
    *,
    ern: Ern | None = None,
    grant: DossierId | None = None,
    after: str | None = None,
    limit: int = 100,
) -> tuple[Sequence[Access], str | None]:
    """Who had access to an item, or under a grant: for its provider's State, and for a court of it.

    Raises:
        NotFoundError: if there is none, or it is not this officer's to know.
        MalformedError: if neither is named.
    """
    with desk.catalog.read() as reader:
        _insist_may_audit(reader, desk, ern, grant)
        page = reader.dossiers.accesses(ern=ern, grant=grant, after=after, limit=limit)
    return page.entries, page.after


def accesses_of_provider(
    reader: CatalogReader,
    chains: Chains,
    by: tuple[AuthorityId, datetime],
    *,
    ern: Ern | None = None,
    grant: DossierId | None = None,
    after: str | None = None,
    limit: int = 100,
) -> tuple[Sequence[Access], str | None]:
    """Who had access to an item, or under a grant: for its provider, an authority of another instance.

    That is the authority whose item it is, or that granted it; and its State's central authority.

    Raises:
        NotFoundError: if there is none, or it is not this authority's to know.
        MalformedError: if neither is named.
    """
    authority, now = by
    owner, _ = _audited(reader, chains, ern, grant)
    registry = Registry(reader, chains)
    asks = registry.authority(authority)
    is_central = asks.roles_at(now) & CENTRAL
    own_state = registry.authority(owner).state == asks.state
    if owner != authority and not (is_central and own_state):
        raise NotFoundError(f"there is no {ern or grant}")
    page = reader.dossiers.accesses(ern=ern, grant=grant, after=after, limit=limit)
    return page.entries, page.after


def _insist_may_audit(
    reader: CatalogReader, desk: Desk, ern: Ern | None, grant: DossierId | None
) -> None:
    registry, now = desk.registry(reader), desk.now
    officer = registry.officer(desk.officer)
    authority = registry.authority(officer.authority)
    missing = NotFoundError(f"there is no {ern or grant}")
    owner, case = _audited(reader, desk.chains, ern, grant)
    roles = officer.roles_at(now)
    if officer.authority != desk.authority or not roles:
        raise missing
    if registry.authority(owner).state == authority.state:
        knows = registry.needs_to_know(desk.officer, case, now)
        if not (roles & OVERSEERS or (knows and OfficerRole.OPERATOR not in roles)):
            raise missing
        return
    is_court = AuthorityRole.COURT in authority.roles_at(now)
    if ern is None:
        own = grant is not None and is_court and _is_grantee(reader, desk, grant)
    else:
        own = is_court and bool(reader.dossiers.grants_of(ern, officer.authority, limit=1))
    if not own:
        raise missing


def _audited(
    reader: CatalogReader, chains: Chains, ern: Ern | None, grant: DossierId | None
) -> tuple[AuthorityId, CaseId]:
    """Whose the item is, or who granted it first, and of which case it is.

    Raises:
        NotFoundError: if there is none, in the words for what is not to be known.
        MalformedError: if neither is named.
    """
    try:
        if ern is not None:
            item = reader.item(ern)
            return owner_of(reader, chains, item), item.case_id
        if grant is not None:
            terms = grant_chain(reader, chains, grant)[0].terms
            return terms.grantor, terms.case_id
    except NotFoundError:
        raise NotFoundError(f"there is no {ern or grant}") from None
    raise MalformedError("access: expected an item or a grant")


def _is_grantee(reader: CatalogReader, desk: Desk, grant: DossierId) -> bool:
    return grant_chain(reader, desk.chains, grant)[-1].terms.grantee == desk.authority


def visible(
    desk: Desk, *, after: str | None = None, limit: int = 50
) -> tuple[Sequence[Listed], str | None]:
    """The items that an officer may know of, by ERN.

    Raises:
        NotFoundError: if there is no such officer.
        OutOfOrderError: if the officer has no role now.
        MalformedError: if `after` is not a cursor that an earlier page gave.
    """
    with desk.catalog.read() as reader:
        officer = desk.registry(reader).officer(desk.officer)
        roles = officer.roles_at(desk.now)
        if officer.authority != desk.authority or not roles or OfficerRole.OPERATOR in roles:
            return [], None
        page = reader.dossiers.visible_items(
            desk.officer, officer.authority, desk.now, after=after, limit=limit
        )
        return reader.items_listed(page.entries), page.after


def considered(reader: CatalogReader, desk: Desk, policy: Policy, question: Question) -> Decision:
    """What would be decided now. Nothing is recorded, so nothing may be served by it."""
    return _consider(reader, desk, policy, question).decision


def _consider(
    reader: CatalogReader,
    desk: Desk,
    policy: Policy,
    question: Question,
    *,
    under_way: bool = False,
) -> _Considered:
    try:
        item, versions = reader.item(question.ern), reader.versions(question.ern)
        version = _chosen(versions, question.version)
    except NotFoundError:
        desk.registry(reader).officer(desk.officer)
        return _Considered(Deny(NO_ITEM, policy.digest, (NO_ITEM,)), None, question.grant, None)
    base = _asked(reader, desk, question, item, [] if version is None else [version])
    best: _Considered | None = None
    for grant in _candidates(reader, question, base):
        asked = _under(reader, desk, base, grant, under_way=under_way)
        found = _Considered(policy.decide(asked), asked, grant, version)
        if isinstance(found.decision, Allow):
            return found
        best = best or found
    if best is None:
        raise AssertionError("there is always a candidate")
    return best


def _chosen(versions: Sequence[Version], number: int | None) -> Version | None:
    """The version that is asked for: by default the original; None of what has no bytes.

    Raises:
        NotFoundError: if there is none of this number.
    """
    if not versions and not number:
        return None
    for each in versions:
        if each.number == (number or 1):
            return each
    raise NotFoundError(f"there is no version {number}")


def _candidates(
    reader: CatalogReader, question: Question, base: Asked
) -> Sequence[DossierId | None]:
    """The grants to try: the one that is named, or none for an own case, or those there are."""
    if question.grant is not None:
        return [question.grant]
    if base.officer.state == base.version.owner_state and base.version.case in base.officer.cases:
        return [None]
    grants = reader.dossiers.grants_of(
        question.ern, AuthorityId(base.officer.authority), limit=GRANTS_TRIED_MAX
    )
    return grants or [None]


def _asked(
    reader: CatalogReader, desk: Desk, question: Question, item: Item, versions: Sequence[Version]
) -> Asked:
    """The facts about an item and the version of it that is asked for, if any; without a grant.

    Raises:
        LedgerAlteredError: if its rows, or the events that they come from, are not as signed.
    """
    number = versions[0].number if versions else 0
    now, registry = desk.now, desk.registry(reader)
    officer = registry.officer(desk.officer)
    if officer.authority != desk.authority:
        raise OutOfOrderError(f"officer {desk.officer}: expected one of {desk.authority}")
    authority = registry.authority(officer.authority)
    signed = desk.chains.item(reader, item.ern)
    if signed is None:
        raise LedgerAlteredError(f"{item.ern}: nothing was signed of it; its content stays closed")
    signed.insist_agrees(item, versions)
    told, owner = signed.history, owner_of(reader, desk.chains, item)
    custodian = owner if told.custody is None else told.custody.custodian
    measures = measures_on(reader, desk.chains, item.ern)
    terms = item.asserted.terms
    return Asked(
        action=question.action,
        purpose=question.purpose,
        now=now,
        officer=_officer(registry, officer, authority, item, now),
        version=VersionFacts(
            id=version_id(item.ern, number),
            item=str(item.ern),
            case=str(item.case_id),
            owner=owner.value,
            owner_state=registry.authority(owner).state.value,
            custodian=custodian.value,
            status=item.status.value,
            classification=1 if told.custody is None else told.custody.classification.level,
            verified_hours=_hours_since_measured(
                told, number, now, _by_cycle(reader, item.ern, number)
            ),
            holds=frozenset()
            if told.custody is None
            else frozenset(each.value for each in told.custody.holds.values() if each != custodian),
            measures=frozenset(
                str(dossier) for dossier, measure in measures if measure.blocks(number)
            ),
        ),
        provider=None
        if terms is None
        else ProviderFacts(
            frozenset(terms.may_see),
            frozenset(each.value for each in terms.purposes),
            terms.until.latest,
        ),
        consents=frozenset({"provider"})
        if terms is not None
        and provider_consents(reader, desk.chains, item.ern, officer.authority, question.purpose)
        else frozenset(),
        continued=frozenset(str(dossier) for dossier, _ in measures),
    )


def _officer(
    registry: Registry, officer: OfficerEntry, authority: AuthorityEntry, item: Item, now: datetime
) -> OfficerFacts:
    """The officer's facts. Of cases only the item's counts, and it alone is looked up and recorded."""
    knows = registry.needs_to_know(officer.code, item.case_id, now)
    return OfficerFacts(
        code=str(officer.code),
        authority=authority.id.value,
        state=authority.state.value,
        roles=frozenset(each.value for each in officer.roles_at(now)),
        authority_roles=frozenset(each.value for each in authority.roles_at(now)),
        clearance=officer.clearance.level,
        cases=frozenset({str(item.case_id)} if knows else ()),
    )


def _under(
    reader: CatalogReader, desk: Desk, base: Asked, dossier: DossierId | None, *, under_way: bool
) -> Asked:
    """The facts under a grant. A grant that is not there, or not a side's, counts as none."""
    if dossier is None:
        return base
    try:
        side_of(reader, desk.chains, dossier, desk.authority)
        chain = grant_chain(reader, desk.chains, dossier)
    except NotFoundError:
        return base
    found = effective(chain, registry_party(desk.registry(reader), desk))
    return replace(base, grant=found, uses_left=_uses_left(reader, chain) + (1 if under_way else 0))


def _uses_left(reader: CatalogReader, chain: Sequence[Grant]) -> int:
    left = UNLIMITED
    for each in chain:
        if each.terms.downloads_max is not None:
            used = sum(
                reader.dossiers.downloads(each.terms.grant, action.value) for action in COPIES
            )
            left = min(left, each.terms.downloads_max - used)
    return left


def _by_cycle(reader: CatalogReader, ern: Ern, number: int) -> Measured | None:
    """What the fixity cycle found of the version last; None if it has not read it."""
    for version in reader.versions(ern):
        if version.number == number:
            found = reader.fixity.measured(version.object_name)
            return None if found is None or found.turn is None else found
    return None


def _hours_since_measured(
    told: History, number: int, now: datetime, cycle: Measured | None = None
) -> int:
    """Since when nobody has measured the version; 0 for a thing, which has no bytes.

    What the cycle last found not as registered counts as never measured.
    """
    if number == 0:
        return 0
    if cycle is not None and cycle.failed:
        return UNLIMITED
    last: datetime | None = None if cycle is None else cycle.measured_at
    for row in told.rows:
        measured = row.act.data.get("measured")
        for each in measured if isinstance(measured, list) else []:
            if isinstance(each, dict) and each.get("version", 1) == number:
                last = _later(last, row.act.at)
        if row.act.type is ActType.VERIFIED_MATCH and row.act.data.get("version") in {number, None}:
            last = _later(last, row.act.at)
    return UNLIMITED if last is None else int((now - last).total_seconds() // 3600)


def _later(first: datetime | None, second: datetime) -> datetime:
    return second if first is None else max(first, second)


def _knows_of(reader: CatalogReader, desk: Desk, asked: Asked) -> bool:
    """Whether the officer may know that the item is there: by the same rule as lists are made."""
    if not asked.officer.roles or OfficerRole.OPERATOR in asked.officer.roles:
        return False
    return reader.dossiers.knows_of(
        desk.officer, desk.authority, Ern.parse(asked.version.item), asked.now
    )


def _record(
    writer: CatalogWriter,
    desk: Desk,
    policy: Policy,
    question: Question,
    found: _Considered,
    served: tuple[Part | None, DossierId | None] = (None, None),
) -> tuple[DossierId, str]:
    decision = found.decision
    part, first = served
    closed = [] if isinstance(decision, Allow) else [*decision.closed]
    number = question.version or 0 if found.version is None else found.version.number
    data: dict[str, Json] = {
        "decision": decision.text,
        "rule": decision.rule,
        "closed": [*closed],
        "policy": policy.digest,
        "action": question.action.value,
        "purpose": question.purpose,
        "item": str(question.ern),
        "version": number,
        "grant": None if found.grant is None else str(found.grant),
    }
    if part is not None:
        data |= {"first_byte": part.start, "length": part.length}
    if first is not None:
        data["continues"] = str(first)
    copy_id = desk.recorder.random(COPY_ID_BYTES).hex()
    private: dict[str, Json] = {"copy_id": copy_id}
    if found.asked is not None:
        private["facts"] = facts_document(found.asked)
    writer.dossiers.keep_policy(policy.digest, policy.text)
    access = new_dossier(
        writer,
        desk.recorder,
        DossierKind.ACCESS,
        Taken("decided", desk.officer, data, private),
        state=decision.text,
    )
    writer.dossiers.add_access(
        Access(
            id=access,
            at=desk.now,
            officer=desk.officer,
            authority=desk.authority,
            ern=question.ern,
            version=number,
            action=question.action.value,
            purpose=question.purpose,
            grant=found.grant,
            decision=decision.text,
            rule=decision.rule,
            policy=policy.digest,
            copy_id=copy_id,
            first_byte=0 if part is None else part.start,
            continues=first,
        )
    )
    return access, copy_id


def _pieces(content: Iterator[bytes]) -> Iterator[bytes]:
    """The content in pieces of about a mebibyte: between two of them the permission is looked at."""
    waiting: list[bytes] = []
    size = 0
    for chunk in content:
        waiting.append(chunk)
        size += len(chunk)
        if size >= PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
