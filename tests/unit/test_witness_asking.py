"""The log's half: what it makes of what witnesses answer, be they honest, broken or lying."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from evidence_store.errors import LedgerAlteredError, ProofError, UnavailableError
from evidence_store.ledger.add_checkpoint import AddCheckpoint, Answer, Cosigned, Refusal, Refused
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.cosigning import (
    AlarmKind,
    Known,
    Reply,
    WitnessLink,
    ask,
    request_for,
    shown,
)
from evidence_store.ledger.note import Note
from evidence_store.ledger.policy import NONE, Policy
from evidence_store.ledger.signing import verified_by
from storage.ledger.witness_state import SqliteWitnessState
from tests.witnesses import (
    NOW,
    ORIGIN,
    WITNESS,
    NearWitness,
    WitnessedLog,
    witness_of,
    witness_signers,
)

LOG = WitnessedLog(300)
REWRITTEN = WitnessedLog(300, b"false")
POLICY = LOG.watched_by("http://witness.invalid")
WITNESSES = list(POLICY.witnesses.values())


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[NearWitness]:
    state = SqliteWitnessState.create(tmp_path / "witness.db", WITNESS)
    yield NearWitness(witness_of(LOG, state))
    state.close()


def asked(link: WitnessLink, size: int = 300, *, log: WitnessedLog = LOG, likely: int = 0) -> Reply:
    def consistency(old: int) -> Sequence[bytes]:
        return log.tree.consistency(old, size)

    return ask(link, WITNESSES, POLICY, log.note(size), consistency, likely=likely)


@dataclass
class Scripted:
    """Implements `WitnessLink`: whatever the test wants."""

    answers: list[Answer] = field(default_factory=list)
    shows: Note | None = None

    def add_checkpoint(self, request: AddCheckpoint) -> Answer:  # noqa: ARG002 - it does not care
        return self.answers.pop(0)

    def latest(self, origin: str) -> Note | None:  # noqa: ARG002
        return self.shows


def test_a_new_witness_is_asked_once(witness: NearWitness) -> None:
    reply = asked(witness)
    note = LOG.note().with_signatures(reply.signatures)
    assert all(verified_by(note, each.key) for each in WITNESSES)
    assert len(witness.asked) == 1


def test_a_witness_that_saw_a_beginning_is_given_the_proof_from_there(witness: NearWitness) -> None:
    asked(witness, 100)
    assert len(asked(witness, 300).signatures) == 2
    assert [each.old_size for each in witness.asked] == [0, 0, 100]


@pytest.mark.parametrize(("likely", "requests"), [(100, 1), (50, 2), (500, 2)])
def test_a_good_guess_saves_a_round_trip(witness: NearWitness, likely: int, requests: int) -> None:
    asked(witness, 100)
    witness.asked.clear()
    assert len(asked(witness, 300, likely=likely).signatures) == 2
    assert len(witness.asked) == requests


def test_the_same_checkpoint_is_cosigned_again(witness: NearWitness) -> None:
    asked(witness)
    assert len(asked(witness, likely=300).signatures) == 2


def test_only_the_logs_own_lines_are_sent() -> None:
    checkpoint = Checkpoint.of(LOG.note())
    note = LOG.note().with_signatures([each.sign(checkpoint, 1) for each in witness_signers()])
    assert request_for(POLICY, note, 0, ()).note == LOG.note()


def test_a_log_that_was_rewritten_raises_the_alarm_with_what_the_witness_saw(
    witness: NearWitness,
) -> None:
    asked(witness, 200)
    alarm = asked(witness, log=REWRITTEN).alarm
    assert alarm is not None
    assert (alarm.kind, alarm.asked) == (AlarmKind.FORK, REWRITTEN.note())
    assert alarm.evidence is not None
    assert Checkpoint.of(alarm.evidence) == Checkpoint.of(LOG.note(200))


def test_two_roots_of_one_size_raise_the_alarm(witness: NearWitness) -> None:
    asked(witness)
    alarm = asked(witness, log=REWRITTEN).alarm
    assert alarm is not None
    assert alarm.kind is AlarmKind.FORK


def test_a_conflict_of_the_size_that_was_named_is_a_fork_as_in_the_first_version(
    witness: NearWitness,
) -> None:
    asked(witness)
    link = Scripted([Refused(Refusal.STALE, "", 300)], REWRITTEN.note())
    alarm = asked(link, likely=300).alarm
    assert alarm is not None
    assert alarm.kind is AlarmKind.FORK


def test_a_witness_that_saw_more_raises_the_alarm_with_the_proof(witness: NearWitness) -> None:
    asked(witness, 300)
    alarm = asked(witness, 200).alarm
    assert alarm is not None
    assert alarm.kind is AlarmKind.ROLLED_BACK
    assert alarm.evidence is not None
    assert Checkpoint.of(alarm.evidence) == Checkpoint.of(LOG.note())


@pytest.mark.parametrize(
    "shows",
    [
        None,
        LOG.note(200),
        Note(LOG.note(300).text, LOG.note(300).signatures[:1]),
        WitnessedLog(300, origin="log.invalid/other").note(),
    ],
)
def test_a_claim_to_have_seen_more_without_showing_it_is_no_alarm(shows: Note | None) -> None:
    link = Scripted([Refused(Refusal.STALE, "", 300)], shows)
    with pytest.raises(ProofError):
        asked(link, 200)


def test_a_refusal_of_a_proof_that_holds_is_the_witnesss_fault() -> None:
    with pytest.raises(ProofError):
        asked(Scripted([Refused(Refusal.INCONSISTENT, "")], LOG.note(100)))


def test_a_refusal_without_anything_to_show_is_an_alarm_all_the_same() -> None:
    for shows in (None, Note(LOG.note().text, LOG.note().signatures[:1])):
        alarm = asked(Scripted([Refused(Refusal.INCONSISTENT, "")], shows)).alarm
        assert alarm is not None
        assert (alarm.kind, alarm.evidence) == (AlarmKind.FORK, None)


@pytest.mark.parametrize("reason", [Refusal.MALFORMED, Refusal.UNKNOWN_LOG, Refusal.UNTRUSTED])
def test_any_other_refusal_is_said(reason: Refusal) -> None:
    with pytest.raises(ProofError, match=str(reason)):
        asked(Scripted([Refused(reason, "")]))


def test_a_witness_that_saw_another_size_each_time_is_given_up() -> None:
    answers: list[Answer] = [Refused(Refusal.STALE, "", size) for size in range(1, 9)]
    with pytest.raises(UnavailableError):
        asked(Scripted(answers))
    assert answers != []


def by(name: str, size: int = 300, log: WitnessedLog = LOG) -> Cosigned:
    checkpoint = Checkpoint.of(log.note(size))
    return Cosigned(tuple(each.sign(checkpoint, 7) for each in witness_signers(name)))


def flipped(answer: Cosigned) -> Cosigned:
    first = answer.signatures[0]
    return Cosigned((replace(first, value=first.value[:-1] + bytes([first.value[-1] ^ 1])),))


@pytest.mark.parametrize(
    "answer",
    [
        lambda: by("stranger.invalid/w"),
        lambda: by(WITNESS, 299),
        lambda: by(WITNESS, log=REWRITTEN),
        lambda: flipped(by(WITNESS)),
        lambda: Cosigned((by(WITNESS).signatures[0], *flipped(by(WITNESS)).signatures)),
    ],
    ids=["a stranger's", "another size's", "another root's", "bad", "good and bad"],
)
def test_a_cosignature_that_does_not_verify_does_not_count(
    answer: Callable[[], Cosigned],
) -> None:
    with pytest.raises(ProofError):
        asked(Scripted([answer()]))


def test_lines_of_strangers_are_left_out() -> None:
    stranger, own = by("stranger.invalid/w"), by(WITNESS)
    reply = asked(Scripted([Cosigned((*stranger.signatures, *own.signatures))]))
    assert tuple(reply.signatures) == own.signatures


def test_what_a_witness_shows_must_be_signed_by_the_log(witness: NearWitness) -> None:
    assert shown(witness, POLICY, ORIGIN) is None
    witness.cosigner.add_checkpoint(LOG.request(0, 9), NOW)
    note = shown(witness, POLICY, ORIGIN)
    assert note is not None
    assert Checkpoint.of(note).size == 9
    with pytest.raises(ProofError):
        shown(Scripted(shows=Note(note.text, note.signatures[1:])), POLICY, ORIGIN)


def test_what_a_witness_shows_of_another_log_says_nothing_of_this_one() -> None:
    other = WitnessedLog(5, origin="log.invalid/other")
    both = Policy({**POLICY.logs, **other.policy.logs}, {}, {}, NONE)
    with pytest.raises(ProofError):
        shown(Scripted(shows=other.note()), both, ORIGIN)


def test_a_log_that_holds_all_that_was_seen_may_run() -> None:
    known = Known({"a": LOG.note(9), "b": LOG.note(200), "c": None}, {"d": "silent"})
    assert known.size == 200
    known.insist_continued(200, LOG.tree.root_at)
    known.insist_continued(300, LOG.tree.root_at)
    Known({}, {}).insist_continued(0, LOG.tree.root_at)


def test_a_log_that_was_rolled_back_must_not_run() -> None:
    with pytest.raises(LedgerAlteredError):
        Known({"a": LOG.note(9), "b": LOG.note(200)}, {}).insist_continued(199, LOG.tree.root_at)


def test_a_log_that_was_rewritten_must_not_run() -> None:
    known = Known({"a": LOG.note(200)}, {})
    with pytest.raises(LedgerAlteredError):
        known.insist_continued(300, REWRITTEN.tree.root_at)
