"""The keys that acts and checkpoints are signed with: one file each, sealed to the key file.

    age -d -i keys/evidence.key keys/signing/SI.police-directorate.1.age

gives PKCS #8 in PEM, which openssl reads. So a passphrase on the key file protects these too.
A key is read when it is first needed, and never leaves this process.
"""

import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from evidence_store.age import stream
from evidence_store.age.file_key import FILE_KEY_BYTES
from evidence_store.age.header import split
from evidence_store.errors import ConflictError, FixityError, KeyUnavailableError, MalformedError
from evidence_store.identifiers import KeyId
from evidence_store.ledger.note import KeyType, VerifierKey
from evidence_store.ledger.signing import Signer
from evidence_store.ports import Keyring, Randomness
from evidence_store.rewrap import Wrapped
from storage.keys import private_file

PrivateKey = Ed25519PrivateKey | MLDSA44PrivateKey
LOG_KEYS = {KeyType.ED25519: "log.ed25519", KeyType.MLDSA44_COSIGNATURE: "log.ml-dsa-44"}


class SigningFolder:
    """Implements `evidence_store.ledger_port.SigningKeys`; also holds the log's own keys."""

    def __init__(
        self, folder: Path, keyring: Keyring, random: Randomness = secrets.token_bytes
    ) -> None:
        self._folder = folder
        self._keyring = keyring
        self._random = random
        self._keys: dict[str, PrivateKey] = {}

    def public(self, kid: KeyId) -> bytes:
        """See `SigningKeys.public`."""
        return self._private(_file(kid)).public_key().public_bytes_raw()

    def sign(self, kid: KeyId, message: bytes) -> bytes:
        """See `SigningKeys.sign`."""
        return self._private(_file(kid)).sign(message)

    def ensure(self, kid: KeyId) -> bytes:
        """The public key, of a key that is made now unless it is there.

        Raises:
            NoSpaceError, SettingsError, UnavailableError: if it cannot be written.
        """
        self._ensure(_file(kid), KeyType.ED25519)
        return self.public(kid)

    def log_signers(self, origin: str) -> list[Signer]:
        """What the log signs its checkpoints with; the keys are made unless they are there.

        Raises:
            KeyUnavailableError: if a key cannot be read.
            NoSpaceError, SettingsError, UnavailableError: if it cannot be written.
        """
        signers = []
        for kind, name in LOG_KEYS.items():
            self._ensure(name, kind)
            private = self._private(name)
            public = private.public_key().public_bytes_raw()
            signers.append(Signer(VerifierKey(origin, kind, public), private))
        return signers

    @property
    def what(self) -> str:
        """See `evidence_store.rewrap.Kept.what`."""
        return "signing key"

    def wrapped(self, *, after: str | None = None, limit: int = 100) -> Sequence[Wrapped]:
        """See `evidence_store.rewrap.Kept.wrapped`."""
        names = sorted(path.stem for path in self._folder.glob("[!.]*.age"))
        behind = [name for name in names if after is None or name > after]
        found = [(name, private_file.read(self._path(name))) for name in behind[:limit]]
        return [Wrapped(name, _header(content)) for name, content in found]

    def rewrap(self, changes: Sequence[tuple[Wrapped, bytes]]) -> None:
        """See `evidence_store.rewrap.Kept.rewrap`."""
        for before, header in changes:
            path = self._path(before.name)
            with private_file.locked(path):
                content = private_file.read(path)
                if content.startswith(before.header):
                    private_file.replace(path, header + content[len(before.header) :])

    def _ensure(self, name: str, kind: KeyType) -> None:
        path = self._path(name)
        if path.exists():
            return
        made: PrivateKey
        made = (
            Ed25519PrivateKey.generate()
            if kind is KeyType.ED25519
            else MLDSA44PrivateKey.generate()
        )
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._folder.mkdir(private_file.FOLDER_MODE, parents=True, exist_ok=True)
        try:
            private_file.write_new(path, self._sealed(pem))
        except ConflictError:
            return  # somebody else made it meanwhile

    def _private(self, name: str) -> PrivateKey:
        found = self._keys.get(name)
        if found is None:
            found = self._keys[name] = self._read(name)
        return found

    def _read(self, name: str) -> PrivateKey:
        path = self._path(name)
        content = private_file.read(path)
        try:
            length = split(content)
            file_key = self._keyring.unwrap(content[:length])
            pem = b"".join(stream.opened((content[length:],), file_key))
            key = load_pem_private_key(pem, None)
        except (FixityError, MalformedError, ValueError):
            raise KeyUnavailableError(
                f"{path}: the signing key is damaged; restore it from a backup"
            ) from None
        if not isinstance(key, (Ed25519PrivateKey, MLDSA44PrivateKey)):
            raise KeyUnavailableError(f"{path}: expected an Ed25519 or ML-DSA-44 key")
        return key

    def _sealed(self, plaintext: bytes) -> bytes:
        file_key, nonce = self._random(FILE_KEY_BYTES), self._random(stream.NONCE_BYTES)
        body = bytearray(stream.sealed_size(len(plaintext)))
        body[: len(nonce)] = nonce
        with memoryview(body) as out:
            stream.Sealer(file_key, nonce).seal_into(
                memoryview(plaintext), out[len(nonce) :], final=True
            )
        return self._keyring.wrap(file_key) + bytes(body)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.age"


def _header(content: bytes) -> bytes:
    """What the file begins with; all of it where that is no header."""
    try:
        return content[: split(content)]
    except MalformedError:
        return content


def _file(kid: KeyId) -> str:
    return str(kid).replace("/", ".")
