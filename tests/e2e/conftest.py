"""An instance of its own for each test, and the command line run as a person runs it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import main

Records = list[dict[str, Any]]
COLLECTED = (
    "--method",
    "copied, write-blocked",
    "--collected-by",
    "Insp. A. Novak",
    "--collected-at",
    "2026-03-14T10:20+01:00",
)


@dataclass
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> Records:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def lines(self) -> Records:
        """Those that are not the summary."""
        return [record for record in self.records if "summary" not in record]

    @property
    def summary(self) -> dict[str, Any]:
        """The summary at the end."""
        found: dict[str, Any] = self.records[-1]["summary"]
        return found


@dataclass
class Evidence:
    """The command line, for one home."""

    home: Path
    capture: pytest.CaptureFixture[str] = field(repr=False)
    case: str = ""

    def __call__(self, *arguments: str | Path, code: int | None = 0) -> Ran:
        """Run a command in this process; `code` is how it must end, None for any."""
        self.capture.readouterr()
        found = main(["--home", str(self.home), "--json", *map(str, arguments)])
        said = self.capture.readouterr()
        ran = Ran(found, said.out, said.err)
        assert code is None or found == code, said.err + said.out
        assert "Traceback" not in said.err
        return ran

    def ingest(self, *arguments: str | Path, code: int | None = 0) -> Ran:
        """Ingest into the fixture's case, as collected by the fixture's officer."""
        return self("ingest", "--case", self.case, *COLLECTED, *arguments, code=code)

    def start(self, *arguments: str | Path, program: str | None = None) -> "subprocess.Popen[str]":
        """Start a command in a process of its own; `program` is Python to run before it."""
        run = "import sys; from api.cli.main import main; sys.exit(main())"
        return subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [
                sys.executable,
                "-c",
                (program or "") + "\n" + run,
                "--home",
                str(self.home),
                "--json",
                *map(str, arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[2])},
        )

    def start_ingest(self, *paths: Path, program: str | None = None) -> "subprocess.Popen[str]":
        """Start an ingest in a process of its own."""
        return self.start("ingest", *paths, "--case", self.case, *COLLECTED, program=program)

    def objects(self) -> list[Path]:
        """The stored objects that hold evidence, by name."""
        kept = self.journals()
        return [path for path in self.all_objects() if path.name not in kept]

    def all_objects(self) -> list[Path]:
        """Every stored object, by name."""
        return sorted(path for path in (self.home / "objects/objects").rglob("*") if path.is_file())

    def journals(self) -> set[str]:
        """The names of the objects that hold the journal."""
        batches = (self.home / "headers").glob("*.json")
        return {json.loads(path.read_text().splitlines()[0])["name"] for path in batches}


@pytest.fixture
def evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Evidence:
    for name in [name for name in os.environ if name.startswith("EVIDENCE_")]:
        monkeypatch.delenv(name)
    command = Evidence(tmp_path / "home", capsys)
    command("init", "--state", "SI", "--authority", "District State Prosecutor's Office")
    command.case = command("case", "open", "--title", "Shelling of a village").records[0]["case"]
    return command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder from the field: text, binary, nested, empty, and a copy."""
    root = tmp_path / "field"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "note.txt").write_text("seen from the window at ten\n")
    (root / "blob.bin").write_bytes(bytes(range(256)) * 300)
    (root / "deep" / "er" / "big.bin").write_bytes(os.urandom(3 * 1024 * 1024 + 17))
    (root / "deep" / "copy of note.txt").write_text("seen from the window at ten\n")
    (root / "empty").write_bytes(b"")
    return root
