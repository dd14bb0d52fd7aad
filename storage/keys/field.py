"""A field key: the Ed25519 key of a kit, in a file of its own that no instance is needed for.

PKCS #8 in PEM, mode 0600, which openssl reads; under a passphrase if one is given. What is signed
with it is not known here.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from evidence_store.errors import KeyUnavailableError
from storage.keys import private_file


def make(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    """Make a key and write it to a file that is not there yet.

    Raises:
        ConflictError: if there is something; it is left as it is.
        NoSpaceError, SettingsError, UnavailableError: if it cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    cipher = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    private_file.write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cipher))
    return key


def load(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    """The key in a file.

    Raises:
        KeyUnavailableError: if it cannot be read, or not with this passphrase.
        SettingsError: if others may read it, or it is a link.
    """
    try:
        key = load_pem_private_key(private_file.read(path), passphrase or None)
    except (TypeError, ValueError):
        raise KeyUnavailableError(
            f"{path}: expected a field key in PEM, and its passphrase if it has one"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnavailableError(f"{path}: expected an Ed25519 key")
    return key
