"""How acts become events: signed, chained and entered in the transaction that does the act.

The event and its entry for the log are written together with what they are about, so there is
no act without its entry. Until the log has given it a place, the act is not receipted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evidence_store.errors import LedgerAlteredError
from evidence_store.identifiers import KeyId, Subject
from evidence_store.ledger.event import (
    ITEM_KEY_BYTES,
    Anchor,
    Draft,
    Link,
    SignedEvent,
    composed,
    tag,
)
from evidence_store.ledger_port import LedgerReader, NewEvent, SigningKeys
from evidence_store.ports import CatalogWriter, Clock, Randomness

TAG = slice(1, 33)  # where an event's entry in the log has its tag; its commitment follows


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
            LedgerAlteredError: if a chain does not end in the catalog where it ends in the log.
            ConflictError: as `LedgerWriter.add_events`.
        """
        links = dict(writer.ledger.links(list(dict.fromkeys(draft.item for draft in drafts))))
        insist_ends(writer.ledger, links)
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


def insist_ends(reader: LedgerReader, links: Mapping[Subject, Link]) -> None:
    """Insist that the log has these chains' last events, and none after them.

    Events that were taken out of the catalog, with the chain set back, would be signed a second
    time under their numbers. The rows of the log are believed here; whether they are what the
    tiles hold is for the sequencer and the audit.

    Raises:
        LedgerAlteredError: if it has others.
    """
    tags: dict[bytes, tuple[Subject, bytes | None]] = {}
    for subject, link in links.items():
        tags[tag(link.item_key, link.seq)] = (subject, link.head)
        tags[tag(link.item_key, link.seq + 1)] = (subject, None)
    found = {(subject, head) for subject, head in tags.values() if head is not None}
    for leaf in reader.tagged(list(tags)):
        end = tags[leaf.entry[TAG]]
        if end[1] != leaf.entry[TAG.stop :]:
            raise LedgerAlteredError(
                f"{end[0]}: the log has another event after, or in place of, the last one that the "
                "catalog has; nothing is recorded. `evidence log audit` names it"
            )
        found.discard(end)
    for subject, _ in found:
        raise LedgerAlteredError(
            f"{subject}: the log does not have the last event of its chain; nothing is recorded"
        )
