"""What the ledger asks of the outside world: its part of the catalog, its files, its keys.

The catalog is trusted for order and availability; what it says of the past is checked against
the tiles before anything is signed. `tests/contract` holds every implementation to this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from evidence_store.custody.transfer import Offer, TransferId
from evidence_store.errors import LedgerAlteredError
from evidence_store.identifiers import AuthorityId, Ern, KeyId, StateCode, Subject
from evidence_store.ledger.event import Link, SignedEvent
from evidence_store.ledger.note import Note
from evidence_store.page import Page


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority of this State that acts on this instance."""

    id: AuthorityId
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Control:
    """A control entry of the log, and what it is about."""

    kind: str
    entry: bytes
    kid: KeyId | None = None
    public: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is to be entered, and the chain it continues."""

    subject: Subject
    link: Link
    act: str
    by: KeyId
    at: datetime
    signed: SignedEvent


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as it is in the catalog. `index` is its place in the log, once it has one."""

    subject: Subject
    seq: int
    signed: SignedEvent
    index: int | None


@dataclass(frozen=True, slots=True)
class Leaf:
    """An entry of the log and what it commits to (for a control entry, its own digest)."""

    commitment: bytes
    entry: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """A state of the log. `note` is what the log signed, `sealed` what the policy accepts.

    Both are the bytes of signed notes.
    """

    size: int
    root: bytes
    made_at: datetime
    note: bytes | None = None
    sealed: bytes | None = None


class LedgerReader(Protocol):
    """The ledger's part of a consistent view of the catalog."""

    def authorities(self) -> Sequence[Authority]:
        """The authorities, by identifier."""
        ...

    def authority(self, authority: AuthorityId) -> Authority:
        """Look an authority up.

        Raises:
            NotFoundError: if there is none.
        """
        ...

    def controls(self, kind: str) -> Sequence[Control]:
        """The control entries of a kind, in their order."""
        ...

    def keys_of(self, authority: AuthorityId) -> Sequence[Control]:
        """The registrations of an authority's keys, in their order."""
        ...

    def links(self, subjects: Sequence[Subject]) -> Mapping[Subject, Link]:
        """Where the chains of these items and dossiers end; those that have none are left out."""
        ...

    def subjects(self, *, after: str | None = None, limit: int = 100) -> Page[Subject]:
        """The items and dossiers that have a first event, in an order that stays.

        Raises:
            MalformedError: if `after` is not a cursor that an earlier page gave.
        """
        ...

    def events(self, subject: Subject) -> Sequence[Recorded]:
        """An item's or a dossier's events in their order."""
        ...

    def bringing(self, erns: Sequence[Ern]) -> Sequence[Recorded]:
        """Of these items, the events that brought versions, each item's in their order."""
        ...

    def transfer(self, transfer: TransferId) -> Offer:
        """The offer that a transfer began with.

        Raises:
            NotFoundError: if there is no such transfer.
        """
        ...

    def transfers(
        self, *, of: AuthorityId | None = None, after: str | None = None, limit: int = 100
    ) -> Page[Offer]:
        """Offers by transfer; of one authority, if given, those only that it is a side of.

        Raises:
            MalformedError: if `after` is not a cursor that an earlier page gave.
        """
        ...

    def index_of(self, commitment: bytes) -> int | None:
        """Where in the log this is committed to, if it is."""
        ...

    def size(self) -> int:
        """How many entries there are, those included that no state of the log holds yet."""
        ...

    def leaves(self, start: int, end: int) -> Sequence[Leaf]:
        """The entries from one place to another."""
        ...

    def without_event(self, start: int, end: int) -> Sequence[int]:
        """The places, from one to another, of events' entries whose event is not there."""
        ...

    def altered(self, start: int, end: int) -> Sequence[int]:
        """As `without_event`, and the places of events whose bytes are not those committed to."""
        ...

    def tagged(self, tags: Sequence[bytes]) -> Sequence[Leaf]:
        """The events' entries that are found by one of these tags."""
        ...

    def head(self) -> Head | None:
        """The newest state of the log, signed or not."""
        ...

    def sealed_head(self, *, above: int = -1) -> Head | None:
        """The first sealed state that holds the entry at `above`; with -1 the newest of all."""
        ...

    def heads(self, *, after: int, limit: int = 100) -> Sequence[Head]:
        """States by size, from behind `after`."""
        ...


def chain_of(ledger: LedgerReader, subject: Subject) -> Link:
    """Where the chain of a subject ends, of which something was signed.

    Raises:
        LedgerAlteredError: if the catalog has no chain of it any more.
    """
    link = ledger.links([subject]).get(subject)
    if link is None:
        raise LedgerAlteredError(f"{subject}: expected a chain of events, found none")
    return link


class LedgerWriter(LedgerReader, Protocol):
    """The ledger's part of a transaction."""

    def add_authority(self, authority: Authority) -> None:
        """Enter an authority.

        Raises:
            ConflictError: if the identifier or the name is taken.
        """
        ...

    def add_control(self, control: Control) -> None:
        """Enter a control entry, at the log's next place."""
        ...

    def add_events(self, events: Sequence[NewEvent]) -> None:
        """Enter events, and their entries at the log's next places.

        Places are contiguous: the one who writes is alone, and a transaction that fails takes none.

        Raises:
            ConflictError: if a chain was continued otherwise meanwhile.
        """
        ...

    def next_transfer(self, state: StateCode) -> TransferId:
        """The next transfer of this State. Never given out twice."""
        ...

    def add_transfer(self, offer: Offer, made_at: datetime) -> None:
        """Enter an offer.

        Raises:
            ConflictError: if the transfer has one already.
        """
        ...

    def add_head(self, head: Head) -> None:
        """Enter a state before it is signed.

        Raises:
            ConflictError: if there is one of this size.
        """
        ...

    def sign_head(self, size: int, note: Note, sealed: Note | None) -> None:
        """Keep the note of a state.

        Raises:
            NotFoundError: if there is no such state.
        """
        ...


class TileStore(Protocol):
    """The log's files. Untrusted: whoever reads checks. Full tiles never change."""

    def read(self, path: str) -> bytes:
        """The content under a path.

        Raises:
            NotFoundError: if there is none.
            StoreUnavailableError: if the store does not answer.
        """
        ...

    def write(self, files: Mapping[str, bytes]) -> None:
        """Make these files durable, in their order. One that is there with this content is left.

        Raises:
            LedgerAlteredError: if one is there with other content.
            NoSpaceError, StoreUnavailableError: some may be there; none may be relied on.
        """
        ...

    def checkpoint(self) -> bytes | None:
        """The published checkpoint, if there is one."""
        ...

    def publish(self, note: bytes) -> None:
        """Replace the published checkpoint, durably and at once.

        Raises:
            NoSpaceError, StoreUnavailableError: the one before may still be there.
        """
        ...


class SigningKeys(Protocol):
    """The keys that authorities sign with. They never leave it."""

    def public(self, kid: KeyId) -> bytes:
        """The public key, 32 bytes.

        Raises:
            KeyUnavailableError: if there is no such key here.
        """
        ...

    def sign(self, kid: KeyId, message: bytes) -> bytes:
        """An Ed25519 signature over the message.

        Raises:
            KeyUnavailableError: if there is no such key here.
        """
        ...
