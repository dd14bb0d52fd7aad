"""How acts become events: signed, chained and entered in the transaction that does the act.

The event and its entry for the log are written together with what they are about, so there is
no act without its entry. Until the log has given it a place, the act is not receipted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from evidence_store.identifiers import KeyId
from evidence_store.ledger.event import (
    ITEM_KEY_BYTES,
    Anchor,
    Draft,
    Link,
    SignedEvent,
    composed,
)
from evidence_store.ledger_port import NewEvent, SigningKeys
from evidence_store.ports import CatalogWriter, Clock, Randomness


@dataclass(frozen=True, slots=True)
class Recorder:
    """Signs as one authority, for one log."""

    log: str
    by: KeyId
    keys: SigningKeys
    clock: Clock
    random: Randomness

    def record(self, writer: CatalogWriter, drafts: Sequence[Draft]) -> Sequence[SignedEvent]:
        """Enter the drafts as events, in order, within the writer's transaction.

        Raises:
            KeyUnavailableError: if the authority's key is not at hand.
            MalformedError: if a draft holds what an event cannot.
            ConflictError: as `LedgerWriter.add_events`.
        """
        links = dict(writer.ledger.links(list(dict.fromkeys(draft.item for draft in drafts))))
        anchor = self.anchor(writer)
        now = self.clock.now()
        events: list[NewEvent] = []
        for draft in drafts:
            link = links.get(draft.item) or Link(self.random(ITEM_KEY_BYTES))
            signed = composed(
                draft,
                link,
                log=self.log,
                by=self.by,
                at=now,
                anchor=anchor,
                sign=lambda message: self.keys.sign(self.by, message),
                random=self.random,
            )
            events.append(NewEvent(draft.item, link, draft.act, self.by, now, signed))
            links[draft.item] = Link(link.item_key, link.seq + 1, signed.commitment)
        writer.ledger.add_events(events)
        return [each.signed for each in events]

    def anchor(self, writer: CatalogWriter) -> Anchor | None:
        """The newest sealed checkpoint that is known within the transaction."""
        head = writer.ledger.sealed_head()
        return None if head is None else Anchor(head.size, head.root)
