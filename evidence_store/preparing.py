"""Acts in two calls: prepared, signed by the officer's passkey, and entered as they were signed.

What is prepared is no draft that waits to be stored: it is what the same act, done again, composes
the same events from. So rules are judged when it is entered, and a chain that moved is seen.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypeVar

from evidence_store.canonical import Json
from evidence_store.errors import ConflictError, FixityError, MalformedError, OutOfOrderError
from evidence_store.identifiers import KeyId
from evidence_store.ledger.by_hand import (
    DISCLOSURE,
    MEMBER,
    Hand,
    answers,
    challenge_of,
    check_by_hand,
    with_digest,
)
from evidence_store.ledger.event import (
    Anchor,
    Draft,
    Event,
    Link,
    Random,
    SignedEvent,
    disclosed_as,
    disclosure_digest,
    signed_as,
    unsigned,
)
from evidence_store.ledger_port import NewEvent, SigningKeys
from evidence_store.ports import CatalogWriter, Clock, Randomness
from evidence_store.recording import Recorder

SEED_BYTES = 32
_STREAM = b"evidence-prepared/v1\n"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is kept of an act until it is signed. `step` is the act as it was asked, for the caller."""

    seed: bytes
    at: datetime
    anchor: Anchor | None
    hand: Hand
    step: Mapping[str, Json]

    def encode(self) -> str:
        """As text, to be kept by the server and nobody else: who has the seed knows all salts."""
        anchor = None if self.anchor is None else [self.anchor.size, self.anchor.root.hex()]
        return json.dumps(
            {
                "seed": self.seed.hex(),
                "at": self.at.isoformat(),
                "anchor": anchor,
                "hand": self.hand.document,
                "step": dict(self.step),
            }
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `encode`.

        Raises:
            FixityError: if it was altered so that it spells nothing.
        """
        try:
            found = json.loads(text)
            anchor, hand = found["anchor"], found["hand"]
            return cls(
                bytes.fromhex(found["seed"]),
                datetime.fromisoformat(found["at"]),
                None if anchor is None else Anchor(int(anchor[0]), bytes.fromhex(anchor[1])),
                Hand(bytes.fromhex(hand["passkey"]), hand["rp_id"], hand["origin"]),
                dict(found["step"]),
            )
        except (ValueError, LookupError, TypeError, MalformedError):
            raise FixityError(
                what="catalog", expected="an act as it was prepared", found="one that was altered"
            ) from None


@dataclass(frozen=True, slots=True)
class ToSign:
    """What the officer is to sign: the challenge, and the events it is over with all they say."""

    challenge: bytes
    events: tuple[SignedEvent, ...]  # without a signature yet


def prepare(
    recorder: Recorder, hand: Hand, step: Mapping[str, Json], act: Callable[[Recorder], object]
) -> tuple[Prepared, ToSign]:
    """Run an act up to its events, and enter nothing.

    Raises:
        OutOfOrderError: if it is none that can be signed by hand.
        Whatever the act raises before its events.
    """
    now, seed = recorder.clock.now(), recorder.random(SEED_BYTES)
    try:
        act(_Preparing(*_parts(recorder), hand, seed, now))
    except _StoppedError as stopped:
        made = stopped.made
        events = tuple(SignedEvent(each.body, b"", each.disclosures) for each in made.events)
        prepared = Prepared(seed, now, made.anchor, hand, step)
        return prepared, ToSign(challenge_of([each.body for each in events]), events)
    raise OutOfOrderError("by hand: expected an act that is entered")


def enter(
    recorder: Recorder,
    prepared: Prepared,
    challenge: bytes,
    answer: Mapping[str, str],
    act: Callable[[Recorder], T],
) -> T:
    """Do a prepared act, as it was signed.

    Raises:
        ProofError: if the answer does not hold for each of its events.
        ConflictError: if it would not be what was signed: a chain has moved; prepare it again.
        Whatever the act raises.
    """
    return act(_Entering(*_parts(recorder), prepared, challenge, answer))


@dataclass(frozen=True, slots=True)
class _Composed:
    draft: Draft
    link: Link
    body: bytes
    disclosures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Made:
    events: tuple[_Composed, ...]
    anchor: Anchor | None


class _StoppedError(Exception):
    """Leaves the act where its events are composed; the transaction is rolled back."""

    def __init__(self, made: _Made) -> None:
        super().__init__("prepared")
        self.made = made


@dataclass(frozen=True, slots=True)
class _Preparing(Recorder):
    hand: Hand
    seed: bytes
    at: datetime

    def record(self, writer: CatalogWriter, drafts: Sequence[Draft]) -> Sequence[SignedEvent]:
        """Compose the events, and stop."""
        anchor = self.anchor(writer)
        events = _composed(self, writer, drafts, self.hand, self.seed, self.at, anchor)
        raise _StoppedError(_Made(events, anchor))


@dataclass(frozen=True, slots=True)
class _Entering(Recorder):
    prepared: Prepared
    challenge: bytes
    answer: Mapping[str, str]

    def record(self, writer: CatalogWriter, drafts: Sequence[Draft]) -> Sequence[SignedEvent]:
        """Enter the events with the answer, if they are those that were signed."""
        known = self.prepared
        made = _composed(self, writer, drafts, known.hand, known.seed, known.at, known.anchor)
        bodies = [each.body for each in made]
        if challenge_of(bodies) != self.challenge:
            raise ConflictError("by hand: what was signed is not what would be; prepare it again")
        events = [
            NewEvent(
                each.draft.item,
                each.link,
                each.draft.act,
                self.by,
                known.at,
                _answered(self, each, answer),
            )
            for each, answer in zip(made, answers(bodies, self.answer), strict=True)
        ]
        writer.ledger.add_events(events)
        return [each.signed for each in events]


def _composed(
    recorder: Recorder,
    writer: CatalogWriter,
    drafts: Sequence[Draft],
    hand: Hand,
    seed: bytes,
    at: datetime,
    anchor: Anchor | None,
) -> tuple[_Composed, ...]:
    subjects = [each.item for each in drafts]
    links = writer.ledger.links(subjects)
    if len(set(subjects)) != len(subjects) or any(
        each not in links or links[each].head is None for each in subjects
    ):
        raise OutOfOrderError("by hand: expected one event on each of chains that have begun")
    random, found = _stream(seed), []
    for draft in drafts:
        link = links[draft.item]
        said = Draft(draft.item, draft.act, {**draft.data, MEMBER: hand.document}, draft.private)
        body, disclosures = unsigned(
            said, link, log=recorder.log, by=recorder.by, at=at, anchor=anchor, random=random
        )
        found.append(_Composed(said, link, body, disclosures))
    return tuple(found)


def _answered(recorder: Recorder, made: _Composed, answer: Json) -> SignedEvent:
    own = disclosed_as(recorder.random, DISCLOSURE, answer)
    body = with_digest(made.body, Event.parse(made.body), disclosure_digest(own))
    disclosures = (*made.disclosures, own)
    signed = signed_as(body, disclosures, lambda message: recorder.keys.sign(recorder.by, message))
    check_by_hand(signed)  # nothing is entered that a verifier would refuse
    return signed


def _stream(seed: bytes) -> Random:
    """Salts that come out the same for the same seed, and that nobody knows without it."""
    drawn = 0

    def drawn_next(size_bytes: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_256(_STREAM + seed + drawn.to_bytes(8, "big")).digest(size_bytes)

    return drawn_next


def _parts(recorder: Recorder) -> tuple[str, KeyId, SigningKeys, Clock, Randomness]:
    return recorder.log, recorder.by, recorder.keys, recorder.clock, recorder.random
