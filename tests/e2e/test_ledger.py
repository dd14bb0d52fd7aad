"""The ledger from the command line: receipts, keys, audits, crashes, and what must be caught."""

import hashlib
import itertools
import json
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from blake3 import blake3

from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.merkle import verify_consistency
from evidence_store.ledger.note import Note
from evidence_store.ledger.policy import Policy
from evidence_store.ledger.proof import LogProof
from evidence_store.ledger.tiles import TileTree
from storage.ledger.files import TileFolder
from tests.e2e.conftest import Evidence
from tests.e2e.test_crashes import FATAL


@pytest.fixture
def taken(evidence: Evidence, folder: Path) -> list[str]:
    """The ERNs of a folder that was taken in."""
    return [line["ern"] for line in evidence.ingest(folder).lines]


def exhibit(evidence: Evidence) -> dict[str, object]:
    found: dict[str, object] = evidence(
        "exhibit", "register", "--case", evidence.case, "--seal", "A-1", "--container", "bag",
        "--condition", "good", "--method", "seized", "--collected-by", "A", "--collected-at",
        "2026-03-14Z",
    ).records[0]  # fmt: skip
    return found


def edit(evidence: Evidence, *statements: str) -> None:
    """Change the database as its owner can, the triggers against accidents dropped first."""
    connection = sqlite3.connect(evidence.home / "catalog.db")
    for table in ("event", "leaf", "control"):
        for verb in ("update", "delete"):
            connection.execute(f"DROP TRIGGER {table}_no_{verb}")
    for statement in statements:
        assert connection.execute(statement).rowcount > 0
    connection.commit()
    connection.close()


def test_an_act_brings_its_receipt(evidence: Evidence) -> None:
    receipt = exhibit(evidence)["receipt"]
    assert isinstance(receipt, dict)
    assert receipt["receipt"] == "sealed"
    policy = Policy.parse(evidence("log", "status").records[0]["policy"])
    proof = LogProof.parse(str(receipt["proof"]).encode())
    assert policy.checked(proof.note).checkpoint.size > receipt["index"]


def test_an_ingest_can_write_the_proof_of_every_item(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    ran = evidence.ingest(folder, "--receipts", tmp_path / "receipts")
    assert ran.summary["receipt"] == {"status": "sealed"}
    names = {path.name for path in (tmp_path / "receipts").iterdir()}
    assert names == {f"{line['ern']}-1.tlog-proof" for line in ran.lines}


def test_proofs_can_be_fetched_at_any_time(evidence: Evidence, taken: list[str]) -> None:
    evidence("void", taken[0], "--reason", "registered twice")
    proved = evidence("log", "prove", taken[0]).records
    assert [each["act"] for each in proved] == ["registered", "voided"]
    assert all(each["receipt"] == "sealed" for each in proved)
    (second,) = evidence("log", "prove", taken[0], "--seq", "2").records
    assert second == proved[1]


def test_authorities_act_with_keys_of_their_own(evidence: Evidence, folder: Path) -> None:
    added = evidence("authority", "add", "Nacionalni forenzični laboratorij", "--id", "lab")
    assert added.records[0]["keys"] == ["SI/lab/1"]
    ern = evidence.ingest(folder / "note.txt", "--as", "lab").lines[0]["ern"]
    assert evidence("log", "prove", ern).records[0]["by"] == "SI/lab/1"
    evidence("authority", "follow", "lab")
    evidence("authority", "revoke", "SI/lab/1", "--reason", "lost")
    ern = evidence.ingest(folder / "blob.bin", "--as", "lab").lines[0]["ern"]
    assert evidence("log", "prove", ern).records[0]["by"] == "SI/lab/2"
    evidence("authority", "revoke", "SI/lab/2", "--reason", "lost too")
    evidence.ingest(folder / "empty", "--as", "lab", code=2)
    evidence.ingest(folder / "empty", "--as", "nobody", code=2)
    assert evidence("log", "audit").summary["problems"] == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET signature = zeroblob(64) WHERE rowid = 1",
        "UPDATE event SET body = replace(body, 'registered', 'registerex') WHERE rowid = 2",
        "UPDATE event SET body = CAST(replace(body, 'document', 'documenu') AS BLOB) WHERE rowid = 2",
        "UPDATE leaf SET entry = zeroblob(65) WHERE place = 3",
        "DELETE FROM event WHERE rowid = 3",
        "UPDATE head SET root = zeroblob(32)",
        "UPDATE chain SET seq = 2 WHERE rowid = 1",
        "UPDATE control SET entry = x'02' WHERE number = 2",
    ],
)
def test_an_audit_names_what_was_edited_in_the_database(
    evidence: Evidence, taken: list[str], statement: str
) -> None:
    assert evidence("log", "audit").summary["entries"] == 2 + len(taken)
    edit(evidence, statement)
    ran = evidence("log", "audit", code=3)
    assert ran.summary["problems"] > 0
    assert ran.lines[0]["where"]


