"""What the owner of the database can do, and what says so: no edited row passes for what was signed."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.e2e.conftest import Evidence


@pytest.fixture
def taken(evidence: Evidence, folder: Path) -> list[str]:
    """The ERNs of what the folder's files became."""
    return [line["ern"] for line in evidence.ingest(folder).lines]


@pytest.fixture
def note(evidence: Evidence, taken: list[str], tmp_path: Path) -> str:
    """An item with an original and a redacted version."""
    assert taken
    redacted = tmp_path / "redacted.txt"
    redacted.write_text("seen from the ###### at ten\n")
    ern: str = next(
        line["ern"] for line in evidence("list").lines if line["path"].endswith("/note.txt")
    )
    evidence("version", "add", ern, redacted, "--type", "redacted", "--method", "by hand")
    return ern


def edit(evidence: Evidence, *statements: str, ern: str = "SI-2026-000001") -> None:
    """Change the database as its owner can, the triggers against accidents dropped first.

    `:key` in a statement is the item's.
    """
    state, year, serial = ern.split("-")
    connection = sqlite3.connect(evidence.home / "catalog.db")
    connection.execute("PRAGMA foreign_keys = OFF")
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    for (name,) in triggers.fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        values = {"key": f"{state}-{year}-{int(serial):012d}"} if ":key" in statement else {}
        assert connection.execute(statement, values).rowcount > 0, statement
    connection.commit()
    connection.close()


def wrong(evidence: Evidence, *erns: str) -> list[tuple[str, int, str]]:
    """What `verify` names: ERN, version and code of each."""
    lines = evidence("verify", *erns, code=3).lines
    return [
        (line["ern"], line["version"], line["code"]) for line in lines if line["outcome"] != "match"
    ]


ANOTHER = (
    "UPDATE version SET (sha256, blake3, size_bytes, object_name) = (SELECT sha256, blake3, "
    "size_bytes, object_name FROM version WHERE number = 2) WHERE number = 1 AND ern_key = :key"
)


def test_another_versions_bytes_are_not_served_as_the_original(
    evidence: Evidence, note: str, tmp_path: Path
) -> None:
    edit(evidence, ANOTHER, ern=note)
    refused = evidence("fetch", note, "-o", tmp_path / "out", code=3)
    assert "E250" in refused.err
    assert not (tmp_path / "out").exists()
    assert wrong(evidence) == wrong(evidence, note) == [(note, 1, "E250")]
    evidence(
        "export", note, "-o", tmp_path / "x.zip", "--versions", "1", "--person", "A",
        "--reference", "R", code=3,
    )  # fmt: skip
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.parametrize("column", ["sha256", "blake3"])
def test_a_false_digest_in_both_rows_is_no_match(
    evidence: Evidence, note: str, tmp_path: Path, column: str
) -> None:
    edit(
        evidence,
        f"UPDATE sealed_object SET {column} = zeroblob(32) WHERE name = "  # noqa: S608
        "(SELECT object_name FROM version WHERE number = 2 AND ern_key = :key)",
        f"UPDATE version SET {column} = zeroblob(32) WHERE number = 2 AND ern_key = :key",  # noqa: S608
        ern=note,
    )
    assert wrong(evidence) == [(note, 2, "E250")]
    evidence("fetch", note, "--version", "2", "-o", tmp_path / "out", code=3)


def test_verify_names_a_version_whose_row_was_deleted(evidence: Evidence, note: str) -> None:
    edit(evidence, "DELETE FROM version WHERE number = 2 AND ern_key = :key", ern=note)
    assert wrong(evidence) == wrong(evidence, note) == [(note, 2, "E250")]


def test_verify_names_an_item_that_has_no_version_left(evidence: Evidence, note: str) -> None:
    edit(evidence, "DELETE FROM version WHERE ern_key = :key", ern=note)
    assert wrong(evidence) == [(note, 1, "E250"), (note, 2, "E250")]


def test_verify_goes_by_what_the_tiles_commit_to_and_not_by_an_edited_event(
    evidence: Evidence, note: str
) -> None:
    edit(
        evidence,
        "UPDATE event SET body = CAST(replace(CAST(body AS TEXT), 'document', 'documenu') AS BLOB) "
        "WHERE subject_key = :key AND seq = 1",
        ern=note,
    )
    assert (note, 1, "E250") in wrong(evidence)


def test_nothing_verifies_of_what_was_never_signed(evidence: Evidence, note: str) -> None:
    gone = (f"DELETE FROM {table} WHERE subject_key = :key" for table in ("event", "chain"))  # noqa: S608
    edit(evidence, *gone, ern=note)
    assert wrong(evidence, note) == [(note, 1, "E250"), (note, 2, "E250")]


