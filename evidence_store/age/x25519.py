"""X25519 recipients and identities: `age1…` to seal to, `AGE-SECRET-KEY-1…` to open with.

C2SP age, section "The X25519 recipient type"; X25519 is RFC 7748. Not resistant
to a future quantum computer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from evidence_store.age import bech32, file_key
from evidence_store.age.stanza import Stanza, decoded, encoded
from evidence_store.errors import MalformedError

KEY_BYTES = 32
_KIND = b"X25519"
_INFO = b"age-encryption.org/v1/X25519"
_RECIPIENT_PREFIX = "age"
_IDENTITY_PREFIX = "age-secret-key-"
_ANY_SCALAR = X25519PrivateKey.from_private_bytes(bytes(KEY_BYTES))


@dataclass(frozen=True, slots=True)
class X25519Recipient:
    """A public key. Written `age1…`, in lower case."""

    point: bytes
    _key: X25519PublicKey = field(init=False, repr=False, compare=False)
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.point) != KEY_BYTES:
            raise MalformedError(f"recipient: expected {KEY_BYTES} bytes, found {len(self.point)}")
        key = X25519PublicKey.from_public_bytes(self.point)
        _agreed(_ANY_SCALAR, key)  # low order shows with every scalar
        object.__setattr__(self, "_key", key)
        object.__setattr__(self, "_text", bech32.encode(_RECIPIENT_PREFIX, self.point))

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"X25519Recipient.parse({str(self)!r})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a recipient.

        Raises:
            MalformedError: on anything `str()` of a recipient would not have written, and on a
                point of low order: anybody could open what is sealed to it.
        """
        if text != text.lower():
            raise MalformedError("recipient: expected age1… in lower case")
        return cls(bech32.decode(_RECIPIENT_PREFIX, text))

    def wrap(self, key: bytes, random: Callable[[int], bytes]) -> Stanza:
        """The file key for this recipient, under an ephemeral secret that is then forgotten.

        Raises:
            MalformedError: if the file key is not 16 bytes.
        """
        ephemeral = X25519PrivateKey.from_private_bytes(random(KEY_BYTES))
        share = ephemeral.public_key().public_bytes_raw()
        secret = _agreed(ephemeral, self._key)
        wrapping_key = file_key.derived(secret, salt=share + self.point, info=_INFO)
        return Stanza(_KIND, (encoded(share),), file_key.wrapped(key, wrapping_key))


@dataclass(frozen=True, slots=True)
class X25519Identity:
    """A secret key. `str()` spells the secret, `AGE-SECRET-KEY-1…`; `repr` never does."""

    _secret: bytes = field(repr=False, compare=False)
    recipient: X25519Recipient = field(init=False)
    _key: X25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self._secret) != KEY_BYTES:
            raise MalformedError(f"identity: expected {KEY_BYTES} bytes, found {len(self._secret)}")
        key = X25519PrivateKey.from_private_bytes(self._secret)
        object.__setattr__(self, "_key", key)
        recipient = X25519Recipient(key.public_key().public_bytes_raw())
        object.__setattr__(self, "recipient", recipient)

    def __str__(self) -> str:
        return bech32.encode(_IDENTITY_PREFIX, self._secret).upper()

    @classmethod
    def generate(cls, random: Callable[[int], bytes]) -> Self:
        """A new identity."""
        return cls(random(KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an identity.

        Raises:
            MalformedError: on anything `str()` of an identity would not have written; the text
                is not quoted.
        """
        if text != text.upper():
            raise MalformedError("identity: expected AGE-SECRET-KEY-1… in upper case")
        return cls(bech32.decode(_IDENTITY_PREFIX, text))

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key in the stanza, or None if it is not for this identity.

        Raises:
            MalformedError: if it is an X25519 stanza, and not as the format says.
        """
        if stanza.kind != _KIND:
            return None
        if len(stanza.arguments) != 1:
            raise MalformedError(
                f"age header: expected one share in an X25519 stanza, found {len(stanza.arguments)}"
            )
        share = decoded(stanza.arguments[0])
        if len(share) != KEY_BYTES:
            raise MalformedError(
                f"age header: expected an X25519 share of {KEY_BYTES} bytes, found {len(share)}"
            )
        secret = _agreed(self._key, X25519PublicKey.from_public_bytes(share))
        wrapping_key = file_key.derived(secret, salt=share + self.recipient.point, info=_INFO)
        return file_key.unwrapped(stanza.body, wrapping_key)


def _agreed(secret: X25519PrivateKey, point: X25519PublicKey) -> bytes:
    """The shared secret, insisting that it is one: of a point of low order it is all zeros."""
    try:
        return secret.exchange(point)
    except ValueError as error:
        raise MalformedError("X25519: a point of low order, which everybody agrees with") from error
