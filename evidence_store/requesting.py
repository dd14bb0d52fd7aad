"""One State asks another: drafting, sending, executing, refusing. Every step is an event.

What is incomplete is listed and not sent. Who sends and who receives must have been designated on
that date; who signs is another than who drafted.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from evidence_store.canonical import Json, canonical
from evidence_store.cooperation.kind import CertificateForm, Kind, Side, kind_named
from evidence_store.cooperation.registry import Channel, OfficerRole
from evidence_store.cooperation.request import RefusalGround, Request, findings, request_of
from evidence_store.desk import Desk, insist_own_item
from evidence_store.dossiers import Chains, Taken, insist_on_another, new_dossier, take
from evidence_store.errors import IncompleteError, MalformedError, NotFoundError, OutOfOrderError
from evidence_store.handling import history_of
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, Ern, PersonCode
from evidence_store.moment import Moment
from evidence_store.ports import CatalogReader, CatalogWriter
from evidence_store.registering import Registry
from evidence_store.wording import stated

DRAFTERS = (
    OfficerRole.PROSECUTOR,
    OfficerRole.INVESTIGATOR,
    OfficerRole.CENTRAL,
    OfficerRole.JUDGE,
)
SENDERS = (OfficerRole.CENTRAL,)
EXECUTORS = (
    *DRAFTERS,
    OfficerRole.CUSTODIAN,
    OfficerRole.REGISTRAR,
    OfficerRole.PROTECTION,
    OfficerRole.VICTIMS,
)
REACHES_BY = frozenset(
    {"transmitted", "made_orally"}
)  # the requested side knows of it from then on
_BY_CENTRAL = frozenset(
    {
        "signed",
        "transmitted",
        "made_orally",
        "confirmed",
        "acknowledged",
        "information_requested",
        "information_given",
        "postponed",
        "resumed",
        "consulted",
        "refused",
        "executed",
        "executed_in_part",
        "closed",
        "cannot_keep_confidential",
        "confidentiality_answered",
    }
)


def draft(desk: Desk, to: AuthorityId, document: Mapping[str, Json]) -> DossierId:
    """Draft a request; it may be incomplete.

    Raises:
        NotFoundError: if there is no such authority or kind.
        OutOfOrderError: if the officer may not.
    """
    return _new(desk, to, Taken("drafted", desk.officer, {}, {"document": dict(document)}), "draft")


def make_orally(
    desk: Desk,
    to: AuthorityId,
    document: Mapping[str, Json],
    confirm_by: Moment,
    channel: Channel = Channel.INTERPOL,
) -> DossierId:
    """Record a request that was made by word of mouth, and by when it must be confirmed.

    Raises:
        OutOfOrderError: if this kind cannot be asked for so, or the officer may not.
        MalformedError: if the time is not to come.
        NotFoundError: if there is no such authority or kind.
    """
    if not kind_named(str(document.get("kind"))).may_be_oral:
        raise OutOfOrderError("request: this kind can be made in writing only")
    if confirm_by.earliest is None or confirm_by.earliest <= desk.now:
        raise MalformedError("request: expected a time to come, by which it is confirmed")
    data: dict[str, Json] = {"confirm_by": confirm_by.text, "channel": channel.value}
    return _new(
        desk, to, Taken("made_orally", desk.officer, data, {"document": dict(document)}), "oral"
    )


def request(reader: CatalogReader, chains: Chains, dossier: DossierId, of: AuthorityId) -> Request:
    """A request, for an authority that is a side of it; of a draft only who writes it knows.

    Raises:
        NotFoundError: in the same words if there is none, or none for this authority.
        LedgerAlteredError: if its events are not those that were signed.
    """
    found = request_of(chains.steps(reader, dossier))
    is_sent = not REACHES_BY.isdisjoint(found.acts)
    if of != found.requesting and not (of == found.requested and is_sent):
        raise NotFoundError(f"there is no {dossier}")
    return found


def what_is_missing(
    reader: CatalogReader, chains: Chains, found: Request, at: datetime, channel: str = "central"
) -> list[str]:
    """What is missing or wrong before a request may be sent at that instant, as pointers."""
    return [
        *findings(found, found.kind, at),
        *_routing(Registry(reader, chains), found, at, channel),
    ]


def step(
    desk: Desk,
    dossier: DossierId,
    act: str,
    data: Mapping[str, Json] | None = None,
    private: Mapping[str, Json] | None = None,
) -> Request:
    """Take a step that needs no more than the table, the side and the officer's role.

    Raises:
        OutOfOrderError: if it is not possible now, by this side or by this officer.
        NotFoundError: if there is no such request for this authority.
    """
    if act in _WITH_CHECKS:
        raise OutOfOrderError(f"request: {act} has a command of its own")
    with desk.catalog.act() as writer:
        found = request(writer, desk.chains, dossier, desk.authority)
        if act == "formality_observed":
            _insist_asked(found, private or {})
        return _take(
            writer, desk, dossier, found, Taken(act, desk.officer, data or {}, private or {})
        )


def amend(desk: Desk, dossier: DossierId, document: Mapping[str, Json]) -> Request:
    """Write a draft anew.

    Raises:
        OutOfOrderError: as `step`; also if the kind is to be another.
    """
    with desk.catalog.act() as writer:
        found = request(writer, desk.chains, dossier, desk.authority)
        if document.get("kind") != found.kind.id:
            raise OutOfOrderError("request: expected the same kind; draft another one instead")
        taken = Taken("amended", desk.officer, {}, {"document": dict(document)})
        return _take(writer, desk, dossier, found, taken)


def sign(desk: Desk, dossier: DossierId) -> Request:
    """Sign a draft that is complete: another officer than the one who drafted it.

    Raises:
        IncompleteError: if something is missing; everything that is, is listed.
        OutOfOrderError, NotFoundError: as `step`.
    """
    with desk.catalog.act() as writer:
        found = request(writer, desk.chains, dossier, desk.authority)
        insist_on_another(desk.officer, _writers(writer, desk, dossier), str(dossier))
        _insist_complete(findings(found, found.kind, desk.now))
        data: dict[str, Json] = {"sha256": digest_of(found.document)}
        return _take(writer, desk, dossier, found, Taken("signed", desk.officer, data))


def transmit(desk: Desk, dossier: DossierId, channel: Channel) -> Request:
    """Send a signed request, if both authorities are designated for it today.

    Raises:
        IncompleteError: if something is missing, or the way is not open.
        OutOfOrderError, NotFoundError: as `step`.
    """
    with desk.catalog.act() as writer:
        found = request(writer, desk.chains, dossier, desk.authority)
        _insist_complete(what_is_missing(writer, desk.chains, found, desk.now, channel.value))
        data: dict[str, Json] = {"channel": channel.value, "sha256": digest_of(found.document)}
        return _take(writer, desk, dossier, found, Taken("transmitted", desk.officer, data))


def confirm(
    desk: Desk, dossier: DossierId, document: Mapping[str, Json], channel: Channel
) -> Request:
    """Confirm in writing, whole, what was asked for by word of mouth.

    Raises:
        IncompleteError: as `transmit`.
        OutOfOrderError: if the time is over, too: the request has lapsed.
    """
    with desk.catalog.act() as writer:
        found = request(writer, desk.chains, dossier, desk.authority)
        now = desk.now
        insist_on_another(desk.officer, [found.drafted_by], str(dossier))
        if document.get("kind") != found.kind.id:
            raise OutOfOrderError("request: expected the same kind as was asked for")
        _insist_complete(
            [
                *findings(document, found.kind, now),
                *_routing(Registry(writer, desk.chains), found, now, channel.value, document),
            ]
        )
        data: dict[str, Json] = {"channel": channel.value, "sha256": digest_of(document)}
        taken = Taken("confirmed", desk.officer, data, {"document": dict(document)})
        return _take(writer, desk, dossier, found, taken)


def lapse(desk: Desk, dossier: DossierId) -> Request:
    """Record that an oral request has lapsed: nobody confirmed it in time.

    Raises:
        OutOfOrderError: if its time is not over.
    """
    with desk.catalog.act() as writer:
        found = request(writer, desk.chains, dossier, desk.authority)
        if found.at(desk.now).state != "lapsed":
            raise OutOfOrderError("request: its time is not over")
        take(writer, desk.recorder, dossier, Taken("lapsed", desk.officer), state="lapsed")
        return request_of(desk.chains.steps(writer, dossier))


def refuse(desk: Desk, dossier: DossierId, ground: RefusalGround, reasons: str) -> Request:
    """Refuse, on a ground, with reasons, after consultation.

    Raises:
        OutOfOrderError: if nobody consulted; else as `step`.
        MalformedError: if there are no reasons.
    """
    with desk.catalog.act() as writer:
        found = request(writer, desk.chains, dossier, desk.authority)
        if not found.consulted:
            raise OutOfOrderError(
                "request: before it is refused, the other side is consulted: record it by `consult`"
            )
        taken = Taken(
            "refused",
            desk.officer,
            {"ground": ground.value},
            {"reasons": stated(reasons, "reasons")},
        )
        return _take(writer, desk, dossier, found, taken)


def postpone(desk: Desk, dossier: DossierId, until: Moment, reasons: str) -> Request:
    """Postpone the execution, until when and why.

    Raises:
        MalformedError: if the time or the reasons are missing.
        OutOfOrderError: as `step`.
    """
    if until.is_unknown:
        raise MalformedError("request: expected a time until which it is postponed")
    with desk.catalog.act() as writer:
        found = request(writer, desk.chains, dossier, desk.authority)
        taken = Taken(
            "postponed",
            desk.officer,
            {"until": until.text},
            {"reasons": stated(reasons, "reasons")},
        )
        return _take(writer, desk, dossier, found, taken)


def advance(desk: Desk, dossier: DossierId, name: str, statements: Mapping[str, str]) -> Request:
    """Take a step of this kind's own execution, stating what it needs.

    Raises:
        IncompleteError: if a statement is missing.
        OutOfOrderError: if the step is not possible now, or is the other side's.
    """
    with desk.catalog.act() as writer:
        found = request(writer, desk.chains, dossier, desk.authority)
        move = found.kind.move(name)
        if found.track not in move.sources:
            possible = [each.name for each in found.kind.steps if found.track in each.sources]
            raise OutOfOrderError(
                f"{found.kind.id}: {name} is not possible while it is {found.track}; possible: "
                f"{', '.join(possible) or 'nothing'}"
            )
        if found.side(desk.authority) is not move.side:
            raise OutOfOrderError(f"{found.kind.id}: {name} is for the {move.side} side")
        _insist_complete(
            f"/{each}: missing" for each in move.needs if not statements.get(each, "").strip()
        )
        data: dict[str, Json] = {"step": name}
        said: dict[str, Json] = dict(statements)
        taken = Taken("advanced", desk.officer, data, {"statements": said})
        return _take(writer, desk, dossier, found, taken)


def certify(
    desk: Desk,
    dossier: DossierId,
    form: str,
    statements: Mapping[str, str],
    items: Sequence[Ern] = (),
) -> Request:
    """Certify what was done. Of items: identity, condition and continuity, from the ledger.

    Raises:
        IncompleteError: if a statement or the items are missing.
        OutOfOrderError, NotFoundError: as `step`.
    """
    with desk.catalog.act() as writer:
        found = request(writer, desk.chains, dossier, desk.authority)
        chosen = found.kind.certificate(form)
        if found.track in found.kind.final and found.track not in chosen.endings:
            raise OutOfOrderError(f"{found.kind.id}: {form} does not go with {found.track}")
        document = certificate(writer, desk, dossier, chosen, statements, items)
        content = canonical(document)
        data: dict[str, Json] = {
            "form": form,
            "sha256": hashlib.sha256(content).hexdigest(),
            "items": [str(ern) for ern in items],
        }
        taken = Taken("certified", desk.officer, data, {"certificate": content.decode()})
        return _take(writer, desk, dossier, found, taken)


def certificate(
    reader: CatalogReader,
    desk: Desk,
    dossier: DossierId,
    form: CertificateForm,
    statements: Mapping[str, str],
    items: Sequence[Ern],
) -> dict[str, Json]:
    """A certificate as a document.

    Raises:
        IncompleteError: if a statement or the items are missing.
        NotFoundError: if there is no such item.
    """
    lacking = [f"/{each}: missing" for each in form.fields if not statements.get(each, "").strip()]
    if form.items and not items:
        lacking.append("/items: missing: the items that it is about")
    _insist_complete(lacking)
    for ern in items:
        insist_own_item(reader, desk, ern)
    said: dict[str, Json] = dict(statements)
    return {
        "v": 1,
        "certificate": form.name,
        "title": form.label,
        "request": str(dossier),
        "certified_by": desk.authority.value,
        "certified_at": f"{desk.now:%Y-%m-%dT%H:%M:%SZ}",
        "statements": said,
        "items": [_attested(reader, ern) for ern in items],
        "limits": (
            "It attests what was recorded from registration on. It says nothing of what happened "
            "before, and nothing of whether what is shown is true."
        ),
    }


def execute(desk: Desk, dossier: DossierId) -> Request:
    """Declare a request executed: its execution is at an ending, with its certificates.

    Raises:
        IncompleteError: if a certificate is missing.
        OutOfOrderError, NotFoundError: as `step`.
    """
    with desk.catalog.act() as writer:
        found = request(writer, desk.chains, dossier, desk.authority)
        _insist_complete(found.missing_to_execute())
        return _take(writer, desk, dossier, found, Taken("executed", desk.officer))


def digest_of(document: Mapping[str, Json]) -> str:
    """What is signed of a request: SHA-256 of its document, in hexadecimal.

    Raises:
        MalformedError: if it holds what canonical JSON does not have.
    """
    return hashlib.sha256(canonical(document)).hexdigest()


_WITH_CHECKS = frozenset(
    {
        "amended",
        "signed",
        "transmitted",
        "confirmed",
        "lapsed",
        "refused",
        "postponed",
        "advanced",
        "certified",
        "executed",
    }
)


def _new(desk: Desk, to: AuthorityId, taken: Taken, state: str) -> DossierId:
    document = taken.private["document"]
    if not isinstance(document, dict):
        raise MalformedError("request: expected an object")
    kind = kind_named(str(document.get("kind")))
    with desk.catalog.act() as writer:
        desk.insist(writer, SENDERS if state == "oral" else DRAFTERS)
        registry = desk.registry(writer)
        registry.authority(to)
        if state == "oral":
            _insist_complete(_undesignated(registry, kind, desk.authority, to, desk.now))
        if to == desk.authority:
            raise MalformedError("request: expected another authority than one's own")
        return new_dossier(
            writer,
            desk.recorder,
            DossierKind.REQUEST,
            Taken(
                taken.act,
                desk.officer,
                {**taken.data, "to": to.value, "kind": kind.id},
                taken.private,
            ),
            state=state,
            counterpart=to,
        )


def _take(
    writer: CatalogWriter, desk: Desk, dossier: DossierId, found: Request, taken: Taken
) -> Request:
    state = found.insist_possible(taken.act, desk.authority, desk.now)
    desk.insist(writer, SENDERS if taken.act in _BY_CENTRAL else EXECUTORS)
    take(writer, desk.recorder, dossier, taken, state=state)
    return request_of(desk.chains.steps(writer, dossier))


def _insist_asked(found: Request, said: Mapping[str, Json]) -> None:
    asked = found.document.get("procedure")
    if said.get("formality") not in (asked if isinstance(asked, list) else []):
        raise MalformedError("request: expected one of the procedures that were asked for")


def _writers(reader: CatalogReader, desk: Desk, dossier: DossierId) -> list[PersonCode]:
    steps = desk.chains.steps(reader, dossier)
    return [each.officer for each in steps if each.act in {"drafted", "amended"}]


def _routing(
    registry: Registry,
    found: Request,
    at: datetime,
    channel: str,
    document: Mapping[str, Json] | None = None,
) -> list[str]:
    """What keeps a request from being duly sent at that instant."""
    said = found.document if document is None else document
    problems = _undesignated(registry, found.kind, found.requesting, found.requested, at)
    try:
        receiver = registry.authority(found.requested)
    except NotFoundError as error:
        return [*problems, f"/requested: {error}"]
    if channel not in {each.value for each in receiver.channels}:
        accepted = ", ".join(receiver.channels)
        problems.append(f"/channel: {receiver.id} is reached by {accepted}, not by {channel}")
    translated = said.get("translated_into")
    spoken = [said.get("language"), *(translated if isinstance(translated, list) else ())]
    if not set(receiver.languages) & {str(each) for each in spoken}:
        problems.append(
            f"/language: {receiver.id} accepts {', '.join(receiver.languages)}; add a translation"
        )
    return problems


def _undesignated(
    registry: Registry, kind: Kind, requesting: AuthorityId, requested: AuthorityId, at: datetime
) -> list[str]:
    """Which of the two sides is not designated for a kind of assistance at that instant."""
    return [
        f"/{side}: {authority} is not designated as {role} at {at:%F}"
        for side, authority, role in (
            (Side.REQUESTING, requesting, kind.requesting),
            (Side.REQUESTED, requested, kind.requested),
        )
        if not registry.designated(authority, role, at)
    ]


def _attested(reader: CatalogReader, ern: Ern) -> dict[str, Json]:
    """Of one item: identity, condition, continuity of custody, as the ledger has them."""
    item = reader.item(ern)
    told = history_of(reader.ledger, ern)
    custody = told.custody
    seals: dict[str, Json] = {}
    if custody is not None:
        seals = {number: check.value for number, check in custody.seals.items()}
    return {
        "ern": str(ern),
        "identity": {
            "kind": item.asserted.kind.value,
            "versions": [
                {"version": each.number, "sha256": each.fingerprint.sha256.hex}
                for each in reader.versions(ern)
            ],
        },
        "condition": {
            "state": None if custody is None else custody.state.value,
            "seals": seals,
        },
        "continuity": {
            "events": len(told.rows),
            "custodian": None if custody is None else custody.custodian.value,
            "gaps": [each.kind.value for each in told.gaps],
        },
    }


def _insist_complete(found: Iterable[str]) -> None:
    problems = list(found)
    if problems:
        raise IncompleteError("request", problems)
