"""Does a package prove what it says? Every question by itself, and every answer, not the first.

An answer is `proved`, `refuted` or `not shown`. Nothing here believes the package: keys come
from the log's own entries, and the log from a policy that the court brings. A policy that
comes with the package is used when there is no other, and said to be no proof.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial

from evidence_store.custody.act import Act
from evidence_store.custody.timeline import History, history
from evidence_store.digest import Digest, Fingerprinter
from evidence_store.errors import EvidenceError, MalformedError, ProofError
from evidence_store.identifiers import Ern, KeyId
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.control import CONTROL_LEAF, ControlEntry
from evidence_store.ledger.event import ITEM_KEY_BYTES, Event, SignedEvent, leaf
from evidence_store.ledger.merkle import HASH_BYTES, verify_consistency
from evidence_store.ledger.note import Note, from_base64
from evidence_store.ledger.policy import Policy, Sealed
from evidence_store.ledger.proof import LogProof
from evidence_store.package import layout
from evidence_store.package.bag import BagReader


class Outcome(StrEnum):
    """The answer to a question."""

    PROVED = "proved"
    REFUTED = "refuted"
    NOT_SHOWN = "not_shown"


class Question(StrEnum):
    """What is asked of a package."""

    BAG = "is the bag complete and unchanged?"
    POLICY = "who says which log is trusted?"
    KEYS = "were the signing keys registered in the log?"
    CHECKPOINT = "is the checkpoint signed, sealed and consistent with the newest?"
    SIGNATURE = "did the authority sign the event?"
    INCLUSION = "was the event in the log?"
    CHAIN = "is the item's chain of events unbroken and closed?"
    DISCLOSURE = "do the disclosures belong to the event?"
    TIME = "between which times was the event recorded?"
    CONTENT = "are the bytes those that were measured?"
    STAMP = "does a time-stamp authority confirm the checkpoint?"
    CUSTODY = "does the history of custody have gaps?"


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer: to which question, about what, and in words."""

    question: Question
    outcome: Outcome
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """All answers, and the histories of the items as the package tells them."""

    findings: tuple[Finding, ...]
    histories: Mapping[Ern, History] = field(default_factory=dict)

    @property
    def verifies(self) -> bool:
        """Whether nothing is refuted, and there is something that is proved."""
        outcomes = {finding.outcome for finding in self.findings}
        return Outcome.REFUTED not in outcomes and Outcome.PROVED in outcomes


LIMITS = (
    "It is proved who signed and that nothing was changed or taken out; not that what was stated is true.",
    "An act that nobody recorded leaves no trace here.",
    "That a key was used by the person who should use it is outside of this proof.",
)

Stamps = Callable[[bytes, bytes, bytes], datetime]
"""Checks an RFC 3161 answer over content under roots; the time it confirms. Raises ProofError."""


def verify_package(bag: BagReader, policy: Policy | None, stamps: Stamps | None = None) -> Report:
    """Every finding about a package. Never raises for what the package holds."""
    return _Verifier(bag, stamps).run(policy)


@dataclass(frozen=True, slots=True)
class _Key:
    public: bytes
    from_index: int
    to_index: int | None = None

    def counts_at(self, index: int) -> bool:
        return self.from_index < index and (self.to_index is None or index < self.to_index)


