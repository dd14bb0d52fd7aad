"""Go's sumdb (the people who wrote tlog) makes our tiles and proofs anew, and signs notes for us to read."""

import os
import random
import shutil
from pathlib import Path

import pytest

from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.note import Note, VerifierKey
from evidence_store.ledger.signing import verified_by
from tests.judges.conftest import ORIGIN, SIZE, LargeLog, ran

GOPATH = Path(os.environ.get("EVIDENCE_GOPATH", "/usr/share/gocode"))
PROGRAM = Path(__file__).parent / "programs" / "regenerate.go"
DAMAGED = [
    "tile/0/000",
    "tile/0/258.p/88",
    "tile/1/000",
    "tile/1/001.p/2",
    "tile/2/000.p/1",
    "tile/entries/000",
    "tile/entries/258.p/88",
]


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("go")
    if compiler is None or not (GOPATH / "src/golang.org/x/mod/sumdb").is_dir():
        pytest.skip("needs Go's sumdb: apt-get install golang-go golang-golang-x-mod-dev")
    folder = tmp_path_factory.mktemp("go")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "-p=1",
    }
    built = ran(compiler, "build", "-o", folder / "regenerate", PROGRAM, environment=environment)
    assert built.returncode == 0, built.stderr
    return folder / "regenerate"


def test_go_makes_every_tile_and_every_proof_as_we_do(go: Path, large: LargeLog) -> None:
    chance = random.Random(7)  # noqa: S311 - which proofs, not secrets
    sizes = [1, 2, 255, 256, 257, 65_535, 65_536, 65_537, SIZE - 1, SIZE]
    sizes += [chance.randint(1, SIZE) for _ in range(40)]
    places = [(index, size) for size in sizes for index in {0, size // 2, size - 1}]
    places += [(chance.randrange(size), size) for size in sizes]
    # Go has no proof between a tree and itself, and none from a tree without entries.
    pairs = [
        (older, size) for size in sizes for older in {1, size // 2, size - 1} if 0 < older < size
    ]
    pairs += [(chance.randint(1, size - 1), size) for size in sizes if size > 1]
    tree = large.tree()
    questions = [f"inclusion {index} {size}" for index, size in places]
    questions += [f"consistency {older} {size}" for older, size in pairs]
    ours = [tree.inclusion(index, size) for index, size in places]
    ours += [tree.consistency(older, size) for older, size in pairs]
    answered = ran(go, str(large.ed25519.key), large.folder, given="\n".join(questions))
    assert answered.returncode == 0, answered.stderr
    theirs = answered.stdout.split("\n")[:-1]
    spelt = [" ".join(each.hex() for each in proof) for proof in ours]
    assert dict(zip(questions, theirs, strict=True)) == dict(zip(questions, spelt, strict=True))


@pytest.mark.parametrize("path", DAMAGED)
def test_go_refuses_a_log_with_one_bit_changed(
    go: Path, large: LargeLog, tmp_path: Path, path: str
) -> None:
    folder = large.copied(tmp_path / "log")
    assert not refuses(go, large, folder)
    content = bytearray((folder / path).read_bytes())
    content[-1] ^= 1
    (folder / path).write_bytes(content)
    assert refuses(go, large, folder)


def test_go_refuses_a_note_of_another_size_name_or_key(
    go: Path, large: LargeLog, tmp_path: Path
) -> None:
    folder = large.copied(tmp_path / "log")
    assert not refuses(go, large, folder)
    text = large.note.encode().decode()
    line = next(each for each in large.note.signatures if each.is_by(large.ed25519.key))
    for changed in (
        text.replace(f"\n{SIZE}\n", f"\n{SIZE - 1}\n"),
        text.replace(ORIGIN, f"{ORIGIN}r", 1),
        text.replace(str(line), ""),
        text.replace(str(line), str(line).replace("log.invalid", "log-invalid")),
    ):
        assert changed != text
        (folder / "checkpoint").write_text(changed)
        assert refuses(go, large, folder)


def refuses(go: Path, log: LargeLog, folder: Path) -> bool:
    code = ran(go, str(log.ed25519.key), folder).returncode
    assert code in (0, 3)  # an answer, not an accident
    return code == 3


def test_a_note_that_go_signed_is_read_and_verifies(go: Path) -> None:
    checkpoint = Checkpoint("log.invalid/go", 41, bytes(range(32)))
    answered = ran(go, "sign", checkpoint.origin, checkpoint.text)
    vkey, _, signed = answered.stdout.partition("\n")
    key, note = VerifierKey.parse(vkey), Note.parse(signed.encode())
    assert str(key) == vkey
    assert note.encode() == signed.encode()
    assert verified_by(note, key) == 0
    assert Checkpoint.of(note) == checkpoint
