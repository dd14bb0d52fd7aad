"""Signing in: what opens, and above all what does not."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import cbor2
import pyotp
import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from api.http import problems
from api.http.oidc import Federation
from api.http.signin import signin_routes
from api.oidc import fetched
from api.passkeys import Site
from api.passwords import AT_ONCE_MAX, Passwords
from api.signin import ATTEMPTS_MAX, SignIn
from evidence_store.accounts import Method, Session
from evidence_store.cooperation.registry import OfficerEntry, OfficerRole, Validity
from evidence_store.errors import (
    MalformedError,
    NotFoundError,
    OutOfOrderError,
    ProofError,
    RateError,
    SettingsError,
    UnauthenticatedError,
)
from evidence_store.identifiers import PersonCode
from evidence_store.ledger.passkey import (
    check_assertion,
    from_base64url,
    public_key,
    to_base64url,
)
from evidence_store.moment import Moment
from storage.catalog import SqlCatalog, create_catalog
from storage.catalog.accounts import SqlAccountStore
from storage.catalog.doors import SqlDoorStore
from storage.ledger.files import TileMemory
from tests.catalogs import NOW, SI
from tests.cooperation import World
from tests.ledgers import Ledger
from tests.softkey import ATTESTED, EXTENDED, PRESENT, VERIFIED, SoftKey, coded, es256
from tests.unit.conftest import Chance

RP_ID, ORIGIN = "evidence.example", "https://evidence.example"
PASSWORD = "correct horse battery"  # noqa: S105 - a test's
NOBODY = PersonCode.parse("OFF-9999")
ACT = hashlib.sha256(b"an act").digest()
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
OWN = {"Sec-Fetch-Site": "same-origin"}


def sealed(content: bytes) -> bytes:
    return bytes(each ^ 0x5A for each in content)


class House:
    """An instance's sign-in, its officers, and the time."""

    def __init__(self, catalog: SqlCatalog) -> None:
        self.world = World(Ledger(catalog, TileMemory()))
        self.accounts = SqlAccountStore(catalog.engine)
        self.passwords = Passwords(sealed, sealed, Chance(), CHEAP)
        self.signin = self.rules(self.passwords)

    def rules(self, passwords: Passwords | None) -> SignIn:
        chance = Chance(10**6 if passwords is None else 0)
        site = Site(RP_ID, ORIGIN, "Evidence")
        clock = self.world.ledger.clock
        return SignIn(self.accounts, self.world.catalog, clock, chance, site, passwords=passwords)

    def who(self, name: str) -> PersonCode:
        return self.world.people[name]

    def link(self, name: str = "prosecutor") -> str:
        made, token = self.signin.issue(self.who("registrar"), self.who(name))
        self.signin.confirm(self.who("second"), made.id)
        return token

    def enrolled(self, name: str = "prosecutor", **more: Any) -> SoftKey:  # noqa: ANN401 - any field
        key = SoftKey(ORIGIN, RP_ID, **more)
        token = self.link(name)
        options, _ = self.signin.enrol_options(token)
        self.signin.enrol_passkey(token, key.create(options), "blue key")
        return key

    def entered(self, key: SoftKey) -> tuple[Session, str]:
        return self.signin.by_passkey(key.get(self.signin.passkey_options()), "browser")

    def asked(self, officer: PersonCode, digest: bytes = ACT) -> dict[str, Any]:
        """What a browser is asked so that the officer signs the digest with their only passkey."""
        return self.signin.challenge_for(officer, digest, self.signin.passkey_of(officer))

    def signed(self, officer: PersonCode, answer: dict[str, Any]) -> dict[str, str]:
        """The record of what the officer signed: the act."""
        digest, _, record = self.signin.verify_consent(officer, answer)
        assert digest == ACT
        return record

    def with_password(self, name: str = "prosecutor") -> pyotp.TOTP:
        token = self.link(name)
        _, codes = self.signin.enrol_options(token)
        assert codes is not None
        shown = pyotp.TOTP(codes.secret)
        self.signin.enrol_password(token, PASSWORD, codes.challenge, self.code(shown))
        self.world.go_on(seconds=60)
        return shown

    def code(self, shown: pyotp.TOTP) -> str:
        return shown.at(self.world.ledger.clock.at)

    def by_password(self, code: str, password: str = PASSWORD, name: str = "prosecutor") -> Session:
        found, _ = self.signin.by_password(self.who(name), password, code, "browser")
        return found


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    with closing(create_catalog(url, SI, "Prosecutor", NOW)) as catalog:
        yield House(catalog)


ALGORITHMS = pytest.mark.parametrize("make", [es256, Ed25519PrivateKey.generate])


