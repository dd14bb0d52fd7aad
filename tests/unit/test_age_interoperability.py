"""Against two independent implementations: rage (by `pyrage`) and the age program.

What is sealed here is put together as this system keeps it: a header from one
place, a body from another.
"""

import secrets
import shutil
import subprocess
from hashlib import shake_128
from pathlib import Path

import pyrage  # type: ignore[import-untyped] # it ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.age import stream
from evidence_store.age.file import open_file, seal_file
from evidence_store.age.header import Recipient, seal_header
from evidence_store.age.scrypt import ScryptIdentity, ScryptRecipient
from evidence_store.age.stream import CHUNK_BYTES
from evidence_store.age.x25519 import X25519Identity
from evidence_store.errors import EvidenceError

AGE = shutil.which("age") or ""
needs_age = pytest.mark.skipif(
    not AGE, reason="the age program is not installed; get it with: apt-get install age"
)
SIZES = [0, 1, 65535, 65536, 65537, 3 * CHUNK_BYTES - 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 1]
IDENTITY = X25519Identity.generate(secrets.token_bytes)
RAGE_IDENTITY = pyrage.x25519.Identity.from_str(str(IDENTITY))
RAGE_RECIPIENT = pyrage.x25519.Recipient.from_str(str(IDENTITY.recipient))


def content_of(size: int) -> bytes:
    return shake_128(b"content").digest(size)


def sealed(content: bytes, *recipients: Recipient) -> bytes:
    """header + body, sealed apart, as the catalog and the store keep them."""
    file_key, nonce = secrets.token_bytes(16), secrets.token_bytes(stream.NONCE_BYTES)
    body = bytearray(stream.sealed_size(len(content)))
    body[: len(nonce)] = nonce
    with memoryview(body) as out:
        stream.Sealer(file_key, nonce).seal_into(memoryview(content), out[len(nonce) :], final=True)
    return seal_header(file_key, recipients, secrets.token_bytes) + bytes(body)


def test_the_public_names_of_one_secret_agree() -> None:
    assert str(RAGE_IDENTITY) == str(IDENTITY)
    assert str(RAGE_IDENTITY.to_public()) == str(IDENTITY.recipient)


@pytest.mark.parametrize("size", SIZES)
def test_rage_opens_what_is_sealed_here(size: int) -> None:
    content = content_of(size)
    assert pyrage.decrypt(sealed(content, IDENTITY.recipient), [RAGE_IDENTITY]) == content


@pytest.mark.parametrize("size", SIZES)
def test_what_rage_seals_is_opened_here(size: int) -> None:
    content = content_of(size)
    assert open_file(pyrage.encrypt(content, [RAGE_RECIPIENT]), [IDENTITY]) == content


def test_each_of_several_recipients_opens_with_either() -> None:
    other = X25519Identity.generate(secrets.token_bytes)
    file = sealed(b"statement", other.recipient, IDENTITY.recipient)
    assert pyrage.decrypt(file, [RAGE_IDENTITY]) == b"statement"
    assert pyrage.decrypt(file, [pyrage.x25519.Identity.from_str(str(other))]) == b"statement"
    rage_other = pyrage.x25519.Recipient.from_str(str(other.recipient))
    file = pyrage.encrypt(b"statement", [rage_other, RAGE_RECIPIENT])
    assert open_file(file, [IDENTITY]) == open_file(file, [other]) == b"statement"


def test_rage_opens_what_a_passphrase_sealed_here() -> None:
    file = sealed(b"keys", ScryptRecipient("geslo č".encode(), work_factor=8))
    assert pyrage.passphrase.decrypt(file, "geslo č") == b"keys"


@pytest.mark.slow
def test_what_a_passphrase_sealed_with_rage_is_opened_here() -> None:
    file = pyrage.passphrase.encrypt(b"keys", "geslo č")
    assert open_file(file, [ScryptIdentity("geslo č".encode())]) == b"keys"


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 2**16), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_file_is_refused_by_both(place: int, flip: int, cut: bool) -> None:
    file = bytearray(sealed(b"statement of a witness", IDENTITY.recipient))
    if cut:
        del file[place % len(file) :]
    else:
        file[place % len(file)] ^= flip
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(bytes(file), [RAGE_IDENTITY])
    with pytest.raises(EvidenceError):
        open_file(bytes(file), [IDENTITY])


# --------------------------------------------------------------------- the age program


def age(*arguments: str | Path, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(  # noqa: S603 - the program under comparison, found on PATH
        [AGE, *map(str, arguments)], input=stdin, capture_output=True, timeout=60, check=False
    )


@pytest.fixture
def identity_file(tmp_path: Path) -> Path:
    path = tmp_path / "identity"
    path.write_text(f"{IDENTITY}\n", "ascii")
    return path


@needs_age
@pytest.mark.parametrize("size", SIZES)
def test_the_age_program_opens_what_is_sealed_here(size: int, identity_file: Path) -> None:
    content = content_of(size)
    opened = age("-d", "-i", identity_file, stdin=sealed(content, IDENTITY.recipient))
    assert (opened.returncode, opened.stdout) == (0, content), opened.stderr


@needs_age
@pytest.mark.parametrize("size", SIZES)
def test_what_the_age_program_seals_is_opened_here(size: int) -> None:
    content = content_of(size)
    file = age("-r", str(IDENTITY.recipient), stdin=content).stdout
    assert open_file(file, [IDENTITY]) == content


@needs_age
@pytest.mark.parametrize("damage", ["cut", "longer", "swapped", "altered"])
def test_the_age_program_refuses_what_is_refused_here(damage: str, identity_file: Path) -> None:
    file = bytearray(sealed(content_of(2 * CHUNK_BYTES), IDENTITY.recipient))
    chunk = CHUNK_BYTES + stream.TAG_BYTES
    match damage:
        case "cut":
            del file[-chunk:]
        case "longer":
            file += b"\0"
        case "swapped":
            file[-2 * chunk :] = file[-chunk:] + file[-2 * chunk : -chunk]
        case _:
            file[-1] ^= 1
    assert age("-d", "-i", identity_file, stdin=bytes(file)).returncode != 0
    with pytest.raises(EvidenceError):
        open_file(bytes(file), [IDENTITY])


def test_a_small_file_is_an_age_file() -> None:
    file = seal_file(b"claims", [IDENTITY.recipient], secrets.token_bytes)
    assert pyrage.decrypt(file, [RAGE_IDENTITY]) == b"claims"
