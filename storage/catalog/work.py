"""The rows of background work, each verb in a transaction of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Select, delete, insert, select, update

from evidence_store.background import Deadline, Happened, Lease, Notice, Outgoing, Webhook
from evidence_store.doors import UploadState
from evidence_store.identifiers import AuthorityId
from evidence_store.ledger.event import Event
from storage.catalog.door_tables import (
    ChallengeRow,
    EnrolmentRow,
    IdempotencyRow,
    LeaseRow,
    SessionRow,
    TokenRow,
    UploadRow,
)
from storage.catalog.engine import reading, writing
from storage.catalog.ledger_reader import EVENT, LEAF
from storage.catalog.ordering import person_code_of, person_key, subject_of
from storage.catalog.queries import Queries, parts
from storage.catalog.spelling import Columns, Found
from storage.catalog.tables import table_of
from storage.catalog.work_tables import (
    DeadlineRow,
    NoticeRow,
    OutgoingRow,
    PositionRow,
    WebhookRow,
)

CHALLENGE, ENROLMENT = table_of(ChallengeRow), table_of(EnrolmentRow)
IDEMPOTENCY, LEASE = table_of(IdempotencyRow), table_of(LeaseRow)
SESSION, TOKEN, UPLOAD = table_of(SessionRow), table_of(TokenRow), table_of(UploadRow)
POSITION, NOTICE = table_of(PositionRow), table_of(NoticeRow)
DEADLINE, OUTGOING, WEBHOOK = table_of(DeadlineRow), table_of(OutgoingRow), table_of(WebhookRow)
# How long each is kept when it is over: long enough to be seen in a list, or to answer a retry.
KEPT = (
    (CHALLENGE.c.expires_at, timedelta()),
    (SESSION.c.expires_at, timedelta(days=1)),
    (ENROLMENT.c.expires_at, timedelta(days=30)),
    (TOKEN.c.expires_at, timedelta(days=30)),
    (IDEMPOTENCY.c.created_at, timedelta(days=2)),
)


class SqlWorkStore:
    """Implements `evidence_store.background.WorkStore`. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def clean(self, now: datetime) -> None:
        """See `WorkStore.clean`."""
        for column, kept in KEPT:
            over = column < now - kept
            query = select(column).where(over).limit(1)
            with self._reading() as queries:
                if not queries.all(query, bool):
                    continue
            with self._writing() as queries:
                queries.run(delete(column.table).where(over))

    def leases(self) -> Sequence[Lease]:
        """See `WorkStore.leases`."""
        with self._reading() as queries:
            return queries.all(
                select(LEASE).where(LEASE.c.name > "").order_by(LEASE.c.name),
                lambda row: Lease(row.name, row.holder, row.until, row.done_at),
            )

    def position(self, name: str) -> int | None:
        """See `WorkStore.position`."""
        with self._reading() as queries:
            return position(queries, name)

    def set_position(self, name: str, position: int) -> None:
        """See `WorkStore.set_position`."""
        with self._writing() as queries:
            move(queries, name, position)

    def open_uploads(self, *, most: int) -> int:
        """See `WorkStore.open_uploads`."""
        states = [UploadState.OPEN.value, UploadState.WHOLE.value, UploadState.PARTIAL.value]
        query = select(UPLOAD.c.id).where(UPLOAD.c.state.in_(states)).limit(most)
        with self._reading() as queries:
            return len(queries.all(query, bool))

    def happened(self, after: int, *, limit: int) -> Sequence[Happened]:
        """See `WorkStore.happened`."""
        query = (
            select(
                LEAF.c.place,
                EVENT.c.subject_key,
                EVENT.c.seq,
                EVENT.c.act,
                EVENT.c.recorded_at,
                EVENT.c.body,
            )
            .select_from(LEAF.join(EVENT, EVENT.c.commitment == LEAF.c.commitment))
            .where(LEAF.c.place > after, LEAF.c.place <= after + limit)
            .order_by(LEAF.c.place)
        )
        with self._reading() as queries:
            return queries.all(query, _happened)

    def add_notice(self, notice: Notice) -> None:
        """See `WorkStore.add_notice`."""
        with self._writing() as queries:
            add_notice(queries, notice)

    def notices(self, after: int, *, limit: int) -> Sequence[Notice]:
        """See `WorkStore.notices`."""
        query = select(NOTICE).where(NOTICE.c.number > after).order_by(NOTICE.c.number)
        with self._reading() as queries:
            return queries.all(query.limit(limit), _notice)

    def tell(
        self,
        name: str,
        position: int,
        outgoing: Sequence[Outgoing],
        deadlines: Sequence[Deadline] = (),
    ) -> None:
        """See `WorkStore.tell`."""
        rows: dict[str, Columns] = {each.id: _outgoing_columns(each) for each in outgoing}
        with self._writing() as queries:
            for part in parts(rows):
                query = select(OUTGOING.c.id).where(OUTGOING.c.id.in_(part))
                for known in queries.all(query, lambda row: str(row.id)):
                    del rows[known]
            queries.insert(OUTGOING, list(rows.values()))
            for each in deadlines:
                _keep_deadline(queries, each)
            move(queries, name, position)

    def over(self, now: datetime, *, limit: int) -> Sequence[Deadline]:
        """See `WorkStore.over`."""
        query = select(DEADLINE).where(DEADLINE.c.at < now).order_by(DEADLINE.c.at).limit(limit)
        with self._reading() as queries:
            return queries.all(query, lambda row: Deadline(row.subject, row.kind, row.at))

    def forget(self, deadline: Deadline) -> None:
        """See `WorkStore.forget`."""
        query = delete(DEADLINE).where(
            DEADLINE.c.subject == deadline.subject, DEADLINE.c.kind == deadline.kind
        )
        with self._writing() as queries:
            queries.run(query)

    def add_webhook(self, webhook: Webhook, *, most: int) -> bool:
        """See `WorkStore.add_webhook`."""
        row: Columns = {
            "id": webhook.id,
            "authority": webhook.authority.value,
            "officer": person_key(webhook.officer),
            "url": webhook.url,
            "events": " ".join(sorted(webhook.events)),
            "secret": webhook.secret,
            "header": webhook.header,
            "created_at": webhook.created_at,
        }
        with self._writing() as queries:
            if len(queries.all(_webhooks_of(webhook.authority).limit(most), _webhook)) >= most:
                return False
            queries.insert(WEBHOOK, [row])
        return True

    def webhooks(self, authority: AuthorityId) -> Sequence[Webhook]:
        """See `WorkStore.webhooks`."""
        with self._reading() as queries:
            return queries.all(_webhooks_of(authority), _webhook)

    def webhook(self, webhook_id: str) -> Webhook | None:
        """See `WorkStore.webhook`."""
        with self._reading() as queries:
            found = queries.all(select(WEBHOOK).where(WEBHOOK.c.id == webhook_id), _webhook)
        return found[0] if found else None

    def end_webhook(self, authority: AuthorityId, webhook_id: str) -> bool:
        """See `WorkStore.end_webhook`."""
        query = delete(WEBHOOK).where(
            WEBHOOK.c.id == webhook_id, WEBHOOK.c.authority == authority.value
        )
        with self._writing() as queries:
            if queries.run(query) == 0:
                return False
            queries.run(delete(OUTGOING).where(OUTGOING.c.webhook == webhook_id))
        return True

    def disable_webhook(self, webhook_id: str, at: datetime, reason: str) -> None:
        """See `WorkStore.disable_webhook`."""
        query = update(WEBHOOK).where(WEBHOOK.c.id == webhook_id)
        with self._writing() as queries:
            queries.run(query.values(disabled_at=at, reason=reason))
            queries.run(delete(OUTGOING).where(OUTGOING.c.webhook == webhook_id))

    def due(self, now: datetime, *, limit: int) -> Sequence[Outgoing]:
        """See `WorkStore.due`."""
        query = select(OUTGOING).where(OUTGOING.c.due_at <= now)
        ordered = query.order_by(OUTGOING.c.due_at, OUTGOING.c.id)
        with self._reading() as queries:
            return queries.all(ordered.limit(limit), _outgoing)

    def delivered(self, outgoing_id: str) -> None:
        """See `WorkStore.delivered`."""
        with self._writing() as queries:
            queries.run(delete(OUTGOING).where(OUTGOING.c.id == outgoing_id))

    def postpone(self, outgoing_id: str, attempts: int, due_at: datetime) -> None:
        """See `WorkStore.postpone`."""
        query = update(OUTGOING).where(OUTGOING.c.id == outgoing_id)
        with self._writing() as queries:
            queries.run(query.values(attempts=attempts, due_at=due_at))

    def pending(self, webhook_id: str, *, most: int) -> int:
        """See `WorkStore.pending`."""
        query = select(OUTGOING.c.id).where(OUTGOING.c.webhook == webhook_id).limit(most)
        with self._reading() as queries:
            return len(queries.all(query, bool))

    @contextmanager
    def _reading(self) -> Iterator[Queries]:
        with reading(self._engine) as connection:
            yield Queries(connection)

    @contextmanager
    def _writing(self) -> Iterator[Queries]:
        with writing(self._engine) as connection:
            yield Queries(connection)