class TestEnrolment:
    @ALGORITHMS
    def test_a_passkey_of_either_algorithm_signs_in(
        self, house: House, make: Callable[[], Any]
    ) -> None:
        session, token = house.entered(house.enrolled(private=make()))
        assert session.officer == house.who("prosecutor")
        assert session.method is Method.PASSKEY
        assert house.signin.session(token) == session

    def test_what_is_asked_is_verification_and_a_resident_key(self, house: House) -> None:
        options, _ = house.signin.enrol_options(house.link())
        wanted = options["authenticatorSelection"]
        assert (wanted["userVerification"], wanted["residentKey"]) == ("required", "preferred")
        assert {each["alg"] for each in options["pubKeyCredParams"]} == {-7, -8}
        assert house.signin.passkey_options()["userVerification"] == "required"

    def test_it_is_used_once(self, house: House) -> None:
        token, key = house.link(), SoftKey(ORIGIN, RP_ID)
        options, _ = house.signin.enrol_options(token)
        answer = key.create(options)
        house.signin.enrol_passkey(token, answer, "key")
        with pytest.raises(UnauthenticatedError):
            house.signin.enrol_passkey(token, answer, "key")
        with pytest.raises(UnauthenticatedError):
            house.signin.enrol_options(token)

    def test_two_who_answer_at_once_are_not_both_let_in(self, house: House) -> None:
        token = house.link()
        first, second = SoftKey(ORIGIN, RP_ID), SoftKey(ORIGIN, RP_ID)
        asked = [house.signin.enrol_options(token)[0] for _ in range(2)]
        house.signin.enrol_passkey(token, first.create(asked[0]), "key")
        with pytest.raises(UnauthenticatedError):
            house.signin.enrol_passkey(token, second.create(asked[1]), "key")

    def test_who_issued_it_does_not_confirm_it(self, house: House) -> None:
        made, token = house.signin.issue(house.who("registrar"), house.who("prosecutor"))
        with pytest.raises(OutOfOrderError):
            house.signin.confirm(house.who("registrar"), made.id)
        with pytest.raises(UnauthenticatedError):
            house.signin.enrol_options(token)

    def test_others_neither_issue_nor_confirm(self, house: House) -> None:
        made, _ = house.signin.issue(house.who("registrar"), house.who("prosecutor"))
        for name in ("prosecutor", "operator", "b-central"):
            with pytest.raises(OutOfOrderError):
                house.signin.issue(house.who(name), house.who("prosecutor"))
            with pytest.raises(OutOfOrderError):
                house.signin.confirm(house.who(name), made.id)

    def test_it_is_for_officers_in_service(self, house: House) -> None:
        with pytest.raises(NotFoundError):
            house.signin.issue(house.who("registrar"), NOBODY)

    def test_it_is_over_after_three_days(self, house: House) -> None:
        token = house.link()
        made, _ = house.signin.issue(house.who("registrar"), house.who("central"))
        house.world.go_on(hours=72)
        with pytest.raises(UnauthenticatedError):
            house.signin.enrol_options(token)
        with pytest.raises(OutOfOrderError):
            house.signin.confirm(house.who("second"), made.id)

    @pytest.mark.parametrize("name", ["", "zz", "00" * 32, "AB" * 32, " " + "ab" * 32])
    def test_there_is_none_of_such_a_name(self, house: House, name: str) -> None:
        with pytest.raises(NotFoundError):
            house.signin.confirm(house.who("second"), name)

    def test_its_name_opens_nothing(self, house: House) -> None:
        made, _ = house.signin.issue(house.who("registrar"), house.who("prosecutor"))
        house.signin.confirm(house.who("second"), made.id)
        for text in (made.id, to_base64url(made.digest), "", "\ud800"):
            with pytest.raises(UnauthenticatedError):
                house.signin.enrol_options(text)

    def test_recovery_ends_what_was_there(self, house: House) -> None:
        lost = house.enrolled()
        _, token = house.entered(lost)
        found = house.enrolled()
        assert house.signin.session(token) is None
        with pytest.raises(UnauthenticatedError):
            house.entered(lost)
        house.entered(found)

    def test_a_challenge_is_of_one_link(self, house: House) -> None:
        ours, theirs = house.link("central"), house.link("auditor")
        options, codes = house.signin.enrol_options(theirs)
        assert codes is not None
        with pytest.raises(MalformedError, match="another link"):
            house.signin.enrol_passkey(ours, SoftKey(ORIGIN, RP_ID).create(options), "key")
        code = house.code(pyotp.TOTP(codes.secret))
        with pytest.raises(MalformedError, match="somebody else"):
            house.signin.enrol_password(ours, PASSWORD, codes.challenge, code)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"origin": "https://evil.example"},
            {"rp_id": "evil.example"},
            {"flags": PRESENT},
            {"client": {"crossOrigin": True}},
            {"client": {"type": "webauthn.get"}},
        ],
    )
    def test_what_is_not_made_here_is_refused(self, house: House, wrong: dict[str, Any]) -> None:
        token = house.link()
        options, _ = house.signin.enrol_options(token)
        answer = SoftKey(ORIGIN, RP_ID).but(**wrong).create(options)
        with pytest.raises(MalformedError):
            house.signin.enrol_passkey(token, answer, "key")
        assert house.accounts.account(house.who("prosecutor")) is None


