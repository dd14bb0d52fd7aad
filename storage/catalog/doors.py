"""The doors' rows, each verb in a transaction of its own."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, bindparam, delete, func, select, update

from evidence_store.background import Notice
from evidence_store.doors import Answered, Delivery, Token, Upload, UploadBounds, UploadState
from evidence_store.errors import ConflictError, RateError
from evidence_store.identifiers import AuthorityId, PersonCode
from evidence_store.page import Page
from storage.catalog.acting import Claim, acting
from storage.catalog.door_tables import (
    DeliveryRow,
    IdempotencyRow,
    LeaseRow,
    NonceRow,
    TokenRow,
    UploadRow,
)
from storage.catalog.engine import reading, writing
from storage.catalog.ordering import person_code_of, person_key
from storage.catalog.queries import Queries, page
from storage.catalog.spelling import Columns, Found
from storage.catalog.tables import table_of
from storage.catalog.work import add_notice

TOKEN = table_of(TokenRow)
UPLOAD = table_of(UploadRow)
IDEMPOTENCY = table_of(IdempotencyRow)
LEASE = table_of(LeaseRow)
_TOKEN = select(TOKEN).where(TOKEN.c.digest == bindparam("of"))
_OVER = frozenset({UploadState.DONE, UploadState.ENDED})
_TOLD = {UploadState.DONE: "upload.finished", UploadState.FAILED: "upload.failed"}
NONCE = table_of(NonceRow)
DELIVERY = table_of(DeliveryRow)
_UNFINISHED = (UploadState.OPEN, UploadState.FAILED, UploadState.PARTIAL)
_UNDER_WAY = [each.value for each in (*_UNFINISHED, UploadState.WHOLE)]


class SqlTokenReader:
    """Implements `evidence_store.doors.TokenReader` in a transaction of the catalog's."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def token(self, digest: bytes) -> Token | None:
        """See `TokenReader.token`."""
        found = self._queries.all(_TOKEN, _token, {"of": digest})
        return found[0] if found else None


