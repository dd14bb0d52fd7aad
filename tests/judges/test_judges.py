"""Programs that are not ours judge our log. Each is skipped, with its reason, where it is missing."""

import base64
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import scitt_cose  # type: ignore[import-untyped] # it has no types
import witness_log
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.cose import receipt
from evidence_store.ledger.merkle import leaf_hash
from evidence_store.ledger.note import KeyType, Note, VerifierKey
from evidence_store.ledger.signing import Signer
from evidence_store.ledger.tiles import TileTree, grown
from storage.ledger.files import TileFolder

SIZE = 300  # a full tile and a partial one, on two levels
ORIGIN = "log.invalid/si/judged"
ENTRIES = [number.to_bytes(4, "big") * 16 for number in range(SIZE)]


@dataclass
class Judged:
    """A log in a folder, signed by Ed25519."""

    folder: Path
    private: Ed25519PrivateKey
    signer: Signer
    tree: TileTree
    checkpoint: Checkpoint

    @property
    def pem(self) -> str:
        public = self.private.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def log(tmp_path: Path) -> Judged:
    folder = tmp_path / "log"
    store = TileFolder(folder)
    private = Ed25519PrivateKey.from_private_bytes(b"j" * 32)
    key = VerifierKey(ORIGIN, KeyType.ED25519, private.public_key().public_bytes_raw())
    signer = Signer(key, private)
    _, files = grown(TileTree(store.read, 0), (), ENTRIES)
    store.write(files)
    tree = TileTree(store.read, SIZE)
    checkpoint = Checkpoint(ORIGIN, SIZE, tree.root())
    store.publish(Note(checkpoint.text, (signer.sign(checkpoint, 0),)).encode())
    return Judged(folder, private, signer, tree, checkpoint)


def run(
    *command: str | Path, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - programs that judge
        list(map(str, command)), capture_output=True, text=True, check=False, env=env
    )


def listed(hashes: Sequence[bytes]) -> str:
    return "".join(base64.b64encode(each).decode() + "\n" for each in hashes)


# -------------------------------------------------------------------------- Rust


def test_rust_accepts_every_proof_of_inclusion_and_no_other(log: Judged) -> None:
    for index in (0, 1, 127, 255, 256, SIZE - 1):
        path = [each.hex() for each in log.tree.inclusion(index)]
        leaf, root = leaf_hash(ENTRIES[index]).hex(), log.checkpoint.root.hex()
        accepted = [
            rust(leaf, index, SIZE, path, root),
            rust(leaf, index ^ 1, SIZE, path, root),
            rust(leaf_hash(b"other").hex(), index, SIZE, path, root),
        ]
        assert accepted == [True, False, False]


def rust(leaf: str, index: int, size: int, path: list[str], root: str) -> bool:
    from witness_log import verify_inclusion  # noqa: PLC0415

    try:
        return bool(verify_inclusion(leaf, index, size, path, root))
    except (ValueError, witness_log.WitnessLogError):
        return False


# -------------------------------------------------------------------------- COSE


def test_scitt_cose_accepts_our_receipts_and_no_changed_one(log: Judged) -> None:
    for index in (0, 200, SIZE - 1):
        path = log.tree.inclusion(index)
        made = receipt(log.checkpoint.root, SIZE, index, path, log.private, b"kid")
        entry = ENTRIES[index].hex()
        found = scitt_cose.verify_receipt(made, leaf_entry_hex=entry, log_public_key_pem=log.pem)
        assert found.ok, found.errors
        other = scitt_cose.verify_receipt(made, leaf_entry_hex="00", log_public_key_pem=log.pem)
        assert not other.ok
        changed = made[:-1] + bytes([made[-1] ^ 1])
        refused = scitt_cose.verify_receipt(
            changed, leaf_entry_hex=entry, log_public_key_pem=log.pem
        )
        assert not refused.ok


# ----------------------------------------------------------------------- openssl


def test_openssl_accepts_the_logs_signature_and_no_other(log: Judged, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    (tmp_path / "key.pem").write_text(log.pem)
    (tmp_path / "text").write_text(log.checkpoint.text)
    (tmp_path / "sig").write_bytes(log.signer.sign(log.checkpoint, 0).value)
    command = (
        "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "key.pem", "-rawin",
        "-sigfile", tmp_path / "sig", "-in", tmp_path / "text",
    )  # fmt: skip
    assert run(*command).returncode == 0
    (tmp_path / "text").write_text(log.checkpoint.text.replace(str(SIZE), str(SIZE + 1)))
    assert run(*command).returncode != 0


def test_signify_accepts_the_logs_signature_and_no_other(log: Judged, tmp_path: Path) -> None:
    signify = shutil.which("signify-openbsd")
    if signify is None:
        pytest.skip("needs signify: apt-get install signify-openbsd")
    head = b"Ed" + b"12345678"
    public = log.private.public_key().public_bytes_raw()
    for name, value in (
        ("key.pub", public),
        ("text.sig", log.signer.sign(log.checkpoint, 0).value),
    ):
        encoded = base64.b64encode(head + value).decode()
        (tmp_path / name).write_text(f"untrusted comment: judge\n{encoded}\n")
    (tmp_path / "text").write_text(log.checkpoint.text)
    command = (
        signify,
        "-V",
        "-p",
        tmp_path / "key.pub",
        "-m",
        tmp_path / "text",
        "-x",
        tmp_path / "text.sig",
    )
    assert run(*command).returncode == 0
    (tmp_path / "text").write_text(log.checkpoint.text + "x")
    assert run(*command).returncode != 0


# ---------------------------------------------------------------------------- Go


GOPATH = Path("/usr/share/gocode")


def go(log: Judged, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    program = Path(__file__).parent / "programs" / "judge.go"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(log.folder.parent),
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOCACHE": str(log.folder.parent / "go"),
    }
    return run("go", "run", program, str(log.signer.key), log.folder, *arguments, env=env)


@pytest.fixture
def sumdb() -> None:
    if shutil.which("go") is None or not (GOPATH / "src/golang.org/x/mod/sumdb").is_dir():
        pytest.skip("needs Go's sumdb: apt-get install golang-go golang-golang-x-mod-dev")


@pytest.mark.usefixtures("sumdb")
def test_go_accepts_our_note_tiles_and_proofs_and_no_other(log: Judged, tmp_path: Path) -> None:
    index = 200
    (tmp_path / "proof").write_text(listed(log.tree.inclusion(index)))
    (tmp_path / "entry").write_bytes(ENTRIES[index])
    ran = go(log, str(index), tmp_path / "proof", tmp_path / "entry")
    assert ran.stdout == f"accepted {SIZE}\n", ran.stderr
    (tmp_path / "entry").write_bytes(b"another")
    assert go(log, str(index), tmp_path / "proof", tmp_path / "entry").returncode != 0


@pytest.mark.usefixtures("sumdb")
def test_go_refuses_a_changed_tile_and_a_changed_note(log: Judged) -> None:
    tile = log.folder / "tile/0/000"
    tile.chmod(0o600)
    content = bytearray(tile.read_bytes())
    content[100] ^= 1
    tile.write_bytes(content)
    assert go(log).returncode != 0
    content[100] ^= 1
    tile.write_bytes(content)
    assert go(log).returncode == 0
    note = (log.folder / "checkpoint").read_text()
    (log.folder / "checkpoint").chmod(0o600)
    (log.folder / "checkpoint").write_text(note.replace(f"\n{SIZE}\n", f"\n{SIZE - 1}\n"))
    assert go(log).returncode != 0
