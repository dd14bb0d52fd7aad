"""What a new user types wrong and what an adversary types right: each answered, in a line, by a code."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli.main import main
from tests.e2e.conftest import COLLECTED, Evidence, Ran

ACT = ("act", "moved")


@pytest.fixture
def ern(evidence: Evidence, folder: Path) -> str:
    found: str = evidence.ingest(folder / "note.txt").lines[0]["ern"]
    return found


def as_text(evidence: Evidence, *arguments: str | Path) -> Ran:
    evidence.capture.readouterr()
    code = main(["--home", str(evidence.home), "--text", *map(str, arguments)])
    said = evidence.capture.readouterr()
    return Ran(code, said.out, said.err)


# ------------------------------------------------------------- words that are signed


@pytest.mark.parametrize("words", ["", "  ", "x" * 100_000, "\udcff", "A\nB", "A\u202eB"])
def test_an_act_without_words_or_with_words_that_mislead_is_not_signed(
    evidence: Evidence, ern: str, words: str
) -> None:
    before = evidence("custody", ern).records[0]["timeline"]
    for option in ("--person", "--place"):
        given = {"--person": "A", "--place": "store", option: words}
        said = evidence(*ACT, ern, *(each for pair in given.items() for each in pair), code=2)
        assert "E100" in said.err
    assert evidence("custody", ern).records[0]["timeline"] == before


def test_no_reason_and_no_name_is_empty_or_no_text(
    evidence: Evidence, ern: str, tmp_path: Path
) -> None:
    for words in ("", "\udcff"):
        assert "E100" in evidence("void", ern, "--reason", words, code=2).err
        target = ("-o", tmp_path / "court.zip", "--reference", "Order 5")
        assert "E100" in evidence("export", ern, *target, "--person", words, code=2).err
    assert "unknown" not in evidence("void", ern, "--reason", "", code=2).err
    assert not (tmp_path / "court.zip").exists()


def test_a_title_is_one_line(evidence: Evidence) -> None:
    for title in ("Brod\nSI-CASE-0099  another", "Brod\x1b[2J", "Brod\u202e"):
        assert "E100" in evidence("case", "open", "--title", title, code=2).err
    assert len(evidence("case", "list").lines) == 1


# ------------------------------------------------------------------- what is shown


def test_a_files_name_forges_no_line_and_is_kept_exactly(
    evidence: Evidence, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    name = "a\ningested    SI-2026-000099 forged\u202e\x1b[2J"
    (folder / name).write_text("a note")
    said = as_text(evidence, "ingest", folder, "--case", evidence.case, *COLLECTED)
    assert len(said.out.splitlines()) == 2  # the file, and the summary
    assert "\\n" in said.out
    assert not {"\u202e", "\x1b"} & set(said.out)
    (line,) = evidence.ingest(folder).lines
    assert line["path"].endswith(name)


def test_the_timeline_tells_why_by_whom_and_what_was_wrong(evidence: Evidence, ern: str) -> None:
    evidence("act", "sealed", ern, "--person", "A", "--seal", "A-17", "--purpose", "for court")
    evidence(
        "act", "correction_of", ern, "--person", "B", "--corrects", "2", "--note", "A-71 it is"
    )
    said = as_text(evidence, "custody", ern).out
    for word in ("A-17", "for court", "A-71 it is", "event 2", "seals now"):
        assert word in said


@pytest.mark.usefixtures("ern")
def test_the_logs_state_fits_on_a_screen(evidence: Evidence) -> None:
    assert len(as_text(evidence, "log", "status").out) < 1000
    assert any(len(each) > 1000 for each in evidence("log", "status").records[0]["vkeys"])


# ------------------------------------------------------------------ files and names


@pytest.mark.parametrize("output", ["", ".", "/", "x" * 300, "\u0161" * 200])
def test_an_output_that_can_be_no_file_is_refused_with_its_reason(
    evidence: Evidence, ern: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert "E100" in evidence("fetch", ern, "-o", output, code=2).err
    assert sorted(tmp_path.iterdir()) == before


def test_a_manifest_that_is_no_regular_file_is_not_waited_for(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for each in (Path("/dev/zero"), tmp_path / "pipe"):
        assert "regular file" in evidence.ingest(folder, "--manifest", each, code=2).err


def test_a_dry_run_compares_what_the_sender_stated(
    evidence: Evidence, folder: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "SHA256SUMS"
    manifest.write_text(f"{'0' * 64}  note.txt\n{'0' * 64}  never-sent.txt\n")
    ran = evidence.ingest(folder, "--manifest", manifest, "--dry-run", code=3)
    found = {Path(str(each["path"])).name: each["status"] for each in ran.lines}
    assert found["note.txt"] == "would_quarantine"
    assert found["never-sent.txt"] == "missing"
    assert (ran.summary["would_quarantine"], ran.summary["missing"]) == (1, 1)
    assert evidence("list").lines == []


def test_a_second_statement_of_the_same_file_is_told_that_it_changed_nothing(
    evidence: Evidence, folder: Path
) -> None:
    note = folder / "note.txt"
    evidence.ingest(note)
    assert evidence.ingest(note).lines[0]["differs"] == []
    other = ("--method", "copied, write-blocked", "--collected-by", "B", "--collected-at", "2026Z")
    (line,) = evidence("ingest", note, "--case", evidence.case, *other).lines
    assert (line["status"], line["differs"]) == ("resumed", ["collected_by", "collected_at"])
    assert "nothing was changed" in line["note"]
    shown = evidence("show", line["ern"]).records[0]
    assert "2026-03-14" in str(shown["collected_at"])


def test_a_file_that_is_not_there_was_never_listed(evidence: Evidence, tmp_path: Path) -> None:
    (row,) = evidence("check", tmp_path / "nowhere", code=4).records
    assert "listed" not in row["reason"]


# -------------------------------------------------------------------------- secrets


def test_a_backup_without_a_terminal_says_what_helps(evidence: Evidence, tmp_path: Path) -> None:
    said = evidence("keys", "backup", tmp_path / "copy", code=2).err
    assert "--passphrase-file" in said
    assert "EVIDENCE_KEY" not in said


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_passphrase_that_others_may_read_is_refused(
    evidence: Evidence, tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse")
    secret.chmod(0o600)
    backup = ("keys", "backup", tmp_path / "copy", "--passphrase-file", secret)
    evidence(*backup)
    shutil.copy(tmp_path / "copy", evidence.home / "keys/evidence.key")
    (tmp_path / "copy").unlink()
    monkeypatch.setenv("EVIDENCE_KEY_PASSPHRASE_FILE", str(secret))
    evidence("keys", "check")
    secret.chmod(mode)
    for command in (("keys", "check"), backup):
        said = evidence(*command, code=2).err
        assert "chmod 600" in said
        assert "correct horse" not in said


# --------------------------------------------------------------------------- damage


@pytest.mark.usefixtures("ern")
def test_the_doctor_looks_at_the_rest_where_the_store_is_gone(evidence: Evidence) -> None:
    (evidence.home / "objects").rename(evidence.home / "elsewhere")
    ran = evidence("doctor", code=4)
    found = {each["check"]: each for each in ran.lines}
    errors = [name for name, each in found.items() if each["outcome"] == "error"]
    assert errors == ["store"]
    assert "E910" in found["store"]["found"]
    assert found["keys"]["outcome"] == found["catalog"]["outcome"] == "ok"
    assert found["missing objects"]["outcome"] == "skipped"


@pytest.mark.usefixtures("ern")
@pytest.mark.parametrize("command", [("verify",), ("log", "audit"), ("doctor",)])
def test_a_damaged_database_is_an_integrity_failure(
    evidence: Evidence, command: tuple[str, ...]
) -> None:
    catalog = evidence.home / "catalog.db"
    for each in evidence.home.glob("catalog.db-*"):
        each.unlink()
    catalog.write_bytes(b"not a database " * 1000)
    assert "E230" in evidence(*command, code=3).err


# ------------------------------------------------------------------ calls and typing


def test_a_setting_that_is_none_is_an_error_in_every_command(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVIDENCE_FOO", "1")
    said = evidence("verify-package", tmp_path, code=2).err
    assert "E110" in said
    assert "did you mean" not in said
    monkeypatch.delenv("EVIDENCE_FOO")
    monkeypatch.setenv("EVIDENCE_OBJECT_ROOT", "1")
    assert "did you mean EVIDENCE_OBJECTS_ROOT?" in evidence("list", code=2).err


@pytest.mark.parametrize(
    ("call", "said", "unsaid"),
    [
        (("ingest", "."), "--case", "collected_at"),
        (("nonsense",), "No such command", "did you mean"),
        (("ingets",), "did you mean ingest?", ".;"),
        (("list", "--zzz"), "--zzz", "did you mean"),
        (("fetch", "SI-2026-000001", "--ouput", "x"), "did you mean --output?", ".;"),
        (("ingest", "/nowhere"), "does not exist", ".;"),
    ],
)
def test_a_wrong_call_is_named_as_it_is_typed(
    evidence: Evidence, call: tuple[str, ...], said: str, unsaid: str
) -> None:
    error = evidence(*call, code=2).err
    assert said in error
    assert unsaid not in error


def test_an_act_that_is_not_possible_is_told_why_and_not_all_that_is(
    evidence: Evidence, ern: str
) -> None:
    said = evidence("act", "found", ern, "--person", "A", code=2).err
    assert "lost" in said
    assert "verified_match" not in said


@pytest.mark.parametrize("loading", ["typer", "api.wiring"])
def test_ctrl_c_before_the_work_begins_is_one_line(evidence: Evidence, loading: str) -> None:
    # The interruption comes while the program is loaded: once early, once by a command.
    program = f"""
import builtins, os, signal, sys
real = builtins.__import__
def interrupting(name, *rest, **more):
    if name == {loading!r}:
        builtins.__import__ = real
        os.kill(os.getpid(), {int(signal.SIGINT)})
    return real(name, *rest, **more)
builtins.__import__ = interrupting
from api.cli.start import main
sys.exit(main())
"""
    ran = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", program, "--home", str(evidence.home), "list"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[2])},
    )
    assert ran.returncode == 130
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
