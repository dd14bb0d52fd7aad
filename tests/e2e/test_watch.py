"""A folder that is watched: sealed and sent as it fills, over restarts and a line that is down."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evidence_store.field_seal import FieldSeal
from ingest.writers import is_written
from tests.e2e.conftest import Ran
from tests.e2e.test_field import STATE, Field

WAIT_SECONDS = 90


@pytest.fixture
def field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Field]:
    found = Field(tmp_path, capsys)
    found.register()
    yield found
    if found.server.process is not None and found.server.process.poll() is None:
        found.server.kill()


def words(field: Field, *more: str) -> list[str]:
    server = ["--to", field.server.address, "--case", field.server.case]
    key = ["--key", str(field.key), "--token-file", str(field.token), "--settle", "0.3"]
    return ["watch", str(field.folder), *server, *key, "--who", "Insp. A. Novak", *more]


def once(field: Field, *more: str, code: int = 0) -> Ran:
    return field(*words(field, "--once", *more), code=code)


class Watching:
    """A watch in a process of its own."""

    def __init__(self, field: Field, out: Path) -> None:
        self.out = out
        run = "import sys; from api.cli.main import main; sys.exit(main())"
        with out.open("ab") as file:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [sys.executable, "-c", run, "--json", *words(field)],
                stdout=file,
                cwd=Path(__file__).parents[2],
            )

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def until(self, count: int) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while len(self.rows) < count:
            assert time.monotonic() < until, self.rows
            assert self.process.poll() is None, self.process.returncode
            time.sleep(0.1)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def seals(field: Field) -> list[FieldSeal]:
    lines = (field.folder / STATE).read_bytes().splitlines()
    found = [json.loads(line) for line in lines]
    return [FieldSeal.opened(each["seal"].encode()) for each in found if "seal" in each]


@pytest.mark.slow
def test_what_appears_is_sealed_and_sent_and_a_signal_ends_it_in_order(
    field: Field, tmp_path: Path
) -> None:
    field.server.start()
    watching = Watching(field, tmp_path / "out")
    watching.until(3)
    (field.folder / "later.txt").write_text("later\n")
    watching.until(4)
    assert watching.end(signal.SIGTERM) == 0
    names = sorted(os.fsencode(each.name) for each in field.folder.iterdir())
    assert names == sorted([b"deep", b"note.txt", b"\xff odd", b"later.txt", STATE.encode()])
    for row in watching.rows:
        assert row["field_seal"]["agrees"] is True
        data, claims, _ = field.told(row["ern"])
        assert data["field_seal"]["key"] == seals(field)[0].key
        assert any(each["values"].get("who") == "Insp. A. Novak" for each in claims)


@pytest.mark.slow
def test_a_watch_that_was_killed_goes_on_and_sends_nothing_twice(
    field: Field, tmp_path: Path
) -> None:
    field.server.start()
    (field.folder / "big.bin").write_bytes(os.urandom(40_000_000))
    first = Watching(field, tmp_path / "out")
    until = time.monotonic() + WAIT_SECONDS
    while (
        not (field.folder / STATE).exists() or b"upload" not in (field.folder / STATE).read_bytes()
    ):
        assert time.monotonic() < until
        time.sleep(0.02)
    first.process.kill()
    first.process.wait(30)
    ran = once(field)
    rows = [*first.rows, *ran.records]
    assert {row["path"] for row in rows} >= {"field/big.bin", "field/note.txt"}
    assert len({row["ern"] for row in rows}) == 4
    assert once(field).records == []
    assert len(seals(field)) == 1


@pytest.mark.slow
def test_files_are_sealed_while_the_line_is_down_and_sent_when_it_is_up(
    field: Field, tmp_path: Path
) -> None:
    watching = Watching(field, tmp_path / "out")
    until = time.monotonic() + WAIT_SECONDS
    while not (field.folder / STATE).exists() or not seals(field):
        assert time.monotonic() < until
        time.sleep(0.1)
    field.server.start()
    watching.until(3)
    assert watching.end(signal.SIGINT) == 0
    assert {row["status"] for row in watching.rows} == {"ingested"}


@pytest.mark.slow
def test_a_line_that_is_down_is_try_again(field: Field) -> None:
    assert once(field, code=4).records == []
    (sealed,) = seals(field)
    assert len(sealed.files) == 3
    field.server.start()
    assert len(once(field).records) == 3
    assert len(seals(field)) == 1


@pytest.mark.slow
def test_a_refused_token_loses_nothing(field: Field) -> None:
    field.server.start()
    good = field.token.read_text()
    field.token.write_text("evr_pat_nonsense")
    assert {each["status"] for each in once(field, code=2).records} == {"failed"}
    field.token.write_text(good)
    assert {each["status"] for each in once(field).records} == {"ingested"}


@pytest.mark.slow
def test_a_file_that_changes_after_it_was_sealed_is_sealed_anew(field: Field) -> None:
    once(field, code=4)
    (field.folder / "note.txt").write_text("seen from the window at two, and at three\n")
    field.server.start()
    rows = once(field, code=4).records
    notes = [each for each in rows if each["path"] == "field/note.txt"]
    assert [each.get("code", each["status"]) for each in notes] == ["E210", "ingested"]
    assert field.server.stored(notes[1]["ern"]) == (field.folder / "note.txt").read_bytes()


@pytest.mark.slow
def test_links_are_named(field: Field) -> None:
    (field.folder / "link").symlink_to("/etc/passwd")
    field.server.start()
    (row,) = (each for each in once(field, code=4).records if each["status"] == "failed")
    assert row["code"] == "E120"


def test_a_file_that_is_open_for_writing_is_not_at_rest(tmp_path: Path) -> None:
    file = tmp_path / "video.bin"
    with file.open("wb") as writer:
        writer.write(b"first half")
        writer.flush()
        assert is_written(os.fsencode(file))
    assert not is_written(os.fsencode(file))
    with file.open("rb"):
        assert not is_written(os.fsencode(file))
    assert not is_written(os.fsencode(tmp_path / "gone"))
