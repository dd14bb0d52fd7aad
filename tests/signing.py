"""Signing keys in memory, made when first asked for, the same in every run."""

import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from evidence_store.errors import KeyUnavailableError
from evidence_store.identifiers import AuthorityId, KeyId, StateCode
from evidence_store.ledger.note import KeyType, VerifierKey
from evidence_store.ledger.signing import Signer

POLICE = KeyId(StateCode("SI"), AuthorityId("police"), 1)
LABORATORY = KeyId(StateCode("SI"), AuthorityId("laboratory"), 1)


@dataclass
class HeldKeys:
    """Implements `SigningKeys`, and makes the log's signers."""

    lost: set[KeyId] = field(default_factory=set)

    def ensure(self, kid: KeyId) -> bytes:
        return self.public(kid)

    def public(self, kid: KeyId) -> bytes:
        return self._key(kid).public_key().public_bytes_raw()

    def sign(self, kid: KeyId, message: bytes) -> bytes:
        return self._key(kid).sign(message)

    def log_signers(self, origin: str) -> list[Signer]:
        seed = hashlib.sha256(origin.encode()).digest()
        ed25519 = Ed25519PrivateKey.from_private_bytes(seed)
        mldsa = MLDSA44PrivateKey.from_seed_bytes(seed)
        return [
            Signer(
                VerifierKey(origin, KeyType.ED25519, ed25519.public_key().public_bytes_raw()),
                ed25519,
            ),
            Signer(
                VerifierKey(
                    origin, KeyType.MLDSA44_COSIGNATURE, mldsa.public_key().public_bytes_raw()
                ),
                mldsa,
            ),
        ]

    def _key(self, kid: KeyId) -> Ed25519PrivateKey:
        if kid in self.lost:
            raise KeyUnavailableError(f"no key {kid}")
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(str(kid).encode()).digest())
