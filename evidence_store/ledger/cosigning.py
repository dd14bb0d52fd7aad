"""The log's half of C2SP tlog-witness: what to ask a witness, and what to make of its answer.

A witness is not trusted: a cosignature counts when it verifies, and an alarm carries the
checkpoint that proves it wherever the witness shows one. `WitnessLink` is the way to it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from evidence_store.errors import LedgerAlteredError, MalformedError, ProofError, UnavailableError
from evidence_store.ledger.add_checkpoint import AddCheckpoint, Answer, Cosigned, Refusal, Refused
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.merkle import verify_consistency
from evidence_store.ledger.note import Note, Signature
from evidence_store.ledger.policy import NONE, Policy, Witness
from evidence_store.ledger.signing import verified_by

ATTEMPTS = 3  # with no known size, with the one it says, and once more if requests cross

Consistency = Callable[[int], Sequence[bytes]]
"""The proof that this many entries are the beginning of the checkpoint's tree."""


class AlarmKind(StrEnum):
    """What a witness's refusal says about this log."""

    FORK = "fork"
    """The witness saw entries that are not those of this log: there are two histories."""
    ROLLED_BACK = "rolled back"
    """The witness saw a larger log than this one: entries were lost, or a backup was restored."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What a witness's refusal says.

    `asked` is the checkpoint that it refused; `evidence` what it saw instead, signed by this
    log's own keys: with it, it is proved; without it, it is the witness's word.
    """

    kind: AlarmKind
    witness: str
    asked: Note
    evidence: Note | None


@dataclass(frozen=True, slots=True)
class Collected:
    """The note with what was cosigned, alarms, and by name why a witness did not cosign."""

    note: Note
    alarms: Sequence[Alarm]
    unreachable: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Known:
    """By witness, the log's largest checkpoint that it shows (None: it has seen none).

    Each is validly signed by the log's keys. `unreachable` says why others showed nothing.
    """

    notes: Mapping[str, Note | None]
    unreachable: Mapping[str, str]

    @property
    def size(self) -> int:
        """The largest size that any witness saw."""
        seen = (Checkpoint.of(each).size for each in self.notes.values() if each is not None)
        return max(seen, default=0)

    def insist_continued(self, size: int, root_at: Callable[[int], bytes]) -> None:
        """Insist that a log of this size holds everything that a witness saw.

        Raises:
            LedgerAlteredError: if it is smaller, or has another history.
        """
        for name, note in self.notes.items():
            if note is None:
                continue
            seen = Checkpoint.of(note)
            if seen.size > size:
                raise LedgerAlteredError(
                    f"ledger: expected the {seen.size} entries that the witness {name} saw, found "
                    f"{size}; the database was rolled back. Restore the newest backup, or run "
                    "`evidence rebuild`"
                )
            if root_at(seen.size) != seen.root:
                raise LedgerAlteredError(
                    f"ledger: the first {seen.size} entries are not those that the witness {name} "
                    "saw; the history was rewritten. Nothing may be signed over it"
                )


class WitnessLink(Protocol):
    """The way to one witness. Everything that it returns is untrusted, and bounded."""

    def add_checkpoint(self, request: AddCheckpoint) -> Answer:
        """Ask it to cosign.

        Raises:
            MalformedError, UnavailableError: if it gives no answer that can be read.
        """
        ...

    def latest(self, origin: str) -> Note | None:
        """What it cosigned last of this log, if anything.

        Raises:
            MalformedError, UnavailableError: if it gives no answer that can be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of asking a witness: cosignatures that verify, or an alarm."""

    signatures: Sequence[Signature] = ()
    alarm: Alarm | None = None


def request_for(policy: Policy, note: Note, old_size: int, proof: Sequence[bytes]) -> AddCheckpoint:
    """What to ask: the note with the log's signatures only, so that it stays small."""
    lines = tuple(each for each in note.signatures if any(map(each.is_by, policy.logs)))
    return AddCheckpoint(old_size, tuple(proof), Note(note.text, lines))


