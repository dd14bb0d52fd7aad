"""The rows of sign-in, each verb in a transaction of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Engine,
    Select,
    Update,
    bindparam,
    delete,
    select,
    update,
)

from evidence_store.accounts import (
    Account,
    Challenge,
    Enrolment,
    Identity,
    Method,
    Passkey,
    Password,
    Purpose,
    Session,
)
from evidence_store.identifiers import PersonCode
from storage.catalog.door_tables import (
    AccountRow,
    ChallengeRow,
    EnrolmentRow,
    IdentityRow,
    PasskeyRow,
    SessionRow,
    TokenRow,
)
from storage.catalog.engine import reading, writing
from storage.catalog.ordering import person_code_of, person_key
from storage.catalog.queries import Queries
from storage.catalog.spelling import Columns, Found
from storage.catalog.tables import table_of

T = TypeVar("T")
ACCOUNT = table_of(AccountRow)
PASSKEY = table_of(PasskeyRow)
IDENTITY = table_of(IdentityRow)
ENROLMENT = table_of(EnrolmentRow)
SESSION = table_of(SessionRow)
TOKEN = table_of(TokenRow)
CHALLENGE = table_of(ChallengeRow)
_SESSION = select(SESSION).where(SESSION.c.digest == bindparam("of"))
# Each new challenge looks at its neighbours and takes away those that are over. Digests fall all
# over the index, so all of it is looked at in time, and no statement reads the whole table.
NEIGHBOURS = 8


class SqlAccountStore:
    """Implements `evidence_store.accounts.AccountStore`. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def account(self, officer: PersonCode) -> Account | None:
        """See `AccountStore.account`."""
        with self._reading() as queries:
            return _first(queries.all(_account_query(officer), _account))

    def begin_attempt(
        self, officer: PersonCode, now: datetime, *, most: int, until: datetime
    ) -> Account | None:
        """See `AccountStore.begin_attempt`."""
        with self._writing() as queries:
            found = _first(queries.all(_account_query(officer), _account))
            if found is None or (found.locked_until is not None and now < found.locked_until):
                return None
            is_last = found.failed + 1 >= most
            changes: Columns = {
                "failed": 0 if is_last else found.failed + 1,
                "locked_until": until if is_last else None,
            }
            query = update(ACCOUNT).where(ACCOUNT.c.officer == person_key(officer))
            queries.run(query.values(changes))
        return found

    def settle_attempt(self, officer: PersonCode, totp_step: int) -> bool:
        """See `AccountStore.settle_attempt`."""
        query = update(ACCOUNT).where(
            ACCOUNT.c.officer == person_key(officer),
            ACCOUNT.c.totp_step.is_(None) | (ACCOUNT.c.totp_step < totp_step),
        )
        with self._writing() as queries:
            return queries.run(query.values(failed=0, locked_until=None, totp_step=totp_step)) == 1

    def passkey(self, credential: str) -> Passkey | None:
        """See `AccountStore.passkey`."""
        query = select(PASSKEY).where(PASSKEY.c.credential == credential)
        with self._reading() as queries:
            return _first(queries.all(query, _passkey))

    def passkeys(self, officer: PersonCode) -> Sequence[Passkey]:
        """See `AccountStore.passkeys`."""
        query = select(PASSKEY).where(PASSKEY.c.officer == person_key(officer))
        with self._reading() as queries:
            return queries.all(query.order_by(PASSKEY.c.credential), _passkey)

    def identity(self, digest: bytes) -> Identity | None:
        """See `AccountStore.identity`."""
        query = select(IDENTITY).where(IDENTITY.c.digest == digest)
        with self._reading() as queries:
            return _first(queries.all(query, _identity))

    def count_use(self, credential: str, sign_count: int) -> bool:
        """See `AccountStore.count_use`."""
        count = PASSKEY.c.sign_count
        follows = count == 0 if sign_count == 0 else count < sign_count
        query = update(PASSKEY).where(PASSKEY.c.credential == credential, follows)
        with self._writing() as queries:
            return queries.run(query.values(sign_count=sign_count)) == 1

    def passkey_behind(self, credential: str) -> Passkey | None:
        """See `AccountStore.passkey_behind`."""
        query = select(PASSKEY).where(PASSKEY.c.credential >= credential)
        with self._reading() as queries:
            return _first(queries.all(query.order_by(PASSKEY.c.credential).limit(1), _passkey))

    def add_enrolment(self, enrolment: Enrolment, now: datetime) -> None:
        """See `AccountStore.add_enrolment`."""
        by = enrolment.confirmed_by
        row: Columns = {
            "digest": enrolment.digest,
            "officer": person_key(enrolment.officer),
            "issued_by": person_key(enrolment.issued_by),
            "confirmed_by": None if by is None else person_key(by),
            "expires_at": enrolment.expires_at,
            "used_at": enrolment.used_at,
        }
        with self._writing() as queries:
            _end_enrolments(queries, person_key(enrolment.officer), now)
            queries.insert(ENROLMENT, [row])

    def enrolment(self, digest: bytes) -> Enrolment | None:
        """See `AccountStore.enrolment`."""
        with self._reading() as queries:
            return _first(queries.all(_enrolment_query(digest), _enrolment))

    def open_enrolments(self, now: datetime, *, limit: int) -> Sequence[Enrolment]:
        """See `AccountStore.open_enrolments`."""
        query = select(ENROLMENT).where(ENROLMENT.c.expires_at > now, ENROLMENT.c.used_at.is_(None))
        with self._reading() as queries:
            return queries.all(query.order_by(ENROLMENT.c.expires_at).limit(limit), _enrolment)

    def end_enrolment(self, digest: bytes, now: datetime) -> bool:
        """See `AccountStore.end_enrolment`."""
        query = update(ENROLMENT).where(
            ENROLMENT.c.digest == digest,
            ENROLMENT.c.used_at.is_(None),
            ENROLMENT.c.expires_at > now,
        )
        with self._writing() as queries:
            return queries.run(query.values(used_at=now)) == 1

    def confirm_enrolment(self, digest: bytes, by: PersonCode, now: datetime) -> bool:
        """See `AccountStore.confirm_enrolment`."""
        query = update(ENROLMENT).where(
            ENROLMENT.c.digest == digest,
            ENROLMENT.c.issued_by != person_key(by),
            ENROLMENT.c.confirmed_by.is_(None),
            ENROLMENT.c.used_at.is_(None),
            ENROLMENT.c.expires_at > now,
        )
        with self._writing() as queries:
            return queries.run(query.values(confirmed_by=person_key(by))) == 1

    def enrol(self, digest: bytes, way: Passkey | Password | Identity, now: datetime) -> bool:
        """See `AccountStore.enrol`."""
        key = person_key(way.officer)
        with self._writing() as queries:
            found = _first(queries.all(_enrolment_query(digest), _enrolment))
            if found is None or not found.counts_at(now) or found.officer != way.officer:
                return False
            _end_enrolments(queries, key, now)  # this one is among them
            queries.run(delete(PASSKEY).where(PASSKEY.c.officer == key))
            queries.run(delete(IDENTITY).where(IDENTITY.c.officer == key))
            queries.run(_ending(SESSION.c.officer == key).values(ended_at=now))
            tokens = update(TOKEN).where(TOKEN.c.officer == key, TOKEN.c.ended_at.is_(None))
            queries.run(tokens.values(ended_at=now))
            _let_in(queries, key, way, now)
        return True

    def begin_session(self, session: Session) -> None:
        """See `AccountStore.begin_session`."""
        key = person_key(session.officer)
        row: Columns = {
            "digest": session.digest,
            "id": session.id,
            "officer": key,
            "method": session.method.value,
            "agent": session.agent,
            "created_at": session.created_at,
            "seen_at": session.seen_at,
            "expires_at": session.expires_at,
            "ended_at": session.ended_at,
        }
        over = delete(SESSION).where(
            SESSION.c.officer == key, SESSION.c.expires_at <= session.created_at
        )
        with self._writing() as queries:
            queries.run(over)
            queries.insert(SESSION, [row])

    def session(self, digest: bytes) -> Session | None:
        """See `AccountStore.session`."""
        with self._reading() as queries:
            return _first(queries.all(_SESSION, _session, {"of": digest}))

    def sessions(self, officer: PersonCode) -> Sequence[Session]:
        """See `AccountStore.sessions`."""
        query = select(SESSION).where(SESSION.c.officer == person_key(officer))
        with self._reading() as queries:
            return queries.all(query.order_by(SESSION.c.id), _session)

    def see_session(self, digest: bytes, now: datetime) -> None:
        """See `AccountStore.see_session`."""
        query = update(SESSION).where(SESSION.c.digest == digest)
        with self._writing() as queries:
            queries.run(query.values(seen_at=now))

    def end_session(self, officer: PersonCode, session_id: str, now: datetime) -> bool:
        """See `AccountStore.end_session`."""
        query = _ending(SESSION.c.id == session_id, SESSION.c.officer == person_key(officer))
        with self._writing() as queries:
            return queries.run(query.values(ended_at=now)) == 1

    def end_sessions(self, officer: PersonCode, now: datetime) -> int:
        """See `AccountStore.end_sessions`."""
        query = _ending(SESSION.c.officer == person_key(officer))
        with self._writing() as queries:
            return queries.run(query.values(ended_at=now))

    def add_challenge(self, challenge: Challenge, now: datetime) -> None:
        """See `AccountStore.add_challenge`."""
        officer = challenge.officer
        row: Columns = {
            "digest": challenge.digest,
            "purpose": challenge.purpose.value,
            "officer": None if officer is None else person_key(officer),
            "content": challenge.content,
            "expires_at": challenge.expires_at,
        }
        with self._writing() as queries:
            gone = [challenge.digest, *_over_behind(queries, challenge.digest, now)]
            queries.run(delete(CHALLENGE).where(CHALLENGE.c.digest.in_(gone)))
            queries.insert(CHALLENGE, [row])

    def take_challenge(self, digest: bytes) -> Challenge | None:
        """See `AccountStore.take_challenge`."""
        with self._writing() as queries:
            query = select(CHALLENGE).where(CHALLENGE.c.digest == digest)
            found = _first(queries.all(query, _challenge))
            queries.run(delete(CHALLENGE).where(CHALLENGE.c.digest == digest))
        return found

    @contextmanager
    def _reading(self) -> Iterator[Queries]:
        with reading(self._engine) as connection:
            yield Queries(connection)

    @contextmanager
    def _writing(self) -> Iterator[Queries]:
        with writing(self._engine) as connection:
            yield Queries(connection)


