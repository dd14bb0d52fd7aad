"""A security key in software: makes passkeys and answers challenges (WebAuthn, ES256, no attestation)."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def coded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@dataclass
class SoftKey:
    """One passkey. What it says of itself can be made wrong."""

    origin: str
    rp_id: str
    identifier: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    count: int = 0
    flags: int = PRESENT | VERIFIED

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """The answer to `navigator.credentials.create`."""
        numbers = self.private.public_key().public_numbers()
        cose = {
            1: 2,
            3: -7,
            -1: 1,
            -2: numbers.x.to_bytes(32, "big"),
            -3: numbers.y.to_bytes(32, "big"),
        }
        attested = bytes(16) + len(self.identifier).to_bytes(2, "big") + self.identifier
        data = self._data(self.flags | ATTESTED) + attested + cbor2.dumps(cose)
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options["challenge"])
        return self._answer(
            {"attestationObject": coded(statement), "clientDataJSON": coded(client)}
        )

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """The answer to `navigator.credentials.get`."""
        self.count += 1
        data, client = self._data(self.flags), self._client("webauthn.get", options["challenge"])
        signed = data + hashlib.sha256(client).digest()
        signature = self.private.sign(signed, ec.ECDSA(SHA256()))
        return self._answer(
            {
                "authenticatorData": coded(data),
                "clientDataJSON": coded(client),
                "signature": coded(signature),
                "userHandle": None,
            }
        )

    def _data(self, flags: int) -> bytes:
        return (
            hashlib.sha256(self.rp_id.encode()).digest()
            + bytes([flags])
            + self.count.to_bytes(4, "big")
        )

    def _client(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
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