def test_an_audit_names_a_changed_tile_and_nothing_is_signed_over_it(
    evidence: Evidence, taken: list[str]
) -> None:
    (tile,) = (evidence.home / "ledger/tile/0").iterdir()
    (width,) = tile.iterdir()
    width.chmod(0o600)
    content = bytearray(width.read_bytes())
    content[40] ^= 1
    width.write_bytes(content)
    assert evidence("log", "audit", code=3).summary["problems"] > 0
    before = (evidence.home / "ledger/checkpoint").read_bytes()
    evidence("void", taken[0], "--reason", "registered twice", code=3)
    assert (evidence.home / "ledger/checkpoint").read_bytes() == before


def test_a_database_from_a_backup_is_refused(evidence: Evidence, folder: Path) -> None:
    evidence.ingest(folder / "note.txt")
    backup = (evidence.home / "catalog.db").read_bytes()
    evidence.ingest(folder / "blob.bin")
    for path in evidence.home.glob("catalog.db*"):
        path.unlink()
    (evidence.home / "catalog.db").write_bytes(backup)
    (evidence.home / "catalog.db").chmod(0o600)
    assert "E250" in evidence("log", "checkpoint", code=3).err
    before = evidence("list").lines
    evidence.ingest(folder / "empty", code=3)
    assert evidence("list").lines == before  # and nothing is registered over it
    found = [each["where"] for each in evidence("log", "audit", code=3).lines]
    assert "published checkpoint" in found
    evidence("doctor", code=3)


@pytest.mark.parametrize("content", [None, b"", b"another\n"], ids=["removed", "empty", "another"])
def test_an_audit_names_a_published_checkpoint_that_is_not_the_logs(
    evidence: Evidence, taken: list[str], content: bytes | None
) -> None:
    assert taken
    path = evidence.home / "ledger/checkpoint"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    found = [each["where"] for each in evidence("log", "audit", code=3).lines]
    assert found == ["published checkpoint"]


def test_catalog_and_ledger_are_rebuilt_from_the_store_and_the_keys(
    evidence: Evidence, folder: Path, taken: list[str], tmp_path: Path
) -> None:
    exhibit(evidence)
    redacted = tmp_path / "redacted.txt"
    redacted.write_text("seen from the ###### at ten\n")
    note = next(
        line["ern"] for line in evidence("list").lines if line["path"].endswith("/note.txt")
    )
    evidence("version", "add", note, redacted, "--type", "redacted", "--method", "by hand")
    evidence("void", taken[0], "--reason", "registered twice")
    evidence("keys", "rotate")
    shown = {ern: evidence("show", ern).records for ern in taken}
    checkpoint = (evidence.home / "ledger/checkpoint").read_bytes()
    for path in evidence.home.glob("catalog.db*"):
        path.unlink()
    rebuilt = evidence("rebuild").records[0]
    assert rebuilt["problems"] == 0
    assert (evidence.home / "ledger/checkpoint").read_bytes() == checkpoint
    assert Checkpoint.of(Note.parse(checkpoint)).root.hex() == rebuilt["root"]
    assert {ern: evidence("show", ern).records for ern in taken} == shown
    assert evidence("verify").summary["mismatch"] == 0
    assert evidence("check", redacted).records[0]["outcome"] == "match"
    assert evidence.ingest(folder, code=None).summary["resumed"] >= len(taken) - 1
    evidence("log", "audit")


def test_the_ledger_is_rebuilt_too_and_its_checkpoint_is_the_one_that_was_signed(
    evidence: Evidence, taken: list[str]
) -> None:
    checkpoint = (evidence.home / "ledger/checkpoint").read_bytes()
    shutil.rmtree(evidence.home / "ledger")
    for path in evidence.home.glob("catalog.db*"):
        path.unlink()
    ran = evidence("rebuild")
    assert ran.records[0]["problems"] == 0
    assert "only its witnesses" in ran.err
    assert (evidence.home / "ledger/checkpoint").read_bytes() == checkpoint
    assert evidence("log", "audit").summary["problems"] == 0
    evidence("void", taken[0], "--reason", "registered twice")
    assert evidence("log", "prove", taken[0]).records[1]["receipt"] == "sealed"


