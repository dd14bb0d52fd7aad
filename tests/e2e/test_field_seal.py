"""Sealing in the field, offline: what is listed, what is refused, and every change found again."""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import bagit  # type: ignore[import-untyped] # it has none
import pytest

from api.cli.main import main
from evidence_store.digest import Fingerprint, fingerprint
from evidence_store.field_seal import FieldSeal
from ingest.onepass import FingerprintPass
from ingest.reading import OpenSource
from tests.e2e.conftest import Ran

SEAL = ".evidence-seal.json"


class Kit:
    """The command line in the field, where there is no instance."""

    def __init__(self, tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.key, self.capture, self.nowhere = tmp_path / "kit.pem", capture, tmp_path / "nowhere"
        self.made = self("--new-key", self.key).records[0]

    def __call__(self, *arguments: str | Path, code: int = 0) -> Ran:
        self.capture.readouterr()
        words = ["--home", str(self.nowhere), "--json", "seal", *map(str, arguments)]
        found = main(words)
        said = self.capture.readouterr()
        assert found == code, said.err + said.out
        assert not self.nowhere.exists()
        return Ran(found, said.out, said.err)

    def seal(self, folder: Path, *more: str | Path, code: int = 0) -> Ran:
        said = ("--who", "Insp. A. Novak", "--where", "Brod", "--how", "write-blocked")
        return self(folder, "--key", self.key, *said, "--device", "kit 7", *more, code=code)


@pytest.fixture
def kit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Kit:
    return Kit(tmp_path, capsys)


def names(ran: Ran) -> dict[str, str]:
    return {each["name"]: each["status"] for each in ran.lines}


def state_of(folder: Path) -> dict[str, Any]:
    return {
        str(each.relative_to(folder)): (each.lstat().st_mtime_ns, each.lstat().st_size)
        for each in [folder, *folder.rglob("*")]
    }


def test_a_folder_is_sealed_and_found_as_it_was(kit: Kit, folder: Path) -> None:
    (folder / os.fsdecode(b"\xff\n\\ odd")).write_bytes(b"odd")
    ran = kit.seal(folder)
    assert ran.summary["sealed"] == 6
    seal = FieldSeal.opened((folder / SEAL).read_bytes())
    assert seal.key == kit.made["key"] == ran.summary["key"]
    assert seal.circumstances.who == "Insp. A. Novak"
    for name, file in seal.files.items():
        content = (folder / os.fsdecode(name)).read_bytes()
        assert file.fingerprint == fingerprint([content])
    assert b"\xff\n\\ odd" in seal.files
    assert kit("--check", folder).summary["differences"] == 0
    assert kit("--check", folder, "--by", kit.made["key"]).summary["key_expected"]


def test_nothing_is_written_into_a_write_blocked_folder(
    kit: Kit, folder: Path, tmp_path: Path
) -> None:
    before = state_of(folder)
    out = tmp_path / "seal.json"
    kit.seal(folder, "--manifest-out", out)
    assert state_of(folder) == before
    assert kit("--check", folder, "--manifest", out).summary["differences"] == 0
    assert state_of(folder) == before


def test_added_changed_and_missing_files_are_named(kit: Kit, folder: Path) -> None:
    kit.seal(folder)
    (folder / "new.txt").write_bytes(b"new")
    (folder / "note.txt").write_bytes(b"seen from the window at two\n")
    (folder / "blob.bin").unlink()
    ran = kit("--check", folder, code=3)
    found = {"new.txt": "added", "note.txt": "changed", "blob.bin": "missing"}
    assert names(ran) == found
    changed = next(each for each in ran.lines if each["status"] == "changed")
    assert changed["expected"]["sha256"] != changed["found"]["sha256"]


def test_links_and_pipes_are_refused_with_reasons_and_stand_in_the_seal(
    kit: Kit, folder: Path
) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    ran = kit.seal(folder, code=4)
    assert {name for name, status in names(ran).items() if status == "refused"} == {"link", "pipe"}
    seal = FieldSeal.opened((folder / SEAL).read_bytes())
    assert {each.name for each in seal.unsealed} == {b"link", b"pipe"}
    assert kit("--check", folder).summary["unsealed"] == 2
    (folder / "link").unlink()
    (folder / "link").write_bytes(b"now a file")
    assert names(kit("--check", folder, code=3)) == {"link": "added"}


def test_a_file_that_changes_meanwhile_is_refused(
    kit: Kit, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = FingerprintPass.read

    def meanwhile(self: FingerprintPass, opened: OpenSource) -> Fingerprint:
        if opened.source.path.endswith(b"note.txt"):
            with (folder / "note.txt").open("ab") as file:
                file.write(b"more")
        return read(self, opened)

    monkeypatch.setattr(FingerprintPass, "read", meanwhile)
    ran = kit.seal(folder, code=4)
    refused = [each for each in ran.lines if each["status"] == "refused"]
    assert {each["name"] for each in refused} >= {"note.txt"}
    assert {each["code"] for each in refused} == {"E210"}


def test_a_seal_is_never_written_over(kit: Kit, folder: Path) -> None:
    kit.seal(folder)
    before = (folder / SEAL).read_bytes()
    kit.seal(folder, code=2)
    assert (folder / SEAL).read_bytes() == before


def test_a_harmed_seal_and_another_key_are_integrity_failures(kit: Kit, folder: Path) -> None:
    kit.seal(folder)
    kit("--check", folder, "--by", "0" * 32, code=3)
    content = (folder / SEAL).read_text()
    (folder / SEAL).write_text(content.replace("Insp. A. Novak", "Insp. B. Novak"))
    kit("--check", folder, code=3)
    (folder / SEAL).unlink()
    kit("--check", folder, code=2)


def test_sha256sum_and_bagit_which_we_did_not_write_agree(
    kit: Kit, folder: Path, tmp_path: Path
) -> None:
    (folder / "two\nlines").write_bytes(b"x")
    sums, bag, out = tmp_path / "SHA256SUMS", tmp_path / "bag", tmp_path / "seal.json"
    kit.seal(folder, "--manifest-out", out, "--sums", sums, "--bag", bag)
    checked = subprocess.run(  # noqa: S603 - coreutils
        ["/usr/bin/env", "sha256sum", "-c", "--strict", "--quiet", sums], cwd=folder, check=False
    )
    assert checked.returncode == 0
    shutil.copytree(folder, bag / "data")
    bagit.Bag(str(bag)).validate()
    (bag / "data" / "note.txt").write_bytes(b"other")
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(bag)).validate()


def test_a_field_key_is_its_owners_alone_and_never_written_over(kit: Kit, folder: Path) -> None:
    assert stat.S_IMODE(kit.key.stat().st_mode) == 0o600
    kit("--new-key", kit.key, code=2)
    kit.key.chmod(0o644)
    kit.seal(folder, code=2)
    assert not (folder / SEAL).exists()


def test_a_field_key_can_be_under_a_passphrase(kit: Kit, folder: Path, tmp_path: Path) -> None:
    secret, wrong, key = tmp_path / "secret", tmp_path / "wrong", tmp_path / "protected.pem"
    secret.write_text("a long passphrase\n")
    secret.chmod(0o600)
    wrong.write_text("another\n")
    wrong.chmod(0o600)
    made = kit("--new-key", key, "--passphrase-file", secret).records[0]
    assert b"ENCRYPTED" in key.read_bytes()
    kit(folder, "--key", key, code=2)  # no terminal to ask at
    kit(folder, "--key", key, "--passphrase-file", wrong, code=2)
    ran = kit(folder, "--key", key, "--passphrase-file", secret)
    assert ran.summary["key"] == made["key"]


def test_a_single_file_can_be_sealed(kit: Kit, folder: Path, tmp_path: Path) -> None:
    file, out = folder / "deep" / "er" / "big.bin", tmp_path / "seal.json"
    kit.seal(file, "--manifest-out", out)
    assert set(FieldSeal.opened(out.read_bytes()).files) == {b"big.bin"}
    assert kit(file, "--check", "--manifest", out).summary["differences"] == 0


def test_what_cannot_be_done_is_said(kit: Kit, folder: Path, tmp_path: Path) -> None:
    kit(folder, code=2)
    kit("--check", code=2)
    kit.seal(folder, "--manifest-out", tmp_path / "no" / "such" / "seal.json", code=4)
    link = tmp_path / "link"
    link.symlink_to(folder)
    kit.seal(link, "--manifest-out", tmp_path / "x.json", code=4)
    assert json.loads(kit("--check", folder, code=2).err)["error"]["code"] == "E100"