class _Verifier:
    def __init__(self, bag: BagReader, stamps: Stamps | None) -> None:
        self._bag = bag
        self._stamps = stamps
        self._findings: list[Finding] = []
        self._histories: dict[Ern, History] = {}
        self._keys: dict[KeyId, _Key] = {}
        self._newest: Checkpoint | None = None
        self._stamped: dict[int, datetime] = {}

    def run(self, policy: Policy | None) -> Report:
        self._check_bag()
        chosen = self._policy(policy)
        if chosen is not None:
            self._check_checkpoints(chosen)
            self._check_stamps()
            self._check_keys(chosen)
            erns = sorted({each.split("/")[2] for each in self._bag.under(layout.ITEMS)})
            if not erns:
                self._say(Question.CHAIN, Outcome.REFUTED, "package", "it holds no item")
            for text in erns:
                self._check_item(chosen, text)
        return Report(tuple(self._findings), self._histories)

    def _say(self, question: Question, outcome: Outcome, subject: str, detail: str) -> None:
        self._findings.append(Finding(question, outcome, subject, detail))

    def _ask(self, question: Question, subject: str, answer: Callable[[], str | None]) -> bool:
        """Ask: what is returned is proved, what is raised refutes; None was said already."""
        try:
            detail = answer()
        except (EvidenceError, ValueError) as error:
            self._say(question, Outcome.REFUTED, subject, str(error))
            return False
        if detail is not None:
            self._say(question, Outcome.PROVED, subject, detail)
        return True

    def _check_bag(self) -> None:
        problems = list(self._bag.problems())
        for name, problem in problems:
            self._say(Question.BAG, Outcome.REFUTED, name, problem)
        if not problems:
            detail = f"{len(self._bag.names)} files are what the manifests say"
            self._say(Question.BAG, Outcome.PROVED, "package", detail)

    def _policy(self, own: Policy | None) -> Policy | None:
        if own is not None:
            self._say(Question.POLICY, Outcome.PROVED, "policy", "you: it was given by you")
            return own
        try:
            found = Policy.parse(self._bag.text(layout.POLICY))
        except EvidenceError as error:
            self._say(Question.POLICY, Outcome.REFUTED, "policy", str(error))
            return None
        detail = (
            "the package itself; bring a policy of your own to know that the log is the right one"
        )
        self._say(Question.POLICY, Outcome.NOT_SHOWN, "policy", detail)
        return found

    # ------------------------------------------------------------------ checkpoints

    def _check_checkpoints(self, policy: Policy) -> None:
        sealed: dict[int, Sealed] = {}
        for path in self._bag.under(layout.CHECKPOINTS):
            if path.endswith(".note"):
                self._ask(Question.CHECKPOINT, path, partial(self._read, policy, path, sealed))
        if not sealed:
            self._say(
                Question.CHECKPOINT, Outcome.REFUTED, "package", "it has no sealed checkpoint"
            )
            return
        newest = sealed[max(sealed)].checkpoint
        self._newest = newest
        for size, each in sorted(sealed.items()):
            if size != newest.size:
                self._ask(
                    Question.CHECKPOINT,
                    f"size {size}",
                    partial(self._consistent, each.checkpoint, newest),
                )

    def _read(self, policy: Policy, path: str, sealed: dict[int, Sealed]) -> str:
        found = policy.checked(Note.parse(self._bag.read(path)))
        size = found.checkpoint.size
        if path != layout.checkpoint_path(size):
            raise ProofError(f"it is of size {size}")
        sealed[size] = found
        witnesses = ", ".join(sorted(found.cosigned)) or "no witness"
        return f"size {size}, signed by {found.checkpoint.origin}; cosigned by {witnesses}"

    def _consistent(self, one: Checkpoint, newest: Checkpoint) -> str:
        path = layout.consistency_path(one.size, newest.size)
        proof = [from_base64(line, "consistency") for line in self._bag.text(path).splitlines()]
        verify_consistency(one.size, newest.size, one.root, newest.root, proof)
        return f"it is the beginning of the newest, of size {newest.size}"

    def _check_stamps(self) -> None:
        for path in self._bag.under(layout.TIMESTAMPS):
            if not path.endswith(".tsr"):
                continue
            if self._stamps is None:
                self._say(Question.STAMP, Outcome.NOT_SHOWN, path, "this verifier checks no stamps")
            else:
                self._ask(Question.STAMP, path, partial(self._stamp, path))

    def _stamp(self, path: str) -> str:
        size, authority = path.rsplit("/", 1)[1].removesuffix(".tsr").split("-", 1)
        note = self._bag.read(layout.checkpoint_path(int(size)))
        roots = self._bag.read(f"{layout.TIMESTAMPS}/{authority}.pem")
        if self._stamps is None:
            raise ProofError("nothing checks it")
        at = self._stamps(self._bag.read(path), note, roots)
        known = self._stamped.get(int(size))
        self._stamped[int(size)] = at if known is None else min(known, at)
        return f"{authority} confirms it on {at.isoformat()} (its root comes with the package)"

    # ------------------------------------------------------------------------- keys

    def _check_keys(self, policy: Policy) -> None:
        entries: dict[int, ControlEntry] = {}
        for path in self._bag.under(layout.CONTROL):
            if path.endswith(".json"):
                self._ask(Question.KEYS, path, partial(self._entry, policy, path, entries))
        genesis = entries.get(0)
        if genesis is None or genesis.kind != "genesis":
            self._say(Question.KEYS, Outcome.REFUTED, "genesis", "the log's first entry is missing")
            return
        for index, entry in sorted(entries.items()):
            self._ask(
                Question.KEYS,
                f"entry {index}",
                partial(self._key, genesis, index, entry),
            )

    def _entry(self, policy: Policy, path: str, entries: dict[int, ControlEntry]) -> None:
        content = CONTROL_LEAF + self._bag.read(path)
        proof = LogProof.parse(self._bag.read(path.removesuffix("json") + "tlog-proof"))
        sealed = proof.verify(content, policy)
        entry = ControlEntry.parse(content)
        if entry.body.get("log") != sealed.checkpoint.origin:
            raise ProofError("it is of another log")
        if path != layout.control_path(proof.index, "json"):
            raise ProofError(f"it is at {proof.index} in the log")
        entries[proof.index] = entry

    def _key(self, genesis: ControlEntry, index: int, entry: ControlEntry) -> str:
        entry.verify(genesis.kid, genesis.public)
        if entry.kind == "revocation":
            key = self._keys.get(entry.kid)
            if key is None:
                raise ProofError(f"it revokes {entry.kid}, of which no registration is here")
            self._keys[entry.kid] = _Key(key.public, key.from_index, entry.from_index)
            return f"{entry.kid} does not count from {entry.from_index} on"
        entry.verify(entry.kid, entry.public)
        self._keys[entry.kid] = _Key(entry.public, index)
        return f"{entry.kid} is registered at {index}"

    # ------------------------------------------------------------------------ items

    def _check_item(self, policy: Policy, text: str) -> None:
        try:
            ern = Ern.parse(text)
            item_key = bytes.fromhex(self._bag.text(layout.key_path(ern)).strip())
            if len(item_key) != ITEM_KEY_BYTES:
                raise MalformedError("item key: expected 32 bytes")
            events = list(self._events(ern))
        except (EvidenceError, ValueError) as error:
            self._say(Question.CHAIN, Outcome.REFUTED, text, str(error))
            return
        for number, signed in events:
            subject = f"{ern} event {number}"
            self._ask(
                Question.SIGNATURE,
                subject,
                partial(self._signed, policy, ern, item_key, number, signed),
            )
            self._ask(Question.DISCLOSURE, subject, partial(_disclosed, signed))
        self._ask(Question.CHAIN, str(ern), partial(_chained, ern, events))
        self._check_content(ern, events)
        self._check_custody(ern, events)

    def _events(self, ern: Ern) -> Iterator[tuple[int, SignedEvent]]:
        for path in self._bag.under(f"{layout.ITEMS}/{ern}/events"):
            if path.endswith(".json"):
                stem = path.removesuffix("json")
                disclosed = stem + "disclosed"
                lines = self._bag.text(disclosed).split() if disclosed in self._bag.names else []
                signature = self._bag.read(stem + "sig")
                number = int(stem.rsplit("/", 1)[1].rstrip("."))
                yield number, SignedEvent(self._bag.read(path), signature, tuple(lines))

    def _signed(
        self, policy: Policy, ern: Ern, item_key: bytes, number: int, signed: SignedEvent
    ) -> str:
        event = signed.event
        proof = LogProof.parse(self._bag.read(layout.event_path(ern, number, "tlog-proof")))
        key = self._keys.get(event.by)
        if key is None:
            raise ProofError(f"no registration of {event.by} is here")
        signed.verify_signature(key.public)
        if not key.counts_at(proof.index):
            raise ProofError(f"{event.by} does not count at {proof.index}, where the event is")
        self._ask(
            Question.INCLUSION,
            f"{ern} event {number}",
            partial(self._included, policy, item_key, event, signed, proof),
        )
        return f"{event.by} signed it"

    def _included(
        self, policy: Policy, item_key: bytes, event: Event, signed: SignedEvent, proof: LogProof
    ) -> str:
        sealed = proof.verify(leaf(item_key, event.seq, signed.commitment), policy)
        if event.log != sealed.checkpoint.origin:
            raise ProofError("the event is of another log")
        if layout.checkpoint_path(sealed.checkpoint.size) not in self._bag.names:
            raise ProofError("the checkpoint of the proof is not in the package")
        self._time(event, proof.index, sealed)
        return f"it is entry {proof.index} of {sealed.checkpoint.size}"

    def _time(self, event: Event, index: int, sealed: Sealed) -> None:
        subject = f"{event.item} event {event.seq}"
        anchor = event.anchor
        if anchor is not None and anchor.size > index:
            detail = f"its anchor is of size {anchor.size}, after its own place {index}"
            self._say(Question.TIME, Outcome.REFUTED, subject, detail)
            return
        latest = [datetime.fromtimestamp(at, UTC) for at in sealed.cosigned.values()]
        # A later checkpoint was shown to hold this one: a stamp on it bounds both.
        latest += [at for size, at in self._stamped.items() if size >= sealed.checkpoint.size]
        since = "any time" if anchor is None else f"the checkpoint of size {anchor.size}"
        if latest:
            detail = (
                f"after {since}, before {min(latest).isoformat()}; it says {event.at.isoformat()}"
            )
            self._say(Question.TIME, Outcome.PROVED, subject, detail)
        else:
            detail = f"no witness or time-stamp bounds it; it says {event.at.isoformat()}"
            self._say(Question.TIME, Outcome.NOT_SHOWN, subject, detail)

    def _check_content(self, ern: Ern, events: Sequence[tuple[int, SignedEvent]]) -> None:
        known = _measured(events)
        for path in self._bag.under(f"{layout.ITEMS}/{ern}/versions"):
            self._ask(Question.CONTENT, path, partial(self._matched, ern, path, known))

    def _matched(self, ern: Ern, path: str, known: Mapping[int, "_Known"]) -> str:
        fingerprinter = Fingerprinter()
        for chunk in self._bag.chunks(path):
            fingerprinter.update(chunk)
        found = fingerprinter.result()
        number = int(path.rsplit("/", 1)[1].split("-", 1)[0])
        version = known.get(number)
        if version is None or found.sha256 != version.sha256:
            raise ProofError(f"the bytes are not those measured of version {number} of {ern}")
        return f"{version.named(ern)}, {found.size_bytes} bytes, sha256 {found.sha256.hex}"

    def _check_custody(self, ern: Ern, events: Sequence[tuple[int, SignedEvent]]) -> None:
        try:
            found = history([Act.of(signed) for _, signed in events])
        except EvidenceError as error:
            self._say(Question.CUSTODY, Outcome.NOT_SHOWN, str(ern), str(error))
            return
        self._histories[ern] = found
        for gap in found.gaps:
            detail = f"event {gap.seq}: {gap.kind}: {gap.detail}"
            self._say(Question.CUSTODY, Outcome.NOT_SHOWN, str(ern), detail)
        if not found.gaps:
            self._say(Question.CUSTODY, Outcome.PROVED, str(ern), "no gaps are recorded")