WRONG_ANSWERS = pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://evidence.example"},
        {"rp_id": "evil.example"},
        {"flags": PRESENT},
        {"flags": VERIFIED},
        {"client": {"crossOrigin": True}},
        {"client": {"type": "webauthn.create"}},
        {"client": {"challenge": to_base64url(bytes(32))}},
        {"client": {"challenge": "+/=="}},
        {"count": 0},
        {"private": es256()},
        {"identifier": b"another"},
        {"handle": b"somebody else"},
    ],
)


class TestPasskeys:
    @WRONG_ANSWERS
    def test_what_is_not_this_key_here_is_refused(
        self, house: House, wrong: dict[str, Any]
    ) -> None:
        key = house.enrolled()
        house.entered(key)
        with pytest.raises(UnauthenticatedError):
            house.entered(key.but(**wrong))
        house.entered(key)

    def test_an_answer_counts_once(self, house: House) -> None:
        key = house.enrolled(count=None)
        answer = key.get(house.signin.passkey_options())
        house.signin.by_passkey(answer, "browser")
        with pytest.raises(UnauthenticatedError):
            house.signin.by_passkey(answer, "browser")

    def test_a_wrong_answer_uses_the_challenge_up(self, house: House) -> None:
        key = house.enrolled()
        options = house.signin.passkey_options()
        with pytest.raises(UnauthenticatedError):
            house.signin.by_passkey(key.but(private=es256()).get(options), "browser")
        with pytest.raises(UnauthenticatedError):
            house.signin.by_passkey(key.get(options), "browser")

    def test_a_challenge_is_over_after_five_minutes(self, house: House) -> None:
        key = house.enrolled()
        options = house.signin.passkey_options()
        house.world.go_on(minutes=5)
        with pytest.raises(UnauthenticatedError):
            house.signin.by_passkey(key.get(options), "browser")

    def test_a_challenge_is_for_one_purpose(self, house: House) -> None:
        key, officer = house.enrolled(), house.who("prosecutor")
        for_consent = house.asked(officer)
        with pytest.raises(UnauthenticatedError):
            house.signin.by_passkey(key.get(for_consent), "browser")
        options, _ = house.signin.enrol_options(house.link("central"))
        with pytest.raises(UnauthenticatedError):
            house.signin.by_passkey(key.get(options), "browser")

    def test_a_challenge_for_one_officer_is_not_answered_by_another(self, house: House) -> None:
        house.enrolled()
        other = house.enrolled("central")
        options = house.signin.passkey_options(house.who("prosecutor"))
        with pytest.raises(UnauthenticatedError):
            house.signin.by_passkey(other.get(options), "browser")

    def test_a_key_that_does_not_count_signs_in_again_and_again(self, house: House) -> None:
        key = house.enrolled(count=None)
        for _ in range(3):
            house.entered(key)

    def test_whether_there_is_an_officer_is_not_to_be_seen(self, house: House) -> None:
        key = house.enrolled()
        known = house.signin.passkey_options(house.who("prosecutor"))
        unknown = house.signin.passkey_options(NOBODY)
        again = house.signin.passkey_options(NOBODY)
        assert [each["id"] for each in known["allowCredentials"]] == [coded(key.identifier)]
        assert unknown["allowCredentials"] == again["allowCredentials"]
        assert len(unknown["allowCredentials"]) == 1
        assert known.keys() == unknown.keys()

    @pytest.mark.parametrize(
        "answer", [{}, {"response": None}, {"id": 1, "response": {"clientDataJSON": "e30"}}]
    )
    def test_what_is_no_answer_is_refused(self, house: House, answer: dict[str, Any]) -> None:
        with pytest.raises(UnauthenticatedError):
            house.signin.by_passkey(answer, "browser")

    @pytest.mark.parametrize("part", ["clientDataJSON", "authenticatorData", "signature"])
    @pytest.mark.parametrize("content", [None, "", "!", "AA", 7, "A" * 40_000, []])
    def test_an_answer_in_pieces_is_refused(self, house: House, part: str, content: object) -> None:
        key = house.enrolled()
        answer = key.get(house.signin.passkey_options())
        answer["response"][part] = content
        with pytest.raises(UnauthenticatedError):
            house.signin.by_passkey(answer, "browser")

    def test_who_serves_no_more_does_not_get_in(self, house: House) -> None:
        world = house.world
        code = house.who("auditor")
        key = house.enrolled("auditor")
        ended = Validity(Moment.parse("2020Z"), Moment.parse("2021Z"))
        world.enter(OfficerEntry(code, "auditor", world.home, {OfficerRole.AUDITOR: ended}))
        house.signin = house.rules(None)
        with pytest.raises(UnauthenticatedError):
            house.entered(key)
        with pytest.raises(OutOfOrderError):
            house.signin.issue(house.who("registrar"), code)

    @pytest.mark.parametrize(
        ("rp_id", "origin"),
        [
            ("evidence.example", "http://evidence.example"),
            ("evidence.example", "https://evidence.example/"),
            ("other.example", "https://evidence.example"),
            ("vidence.example", "https://evidence.example"),
            ("", "https://evidence.example"),
        ],
    )
    def test_a_site_that_no_browser_would_serve_is_refused(self, rp_id: str, origin: str) -> None:
        with pytest.raises(SettingsError):
            Site(rp_id, origin, "Evidence")


