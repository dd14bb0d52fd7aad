"""Time-stamps on the log's checkpoints, from asking for them to the court."""

import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.e2e.conftest import Evidence
from tests.tsa import LocalTsa


def configure(evidence: Evidence, tsa: LocalTsa) -> None:
    (evidence.home / "tsa-1.pem").write_bytes(tsa.authority.roots)
    (evidence.home / "time-stamps.toml").write_text(
        f'[[authority]]\nname = "tsa-1"\nurl = "{tsa.authority.url}"\nroots = "tsa-1.pem"\n'
    )


def certificate() -> str:
    """The root of an authority that stamped nothing."""
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, None).public_bytes(Encoding.PEM).decode()


def exported(evidence: Evidence, ern: str, path: Path) -> list[dict[str, object]]:
    evidence("export", ern, "-o", path, "--person", "A", "--reference", "r", "--versions", "none")
    root = evidence.home / "tsa-1.pem"
    found: list[dict[str, object]] = evidence("verify-package", path, "--tsa-root", root).lines
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
    alone = evidence("verify-package", tmp_path / "p.zip").lines
    shown = {each["outcome"] for each in alone if each["question"] in {"stamp", "time"}}
    assert shown == {"not_shown"}


def test_verify_py_takes_a_stamp_by_the_roots_that_the_court_brings_alone(
    evidence: Evidence, folder: Path, tsa: LocalTsa, tmp_path: Path
) -> None:
    configure(evidence, tsa)
    package = tmp_path / "p.zip"
    exported(evidence, evidence.ingest(folder / "note.txt").lines[0]["ern"], package)
    with zipfile.ZipFile(package) as content:
        (tmp_path / "verify.py").write_bytes(content.read("evidence-package/verify.py"))
    command = [sys.executable, "-I", str(tmp_path / "verify.py"), str(package)]
    other = tmp_path / "other.pem"
    other.write_text(certificate())
    for roots, said in (
        ([], "by roots that the package brought itself they prove nothing"),
        (["--tsa-root", str(other)], "under none of your roots"),
        (["--tsa-root", str(evidence.home / "tsa-1.pem")], "by your roots"),
        (
            ["--tsa-root", str(other), "--tsa-root", str(evidence.home / "tsa-1.pem")],
            "by your roots",
        ),
    ):
        ran = subprocess.run(  # noqa: S603 - our own verifier
            [*command, *roots], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout
        assert said in ran.stdout


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
