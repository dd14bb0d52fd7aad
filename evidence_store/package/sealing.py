"""The checkpoints of a package: sealed, all of one log, and what they bound in time.

Two roots for one size, both signed by the log, are a fork; so every proof is held to the
checkpoint of its size that is enclosed, and each of those to the newest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from evidence_store.custody.timeline import CLOCK_TOLERANCE
from evidence_store.errors import FixityError, ProofError
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.event import Anchor, Event
from evidence_store.ledger.merkle import leaf_hash, verify_consistency, verify_inclusion
from evidence_store.ledger.note import Note, from_base64
from evidence_store.ledger.policy import Policy, Sealed
from evidence_store.ledger.proof import LogProof
from evidence_store.package import layout
from evidence_store.package.bag import BagReader
from evidence_store.package.findings import Findings, Outcome, Question

Stamps = Callable[[bytes, bytes, bytes], datetime]
"""Checks an RFC 3161 answer over content under roots; the time it confirms. Raises ProofError."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A time, and who vouches for it."""

    at: datetime
    by: str

    def __str__(self) -> str:
        return f"{self.at.isoformat()} ({self.by})"


@dataclass(slots=True)
class Sealing:
    """What a package's checkpoints show. `check` first."""

    bag: BagReader
    policy: Policy
    findings: Findings
    _sealed: dict[int, Sealed] = field(default_factory=dict)
    _stamped: dict[int, Bound] = field(default_factory=dict)

    def check(self) -> None:
        """Every checkpoint: signed, sealed, and the beginning of the newest."""
        for path in self.bag.under(layout.CHECKPOINTS):
            if path.endswith(".note"):
                with self.findings.asking(Question.CHECKPOINT, path) as prove:
                    prove(self._read(path))
        if not self._sealed:
            detail = "it has no sealed checkpoint"
            self.findings.say(Question.CHECKPOINT, Outcome.REFUTED, "package", detail)
            return
        newest = self._sealed[max(self._sealed)].checkpoint
        for size in sorted(self._sealed.keys() - {newest.size}):
            with self.findings.asking(Question.CHECKPOINT, f"size {size}") as prove:
                self._check_consistency(self._sealed[size].checkpoint, newest)
                prove(f"it is the beginning of the newest, of size {newest.size}")

    def check_stamps(self, stamps: Stamps | None, roots: bytes | None) -> None:
        """Every time-stamp. Only under the court's own roots does one prove a time."""
        for path in self.bag.under(layout.TIMESTAMPS):
            if not path.endswith(".tsr"):
                continue
            if stamps is None:
                detail = "this verifier checks no stamps"
                self.findings.say(Question.STAMP, Outcome.NOT_SHOWN, path, detail)
                continue
            with self.findings.asking(Question.STAMP, path) as prove:
                confirmed = None if roots is None else self._confirmed(path, stamps, roots)
                if confirmed is None:
                    said = self._by_its_own_roots(path, stamps, brought=roots is not None)
                    self.findings.say(Question.STAMP, Outcome.NOT_SHOWN, path, said)
                else:
                    prove(confirmed)

    def included(self, entry: bytes, path: str) -> tuple[int, Sealed]:
        """Where the entry is, by the proof in this file, and the sealed checkpoint that holds it.

        Raises:
            ProofError: if it is not there, or the checkpoint is not the one enclosed.
            MalformedError: if the file is no proof.
        """
        proof = LogProof.parse(self.bag.read(path))
        checkpoint = Checkpoint.of(proof.note)
        enclosed = self._sealed.get(checkpoint.size)
        if enclosed is None:
            raise ProofError(
                f"expected the sealed checkpoint of size {checkpoint.size} in the package"
            )
        # Signatures of a note are costly: the same note was checked already.
        sealed = enclosed if proof.note == enclosed.note else self.policy.checked(proof.note)
        if sealed.checkpoint != enclosed.checkpoint:
            raise ProofError(f"two roots for the size {checkpoint.size}: the log was forked")
        hashed = leaf_hash(entry)
        verify_inclusion(hashed, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
        return proof.index, sealed

    def judge_time(self, event: Event, index: int, sealed: Sealed) -> None:
        """Between which times the event was recorded, and whether it says so itself."""
        subject = f"{event.item} event {event.seq}"
        with self.findings.asking(Question.TIME, subject) as prove:
            since = self._since(event.anchor, index)
            until = self._until(sealed)
            if since is not None and event.at < since.at - CLOCK_TOLERANCE:
                raise ProofError(
                    f"it says {event.at.isoformat()}, and holds what was there from {since} on: "
                    "its clock was wrong, or it was dated back"
                )
            if until is not None and event.at > until.at + CLOCK_TOLERANCE:
                raise ProofError(
                    f"it says {event.at.isoformat()}, and was in the log by {until}: "
                    "its clock was wrong, or it was dated forward"
                )
            said = f"it says {event.at.isoformat()}"
            if until is None:
                detail = f"no witness or time-stamp bounds it; {said}"
                self.findings.say(Question.TIME, Outcome.NOT_SHOWN, subject, detail)
            else:
                prove(f"after {since or 'a time that is not shown'}, before {until}; {said}")

    def _read(self, path: str) -> str:
        sealed = self.policy.checked(Note.parse(self.bag.read(path)))
        size = sealed.checkpoint.size
        if path != layout.checkpoint_path(size):
            raise ProofError(f"it is of size {size}")
        self._sealed[size] = sealed
        witnesses = ", ".join(sorted(sealed.cosigned)) or "no witness"
        return f"size {size}, signed by {sealed.checkpoint.origin}; cosigned by {witnesses}"

    def _check_consistency(self, one: Checkpoint, newest: Checkpoint) -> None:
        if one.origin != newest.origin:
            raise ProofError(f"it is of another log than the newest, which is of {newest.origin}")
        path = layout.consistency_path(one.size, newest.size)
        proof = [from_base64(line, "consistency") for line in self.bag.text(path).splitlines()]
        verify_consistency(one.size, newest.size, one.root, newest.root, proof)

    def _stamped_note(self, path: str) -> tuple[int, str, bytes]:
        size, authority = path.rsplit("/", 1)[1].removesuffix(".tsr").split("-", 1)
        return int(size), authority, self.bag.read(layout.checkpoint_path(int(size)))

    def _confirmed(self, path: str, stamps: Stamps, roots: bytes) -> str | None:
        """What the stamp confirms by the court's roots; None if it is by none of them."""
        size, authority, note = self._stamped_note(path)
        try:
            at = stamps(self.bag.read(path), note, roots)
        except (FixityError, ProofError):
            return None
        bound = Bound(at, f"{authority}, by your roots")
        known = self._stamped.setdefault(size, bound)
        if at < known.at:
            self._stamped[size] = bound
        return f"{authority} confirms it on {at.isoformat()}, by your roots"

    def _by_its_own_roots(self, path: str, stamps: Stamps, *, brought: bool) -> str:
        """What a stamp says on nobody's word but the package's.

        Raises:
            EvidenceError: if it does not hold even by these: it was damaged.
        """
        _, authority, note = self._stamped_note(path)
        roots = self.bag.read(f"{layout.TIMESTAMPS}/{authority}.pem")
        at = stamps(self.bag.read(path), note, roots)
        own = "it is by none of your roots" if brought else "bring roots of your own"
        return (
            f"{authority} says {at.isoformat()}, by a root that the package brought itself, which "
            f"proves nothing: {own}"
        )

    def _since(self, anchor: Anchor | None, index: int) -> Bound | None:
        """From when on the anchor was there; None if that is not shown."""
        if anchor is None:
            return None
        if anchor.size > index:
            raise ProofError(f"its anchor is of size {anchor.size}, after its own place {index}")
        sealed = self._sealed.get(anchor.size)
        if sealed is None:
            return None
        if sealed.checkpoint.root != anchor.root:
            raise ProofError(f"its anchor has another root of size {anchor.size} than the log")
        return _cosigned(sealed)

    def _until(self, sealed: Sealed) -> Bound | None:
        """By when the checkpoint was there; None if that is not shown."""
        found = [_cosigned(sealed)]
        # A later checkpoint was shown to hold this one: a stamp on it bounds both.
        found += [at for size, at in self._stamped.items() if size >= sealed.checkpoint.size]
        return min((each for each in found if each), key=lambda each: each.at, default=None)


def _cosigned(sealed: Sealed) -> Bound | None:
    times = [(at, name) for name, at in sealed.cosigned.items()]
    if not times:
        return None
    at, name = min(times)
    return Bound(datetime.fromtimestamp(at, UTC), f"witness {name}")