class TestPasswords:
    def test_password_and_code_sign_in(self, house: House) -> None:
        shown = house.with_password()
        assert house.by_password(house.code(shown)).method is Method.PASSWORD

    def test_a_code_counts_once(self, house: House) -> None:
        shown = house.with_password()
        code = house.code(shown)
        house.by_password(code)
        with pytest.raises(UnauthenticatedError):
            house.by_password(code)
        house.world.go_on(seconds=30)
        house.by_password(house.code(shown))

    def test_the_code_of_enrolment_counts_no_more(self, house: House) -> None:
        token = house.link()
        _, codes = house.signin.enrol_options(token)
        assert codes is not None
        code = house.code(pyotp.TOTP(codes.secret))
        house.signin.enrol_password(token, PASSWORD, codes.challenge, code)
        with pytest.raises(UnauthenticatedError):
            house.by_password(code)

    @pytest.mark.parametrize("minutes", [-2, 2])
    def test_a_code_of_another_time_is_refused(self, house: House, minutes: int) -> None:
        shown = house.with_password()
        house.world.go_on(minutes=5)
        at = house.world.ledger.clock.at + timedelta(minutes=minutes)
        with pytest.raises(UnauthenticatedError):
            house.by_password(shown.at(at))

    @pytest.mark.parametrize("code", ["", "12345", "1234567", "٠١٢٣٤٥", "12 345"])
    def test_what_is_no_code_is_refused(self, house: House, code: str) -> None:
        house.with_password()
        with pytest.raises(UnauthenticatedError):
            house.by_password(code)

    def test_after_ten_wrong_ones_the_right_one_waits(self, house: House) -> None:
        shown = house.with_password()
        for _ in range(ATTEMPTS_MAX):
            with pytest.raises(UnauthenticatedError):
                house.by_password(house.code(shown), "wrong horse battery")
        with pytest.raises(UnauthenticatedError):
            house.by_password(house.code(shown))
        house.world.go_on(minutes=14)
        with pytest.raises(UnauthenticatedError):
            house.by_password(house.code(shown))
        house.world.go_on(minutes=1)
        house.by_password(house.code(shown))

    def test_the_tenth_may_be_right(self, house: House) -> None:
        shown = house.with_password()
        for _ in range(ATTEMPTS_MAX - 1):
            with pytest.raises(UnauthenticatedError):
                house.by_password("000000", "wrong horse battery")
        house.by_password(house.code(shown))
        house.world.go_on(seconds=30)
        house.by_password(house.code(shown))

    def test_every_refusal_is_the_same(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        shown = house.with_password()
        house.enrolled("central")
        judged: list[str | None] = []
        holds = house.passwords.holds

        def seen(password: str, text: str | None) -> bool:
            judged.append(text)
            return holds(password, text)

        monkeypatch.setattr(house.passwords, "holds", seen)
        texts = set()
        code = house.code(shown)
        attempts = [
            (NOBODY, PASSWORD, code),
            (house.who("central"), PASSWORD, code),
            (house.who("prosecutor"), "wrong horse battery", code),
            (house.who("prosecutor"), PASSWORD, "000000"),
        ]
        for officer, password, given in attempts:
            with pytest.raises(UnauthenticatedError) as caught:
                house.signin.by_password(officer, password, given, "browser")
            texts.add(str(caught.value))
        assert len(texts) == 1
        assert len(judged) == len(attempts)  # each took an argon2

    def test_nobodys_password_never_holds(self, house: House) -> None:
        assert not house.passwords.holds("", None)
        assert not house.passwords.holds(PASSWORD, "no text of argon2's")

    def test_a_short_one_is_refused_and_the_link_still_counts(self, house: House) -> None:
        token = house.link()
        _, codes = house.signin.enrol_options(token)
        assert codes is not None
        code = house.code(pyotp.TOTP(codes.secret))
        for text in ("eleven chars"[:11], "x" * 1025):
            with pytest.raises(MalformedError):
                house.signin.enrol_password(token, text, codes.challenge, code)
        with pytest.raises(MalformedError):  # mistyped: the same secret can be tried again
            house.signin.enrol_password(token, PASSWORD, codes.challenge, "000000")
        house.signin.enrol_password(token, PASSWORD, codes.challenge, code)

    def test_how_a_keyboard_composes_a_letter_does_not_matter(self, house: House) -> None:
        text = house.passwords.derive("z\u030cabica in noc")
        assert house.passwords.holds("\u017eabica in noc", text)

    def test_secrets_are_kept_sealed(self, house: House) -> None:
        shown = house.with_password()
        found = house.accounts.account(house.who("prosecutor"))
        assert found is not None
        assert found.totp == sealed(shown.byte_secret())
        assert found.password is not None
        assert found.password.startswith("$argon2id$")

    def test_where_it_is_not_offered_there_is_none(self, house: House) -> None:
        shown = house.with_password()
        house.signin = house.rules(None)
        with pytest.raises(NotFoundError):
            house.by_password(house.code(shown))
        token = house.link("central")
        _, codes = house.signin.enrol_options(token)
        assert codes is None
        with pytest.raises(NotFoundError):
            house.signin.enrol_password(token, PASSWORD, "x", "000000")

    def test_strangers_cannot_order_any_number_at_once(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.passwords.WAIT_SECONDS", 0.01)
        places = house.passwords._places  # noqa: SLF001 - as if so many were under way
        for _ in range(AT_ONCE_MAX):
            places.acquire()
        with pytest.raises(RateError):
            house.passwords.holds(PASSWORD, None)
        places.release()
        assert not house.passwords.holds(PASSWORD, None)


class TestSessions:
    def test_only_its_digest_is_stored(self, house: House) -> None:
        session, token = house.entered(house.enrolled())
        assert session.digest == hashlib.sha256(token.encode()).digest()
        assert len(from_base64url(token)) == 32

    def test_one_that_is_used_lasts_eight_hours(self, house: House) -> None:
        _, token = house.entered(house.enrolled())
        for _ in range(23):
            house.world.go_on(minutes=20)
            assert house.signin.session(token) is not None
        house.world.go_on(minutes=20)
        assert house.signin.session(token) is None

    def test_one_that_is_idle_lasts_half_an_hour(self, house: House) -> None:
        session, token = house.entered(house.enrolled())
        house.world.go_on(minutes=30)
        assert house.signin.session(token) is None
        assert house.signin.sessions(session.officer) == []

    def test_one_that_was_ended_opens_nothing(self, house: House) -> None:
        key = house.enrolled()
        (first, token), (second, other) = house.entered(key), house.entered(key)
        assert {each.id for each in house.signin.sessions(first.officer)} == {first.id, second.id}
        house.signin.end(first.officer, first.id)
        assert house.signin.session(token) is None
        with pytest.raises(NotFoundError):
            house.signin.end(first.officer, first.id)
        assert house.signin.session(other) is not None
        assert house.signin.end_all(first.officer) == 1
        assert house.signin.session(other) is None

    def test_another_officers_is_not_ended(self, house: House) -> None:
        session, token = house.entered(house.enrolled())
        with pytest.raises(NotFoundError):
            house.signin.end(house.who("central"), session.id)
        assert house.signin.session(token) is not None

    @pytest.mark.parametrize("text", ["", "x", "x" * 43, "\ud800" * 43, "x" * 10_000])
    def test_what_is_no_token_opens_nothing(self, house: House, text: str) -> None:
        house.entered(house.enrolled())
        assert house.signin.session(text) is None

    def test_its_name_and_digest_open_nothing(self, house: House) -> None:
        session, _ = house.entered(house.enrolled())
        for text in (session.id, session.digest.hex(), to_base64url(session.digest)):
            assert house.signin.session(text) is None


class TestConsent:
    @ALGORITHMS
    def test_a_record_is_checked_without_anything_else(
        self, house: House, make: Callable[[], Any]
    ) -> None:
        record = self.record(house, house.enrolled(private=make()))
        check_assertion(record, ACT, RP_ID, ORIGIN)

    def record(self, house: House, key: SoftKey) -> dict[str, str]:
        officer = house.who("prosecutor")
        options = house.asked(officer)
        assert from_base64url(options["challenge"]) == ACT
        return house.signed(officer, key.get(options))

    @pytest.mark.parametrize("name", ["authenticator_data", "client_data", "signature"])
    def test_one_changed_byte_is_found(self, house: House, name: str) -> None:
        record = self.record(house, house.enrolled())
        content = bytearray(from_base64url(record[name]))
        content[-1] ^= 1
        with pytest.raises(ProofError):
            check_assertion({**record, name: to_base64url(bytes(content))}, ACT, RP_ID, ORIGIN)

    @pytest.mark.parametrize(
        "name", ["public_key", "authenticator_data", "client_data", "signature"]
    )
    @pytest.mark.parametrize("content", ["AAA", "e30", "gg_-"])
    def test_other_bytes_are_refused(self, house: House, name: str, content: str) -> None:
        record = self.record(house, house.enrolled())
        with pytest.raises(ProofError):
            check_assertion({**record, name: content}, ACT, RP_ID, ORIGIN)

    def test_it_is_for_one_act_and_site_and_key(self, house: House) -> None:
        record = self.record(house, house.enrolled())
        other = to_base64url(public_bytes(SoftKey(ORIGIN, RP_ID)))
        for changed, digest, rp_id, origin in (
            (record, bytes(32), RP_ID, ORIGIN),
            (record, b"", RP_ID, ORIGIN),
            (record, ACT, "evil.example", ORIGIN),
            (record, ACT, RP_ID, "https://evil.example"),
            ({**record, "public_key": other}, ACT, RP_ID, ORIGIN),
        ):
            with pytest.raises(ProofError):
                check_assertion(changed, digest, rp_id, origin)

    @pytest.mark.parametrize("content", [None, 7, "", "=", "AAB", "A" * 20_000])
    @pytest.mark.parametrize(
        "name", ["credential_id", "public_key", "authenticator_data", "client_data", "signature"]
    )
    def test_a_record_in_pieces_is_refused(self, house: House, name: str, content: object) -> None:
        record: dict[str, object] = {**self.record(house, house.enrolled())}
        with pytest.raises(ProofError):
            check_assertion({**record, name: content}, ACT, RP_ID, ORIGIN)

    @pytest.mark.parametrize(
        "cose",
        [
            {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)},
            {1: 2, 3: -7, -1: 2, -2: bytes(32), -3: bytes(32)},
            {1: 2, 3: -7, -1: 1, -2: bytes(31), -3: bytes(32)},
            {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: True},
            {1: 3, 3: -257, -1: b"n", -2: b"e"},
            {1: 1, 3: -8, -1: 6, -2: bytes(33)},
            {},
            [],
        ],
        ids=str,
    )
    def test_a_key_of_another_kind_is_refused(self, cose: object) -> None:
        with pytest.raises(ProofError):
            public_key(cbor2.dumps(cose))

    def test_nothing_may_follow_a_key(self) -> None:
        content = public_bytes(SoftKey(ORIGIN, RP_ID))
        public_key(content)
        for wrong in (content + b"\0", content[:-1], b"", b"\x82" * 5000):
            with pytest.raises(ProofError):
                public_key(wrong)

    def test_a_name_twice_in_the_client_data_is_refused(self, house: House) -> None:
        key = house.enrolled()
        record = self.record(house, key)
        said = from_base64url(record["client_data"])
        twice = said[:-1] + b', "type": "webauthn.get"}'
        data = from_base64url(record["authenticator_data"])
        signed = {**record, "client_data": to_base64url(twice), "signature": sign(key, data, twice)}
        with pytest.raises(ProofError, match="JSON"):
            check_assertion(signed, ACT, RP_ID, ORIGIN)

    @pytest.mark.parametrize("flags", [PRESENT, VERIFIED, PRESENT | VERIFIED | ATTESTED])
    def test_a_signature_without_verification_is_refused(self, house: House, flags: int) -> None:
        key = house.enrolled()
        record = self.record(house, key)
        said = from_base64url(record["client_data"])
        data = bytearray(from_base64url(record["authenticator_data"]))
        data[32] = flags
        changed = {
            **record,
            "authenticator_data": to_base64url(bytes(data)),
            "signature": sign(key, bytes(data), said),
        }
        with pytest.raises(ProofError):
            check_assertion(changed, ACT, RP_ID, ORIGIN)

    def test_extensions_are_signed_too(self, house: House) -> None:
        key = house.enrolled()
        flags = PRESENT | VERIFIED | EXTENDED
        extended = key.but(flags=flags, extensions=cbor2.dumps({"credProtect": 3}))
        check_assertion(self.record(house, extended), ACT, RP_ID, ORIGIN)

    def test_only_who_was_asked_answers_and_once(self, house: House) -> None:
        key, other = house.enrolled(), house.enrolled("central")
        officer, second = house.who("prosecutor"), house.who("central")
        with pytest.raises(ProofError):  # nobody was asked
            house.signed(officer, key.get({"challenge": to_base64url(ACT)}))
        options = house.asked(officer)
        with pytest.raises(ProofError):
            house.signed(second, other.get(options))
        with pytest.raises(ProofError):
            house.signed(officer, other.get(options))
        options = house.asked(officer)
        answer = key.get(options)
        house.signed(officer, answer)
        with pytest.raises(ProofError):
            house.signed(officer, answer)

    def test_two_officers_sign_the_same_act(self, house: House) -> None:
        keys = {name: house.enrolled(name) for name in ("prosecutor", "central")}
        asked = {name: house.asked(house.who(name)) for name in keys}
        for name, key in keys.items():
            answer = key.get(asked[name])
            record = house.signed(house.who(name), answer)
            check_assertion(record, ACT, RP_ID, ORIGIN)

    def test_it_takes_a_passkey_and_a_digest(self, house: House) -> None:
        house.with_password()
        with pytest.raises(OutOfOrderError):
            house.asked(house.who("prosecutor"))
        house.enrolled()
        with pytest.raises(MalformedError):
            house.asked(house.who("prosecutor"), b"short")


class Browser:
    """A browser at the application's own pages."""

    def __init__(self, house: House, *, secure: bool) -> None:
        app = FastAPI()
        problems.install(app)
        doors = SqlDoorStore(house.world.catalog.engine)
        clock = house.world.ledger.clock
        app.include_router(
            signin_routes(
                house.signin, doors, clock, Federation(ORIGIN, (), fetched), secure=secure
            )
        )
        base = ORIGIN if secure else "http://localhost"
        self.client = TestClient(app, base_url=base, headers=OWN, raise_server_exceptions=False)
        self.cookie = "__Host-session" if secure else "session"

    def post(self, path: str, **body: object) -> Response:
        return self.client.post(f"/v1{path}", json=body)

    def sign_in(self, key: SoftKey) -> Response:
        options = self.post("/session/passkey/options").json()
        return self.post("/session/passkey", credential=key.get(options))

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self.client.cookies)