@dataclass(frozen=True, slots=True)
class _Known:
    number: int
    sha256: Digest
    kind: str
    ordinal: int

    def named(self, ern: Ern) -> str:
        if self.kind == "original":
            return f"original of {ern}"
        return f"{self.kind.replace('_', ' ')} version {self.kind[0].upper()}{self.ordinal:02d} of {ern}"


def _measured(events: Sequence[tuple[int, SignedEvent]]) -> dict[int, _Known]:
    """The versions by number, as the events that brought them measured them."""
    found: dict[int, _Known] = {}
    for _, signed in events:
        event = signed.event
        measured = event.data.get("measured")
        if event.act not in {"registered", "version_added"} or not isinstance(measured, list):
            continue
        kind = str(event.data.get("type", "original"))
        for each in measured:
            if isinstance(each, dict) and isinstance(each.get("version"), int):
                number = int(str(each["version"]))
                ordinal = 1 + sum(known.kind == kind for known in found.values())
                digest = Digest.sha256_hex(str(each.get("sha256")))
                found.setdefault(number, _Known(number, digest, kind, ordinal))
    return found


def _disclosed(signed: SignedEvent) -> str:
    found = signed.disclosed()
    withheld = len(signed.event.sd) - len(found)
    return f"{len(found)} fields disclosed, {withheld} withheld"


def _chained(ern: Ern, events: Sequence[tuple[int, SignedEvent]]) -> str:
    head: bytes | None = None
    last = ""
    for seq, (number, signed) in enumerate(events, start=1):
        event = signed.event
        if (event.item, event.seq, number) != (ern, seq, seq) or event.prev != head:
            raise ProofError(f"gap in the item's chain before event {event.seq}")
        head, last = signed.commitment, event.act
    if last != "exported":
        raise ProofError("the chain is not closed by the event of its export: the end is missing")
    return f"{len(events)} events, the last one closes it"


def about(bag: BagReader) -> Mapping[str, object]:
    """What the package says of itself; not believed.

    Raises:
        MalformedError: if it says nothing of this format.
    """
    try:
        found = json.loads(bag.text(layout.ABOUT))
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != layout.FORMAT:
        raise MalformedError(f"package: expected the format {layout.FORMAT}")
    return found


def encoded_hashes(hashes: Sequence[bytes]) -> bytes:
    """Hashes as a proof of consistency lists them."""
    if any(len(each) != HASH_BYTES for each in hashes):
        raise MalformedError("consistency: expected hashes of 32 bytes")
    return "".join(f"{base64.b64encode(each).decode()}\n" for each in hashes).encode()
