"""`evidence witness`, as the one who runs a witness uses it."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import main
from api.cosigners import collect
from evidence_store.ledger.add_checkpoint import Cosigned
from evidence_store.ledger.note import KeyType, Note, VerifierKey
from evidence_store.ledger.policy import NONE, Policy, Witness
from evidence_store.ledger.signing import verified_by
from tests.witnesses import NOW, WITNESS, WitnessedLog, witness_signers

LOG = WitnessedLog(30)
REWRITTEN = WitnessedLog(30, b"false")
VKEYS = [str(each.key) for each in LOG.signers]

Command = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "witness"


@pytest.fixture
def command(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    for name in [name for name in os.environ if name.startswith("EVIDENCE_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str | Path, code: int = 0) -> list[dict[str, Any]]:
        capsys.readouterr()
        found = main(["--home", str(home), "--json", "witness", *map(str, arguments)])
        said = capsys.readouterr()
        assert found == code, said.err + said.out
        return [json.loads(line) for line in said.out.splitlines()]

    return run


def made(command: Command) -> list[VerifierKey]:
    return [VerifierKey.parse(row["vkey"]) for row in command("init", "--name", WITNESS)]


@pytest.fixture
def request_file(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(body: bytes) -> Path:
        path = tmp_path / "request"
        path.write_bytes(body)
        return path

    return write


def test_a_new_witness_has_two_keys_that_are_its_owners_alone(command: Command, home: Path) -> None:
    keys = made(command)
    kinds = [KeyType.ED25519_COSIGNATURE, KeyType.MLDSA44_COSIGNATURE]
    assert [(each.name, each.type) for each in keys] == [(WITNESS, kind) for kind in kinds]
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"witness.db", "ed25519.pem", "ml-dsa-44.pem"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_witness_is_not_made_twice(command: Command, home: Path) -> None:
    made(command)
    before = {path: path.read_bytes() for path in (home / "keys/witness").iterdir()}
    command("init", "--name", WITNESS, code=2)
    command("init", "--name", "another", code=2)
    assert {path: path.read_bytes() for path in (home / "keys/witness").iterdir()} == before


def test_a_witness_whose_making_was_cut_short_is_made_whole(command: Command, home: Path) -> None:
    first, _ = made(command)
    (home / "keys/witness/ml-dsa-44.pem").unlink()
    command("init", "--name", "another", code=2)
    assert made(command)[0] == first


def test_a_lost_memory_is_never_replaced(
    command: Command, home: Path, request_file: Callable[[bytes], Path]
) -> None:
    made(command)
    command("trust", *VKEYS)
    (home / "witness.db").unlink()
    (home / "keys/witness/ml-dsa-44.pem").rename(home / "kept.pem")
    command("init", "--name", WITNESS, code=2)  # cut short or not
    (home / "kept.pem").rename(home / "keys/witness/ml-dsa-44.pem")
    command("init", "--name", WITNESS, code=2)
    command("cosign", request_file(LOG.request(0)), code=2)
    assert not (home / "witness.db").exists()


def test_the_logs_that_are_trusted_add_up_and_read_as_a_policy(
    command: Command, home: Path
) -> None:
    made(command)
    other = WitnessedLog(1, origin="log.invalid/other")
    command("trust", *VKEYS)
    command("trust", *VKEYS)
    rows = command("trust", str(other.signers[0].key))
    assert [row["vkey"] for row in rows] == [*VKEYS, str(other.signers[0].key)]
    policy = Policy.parse((home / "witness-logs.txt").read_text())
    assert [str(each) for each in policy.logs] == [row["vkey"] for row in rows]


def test_a_witnesss_key_is_no_logs_key(command: Command, home: Path) -> None:
    made(command)
    command("trust", str(witness_signers()[0].key), code=2)
    command("trust", VKEYS[0][:-4], code=2)
    assert not (home / "witness-logs.txt").exists()


@pytest.mark.parametrize("text", ["log x\n", "quorum none\n", "\xff", "log {} \nquorum all\n"])
def test_a_list_of_logs_that_cannot_be_read_stops_the_witness(
    command: Command, home: Path, request_file: Callable[[bytes], Path], text: str
) -> None:
    made(command)
    (home / "witness-logs.txt").write_text(text.format(VKEYS[0]), encoding="latin-1")
    command("cosign", request_file(LOG.request(0)), code=2)


def test_a_request_from_a_file_is_decided_as_one_over_the_network(
    command: Command, request_file: Callable[[bytes], Path]
) -> None:
    keys = made(command)
    command("cosign", request_file(LOG.request(0, 20)), code=2)  # not known yet
    command("trust", *VKEYS)
    (row,) = command("cosign", request_file(LOG.request(0, 20)))
    lines = "".join(f"{line}\n" for line in row["cosignatures"])
    note = Note(LOG.note(20).text, Cosigned.parse(lines.encode()).signatures)
    assert all(verified_by(note, key) for key in keys)
    command("cosign", request_file(LOG.request(0)), code=2)
    command("cosign", request_file(b"garbage"), code=2)
    assert command("refused") == []
    body = REWRITTEN.request(20)
    command("cosign", request_file(body), code=3)
    (kept,) = command("refused", code=3)
    assert (kept["reason"], kept["log"], kept["size"]) == ("inconsistent", LOG.origin, 30)
    assert (kept["root"], kept["request"]) == (REWRITTEN.tree.root().hex(), body.decode())


def test_a_request_may_come_on_standard_input(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(command)
    command("trust", *VKEYS)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LOG.request(0))))
    assert len(command("cosign", "-")[0]["cosignatures"]) == 2


def test_a_missing_request_is_said(command: Command, tmp_path: Path) -> None:
    made(command)
    command("cosign", tmp_path / "nothing", code=4)


def test_without_a_witness_there_is_nothing_to_run(command: Command, home: Path) -> None:
    for arguments in (("serve",), ("refused",), ("cosign", "-")):
        command(*arguments, code=2)
    assert not home.exists()


def test_a_witness_that_is_served_seals_a_log_and_ends_when_it_is_told(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    keys = made(command)
    command("trust", *VKEYS)
    server = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [
            sys.executable,
            "-c",
            "import sys; from api.cli.main import main; sys.exit(main())",
            *("--home", str(home), "--json", "witness", "serve"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[2])},
    )
    try:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        assert said["vkeys"] == list(map(str, keys))
        witnesses = {
            each.type.name: Witness(each.type.name, each, said["address"]) for each in keys
        }
        policy = Policy(LOG.policy.logs, witnesses, {}, NONE)
        found = collect(policy, LOG.note(), LOG.tree.consistency)
        assert set(policy.checked(found.note).cosigned) == set(witnesses)
        assert min(policy.checked(found.note).cosigned.values()) > NOW.timestamp()
    finally:
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
    assert "Traceback" not in errors
    assert server.returncode == 0


def test_an_address_that_is_taken_is_said(command: Command) -> None:
    made(command)
    command("serve", "--host", "192.0.2.1", code=2)


def test_the_private_keys_are_pkcs8_in_pem(command: Command, home: Path) -> None:
    made(command)
    for path in (home / "keys/witness").iterdir():
        lines = path.read_text().splitlines()
        assert (lines[0], lines[-1]) == (
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
        )
        assert base64.b64decode("".join(lines[1:-1]))[0] == 0x30  # a DER sequence