def position(queries: Queries, name: str) -> int | None:
    """How far a piece of work has come."""
    query = select(POSITION.c.position).where(POSITION.c.name == name)
    found = queries.all(query, lambda row: int(row.position))
    return found[0] if found else None


def move(queries: Queries, name: str, to: int) -> None:
    """Say how far a piece of work has come."""
    if queries.run(update(POSITION).where(POSITION.c.name == name).values(position=to)) == 0:
        queries.run(insert(POSITION), [{"name": name, "position": to}])


def add_notice(queries: Queries, notice: Notice) -> None:
    """Enter something to tell, in the transaction of what is told."""
    row: Columns = {
        "number": queries.next_serial("notice", 1),
        "type": notice.type,
        "subject": notice.subject,
        "officer": None if notice.officer is None else person_key(notice.officer),
        "authorities": " ".join(each.value for each in notice.authorities),
        "at": notice.at,
    }
    queries.insert(NOTICE, [row])


def _keep_deadline(queries: Queries, deadline: Deadline) -> None:
    query = update(DEADLINE).where(
        DEADLINE.c.subject == deadline.subject, DEADLINE.c.kind == deadline.kind
    )
    if queries.run(query.values(at=deadline.at)) == 0:
        row = {"subject": deadline.subject, "kind": deadline.kind, "at": deadline.at}
        queries.insert(DEADLINE, [row])


