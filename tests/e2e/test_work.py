"""The worker as a process of its own, and what commands and doors say of the cycle."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api import wiring
from api.cli.main import main
from api.http.app import create_app
from api.uploading import Uploading
from ingest.extraction.supervisor import Extractor
from tests.cooperation import Whole, World
from tests.doors import instance_at

RUN = "import sys; from api.cli.main import main; sys.exit(main())"


def made(home: Path) -> tuple[str, str]:
    """An instance with two items that were measured long ago."""
    with closing(instance_at(home)) as instance:
        world = World(Whole(instance), vault=instance.vault)
        return str(world.item(b"sound")), str(world.item(b"harmed"))


def harm(home: Path, ern: str) -> None:
    """Flip a byte of what is stored of an item."""
    with closing(wiring.open_instance(home, lambda: b"")) as instance:
        with instance.catalog.read() as reader:
            name = next(
                sealed.name.value
                for version, sealed in reader.held().entries
                if str(version.ern) == ern
            )
        (file,) = (
            each for each in (home / "objects").rglob("*") if each.is_file() and name in each.name
        )
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)


def test_what_is_not_as_registered_fails_loudly_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    _, harmed = made(home)

    def run(*arguments: str) -> tuple[int, list[dict[str, object]]]:
        capsys.readouterr()
        code = main(["--home", str(home), "--json", *arguments])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    def ready() -> object:
        with (
            closing(wiring.open_instance(home, lambda: b"")) as instance,
            Extractor(workers=1) as extractor,
            TestClient(
                create_app(instance, Uploading(instance, instance.uploads, extractor))
            ) as client,
        ):
            return client.get("/ready").json()["fixity"]

    assert run("fixity", "run") == (0, [{"objects": 2, "size_bytes": 75, "failed": 0}])
    assert run("fixity", "status")[0] == 0
    assert ready() == "ok"
    harm(home, harmed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evidence_store.fixity.SPREAD", 10**12)  # all is due
        code, (row,) = run("fixity", "run")
    assert (code, row["failed"]) == (3, 1)
    code, rows = run("fixity", "status")
    assert code == 3
    assert (rows[0]["ern"], rows[0]["outcome"], rows[0]["code"]) == (harmed, "mismatch", "E200")
    assert rows[-1]["fixity"] == "failed"
    code, rows = run("doctor")
    assert code == 3
    (found,) = (each for each in rows if each["check"] == "fixity")
    assert found["outcome"] == "error"
    assert harmed in str(found["found"])
    assert ready() == "failed"
    harm(home, harmed)  # restored from a copy
    assert run("fixity", "run")[0] == 0
    assert run("fixity", "status")[0] == 0
    assert ready() == "ok"


@pytest.mark.slow
def test_a_worker_apart_does_every_task_and_ends_in_order(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made(home)
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", RUN, "--home", str(home), "--json", "worker", "--log", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    with process, closing(wiring.open_instance(home, lambda: b"")) as instance:
        holder = json.loads(process.stdout.readline())["worker"]
        until = time.monotonic() + 60
        done: set[str] = set()
        while len(done) < 7 and time.monotonic() < until:
            time.sleep(0.1)
            done = {each.name for each in instance.work.leases() if each.done_at is not None}
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert done == {
            *("sequencing", "uploads", "expiry", "time-stamps", "fixity", "notices", "webhooks")
        }
        assert {each.holder for each in instance.work.leases()} == {holder}
        with instance.catalog.read() as reader:
            head = reader.ledger.head()
            assert head is not None
            assert head.sealed is not None
