"""Signing and verifying checkpoints: by the log, and by cosigners (C2SP tlog-cosignature).

Ed25519 (RFC 8032) and ML-DSA-44 (FIPS 204, empty context). A cosignature says: as of this
time, this is the largest consistent tree of this log that I have seen. It says no more.
"""

import struct
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from evidence_store.errors import ProofError
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.note import KeyType, Note, Signature, VerifierKey

_SUBTREE = b"subtree/v1\n\x00"
_TIME_BYTES = 8
# The last second that our times can spell (the year 9999).
_TIME_MAX = 253_402_300_799
_FIELD = 2**255 - 19
# The y of the eight points whose order divides 8: of order 4, 1, 2, 8 and 8. Under such a key one
# signature fits many messages. Compared as numbers, since x may have either sign.
_SMALL_ORDER = frozenset(
    (
        0,
        1,
        _FIELD - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    )
)


class PrivateKey(Protocol):
    """What signs: a key of `cryptography`, or one that never leaves its module."""

    def sign(self, data: bytes, /) -> bytes:
        """The signature over the data."""
        ...


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key and the name and type under which it signs notes."""

    key: VerifierKey
    private: PrivateKey

    def sign(self, checkpoint: Checkpoint, at: int) -> Signature:
        """The signature line over a checkpoint, at this POSIX time (not kept by type 0x01)."""
        signature = self.private.sign(_message(self.key, checkpoint, at))
        stamp = b"" if self.key.type is KeyType.ED25519 else struct.pack(">Q", at)
        return Signature(self.key.name, self.key.key_id, stamp + signature)


def verify_ed25519(public: bytes, signature: bytes, message: bytes) -> None:
    """Insist that an Ed25519 signature is good.

    Raises:
        ProofError: if it is not, or the key is one under which signatures mean nothing.
    """
    y = int.from_bytes(public, "little") & (2**255 - 1)
    # y again, plus the field's size, would be a second spelling of the same key.
    if y in _SMALL_ORDER or y >= _FIELD:
        raise ProofError("signature: expected a key of large order in its one spelling")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise ProofError("signature: expected one by the key that it names") from None


def verified_by(note: Note, key: VerifierKey) -> int | None:
    """When the key signed the checkpoint (POSIX seconds; 0 where the type keeps no time).

    None if there is no line by this key.

    Raises:
        ProofError: if a line says that it is by this key, and is not.
        MalformedError: if the note is no checkpoint.
    """
    checkpoint = Checkpoint.of(note)
    found: int | None = None
    for line in note.signatures:
        if line.is_by(key):
            at = _verify(key, checkpoint, line.value)
            found = at if found is None else min(found, at)
    return found


def _verify(key: VerifierKey, checkpoint: Checkpoint, value: bytes) -> int:
    at = 0
    if key.type is not KeyType.ED25519:
        if len(value) <= _TIME_BYTES:
            raise ProofError(f"signature of {key.name}: too short")
        at, value = struct.unpack(">Q", value[:_TIME_BYTES])[0], value[_TIME_BYTES:]
        if not 0 < at <= _TIME_MAX:
            raise ProofError(f"signature of {key.name}: expected a time up to the year 9999")
    message = _message(key, checkpoint, at)
    if key.type is not KeyType.MLDSA44_COSIGNATURE:
        verify_ed25519(key.public, value, message)
        return at
    try:
        MLDSA44PublicKey.from_public_bytes(key.public).verify(value, message)
    except (InvalidSignature, ValueError):
        raise ProofError("signature: expected one by the key that it names") from None
    return at


def _message(key: VerifierKey, checkpoint: Checkpoint, at: int) -> bytes:
    match key.type:
        case KeyType.ED25519:
            return checkpoint.text.encode()
        case KeyType.ED25519_COSIGNATURE:
            return f"cosignature/v1\ntime {at}\n{checkpoint.text}".encode()
        case KeyType.MLDSA44_COSIGNATURE:
            name, origin = key.name.encode(), checkpoint.origin.encode()
            return b"".join(
                (
                    _SUBTREE,
                    bytes([len(name)]) + name,
                    struct.pack(">Q", at),
                    bytes([len(origin)]) + origin,
                    struct.pack(">QQ", 0, checkpoint.size),
                    checkpoint.root,
                )
            )
