"""An authenticator in software, of either algorithm, which can be told to misbehave (WebAuthn)."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from evidence_store.ledger.passkey import from_base64url, to_base64url

PRESENT, VERIFIED, ATTESTED, EXTENDED = 0x01, 0x04, 0x40, 0x80
Options = dict[str, Any]
Answer = dict[str, Any]


def es256() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


@dataclass
class Authenticator:
    """One passkey at one site. `count` is None for an authenticator that does not count."""

    rp_id: str
    origin: str
    key: EllipticCurvePrivateKey | Ed25519PrivateKey = field(default_factory=es256)
    identifier: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    count: int | None = 0
    flags: int = PRESENT | VERIFIED
    client: dict[str, Any] = field(default_factory=dict)
    extensions: bytes = b""
    handle: bytes | None = None

    def but(self, **changes: Any) -> "Authenticator":  # noqa: ANN401 - any of its fields
        """The same passkey, telling something else."""
        return replace(self, **changes)

    def create(self, options: Options) -> Answer:
        """The answer to `navigator.credentials.create`, with an attestation of format none."""
        wanted = [each["alg"] for each in options["pubKeyCredParams"]]
        assert self.cose[3] in wanted
        self.handle = from_base64url(options["user"]["id"])
        length = len(self.identifier).to_bytes(2, "big")
        attested = bytes(16) + length + self.identifier + cbor2.dumps(self.cose)
        data = self._data(self.flags | ATTESTED) + attested
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer(
            clientDataJSON=self._said("webauthn.create", options), attestationObject=statement
        )

    def get(self, options: Options) -> Answer:
        """The answer to `navigator.credentials.get`."""
        if self.count is not None:
            self.count += 1
        client = self._said("webauthn.get", options)
        data = self._data(self.flags) + self.extensions
        signed = data + hashlib.sha256(client).digest()
        if isinstance(self.key, Ed25519PrivateKey):
            signature = self.key.sign(signed)
        else:
            signature = self.key.sign(signed, ECDSA(SHA256()))
        handle = {} if self.handle is None else {"userHandle": self.handle}
        return self._answer(
            clientDataJSON=client, authenticatorData=data, signature=signature, **handle
        )

    @property
    def name(self) -> str:
        return to_base64url(self.identifier)

    @property
    def cose(self) -> dict[int, int | bytes]:
        """The public key."""
        if isinstance(self.key, Ed25519PrivateKey):
            return {1: 1, 3: -8, -1: 6, -2: self.key.public_key().public_bytes_raw()}
        numbers = self.key.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        return {1: 2, 3: -7, -1: 1, -2: x, -3: y}

    def _data(self, flags: int) -> bytes:
        site = hashlib.sha256(self.rp_id.encode()).digest()
        return site + bytes([flags]) + (self.count or 0).to_bytes(4, "big")

    def _said(self, ceremony: str, options: Options) -> bytes:
        said = {"type": ceremony, "challenge": options["challenge"], "origin": self.origin}
        return json.dumps(
            {**said, "crossOrigin": False, **self.client}, separators=(",", ":")
        ).encode()

    def _answer(self, **response: bytes) -> Answer:
        return {
            "id": self.name,
            "rawId": self.name,
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {name: to_base64url(value) for name, value in response.items()},
        }