def _end_enrolments(queries: Queries, key: str, now: datetime) -> None:
    """End the officer's open enrolments; those that are over need no index of their own."""
    query = update(ENROLMENT).where(
        ENROLMENT.c.expires_at > now, ENROLMENT.c.officer == key, ENROLMENT.c.used_at.is_(None)
    )
    queries.run(query.values(used_at=now))


def _let_in(queries: Queries, key: str, way: Passkey | Password | Identity, now: datetime) -> None:
    """Make `way` the only way into the account, which is made if there is none."""
    values: Columns = {"failed": 0, "locked_until": None}
    if isinstance(way, Password):
        values |= {"password": way.text, "totp": way.totp, "totp_step": way.totp_step}
    else:
        values |= {"password": None, "totp": None, "totp_step": None}
    if queries.run(update(ACCOUNT).where(ACCOUNT.c.officer == key).values(values)) == 0:
        queries.insert(ACCOUNT, [{"officer": key, "created_at": now, **values}])
    if isinstance(way, Passkey):
        row: Columns = {
            "credential": way.credential,
            "officer": key,
            "public_key": way.public_key,
            "sign_count": way.sign_count,
            "name": way.name,
            "created_at": way.created_at,
        }
        queries.insert(PASSKEY, [row])
    if isinstance(way, Identity):
        made: Columns = {
            "digest": way.digest,
            "officer": key,
            "issuer": way.issuer,
            "created_at": now,
        }
        queries.insert(IDENTITY, [made])