def checked_cosignatures(
    cosigned: Cosigned, note: Note, witnesses: Sequence[Witness]
) -> Sequence[Signature]:
    """Those of the answer's lines that are by these witnesses; others are left out.

    Raises:
        ProofError: if there are none, or one is bad.
    """
    answer = Note(note.text, cosigned.signatures)
    if not [each for each in witnesses if verified_by(answer, each.key) is not None]:
        raise ProofError("cosignatures: expected one by a key of the policy, found none")
    return [line for line in cosigned.signatures if any(line.is_by(each.key) for each in witnesses)]


def ask(
    link: WitnessLink,
    witnesses: Sequence[Witness],
    policy: Policy,
    note: Note,
    consistency: Consistency,
    *,
    likely: int = 0,
) -> Reply:
    """Ask one witness, which may cosign by several keys of the policy.

    `likely` is what it probably saw last; it says so itself if not.

    Raises:
        MalformedError, ProofError, UnavailableError: if it answered nothing that counts.
    """
    new = Checkpoint.of(note)
    old = min(likely, new.size)
    name = witnesses[0].name
    for _ in range(ATTEMPTS):
        proof = consistency(old) if 0 < old < new.size else ()
        match link.add_checkpoint(request_for(policy, note, old, proof)):
            case Cosigned() as cosigned:
                return Reply(checked_cosignatures(cosigned, note, witnesses))
            case Refused(reason=Refusal.STALE, size=int(size)) if size > new.size:
                return Reply(alarm=_rolled_back(link, name, policy, note, size))
            case Refused(reason=Refusal.STALE, size=int(size)) if size != old:
                old = size
            # Of the size that was asked for: how tlog-witness v1.0.0 says that the root is another.
            case Refused(reason=Refusal.FORK | Refusal.INCONSISTENT | Refusal.STALE):
                return Reply(alarm=_fork(link, name, policy, note, consistency))
            case Refused(reason=reason, detail=detail):
                raise ProofError(f"it does not cosign: {reason}: {detail}")
    raise UnavailableError("it saw another size each time; ask again")


def shown(link: WitnessLink, policy: Policy, origin: str) -> Note | None:
    """What a witness shows of this log, after insisting that the log signed it.

    Raises:
        MalformedError, ProofError, UnavailableError: if it shows nothing that counts.
    """
    note = link.latest(origin)
    if note is not None:
        if Checkpoint.of(note).origin != origin:
            raise ProofError("it shows a checkpoint of another log")
        # Its own signature does not matter here: the log's proves that there was such a state.
        Policy(policy.logs, {}, {}, NONE).checked(note)
    return note


def _rolled_back(link: WitnessLink, name: str, policy: Policy, note: Note, size: int) -> Alarm:
    """The alarm, if the witness shows the larger log.

    Raises:
        ProofError: if it does not: anybody can claim a number.
    """
    new = Checkpoint.of(note)
    evidence = shown(link, policy, new.origin)
    if evidence is None or Checkpoint.of(evidence).size <= new.size:
        raise ProofError(f"it claims that the log has {size} entries, and does not show it")
    return Alarm(AlarmKind.ROLLED_BACK, name, note, evidence)


def _fork(
    link: WitnessLink, name: str, policy: Policy, note: Note, consistency: Consistency
) -> Alarm:
    """The alarm, with what the witness saw instead, if it shows that.

    Raises:
        ProofError: if what it shows is the beginning of this log: then the witness is wrong.
    """
    new = Checkpoint.of(note)
    try:
        evidence = shown(link, policy, new.origin)
    except (MalformedError, ProofError, UnavailableError):
        evidence = None  # the alarm must not depend on it
    if evidence is not None and _continues(Checkpoint.of(evidence), new, consistency):
        raise ProofError("it refuses a proof that holds for what it shows")
    return Alarm(AlarmKind.FORK, name, note, evidence)


def _continues(seen: Checkpoint, new: Checkpoint, consistency: Consistency) -> bool:
    if seen.size > new.size:
        return False
    proof = consistency(seen.size) if 0 < seen.size < new.size else ()
    try:
        verify_consistency(seen.size, new.size, seen.root, new.root, proof)
    except ProofError:
        return False
    return True
