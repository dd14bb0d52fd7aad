"""The header of an age v1 file: the file key, wrapped for each recipient.

    age-encryption.org/v1
    -> X25519 XEl0dJ6y3C7KZkgmgWUicg63EyXJiwBJW8PdYJ/cYBE
    qRS0AMjdjPvZ/WT08U2KL4G+PIooA3hy38SvLpvaC1E
    --- HK2NmOBN9Dpq0Gw6xMCuhFcQlQLvZ/wQUi/2scLG75s

C2SP age, section "Header". The last line authenticates all the others by the
file key. Who sealed a file it does not say: anybody can seal to a public key.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evidence_store.age import file_key as file_keys
from evidence_store.age import scrypt
from evidence_store.age.scrypt import ScryptIdentity, ScryptRecipient
from evidence_store.age.stanza import Stanza, decoded, encoded
from evidence_store.age.x25519 import X25519Identity, X25519Recipient
from evidence_store.errors import FixityError, KeyUnavailableError, MalformedError

Recipient = X25519Recipient | ScryptRecipient
Identity = X25519Identity | ScryptIdentity

VERSION_LINE = b"age-encryption.org/v1"
_MARK = b"---"
_MAC_BYTES = 32


def seal_header(
    file_key: bytes, recipients: Sequence[Recipient], random: Callable[[int], bytes]
) -> bytes:
    """A header from which each recipient can open the file key.

    Raises:
        MalformedError: if there is no recipient, if a passphrase is not the only one, or if the
            file key is not 16 bytes.
    """
    stanzas = tuple(recipient.wrap(file_key, random) for recipient in recipients)
    _refuse_mixture(stanzas)
    authenticated = b"\n".join((VERSION_LINE, b"".join(map(bytes, stanzas)) + _MARK))
    return authenticated + b" " + encoded(_mac(file_key, authenticated)) + b"\n"


def open_header(header: bytes, identities: Sequence[Identity]) -> bytes:
    """The 16-byte file key, from the first stanza that one of the identities opens.

    Raises:
        KeyUnavailableError: if none of the identities opens it.
        MalformedError: if it is not exactly one header of the format.
        FixityError: if the header was altered.
    """
    parsed = _parse(header)
    if parsed.length != len(header):
        raise MalformedError(
            f"age header: expected its end after {parsed.length} bytes, found {len(header)}"
        )
    for identity in identities:
        for stanza in parsed.stanzas:
            file_key = identity.unwrap(stanza)
            if file_key is None:
                continue
            if not hmac.compare_digest(_mac(file_key, parsed.authenticated), parsed.mac):
                raise FixityError(
                    what="age header", expected="the code of its own lines", found="another"
                )
            return file_key
    raise KeyUnavailableError(
        f"age header: none of the {len(identities)} keys at hand opens any of its "
        f"{len(parsed.stanzas)} recipients' stanzas; look for the key it was sealed to"
    )


def split(file: bytes) -> int:
    """The length of the header at the start of an age file; `file` is the file or its start.

    Raises:
        MalformedError: if it does not begin with a whole header.
    """
    return _parse(file).length


@dataclass(frozen=True, slots=True)
class _Parsed:
    stanzas: tuple[Stanza, ...]
    authenticated: bytes
    mac: bytes
    length: int


def _parse(file: bytes) -> _Parsed:
    if not file.startswith(VERSION_LINE + b"\n"):
        raise MalformedError(f"age header: expected the first line {VERSION_LINE.decode('ascii')}")
    # No line before it can begin like the last line, so the header's end is found first.
    mark_at = file.find(b"\n" + _MARK) + 1
    end = file.find(b"\n", mark_at)
    if not mark_at or end < 0:
        raise MalformedError("age header: it ends before its last line")
    lines = iter(file[len(VERSION_LINE) + 1 : mark_at].split(b"\n")[:-1])
    stanzas = tuple(Stanza.read(line, lines) for line in lines)
    _refuse_mixture(stanzas)
    mark, _, mac_text = file[mark_at:end].partition(b" ")
    mac = decoded(mac_text)
    if mark != _MARK or len(mac) != _MAC_BYTES:
        raise MalformedError(f"age header: expected '--- ' and {_MAC_BYTES} bytes of base64 at end")
    return _Parsed(stanzas, file[: mark_at + len(_MARK)], mac, end + 1)


def _refuse_mixture(stanzas: tuple[Stanza, ...]) -> None:
    """A passphrase also says who sealed a file, and another recipient could pretend to be them."""
    if not stanzas:
        raise MalformedError("age header: expected at least one recipient, found none")
    if len(stanzas) > 1 and any(stanza.kind == scrypt.KIND for stanza in stanzas):
        raise MalformedError("age header: a passphrase has to be the only recipient")


def _mac(file_key: bytes, authenticated: bytes) -> bytes:
    key = file_keys.derived(file_key, salt=b"", info=b"header")
    return hmac.digest(key, authenticated, "sha256")
