"""What peers sign, held to the vectors of RFC 9421 and to what each part of it guards."""

from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from http_message_signatures import HTTPMessageSigner, algorithms
from http_message_signatures.resolvers import MappingKeyResolver

from api.peers import Message

# RFC 9421, B.1.4 and B.2.6.
PRIVATE = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----
"""
REQUEST = Message(
    "POST",
    "https://example.com/foo?param=Value&Pet=dog",
    {
        "Host": "example.com",
        "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "Content-Type": "application/json",
        "Content-Digest": "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        "Content-Length": "18",
    },
)
COMPONENTS = ("date", "@method", "@path", "@authority", "content-type", "content-length")
SIGNATURE = (
    "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
)


def test_the_vector_of_ed25519_is_signed_to_the_same_bytes() -> None:
    key = load_pem_private_key(PRIVATE, None)
    signer = HTTPMessageSigner(
        signature_algorithm=algorithms.ED25519,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={"test-key-ed25519": key}),  # type: ignore[dict-item]
    )
    message = Message(REQUEST.method, REQUEST.url, dict(REQUEST.headers))
    signer.sign(
        message,
        key_id="test-key-ed25519",
        created=datetime.fromtimestamp(1618884473, tz=UTC),
        label="sig-b26",
        covered_component_ids=COMPONENTS,
        include_alg=False,
        use_existing_digest=True,
    )
    assert message.headers["Signature"] == f"sig-b26=:{SIGNATURE}:"
