"""kill -9 at each step of an intake, and then a second run. Nothing may be lost, doubled or dangling."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Evidence

# Python that is run before the command line: it makes one call of the product fatal.
FATAL = """
import os, signal
from {module} import {owner} as owner
real, calls = owner.{method}, []
def fatal(*args, **kwargs):
    calls.append(1)
    if len(calls) == {nth} and {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*args, **kwargs)
    if len(calls) == {nth}:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
owner.{method} = fatal
"""
STORE = ("storage.objects.filesystem", "FilesystemObjectStore", "commit")
STEPS = {
    "while a source is read": ("ingest.onepass", "OnePass", "read"),
    "around the object": STORE,
    "around the first row": ("storage.catalog", "SqlCatalog", "write"),
    "around the allocation of numbers": ("evidence_store.intake", "Intake", "_enter"),
    "around the acknowledgement": ("api.cli.output", "Output", "record"),
}


def killed(evidence: Evidence, folder: Path, program: str) -> list[dict[str, object]]:
    """Run an ingest that dies; returns what it had acknowledged."""
    process = evidence.start_ingest(folder, program=program)
    out, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, err
    return [json.loads(line) for line in out.splitlines()]


def is_whole(evidence: Evidence, folder: Path, acknowledged: list[dict[str, object]]) -> None:
    """After a second run every file is one item, and what was acknowledged is as it was."""
    second = evidence.ingest(folder)
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    assert sorted(line["path"] for line in second.lines) == files
    assert second.summary["failed"] == 0
    listed = evidence("list").lines
    assert sorted(line["path"] for line in listed) == files
    numbers = {line["path"]: line["ern"] for line in second.lines}
    for line in acknowledged:
        assert numbers[str(line["path"])] == line["ern"]
    assert evidence("verify").summary["match"] == len(files)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_kill_9_at_any_step_loses_and_doubles_nothing(
    evidence: Evidence, folder: Path, step: str, *, before: bool
) -> None:
    module, owner, method = STEPS[step]
    nth = 3 if step == "while a source is read" else 1
    program = FATAL.format(module=module, owner=owner, method=method, nth=nth, before=before)
    acknowledged = killed(evidence, folder, program)
    connection = sqlite3.connect(evidence.home / "catalog.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    is_whole(evidence, folder, acknowledged)


def test_kill_9_between_two_batches_keeps_the_first(evidence: Evidence, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:04d}.txt").write_text(f"page {number}\n")
    module, owner, method = STORE
    program = FATAL.format(module=module, owner=owner, method=method, nth=2, before=True)
    acknowledged = killed(evidence, folder, program)
    assert 0 < len(acknowledged) < 300
    is_whole(evidence, folder, acknowledged)


def test_what_a_crash_left_is_found_and_let_go_of_by_the_doctor(
    evidence: Evidence, folder: Path
) -> None:
    module, owner, method = STORE
    program = FATAL.format(module=module, owner=owner, method=method, nth=1, before=False)
    killed(evidence, folder, program)
    checks = {line["check"]: line for line in evidence("doctor", code=None).lines}
    assert checks["orphans"]["found"] == 4
    assert checks["orphans"]["outcome"] == "warning"
    module, owner, method = STEPS["while a source is read"]
    program = FATAL.format(module=module, owner=owner, method=method, nth=3, before=False)
    killed(evidence, folder, program)
    checks = {line["check"]: line for line in evidence("doctor", code=None).lines}
    assert int(str(checks["unfinished writes"]["found"])) >= 1
    evidence("doctor", "--discard-unfinished", "0", code=None)
    checks = {line["check"]: line for line in evidence("doctor", code=None).lines}
    assert checks["unfinished writes"]["found"] == 0
    is_whole(evidence, folder, [])


def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(600):
        (folder / f"{number:04d}.bin").write_bytes(os.urandom(20_000))
    return folder


def until_acknowledged(process: "subprocess.Popen[str]", lines: int) -> list[dict[str, object]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(lines)]


def test_ctrl_c_ends_the_run_with_what_was_acknowledged_kept(
    evidence: Evidence, tmp_path: Path
) -> None:
    folder = many(tmp_path)
    process = evidence.start_ingest(folder)
    acknowledged = until_acknowledged(process, 5)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        out, err = process.stdout.read(), process.stderr.read()
    assert process.wait(30) == 4, err
    assert "Traceback" not in err
    records = [json.loads(line) for line in out.splitlines()]
    assert records[-1]["summary"]["interrupted"] is True
    assert len(records) < 600
    is_whole(evidence, folder, acknowledged + records[:-1])


def test_two_ingests_of_the_same_folder_at_once_make_one_item_for_each_file(
    evidence: Evidence, tmp_path: Path
) -> None:
    folder = many(tmp_path)
    both = [evidence.start_ingest(folder) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    lines = [[json.loads(line) for line in out.splitlines()[:-1]] for out, _ in said]
    numbers = [{line["path"]: line["ern"] for line in each} for each in lines]
    assert numbers[0] == numbers[1]
    assert len(evidence("list").lines) == 600
    made = [line for each in lines for line in each if line["status"] == "ingested"]
    assert len(made) == 600
    assert evidence("verify").summary["match"] == 600


def test_an_ingest_whose_reader_went_away_ends_quietly(evidence: Evidence, tmp_path: Path) -> None:
    folder = many(tmp_path)
    process = evidence.start_ingest(folder)
    until_acknowledged(process, 1)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.returncode == 4
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    is_whole(evidence, folder, [])
