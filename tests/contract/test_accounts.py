"""What `AccountStore` promises, on every database."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import update

from evidence_store.accounts import (
    Challenge,
    Enrolment,
    Method,
    Passkey,
    Password,
    Purpose,
    Session,
)
from evidence_store.doors import Token
from evidence_store.errors import ConflictError, MalformedError
from evidence_store.identifiers import PersonCode
from storage.catalog import SqlCatalog
from storage.catalog.accounts import SqlAccountStore
from storage.catalog.door_tables import EnrolmentRow
from storage.catalog.doors import SqlDoorStore
from storage.catalog.tables import table_of
from tests.catalogs import NOW
from tests.plans import assert_indexed, statements

ANA, BOR = PersonCode.parse("OFF-0003"), PersonCode.parse("OFF-0004")
FIRST, SECOND = PersonCode.parse("OFF-0001"), PersonCode.parse("OFF-0002")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
AT_ONCE = 4


@pytest.fixture
def accounts(catalog: SqlCatalog) -> SqlAccountStore:
    return SqlAccountStore(catalog.engine)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def passkey(officer: PersonCode = ANA, credential: str = "first") -> Passkey:
    return Passkey(credential, officer, b"\xa0key", 0, "blue key", NOW)


def password(officer: PersonCode = ANA) -> Password:
    return Password(officer, "$argon2id$", b"\x00sealed", 7)


def enrolment(name: str = "link", officer: PersonCode = ANA) -> Enrolment:
    return Enrolment(digest(name), officer, FIRST, NOW + HOUR)


def confirmed(accounts: SqlAccountStore, name: str = "link", officer: PersonCode = ANA) -> bytes:
    made = enrolment(name, officer)
    accounts.add_enrolment(made, NOW)
    assert accounts.confirm_enrolment(made.digest, SECOND, NOW)
    return made.digest


def enrolled(
    accounts: SqlAccountStore, way: Passkey | Password, name: str = "link"
) -> Passkey | Password:
    assert accounts.enrol(confirmed(accounts, name, way.officer), way, NOW)
    return way


def session(name: str = "session", officer: PersonCode = ANA) -> Session:
    return Session(digest(name), name, officer, Method.PASSKEY, "browser", NOW, NOW, NOW + 8 * HOUR)


def token(officer: PersonCode) -> Token:
    name = f"token of {officer}"
    return Token(name, digest(name), officer, "laptop", frozenset({"read"}), NOW, NOW + 8 * HOUR)


def challenge(name: str = "challenge", officer: PersonCode | None = None) -> Challenge:
    return Challenge(digest(name), Purpose.SIGN_IN, officer, "content", NOW + 5 * MINUTE)


def won(act: Callable[[], object]) -> int:
    """How many of some who do it at once are told that it was them."""
    barrier = Barrier(AT_ONCE)

    def attempt(_: int) -> bool:
        barrier.wait()
        return bool(act())

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(attempt, range(AT_ONCE)))


def test_there_is_nothing_at_first(accounts: SqlAccountStore) -> None:
    assert accounts.account(ANA) is None
    assert accounts.passkey("first") is None
    assert accounts.passkeys(ANA) == []
    assert accounts.enrolment(digest("link")) is None
    assert accounts.session(digest("session")) is None
    assert accounts.sessions(ANA) == []
    assert accounts.take_challenge(digest("challenge")) is None
    assert not accounts.confirm_enrolment(digest("link"), SECOND, NOW)
    assert not accounts.enrol(digest("link"), passkey(), NOW)
    assert not accounts.count_use("first", 1)
    assert not accounts.end_session(ANA, "session", NOW)
    assert not accounts.settle_attempt(ANA, 1)
    assert accounts.begin_attempt(ANA, NOW, most=3, until=NOW + HOUR) is None


def test_a_digest_that_is_none_is_refused() -> None:
    with pytest.raises(MalformedError):
        Enrolment(b"short", ANA, FIRST, NOW)


class TestEnrolments:
    def test_one_is_read_as_it_was_entered(self, accounts: SqlAccountStore) -> None:
        accounts.add_enrolment(enrolment(), NOW)
        assert accounts.enrolment(digest("link")) == enrolment()

    def test_another_officer_confirms_once(self, accounts: SqlAccountStore) -> None:
        accounts.add_enrolment(enrolment(), NOW)
        assert not accounts.confirm_enrolment(digest("link"), FIRST, NOW)
        assert not accounts.confirm_enrolment(digest("link"), SECOND, NOW + HOUR)
        assert accounts.confirm_enrolment(digest("link"), SECOND, NOW)
        assert not accounts.confirm_enrolment(digest("link"), BOR, NOW)
        assert accounts.enrolment(digest("link")) == replace(enrolment(), confirmed_by=SECOND)

    def test_a_passkey_is_the_way_in(self, accounts: SqlAccountStore) -> None:
        way = enrolled(accounts, passkey())
        assert accounts.passkeys(ANA) == [way]
        assert accounts.passkey("first") == way
        found = accounts.account(ANA)
        assert found is not None
        assert (found.password, found.totp, found.totp_step) == (None, None, None)

    def test_it_is_used_once_and_by_its_officer(self, accounts: SqlAccountStore) -> None:
        link = confirmed(accounts)
        assert not accounts.enrol(link, passkey(BOR), NOW)
        assert accounts.enrol(link, passkey(), NOW)
        assert not accounts.enrol(link, passkey(credential="second"), NOW)
        assert [each.credential for each in accounts.passkeys(ANA)] == ["first"]

    def test_unconfirmed_or_over_it_opens_nothing(self, accounts: SqlAccountStore) -> None:
        accounts.add_enrolment(enrolment(), NOW)
        assert not accounts.enrol(digest("link"), passkey(), NOW)
        assert accounts.confirm_enrolment(digest("link"), SECOND, NOW)
        assert not accounts.enrol(digest("link"), passkey(), NOW + HOUR)

    def test_one_that_is_used_ends_the_others_of_its_officer(
        self, accounts: SqlAccountStore, catalog: SqlCatalog
    ) -> None:
        theirs = confirmed(accounts, "bor's", BOR)
        # As two were left by a version that did not end the earlier one.
        earlier, later = confirmed(accounts, "earlier"), confirmed(accounts, "later")
        with catalog.engine.begin() as connection:
            query = update(table_of(EnrolmentRow)).where(table_of(EnrolmentRow).c.digest == earlier)
            connection.execute(query.values(used_at=None))
        assert accounts.enrol(later, passkey(), NOW)
        assert not accounts.enrol(earlier, passkey(credential="finder's"), NOW)
        assert [each.credential for each in accounts.passkeys(ANA)] == ["first"]
        assert accounts.enrol(theirs, passkey(BOR, "bor's"), NOW)

    def test_one_that_is_issued_ends_those_before(self, accounts: SqlAccountStore) -> None:
        earlier, theirs = confirmed(accounts, "earlier"), confirmed(accounts, "bor's", BOR)
        accounts.add_enrolment(enrolment("later"), NOW)
        assert not accounts.enrol(earlier, passkey(), NOW)
        assert {each.digest for each in accounts.open_enrolments(NOW, limit=9)} == {
            digest("later"),
            theirs,
        }

    def test_those_that_are_open_are_listed_and_one_is_ended_once(
        self, accounts: SqlAccountStore
    ) -> None:
        link = confirmed(accounts)
        later = replace(enrolment("bor's", BOR), expires_at=NOW + 2 * HOUR)
        accounts.add_enrolment(later, NOW)
        assert [each.digest for each in accounts.open_enrolments(NOW, limit=9)] == [
            link,
            later.digest,
        ]
        assert len(accounts.open_enrolments(NOW, limit=1)) == 1
        assert accounts.open_enrolments(NOW + HOUR, limit=9) == [later]
        assert not accounts.end_enrolment(link, NOW + HOUR)  # it is over anyway
        assert accounts.end_enrolment(link, NOW)
        assert not accounts.end_enrolment(link, NOW)
        assert not accounts.enrol(link, passkey(), NOW)

    def test_no_table_is_gone_through_for_them(
        self, accounts: SqlAccountStore, catalog: SqlCatalog
    ) -> None:
        with statements(catalog.engine) as seen:
            enrolled(accounts, passkey())
            accounts.open_enrolments(NOW, limit=9)
            accounts.end_enrolment(digest("link"), NOW)
            accounts.passkey_behind("a")
            SqlDoorStore(catalog.engine).end_tokens(ANA, NOW)
        assert_indexed(catalog.engine, seen)

    def test_of_some_at_once_one_uses_it(self, accounts: SqlAccountStore) -> None:
        link = confirmed(accounts)
        assert won(lambda: accounts.enrol(link, passkey(), NOW)) == 1

    def test_recovery_takes_all_that_was_there(
        self, accounts: SqlAccountStore, catalog: SqlCatalog
    ) -> None:
        enrolled(accounts, password())
        accounts.begin_session(session())
        accounts.begin_session(session("bor's", BOR))
        doors = SqlDoorStore(catalog.engine)
        for officer in (ANA, BOR):
            doors.add_token(token(officer))
        for _ in range(3):
            accounts.begin_attempt(ANA, NOW, most=3, until=NOW + HOUR)
        enrolled(accounts, passkey(), "second")
        found = accounts.account(ANA)
        assert found is not None
        assert (found.password, found.failed, found.locked_until) == (None, 0, None)
        (ended,) = accounts.sessions(ANA)
        assert ended.ended_at == NOW
        (other,) = accounts.sessions(BOR)
        assert other.ended_at is None
        assert [each.ended_at for each in doors.tokens(ANA)] == [NOW]
        assert [each.ended_at for each in doors.tokens(BOR)] == [None]
        enrolled(accounts, password(), "third")
        assert accounts.passkeys(ANA) == []

    def test_another_officers_passkey_changes_nothing(self, accounts: SqlAccountStore) -> None:
        enrolled(accounts, passkey(BOR, "taken"))
        enrolled(accounts, passkey(), "ana's")
        link = confirmed(accounts, "again")
        with pytest.raises(ConflictError):
            accounts.enrol(link, passkey(credential="taken"), NOW)
        assert [each.credential for each in accounts.passkeys(ANA)] == ["first"]
        assert accounts.enrol(link, passkey(), NOW)  # the link was not used up either

    def test_the_next_passkey_in_order_is_found(self, accounts: SqlAccountStore) -> None:
        assert accounts.passkey_behind("") is None
        enrolled(accounts, passkey(credential="b"))
        enrolled(accounts, passkey(BOR, "d"), "bor's")
        found = [accounts.passkey_behind(each) for each in ("", "b", "c", "e")]
        assert [each and each.credential for each in found] == ["b", "b", "d", None]


class TestAttempts:
    def test_the_last_one_locks(self, accounts: SqlAccountStore) -> None:
        enrolled(accounts, password())
        for count in range(3):
            found = accounts.begin_attempt(ANA, NOW, most=3, until=NOW + HOUR)
            assert found is not None
            assert found.failed == count
        assert accounts.begin_attempt(ANA, NOW, most=3, until=NOW + 2 * HOUR) is None
        later = accounts.begin_attempt(ANA, NOW + HOUR, most=3, until=NOW + 2 * HOUR)
        assert later is not None
        assert later.failed == 0

    def test_some_at_once_are_no_more_than_allowed(self, accounts: SqlAccountStore) -> None:
        enrolled(accounts, password())
        act = lambda: accounts.begin_attempt(ANA, NOW, most=2, until=NOW + HOUR)  # noqa: E731
        assert won(act) == 2

    def test_a_step_is_accepted_once(self, accounts: SqlAccountStore) -> None:
        enrolled(accounts, password())
        accounts.begin_attempt(ANA, NOW, most=1, until=NOW + HOUR)
        assert not accounts.settle_attempt(ANA, 7)
        assert accounts.settle_attempt(ANA, 8)
        assert not accounts.settle_attempt(ANA, 8)
        found = accounts.account(ANA)
        assert found is not None
        assert (found.failed, found.locked_until, found.totp_step) == (0, None, 8)


class TestUses:
    def test_the_count_must_grow(self, accounts: SqlAccountStore) -> None:
        enrolled(accounts, passkey())
        assert accounts.count_use("first", 0)
        assert accounts.count_use("first", 5)
        for count in (0, 4, 5):
            assert not accounts.count_use("first", count)
        assert accounts.count_use("first", 2**32 - 1)

    def test_of_some_at_once_one_is_counted(self, accounts: SqlAccountStore) -> None:
        enrolled(accounts, passkey())
        assert won(lambda: accounts.count_use("first", 1)) == 1


class TestSessions:
    def test_one_is_read_as_it_was_entered(self, accounts: SqlAccountStore) -> None:
        accounts.begin_session(session())
        assert accounts.session(digest("session")) == session()
        accounts.see_session(digest("session"), NOW + MINUTE)
        assert accounts.session(digest("session")) == replace(session(), seen_at=NOW + MINUTE)

    def test_its_officer_ends_it_once(self, accounts: SqlAccountStore) -> None:
        accounts.begin_session(session())
        assert not accounts.end_session(BOR, "session", NOW)
        assert accounts.end_session(ANA, "session", NOW)
        assert not accounts.end_session(ANA, "session", NOW + MINUTE)
        assert accounts.sessions(ANA) == [replace(session(), ended_at=NOW)]

    def test_all_of_an_officer_are_ended(self, accounts: SqlAccountStore) -> None:
        for each in (session("a"), session("b"), session("c", BOR)):
            accounts.begin_session(each)
        assert accounts.end_sessions(ANA, NOW) == 2
        assert accounts.end_sessions(ANA, NOW) == 0
        assert [each.ended_at for each in accounts.sessions(BOR)] == [None]

    def test_those_that_are_over_do_not_pile_up(self, accounts: SqlAccountStore) -> None:
        accounts.begin_session(session("a"))
        accounts.begin_session(replace(session("b"), created_at=NOW + 8 * HOUR))
        assert [each.id for each in accounts.sessions(ANA)] == ["b"]


class TestChallenges:
    @pytest.mark.parametrize("officer", [None, ANA])
    def test_one_is_given_once(self, accounts: SqlAccountStore, officer: PersonCode | None) -> None:
        accounts.add_challenge(challenge(officer=officer), NOW)
        assert accounts.take_challenge(digest("challenge")) == challenge(officer=officer)
        assert accounts.take_challenge(digest("challenge")) is None

    def test_of_some_at_once_one_is_given_it(self, accounts: SqlAccountStore) -> None:
        accounts.add_challenge(challenge(), NOW)
        assert won(lambda: accounts.take_challenge(digest("challenge"))) == 1

    def test_the_same_again_takes_its_place(self, accounts: SqlAccountStore) -> None:
        accounts.add_challenge(challenge(), NOW)
        later = replace(challenge(), content="other", expires_at=NOW + HOUR)
        accounts.add_challenge(later, NOW)
        assert accounts.take_challenge(digest("challenge")) == later

    def test_those_that_are_over_do_not_pile_up(self, accounts: SqlAccountStore) -> None:
        for number in range(40):
            accounts.add_challenge(challenge(f"old {number}"), NOW)
        for number in range(60):
            new = replace(challenge(f"new {number}"), expires_at=NOW + 2 * HOUR)
            accounts.add_challenge(new, NOW + HOUR)
        old = [accounts.take_challenge(digest(f"old {number}")) for number in range(40)]
        new_ones = [accounts.take_challenge(digest(f"new {number}")) for number in range(60)]
        assert sum(each is not None for each in old) < 5
        assert all(new_ones)
