import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pyrage  # type: ignore[import-untyped] # it ships no types
import pytest

from tests.e2e.conftest import Evidence


def key_of(evidence: Evidence) -> Path:
    return evidence.home / "keys/evidence.key"


def test_a_state_opens_its_own_evidence_with_another_implementation(
    evidence: Evidence, folder: Path
) -> None:
    import sqlite3  # noqa: PLC0415 - the other tool of a State without this software

    evidence.ingest(folder / "blob.bin")
    (stored,) = evidence.objects()
    with sqlite3.connect(evidence.home / "catalog.db") as connection:
        (header,) = connection.execute("SELECT header FROM sealed_object").fetchone()
    connection.close()
    secret = key_of(evidence).read_text().splitlines()[-1]
    identity = pyrage.x25519.Identity.from_str(secret)
    content = pyrage.decrypt(header + stored.read_bytes(), [identity])
    assert content == (folder / "blob.bin").read_bytes()


def test_rotation_rewraps_everything_and_the_old_key_stays_for_backups(
    evidence: Evidence, folder: Path
) -> None:
    evidence.ingest(folder)
    before = evidence("keys", "list").lines
    objects = {path: path.read_bytes() for path in evidence.objects()}
    done = evidence("keys", "rotate").records[-1]
    assert (done["rewrapped"], done["failed"]) == (len(evidence.all_objects()), 0)
    after = evidence("keys", "list").lines
    assert [line["current"] for line in after] == [True, False]
    assert after[1]["recipient"] == before[0]["recipient"]
    assert {path: path.read_bytes() for path in evidence.objects()} == objects
    assert evidence("verify").summary["match"] == 5
    assert evidence("keys", "rewrap").records[-1]["rewrapped"] == 0
    checks = {line["check"]: line for line in evidence("doctor").lines}
    assert checks["keys"]["outcome"] == "ok"


def test_a_backup_of_the_key_takes_its_place(
    evidence: Evidence, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence.ingest(folder)
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    copy = tmp_path / "evidence-key.age"
    evidence("keys", "backup", copy, "--passphrase-file", secret)
    plain = pyrage.passphrase.decrypt(copy.read_bytes(), "correct horse")
    assert plain == key_of(evidence).read_bytes()
    evidence("keys", "backup", copy, "--passphrase-file", secret, code=2)
    key_of(evidence).unlink()
    assert evidence("verify", code=3).summary["not_verifiable"] == 5 + len(evidence.journals())
    copy.rename(key_of(evidence))
    ran = evidence("verify", code=3)  # there is no terminal to ask at, and nothing waits for one
    assert {line["code"] for line in ran.lines} == {"E500"}
    monkeypatch.setenv("EVIDENCE_KEY_PASSPHRASE_FILE", str(secret))
    assert evidence("verify").summary["match"] == 5
    evidence("keys", "check")


def test_a_key_file_that_others_may_read_is_refused(evidence: Evidence, folder: Path) -> None:
    evidence("keys", "check")
    key_of(evidence).chmod(0o644)
    ran = evidence("keys", "check", code=2)
    assert "chmod 600" in ran.err
    assert "AGE-SECRET-KEY" not in ran.out + ran.err
    assert "E110" in evidence.ingest(folder, code=2).out + ran.err
    assert evidence("list").lines == []


def test_a_key_is_created_once(evidence: Evidence) -> None:
    before = key_of(evidence).read_bytes()
    evidence("keys", "create", code=2)
    assert key_of(evidence).read_bytes() == before


def test_a_passphrase_is_asked_for_at_a_terminal_and_never_shown(
    evidence: Evidence, tmp_path: Path
) -> None:
    home = tmp_path / "asked"
    master, slave = pty.openpty()
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [
            sys.executable, "-c", "import sys; from api.cli.main import main; sys.exit(main())",
            "--home", str(home), "init", "--state", "SI", "--authority", "A", "--passphrase",
        ],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    os.close(slave)
    seen = b""
    for _ in range(2):
        while seen.count(b": ") < 1:
            seen += os.read(master, 1000)
        seen = b""
        os.write(master, b"correct horse\n")
    said = io.BytesIO()
    try:
        while chunk := os.read(master, 1000):
            said.write(chunk)
    except OSError:
        pass  # the terminal has hung up: the program is done
    assert process.wait(60) == 0, said.getvalue()
    os.close(master)
    assert b"correct horse" not in said.getvalue()
    assert (home / "keys/evidence.key").read_bytes().startswith(b"age-encryption.org/v1")
    evidence.home = home
    assert "E500" in evidence("keys", "check", code=2).err
