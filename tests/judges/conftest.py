"""A log for judges that are not ours: three levels of tiles, full and partial, and a full note."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from evidence_store.errors import NotFoundError
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.note import KeyType, Note, VerifierKey
from evidence_store.ledger.signing import Signer
from evidence_store.ledger.tiles import TileTree, grown

SIZE = 65_536 + 600
ORIGIN = "log.invalid/si/large"
AT = 1_700_000_000


def entry(number: int) -> bytes:
    return number.to_bytes(4, "big") * 16


@dataclass(frozen=True)
class LargeLog:
    """A log in a folder; its note is signed by both keys of the log and cosigned."""

    folder: Path
    ed25519: Signer
    mldsa: Signer
    witness: Signer
    note: Note

    def read(self, path: str) -> bytes:
        try:
            return (self.folder / path).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(path) from None

    def tree(self) -> TileTree:
        return TileTree(self.read, SIZE)

    def copied(self, folder: Path) -> Path:
        """A copy that may be damaged."""
        shutil.copytree(self.folder, folder)
        return folder


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> LargeLog:
    folder = tmp_path_factory.mktemp("large")
    # Only what the newest size needs: a judge that asks for another tile has lost its way.
    files: dict[str, bytes] = {}
    _, files = grown(TileTree(_nothing, 0), (), [entry(number) for number in range(SIZE)])
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    ed25519, mldsa = _signers(ORIGIN)
    witness, _ = _signers("witness.invalid/w", KeyType.ED25519_COSIGNATURE)
    checkpoint = Checkpoint(ORIGIN, SIZE, TileTree(files.__getitem__, SIZE).root())
    lines = [each.sign(checkpoint, AT) for each in (mldsa, witness, ed25519)]
    note = Note(checkpoint.text, tuple(lines))
    (folder / "checkpoint").write_bytes(note.encode())
    return LargeLog(folder, ed25519, mldsa, witness, note)


def _nothing(path: str) -> bytes:
    raise NotFoundError(path)


def _signers(name: str, kind: KeyType = KeyType.ED25519) -> tuple[Signer, Signer]:
    seed = name.encode().ljust(32, b".")[:32]
    ed25519 = Ed25519PrivateKey.from_private_bytes(seed)
    mldsa = MLDSA44PrivateKey.from_seed_bytes(seed)
    return (
        Signer(VerifierKey(name, kind, ed25519.public_key().public_bytes_raw()), ed25519),
        Signer(
            VerifierKey(name, KeyType.MLDSA44_COSIGNATURE, mldsa.public_key().public_bytes_raw()),
            mldsa,
        ),
    )


def ran(
    *command: str | Path, given: str = "", environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """A program that judges, and what it said."""
    return subprocess.run(  # noqa: S603 - the programs that the tests name
        list(map(str, command)),
        input=given,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
