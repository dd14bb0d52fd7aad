"""Events: an act on an item or a dossier, signed by the authority that did it. `docs/format.md`, 11.

The log sees only a salted commitment. What names people or places is in disclosures, each
hidden behind a salt of its own, so that any can be withheld without breaking the proof.
"""

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from evidence_store.canonical import Json, canonical, parse_canonical
from evidence_store.errors import MalformedError, ProofError
from evidence_store.identifiers import KeyId, Subject, parse_subject
from evidence_store.ledger.signing import verify_ed25519
from evidence_store.moment import in_utc
from evidence_store.wording import check_signed

VERSION = 1
SALT_BYTES = 32
DISCLOSURE_SALT_BYTES = 16
ITEM_KEY_BYTES = 32
COMMITMENT_BYTES = 32
EVENT_LEAF = b"\x01"
_SIGNED = b"evidence-event/v1\n"
_LEAF = b"evidence-leaf/v1\n"
_TAG = b"evidence-tag/v1\n"
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
_DISCLOSURE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

Random = Callable[[int], bytes]
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A sealed checkpoint that was known when an event was signed."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """An act that is to become an event. `data` is open, each of `private` can be withheld.

    Its words are as `wording.check_signed` wants them.
    """

    item: Subject
    act: str
    data: Mapping[str, Json] = field(default_factory=dict)
    private: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Here, because nothing is signed that was not a draft: no door can forget it.
        check_signed(self.data)
        check_signed(self.private)


@dataclass(frozen=True, slots=True)
class Link:
    """Where an item's chain ends: the last event's place and commitment, and the item's key."""

    item_key: bytes = field(repr=False)
    seq: int = 0
    head: bytes | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """What an event says."""

    item: Subject
    seq: int
    prev: bytes | None
    act: str
    by: KeyId
    at: datetime
    anchor: Anchor | None
    data: Mapping[str, Json]
    sd: tuple[str, ...]
    log: str

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read an event.

        Raises:
            MalformedError: if it is not one of this version.
        """
        match parse_canonical(body, "event"):
            case {
                "v": 1,
                "log": str(log),
                "item": str(item),
                "seq": int(seq),
                "prev": str() | None as prev,
                "act": str(act),
                "by": str(by),
                "at": str(at),
                "anchor": anchor,
                "salt": str(salt),
                "data": dict(data),
                "_sd_alg": "sha-256",
                "_sd": list(sd),
                **rest,
            } if not rest and seq >= 1 and (prev is None) == (seq == 1):
                _hex(salt, SALT_BYTES)
                return cls(
                    item=parse_subject(item),
                    seq=seq,
                    prev=None if prev is None else _hex(prev, COMMITMENT_BYTES),
                    act=act,
                    by=KeyId.parse(by),
                    at=_instant(at),
                    anchor=_anchor(anchor),
                    data=data,
                    sd=tuple(map(_text, sd)),
                    log=log,
                )
            case _:
                raise MalformedError("event: expected one of version 1")


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """An event's exact bytes, its signature, and the disclosures that are at hand."""

    body: bytes
    signature: bytes
    disclosures: tuple[str, ...] = ()

    @property
    def event(self) -> Event:
        """What it says; parsed anew at each call."""
        return Event.parse(self.body)

    @property
    def commitment(self) -> bytes:
        """What the log commits to."""
        length = struct.pack(">I", len(self.body))
        return hashlib.sha256(b"".join((_LEAF, length, self.body, self.signature))).digest()

    def verify_signature(self, public: bytes) -> None:
        """Insist that this key signed it.

        Raises:
            ProofError: if it did not.
        """
        verify_ed25519(public, self.signature, _SIGNED + self.body)

    def disclosed(self) -> dict[str, Json]:
        """What the disclosures at hand say, by name.

        Raises:
            ProofError: if one does not belong to this event.
            MalformedError: if one is of another form.
        """
        known = set(self.event.sd)
        found: dict[str, Json] = {}
        for each in self.disclosures:
            if disclosure_digest(each) not in known:
                raise ProofError("disclosure: expected one that the event commits to")
            name, value = _disclosure(each)
            if name in found:
                raise ProofError("disclosure: expected a name once")
            found[name] = value
        return found

    @staticmethod
    def name_of(disclosure: str) -> str:
        """The name of the field that a disclosure is of.

        Raises:
            MalformedError: if it is of another form.
        """
        return _disclosure(disclosure)[0]

    def with_disclosures(self, names: Sequence[str] | None) -> "SignedEvent":
        """The event with only these fields disclosed; None keeps all that are at hand."""
        if names is None:
            return self
        kept = tuple(each for each in self.disclosures if _disclosure(each)[0] in names)
        return SignedEvent(self.body, self.signature, kept)


