"""The items of a package: events, the chain they make, contents, and the history they tell.

Events are read one after another, contents in pieces: memory does not grow with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evidence_store.custody.act import Act, ActType
from evidence_store.custody.timeline import History, history
from evidence_store.digest import Algorithm, Digest, hasher
from evidence_store.errors import EvidenceError, MalformedError, ProofError
from evidence_store.identifiers import Ern
from evidence_store.ledger.by_hand import check_by_hand
from evidence_store.ledger.event import ITEM_KEY_BYTES, Event, SignedEvent, leaf
from evidence_store.package import layout
from evidence_store.package.bag import BagReader
from evidence_store.package.composition import Composition, EnclosedVersion, ShownItem, states
from evidence_store.package.findings import Findings, Outcome, Question
from evidence_store.package.keys import KeyRegister
from evidence_store.package.sealing import Sealing

_BRINGS_VERSIONS = {"registered", "version_added"}


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """A version as the event that brought it measured it; `ordinal` is its place in its kind."""

    sha256: Digest
    kind: str
    ordinal: int

    def named(self, ern: Ern) -> str:
        """What a court calls it."""
        if self.kind == "original":
            return f"original of {ern}"
        letter = self.kind[:1].upper()
        return f"{self.kind.replace('_', ' ')} version {letter}{self.ordinal:02d} of {ern}"


@dataclass(slots=True)
class ItemVerifier:
    """Asks every question about an item."""

    bag: BagReader
    sealing: Sealing
    keys: KeyRegister
    findings: Findings
    composition: Composition | None
    histories: dict[Ern, History] = field(default_factory=dict)
    _places: dict[tuple[Ern, int], int] = field(default_factory=dict)

    def check(self, name: str) -> None:
        """The item of this folder."""
        with self.findings.asking(Question.CHAIN, name):
            ern = Ern.parse(name)
            item_key = _item_key(self.bag.text(layout.key_path(ern)))
            events = list(self._events(ern))
            for number, signed in events:
                self._check_event(ern, item_key, number, signed)
            self._check_chain(ern, events)
            self._check_contents(ern, [signed for _, signed in events])
            self._check_custody(ern, [signed for _, signed in events])

    def _events(self, ern: Ern) -> Iterator[tuple[int, SignedEvent]]:
        for path in self.bag.under(f"{layout.ITEMS}/{ern}/events"):
            if path.endswith(".json"):
                stem = path.removesuffix("json")
                disclosed = stem + "disclosed"
                lines = self.bag.text(disclosed).split() if disclosed in self.bag.names else []
                signature = self.bag.read(stem + "sig")
                number = int(stem.rsplit("/", 1)[1].rstrip("."))
                yield number, SignedEvent(self.bag.read(path), signature, tuple(lines))

    def _check_event(self, ern: Ern, item_key: bytes, number: int, signed: SignedEvent) -> None:
        subject = f"{ern} event {number}"
        event: Event | None = None
        with self.findings.asking(Question.SIGNATURE, subject) as prove:
            event = signed.event
            signed.verify_signature(self.keys.key(event.by).public)
            prove(f"{event.by} signed it")
        if event is None:
            return  # refuted above: what says nothing can be asked nothing
        with self.findings.asking(Question.INCLUSION, subject) as prove:
            entry = leaf(item_key, event.seq, signed.commitment)
            path = layout.event_path(ern, number, "tlog-proof")
            index, sealed = self.sealing.included(entry, path)
            if event.log != sealed.checkpoint.origin:
                raise ProofError("the event is of another log")
            self._places[ern, number] = index
            prove(f"it is entry {index} of {sealed.checkpoint.size}")
            with self.findings.asking(Question.KEYS, subject) as prove_key:
                if not self.keys.key(event.by).counts_at(index):
                    raise ProofError(f"{event.by} does not count at {index}, where the event is")
                prove_key(f"{event.by} counts at {index}")
            self.sealing.judge_time(event, index, sealed)
        with self.findings.asking(Question.DISCLOSURE, subject) as prove:
            shown = len(signed.disclosed())
            prove(f"{shown} fields disclosed, {len(event.sd) - shown} withheld")
        self._check_by_hand(subject, signed)

    def _check_by_hand(self, subject: str, signed: SignedEvent) -> None:
        with self.findings.asking(Question.BY_HAND, subject) as prove:
            found = check_by_hand(signed)
            if found is None:
                return  # the authority's key signed it, and nobody says more
            hand = found.hand
            passkey = f"the passkey {hand.passkey.hex()}, at {hand.origin} ({hand.rp_id})"
            if not found.is_shown:
                detail = f"it says so, by {passkey}; the answer is withheld"
                self.findings.say(Question.BY_HAND, Outcome.NOT_SHOWN, subject, detail)
                return
            officer = signed.disclosed().get("officer", "an officer that is withheld")
            prove(f"{passkey}; whose it is, {signed.event.by} says: {officer}")

    def _check_chain(self, ern: Ern, events: Sequence[tuple[int, SignedEvent]]) -> None:
        with self.findings.asking(Question.CHAIN, str(ern)) as prove:
            head: bytes | None = None
            for seq, (number, signed) in enumerate(events, start=1):
                event = signed.event
                if (event.item, event.seq, number) != (ern, seq, seq) or event.prev != head:
                    raise ProofError(f"gap in the item's chain before event {number}")
                head = signed.commitment
            last = events[-1][1].event if events else None
            prove(f"{len(events)} events; {self._closing(ern, len(events), last)}")

    def _closing(self, ern: Ern, found: int, last: Event | None) -> str:
        """Up to where the chain is shown: the last event must be the export of this very package.

        Any other, an earlier export too, is a place at which somebody could have cut it.
        """
        shown = self._named(ern)
        if shown is None or self.composition is None:
            raise ProofError("the chain is not closed: the package does not name the item")
        if last is None or last.act != ActType.EXPORTED or not states(last.data, self.composition):
            raise ProofError(
                "the chain is not closed by the export of this very package: its end is missing, "
                "or the package was put together otherwise than was signed"
            )
        if found != shown.events:
            raise ProofError(f"expected {shown.events} events, as the export signed; found {found}")
        place = self._places.get((ern, found))
        entry = "an entry that is not shown" if place is None else f"entry {place}"
        return (
            f"shown up to {entry} of the log, {last.at.isoformat()}: the export of this package, "
            f"{self.composition.package}, by {last.by}; of what came later nothing is shown"
        )

    def _named(self, ern: Ern) -> ShownItem | None:
        items = () if self.composition is None else self.composition.items
        return next((each for each in items if each.ern == ern), None)

    def _check_contents(self, ern: Ern, events: Sequence[SignedEvent]) -> None:
        shown = self._named(ern)
        if shown is None or not shown.versions:
            return
        known: Mapping[int, KnownVersion] = {}
        with self.findings.asking(Question.CONTENT, str(ern)):
            known = measured(events)
        for version in shown.versions:
            path = layout.version_path(ern, version.number, version.kind)
            with self.findings.asking(Question.CONTENT, path) as prove:
                prove(self._matched(ern, path, version, known.get(version.number)))

    def _matched(
        self, ern: Ern, path: str, named: EnclosedVersion, version: KnownVersion | None
    ) -> str:
        state, size_bytes = hasher(Algorithm.SHA256), 0
        for chunk in self.bag.chunks(path):
            state.update(chunk)
            size_bytes += len(chunk)
        found = Digest(Algorithm.SHA256, state.digest())
        if version is None or found != version.sha256 or found != named.sha256:
            raise ProofError(f"the bytes are not those measured of version {named.number} of {ern}")
        # Its name would tell a court that a redacted copy is the original.
        if named.kind != version.kind:
            raise ProofError(f"it is named {named.kind}, and is the {version.named(ern)}")
        return f"{version.named(ern)}, {size_bytes} bytes, sha256 {found.hex}"

    def _check_custody(self, ern: Ern, events: Sequence[SignedEvent]) -> None:
        try:
            found = history([Act.of(signed) for signed in events])
        except (EvidenceError, ValueError, RecursionError) as error:
            self.findings.say(Question.CUSTODY, Outcome.NOT_SHOWN, str(ern), str(error))
            return
        self.histories[ern] = found
        for gap in found.gaps:
            detail = f"event {gap.seq}: {gap.kind}: {gap.detail}"
            self.findings.say(Question.CUSTODY, Outcome.NOT_SHOWN, str(ern), detail)
        if not found.gaps:
            detail = "no gaps are recorded"
            self.findings.say(Question.CUSTODY, Outcome.PROVED, str(ern), detail)


def measured(events: Sequence[SignedEvent]) -> dict[int, KnownVersion]:
    """The versions by number. The first to measure one counts: a later event cannot replace it.

    Raises:
        MalformedError: if something is no event, or what it measured no digest.
    """
    found: dict[int, KnownVersion] = {}
    for event in (each.event for each in events):
        listed = event.data.get("measured")
        if event.act not in _BRINGS_VERSIONS or not isinstance(listed, list):
            continue
        kind = str(event.data.get("type", "original"))
        for each in listed:
            match each:
                case {"version": int(number), "sha256": str(sha256)}:
                    ordinal = 1 + sum(known.kind == kind for known in found.values())
                    version = KnownVersion(Digest.sha256_hex(sha256), kind, ordinal)
                    found.setdefault(number, version)
                case _:
                    raise MalformedError(f"event {event.seq}: expected versions and digests")
    return found


def _item_key(text: str) -> bytes:
    key = bytes.fromhex(text.strip())
    if len(key) != ITEM_KEY_BYTES:
        raise MalformedError(f"item key: expected {ITEM_KEY_BYTES} bytes, found {len(key)}")
    return key
