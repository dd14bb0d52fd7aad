"""Passphrases as recipients and identities, through scrypt (RFC 7914).

C2SP age, section "The scrypt recipient type". The passphrase is bytes as they
are: nothing is trimmed or normalised. Deriving a key at work factor w takes
2^w KiB of memory, so the factor in a header read is limited.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from evidence_store.age import file_key
from evidence_store.age.stanza import Stanza, decoded, encoded
from evidence_store.errors import MalformedError

KIND = b"scrypt"
WORK_FACTOR = 18  # 256 MiB and about a second
WORK_FACTOR_MAX = 22  # 4 GiB: what the age program accepts
SALT_BYTES = 16
_SALT_LABEL = b"age-encryption.org/v1/scrypt"
_DECIMAL = re.compile(rb"[1-9][0-9]*")
_DIGITS_MAX = 3  # anything longer is beyond every limit, and is not even converted


@dataclass(frozen=True, slots=True)
class ScryptRecipient:
    """A passphrase to seal to. It has to be the only recipient of a file.

    `work_factor` is the logarithm to base 2 of the work.
    """

    passphrase: bytes = field(repr=False)
    work_factor: int = WORK_FACTOR

    def __post_init__(self) -> None:
        _refuse_empty(self.passphrase)
        if not 1 <= self.work_factor <= WORK_FACTOR_MAX:
            raise MalformedError(
                f"scrypt: expected a work factor from 1 to {WORK_FACTOR_MAX}, "
                f"found {self.work_factor}"
            )

    def wrap(self, key: bytes, random: Callable[[int], bytes]) -> Stanza:
        """The file key for whoever knows the passphrase.

        Raises:
            MalformedError: if the file key is not 16 bytes.
        """
        salt = random(SALT_BYTES)
        wrapping_key = _stretched(self.passphrase, salt, self.work_factor)
        arguments = (encoded(salt), str(self.work_factor).encode("ascii"))
        return Stanza(KIND, arguments, file_key.wrapped(key, wrapping_key))


@dataclass(frozen=True, slots=True)
class ScryptIdentity:
    """A passphrase to open with; a header that asks for more work than the limit is refused."""

    passphrase: bytes = field(repr=False)
    work_factor_max: int = WORK_FACTOR_MAX

    def __post_init__(self) -> None:
        _refuse_empty(self.passphrase)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key in the stanza, or None if it is not for this passphrase.

        Raises:
            MalformedError: if it is a scrypt stanza, and not as the format says or asks for too
                much work.
        """
        if stanza.kind != KIND:
            return None
        salt, work_factor = self._parameters(stanza.arguments)
        body = file_key.checked_body(stanza.body)  # before the work, not after it
        return file_key.unwrapped(body, _stretched(self.passphrase, salt, work_factor))

    def _parameters(self, arguments: tuple[bytes, ...]) -> tuple[bytes, int]:
        match arguments:
            case (salt_text, work_text) if _DECIMAL.fullmatch(work_text):
                salt = decoded(salt_text)
            case _:
                raise MalformedError("age header: expected a salt and a decimal number in scrypt")
        if len(salt) != SALT_BYTES:
            raise MalformedError(
                f"age header: expected a scrypt salt of {SALT_BYTES} bytes, found {len(salt)}"
            )
        if len(work_text) > _DIGITS_MAX or int(work_text) > self.work_factor_max:
            raise MalformedError(
                f"age header: expected a scrypt work factor of at most {self.work_factor_max}, "
                f"found {work_text[:20].decode('ascii')}"
            )
        return salt, int(work_text)


def _refuse_empty(passphrase: bytes) -> None:
    if not passphrase:
        raise MalformedError("passphrase: expected at least one character, found none")


def _stretched(passphrase: bytes, salt: bytes, work_factor: int) -> bytes:
    return Scrypt(
        salt=_SALT_LABEL + salt, length=file_key.DERIVED_BYTES, n=1 << work_factor, r=8, p=1
    ).derive(passphrase)
