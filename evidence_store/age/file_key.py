"""The file key: what is derived from it, and how a recipient's key encrypts it.

C2SP age, sections "File key" and "Conventions": HKDF-SHA-256 (RFC 5869) with 32
bytes of output, and ChaCha20-Poly1305 (RFC 8439).
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from evidence_store.errors import MalformedError

FILE_KEY_BYTES = 16
TAG_BYTES = 16
WRAPPED_BYTES = FILE_KEY_BYTES + TAG_BYTES
DERIVED_BYTES = 32
_NONCE = bytes(12)  # fixed is safe here, because every wrapping key is used once


def derived(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """The 32-byte key derived from a secret."""
    return HKDF(SHA256(), DERIVED_BYTES, salt, info).derive(secret)


def checked(file_key: bytes) -> bytes:
    """The file key, insisting on its length.

    Raises:
        MalformedError: if it is not 16 bytes.
    """
    if len(file_key) != FILE_KEY_BYTES:
        raise MalformedError(f"file key: expected {FILE_KEY_BYTES} bytes, found {len(file_key)}")
    return file_key


def wrapped(file_key: bytes, wrapping_key: bytes) -> bytes:
    """The file key, encrypted under a key that is used for nothing else.

    Raises:
        MalformedError: if it is not 16 bytes.
    """
    return ChaCha20Poly1305(wrapping_key).encrypt(_NONCE, checked(file_key), None)


def checked_body(body: bytes) -> bytes:
    """A stanza's body, insisting that it can hold a file key and nothing else.

    Raises:
        MalformedError: if it is not 32 bytes. Otherwise one that opens under many keys could be
            made (a partitioning oracle).
    """
    if len(body) != WRAPPED_BYTES:
        raise MalformedError(
            f"age header: expected a stanza body of {WRAPPED_BYTES} bytes, found {len(body)}"
        )
    return body


def unwrapped(body: bytes, wrapping_key: bytes) -> bytes | None:
    """The file key in a stanza's body, or None if it was not encrypted under this key.

    Raises:
        MalformedError: if the body is not 32 bytes.
    """
    try:
        return ChaCha20Poly1305(wrapping_key).decrypt(_NONCE, checked_body(body), None)
    except InvalidTag:
        return None
