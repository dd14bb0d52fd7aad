"""Writing the ledger's rows, within a transaction that nobody else writes beside."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import bindparam, delete, insert, select, update

from evidence_store.errors import ConflictError, NotFoundError
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
    PENDING,
    SqlLedgerReader,
)
from storage.catalog.ordering import ern_key
from storage.catalog.spelling import Columns

_CONTINUE = (
    update(CHAIN)
    .where(CHAIN.c.ern_key == bindparam("of_key"), CHAIN.c.seq == bindparam("of_seq"))
    .values(seq=bindparam("to_seq"), head=bindparam("to_head"))
)


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
        self._wait([(hashlib.sha256(control.entry).digest(), control.entry)])

    def add_events(self, events: Sequence[NewEvent]) -> None:
        """See `LedgerWriter.add_events`."""
        if not events:
            return
        first = self._queries.next_serial("event", len(events))
        rows, waiting, begun, continued = [], [], [], []
        for number, each in enumerate(events, start=first):
            key, seq = ern_key(each.ern), each.link.seq + 1
            commitment = each.signed.commitment
            rows.append(_event_columns(each, number, key, seq, commitment))
            waiting.append((commitment, leaf(each.link.item_key, seq, commitment)))
            if seq == 1:
                begun.append(
                    {
                        "ern_key": key,
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
        self._queries.insert(CHAIN, begun)
        for row in continued:
            if self._queries.run(_CONTINUE, [row]) != 1:
                raise ConflictError("ledger: the item's chain was continued meanwhile; try again")
        self._queries.insert(EVENT, rows)
        self._wait(waiting)

    def sequence(self, limit: int) -> int:
        """See `LedgerWriter.sequence`."""
        query = select(PENDING).order_by(PENDING.c.number).limit(limit)
        found = self._queries.all(query, lambda row: (row.number, row.commitment, row.entry))
        if not found:
            return 0
        places = enumerate(found, start=self.size())
        self._queries.insert(
            LEAF,
            [
                {"place": place, "commitment": commitment, "entry": entry}
                for place, (_, commitment, entry) in places
            ],
        )
        self._queries.run(delete(PENDING).where(PENDING.c.number <= found[-1][0]))
        return len(found)

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

    def _wait(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        first = self._queries.next_serial("pending", len(entries))
        self._queries.insert(
            PENDING,
            [
                {"number": number, "commitment": commitment, "entry": entry}
                for number, (commitment, entry) in enumerate(entries, start=first)
            ],
        )


def _event_columns(event: NewEvent, number: int, key: str, seq: int, commitment: bytes) -> Columns:
    return {
        "ern_key": key,
        "seq": seq,
        "number": number,
        "act": event.act,
        "kid": str(event.by),
        "recorded_at": event.at,
        "commitment": commitment,
        "body": event.signed.body,
        "signature": event.signed.signature,
        "disclosures": "\n".join(event.signed.disclosures),
    }
