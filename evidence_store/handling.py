"""How an item is handled: the rules of custody decide, and the act is recorded if they allow it.

The rules see the item's own events, in the transaction that adds the next one, so two who act
at the same time cannot both be right.
"""

from collections.abc import Sequence

from evidence_store.custody.act import Act, ActType
from evidence_store.custody.state import after, begun
from evidence_store.custody.timeline import History, history
from evidence_store.errors import CustodyError
from evidence_store.identifiers import Ern
from evidence_store.ledger.event import Draft, SignedEvent
from evidence_store.ledger_port import LedgerReader
from evidence_store.ports import CatalogWriter
from evidence_store.recording import Recorder


def handle(
    writer: CatalogWriter, recorder: Recorder, drafts: Sequence[Draft]
) -> Sequence[SignedEvent]:
    """Record acts that the rules of custody allow, all of them or none.

    Raises:
        NotFoundError: if there is no such item.
        CustodyError: if an act is not possible now, or not by this authority.
        MalformedError: if an act lacks a field that it must have.
        KeyUnavailableError: as `Recorder.record`.
    """
    now = recorder.clock.now()
    for ern in dict.fromkeys(draft.item for draft in drafts):
        if not isinstance(ern, Ern):
            raise CustodyError(f"{ern}: expected an item; custody is of items only")
        writer.item(ern)
        found = history_of(writer.ledger, ern)
        custody, seq = found.custody, len(found.rows)
        for draft in (each for each in drafts if each.item == ern):
            seq += 1
            kind = ActType(draft.act)
            act = Act(kind, seq, recorder.by.authority, now, draft.data, draft.private)
            custody = begun(act) if custody is None else after(custody, act)
    return recorder.record(writer, drafts)


def history_of(reader: LedgerReader, ern: Ern) -> History:
    """An item's history, as its events tell it.

    Raises:
        MalformedError, ProofError: if an event cannot be read at all.
    """
    return history([Act.of(recorded.signed) for recorded in reader.events(ern)])
