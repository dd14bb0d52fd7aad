"""The key file on disk: private, whole, and no trap for the person who depends on it."""

import os
import secrets
import stat
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pyrage  # type: ignore[import-untyped] # it ships no types
import pytest

from evidence_store.age.file import open_file
from evidence_store.age.scrypt import ScryptIdentity
from evidence_store.age.x25519 import X25519Identity
from evidence_store.errors import (
    ConflictError,
    KeyUnavailableError,
    MalformedError,
    SettingsError,
)
from storage.keys import private_file
from storage.keys.identities import Identities
from storage.keys.keyfile import KeyFile

FILE_KEY = b"YELLOW SUBMARINE"
PASSPHRASE = b"correct horse battery"
PUBLISHED = (
    b"# created: 2026-11-24T09:00:00Z\n"
    b"# public key: age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\n"
    b"AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n"
)


def at_noon() -> datetime:
    return datetime(2026, 11, 24, 12, tzinfo=UTC)


def never() -> bytes:
    raise AssertionError("a passphrase was asked for")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "evidence.key"


@pytest.fixture
def key_file(path: Path) -> KeyFile:
    return KeyFile(path, now=at_noon).create()


@pytest.fixture
def protected(path: Path) -> KeyFile:
    return KeyFile(path, lambda: PASSPHRASE, now=at_noon, work_factor=4).create()


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


# ---------------------------------------------------------------------------- its form


def test_it_is_written_as_age_keygen_writes(key_file: KeyFile) -> None:
    created, public_key, secret, end = key_file.path.read_text("ascii").split("\n")
    assert created == "# created: 2026-11-24T12:00:00Z"
    assert public_key == f"# public key: {key_file.recipient}"
    assert str(X25519Identity.parse(secret).recipient) == key_file.recipient
    assert end == ""


def test_only_its_owner_can_read_it(path: Path) -> None:
    before = os.umask(0)
    try:
        KeyFile(path).create()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "text",
    [
        PUBLISHED,
        PUBLISHED.splitlines()[-1],
        PUBLISHED.replace(b"\n", b"\r\n"),
        b"\n# note of \xff and \xc5\xbe\n\n" + PUBLISHED + b"\n# closing\n",
    ],
)
def test_an_identity_file_of_age_is_a_key_file(path: Path, text: bytes) -> None:
    key_file = KeyFile(write(path, text), never)
    assert key_file.recipient in PUBLISHED.decode()
    key_file.check()


def test_comments_are_kept_with_their_identity_when_a_key_is_added(path: Path) -> None:
    write(path, b"# of the court\n" + PUBLISHED + b"# closing\n")
    key_file = KeyFile(path, now=at_noon)
    key_file.add_identity()
    text = path.read_bytes()
    assert text.endswith(
        b"# of the court\n"
        + PUBLISHED.replace(b"\nAGE", b"\n# retired: 2026-11-24T12:00:00Z\nAGE")
        + b"# closing\n"
    )


def test_the_first_that_is_not_retired_is_the_current_one(path: Path) -> None:
    identities = [X25519Identity.generate(secrets.token_bytes) for _ in range(3)]
    first, second, third = map(str, identities)
    write(path, f"# retired: 2026-01-01T00:00:00Z\n{first}\n{second}\n{third}\n".encode())
    assert KeyFile(path).recipient == str(identities[1].recipient)


DAMAGED = {
    "empty": b"",
    "comment_only": b"# nothing but a comment\n",
    "other_text": b"secret\n",
    "lower_case": PUBLISHED.lower(),
    "cut_short": PUBLISHED[:-5],
    "second_identity_cut_short": PUBLISHED + PUBLISHED[-20:],
    "space_before": b" " + PUBLISHED.splitlines()[-1],
    "all_retired": PUBLISHED.replace(b"\nAGE", b"\n# retired: 2026-01-01T00:00:00Z\nAGE"),
    "comment_names_another_key": PUBLISHED.replace(b"age1z", b"age1q"),
    "post_quantum": b"AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR",
    "armoured": b"-----BEGIN AGE ENCRYPTED FILE-----\n",
    "version_line_only": b"age-encryption.org/v1\n",
    "zeros": bytes(1000),
    "not_ascii": PUBLISHED[:-2] + b"\xff\n",
    "too_large": b"#" * (private_file.SIZE_BYTES_MAX + 1),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused_and_not_quoted(path: Path, damage: str) -> None:
    content = DAMAGED[damage]
    key_file = KeyFile(write(path, content), lambda: PASSPHRASE)
    for use in (key_file.load, key_file.check, lambda: key_file.unwrap(b""), key_file.add_identity):
        with pytest.raises((KeyUnavailableError, SettingsError)) as refused:
            use()
        shown = "".join(traceback.format_exception(refused.value)).upper()
        assert "GFPYYSJZ" not in shown
    assert path.read_bytes() == content


def test_no_form_of_the_identities_but_bytes_shows_a_secret() -> None:
    identities = Identities.parse(b"# secret note\n" + PUBLISHED)
    assert "GFPYYSJZ" not in repr(identities).upper()
    assert "note" not in repr(identities)


# ------------------------------------------------------------------------- its privacy


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o602, 0o700, 0o400, 0o4600])
def test_any_mode_but_0600_is_refused_with_the_remedy(path: Path, mode: int) -> None:
    with pytest.raises(SettingsError) as refused:
        KeyFile(write(path, PUBLISHED, mode)).load()
    assert f"chmod 600 {path}" in str(refused.value)


