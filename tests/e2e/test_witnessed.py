"""Two States: one keeps the log, the other cosigns it, and neither can deceive the other alone."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from api import cosigners
from evidence_store.ledger.cosigning import AlarmKind
from evidence_store.ledger.note import Note
from evidence_store.ledger.policy import Policy
from evidence_store.ledger.tiles import TileTree
from storage.ledger.files import TileFolder
from tests.e2e.conftest import Evidence


class Witness:
    """Another State's witness, as a process that can be stopped and started again."""

    def __init__(self, command: Evidence) -> None:
        self.command = command
        self.vkeys = [
            row["vkey"] for row in command("witness", "init", "--name", "hr.invalid/w1").records
        ]
        self.port = 0
        self.address = ""

    def trust(self, vkeys: list[str]) -> None:
        self.command("witness", "trust", *vkeys)

    def start(self) -> None:
        self.process = self.command.start("witness", "serve", "--port", str(self.port))
        assert self.process.stdout is not None
        self.address = json.loads(self.process.stdout.readline())["address"]
        self.port = int(self.address.split("/")[2].rsplit(":", 1)[1])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=20)


@pytest.fixture
def witness(
    evidence: Evidence, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Witness]:
    """A witness of Croatia's that cosigns our log; our policy demands both of its signatures."""
    found = Witness(Evidence(tmp_path / "witness", capsys))
    found.trust(evidence("log", "status").records[0]["vkeys"])
    found.start()
    lines = [f"log {vkey}" for vkey in evidence("log", "status").records[0]["vkeys"]]
    names = [f"hr{number}" for number, _ in enumerate(found.vkeys)]
    for name, vkey in zip(names, found.vkeys, strict=True):
        lines.append(f"witness {name} {vkey} {found.address}")
    lines += [f"group hr all {' '.join(names)}", "quorum hr"]
    (evidence.home / "policy.txt").write_text("\n".join(lines) + "\n")
    yield found
    if found.process.poll() is None:
        found.stop()


def sealed(evidence: Evidence) -> Note:
    return Note.parse((evidence.home / "ledger/checkpoint").read_bytes())


@pytest.mark.usefixtures("witness")
def test_an_act_is_sealed_by_the_other_state(evidence: Evidence, folder: Path) -> None:
    ran = evidence.ingest(folder)
    assert ran.summary["receipt"] == {"status": "sealed"}
    policy = Policy.parse((evidence.home / "policy.txt").read_text())
    assert set(policy.checked(sealed(evidence)).cosigned) == {"hr0", "hr1"}
    assert evidence("log", "audit").summary["problems"] == 0


def test_without_the_witness_an_act_is_kept_and_pending_and_sealed_later(
    evidence: Evidence, witness: Witness, folder: Path
) -> None:
    evidence.ingest(folder / "note.txt")
    before = sealed(evidence)
    witness.stop()
    ran = evidence.ingest(folder / "blob.bin")
    assert ran.summary["receipt"]["status"] == "pending"
    assert sealed(evidence) == before
    ern = ran.lines[0]["ern"]
    assert evidence("log", "prove", ern, code=4).records[0]["receipt"] == "pending"
    witness.start()
    evidence("log", "checkpoint")
    assert evidence("log", "prove", ern).records[0]["receipt"] == "sealed"


@pytest.mark.usefixtures("witness")
def test_a_log_restored_from_a_backup_is_refused_even_with_its_files(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    evidence.ingest(folder / "note.txt")
    shutil.copytree(evidence.home, tmp_path / "backup")
    evidence.ingest(folder / "blob.bin")
    shutil.rmtree(evidence.home)
    shutil.copytree(tmp_path / "backup", evidence.home)
    assert "E250" in evidence("log", "checkpoint", code=3).err
    before = evidence("list").lines
    assert "rolled back" in evidence.ingest(folder / "empty", code=3).err
    evidence("case", "open", "--title", "Another", code=3)
    assert evidence("list").lines == before  # no number was given out a second time
    (log,) = [each for each in evidence("doctor", code=3).lines if each["check"] == "log"]
    assert log["outcome"] == "error"
    kept = {each.name.rsplit(".", 2)[-2] for each in (evidence.home / "alarms").iterdir()}
    assert kept == {"seen", "here"}


def test_a_history_rewritten_with_the_logs_own_keys_is_refused_and_kept(
    evidence: Evidence, witness: Witness, folder: Path, tmp_path: Path
) -> None:
    """The operator has everything: database, files and keys. The witness remembers."""
    evidence.ingest(folder / "note.txt")
    shutil.copytree(evidence.home, tmp_path / "backup")
    evidence.ingest(folder / "blob.bin")
    true = sealed(evidence)
    shutil.rmtree(evidence.home)
    shutil.copytree(tmp_path / "backup", evidence.home)
    policy = (evidence.home / "policy.txt").read_text()
    (evidence.home / "policy.txt").unlink()  # so as not to ask the witness at first
    evidence.ingest(folder / "empty")
    evidence.ingest(folder / "deep")
    (evidence.home / "policy.txt").write_text(policy)
    assert "E250" in evidence("log", "checkpoint", code=3).err
    assert witness.command("witness", "refused").records == []  # it was not even asked
    # Nor does asking it help.

    forged = sealed(evidence)
    size = int(forged.text.split("\n")[1])
    tree = TileTree(TileFolder(evidence.home / "ledger").read, size)
    collected = cosigners.collect(Policy.parse(policy), forged, tree.consistency)
    assert {alarm.kind for alarm in collected.alarms} & {AlarmKind.FORK, AlarmKind.ROLLED_BACK}
    assert collected.note.signatures == forged.signatures
    assert witness.command("witness", "refused", code=3).records
    assert true.text != forged.text