@pytest.fixture(params=[True, False], ids=["secure", "plain"])
def browser(house: House, request: pytest.FixtureRequest) -> Browser:
    return Browser(house, secure=request.param)


class TestRoutes:
    def test_an_officer_is_let_in_by_two_and_signs_in_and_out(self, house: House) -> None:
        registrar, second, mine = (Browser(house, secure=True) for _ in range(3))
        registrar.sign_in(house.enrolled("registrar"))
        second.sign_in(house.enrolled("second"))
        officer = str(house.who("prosecutor"))
        made = registrar.post("/enrolments", officer=officer)
        assert made.status_code == 201
        name, token = made.json()["id"], made.json()["token"]
        assert mine.post("/enrol/options", token=token).status_code == 401
        assert registrar.post(f"/enrolments/{name}/confirmation").status_code == 409
        assert second.post(f"/enrolments/{name}/confirmation").json()["issued_by"] == str(
            house.who("registrar")
        )
        assert second.post(f"/enrolments/{name}/confirmation").status_code == 409
        key = SoftKey(ORIGIN, RP_ID)
        options = mine.post("/enrol/options", token=token).json()
        answer = mine.post(
            "/enrol", token=token, credential=key.create(options["passkey"]), name="blue"
        )
        assert (answer.status_code, answer.json()["officer"]) == (201, officer)
        me = mine.sign_in(key)
        assert me.json() == mine.client.get("/v1/session").json()
        assert (me.json()["officer"], me.json()["method"]) == (officer, "passkey")
        assert me.json()["authority"] == str(house.world.home)
        assert me.headers["cache-control"] == "no-store"
        assert mine.client.delete("/v1/session").status_code == 204
        assert mine.cookies == {}
        assert mine.client.get("/v1/session").status_code == 401

    def test_the_cookie_is_for_this_host_and_no_script(self, house: House) -> None:
        key = house.enrolled()
        header = Browser(house, secure=True).sign_in(key).headers["set-cookie"]
        name, _, rest = header.partition("=")
        words = {each.strip().lower() for each in rest.split(";")}
        assert name == "__Host-session"
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= words
        assert not any(each.startswith("domain") for each in words)
        header = Browser(house, secure=False).sign_in(key).headers["set-cookie"]
        assert header.startswith("session=")
        assert "secure" not in header.lower()

    def test_a_stolen_token_is_worth_nothing_after_signing_out(
        self, house: House, browser: Browser
    ) -> None:
        browser.sign_in(house.enrolled())
        thief = Browser(house, secure=browser.cookie == "__Host-session")
        thief.client.cookies.update(browser.cookies)
        assert thief.client.get("/v1/session").status_code == 200
        browser.client.delete("/v1/session")
        assert thief.client.get("/v1/session").status_code == 401

    def test_a_token_that_was_there_before_is_not_the_session(
        self, house: House, browser: Browser
    ) -> None:
        key = house.enrolled()
        name = browser.cookie
        browser.client.cookies.set(name, "x" * 43)
        browser.sign_in(key)
        first = _last(browser, name)
        assert first != "x" * 43
        browser.sign_in(key)
        second = _last(browser, name)
        assert second != first
        assert house.signin.session(first) is None
        assert house.signin.session(second) is not None

    def test_the_fallback_by_its_routes(self, house: House, browser: Browser) -> None:
        token, officer = house.link(), str(house.who("prosecutor"))
        codes = browser.post("/enrol/options", token=token).json()["totp"]
        shown = pyotp.TOTP(codes["secret"])
        made = browser.post(
            "/enrol/password",
            token=token,
            password=PASSWORD,
            challenge=codes["challenge"],
            code=house.code(shown),
        )
        assert (made.status_code, made.json()["officer"]) == (201, officer)
        house.world.go_on(seconds=60)
        answer = {"officer": officer, "password": PASSWORD, "code": house.code(shown)}
        me = browser.post("/session/password", **answer)
        assert (me.status_code, me.json()["method"]) == (200, "password")
        again = browser.post("/session/password", **answer)
        unknown = browser.post("/session/password", **{**answer, "officer": str(NOBODY)})
        assert again.status_code == unknown.status_code == 401
        assert again.json() == unknown.json()
        assert PASSWORD not in again.text

    def test_sessions_are_listed_and_ended(self, house: House, browser: Browser) -> None:
        key = house.enrolled()
        browser.sign_in(key)
        _, token = house.entered(key)
        listed = browser.client.get("/v1/sessions").json()["sessions"]
        (other,) = [each["id"] for each in listed if not each["current"]]
        assert browser.client.delete("/v1/sessions/nothing").status_code == 404
        assert browser.client.delete(f"/v1/sessions/{other}").status_code == 204
        assert house.signin.session(token) is None
        assert browser.client.delete("/v1/sessions").status_code == 204
        assert browser.client.get("/v1/sessions").status_code == 401

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/session"),
            ("DELETE", "/session"),
            ("GET", "/sessions"),
            ("DELETE", "/sessions"),
            ("DELETE", "/sessions/x"),
            ("POST", "/enrolments"),
            ("POST", "/enrolments/x/confirmation"),
        ],
    )
    def test_nobody_is_nobody(self, browser: Browser, method: str, path: str) -> None:
        body = {"officer": "OFF-0001"} if method == "POST" else None
        assert browser.client.request(method, f"/v1{path}", json=body).status_code == 401

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
        ],
    )
    def test_another_sites_page_signs_nobody_in_or_out(
        self, house: House, browser: Browser, headers: dict[str, str]
    ) -> None:
        key = house.enrolled()
        browser.sign_in(key)
        body = {"credential": key.get(house.signin.passkey_options())}
        answer = browser.client.post("/v1/session/passkey", json=body, headers=headers)
        assert answer.status_code == 403
        assert browser.client.delete("/v1/session", headers=headers).status_code == 403
        assert browser.client.get("/v1/session").status_code == 200

    def test_a_token_in_an_address_is_not_read(self, house: House, browser: Browser) -> None:
        token = house.link()
        answer = browser.client.post(f"/v1/enrol/options?token={token}", json={})
        assert answer.status_code == 422
        assert token not in answer.text


def _last(browser: Browser, name: str) -> str:
    return [str(each.value) for each in browser.client.cookies.jar if each.name == name][-1]


def public_bytes(key: SoftKey) -> bytes:
    return key.cose


def sign(key: SoftKey, data: bytes, client: bytes) -> str:
    assert isinstance(key.private, EllipticCurvePrivateKey)
    return to_base64url(key.private.sign(data + hashlib.sha256(client).digest(), ECDSA(SHA256())))
