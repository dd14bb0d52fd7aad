"""A security key in software: makes passkeys and answers challenges (WebAuthn, ES256 or EdDSA, no attestation)."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from evidence_store.ledger.by_hand import Hand
from evidence_store.ledger.passkey import from_base64url

PRESENT, VERIFIED, ATTESTED, EXTENDED = 0x01, 0x04, 0x40, 0x80


def coded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def es256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class SoftKey:
    """One passkey at one site. What it says of itself can be made wrong; some do not count."""

    origin: str
    rp_id: str
    identifier: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    private: ec.EllipticCurvePrivateKey | Ed25519PrivateKey = field(default_factory=es256)
    count: int | None = 0
    flags: int = PRESENT | VERIFIED
    client: dict[str, Any] = field(default_factory=dict)
    extensions: bytes = b""
    handle: bytes | None = None

    def but(self, **changes: Any) -> "SoftKey":
        """The same passkey, telling something else."""
        return replace(self, **changes)

    @property
    def cose(self) -> bytes:
        """The public key, as authenticators spell it."""
        if isinstance(self.private, Ed25519PrivateKey):
            public = self.private.public_key().public_bytes_raw()
            return cbor2.dumps({1: 1, 3: -8, -1: 6, -2: public})
        numbers = self.private.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})

    @property
    def hand(self) -> Hand:
        """What an event says of it."""
        return Hand(hashlib.sha256(self.cose).digest(), self.rp_id, self.origin)

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """The answer to `navigator.credentials.create`."""
        self.handle = from_base64url(options["user"]["id"])
        attested = bytes(16) + len(self.identifier).to_bytes(2, "big") + self.identifier
        data = self._data(self.flags | ATTESTED) + attested + self.cose
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options["challenge"])
        return self._answer(
            {"attestationObject": coded(statement), "clientDataJSON": coded(client)}
        )

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """The answer to `navigator.credentials.get`."""
        if self.count is not None:
            self.count += 1
        client = self._client("webauthn.get", options["challenge"])
        data = self._data(self.flags) + self.extensions
        signed = data + hashlib.sha256(client).digest()
        signature = self._sign(signed)
        return self._answer(
            {
                "authenticatorData": coded(data),
                "clientDataJSON": coded(client),
                "signature": coded(signature),
                "userHandle": None if self.handle is None else coded(self.handle),
            }
        )

    def record(self, challenge: bytes) -> dict[str, str]:
        """The answer as it is kept in an event."""
        response = self.get({"challenge": coded(challenge)})["response"]
        return {
            "credential_id": coded(self.identifier),
            "public_key": coded(self.cose),
            "authenticator_data": response["authenticatorData"],
            "client_data": response["clientDataJSON"],
            "signature": response["signature"],
        }

    def _sign(self, message: bytes) -> bytes:
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(message)
        return self.private.sign(message, ec.ECDSA(SHA256()))

    def _data(self, flags: int) -> bytes:
        return (
            hashlib.sha256(self.rp_id.encode()).digest()
            + bytes([flags])
            + (self.count or 0).to_bytes(4, "big")
        )

    def _client(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        said |= self.client
        # WebAuthn, section 5.8.1.1
        return json.dumps(said, separators=(",", ":")).encode()

    def _answer(self, response: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": coded(self.identifier),
            "rawId": coded(self.identifier),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": response,
        }
