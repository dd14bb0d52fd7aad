"""The table of tlog-witness: what a witness cosigns, what it refuses, and what it keeps."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence_store.errors import MalformedError, UnavailableError
from evidence_store.ledger.add_checkpoint import (
    HASHES_MAX,
    REQUEST_BYTES_MAX,
    AddCheckpoint,
    Answer,
    Cosigned,
    Refusal,
    Refused,
)
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.note import Note
from evidence_store.ledger.signing import verified_by
from evidence_store.ledger.witness import Cosigner, Seen
from storage.ledger.witness_state import SqliteWitnessState
from tests.signing import HeldKeys
from tests.witnesses import NOW, ORIGIN, WITNESS, WitnessedLog, witness_of, witness_signers

LOG = WitnessedLog(300)
REWRITTEN = WitnessedLog(300, b"false")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqliteWitnessState]:
    made = SqliteWitnessState.create(tmp_path / "witness.db", WITNESS)
    yield made
    made.close()


@pytest.fixture
def witness(state: SqliteWitnessState) -> Cosigner:
    return witness_of(LOG, state)


def seen_size(witness: Cosigner) -> int | None:
    seen = witness.state.latest(ORIGIN)
    return None if seen is None else seen.checkpoint.size


def reason(answer: Answer) -> Refusal:
    assert isinstance(answer, Refused)
    return answer.reason


def kept(witness: Cosigner) -> list[tuple[Refusal, int]]:
    return [(each.reason, each.checkpoint.size) for each in witness.state.refused()]


def test_the_first_checkpoint_of_a_known_log_is_cosigned_by_both_keys(witness: Cosigner) -> None:
    answer = witness.add_checkpoint(LOG.request(0, 100), NOW)
    assert isinstance(answer, Cosigned)
    note = Note(LOG.note(100).text, answer.signatures)
    times = [verified_by(note, each.key) for each in witness_signers()]
    assert times == [int(NOW.timestamp())] * 2
    assert seen_size(witness) == 100


def test_a_continuation_is_cosigned(witness: Cosigner) -> None:
    for old, size in ((0, 1), (1, 100), (100, 256), (256, 300), (300, 300)):
        assert isinstance(witness.add_checkpoint(LOG.request(old, size), NOW), Cosigned)
        assert seen_size(witness) == size
    assert kept(witness) == []


def test_what_is_remembered_carries_the_logs_and_the_witnesss_signatures_and_no_others(
    witness: Cosigner,
) -> None:
    stranger = witness_signers("stranger.invalid/w")[0]
    note = LOG.note().with_signatures([stranger.sign(Checkpoint.of(LOG.note()), 1)])
    witness.add_checkpoint(AddCheckpoint(0, (), note).encode(), NOW)
    seen = witness.state.latest(ORIGIN)
    assert seen is not None
    keys = [each.key for each in (*LOG.signers, *witness_signers())]
    assert all(verified_by(seen.note, key) is not None for key in keys)
    assert len(seen.note.signatures) == len(keys)


def test_an_empty_log_is_cosigned_and_may_grow(witness: Cosigner) -> None:
    assert isinstance(witness.add_checkpoint(LOG.request(0, 0), NOW), Cosigned)
    assert isinstance(witness.add_checkpoint(LOG.request(0, 7), NOW), Cosigned)


def test_an_unknown_log_is_refused(witness: Cosigner) -> None:
    other = WitnessedLog(5, origin="log.invalid/other")
    assert reason(witness.add_checkpoint(other.request(0), NOW)) is Refusal.UNKNOWN_LOG
    assert kept(witness) == []


def test_a_checkpoint_that_not_every_trusted_key_signed_is_refused(witness: Cosigner) -> None:
    note = LOG.note()
    stranger = HeldKeys().log_signers("stranger")
    forged = [each.private.sign(note.text.encode()) for each in stranger[:1]]
    bad = note.signatures[0].__class__(ORIGIN, note.signatures[0].key_id, forged[0])
    for lines in ((), note.signatures[:1], note.signatures[1:], (bad, note.signatures[1])):
        text = note.text + "\n" + "".join(map(str, lines))
        answer = witness.add_checkpoint(b"old 0\n\n" + text.encode(), NOW)
        assert reason(answer) is (Refusal.UNTRUSTED if lines else Refusal.MALFORMED)
    assert seen_size(witness) is None
    assert kept(witness) == []


def test_an_old_size_that_is_not_the_last_is_told_the_last(witness: Cosigner) -> None:
    witness.add_checkpoint(LOG.request(0, 100), NOW)
    for old, size in ((0, 200), (99, 200), (101, 200), (50, 60)):
        answer = witness.add_checkpoint(LOG.request(old, size), NOW)
        assert answer == Refused(Refusal.STALE, answer.detail, 100)  # type: ignore[union-attr] # it is refused
    assert (seen_size(witness), kept(witness)) == (100, [])


def test_an_old_size_above_the_new_one_is_malformed(witness: Cosigner) -> None:
    body = LOG.request(100, 100).replace(b"old 100\n", b"old 101\n")
    assert reason(witness.add_checkpoint(body, NOW)) is Refusal.MALFORMED


def test_another_root_of_the_same_size_is_a_fork_and_kept(witness: Cosigner) -> None:
    witness.add_checkpoint(LOG.request(0), NOW)
    body = REWRITTEN.request(300)
    assert reason(witness.add_checkpoint(body, NOW)) is Refusal.FORK
    (found,) = witness.state.refused()
    assert (found.reason, found.request, found.at) == (Refusal.FORK, body, NOW)
    assert found.checkpoint.root == REWRITTEN.tree.root()
    assert AddCheckpoint.parse(found.request).checkpoint.origin == ORIGIN


def test_a_fork_is_kept_even_when_it_comes_with_another_old_size(witness: Cosigner) -> None:
    witness.add_checkpoint(LOG.request(0), NOW)
    assert reason(witness.add_checkpoint(REWRITTEN.request(0), NOW)) is Refusal.STALE
    assert kept(witness) == [(Refusal.FORK, 300)]


def test_a_log_rewritten_with_its_own_keys_is_refused_and_kept(witness: Cosigner) -> None:
    witness.add_checkpoint(LOG.request(0, 200), NOW)
    assert reason(witness.add_checkpoint(REWRITTEN.request(200), NOW)) is Refusal.INCONSISTENT
    assert kept(witness) == [(Refusal.INCONSISTENT, 300)]
    assert isinstance(witness.add_checkpoint(LOG.request(200), NOW), Cosigned)


@pytest.mark.parametrize("change", ["short", "long", "bit", "none"])
def test_a_proof_that_is_not_the_one_is_refused(witness: Cosigner, change: str) -> None:
    witness.add_checkpoint(LOG.request(0, 100), NOW)
    proof = LOG.tree.consistency(100)
    changed = {
        "short": proof[:-1],
        "long": [*proof, proof[0]],
        "bit": [bytes([proof[0][0] ^ 1]) + proof[0][1:], *proof[1:]],
        "none": [],
    }[change]
    body = AddCheckpoint(100, tuple(changed), LOG.note()).encode()
    assert reason(witness.add_checkpoint(body, NOW)) is Refusal.INCONSISTENT
    assert seen_size(witness) == 100


def test_a_proof_from_nothing_is_refused(witness: Cosigner) -> None:
    body = AddCheckpoint(0, (bytes(32),), LOG.note()).encode()
    assert reason(witness.add_checkpoint(body, NOW)) is Refusal.INCONSISTENT


def test_an_empty_log_with_a_root_of_its_own_is_refused(witness: Cosigner) -> None:
    checkpoint = Checkpoint(ORIGIN, 0, bytes(32))
    note = Note(checkpoint.text, tuple(each.sign(checkpoint, 1) for each in LOG.signers))
    body = AddCheckpoint(0, (), note).encode()
    assert reason(witness.add_checkpoint(body, NOW)) is Refusal.INCONSISTENT


def test_the_time_of_cosignatures_never_goes_back(witness: Cosigner) -> None:
    witness.add_checkpoint(LOG.request(0, 100), NOW)
    answer = witness.add_checkpoint(LOG.request(100), NOW - timedelta(days=1))
    assert isinstance(answer, Cosigned)
    note = Note(LOG.note().text, answer.signatures)
    assert verified_by(note, witness_signers()[0].key) == int(NOW.timestamp())


def test_the_old_size_is_taken_by_one_only(state: SqliteWitnessState) -> None:
    """Somebody is faster between looking and remembering: it is decided anew."""

    class Interrupted(SqliteWitnessState):
        rival: bytes | None = REWRITTEN.request(0)

        def latest(self, origin: str) -> Seen | None:
            seen = super().latest(origin)
            body, self.rival = self.rival, None
            if body is not None:
                witness_of(LOG, state).add_checkpoint(body, NOW)
            return seen

    slow = Interrupted(state._file)  # noqa: SLF001 - a second view of the same file
    try:
        answer = witness_of(LOG, slow).add_checkpoint(LOG.request(0), NOW)
    finally:
        slow.close()
    assert reason(answer) is Refusal.STALE
    seen = state.latest(ORIGIN)
    assert seen is not None
    assert seen.checkpoint.root == REWRITTEN.tree.root()


def test_a_request_reads_back_as_it_was_written() -> None:
    body = LOG.request(100)
    assert AddCheckpoint.parse(body).encode() == body


VALID = LOG.request(3, 77)
BASE64 = VALID.split(b"\n")[1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 3",
        VALID.replace(b"old 3", b"old 03"),
        VALID.replace(b"old 3", b"old -3"),
        VALID.replace(b"old 3", b"old +3"),
        VALID.replace(b"old 3", "old ٣".encode()),
        VALID.replace(b"old 3", b"OLD 3"),
        VALID.replace(b"old 3", b"old  3"),
        VALID.replace(b"old 3", b"old 9999999999999999999"),
        VALID.replace(b"old 3\n", b"old 3\r\n"),
        VALID.replace(b"\n\n", b"\n", 1),
        VALID.replace(BASE64, BASE64[:-4]),
        VALID.replace(BASE64, BASE64 + b"="),
        VALID.replace(BASE64, b" " + BASE64),
        VALID.replace(b"old 3\n", b"old 3\n" + (BASE64 + b"\n") * HASHES_MAX),
        VALID.replace(b"\n77\n", b"\n077\n"),
        VALID.replace(b"\n77\n", b"\n9223372036854775808\n"),
        VALID + b"\n",
        VALID[:-1],
        VALID.replace(ORIGIN.encode() + b"\n", ORIGIN.encode() + b"\xff\n"),
        VALID + b"\xe2\x80\x94 x AAAAAAA=\n" * REQUEST_BYTES_MAX,
    ],
)
def test_a_body_of_another_form_is_malformed(witness: Cosigner, body: bytes) -> None:
    assert body != VALID
    assert reason(witness.add_checkpoint(body, NOW)) is Refusal.MALFORMED
    with pytest.raises(MalformedError):
        AddCheckpoint.parse(body)


def test_a_body_that_is_too_large_is_malformed_whatever_is_in_it(witness: Cosigner) -> None:
    checkpoint = Checkpoint.of(LOG.note())
    line = witness_signers("stranger.invalid/w")[0].sign(checkpoint, 1)
    note = LOG.note().with_signatures([replace(line, value=bytes(REQUEST_BYTES_MAX * 3 // 4))])
    body = AddCheckpoint(0, (), note).encode()
    assert reason(witness.add_checkpoint(body, NOW)) is Refusal.MALFORMED


def test_a_witness_whose_memory_does_not_move_gives_up(
    witness: Cosigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteWitnessState, "advance", lambda *_, **__: False)
    with pytest.raises(UnavailableError):
        witness.add_checkpoint(LOG.request(0), NOW)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_garbage_is_never_cosigned(witness: Cosigner, data: st.DataObject) -> None:
    whole = LOG.request(0, 77)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    body = whole[:start] + data.draw(st.binary(max_size=80)) + whole[end:]
    answer = witness.add_checkpoint(body, NOW)
    if isinstance(answer, Cosigned):  # a change that changed nothing that counts
        assert AddCheckpoint.parse(body).note.text == LOG.note(77).text
    else:
        assert answer.reason in Refusal
    assert kept(witness) == [] or {size for _, size in kept(witness)} == {77}


@given(st.binary(max_size=300))
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    try:
        found = Cosigned.parse(body)
    except MalformedError:
        return
    assert str(found).encode() == body


def test_an_answer_reads_back_as_it_was_written(witness: Cosigner) -> None:
    answer = witness.add_checkpoint(LOG.request(0), NOW)
    assert isinstance(answer, Cosigned)
    assert Cosigned.parse(str(answer).encode()) == answer
