"""A witness (C2SP tlog-witness): cosigns what continues the largest tree of a log that it saw.

It proves that a log only grew; never that what is in it is true, or complete. The state is a
port, because everything rests on it: a witness that forgets cosigns a fork. Times are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from evidence_store.errors import MalformedError, ProofError, UnavailableError
from evidence_store.ledger.add_checkpoint import AddCheckpoint, Answer, Cosigned, Refusal, Refused
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.merkle import EMPTY_ROOT, verify_consistency
from evidence_store.ledger.note import Note
from evidence_store.ledger.policy import Policy
from evidence_store.ledger.signing import Signer

ATTEMPTS = 16


@dataclass(frozen=True, slots=True)
class Seen:
    """The largest state of a log that a witness cosigned: the cosigned note, and when (POSIX)."""

    checkpoint: Checkpoint
    note: Note
    at: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A refused request that the log validly signed: what it can be confronted with."""

    checkpoint: Checkpoint
    reason: Refusal
    request: bytes
    at: datetime


class WitnessState(Protocol):
    """What a witness must never forget. Safe from several threads and processes at once."""

    def latest(self, origin: str) -> Seen | None:
        """What was cosigned last of this log.

        Raises:
            LedgerAlteredError: if the record disagrees with itself.
            UnavailableError: if the state cannot be read now.
        """
        ...

    def advance(self, seen: Seen, *, from_size: int) -> bool:
        """Remember `seen`, if `from_size` is still the last size (0 if there is none).

        One atomic step, durable when it returns. False, and nothing is changed, if somebody was
        faster, if the size would shrink or keep its number with another root, or time go back.

        Raises:
            UnavailableError: nothing may be relied on; do not answer with a cosignature.
        """
        ...

    def keep_refused(self, kept: Kept) -> None:
        """Keep a refused request, durably; the first for each reason and head.

        Bounded for each log and reason: its first lies prove enough, and must not fill the disk.

        Raises:
            UnavailableError: if it cannot be kept.
        """
        ...

    def refused(self) -> Sequence[Kept]:
        """What was kept, oldest first.

        Raises:
            UnavailableError: if the state cannot be read now.
        """
        ...

    def origins(self) -> Sequence[str]:
        """The logs of which something was cosigned.

        Raises:
            UnavailableError: if the state cannot be read now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness: the logs it knows, the keys it cosigns with, and what it remembers.

    Only the logs of the policy count. Every key that it names for a log must have signed.
    """

    logs: Policy
    signers: Sequence[Signer]
    state: WitnessState

    def add_checkpoint(self, body: bytes, now: datetime) -> Answer:
        """Decide on a request, and cosign it if it continues what was seen.

        What was cosigned is remembered before it is answered: after a crash in between, the
        witness knows of a state that it told nobody of, never the other way round.

        Raises:
            LedgerAlteredError, UnavailableError: the state cannot be relied on; nothing is cosigned.
        """
        try:
            request = AddCheckpoint.parse(body)
        except MalformedError as error:
            return Refused(Refusal.MALFORMED, str(error))
        origin = request.checkpoint.origin
        if all(key.name != origin for key in self.logs.logs):
            return Refused(Refusal.UNKNOWN_LOG, "this witness does not know the log")
        try:
            self.logs.checked(request.note)
        except ProofError as error:
            return Refused(Refusal.UNTRUSTED, str(error))
        for _ in range(ATTEMPTS):
            seen = self.state.latest(origin)
            refused = _refusal(request, seen)
            if refused is not None:
                self._keep(request, seen, refused, body, now)
                return refused
            at = max(int(now.timestamp()), seen.at if seen else 0)  # time never goes back
            cosigned = Cosigned(tuple(each.sign(request.checkpoint, at) for each in self.signers))
            note = self._trusted_lines(request.note).with_signatures(cosigned.signatures)
            if self.state.advance(Seen(request.checkpoint, note, at), from_size=request.old_size):
                return cosigned
            # Somebody was faster: what was signed here goes nowhere, and is decided anew.
        raise UnavailableError("witness: too many requests for one log at once; ask again")

    def _trusted_lines(self, note: Note) -> Note:
        """The note without lines that nobody verified."""
        lines = (each for each in note.signatures if any(map(each.is_by, self.logs.logs)))
        return Note(note.text, tuple(dict.fromkeys(lines)))

    def _keep(
        self,
        request: AddCheckpoint,
        seen: Seen | None,
        refused: Refused,
        body: bytes,
        now: datetime,
    ) -> None:
        reason = Refusal.FORK if _forks(request.checkpoint, seen) else refused.reason
        if reason is not Refusal.STALE:  # which proves nothing: requests cross
            self.state.keep_refused(Kept(request.checkpoint, reason, body, now))


def _refusal(request: AddCheckpoint, seen: Seen | None) -> Refused | None:
    size, root = (seen.checkpoint.size, seen.checkpoint.root) if seen else (0, EMPTY_ROOT)
    if request.old_size != size:
        return Refused(Refusal.STALE, f"this witness saw {size} entries", size)
    if _forks(request.checkpoint, seen):
        return Refused(Refusal.FORK, f"this witness saw another root of {size} entries")
    new = request.checkpoint
    try:
        verify_consistency(size, new.size, root, new.root, request.proof)
    except ProofError as error:
        return Refused(Refusal.INCONSISTENT, str(error))
    return None


def _forks(new: Checkpoint, seen: Seen | None) -> bool:
    return seen is not None and seen.checkpoint.size == new.size and seen.checkpoint != new
