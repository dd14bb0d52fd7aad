"""What an act's record says of the log: sealed already, or why that waits."""

from typing import Any

from api import ledger
from api.http.caller import Caller

Record = dict[str, Any]


def settled(caller: Caller, record: Record) -> Record:
    """The record, after letting the log take in what was done.

    Raises:
        LedgerAlteredError: if the log refuses to be signed; the act is kept, and waits.
    """
    waits = ledger.settle(caller.instance)
    return {**record, "receipt": "sealed"} if waits is None else {**record, "waits_for": waits}