def _over_behind(queries: Queries, digest: bytes, now: datetime) -> list[bytes]:
    query = select(CHALLENGE.c.digest, CHALLENGE.c.expires_at).where(CHALLENGE.c.digest > digest)
    found = queries.all(
        query.order_by(CHALLENGE.c.digest).limit(NEIGHBOURS),
        lambda row: (bytes(row.digest), row.expires_at),
    )
    return [neighbour for neighbour, expires_at in found if expires_at <= now]


def _first(values: Sequence[T]) -> T | None:
    return values[0] if values else None


def _account_query(officer: PersonCode) -> Select[Any]:
    return select(ACCOUNT).where(ACCOUNT.c.officer == person_key(officer))


def _enrolment_query(digest: bytes) -> Select[Any]:
    return select(ENROLMENT).where(ENROLMENT.c.digest == digest)


def _ending(*which: ColumnElement[bool]) -> Update:
    return update(SESSION).where(*which, SESSION.c.ended_at.is_(None))


def _account(row: Found) -> Account:
    return Account(
        officer=person_code_of(row.officer),
        created_at=row.created_at,
        password=row.password,
        totp=None if row.totp is None else bytes(row.totp),
        totp_step=row.totp_step,
        failed=row.failed,
        locked_until=row.locked_until,
    )


def _passkey(row: Found) -> Passkey:
    return Passkey(
        credential=row.credential,
        officer=person_code_of(row.officer),
        public_key=bytes(row.public_key),
        sign_count=row.sign_count,
        name=row.name,
        created_at=row.created_at,
    )


def _identity(row: Found) -> Identity:
    return Identity(
        digest=bytes(row.digest), officer=person_code_of(row.officer), issuer=row.issuer
    )


def _enrolment(row: Found) -> Enrolment:
    return Enrolment(
        digest=bytes(row.digest),
        officer=person_code_of(row.officer),
        issued_by=person_code_of(row.issued_by),
        confirmed_by=None if row.confirmed_by is None else person_code_of(row.confirmed_by),
        expires_at=row.expires_at,
        used_at=row.used_at,
    )


def _session(row: Found) -> Session:
    return Session(
        digest=bytes(row.digest),
        id=row.id,
        officer=person_code_of(row.officer),
        method=Method(row.method),
        agent=row.agent,
        created_at=row.created_at,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
    )


def _challenge(row: Found) -> Challenge:
    return Challenge(
        digest=bytes(row.digest),
        purpose=Purpose(row.purpose),
        officer=None if row.officer is None else person_code_of(row.officer),
        content=row.content,
        expires_at=row.expires_at,
    )
