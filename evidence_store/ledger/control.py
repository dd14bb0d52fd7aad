"""Control entries: what the log says in clear about itself and its keys. `docs/format.md`, 12."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from evidence_store.canonical import Json, canonical, parse_canonical
from evidence_store.errors import MalformedError, ProofError
from evidence_store.identifiers import AuthorityId, KeyId, StateCode
from evidence_store.ledger.note import VerifierKey, from_base64
from evidence_store.ledger.signing import verify_ed25519

CONTROL_LEAF = b"\x02"
PADDING_LEAF = b"\x00"
KINDS = ("genesis", "key", "revocation")
_SIGNED = b"evidence-control/v1\n"

Sign = Callable[[KeyId, bytes], bytes]


@dataclass(frozen=True, slots=True)
class ControlEntry:
    """A statement and who signed it."""

    body: Mapping[str, Json]
    signatures: Mapping[KeyId, bytes]

    @property
    def kind(self) -> str:
        """What it states, such as `genesis`, `key` or `revocation`."""
        return str(self.body["entry"])

    @property
    def kid(self) -> KeyId:
        """The key that it is about.

        Raises:
            MalformedError: if it is about none.
        """
        root = self.body.get("root")
        text = root.get("kid") if isinstance(root, dict) else self.body.get("kid")
        return KeyId.parse(str(text))

    @property
    def public(self) -> bytes:
        """The public key that it registers.

        Raises:
            MalformedError: if it registers none.
        """
        root = self.body.get("root")
        text = root.get("public") if isinstance(root, dict) else self.body.get("public")
        return from_base64(str(text), "control entry")

    @property
    def from_index(self) -> int:
        """From which index on a revoked key does not count.

        Raises:
            MalformedError: if it revokes none.
        """
        found = self.body.get("from")
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise MalformedError("control entry: expected an index")
        return found

    def verify(self, kid: KeyId, public: bytes) -> None:
        """Insist that this key signed it.

        Raises:
            ProofError: if it did not.
        """
        signature = self.signatures.get(kid)
        if signature is None:
            raise ProofError(f"control entry: expected a signature by {kid}")
        verify_ed25519(public, signature, _SIGNED + canonical(self.body))

    def encode(self) -> bytes:
        """The log's entry."""
        signatures: list[Json] = [
            {"kid": str(kid), "sig": base64.b64encode(value).decode()}
            for kid, value in self.signatures.items()
        ]
        return CONTROL_LEAF + canonical({"body": dict(self.body), "sigs": signatures})

    @classmethod
    def parse(cls, entry: bytes) -> Self:
        """Read an entry.

        Raises:
            MalformedError: if it is no control entry.
        """
        if entry[:1] != CONTROL_LEAF:
            raise MalformedError("control entry: expected one")
        match parse_canonical(entry[1:], "control entry"):
            case {"body": {"v": 1, "entry": str(), **rest}, "sigs": list(sigs)} if rest:
                body = parse_canonical(entry[1:], "control entry")["body"]
                found = dict(_signature(each) for each in sigs)
                if isinstance(body, dict) and len(found) == len(sigs):
                    return cls(body, found)
        raise MalformedError("control entry: expected a statement and signatures")


def commitment_of(entry: bytes) -> bytes:
    """What stands for a control entry where events have their commitments."""
    return hashlib.sha256(entry).digest()


def genesis(
    log: str, state: StateCode, root: tuple[KeyId, bytes], vkeys: list[VerifierKey], sign: Sign
) -> ControlEntry:
    """The log's first entry."""
    kid, public = root
    return _signed(
        {
            "entry": "genesis",
            "log": log,
            "state": str(state),
            "root": {"kid": str(kid), "public": base64.b64encode(public).decode()},
            "vkeys": [str(each) for each in vkeys],
        },
        [kid],
        sign,
    )


def registration(
    log: str, name: str, kid: KeyId, public: bytes, signers: list[KeyId], sign: Sign
) -> ControlEntry:
    """An authority's key, signed by the root, the key itself and the one that it follows."""
    return _signed(
        {
            "entry": "key",
            "log": log,
            "authority": str(kid.authority),
            "name": name,
            "kid": str(kid),
            "public": base64.b64encode(public).decode(),
        },
        signers,
        sign,
    )


def revocation(
    log: str, kid: KeyId, from_index: int, reason: str, root: KeyId, sign: Sign
) -> ControlEntry:
    """That a key does not count for entries from this index on."""
    body: dict[str, Json] = {
        "entry": "revocation",
        "log": log,
        "kid": str(kid),
        "from": from_index,
        "reason": reason,
    }
    return _signed(body, [root], sign)


def authority_of(entry: ControlEntry) -> tuple[AuthorityId, str]:
    """The authority that a registration is for, and its name.

    Raises:
        MalformedError: if it is no registration.
    """
    return AuthorityId(str(entry.body.get("authority"))), str(entry.body.get("name"))


def _signed(body: dict[str, Json], signers: list[KeyId], sign: Sign) -> ControlEntry:
    whole = {"v": 1, **body}
    message = _SIGNED + canonical(whole)
    return ControlEntry(whole, {kid: sign(kid, message) for kid in dict.fromkeys(signers)})


def _signature(value: Json) -> tuple[KeyId, bytes]:
    match value:
        case {"kid": str(kid), "sig": str(sig)}:
            return KeyId.parse(kid), from_base64(sig, "control entry")
        case _:
            raise MalformedError("control entry: expected a signature")
