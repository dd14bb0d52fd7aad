"""Time-stamps on the log's checkpoints, from asking for them to the court."""

from pathlib import Path

from tests.e2e.conftest import Evidence
from tests.tsa import LocalTsa


def configure(evidence: Evidence, tsa: LocalTsa) -> None:
    (evidence.home / "tsa-1.pem").write_bytes(tsa.authority.roots)
    (evidence.home / "time-stamps.toml").write_text(
        f'[[authority]]\nname = "tsa-1"\nurl = "{tsa.authority.url}"\nroots = "tsa-1.pem"\n'
    )


def exported(evidence: Evidence, ern: str, path: Path) -> list[dict[str, object]]:
    evidence("export", ern, "-o", path, "--person", "A", "--reference", "r", "--versions", "none")
    found: list[dict[str, object]] = evidence("verify-package", path).lines
    return found


def test_a_stamp_bounds_the_time_of_every_event(
    evidence: Evidence, folder: Path, tsa: LocalTsa, tmp_path: Path
) -> None:
    configure(evidence, tsa)
    ern = evidence.ingest(folder / "note.txt").lines[0]["ern"]
    (stamp,) = evidence("log", "stamp").records
    assert stamp["verified_by"] == ["rfc3161-client", "openssl"]
    assert evidence("log", "stamp").records == []  # it has one already
    found = exported(evidence, ern, tmp_path / "p.zip")
    assert {each["outcome"] for each in found if each["question"] == "stamp"} == {"proved"}
    assert {each["outcome"] for each in found if each["question"] == "time"} == {"proved"}


def test_an_authority_that_is_down_delays_nothing_and_is_asked_again(
    evidence: Evidence, folder: Path, tsa: LocalTsa, tmp_path: Path
) -> None:
    configure(evidence, tsa)
    tsa.status = 500
    ran = evidence.ingest(folder / "note.txt")
    assert ran.summary["receipt"] == {"status": "sealed"}
    evidence("log", "stamp", code=4)
    exported(evidence, ran.lines[0]["ern"], tmp_path / "p.zip")
    tsa.status = 200
    assert evidence("log", "stamp").records[0]["at"]


def test_a_stamp_that_one_tool_alone_accepts_is_kept_and_not_relied_on(
    evidence: Evidence, folder: Path, tsa: LocalTsa, tmp_path: Path
) -> None:
    configure(evidence, tsa)
    tsa.chained = True
    ern = evidence.ingest(folder / "note.txt").lines[0]["ern"]
    assert evidence("log", "stamp", code=4).records[0]["confirmed"] is False
    (kept,) = (evidence.home / "ledger/timestamps").iterdir()
    assert kept.name.endswith(".unconfirmed")
    assert not [
        each for each in exported(evidence, ern, tmp_path / "p.zip") if each["question"] == "stamp"
    ]


def test_a_stamp_that_was_changed_is_refuted(
    evidence: Evidence, folder: Path, tsa: LocalTsa, tmp_path: Path
) -> None:
    configure(evidence, tsa)
    ern = evidence.ingest(folder / "note.txt").lines[0]["ern"]
    evidence("log", "stamp")
    (path,) = (evidence.home / "ledger/timestamps").iterdir()
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    evidence("export", ern, "-o", tmp_path / "p.zip", "--person", "A", "--reference", "r")
    found = evidence("verify-package", tmp_path / "p.zip", code=3).lines
    assert "refuted" in {each["outcome"] for each in found if each["question"] == "stamp"}


def test_a_list_of_authorities_that_is_wrong_is_named(evidence: Evidence) -> None:
    (evidence.home / "time-stamps.toml").write_text("[[authority]]\nname = 1\n")
    assert "time-stamps.toml" in evidence("log", "stamp", code=2).err
