import secrets
from collections.abc import Callable

import pytest

from evidence_store.age import scrypt
from evidence_store.age.file import open_file, seal_file
from evidence_store.age.header import open_header
from evidence_store.age.scrypt import ScryptIdentity, ScryptRecipient
from evidence_store.age.stanza import Stanza
from evidence_store.errors import KeyUnavailableError, MalformedError

SALT = b"rF0/NwblUHHTpgQgRpe5CQ"
VECTOR = b"""age-encryption.org/v1
-> scrypt rF0/NwblUHHTpgQgRpe5CQ 10
gUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY
--- IOXiQYStkoT1mvZW2tFOqZdhRVvj58egABx/sWfZQbc
"""


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it an error to begin the work that a hostile header asks for."""

    def begin(*_: object, **__: object) -> None:
        raise AssertionError("the work was begun")

    monkeypatch.setattr(scrypt, "Scrypt", begin)


@pytest.mark.parametrize("passphrase", [b"x", b" with space \n", "žlica č".encode(), b"\xff\x00"])
def test_a_passphrase_opens_what_it_sealed_byte_for_byte(passphrase: bytes) -> None:
    file = seal_file(b"keys", [ScryptRecipient(passphrase, work_factor=2)], secrets.token_bytes)
    assert open_file(file, [ScryptIdentity(passphrase)]) == b"keys"
    for other in (passphrase + b"\n", passphrase.upper() + b"!", b"y"):
        with pytest.raises(KeyUnavailableError):
            open_file(file, [ScryptIdentity(other)])


def test_the_work_factor_is_in_the_stanza_and_its_default_is_that_of_age() -> None:
    stanza = ScryptRecipient(b"x", work_factor=3).wrap(bytes(16), secrets.token_bytes)
    assert stanza.arguments[1] == b"3"
    assert ScryptRecipient(b"x").work_factor == 18


def test_every_wrapping_has_a_salt_of_its_own() -> None:
    recipient = ScryptRecipient(b"x", work_factor=1)
    stanzas = [recipient.wrap(bytes(16), secrets.token_bytes) for _ in range(10)]
    assert len({stanza.arguments[0] for stanza in stanzas}) == 10


@pytest.mark.parametrize(
    "work",
    [
        b"23",
        b"30",
        b"64",
        b"99999999999999999999",
        b"9" * 100_000,
        b"0",
        b"-1",
        b"+10",
        b"010",
        b"0xA",
        b"1e1",
        b"10 ",
        b"10a",
        b"a10",
        b"1_0",
        b"\xd9\xa1\xd9\xa0",  # ten, in Arabic-Indic digits
    ],
)
@pytest.mark.usefixtures("no_work")
def test_a_work_factor_that_is_huge_or_no_number_is_refused_before_the_work(work: bytes) -> None:
    with pytest.raises(MalformedError):
        open_header(VECTOR.replace(b" 10\n", b" " + work + b"\n"), [ScryptIdentity(b"password")])


@pytest.mark.usefixtures("no_work")
def test_the_limit_on_work_can_be_lower() -> None:
    with pytest.raises(MalformedError):
        open_header(VECTOR, [ScryptIdentity(b"password", work_factor_max=9)])


WRAPPED = b"gUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY"
BROKEN = {
    "no_work_factor": (b" 10\n", b"\n"),
    "no_salt": (b" " + SALT, b""),
    "one_argument_more": (b" 10\n", b" 10 10\n"),
    "salt_of_15_bytes": (SALT, b"A" * 20),
    "salt_of_17_bytes": (SALT, b"A" * 22 + b"A"),
    "salt_of_18_bytes": (SALT, b"A" * 24),
    "salt_not_canonical": (SALT, SALT[:-1] + b"R"),
    "salt_padded": (SALT, SALT + b"=="),
    "short_file_key": (WRAPPED, b"AAAA"),
    "long_file_key": (WRAPPED, b"A" * 44),
    "body_not_canonical": (WRAPPED, WRAPPED[:-1] + b"Z"),
}


@pytest.mark.parametrize("rule", BROKEN)
@pytest.mark.usefixtures("no_work")
def test_a_stanza_that_breaks_a_rule_is_refused_before_the_work(rule: str) -> None:
    old, new = BROKEN[rule]
    assert old in VECTOR
    with pytest.raises(MalformedError):
        open_header(VECTOR.replace(old, new), [ScryptIdentity(b"password")])


def test_a_passphrase_passes_over_other_stanzas() -> None:
    assert ScryptIdentity(b"x").unwrap(Stanza(b"X25519", (b"AAAA",), bytes(32))) is None


@pytest.mark.parametrize("make", [ScryptRecipient, ScryptIdentity])
def test_an_empty_passphrase_is_none(make: Callable[[bytes], object]) -> None:
    with pytest.raises(MalformedError):
        make(b"")


@pytest.mark.parametrize("work_factor", [-1, 0, 23, 64])
def test_nothing_is_sealed_that_age_would_not_open(work_factor: int) -> None:
    with pytest.raises(MalformedError):
        ScryptRecipient(b"x", work_factor=work_factor)


def test_no_form_shows_the_passphrase() -> None:
    for shown in (repr(ScryptRecipient(b"hunter2")), str(ScryptIdentity(b"hunter2"))):
        assert "hunter2" not in shown
