"""What an act's doer gets in hand: the proof that the log holds it, or how to fetch it."""

from api import ledger
from api.cli.output import Json
from api.ledger import Receipt
from api.wiring import Instance
from evidence_store.identifiers import Ern

SEALED, PENDING = "sealed", "pending"


def receipt_fields(receipt: Receipt) -> dict[str, Json]:
    """A receipt as a record's fields."""
    recorded = receipt.recorded
    event = recorded.signed.event
    found: dict[str, Json] = {
        "seq": recorded.seq,
        "act": event.act,
        "by": str(event.by),
        "at": event.at.isoformat(),
        "commitment": recorded.signed.commitment.hex(),
        "index": recorded.index,
    }
    if receipt.proof is None:
        return {
            **found,
            "receipt": PENDING,
            "fetch": f"evidence log prove {recorded.subject}",
        }
    return {**found, "receipt": SEALED, "proof": str(receipt.proof)}


def last_receipt(instance: Instance, ern: Ern) -> dict[str, Json]:
    """The receipt of the act just recorded, after letting the log take it in.

    Raises:
        LedgerAlteredError: if the log refuses to be signed; the act is kept, and waits.
    """
    problem = ledger.settle(instance)
    found = receipt_fields(ledger.receipts(instance, ern)[-1])
    return found if problem is None else {**found, "waits_for": problem}