def test_a_rebuild_that_fails_leaves_no_catalog_in_the_way_of_the_next(
    evidence: Evidence, taken: list[str]
) -> None:
    (tile,) = [each for each in (evidence.home / "ledger/tile/0").rglob("*") if each.is_file()]
    true = tile.read_bytes()
    tile.chmod(0o600)
    tile.write_bytes(bytes(len(true)))
    for path in evidence.home.glob("catalog.db*"):
        path.unlink()
    assert "E250" in evidence("rebuild", code=3).err
    tile.write_bytes(true)
    assert evidence("rebuild").records[0]["problems"] == 0
    assert len(evidence("list").lines) == len(taken)


def test_nothing_is_rebuilt_over_a_catalog_or_from_nothing(
    evidence: Evidence, taken: list[str]
) -> None:
    evidence("rebuild", code=2)
    assert len(evidence("list").lines) == len(taken)
    for path in evidence.home.glob("catalog.db*"):
        path.unlink()
    for path in (evidence.home / "headers").iterdir():
        path.unlink()
    evidence("rebuild", code=2)


def test_a_journal_that_was_changed_is_not_rebuilt_from(
    evidence: Evidence, taken: list[str]
) -> None:
    (batch,) = (evidence.home / "headers").iterdir()
    name = json.loads(batch.read_text().splitlines()[0])["name"]
    path = evidence.home / "objects/objects" / name[:2] / name
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    bad = [line for line in evidence("verify", code=3).lines if line["outcome"] != "match"]
    assert [line["journal"] for line in bad] == [name]
    for each in evidence.home.glob("catalog.db*"):
        each.unlink()
    evidence("rebuild", code=3)
    assert taken


STEPS = {
    "around the files": ("storage.ledger.files", "TileFolder", "write"),
    "around the first state": ("storage.catalog.ledger_writer", "SqlLedgerWriter", "add_head"),
    "around the signature": ("storage.catalog.ledger_writer", "SqlLedgerWriter", "sign_head"),
    "around the publication": ("storage.ledger.files", "TileFolder", "publish"),
    "around the headers": ("storage.ledger.headers", "HeaderFolder", "write"),
}


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_kill_9_at_any_step_of_the_sequencer_leaves_one_consistent_log(
    evidence: Evidence, folder: Path, step: str, *, before: bool
) -> None:
    evidence.ingest(folder / "note.txt")
    signed = [(evidence.home / "ledger/checkpoint").read_bytes()]
    module, owner, method = STEPS[step]
    program = FATAL.format(module=module, owner=owner, method=method, nth=1, before=before)
    process = evidence.start_ingest(folder, program=program)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, err
    signed.append((evidence.home / "ledger/checkpoint").read_bytes())
    evidence.ingest(folder)
    evidence("log", "checkpoint")
    signed.append((evidence.home / "ledger/checkpoint").read_bytes())
    assert evidence("log", "audit").summary["problems"] == 0
    heads = [Checkpoint.of(Note.parse(each)) for each in signed]
    tree = TileTree(TileFolder(evidence.home / "ledger").read, heads[-1].size)
    for one, other in itertools.pairwise(heads):
        proof = tree.consistency(one.size, other.size)
        verify_consistency(one.size, other.size, one.root, other.root, proof)
    assert os.listdir(evidence.home / "headers")  # noqa: PTH208


def test_a_match_is_proved_by_the_ledger(
    evidence: Evidence, folder: Path, taken: list[str]
) -> None:
    found = evidence("check", folder / "blob.bin").records[0]
    assert found["outcome"] == "match"
    assert found["ledger"]["receipt"] == "sealed"
    assert found["ledger"]["by"] == "SI/district-state-prosecutor-s-office/1"
    assert found["ern"] in taken


def test_a_digest_that_was_put_into_the_catalog_is_no_match(
    evidence: Evidence, taken: list[str], tmp_path: Path
) -> None:
    """The owner of the database makes a forged file pass for evidence: the event says otherwise."""
    forged = tmp_path / "forged.bin"
    forged.write_bytes(b"forged")
    sha256 = hashlib.sha256(b"forged").hexdigest()
    fast = blake3(b"forged").hexdigest()
    columns = f"sha256 = x'{sha256}', blake3 = x'{fast}', size_bytes = 6"
    edit(
        evidence,
        f"UPDATE sealed_object SET {columns} WHERE rowid = 1",  # noqa: S608
        f"UPDATE version SET {columns} WHERE object_name = "  # noqa: S608
        "(SELECT name FROM sealed_object WHERE rowid = 1)",
    )
    found = evidence("check", forged, code=3).records[0]
    assert found["outcome"] == "not_verifiable"
    assert "other digests than were signed" in found["ledger"]["problem"]
    assert taken
