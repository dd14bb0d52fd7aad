"""The fallback, password and one-time code: what opens, and above all what does not."""

from datetime import timedelta

import pyotp
import pytest

from api.passwords import AT_ONCE_MAX
from api.signin import ATTEMPTS_MAX
from evidence_store.accounts import Method
from evidence_store.errors import (
    MalformedError,
    NotFoundError,
    RateError,
    UnauthenticatedError,
)
from tests.houses import NOBODY, PASSWORD, House, sealed


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
