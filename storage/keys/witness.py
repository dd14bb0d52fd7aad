"""The keys that a witness cosigns with: PKCS #8 in PEM, one file each, their owner's alone.

They sign nothing else: an Ed25519 cosignature does not say whose it is, so a key with a second
role could be made to speak in the wrong one. Not encrypted: a witness runs unattended.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from evidence_store.errors import KeyUnavailableError
from evidence_store.ledger.note import KeyType, VerifierKey
from evidence_store.ledger.signing import Signer
from storage.keys import private_file

PrivateKey = Ed25519PrivateKey | MLDSA44PrivateKey
_ED25519, _MLDSA44 = "ed25519.pem", "ml-dsa-44.pem"


class WitnessKeys:
    """The folder that holds them."""

    def __init__(self, folder: Path) -> None:
        self._ed25519 = folder / _ED25519
        self._mldsa44 = folder / _MLDSA44

    def any_made(self) -> bool:
        """Whether one was made: from then on there must be a memory to go with it."""
        return self._ed25519.exists() or self._mldsa44.exists()

    def all_made(self) -> bool:
        """Whether both were made."""
        return self._ed25519.exists() and self._mldsa44.exists()

    def make(self) -> None:
        """Make those that are not there.

        Raises:
            ConflictError: if another process makes them now.
            NoSpaceError, SettingsError, UnavailableError: if they cannot be written.
        """
        folder = self._ed25519.parent
        folder.mkdir(private_file.FOLDER_MODE, parents=True, exist_ok=True)
        if not self._ed25519.exists():
            private_file.write_new(self._ed25519, _pem(Ed25519PrivateKey.generate()))
        if not self._mldsa44.exists():
            private_file.write_new(self._mldsa44, _pem(MLDSA44PrivateKey.generate()))

    def signers(self, name: str) -> list[Signer]:
        """What the witness of this name cosigns with.

        Raises:
            KeyUnavailableError: if a key is not there, or is of another kind.
            SettingsError: if its file is open to others.
        """
        ed25519 = _read(self._ed25519, Ed25519PrivateKey)
        mldsa44 = _read(self._mldsa44, MLDSA44PrivateKey)
        return [
            _signer(name, KeyType.ED25519_COSIGNATURE, ed25519),
            _signer(name, KeyType.MLDSA44_COSIGNATURE, mldsa44),
        ]


def _signer(name: str, kind: KeyType, private: PrivateKey) -> Signer:
    return Signer(VerifierKey(name, kind, private.public_key().public_bytes_raw()), private)


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(path: Path, kind: type[PrivateKey]) -> PrivateKey:
    try:
        key = load_pem_private_key(private_file.read(path), None)
    except ValueError:
        raise KeyUnavailableError(
            f"{path}: the witness key is damaged; restore it from a backup"
        ) from None
    if not isinstance(key, kind):
        raise KeyUnavailableError(f"{path}: expected a key of another kind")
    return key