def composed(
    draft: Draft,
    link: Link,
    *,
    log: str,
    by: KeyId,
    at: datetime,
    anchor: Anchor | None,
    sign: Sign,
    random: Random,
) -> SignedEvent:
    """The draft as the next event of its chain, signed.

    Raises:
        MalformedError: if the draft holds what canonical JSON does not have.
        KeyUnavailableError: if `sign` has no such key.
    """
    body, disclosures = unsigned(draft, link, log=log, by=by, at=at, anchor=anchor, random=random)
    return signed_as(body, disclosures, sign)


def unsigned(
    draft: Draft,
    link: Link,
    *,
    log: str,
    by: KeyId,
    at: datetime,
    anchor: Anchor | None,
    random: Random,
) -> tuple[bytes, tuple[str, ...]]:
    """The draft as the next event of its chain, before it is signed; and its disclosures.

    Raises:
        MalformedError: if the draft holds what canonical JSON does not have.
    """
    disclosures = tuple(disclosed_as(random, *each) for each in sorted(draft.private.items()))
    body = canonical(
        {
            "v": VERSION,
            "log": log,
            "item": str(draft.item),
            "seq": link.seq + 1,
            "prev": None if link.head is None else link.head.hex(),
            "act": draft.act,
            "by": str(by),
            "at": in_utc(at).strftime(_TIME_FORMAT),
            "anchor": None if anchor is None else {"size": anchor.size, "root": anchor.root.hex()},
            "salt": random(SALT_BYTES).hex(),
            "data": dict(draft.data),
            "_sd_alg": "sha-256",
            "_sd": sorted(map(disclosure_digest, disclosures)),  # type: ignore[dict-item] # text is JSON
        }
    )
    return body, disclosures


def signed_as(body: bytes, disclosures: tuple[str, ...], sign: Sign) -> SignedEvent:
    """The event with its signature.

    Raises:
        KeyUnavailableError: if `sign` has no such key.
    """
    return SignedEvent(body, sign(_SIGNED + body), disclosures)


def tag(item_key: bytes, seq: int) -> bytes:
    """What an item's leaf of this place is found by, with the item's key only."""
    return hmac.digest(item_key, _TAG + struct.pack(">Q", seq), "sha256")


def leaf(item_key: bytes, seq: int, commitment: bytes) -> bytes:
    """The log's entry for an event."""
    return EVENT_LEAF + tag(item_key, seq) + commitment


def disclosure_digest(disclosure: str) -> str:
    """What stands in the event for a disclosure."""
    return _base64url(hashlib.sha256(disclosure.encode("ascii", "replace")).digest())


def disclosed_as(random: Random, name: str, value: Json) -> str:
    """A field as a disclosure, behind a salt of its own."""
    salt = _base64url(random(DISCLOSURE_SALT_BYTES))
    return _base64url(_DISCLOSURE.encode([salt, name, value]).encode())


def _disclosure(text: str) -> tuple[str, Json]:
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        match json.loads(content):
            case [str(), str(name), value] if _base64url(content) == text:
                return name, value
    except ValueError:
        pass
    raise MalformedError("disclosure: expected base64url of [salt, name, value]")


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _hex(text: str, size: int) -> bytes:
    try:
        content = bytes.fromhex(text)
    except ValueError:
        content = b""
    if len(content) != size or content.hex() != text:
        raise MalformedError(f"event: expected {size} bytes in hexadecimal")
    return content


def _instant(text: str) -> datetime:
    try:
        found = datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        found = None
    if found is None or found.strftime(_TIME_FORMAT) != text:
        raise MalformedError("event: expected a time in UTC", found=text)
    return found


def _anchor(value: Json) -> Anchor | None:
    match value:
        case None:
            return None
        case {"size": int(size), "root": str(root), **rest} if not rest and size >= 0:
            return Anchor(size, _hex(root, COMMITMENT_BYTES))
        case _:
            raise MalformedError("event: expected an anchor with size and root")


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise MalformedError("event: expected digests of disclosures")
    return value
