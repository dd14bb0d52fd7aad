"""Two at once, and crashes: a witness never cosigns two histories of one log."""

import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

import pytest

from evidence_store.ledger.add_checkpoint import Cosigned, Refusal, Refused
from storage.ledger.witness_state import SqliteWitnessState
from tests.witnesses import NOW, ORIGIN, WITNESS, WitnessedLog, witness_of

LOGS = 12
SIZES = range(1, 4)
HISTORIES = (b"true", b"false")
_RIVAL = """
import sys
from pathlib import Path
from tests.integration.test_witness_races import run
from storage.ledger.witness_state import SqliteWitnessState
state = SqliteWitnessState(Path(sys.argv[1]))
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
for number, size in run(state, sys.argv[2].encode()):
    sys.stdout.write(f"{number} {size}\\n")
"""
_KILLED = """
import os, signal, sys
from pathlib import Path
from storage.ledger.witness_state import SqliteWitnessState
from tests.witnesses import NOW, WitnessedLog, witness_of
before = sys.argv[2] == "before"
class Killed(SqliteWitnessState):
    def advance(self, seen, *, from_size):
        if not before:
            assert super().advance(seen, from_size=from_size)
        os.kill(os.getpid(), signal.SIGKILL)
log = WitnessedLog(20)
witness_of(log, Killed(Path(sys.argv[1]))).add_checkpoint(log.request(0, 10), NOW)
"""


def run(state: SqliteWitnessState, history: bytes) -> list[tuple[int, int]]:
    """Drive one history of each log through a witness; returns what was cosigned."""

    def is_cosigned(number: int, size: int) -> bool:
        log = logs[number]
        answer = witness_of(log, state).add_checkpoint(log.request(size - 1, size), NOW)
        return isinstance(answer, Cosigned)

    logs = [WitnessedLog(SIZES[-1], history, f"log.invalid/{number}") for number in range(LOGS)]
    steps = ((number, size) for number in range(LOGS) for size in SIZES)
    return [step for step in steps if is_cosigned(*step)]


def started(program: str, *arguments: str | Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[2])},
    )


def insist_one_history(cosigned: dict[bytes, list[tuple[int, int]]], file: Path) -> None:
    """For each log, all that was cosigned, whoever asked, is of the history that is remembered."""
    winners: defaultdict[int, set[bytes]] = defaultdict(set)
    for history, found in cosigned.items():
        for number, _ in found:
            winners[number].add(history)
    assert sorted(winners) == list(range(LOGS))
    state = SqliteWitnessState(file)
    for number, histories in winners.items():
        (history,) = histories
        assert [size for each, size in cosigned[history] if each == number] == list(SIZES)
        log = WitnessedLog(SIZES[-1], history, f"log.invalid/{number}")
        seen = state.latest(log.origin)
        assert seen is not None
        assert seen.checkpoint.root == log.tree.root()
    state.close()


def test_two_processes_never_get_two_histories_cosigned(tmp_path: Path) -> None:
    file = tmp_path / "witness.db"
    SqliteWitnessState.create(file, WITNESS).close()
    rivals = {each: started(_RIVAL, file, each.decode()) for each in HISTORIES}
    for rival in rivals.values():
        assert rival.stdout is not None
        assert rival.stdout.readline() == "ready\n"
    for rival in rivals.values():
        assert rival.stdin is not None
        rival.stdin.write("go\n")
        rival.stdin.flush()
    cosigned = {}
    for history, rival in rivals.items():
        out, _ = rival.communicate(timeout=120)
        assert rival.returncode == 0
        lines = (line.split() for line in out.splitlines())
        cosigned[history] = [(int(number), int(size)) for number, size in lines]
    insist_one_history(cosigned, file)


@pytest.mark.parametrize("shared", [True, False], ids=["one connection", "a connection each"])
def test_two_threads_never_get_two_histories_cosigned(tmp_path: Path, *, shared: bool) -> None:
    file = tmp_path / "witness.db"
    first = SqliteWitnessState.create(file, WITNESS)
    second = first if shared else SqliteWitnessState(file)
    cosigned: dict[bytes, list[tuple[int, int]]] = {}

    def rival(state: SqliteWitnessState, history: bytes) -> None:
        cosigned[history] = run(state, history)

    threads = [
        threading.Thread(target=rival, args=each)
        for each in zip((first, second), HISTORIES, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    insist_one_history(cosigned, file)
    first.close()
    second.close()


@pytest.mark.parametrize(("moment", "size"), [("before", 0), ("after", 10)])
def test_a_witness_killed_before_its_answer_knows_what_it_may_have_cosigned(
    tmp_path: Path, moment: str, size: int
) -> None:
    file = tmp_path / "witness.db"
    SqliteWitnessState.create(file, WITNESS).close()
    killed = started(_KILLED, file, moment)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    state = SqliteWitnessState(file)
    log, rewritten = WitnessedLog(20), WitnessedLog(20, b"false")
    seen = state.latest(ORIGIN)
    assert (seen.checkpoint.size if seen else 0) == size
    witness = witness_of(log, state)
    if size:  # the log, which was told nothing, asks again, and is told where to go on
        answer = witness.add_checkpoint(log.request(0, 10), NOW)
        assert isinstance(answer, Refused)
        assert (answer.reason, answer.size) == (Refusal.STALE, size)
        assert isinstance(witness.add_checkpoint(rewritten.request(size), NOW), Refused)
    assert isinstance(witness.add_checkpoint(log.request(size), NOW), Cosigned)
    state.close()
