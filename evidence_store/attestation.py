"""What the ledger attests of a version: that these bytes were measured, by whom, when, provably.

The catalog alone is not believed: its owner could have put another digest there. The event that
measured the version must say the same, be signed, and stand in the log.
"""

from dataclasses import dataclass
from datetime import datetime

from evidence_store.audit import audit_item
from evidence_store.digest import Digest
from evidence_store.errors import EvidenceError
from evidence_store.handling import history_of
from evidence_store.identifiers import Ern, KeyId
from evidence_store.ledger.event import Event, leaf
from evidence_store.ledger.policy import Policy
from evidence_store.ledger.proof import LogProof
from evidence_store.ledger_port import Recorded, TileStore, chain_of
from evidence_store.ports import CatalogReader
from evidence_store.sequencing import proof_of


@dataclass(frozen=True, slots=True)
class Attestation:
    """Which event measured the version, and the proof of it.

    `problem` says why the ledger does not attest it; without one and without a proof, the log
    has not sealed it yet.
    """

    problem: str | None
    seq: int | None = None
    by: KeyId | None = None
    at: datetime | None = None
    proof: LogProof | None = None
    custodian: str | None = None


def attestation(
    reader: CatalogReader, tiles: TileStore, policy: Policy, ern: Ern, number: int, sha256: Digest
) -> Attestation:
    """What the ledger attests of these bytes as this version. Never raises for what it finds."""
    try:
        problems = [each.problem for each in audit_item(reader, ern) if each.problem]
        found = _measuring(reader, ern, number, sha256)
        if problems or found is None:
            return Attestation(problems[0] if problems else "no event measured these bytes")
        recorded, event = found
        custody = history_of(reader.ledger, ern).custody
        return Attestation(
            problem=None,
            seq=event.seq,
            by=event.by,
            at=event.at,
            proof=_proof(reader, tiles, policy, ern, recorded),
            custodian=None if custody is None else str(custody.custodian),
        )
    except EvidenceError as error:
        return Attestation(str(error))


def _measuring(
    reader: CatalogReader, ern: Ern, number: int, sha256: Digest
) -> tuple[Recorded, Event] | None:
    """The event that brought the version, if it measured these bytes."""
    for recorded in reader.ledger.events(ern):
        event = recorded.signed.event
        measured = event.data.get("measured")
        if event.act in {"registered", "version_added"} and isinstance(measured, list):
            for each in measured:
                if isinstance(each, dict) and each.get("version") == number:
                    return (recorded, event) if each.get("sha256") == sha256.hex else None
    return None


def _proof(
    reader: CatalogReader, tiles: TileStore, policy: Policy, ern: Ern, recorded: Recorded
) -> LogProof | None:
    proof = None if recorded.index is None else proof_of(reader.ledger, tiles, recorded.index)
    if proof is not None:
        link = chain_of(reader.ledger, ern)
        proof.verify(leaf(link.item_key, recorded.seq, recorded.signed.commitment), policy)
    return proof
