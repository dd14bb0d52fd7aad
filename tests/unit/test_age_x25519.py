import secrets
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.age import bech32
from evidence_store.age.x25519 import X25519Identity, X25519Recipient
from evidence_store.errors import MalformedError

# From the format's page (C2SP age, "The X25519 recipient type").
IDENTITY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"


def test_the_published_identity_has_the_published_recipient() -> None:
    identity = X25519Identity.parse(IDENTITY)
    assert str(identity.recipient) == RECIPIENT
    assert X25519Recipient.parse(RECIPIENT) == identity.recipient


@given(st.binary(min_size=32, max_size=32))
def test_parse_and_str_are_inverses(secret: bytes) -> None:
    identity = X25519Identity.generate(lambda size: secret[:size])
    again = X25519Identity.parse(str(identity))
    assert (again, str(again)) == (identity, str(identity))
    recipient = X25519Recipient.parse(str(identity.recipient))
    assert (recipient, str(recipient)) == (identity.recipient, str(identity.recipient))


@pytest.mark.parametrize(
    "text",
    [
        "",
        IDENTITY.lower(),
        IDENTITY + "\n",
        " " + IDENTITY,
        IDENTITY[:-1],
        IDENTITY[:-1] + "Q",
        RECIPIENT,
        RECIPIENT.upper(),
        bech32.encode("age-secret-key-", bytes(31)).upper(),
        bech32.encode("age-secret-key-", bytes(33)).upper(),
        bech32.encode("age-secret-key-pq-", bytes(32)).upper(),
        bech32.encode("age-plugin-yubikey-", bytes(32)).upper(),
    ],
)
def test_what_is_no_identity_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(MalformedError) as refused:
        X25519Identity.parse(text)
    assert "GFPYYSJZ" not in "".join(traceback.format_exception(refused.value)).upper()


@pytest.mark.parametrize(
    "text",
    [
        "",
        RECIPIENT.upper(),
        RECIPIENT + "\n",
        RECIPIENT[:-1] + "q",
        IDENTITY,
        IDENTITY.lower(),
        bech32.encode("age", bytes([9] * 31)),
        bech32.encode("age", bytes([9] * 33)),
        bech32.encode("age1pq", bytes([9] * 32)),
        bech32.encode("age", bytes(32)),  # low order
    ],
)
def test_what_is_no_recipient_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        X25519Recipient.parse(text)


def test_no_form_but_str_shows_the_secret() -> None:
    identity = X25519Identity.parse(IDENTITY)
    for shown in (repr(identity), f"{identity!r:>200}", repr([identity]), repr({"key": identity})):
        assert "GFPYYSJZ" not in shown.upper()
        assert "BBBB" not in shown
        assert "4242" not in shown
    assert RECIPIENT in repr(identity)
    assert repr(identity.recipient) == f"X25519Recipient.parse('{RECIPIENT}')"


def test_every_wrapping_has_a_share_of_its_own() -> None:
    recipient = X25519Recipient.parse(RECIPIENT)
    shares = {recipient.wrap(bytes(16), secrets.token_bytes).arguments for _ in range(20)}
    assert len(shares) == 20
