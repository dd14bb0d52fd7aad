"""Signing in by passkey, and sessions: what opens, and above all what does not."""

import hashlib
from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.passkeys import Site
from evidence_store.accounts import Method
from evidence_store.cooperation.registry import OfficerEntry, OfficerRole, Validity
from evidence_store.errors import (
    MalformedError,
    NotFoundError,
    OutOfOrderError,
    SettingsError,
    UnauthenticatedError,
)
from evidence_store.ledger.passkey import (
    from_base64url,
    to_base64url,
)
from evidence_store.moment import Moment
from tests.houses import NOBODY, ORIGIN, PASSWORD, RP_ID, House
from tests.softkey import PRESENT, VERIFIED, SoftKey, coded, es256

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
