"""From what happened to messages: which authority is told of what. Identifiers only, never content.

The log is the outbox: an act and its event are one transaction, and this reads events by their
place and remembers how far it came in the transaction that enters the messages. Who is told is who
may know of the thing: the two sides of a transfer; of a request or a grant its owner, and the other
side from the step on that shows it to them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from api import ledger
from api.wiring import Instance
from evidence_store.background import Deadline, Happened, Notice, Outgoing, Webhook
from evidence_store.custody.act import ActType
from evidence_store.custody.transfer import TransferId
from evidence_store.desk import owner_of
from evidence_store.dossiers import Chains
from evidence_store.errors import CustodyError, KeyUnavailableError, NotFoundError
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind
from evidence_store.ports import CatalogReader
from evidence_store.registering import Registry
from evidence_store.transferring import declare, standing, withdraw

PLACES, NOTICES = "told-places", "told-notices"
BATCH = 200
_OF_TRANSFER = {
    "offered": "transfer.offered",
    "offer_withdrawn": "transfer.withdrawn",
    "offer_expired": "transfer.expired",
    "accepted": "transfer.accepted",
    "refused": "transfer.refused",
    "released": "transfer.released",
    "received": "transfer.received",
    "received_with_reservations": "transfer.received",
    "rejected_on_arrival": "transfer.received",
    "overdue": "transfer.overdue",
    "lost_declared": "transfer.lost",
}
_OF_ITEM = {"verified_mismatch": "fixity.failed", "not_verifiable": "fixity.failed"}
_WORDS = {
    DossierKind.REQUEST: "request",
    DossierKind.GRANT: "grant",
    DossierKind.CONSENT: "consent",
}
# From these on, the other side knows of it.
_SHOWN_BY = {
    DossierKind.REQUEST: frozenset({"transmitted", "made_orally"}),
    DossierKind.GRANT: frozenset({"offered"}),
    DossierKind.CONSENT: frozenset({"asked"}),
}


@dataclass(frozen=True, slots=True)
class Message:
    """What is told: the type, the identifier, the time, and to which authorities."""

    type: str
    subject: str
    at: datetime
    authorities: frozenset[AuthorityId]

    @property
    def body(self) -> str:
        """The payload (Standard Webhooks)."""
        data = {"id": self.subject}
        found = {"type": self.type, "timestamp": self.at.isoformat(), "data": data}
        return json.dumps(found, separators=(",", ":"))

    def outgoing(self, webhook: Webhook, now: datetime) -> Outgoing:
        """To a subscriber. The identifier is the same however often it is made."""
        said = f"{webhook.id}|{self.type}|{self.subject}|{self.at.isoformat()}"
        identifier = f"msg_{hashlib.sha256(said.encode()).hexdigest()[:32]}"
        return Outgoing(identifier, webhook.id, self.body, now, now)


def dispatch(instance: Instance) -> int:
    """Make messages of what happened since the last time; returns how many.

    What happened before there was a worker is told to nobody: a subscriber hears of what comes.

    Raises:
        CatalogBusyError, NoSpaceError: nothing of it is made; it is made the next time.
    """
    return _from_log(instance) + _from_notices(instance)


def _from_log(instance: Instance) -> int:
    work, made = instance.work, 0
    position = work.position(PLACES)
    with instance.catalog.read() as reader:
        end = reader.ledger.size() - 1
    if position is None:
        position = max(-1, end - BATCH)
    while position < end:
        events = work.happened(position, limit=BATCH)
        last = min(position + BATCH, end)
        with instance.catalog.read() as reader:
            within = [each for each in events if each.place <= last]
            messages = [each for event in within for each in messages_of(reader, event)]
            deadlines = [each for event in within for each in _deadlines(reader, event)]
        made += _tell(instance, PLACES, last, messages, deadlines)
        position = last
    return made


def _from_notices(instance: Instance) -> int:
    position, made = instance.work.position(NOTICES) or 0, 0
    while found := instance.work.notices(position, limit=BATCH):
        messages = [_of_notice(instance, each) for each in found]
        position = found[-1].number
        made += _tell(instance, NOTICES, position, messages, ())
    return made


def _tell(
    instance: Instance,
    name: str,
    position: int,
    messages: Iterable[Message],
    deadlines: Iterable[Deadline],
) -> int:
    now = instance.clock.now()
    outgoing = [
        message.outgoing(webhook, now)
        for message in messages
        for authority in message.authorities
        for webhook in instance.work.webhooks(authority)
        if message.type in webhook.events
        and webhook.disabled_at is None
        and (webhook.created_at <= message.at or name == NOTICES)
    ]
    instance.work.tell(name, position, outgoing, list(deadlines))
    return len(outgoing)


def messages_of(reader: CatalogReader, event: Happened) -> Iterator[Message]:
    """What an event is told as, if it is told."""
    subject = event.subject
    if isinstance(subject, DossierId):
        word = _WORDS.get(subject.kind)
        if word is not None:
            told = _sides(reader, subject, event.seq)
            yield Message(f"{word}.{event.act}", str(subject), event.at, told)
        return
    offer = _transfer(reader, event)
    if offer is not None:
        sides = frozenset({offer[1], offer[2]})
        yield Message(_OF_TRANSFER[event.act], str(offer[0]), event.at, sides)
    elif event.act in _OF_ITEM:
        owner = owner_of(reader, Chains(), reader.item(subject))
        yield Message(_OF_ITEM[event.act], str(subject), event.at, frozenset({owner}))


def _transfer(
    reader: CatalogReader, event: Happened
) -> tuple[TransferId, AuthorityId, AuthorityId] | None:
    named = event.data.get("transfer")
    if event.act not in _OF_TRANSFER or not isinstance(named, str):
        return None
    transfer = TransferId.parse(named)
    offer = reader.ledger.transfer(transfer)
    return transfer, offer.sender, offer.receiver


def _sides(reader: CatalogReader, dossier: DossierId, seq: int) -> frozenset[AuthorityId]:
    """Who may know of a dossier after a step."""
    found = reader.dossiers.dossier(dossier)
    if found.counterpart is None:
        return frozenset({found.owner})
    acts = {each.signed.event.act for each in reader.ledger.events(dossier) if each.seq <= seq}
    if acts & _SHOWN_BY[dossier.kind]:
        return frozenset({found.owner, found.counterpart})
    return frozenset({found.owner})


def _of_notice(instance: Instance, notice: Notice) -> Message:
    authorities = set(notice.authorities)
    if notice.officer is not None:
        with instance.catalog.read() as reader:
            authorities.add(Registry(reader, Chains()).officer(notice.officer).authority)
    return Message(notice.type, notice.subject, notice.at, frozenset(authorities))


# --------------------------------------------------------------------- time that is over


def _deadlines(reader: CatalogReader, event: Happened) -> Iterator[Deadline]:
    """The times that an event sets."""
    subject = event.subject
    if isinstance(subject, DossierId):
        if subject.kind is DossierKind.GRANT and event.act == "accepted":
            window = reader.dossiers.window(subject)
            if window is not None:
                yield Deadline(str(subject), "grant", window.valid_until)
        return
    found = _transfer(reader, event)
    if found is None:
        return
    offer = reader.ledger.transfer(found[0])
    if event.act == "offered" and offer.valid_until.latest is not None:
        yield Deadline(str(found[0]), "offer", offer.valid_until.latest)
    back = None if offer.return_by is None else offer.return_by.latest
    if event.act.startswith("received") and offer.loan and back is not None:
        yield Deadline(str(found[0]), "loan", back)


def call_time(instance: Instance) -> int:
    """Say of what is over that it is: offers expire, loans are overdue, grants' ends are told.

    Raises:
        CatalogBusyError, NoSpaceError: the rest is done the next time.
    """
    found = instance.work.over(instance.clock.now(), limit=BATCH)
    for deadline in found:
        if deadline.kind == "grant":
            _grant_over(instance, deadline)
        else:
            _transfer_over(instance, deadline)
        instance.work.forget(deadline)
    return len(found)


def _grant_over(instance: Instance, deadline: Deadline) -> None:
    dossier = DossierId.parse(deadline.subject)
    with instance.catalog.read() as reader:
        grant = reader.dossiers.dossier(dossier)
        window = reader.dossiers.window(dossier)
    if window is None or not window.is_open:
        return  # it ended before, and that was told
    sides = [each for each in (grant.owner, grant.counterpart) if each is not None]
    instance.work.add_notice(
        Notice(0, "grant.expired", deadline.subject, deadline.at, authorities=tuple(sides))
    )


def _transfer_over(instance: Instance, deadline: Deadline) -> None:
    transfer = TransferId.parse(deadline.subject)
    with instance.catalog.read() as reader:
        found = standing(reader, transfer)
    try:
        recorder = ledger.recorder(instance, found.offer.sender)
        if deadline.kind == "loan":
            declare(
                instance.catalog,
                recorder,
                transfer,
                ActType.OVERDUE,
                "the time of the loan is over",
            )
        elif found.open_items and all(
            found.items[ern][0] is ActType.OFFERED for ern in found.open_items
        ):
            withdraw(instance.catalog, recorder, transfer, "the time of the offer is over")
    except (CustodyError, KeyUnavailableError, NotFoundError):
        return  # it has come back, or its sender signs elsewhere


def types() -> frozenset[str]:
    """Every type that there is to subscribe to."""
    requests = (
        "transmitted acknowledged execution_begun advanced refused postponed executed withdrawn "
        "certified confirmed lapsed"
    )
    grants = (
        "offered accepted declined suspended resumed revoked expired declared exhausted "
        "use_reported assurance_given charge_notified"
    )
    return frozenset(
        {
            *_OF_TRANSFER.values(),
            *_OF_ITEM.values(),
            "upload.finished",
            "upload.failed",
            *(f"request.{act}" for act in requests.split()),
            *(f"grant.{act}" for act in grants.split()),
            *(f"consent.{act}" for act in ("asked", "given", "refused", "dropped", "withdrawn")),
        }
    )
