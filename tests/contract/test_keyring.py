"""What `evidence_store.ports.Keyring` promises, held against every implementation."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence_store.age.header import open_header
from evidence_store.age.x25519 import X25519Identity, X25519Recipient
from evidence_store.errors import FixityError, KeyUnavailableError, MalformedError
from evidence_store.ports import Keyring
from storage.keys.keyfile import KeyFile

FILE_KEY = b"YELLOW SUBMARINE"
ESCROW = X25519Identity.generate(secrets.token_bytes)


def plain(path: Path) -> KeyFile:
    return KeyFile(path).create()


def protected(path: Path) -> KeyFile:
    return KeyFile(path, lambda: b"correct horse", work_factor=4).create()


def rotated(path: Path) -> KeyFile:
    key_file = plain(path)
    key_file.add_identity()
    return key_file


def escrowed(path: Path) -> KeyFile:
    return KeyFile(path, recipients=[ESCROW.recipient]).create()


@pytest.fixture(params=[plain, protected, rotated, escrowed])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Keyring]:
    """Make a keyring with keys of its own."""
    return lambda name: request.param(tmp_path / name)


@pytest.fixture
def keyring(make: Callable[[str], Keyring]) -> Keyring:
    return make("keyring")


def test_what_is_wrapped_is_unwrapped(keyring: Keyring) -> None:
    assert keyring.unwrap(keyring.wrap(FILE_KEY)) == FILE_KEY


def test_the_recipient_is_a_public_name_and_stays_the_same(keyring: Keyring) -> None:
    assert str(X25519Recipient.parse(keyring.recipient)) == keyring.recipient
    assert keyring.recipient == keyring.recipient


def test_wrapping_twice_gives_two_headers_that_both_open(keyring: Keyring) -> None:
    first, second = keyring.wrap(FILE_KEY), keyring.wrap(FILE_KEY)
    assert first != second
    assert keyring.unwrap(first) == keyring.unwrap(second) == FILE_KEY


def test_another_keyring_does_not_open_it(make: Callable[[str], Keyring]) -> None:
    header = make("one").wrap(FILE_KEY)
    with pytest.raises(KeyUnavailableError):
        make("other").unwrap(header)


def test_an_altered_header_is_noticed(keyring: Keyring) -> None:
    header = keyring.wrap(FILE_KEY)
    end = header.rindex(b"---")
    with pytest.raises(FixityError):
        keyring.unwrap(header[:end] + b"-> grease\n\n" + header[end:])


@pytest.mark.parametrize("header", [b"", b"age-encryption.org/v1\n", b"\x00" * 200])
def test_what_is_no_header_is_refused(keyring: Keyring, header: bytes) -> None:
    with pytest.raises(MalformedError):
        keyring.unwrap(header)


def test_a_header_with_the_body_behind_it_is_refused(keyring: Keyring) -> None:
    with pytest.raises(MalformedError):
        keyring.unwrap(keyring.wrap(FILE_KEY) + bytes(32))


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_only_a_file_key_is_wrapped(keyring: Keyring, size: int) -> None:
    with pytest.raises(MalformedError):
        keyring.wrap(bytes(size))


def test_every_further_recipient_opens_every_header(tmp_path: Path) -> None:
    keyring = escrowed(tmp_path / "key")
    assert open_header(keyring.wrap(FILE_KEY), [ESCROW]) == FILE_KEY
    keyring.add_identity()
    assert open_header(keyring.wrap(FILE_KEY), [ESCROW]) == FILE_KEY
    assert keyring.recipient != str(ESCROW.recipient)


def test_no_form_of_a_keyring_shows_a_secret(keyring: Keyring) -> None:
    assert "SECRET" not in f"{keyring!r}{keyring}".upper()
