"""openssl and signify judge every signature on a checkpoint, over text that is spelt here anew."""

import base64
import re
import shutil
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evidence_store.ledger.note import KeyType, Signature
from tests.judges.conftest import AT, ORIGIN, SIZE, LargeLog, ran


def line_of(log: LargeLog, name: str, length: int) -> Signature:
    """The one line by this name with a value of this length."""
    (line,) = [
        each for each in log.note.signatures if each.name == name and len(each.value) == length
    ]
    return line


def openssl_accepts(
    folder: Path, key: Ed25519PublicKey | MLDSA44PublicKey, message: bytes, signature: bytes
) -> bool:
    (folder / "key.pem").write_bytes(
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (folder / "message").write_bytes(message)
    (folder / "signature").write_bytes(signature)
    answered = ran(
        "openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", folder / "key.pem",
        "-in", folder / "message", "-sigfile", folder / "signature",
    )  # fmt: skip
    assert ("Signature Verified Successfully" in answered.stdout) == (answered.returncode == 0)
    return answered.returncode == 0


def openssl_version() -> tuple[int, int]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    found = re.match(r"OpenSSL (\d+)\.(\d+)", ran("openssl", "version").stdout)
    if found is None or int(found[1]) < 3:
        pytest.skip("needs OpenSSL 3 for pkeyutl -rawin")
    return int(found[1]), int(found[2])


def test_openssl_accepts_the_signature_of_the_log_and_no_other(
    large: LargeLog, tmp_path: Path
) -> None:
    openssl_version()
    public = Ed25519PublicKey.from_public_bytes(large.ed25519.key.public)
    value, text = line_of(large, ORIGIN, 64).value, large.note.text.encode()
    assert openssl_accepts(tmp_path, public, text, value)
    for message, signature in (
        (text.replace(str(SIZE).encode(), str(SIZE - 1).encode()), value),
        (text[:-1], value),
        (text, bytes([value[0] ^ 1]) + value[1:]),
        (text, value[:-1]),
    ):
        assert not openssl_accepts(tmp_path, public, message, signature)


def test_openssl_accepts_a_cosignature_at_its_time_and_no_other(
    large: LargeLog, tmp_path: Path
) -> None:
    openssl_version()
    public = Ed25519PublicKey.from_public_bytes(large.witness.key.public)
    value = line_of(large, large.witness.key.name, 72).value
    assert struct.unpack(">Q", value[:8]) == (AT,)
    for at, accepted in ((AT, True), (AT + 1, False)):
        message = f"cosignature/v1\ntime {at}\n{large.note.text}".encode()
        assert openssl_accepts(tmp_path, public, message, value[8:]) == accepted


def test_openssl_accepts_the_larger_signature_of_the_log_and_no_other(
    large: LargeLog, tmp_path: Path
) -> None:
    if openssl_version() < (3, 5):
        pytest.skip("needs OpenSSL 3.5 or newer: before it there is no ML-DSA")
    assert large.mldsa.key.type is KeyType.MLDSA44_COSIGNATURE
    public = MLDSA44PublicKey.from_public_bytes(large.mldsa.key.public)
    value = line_of(large, ORIGIN, 2428).value
    origin = bytes([len(ORIGIN)]) + ORIGIN.encode()
    root = base64.b64decode(large.note.text.split("\n")[2])
    for size, accepted in ((SIZE, True), (SIZE - 1, False)):
        message = b"subtree/v1\n\x00" + origin + value[:8] + origin
        message += struct.pack(">QQ", 0, size) + root
        assert openssl_accepts(tmp_path, public, message, value[8:]) == accepted


def test_signify_accepts_the_signature_of_the_log_and_no_other(
    large: LargeLog, tmp_path: Path
) -> None:
    signify = shutil.which("signify-openbsd")
    if signify is None:
        pytest.skip("needs signify: apt-get install signify-openbsd")
    text = large.note.text.encode()
    head = b"Ed" + b"8 bytes."  # its own name for a key, the same in both files

    def accepts(message: bytes, value: bytes) -> bool:
        for name, content in (("key.pub", large.ed25519.key.public), ("message.sig", value)):
            encoded = base64.b64encode(head + content).decode()
            (tmp_path / name).write_text(f"untrusted comment: of a log\n{encoded}\n")
        (tmp_path / "message").write_bytes(message)
        answered = ran(
            signify, "-V", "-p", tmp_path / "key.pub", "-x", tmp_path / "message.sig",
            "-m", tmp_path / "message",
        )  # fmt: skip
        assert ("Signature Verified" in answered.stdout) == (answered.returncode == 0)
        return answered.returncode == 0

    value = line_of(large, ORIGIN, 64).value
    assert accepts(text, value)
    assert not accepts(text.replace(str(SIZE).encode(), str(SIZE - 1).encode()), value)
    assert not accepts(text, value[:-1] + bytes([value[-1] ^ 1]))
