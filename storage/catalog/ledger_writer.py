"""Writing the ledger's rows, within a transaction that nobody else writes beside."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, insert, update

from evidence_store.custody.transfer import Offer, TransferId
from evidence_store.errors import ConflictError, NotFoundError
from evidence_store.identifiers import StateCode
from evidence_store.ledger.control import commitment_of
from evidence_store.ledger.event import leaf
from evidence_store.ledger.note import Note
from evidence_store.ledger_port import Authority, Control, Head, NewEvent
from storage.catalog.ledger_reader import (
    AUTHORITY,
    CHAIN,
    CONTROL,
    EVENT,
    HEAD,
    LEAF,
    TRANSFER,
    TRANSFER_SIDE,
    SqlLedgerReader,
    sides_of,
)
from storage.catalog.ordering import subject_key, transfer_key
from storage.catalog.prepared import Prepared
from storage.catalog.spelling import Columns

_BEGIN = Prepared(insert(CHAIN))
_CONTINUE = Prepared(
    update(CHAIN)
    .where(CHAIN.c.subject_key == bindparam("of_key"), CHAIN.c.seq == bindparam("of_seq"))
    .values(seq=bindparam("to_seq"), head=bindparam("to_head"))
)
_ENTER = Prepared(insert(EVENT))
_APPEND = Prepared(insert(LEAF))


class SqlLedgerWriter(SqlLedgerReader):
    """Implements `evidence_store.ledger_port.LedgerWriter`. Nothing here commits."""

    def add_authority(self, authority: Authority) -> None:
        """See `LedgerWriter.add_authority`."""
        row = {
            "id": authority.id.value,
            "name": authority.name,
            "created_at": authority.created_at,
        }
        self._queries.insert(AUTHORITY, [row])

    def add_control(self, control: Control) -> None:
        """See `LedgerWriter.add_control`."""
        row: Columns = {
            "number": self._queries.next_serial("control", 1),
            "kind": control.kind,
            "authority": None if control.kid is None else control.kid.authority.value,
            "kid": None if control.kid is None else str(control.kid),
            "public": control.public,
            "entry": control.entry,
        }
        self._queries.insert(CONTROL, [row])
        self._append([(commitment_of(control.entry), control.entry)])

    def add_events(self, events: Sequence[NewEvent]) -> None:
        """See `LedgerWriter.add_events`."""
        if not events:
            return
        rows, entries, begun, continued = [], [], [], []
        for each in events:
            key, seq = subject_key(each.subject), each.link.seq + 1
            commitment = each.signed.commitment
            rows.append(_event_columns(each, key, seq, commitment))
            entries.append((commitment, leaf(each.link.item_key, seq, commitment)))
            if seq == 1:
                begun.append(
                    {
                        "subject_key": key,
                        "item_key": each.link.item_key,
                        "seq": seq,
                        "head": commitment,
                    }
                )
            else:
                continued.append(
                    {
                        "of_key": key,
                        "of_seq": each.link.seq,
                        "to_seq": seq,
                        "to_head": commitment,
                    }
                )
        if begun:
            self._queries.run(_BEGIN, begun)
        if continued and self._queries.run(_CONTINUE, continued) != len(continued):
            raise ConflictError("ledger: an item's chain was continued meanwhile; try again")
        self._queries.run(_ENTER, rows)
        self._append(entries)

    def next_transfer(self, state: StateCode) -> TransferId:
        """See `LedgerWriter.next_transfer`."""
        return TransferId(state, self._queries.next_serial("transfer", 1))

    def add_transfer(self, offer: Offer, made_at: datetime) -> None:
        """See `LedgerWriter.add_transfer`."""
        row: Columns = {
            "transfer_key": transfer_key(offer.transfer),
            "document": offer.document,
            "made_at": made_at,
        }
        self._queries.insert(TRANSFER, [row])
        self._queries.insert(TRANSFER_SIDE, sides_of(offer))

    def add_head(self, head: Head) -> None:
        """See `LedgerWriter.add_head`."""
        row: Columns = {"size": head.size, "root": head.root, "made_at": head.made_at}
        self._queries.run(insert(HEAD), [row])

    def sign_head(self, size: int, note: Note, sealed: Note | None) -> None:
        """See `LedgerWriter.sign_head`."""
        changes = {
            "note": note.encode(),
            "sealed": None if sealed is None else sealed.encode(),
        }
        if self._queries.run(update(HEAD).where(HEAD.c.size == size).values(changes)) == 0:
            raise NotFoundError(f"ledger: there is no state of size {size}")

    def _append(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Give the entries the next places. The writer's lock makes them contiguous."""
        self._queries.run(
            _APPEND,
            [
                {"place": place, "commitment": commitment, "entry": entry}
                for place, (commitment, entry) in enumerate(entries, start=self.size())
            ],
        )


def _event_columns(event: NewEvent, key: str, seq: int, commitment: bytes) -> Columns:
    return {
        "subject_key": key,
        "seq": seq,
        "act": event.act,
        "kid": str(event.by),
        "recorded_at": event.at,
        "commitment": commitment,
        "body": event.signed.body,
        "signature": event.signed.signature,
        "disclosures": "\n".join(event.signed.disclosures),
    }