class SqlDoorStore:
    """Implements `evidence_store.doors.DoorStore`. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_token(self, token: Token) -> None:
        """See `DoorStore.add_token`."""
        row: Columns = {
            "digest": token.digest,
            "id": token.id,
            "officer": person_key(token.officer),
            "name": token.name,
            "scopes": " ".join(sorted(token.scopes)),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
        }
        with self._writing() as queries:
            queries.insert(TOKEN, [row])

    def token(self, digest: bytes) -> Token | None:
        """See `TokenReader.token`."""
        with self._reading() as queries:
            return SqlTokenReader(queries).token(digest)

    def tokens(self, officer: PersonCode) -> Sequence[Token]:
        """See `DoorStore.tokens`."""
        query = select(TOKEN).where(TOKEN.c.officer == person_key(officer)).order_by(TOKEN.c.id)
        with self._reading() as queries:
            return queries.all(query, _token)

    def end_token(self, officer: PersonCode, token_id: str, at: datetime) -> bool:
        """See `DoorStore.end_token`."""
        query = update(TOKEN).where(TOKEN.c.id == token_id, TOKEN.c.officer == person_key(officer))
        with self._writing() as queries:
            return queries.run(query.values(ended_at=at)) == 1

    def end_tokens(self, officer: PersonCode, at: datetime) -> int:
        """See `DoorStore.end_tokens`."""
        query = update(TOKEN).where(
            TOKEN.c.officer == person_key(officer), TOKEN.c.ended_at.is_(None)
        )
        with self._writing() as queries:
            return queries.run(query.values(ended_at=at))

    def add_upload(self, upload: Upload, bounds: UploadBounds) -> None:
        """See `DoorStore.add_upload`."""
        row: Columns = {
            "id": upload.id,
            "officer": person_key(upload.officer),
            "length": upload.length,
            "offset": upload.offset,
            "epoch": upload.epoch,
            "state": upload.state.value,
            "metadata_text": json.dumps(dict(upload.metadata), ensure_ascii=False),
            "parts": _spelled(upload.parts),
            "header": upload.header,
            "created_at": upload.created_at,
            "expires_at": upload.expires_at,
            "outcome": upload.outcome,
            "concatenated": " ".join(upload.concatenated),
        }
        with self._writing() as queries:
            for part in upload.concatenated:
                _join(queries, upload.officer, part)
            queries.insert(UPLOAD, [row])
            _insist_within(queries, upload.officer, bounds)

    def upload(self, upload_id: str) -> Upload | None:
        """See `DoorStore.upload`."""
        with self._reading() as queries:
            found = queries.all(select(UPLOAD).where(UPLOAD.c.id == upload_id), _upload)
        return found[0] if found else None

    def take_over(self, upload_id: str) -> Upload | None:
        """See `DoorStore.take_over`."""
        with self._writing() as queries:
            query = update(UPLOAD).where(UPLOAD.c.id == upload_id)
            queries.run(query.values(epoch=UPLOAD.c.epoch + 1))
            found = queries.all(select(UPLOAD).where(UPLOAD.c.id == upload_id), _upload)
        return found[0] if found else None

    def advance(
        self,
        upload_id: str,
        epoch: int,
        *,
        offset: int,
        parts: Sequence[tuple[int, int]],
        until: datetime,
    ) -> bool:
        """See `DoorStore.advance`."""
        query = update(UPLOAD).where(UPLOAD.c.id == upload_id, UPLOAD.c.epoch == epoch)
        changes = {"offset": offset, "parts": _spelled(parts), "expires_at": until}
        with self._writing() as queries:
            return queries.run(query.values(changes)) == 1

    def set_length(self, upload_id: str, epoch: int, length: int, bounds: UploadBounds) -> bool:
        """See `DoorStore.set_length`."""
        query = update(UPLOAD).where(UPLOAD.c.id == upload_id, UPLOAD.c.epoch == epoch)
        with self._writing() as queries:
            if queries.run(query.values(length=length)) != 1:
                return False
            found = queries.all(select(UPLOAD).where(UPLOAD.c.id == upload_id), _upload)
            _insist_within(queries, found[0].officer, bounds)
        return True

    def end_upload(
        self, upload_id: str, *, before: UploadState, after: UploadState, outcome: str | None
    ) -> bool:
        """See `DoorStore.end_upload`."""
        query = update(UPLOAD).where(UPLOAD.c.id == upload_id, UPLOAD.c.state == before.value)
        changes: dict[str, Any] = {
            "state": after.value,
            "outcome": outcome,
            "epoch": UPLOAD.c.epoch + 1,
        }
        if after in _OVER:
            changes["header"] = (
                b""  # what opens the content is kept with the object, and only there
            )
        with self._writing() as queries:
            ended = queries.run(query.values(changes)) == 1
            if ended and after in _OVER:
                _end_joined(queries, upload_id)
            if ended and after in _TOLD:
                found = queries.all(select(UPLOAD).where(UPLOAD.c.id == upload_id), _upload)
                add_notice(
                    queries,
                    Notice(0, _TOLD[after], upload_id, datetime.now(tz=UTC), found[0].officer),
                )
            return ended

    def uploads_in(self, state: UploadState, *, limit: int = 100) -> Sequence[Upload]:
        """See `DoorStore.uploads_in`."""
        query = select(UPLOAD).where(UPLOAD.c.state == state.value).limit(limit)
        with self._reading() as queries:
            return queries.all(query, _upload)

    def expired(self, now: datetime, *, limit: int = 100) -> Sequence[Upload]:
        """See `DoorStore.expired`."""
        query = select(UPLOAD).where(
            UPLOAD.c.expires_at < now, UPLOAD.c.state.in_([each.value for each in _UNFINISHED])
        )
        with self._reading() as queries:
            return queries.all(query.limit(limit), _upload)

    def begin_answer(
        self, officer: PersonCode, key: str, fingerprint: bytes, now: datetime, over: datetime
    ) -> Answered | None:
        """See `DoorStore.begin_answer`."""
        query = select(IDEMPOTENCY).where(
            IDEMPOTENCY.c.officer == person_key(officer), IDEMPOTENCY.c.key == key
        )
        with self._writing() as queries:
            found = queries.all(
                query,
                lambda row: (
                    Answered(bytes(row.fingerprint), row.status, row.body, bool(row.is_done)),
                    row.created_at,
                ),
            )
            for answered, claimed_at in found:
                is_over = answered.status is None and not answered.is_done and claimed_at < over
                if not is_over or answered.fingerprint != fingerprint:
                    return answered
                again = update(IDEMPOTENCY).where(
                    IDEMPOTENCY.c.officer == person_key(officer), IDEMPOTENCY.c.key == key
                )
                queries.run(again.values(created_at=now))
                return None
            row: Columns = {
                "officer": person_key(officer),
                "key": key,
                "fingerprint": fingerprint,
                "created_at": now,
            }
            queries.insert(IDEMPOTENCY, [row])
        return None

    def acting(self, officer: PersonCode, key: str, now: datetime) -> AbstractContextManager[None]:
        """See `DoorStore.acting`."""
        return acting(Claim(person_key(officer), key, now))

    def keep_answer(self, officer: PersonCode, key: str, status: int, body: str) -> None:
        """See `DoorStore.keep_answer`."""
        query = update(IDEMPOTENCY).where(
            IDEMPOTENCY.c.officer == person_key(officer), IDEMPOTENCY.c.key == key
        )
        with self._writing() as queries:
            queries.run(query.values(status=status, body=body))

    def drop_answer(self, officer: PersonCode, key: str, now: datetime) -> None:
        """See `DoorStore.drop_answer`."""
        query = delete(IDEMPOTENCY).where(
            IDEMPOTENCY.c.officer == person_key(officer),
            IDEMPOTENCY.c.key == key,
            IDEMPOTENCY.c.status.is_(None),
            IDEMPOTENCY.c.is_done.is_(False),
            IDEMPOTENCY.c.created_at == now,
        )
        with self._writing() as queries:
            queries.run(query)

    def add_delivery(self, delivery: Delivery) -> None:
        """See `DoorStore.add_delivery`."""
        row: Columns = {
            "id": delivery.id,
            "authority": delivery.authority.value,
            "sha256": delivery.sha256,
            "size_bytes": delivery.size_bytes,
            "received_at": delivery.received_at,
            "signed": delivery.signed,
            "receipt": delivery.receipt,
            "signature": delivery.signature,
        }
        with self._writing() as queries:
            queries.insert(DELIVERY, [row])

    def delivery(self, delivery_id: str) -> Delivery | None:
        """See `DoorStore.delivery`."""
        with self._reading() as queries:
            found = queries.all(select(DELIVERY).where(DELIVERY.c.id == delivery_id), _delivery)
        return found[0] if found else None

    def delivered(self, authority: AuthorityId, sha256: str) -> Delivery | None:
        """See `DoorStore.delivered`."""
        query = select(DELIVERY).where(
            DELIVERY.c.authority == authority.value, DELIVERY.c.sha256 == sha256
        )
        with self._reading() as queries:
            found = queries.all(query, _delivery)
        return found[0] if found else None

    def deliveries(self, *, after: str | None = None, limit: int = 100) -> Page[Delivery]:
        """See `DoorStore.deliveries`."""
        query = select(DELIVERY).where(DELIVERY.c.id > (after or "")).order_by(DELIVERY.c.id)
        with self._reading() as queries:
            found = queries.all(query.limit(limit + 1), _delivery)
        return page(found, limit, lambda each: each.id)

    def use_nonce(self, digest: bytes, now: datetime, until: datetime) -> bool:
        """See `DoorStore.use_nonce`."""
        query = select(NONCE.c.expires_at).where(NONCE.c.digest == digest)
        with self._writing() as queries:
            queries.run(delete(NONCE).where(NONCE.c.expires_at <= now))
            if queries.all(query, lambda row: row.expires_at):
                return False
            queries.insert(NONCE, [{"digest": digest, "expires_at": until}])
        return True

    def lease(self, name: str, holder: str, now: datetime, until: datetime) -> bool:
        """See `DoorStore.lease`."""
        query = select(LEASE).where(LEASE.c.name == name)
        with self._writing() as queries:
            found = queries.all(query, lambda row: (str(row.holder), row.until))
            if not found:
                queries.insert(LEASE, [{"name": name, "holder": holder, "until": until}])
                return True
            if found[0][0] != holder and found[0][1] > now:
                return False
            change = update(LEASE).where(LEASE.c.name == name)
            queries.run(change.values(holder=holder, until=until))
        return True

    def release(self, name: str, holder: str, done_at: datetime) -> None:
        """See `DoorStore.release`."""
        query = update(LEASE).where(LEASE.c.name == name, LEASE.c.holder == holder)
        with self._writing() as queries:
            queries.run(query.values(until=done_at, done_at=done_at))

    @contextmanager
    def _reading(self) -> Iterator[Queries]:
        with reading(self._engine) as connection:
            yield Queries(connection)

    @contextmanager
    def _writing(self) -> Iterator[Queries]:
        with writing(self._engine) as connection:
            yield Queries(connection)


def _join(queries: Queries, officer: PersonCode, part: str) -> None:
    """Let a part's bytes be another upload's: nobody writes to it any more, nor joins it again."""
    query = update(UPLOAD).where(
        UPLOAD.c.id == part,
        UPLOAD.c.officer == person_key(officer),
        UPLOAD.c.state == UploadState.PARTIAL.value,
        UPLOAD.c.concatenated == "",
        UPLOAD.c.length == UPLOAD.c.offset,
    )
    changes = {"state": UploadState.JOINED.value, "epoch": UPLOAD.c.epoch + 1}
    if queries.run(query.values(changes)) != 1:
        raise ConflictError("upload: expected parts of your own that are partial and whole")


def _end_joined(queries: Queries, upload_id: str) -> None:
    query = select(UPLOAD.c.concatenated).where(UPLOAD.c.id == upload_id)
    for part in queries.all(query, lambda row: str(row.concatenated))[0].split():
        ended = update(UPLOAD).where(
            UPLOAD.c.id == part, UPLOAD.c.state == UploadState.JOINED.value
        )
        queries.run(ended.values(state=UploadState.ENDED.value, header=b""))


def _insist_within(queries: Queries, officer: PersonCode, bounds: UploadBounds) -> None:
    length = func.coalesce(UPLOAD.c.length, bounds.deferred_bytes)
    query: Any = select(
        func.count().label("uploads"), func.coalesce(func.sum(length), 0).label("size_bytes")
    ).where(UPLOAD.c.officer == person_key(officer), UPLOAD.c.state.in_(_UNDER_WAY))
    ((uploads, size_bytes),) = queries.all(query, lambda row: (row.uploads, int(row.size_bytes)))
    if uploads > bounds.uploads:
        raise RateError(
            f"upload: expected at most {bounds.uploads} under way; finish or end some of yours"
        )
    if size_bytes > bounds.size_bytes:
        raise RateError(
            f"upload: expected at most {bounds.size_bytes} bytes under way, found {size_bytes};"
            " finish or end some of yours"
        )


def _token(row: Found) -> Token:
    return Token(
        id=row.id,
        digest=bytes(row.digest),
        officer=person_code_of(row.officer),
        name=row.name,
        scopes=frozenset(row.scopes.split()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
    )


def _delivery(row: Found) -> Delivery:
    return Delivery(
        id=row.id,
        authority=AuthorityId(row.authority),
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        received_at=row.received_at,
        signed=row.signed,
        receipt=row.receipt,
        signature=bytes(row.signature),
    )


def _upload(row: Found) -> Upload:
    return Upload(
        id=row.id,
        officer=person_code_of(row.officer),
        length=row.length,
        offset=row.offset,
        epoch=row.epoch,
        state=UploadState(row.state),
        metadata=json.loads(row.metadata_text),
        parts=_parts(row.parts),
        header=bytes(row.header),
        created_at=row.created_at,
        expires_at=row.expires_at,
        outcome=row.outcome,
        concatenated=tuple(row.concatenated.split()),
    )


def _spelled(parts: Sequence[tuple[int, int]]) -> str:
    return ",".join(f"{epoch}:{length}" for epoch, length in parts)


def _parts(text: str) -> tuple[tuple[int, int], ...]:
    """The inverse of `_spelled`."""
    pairs = (each.split(":") for each in text.split(",") if each)
    return tuple((int(epoch), int(length)) for epoch, length in pairs)
