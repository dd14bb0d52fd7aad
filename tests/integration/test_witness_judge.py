"""Another people's witness, in Rust, judges the same requests: the answers must agree."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response

from api.cosigners import collect
from api.http.witness import answered
from evidence_store.ledger.add_checkpoint import AddCheckpoint, Cosigned
from evidence_store.ledger.cosigning import AlarmKind, Collected
from evidence_store.ledger.note import KeyType, Note, VerifierKey
from evidence_store.ledger.policy import NONE, Policy, Witness
from evidence_store.ledger.signing import verified_by
from evidence_store.ledger.witness import Cosigner
from storage.ledger.witness_state import SqliteWitnessState
from tests.witnesses import NOW, WITNESS, WitnessedLog, serving, witness_signers

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("witness_log") is None,
    reason="the Rust witness (package witness-log) is not installed",
)
LOG = WitnessedLog(300)
REWRITTEN = WitnessedLog(300, b"false")
STRANGER = WitnessedLog(5, origin="log.invalid/other")
BAD_PROOF = AddCheckpoint(100, (bytes(32),) * len(LOG.tree.consistency(100)), LOG.note()).encode()
UNSIGNED = b"old 100\n\n" + Note(LOG.note().text, STRANGER.note().signatures).encode()
# Each follows the ones before; what both answered is remembered by both.
REQUESTS = {
    "another log": (STRANGER.request(0), 404),
    "the first": (LOG.request(0, 100), 200),
    "from nothing again": (LOG.request(0, 200), 409),
    "another root of the size": (REWRITTEN.request(100, 100), 422),
    "a rewritten log": (REWRITTEN.request(100), 422),
    "a bad proof": (BAD_PROOF, 422),
    "signed by a stranger": (UNSIGNED, 403),
    "an old size above": (LOG.request(100, 100).replace(b"old 100", b"old 999"), 400),
    "a leading zero": (LOG.request(100).replace(b"old 100", b"old 0100"), 400),
    "nothing": (b"", 400),
    "the same again": (LOG.request(100, 100), 200),
    "a full tile": (LOG.request(100, 256), 200),
    "the newest": (LOG.request(256, 300), 200),
    "from yesterday": (LOG.request(100, 256), 409),
}


def test_two_witnesses_that_do_not_know_each_other_answer_alike(tmp_path: Path) -> None:
    import witness_log  # noqa: PLC0415 - only where it is installed

    key = LOG.signers[0].key  # it knows Ed25519 only
    assert key.type is KeyType.ED25519
    rust = witness_log.WitnessService.new(f"{WITNESS}-rust", bytes(range(32)))
    assert rust.add_log(LOG.origin, str(key))
    rust_key = VerifierKey.parse(rust.vkey())
    state = SqliteWitnessState.create(tmp_path / "witness.db", WITNESS)
    ours = Cosigner(Policy({key: None}, {}, {}, NONE), witness_signers(), state)
    for name, (body, status) in REQUESTS.items():
        answer = ours.add_checkpoint(body, NOW)
        response = answered(answer)
        theirs = rust.handle_add_checkpoint_http(body.decode(), int(NOW.timestamp()))
        assert (name, response.status_code, theirs[0]) == (name, status, status)
        if status == 409:
            said = (response.headers["Content-Type"], bytes(response.body).decode())
            assert said == theirs[1:]
        if status == 200:
            lines = Cosigned.parse(theirs[2].encode()).signatures
            note = Note(AddCheckpoint.parse(body).note.text, lines)
            assert verified_by(note, rust_key) == int(NOW.timestamp())
    state.close()


def test_our_log_collects_the_cosignatures_of_a_witness_that_is_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import witness_log  # noqa: PLC0415 - only where it is installed

    monkeypatch.delenv("http_proxy", raising=False)
    rust = witness_log.WitnessService.new(f"{WITNESS}-rust", bytes(range(32)))
    rust.add_log(LOG.origin, str(LOG.signers[0].key))
    app = FastAPI()

    @app.post("/add-checkpoint")
    async def add_checkpoint(request: Request) -> Response:
        body = (await request.body()).decode()
        status, kind, text = rust.handle_add_checkpoint_http(body, int(NOW.timestamp()))
        return Response(text, status, {"Content-Type": kind})

    def collected(log: WitnessedLog, size: int) -> Collected:
        def consistency(old: int) -> Sequence[bytes]:
            return log.tree.consistency(old, size)

        return collect(policy, log.note(size), consistency)

    with serving(app) as address:
        key = VerifierKey.parse(rust.vkey())
        policy = Policy(LOG.policy.logs, {"rust": Witness("rust", key, address)}, {}, "rust")
        for size in (100, 256, 300):
            found = collected(LOG, size)
            assert found.unreachable == {}
            assert set(policy.checked(found.note).cosigned) == {"rust"}
        assert [each.kind for each in collected(REWRITTEN, 300).alarms] == [AlarmKind.FORK]