def set_back(evidence: Evidence, ern: str) -> None:
    """Take an item's last event out, and let its chain end before it."""
    edit(
        evidence,
        "UPDATE chain SET seq = 1, head = (SELECT commitment FROM event WHERE subject_key = :key "
        "AND seq = 1) WHERE subject_key = :key",
        "DELETE FROM event WHERE subject_key = :key AND seq > 1",
        ern=ern,
    )


def test_nothing_is_signed_in_the_place_of_an_event_that_was_taken_out(
    evidence: Evidence, taken: list[str], tmp_path: Path
) -> None:
    ern = taken[0]
    evidence("act", "hold_placed", ern, "--person", "A", "--hold", "H1")
    set_back(evidence, ern)
    published = (evidence.home / "ledger/checkpoint").read_bytes()
    assert (
        "E250" in evidence("act", "hold_placed", ern, "--person", "A", "--hold", "H2", code=3).err
    )
    evidence(
        "export", ern, "-o", tmp_path / "x.zip", "--person", "A", "--reference", "R", code=3
    )  # fmt: skip
    assert not (tmp_path / "x.zip").exists()
    assert (evidence.home / "ledger/checkpoint").read_bytes() == published
    found = evidence("log", "audit", code=3).lines
    assert {"where": ern, "problem": "the log has a later event than the catalog"} in found


def test_the_log_does_not_grow_over_an_event_that_was_altered(
    evidence: Evidence, taken: list[str]
) -> None:
    published = (evidence.home / "ledger/checkpoint").read_bytes()
    edit(
        evidence,
        "UPDATE event SET signature = zeroblob(64) WHERE subject_key = :key AND seq = 1",
        ern=taken[0],
    )
    evidence("act", "hold_placed", taken[1], "--person", "A", "--hold", "H1", code=3)
    assert (evidence.home / "ledger/checkpoint").read_bytes() == published


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM item WHERE ern_key = :key",
        "DELETE FROM version WHERE number = 2 AND ern_key = :key",
        "UPDATE item SET collected_at = '2020-01-01Z' WHERE ern_key = :key",
        "UPDATE item SET method = 'another' WHERE ern_key = :key",
        "UPDATE item SET place = 'another' WHERE ern_key = :key",
        "UPDATE item SET source = 'another' WHERE ern_key = :key",
        "UPDATE item SET title = 'another' WHERE ern_key = :key",
        "UPDATE item SET kind = 'video' WHERE ern_key = :key",
        "UPDATE item SET registered_at = '2020-01-01 00:00:00.000000' WHERE ern_key = :key",
        "UPDATE item SET source_name = x'61' WHERE ern_key = :key",
        "UPDATE item SET stated_sha256 = zeroblob(32) WHERE ern_key = :key",
        "UPDATE version SET media_type = 'image/png' WHERE number = 1 AND ern_key = :key",
        "UPDATE version SET type = 'translation' WHERE number = 2 AND ern_key = :key",
        "UPDATE version SET method = 'another' WHERE number = 2 AND ern_key = :key",
        "UPDATE person SET name = 'another'",
        "UPDATE authority SET name = 'another'",
        "UPDATE case_file SET title = 'another'",
        "UPDATE event SET disclosures = '' WHERE seq = 1 AND subject_key = :key",
    ],
)
def test_an_audit_names_a_row_that_says_otherwise_than_was_signed(
    evidence: Evidence, note: str, statement: str
) -> None:
    edit(evidence, statement, ern=note)
    found = evidence("log", "audit", code=3).lines
    assert all(each["problem"] for each in found)
    if ":key" in statement:
        assert {each["where"].split(" ")[0] for each in found} == {note}


def test_an_untouched_store_has_nothing_to_name(evidence: Evidence, note: str) -> None:
    assert note
    assert evidence("log", "audit").summary["problems"] == 0
    evidence("verify")


@pytest.mark.parametrize("lost", [True, False], ids=["removed", "changed"])
def test_doctor_names_headers_that_a_rebuild_would_miss_and_they_can_be_written_anew(
    evidence: Evidence, taken: list[str], *, lost: bool
) -> None:
    folder = evidence.home / "headers"
    (batch,) = folder.glob("*.json")
    if lost:
        batch.unlink()
    else:
        lines = [json.loads(line) for line in batch.read_text().splitlines()]
        lines[-1]["header"] = lines[0]["header"]
        batch.chmod(0o600)
        batch.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (found,) = [each for each in evidence("doctor", code=3).lines if each["check"] == "headers"]
    assert found["outcome"] == "error"
    for each in folder.glob("*.json"):
        each.unlink()
    evidence("act", "hold_placed", taken[0], "--person", "A", "--hold", "H1")
    (found,) = [each for each in evidence("doctor", code=None).lines if each["check"] == "headers"]
    assert found["outcome"] == "ok"
