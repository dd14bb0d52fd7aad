"""Logs to witness, honest and not, and witnesses with memories that are gone with the test."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from fastapi import FastAPI

from evidence_store.ledger.add_checkpoint import AddCheckpoint, Answer
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.note import KeyType, Note, VerifierKey
from evidence_store.ledger.policy import NONE, Policy, Witness
from evidence_store.ledger.signing import Signer
from evidence_store.ledger.tiles import TileTree, grown
from evidence_store.ledger.witness import Cosigner, WitnessState
from storage.ledger.files import TileMemory
from tests.signing import HeldKeys

ORIGIN = "log.invalid/si/witnessed"
WITNESS = "witness.invalid/be/w1"
NOW = datetime(2026, 3, 14, 10, tzinfo=UTC)


@dataclass
class WitnessedLog:
    """A log of `size` entries; another `history` is the same log, rewritten with its own keys."""

    size: int
    history: bytes = b"true"
    origin: str = ORIGIN

    def __post_init__(self) -> None:
        self._notes: dict[int, Note] = {}
        self.signers = HeldKeys().log_signers(self.origin)
        files = TileMemory()
        entries = [self.history + number.to_bytes(4) for number in range(self.size)]
        _, written = grown(TileTree(files.read, 0), (), entries)
        files.write(written)
        self.tree = TileTree(files.read, self.size)

    @property
    def policy(self) -> Policy:
        return Policy(dict.fromkeys(each.key for each in self.signers), {}, {}, NONE)

    def note(self, size: int | None = None) -> Note:
        """The checkpoint of this size, signed once: ML-DSA never signs alike twice."""
        size = self.size if size is None else size
        if size not in self._notes:
            checkpoint = Checkpoint(self.origin, size, self.tree.root_at(size))
            lines = tuple(each.sign(checkpoint, 1) for each in self.signers)
            self._notes[size] = Note(checkpoint.text, lines)
        return self._notes[size]

    def request(self, old: int, size: int | None = None) -> bytes:
        size = self.size if size is None else size
        return AddCheckpoint(old, tuple(self.tree.consistency(old, size)), self.note(size)).encode()

    def watched_by(self, *urls: str) -> Policy:
        """The log's policy: the witness of the fixtures, by both of its keys, at each address."""
        witnesses = {
            f"{number}-{kind}": Witness(f"{number}-{kind}", signer.key, url)
            for number, url in enumerate(urls)
            for kind, signer in enumerate(witness_signers(f"{WITNESS}{number or ''}"))
        }
        return Policy(self.policy.logs, witnesses, {}, NONE)


def witness_signers(name: str = WITNESS) -> list[Signer]:
    """The two keys of a witness of this name, the same in every run."""
    seed = hashlib.sha256(b"witness " + name.encode()).digest()
    ed25519, mldsa = (
        Ed25519PrivateKey.from_private_bytes(seed),
        MLDSA44PrivateKey.from_seed_bytes(seed),
    )
    return [
        Signer(
            VerifierKey(name, KeyType.ED25519_COSIGNATURE, ed25519.public_key().public_bytes_raw()),
            ed25519,
        ),
        Signer(
            VerifierKey(name, KeyType.MLDSA44_COSIGNATURE, mldsa.public_key().public_bytes_raw()),
            mldsa,
        ),
    ]


@dataclass
class NearWitness:
    """Implements `WitnessLink` without a network: the witness is in the same process."""

    cosigner: Cosigner
    asked: list[AddCheckpoint] = field(default_factory=list)

    def add_checkpoint(self, request: AddCheckpoint) -> Answer:
        self.asked.append(request)
        return self.cosigner.add_checkpoint(request.encode(), NOW)

    def latest(self, origin: str) -> Note | None:
        seen = self.cosigner.state.latest(origin)
        return None if seen is None else seen.note


def witness_of(log: WitnessedLog, state: WitnessState) -> Cosigner:
    """A witness that knows this log."""
    return Cosigner(log.policy, witness_signers(), state)


@dataclass(frozen=True)
class Fixed:
    """A clock that stands still."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application at this machine's own address; gives that address."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