def _webhooks_of(authority: AuthorityId) -> Select[Any]:
    query = select(WEBHOOK).where(WEBHOOK.c.authority == authority.value)
    return query.order_by(WEBHOOK.c.id)


def _happened(row: Found) -> Happened:
    event = Event.parse(bytes(row.body))
    subject = subject_of(row.subject_key)
    return Happened(row.place, subject, row.seq, row.act, row.recorded_at, event.data)


def _notice(row: Found) -> Notice:
    return Notice(
        number=row.number,
        type=row.type,
        subject=row.subject,
        at=row.at,
        officer=None if row.officer is None else person_code_of(row.officer),
        authorities=tuple(map(AuthorityId, row.authorities.split())),
    )


def _webhook(row: Found) -> Webhook:
    return Webhook(
        id=row.id,
        authority=AuthorityId(row.authority),
        officer=person_code_of(row.officer),
        url=row.url,
        events=frozenset(row.events.split()),
        secret=bytes(row.secret),
        header=bytes(row.header),
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        reason=row.reason,
    )


def _outgoing(row: Found) -> Outgoing:
    return Outgoing(row.id, row.webhook, row.body, row.created_at, row.due_at, row.attempts)


def _outgoing_columns(outgoing: Outgoing) -> Columns:
    return {
        "id": outgoing.id,
        "webhook": outgoing.webhook,
        "body": outgoing.body,
        "created_at": outgoing.created_at,
        "due_at": outgoing.due_at,
        "attempts": outgoing.attempts,
    }
