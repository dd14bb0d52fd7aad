"""What a witness must never forget, on SQLite."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evidence_store.errors import ConflictError, LedgerAlteredError, MalformedError, SettingsError
from evidence_store.ledger.add_checkpoint import Refusal
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.witness import Kept, Seen
from storage.ledger import witness_state
from storage.ledger.witness_state import SqliteWitnessState
from tests.witnesses import NOW, ORIGIN, WITNESS, WitnessedLog

LOG = WitnessedLog(40)
REWRITTEN = WitnessedLog(40, b"false")


def seen(size: int, at: int = 5, log: WitnessedLog = LOG) -> Seen:
    note = log.note(size)
    return Seen(Checkpoint.of(note), note, at)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "witness.db"


@pytest.fixture
def state(file: Path) -> Iterator[SqliteWitnessState]:
    made = SqliteWitnessState.create(file, WITNESS)
    yield made
    made.close()


def test_what_is_remembered_is_there_for_whoever_opens_the_file(
    file: Path, state: SqliteWitnessState
) -> None:
    assert state.latest(ORIGIN) is None
    assert state.advance(seen(10), from_size=0)
    other = SqliteWitnessState(file)
    assert (other.name(), other.latest(ORIGIN), other.origins()) == (WITNESS, seen(10), [ORIGIN])
    other.close()


def test_the_file_and_what_goes_with_it_are_its_owners_alone(
    file: Path, state: SqliteWitnessState
) -> None:
    state.advance(seen(10), from_size=0)
    found = {each.name: each.stat().st_mode & 0o777 for each in file.parent.iterdir()}
    assert found["witness.db-wal"] == 0o600
    assert set(found.values()) == {0o600}


def test_a_missing_memory_is_not_replaced_by_an_empty_one(file: Path) -> None:
    with pytest.raises(SettingsError):
        SqliteWitnessState(file)
    assert not file.exists()


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00" + bytes(4000), b"text " * 999])
def test_a_file_that_is_no_memory_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises((SettingsError, LedgerAlteredError)):
        SqliteWitnessState(file)
    assert file.read_bytes() == content


def test_another_sqlite_file_is_refused(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE seen (origin)")
    connection.commit()
    connection.close()
    with pytest.raises(SettingsError):
        SqliteWitnessState(file)


def test_a_memory_is_never_made_over_another(file: Path, state: SqliteWitnessState) -> None:
    state.advance(seen(10), from_size=0)
    with pytest.raises(ConflictError):
        SqliteWitnessState.create(file, "another")
    assert state.latest(ORIGIN) == seen(10)


def test_a_memory_whose_making_was_cut_short_is_finished(file: Path) -> None:
    file.write_bytes(b"")
    made = SqliteWitnessState.create(file, WITNESS)
    assert made.name() == WITNESS
    made.close()


def test_a_witness_needs_a_name_that_a_note_can_carry(file: Path) -> None:
    with pytest.raises(MalformedError):
        SqliteWitnessState.create(file, "two words")
    assert not file.exists()


@pytest.mark.parametrize(
    ("next_one", "from_size"),
    [
        (seen(20), 0),  # somebody else was faster
        (seen(20), 11),
        (seen(9), 10),  # it would shrink
        (seen(10, log=REWRITTEN), 10),  # the same number with another root
        (seen(20, at=4), 10),  # back in time
        (seen(10), 0),
    ],
)
def test_a_step_that_is_not_forward_changes_nothing(
    state: SqliteWitnessState, next_one: Seen, from_size: int
) -> None:
    assert state.advance(seen(10), from_size=0)
    assert not state.advance(next_one, from_size=from_size)
    assert state.latest(ORIGIN) == seen(10)


def test_nothing_is_advanced_from_a_size_that_was_never_seen(state: SqliteWitnessState) -> None:
    assert not state.advance(seen(20), from_size=10)
    assert state.latest(ORIGIN) is None


def test_the_same_state_may_be_cosigned_again_later(state: SqliteWitnessState) -> None:
    assert state.advance(seen(10), from_size=0)
    assert state.advance(seen(10, at=9), from_size=10)
    assert state.latest(ORIGIN) == seen(10, at=9)


def test_logs_do_not_disturb_each_other(state: SqliteWitnessState) -> None:
    other = WitnessedLog(7, origin="log.invalid/other")
    assert state.advance(seen(10), from_size=0)
    assert state.advance(seen(7, log=other), from_size=0)
    assert state.latest(ORIGIN) == seen(10)
    assert state.origins() == sorted([ORIGIN, other.origin])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE seen SET size = 9",
        "UPDATE seen SET root = zeroblob(32)",
        "UPDATE seen SET root = zeroblob(31)",
        "UPDATE seen SET note = x'00'",
    ],
)
def test_a_row_that_was_altered_is_noticed(
    file: Path, state: SqliteWitnessState, change: str
) -> None:
    state.advance(seen(10), from_size=0)
    connection = sqlite3.connect(file)
    connection.execute(change)
    connection.commit()
    connection.close()
    with pytest.raises(LedgerAlteredError):
        state.latest(ORIGIN)


def test_the_file_itself_refuses_to_forget(file: Path, state: SqliteWitnessState) -> None:
    state.advance(seen(10), from_size=0)
    connection = sqlite3.connect(file)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("DELETE FROM seen")
    connection.close()


def test_the_first_refused_request_of_each_head_and_reason_is_kept(
    state: SqliteWitnessState,
) -> None:
    fork = Kept(seen(10, log=REWRITTEN).checkpoint, Refusal.FORK, b"first", NOW)
    others = [
        replace(fork, reason=Refusal.INCONSISTENT, at=NOW + timedelta(seconds=1.5)),
        replace(fork, checkpoint=seen(10).checkpoint),
    ]
    for each in (fork, replace(fork, request=b"second"), *others):
        state.keep_refused(each)
    assert state.refused() == [fork, *others]


def test_a_log_cannot_fill_the_disk_with_what_it_is_refused(
    state: SqliteWitnessState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_state, "KEPT_MAX", 3)
    for size in range(10):
        checkpoint = seen(size).checkpoint
        state.keep_refused(Kept(checkpoint, Refusal.INCONSISTENT, b"", NOW))
    state.keep_refused(Kept(seen(30).checkpoint, Refusal.FORK, b"", NOW))
    found = [(each.reason, each.checkpoint.size) for each in state.refused()]
    assert found == [*((Refusal.INCONSISTENT, size) for size in range(3)), (Refusal.FORK, 30)]