def test_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    target = write(tmp_path / "elsewhere", PUBLISHED)
    path.parent.mkdir()
    path.symlink_to(target)
    key_file = KeyFile(path)
    for use in (key_file.load, key_file.add_identity):
        with pytest.raises(SettingsError):
            use()
    with pytest.raises(ConflictError):
        key_file.create()
    assert target.read_bytes() == PUBLISHED


def test_what_is_no_file_is_refused_without_waiting_for_it(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(SettingsError):
        KeyFile(path).load()
    path.unlink()
    path.mkdir(0o600)
    with pytest.raises(SettingsError):
        KeyFile(path).load()


def test_the_file_of_another_user_is_refused(
    key_file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: key_file.path.stat().st_uid + 1)
    with pytest.raises(SettingsError):
        key_file.load()


def test_a_folder_in_which_others_write_does_not_pass_the_check(key_file: KeyFile) -> None:
    key_file.check()
    key_file.path.parent.chmod(0o770)
    with pytest.raises(SettingsError):
        key_file.check()


def test_a_key_that_opens_something_else_does_not_pass_the_check(
    key_file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_file, "unwrap", lambda _: bytes(16))
    with pytest.raises(KeyUnavailableError):
        key_file.check()


def test_a_missing_file_is_a_missing_key(path: Path) -> None:
    key_file = KeyFile(path)  # that it is missing matters only to what needs a key
    for use in (key_file.load, key_file.check, key_file.add_identity, lambda: key_file.wrap(b"")):
        with pytest.raises(KeyUnavailableError):
            use()


# ---------------------------------------------------------------------- its passphrase


def test_a_protected_file_is_an_age_file_under_the_passphrase(protected: KeyFile) -> None:
    content = protected.path.read_bytes()
    assert b"SECRET" not in content
    opened = pyrage.passphrase.decrypt(content, PASSPHRASE.decode())
    assert opened == open_file(content, [ScryptIdentity(PASSPHRASE)])
    secret = opened.decode("ascii").splitlines()[-1]
    rage_identity = pyrage.x25519.Identity.from_str(secret)
    assert str(rage_identity.to_public()) == protected.recipient


@pytest.mark.parametrize("given", [None, b"", b"wrong", PASSPHRASE + b"\n"])
@pytest.mark.usefixtures("protected")
def test_without_the_right_passphrase_it_stays_closed(path: Path, given: bytes | None) -> None:
    key_file = KeyFile(path, None if given is None else lambda: given)
    before = path.read_bytes()
    for use in (key_file.load, key_file.check, key_file.add_identity, lambda: key_file.unwrap(b"")):
        with pytest.raises(KeyUnavailableError) as refused:
            use()
        assert "wrong" not in str(refused.value)
        assert PASSPHRASE.decode() not in str(refused.value)
    assert path.read_bytes() == before


def test_the_passphrase_is_asked_for_once_and_only_when_a_key_is_needed(protected: KeyFile) -> None:
    asked: list[None] = []

    def passphrase() -> bytes:
        asked.append(None)
        return PASSPHRASE

    key_file = KeyFile(protected.path, passphrase)
    assert not asked
    for _ in range(3):
        key_file.unwrap(key_file.wrap(FILE_KEY))
    assert len(asked) == 1


def test_no_passphrase_is_asked_for_where_there_is_none(key_file: KeyFile) -> None:
    again = KeyFile(key_file.path, never)
    again.add_identity()
    again.check()


def test_an_empty_passphrase_protects_nothing_and_is_refused(path: Path, key_file: KeyFile) -> None:
    with pytest.raises(MalformedError):
        KeyFile(path.with_name("other.key"), lambda: b"").create()
    with pytest.raises(MalformedError):
        key_file.back_up(path.with_name("copy"), lambda: b"")
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("at", [0, 25, 60, 120, -40, -1])
def test_a_damaged_protected_file_is_a_missing_key_and_no_damaged_evidence(
    protected: KeyFile, at: int
) -> None:
    header = protected.wrap(FILE_KEY)
    content = bytearray(protected.path.read_bytes())
    content[at] ^= 1
    write(protected.path, bytes(content))
    with pytest.raises(KeyUnavailableError):
        KeyFile(protected.path, lambda: PASSPHRASE).unwrap(header)
