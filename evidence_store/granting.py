"""Granting: terms are proposed, reviewed, offered by another officer, and signed by both sides.

What stands in the way of a grant is listed before it is offered. A consent is asked of those whose
it is to give. A grant can be suspended or revoked at any time; what it ends with is declared.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from evidence_store.canonical import Json
from evidence_store.cooperation.registry import AuthorityRole, OfficerRole
from evidence_store.desk import Desk, insist_own_item, owner_of
from evidence_store.dossier_port import GrantedVersion, Window
from evidence_store.dossiers import (
    Chains,
    Taken,
    insist_on_another,
    new_dossier,
    open_dossier,
    take,
)
from evidence_store.errors import (
    EvidenceError,
    IncompleteError,
    MalformedError,
    NotFoundError,
    OutOfOrderError,
)
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, Ern
from evidence_store.item import Item, ItemStatus
from evidence_store.moment import Moment
from evidence_store.ports import Catalog, CatalogReader, CatalogWriter
from evidence_store.protecting import measures_on
from evidence_store.provider import Purpose
from evidence_store.registering import Registry
from evidence_store.requesting import request
from evidence_store.sharing.consent import CONSENT, Consent, Subject, consent_of
from evidence_store.sharing.grant import (
    BY_GRANTEE,
    DECLARATIONS,
    Grant,
    Refused,
    grant_of,
    inherited,
    may_pass_on,
)
from evidence_store.sharing.terms import Assurance, Basis, Granted, Terms
from evidence_store.teaming import team
from evidence_store.wording import stated

PROPOSERS = (OfficerRole.PROSECUTOR, OfficerRole.CENTRAL, OfficerRole.JUDGE)
SIGNERS = (OfficerRole.CENTRAL,)
USERS = (
    OfficerRole.PROSECUTOR,
    OfficerRole.CENTRAL,
    OfficerRole.JUDGE,
    OfficerRole.REGISTRAR,
    OfficerRole.INVESTIGATOR,
)
ONWARD_MAX = 8
RELISTED_AT_ONCE = 500
REACHES_BY = frozenset({"offered"})  # the grantee knows of a grant from then on
ASKABLE = frozenset({"acknowledged", "in_execution", "executed_in_part", "executed", "postponed"})
CENTRAL = (AuthorityRole.CENTRAL_MLA, AuthorityRole.CENTRAL_EXTRADITION)


def grant(reader: CatalogReader, chains: Chains, dossier: DossierId, of: AuthorityId) -> Grant:
    """A grant, for an authority that is a side of it; until it is offered, the grantor alone is.

    Raises:
        NotFoundError: in the same words if there is none, or none for this authority.
        LedgerAlteredError: if its events are not those that were signed.
    """
    steps = chains.steps(reader, dossier)
    found = grant_of(steps)
    is_offered = any(each.act in REACHES_BY for each in steps)
    if of != found.terms.grantor and not (of == found.terms.grantee and is_offered):
        raise NotFoundError(f"there is no {dossier}")
    return found


def grant_chain(reader: CatalogReader, chains: Chains, dossier: DossierId) -> list[Grant]:
    """A grant and those it rests on, from the first grantor's on.

    Raises:
        NotFoundError: if there is none.
        MalformedError: if it rests on more than could be.
    """
    found = [grant_of(chains.steps(reader, dossier))]
    while (below := found[0].terms.rests_on) is not None:
        if len(found) >= ONWARD_MAX:
            raise MalformedError(f"grant: rests on more than {ONWARD_MAX} others")
        found.insert(0, grant_of(chains.steps(reader, below)))
    return found


def granted_item(
    reader: CatalogReader,
    desk: Desk,
    ern: Ern,
    number: int | None,
    rests_on: DossierId | None = None,
) -> Granted:
    """An item as this officer can grant it: the version asked for or the original; 0 for a thing.

    It is of the officer's State and the officer may know of it, or this authority has it under the
    grant that the new one is to rest on.

    Raises:
        NotFoundError: if there is no such item or version for this officer, or no such grant.
    """
    held = () if rests_on is None else _held(reader, desk, rests_on)
    named = {each.version: each for each in held if each.ern == ern}
    if (chosen := named.get(number or (0 if 0 in named else 1))) is not None:
        return chosen
    insist_own_item(reader, desk, ern)
    found = _version(reader, ern, number)
    if found is None:
        raise NotFoundError(f"{ern} has no version {number}")
    return found


def _held(reader: CatalogReader, desk: Desk, rests_on: DossierId) -> tuple[Granted, ...]:
    """What this authority has under a grant, for an officer whom it is for, and for who signs."""
    found = grant(reader, desk.chains, rests_on, desk.authority)
    officer = desk.registry(reader).officer(desk.officer)
    is_for = not found.terms.officers or desk.officer in found.terms.officers
    is_for = is_for or OfficerRole.CENTRAL in officer.roles_at(desk.now)
    has = found.terms.grantee == desk.authority and found.is_signed
    return found.terms.items if has and is_for else ()


def _version(reader: CatalogReader, ern: Ern, number: int | None) -> Granted | None:
    versions = {each.number: each for each in reader.versions(ern)}
    if not versions and not number:
        return Granted(ern, 0, None)
    chosen = versions.get(number or 1)
    return None if chosen is None else Granted(ern, chosen.number, chosen.fingerprint.sha256.hex)


def propose_grant(
    desk: Desk,
    terms_for: Callable[[CatalogReader, DossierId], Terms],
    refused: Sequence[Refused] = (),
) -> DossierId:
    """Propose a grant; `terms_for` makes its terms when it has an identifier.

    Nothing is kept of a proposal that names what is not there for this officer: items, the grant
    that it rests on, the request or the team that it is given for.

    Raises:
        OutOfOrderError: if the officer may not, or the terms are another's.
        NotFoundError: if the grantee or something else that is named is not there for this officer.
        MalformedError: if the reference is none of such a basis.
    """
    with desk.catalog.act() as writer:
        desk.insist(writer, PROPOSERS)
        dossier = writer.dossiers.next_dossier(DossierKind.GRANT)
        terms = terms_for(writer, dossier)
        if terms.grantor != desk.authority or terms.grant != dossier:
            raise OutOfOrderError("grant: expected terms of one's own authority")
        desk.registry(writer).authority(terms.grantee)
        for each in terms.items:
            if granted_item(writer, desk, each.ern, each.version, terms.rests_on) != each:
                raise NotFoundError(f"there is no item {each.ern}")
        if terms.rests_on is not None:
            grant(writer, desk.chains, terms.rests_on, desk.authority)
        list(_basis(writer, desk, terms))  # refuses what it is given for, if that is not there
        listed: list[Json] = [
            {"ern": each.ern, "reason": stated(each.reason, "reason")} for each in refused
        ]
        taken = Taken(
            "proposed",
            desk.officer,
            {"terms": terms.digest, "to": terms.grantee.value},
            {"terms_document": terms.document.decode(), "refused": listed},
        )
        tags = {"item": [str(each.ern) for each in terms.items]}
        if terms.rests_on is not None:
            tags["rests_on"] = [str(terms.rests_on)]
        return open_dossier(
            writer,
            desk.recorder,
            dossier,
            taken,
            state="under_review",
            counterpart=terms.grantee,
            tags=tags,
        )


def review(reader: CatalogReader, chains: Chains, desk: Desk, found: Grant) -> list[str]:
    """What stands in the way of a grant now, as pointers; nothing, if it may be offered."""
    terms, registry = found.terms, Registry(reader, chains)
    problems = list(_parties(registry, desk, terms))
    try:
        problems += _basis(reader, desk, terms)
    except (NotFoundError, MalformedError) as error:
        problems.append(f"/reference: {error}")
    if terms.rests_on is not None:
        try:
            grant(reader, chains, terms.rests_on, desk.authority)
        except NotFoundError as error:
            return [*problems, f"/rests_on: {error}"]
        problems += _beneath(reader, registry, desk, terms, terms.rests_on)
    for each in terms.items:
        problems += _item(reader, chains, registry, terms, each)
    return problems


def _beneath(
    reader: CatalogReader, registry: Registry, desk: Desk, terms: Terms, rests_on: DossierId
) -> Iterator[str]:
    """Where terms go beyond what they rest on, or those who granted it do not allow them."""
    chain = grant_chain(reader, desk.chains, rests_on)
    yield from inherited(chain[-1].terms, terms)
    for each in chain:
        if each.state != "active":
            yield f"/rests_on: {each.terms.grant} is {each.state}"
    for each in chain:
        if not may_pass_on(each, terms.grantee, registry_party(registry, desk)):
            yield f"/rests_on: {each.terms.grantor} has not consented to {terms.grantee}"


def offer_grant(desk: Desk, dossier: DossierId) -> Grant:
    """Offer a grant that another officer proposed: the grantor signs the terms.

    Raises:
        IncompleteError: if something stands in the way; everything that does, is listed.
        OutOfOrderError, NotFoundError: as `step`.
    """
    with desk.catalog.act() as writer:
        found = grant(writer, desk.chains, dossier, desk.authority)
        insist_on_another(desk.officer, [found.proposed_by], str(dossier))
        problems = review(writer, desk.chains, desk, found)
        if problems:
            raise IncompleteError("grant", problems)
        taken = Taken("offered", desk.officer, {"terms": found.terms.digest})
        return _take(writer, desk, dossier, found, taken, SIGNERS)


def accept_grant(desk: Desk, dossier: DossierId, terms: str) -> Grant:
    """Accept a grant: the grantee signs the terms, which it names by their digest.

    Raises:
        MalformedError: if these are other terms.
        OutOfOrderError, NotFoundError: as `step`.
    """
    with desk.catalog.act() as writer:
        found = grant(writer, desk.chains, dossier, desk.authority)
        if terms != found.terms.digest:
            raise MalformedError(f"terms: expected those of {found.terms.digest}", found=terms)
        taken = Taken("accepted", desk.officer, {"terms": terms})
        after = _take(writer, desk, dossier, found, taken, SIGNERS)
        start, end = found.terms.valid_from.earliest, found.terms.valid_until.earliest
        if start is None or end is None:
            raise MalformedError("terms: expected a validity")
        officers = found.terms.officers or (None,)
        writer.dossiers.add_granted(
            dossier,
            found.terms.grantee,
            [
                GrantedVersion(each.ern, each.version, officer)
                for each in found.terms.items
                for officer in officers
            ],
            Window(is_open=True, valid_from=start, valid_until=end),
        )
        return after


def step(
    desk: Desk,
    dossier: DossierId,
    act: str,
    data: Mapping[str, Json] | None = None,
    reason: str | None = None,
) -> Grant:
    """Take a step that needs no more than the table, the side and the officer's role.

    Raises:
        OutOfOrderError: if it is not possible now, by this side or by this officer.
        NotFoundError: if there is no such grant for this authority.
    """
    if act in {"proposed", "offered", "accepted", "consent_noted", "consent_ended"}:
        raise OutOfOrderError(f"grant: {act} has a command of its own")
    private: dict[str, Json] = {} if reason is None else {"reason": stated(reason, "reason")}
    with desk.catalog.act() as writer:
        found = grant(writer, desk.chains, dossier, desk.authority)
        roles = USERS if act in BY_GRANTEE or act == "exculpatory_notified" else PROPOSERS
        return _take(
            writer, desk, dossier, found, Taken(act, desk.officer, data or {}, private), roles
        )


def give_assurance(
    desk: Desk, dossier: DossierId, assurance: Assurance, charges: Sequence[str]
) -> Grant:
    """Give an assurance, for the charges that it is given for; by default for all there are.

    Raises:
        OutOfOrderError, NotFoundError: as `step`.
    """
    with desk.catalog.read() as reader:
        found = grant(reader, desk.chains, dossier, desk.authority)
    listed: list[Json] = [*sorted(charges or found.charges)]
    return step(desk, dossier, "assurance_given", {"assurance": assurance.value, "charges": listed})


def notify_charge(desk: Desk, dossier: DossierId, charge: str, offence: str) -> Grant:
    """Notify a new charge: assurances must be given anew for it.

    Raises:
        OutOfOrderError, NotFoundError: as `step`.
    """
    data: dict[str, Json] = {
        "charge": stated(charge, "charge"),
        "offence": stated(offence, "offence"),
    }
    return step(desk, dossier, "charge_notified", data)


def declare(desk: Desk, dossier: DossierId, declaration: str, reason: str) -> Grant:
    """Declare what became of what was granted: returned, destroyed, kept because admitted.

    Raises:
        MalformedError: if it is none of the three.
        OutOfOrderError, NotFoundError: as `step`.
    """
    if declaration not in DECLARATIONS:
        raise MalformedError(f"declaration: expected one of {', '.join(DECLARATIONS)}")
    return step(desk, dossier, "declared", {"declaration": declaration}, reason)


def ask_consent(
    desk: Desk,
    subject: Subject,
    reasons: str,
    *,
    of: DossierId | None = None,
    to: AuthorityId | None = None,
    purposes: Sequence[Purpose] = (),
    items: Sequence[Ern] = (),
) -> DossierId:
    """Ask for a consent: of a grantor under a grant, or, by one's own authority, of a provider.

    Raises:
        NotFoundError: if there is no such grant or item for this authority.
        MalformedError: if it is not said what it is to be for.
        OutOfOrderError: if the officer may not.
    """
    data: dict[str, Json] = {
        "subject": subject.value,
        "to": None if to is None else to.value,
        "purposes": [each.value for each in purposes],
        "items": [str(each) for each in items],
        "grant": None if of is None else str(of),
    }
    with desk.catalog.act() as writer:
        desk.insist(writer, PROPOSERS)
        match subject, of:
            case Subject.PROVIDER, _ if items and to is not None and purposes:
                answers = desk.authority
                for ern in items:
                    insist_own_item(writer, desk, ern)
            case Subject.ONWARD, DossierId() if to is not None:
                answers = grant(writer, desk.chains, of, desk.authority).terms.grantor
            case Subject.PURPOSE, DossierId() if purposes:
                answers = grant(writer, desk.chains, of, desk.authority).terms.grantor
            case _:
                raise MalformedError(
                    "consent: onward sharing needs a grant and to whom; another purpose a grant and "
                    "the purposes; a provider's the items, to whom and the purposes"
                )
        data["answers"] = answers.value
        taken = Taken("asked", desk.officer, data, {"reasons": stated(reasons, "reasons")})
        tags = {"item": [str(each) for each in items]}
        if of is not None:
            tags["grant"] = [str(of)]
        return new_dossier(
            writer,
            desk.recorder,
            DossierKind.CONSENT,
            taken,
            state="asked",
            counterpart=answers,
            tags=tags,
        )


def answer_consent(desk: Desk, dossier: DossierId, act: str, reply: str) -> Consent:
    """Give, refuse or withdraw a consent, or drop one that was asked.

    Raises:
        NotFoundError: if there is none for this authority.
        OutOfOrderError: if it is not possible now, or by this officer.
    """
    with desk.catalog.act() as writer:
        found = consent(writer, desk.chains, dossier, desk.authority)
        state = CONSENT.after(found.state, act)
        side = found.asked_by if act == "dropped" else found.answers
        if desk.authority != side:
            raise OutOfOrderError(f"consent: {act} is for {side}")
        desk.insist(writer, SIGNERS)
        if act == "given":
            insist_on_another(desk.officer, [found.asker], str(dossier))
        taken = Taken(act, desk.officer, {}, {"reply": stated(reply, "reply")})
        take(writer, desk.recorder, dossier, taken, state=state)
        if found.grant is not None and act in {"given", "withdrawn"}:
            noted = "consent_noted" if act == "given" else "consent_ended"
            _note(writer, desk, found.grant, found, dossier, noted)
        return consent_of(desk.chains.steps(writer, dossier))


def consent(reader: CatalogReader, chains: Chains, dossier: DossierId, of: AuthorityId) -> Consent:
    """A consent, for an authority that is a side of it.

    Raises:
        NotFoundError: if there is none, or the authority is on neither side.
    """
    found = consent_of(chains.steps(reader, dossier))
    if of not in {found.asked_by, found.answers}:
        raise NotFoundError(f"there is no {dossier}")
    return found


def provider_consents(
    reader: CatalogReader, chains: Chains, ern: Ern, to: AuthorityId, purpose: str
) -> bool:
    """Whether the provider of an item consented to this recipient and purpose."""
    registry = Registry(reader, chains)
    own = registry.authority(owner_of(reader, chains, reader.item(ern))).state
    for each in reader.dossiers.tagged(DossierKind.CONSENT, "item", str(ern)):
        found = consent_of(chains.steps(reader, each.id))
        named = found.subject is Subject.PROVIDER and found.state == "given"
        named = (
            named and ern in found.items and registry.authority(found.asked_by).state == own
        )  # nobody else speaks for it
        if named and found.to == to and purpose in {every.value for every in found.purposes}:
            return True
    return False


def registry_party(registry: Registry, desk: Desk) -> Callable[[AuthorityId, AuthorityId], bool]:
    """Whether the second is a court, or the defence before it, in the State of the first."""

    def is_party(grantee: AuthorityId, to: AuthorityId) -> bool:
        try:
            first, second = registry.authority(grantee), registry.authority(to)
        except NotFoundError:
            return False
        roles = second.roles_at(desk.now)
        return first.state == second.state and bool(
            roles & {AuthorityRole.COURT, AuthorityRole.DEFENCE}
        )

    return is_party


def _take(
    writer: CatalogWriter,
    desk: Desk,
    dossier: DossierId,
    found: Grant,
    taken: Taken,
    roles: Sequence[OfficerRole],
) -> Grant:
    state = found.insist_possible(taken.act, desk.authority)
    desk.insist(writer, roles)
    take(writer, desk.recorder, dossier, taken, state=state)
    if found.is_signed:
        _show_in_lists(writer, desk, dossier, is_open=state == "active")
    return grant_of(desk.chains.steps(writer, dossier))


def _show_in_lists(writer: CatalogWriter, desk: Desk, dossier: DossierId, *, is_open: bool) -> None:
    """Let lists show what a grant names, or not; and so for all the grants that rest on it."""
    writer.dossiers.open_grant(dossier, is_open=is_open)
    for each in writer.dossiers.tagged(DossierKind.GRANT, "rests_on", str(dossier)):
        own = grant_of(desk.chains.steps(writer, each.id))
        if own.is_signed:
            _show_in_lists(writer, desk, each.id, is_open=is_open and own.state == "active")


def relist_grants(catalog: Catalog) -> None:
    """Let lists show what grants name as it was signed: a catalog that was made anew may not.

    A row was journalled when its own grant went on, and not when one that it rests on did. A grant
    that cannot be read is left, and named by an audit.

    Raises:
        CatalogBusyError, NoSpaceError: some may be as they were; do it again.
    """
    chains = Chains()
    after: str | None = None
    while True:
        with catalog.write() as writer:
            page = writer.dossiers.dossiers(DossierKind.GRANT, after=after, limit=RELISTED_AT_ONCE)
            for each in page.entries:
                try:
                    chain = grant_chain(writer, chains, each.id)
                except EvidenceError:
                    continue
                if chain[-1].is_signed:
                    is_open = all(below.state == "active" for below in chain)
                    writer.dossiers.open_grant(each.id, is_open=is_open)
        after = page.after
        if after is None:
            return


def _note(
    writer: CatalogWriter,
    desk: Desk,
    dossier: DossierId,
    found: Consent,
    given: DossierId,
    act: str,
) -> None:
    """Write a consent, or its end, into the grant that it is to: the grant says all it allows."""
    of = grant_of(desk.chains.steps(writer, dossier))
    data: dict[str, Json] = {"consent": str(given)}
    if found.subject is Subject.ONWARD and found.to is not None:
        data["to"] = found.to.value
    else:
        data["purposes"] = [each.value for each in found.purposes]
    _take(writer, desk, dossier, of, Taken(act, desk.officer, data), SIGNERS)


def _parties(registry: Registry, desk: Desk, terms: Terms) -> Iterator[str]:
    for name, authority in (("grantor", terms.grantor), ("grantee", terms.grantee)):
        entry = registry.authority(authority)
        roles = entry.roles_at(desk.now)
        if not roles:
            yield f"/{name}: {authority} is designated for nothing at {desk.now:%F}"
        if roles & {AuthorityRole.IMMIGRATION, AuthorityRole.INTELLIGENCE, AuthorityRole.MEDIA}:
            yield f"/{name}: with {authority} nothing is ever shared"
        if name == "grantor" and terms.rests_on is None and not roles & set(CENTRAL):
            yield f"/{name}: {authority} is no central authority at {desk.now:%F}"
    last = terms.valid_until.earliest
    if last is not None and last <= desk.now:
        yield f"/valid_until: {terms.valid_until} is over"


def _basis(reader: CatalogReader, desk: Desk, terms: Terms) -> Iterator[str]:
    """What is wrong with what the grant is given for.

    Raises:
        NotFoundError: if it is not there for this authority: nobody learns so of others' dossiers.
    """
    match terms.basis:
        case Basis.SPONTANEOUS:
            return
        case Basis.TEAM:
            dossier = DossierId.parse(terms.reference, DossierKind.TEAM)
            found = team(reader, desk.chains, dossier, desk.authority)
            if not {terms.grantor, terms.grantee} <= found.members_at(desk.now):
                yield f"/reference: not both are members of {terms.reference} now"
        case Basis.REQUEST:
            dossier = DossierId.parse(terms.reference, DossierKind.REQUEST)
            asked = request(reader, desk.chains, dossier, desk.authority)
            if (asked.requesting, asked.requested) != (terms.grantee, terms.grantor):
                yield f"/reference: {terms.reference} is between other authorities"
            if asked.at(desk.now).state not in ASKABLE:
                yield f"/reference: {terms.reference} is {asked.at(desk.now).state}"


def _item(
    reader: CatalogReader, chains: Chains, registry: Registry, terms: Terms, each: Granted
) -> Iterator[str]:
    item = reader.item(each.ern)
    if terms.rests_on is None:
        owner = registry.authority(owner_of(reader, chains, item)).state
        if owner != registry.authority(terms.grantor).state:
            yield f"/items/{item.ern}: is of {owner}, and not the grantor's to share"
            return  # and nothing more of it is told
        if item.case_id != terms.case_id:
            yield f"/items/{item.ern}: is not of {terms.case_id}"
    if item.status is not ItemStatus.REGISTERED:
        yield f"/items/{each}: is {item.status}"
    if _version(reader, each.ern, each.version or None) != each:
        yield f"/items/{each}: has another digest"
    yield from _provider(reader, chains, registry, terms, item)
    yield from _measures(reader, chains, terms, each)


def _measures(reader: CatalogReader, chains: Chains, terms: Terms, each: Granted) -> Iterator[str]:
    for dossier, measure in measures_on(reader, chains, each.ern):
        if measure.blocks(each.version):
            allowed = ", ".join(map(str, sorted(measure.satisfied_by))) or "none"
            yield f"/items/{each}: {dossier} is in force; versions that satisfy it: {allowed}"
        if dossier not in terms.measures:
            yield f"/measures: missing: {dossier}, which goes on with {each.ern}"


def _provider(
    reader: CatalogReader, chains: Chains, registry: Registry, terms: Terms, item: Item
) -> Iterator[str]:
    said = item.asserted.terms
    if said is None:
        return
    recipients = {terms.grantee.value, registry.authority(terms.grantee).state.value}
    beyond = [each.value for each in terms.purposes if each not in said.purposes]
    excluded = not recipients & set(said.may_see)
    over = _is_before(said.until, terms.valid_until)
    if not (beyond or excluded or over):
        return
    if all(
        provider_consents(reader, chains, item.ern, terms.grantee, each.value)
        for each in terms.purposes
    ):
        return
    if excluded:
        yield f"/items/{item.ern}: its provider allows {', '.join(said.may_see)} to see it"
    if beyond:
        yield f"/items/{item.ern}: its provider does not allow {', '.join(beyond)}"
    if over:
        yield f"/items/{item.ern}: its provider's terms end at {said.until}"
    yield f"/items/{item.ern}: ask {said.ask}; record the answer as a provider's consent"


def _is_before(end: Moment, until: Moment) -> bool:
    """Whether one ends before the other; an end that is not known is no end."""
    last = end.latest
    return last is not None and until.earliest is not None and last < until.earliest
