"""Events that an officer signed by hand: with a passkey, over the exact event. `docs/format.md`, 23.

The passkey's answer is a disclosure of the event it was given to. What it was given to is the event
without that disclosure's digest; of several events, the root of the tree over them. No I/O.
"""

import hashlib
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from evidence_store.canonical import Json
from evidence_store.errors import MalformedError, ProofError
from evidence_store.ledger.event import Event, SignedEvent, disclosure_digest
from evidence_store.ledger.merkle import SIZE_MAX, leaf_hash, root_and_paths, root_from
from evidence_store.ledger.passkey import DIGEST_BYTES, FIELDS, check_assertion, from_base64url

MEMBER, DISCLOSURE = "by_hand", "passkey"
ORIGIN = re.compile(r"https?://[a-z0-9.:\[\]-]{1,260}")
RP_ID = re.compile(r"[a-z0-9.:\[\]-]{1,253}")
_ACT, _ACTS = b"evidence-act/v1\n", b"evidence-acts/v1\n"
_TREE = ("index", "path", "size")


@dataclass(frozen=True, slots=True)
class Hand:
    """With which passkey, by SHA-256 of its public key (COSE), and at which site."""

    passkey: bytes
    rp_id: str
    origin: str

    def __post_init__(self) -> None:
        if len(self.passkey) != DIGEST_BYTES:
            raise MalformedError(f"by_hand: expected {DIGEST_BYTES} bytes of a digest")
        if not RP_ID.fullmatch(self.rp_id) or not ORIGIN.fullmatch(self.origin):
            raise MalformedError("by_hand: expected an RP id and an origin")

    @property
    def document(self) -> dict[str, Json]:
        """What an event says of it openly, as `by_hand`."""
        return {"origin": self.origin, "passkey": self.passkey.hex(), "rp_id": self.rp_id}

    @classmethod
    def of(cls, event: Event) -> Self | None:
        """What the event says of it; None if it was not signed by hand.

        Raises:
            MalformedError: if it says what cannot be.
        """
        match event.data.get(MEMBER):
            case None if MEMBER not in event.data:
                return None
            case {"origin": str(origin), "passkey": str(passkey), "rp_id": str(rp_id), **rest}:
                if not rest and re.fullmatch("[0-9a-f]{64}", passkey):
                    return cls(bytes.fromhex(passkey), rp_id, origin)
            case _:
                pass
        raise MalformedError("by_hand: expected origin, passkey and rp_id")


@dataclass(frozen=True, slots=True)
class ByHand:
    """That an event was signed by hand. It is proved only if the answer is shown."""

    hand: Hand
    is_shown: bool


def challenge_of(bodies: Sequence[bytes]) -> bytes:
    """What a passkey is asked to sign: the events, in order, before its answer stands in them."""
    root, _ = root_and_paths([_leaf(each) for each in bodies])
    return _challenge(len(bodies), root)


def answers(bodies: Sequence[bytes], record: Mapping[str, str]) -> list[dict[str, Json]]:
    """What each of the events discloses as `passkey`: the answer, and its place among them."""
    _, paths = root_and_paths([_leaf(each) for each in bodies])
    said = {name: record[name] for name in FIELDS}
    return [
        {**said, "index": index, "path": [each.hex() for each in path], "size": len(bodies)}
        for index, path in enumerate(paths)
    ]


def check_by_hand(signed: SignedEvent) -> ByHand | None:
    """Insist that what an event says of a passkey holds; None if it says nothing.

    Raises:
        ProofError: if the answer is another event's, passkey's or site's, or does not hold.
        MalformedError: if the event is none, or says what cannot be.
    """
    event = signed.event
    hand, disclosed = Hand.of(event), signed.disclosed()
    record = disclosed.get(DISCLOSURE)
    if hand is None:
        if DISCLOSURE in disclosed:
            raise ProofError("passkey: the event does not say that it was signed by hand")
        return None
    if DISCLOSURE not in disclosed:
        return ByHand(hand, is_shown=False)
    if not isinstance(record, dict) or set(record) != {*FIELDS, *_TREE}:
        raise ProofError("passkey: expected an answer and its place among the events")
    own = next(each for each in signed.disclosures if signed.name_of(each) == DISCLOSURE)
    body = without(signed.body, event, disclosure_digest(own))
    challenge = _challenge_at(body, record)
    if hashlib.sha256(from_base64url(str(record["public_key"]))).digest() != hand.passkey:
        raise ProofError("passkey: it is another one than the event says")
    check_assertion(record, challenge, hand.rp_id, hand.origin)
    return ByHand(hand, is_shown=True)


def without(body: bytes, event: Event, digest: str) -> bytes:
    """The event's exact bytes, but for one digest in `_sd`.

    Raises:
        ProofError: if that does not stand there once.
    """
    if event.sd.count(digest) != 1:
        raise ProofError("passkey: expected its digest in the event, once")
    return _with_sd(body, event.sd, [each for each in event.sd if each != digest])


def with_digest(body: bytes, event: Event, digest: str) -> bytes:
    """The event's bytes with one digest more in `_sd`."""
    return _with_sd(body, event.sd, sorted([*event.sd, digest]))


def _with_sd(body: bytes, known: Sequence[str], wanted: Sequence[str]) -> bytes:
    # `_sd` sorts before every other member. A digest is base64url, so it is spelt in one way only.
    head = _spelt(known)
    if not body.startswith(head):
        raise ProofError("event: expected _sd at its beginning")
    return _spelt(wanted) + body[len(head) :]


def _spelt(digests: Sequence[str]) -> bytes:
    return b'{"_sd":[' + ",".join(f'"{each}"' for each in digests).encode() + b"]"


def _leaf(body: bytes) -> bytes:
    return leaf_hash(_ACT + body)


def _challenge(size: int, root: bytes) -> bytes:
    return hashlib.sha256(_ACTS + struct.pack(">Q", size) + root).digest()


def _challenge_at(body: bytes, record: Mapping[str, Json]) -> bytes:
    match record:
        case {"index": int(index), "size": int(size), "path": list(path)} if (
            type(index) is type(size) is int and 0 <= index < size <= SIZE_MAX
        ):
            steps = [_step(each) for each in path]
            return _challenge(size, root_from(_leaf(body), index, size, steps))
        case _:
            raise ProofError("passkey: expected the event's place among those that were signed")


def _step(text: Json) -> bytes:
    if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{64}", text):
        raise ProofError("passkey: expected hashes in hexadecimal")
    return bytes.fromhex(text)
