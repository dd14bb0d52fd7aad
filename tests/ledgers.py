"""A founded ledger on a catalog, and quick ways to let things happen on it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from evidence_store.authorities import Log, found
from evidence_store.identifiers import AuthorityId, Ern, KeyId, Role
from evidence_store.item import Asserted, Item, ItemStatus
from evidence_store.kinds import EvidenceKind
from evidence_store.ledger.event import Draft, SignedEvent
from evidence_store.ledger.policy import NONE, Policy
from evidence_store.ledger_port import TileStore
from evidence_store.moment import Moment
from evidence_store.recording import Recorder
from evidence_store.sequencing import Sequencer
from storage.catalog import SqlCatalog
from tests.signing import HeldKeys
from tests.vaults import Chance

START = datetime(2026, 3, 14, 9, tzinfo=UTC)
ORIGIN = "log.invalid/si/test"


@dataclass
class Ticking:
    """A clock that goes on by a second at each look."""

    at: datetime = START

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@dataclass
class Ledger:
    """One catalog's ledger."""

    catalog: SqlCatalog
    tiles: TileStore
    keys: HeldKeys = field(default_factory=HeldKeys)
    clock: Ticking = field(default_factory=Ticking)
    chance: Chance = field(default_factory=Chance)
    origin: str = ORIGIN

    def __post_init__(self) -> None:
        self.signers = self.keys.log_signers(self.origin)
        self.log: Log = found(
            self.catalog, self.keys, self.clock, self.origin, [each.key for each in self.signers]
        )
        with self.catalog.read() as reader:
            self.authority = AuthorityId.named(reader.authority())

    @property
    def policy(self) -> Policy:
        return Policy(dict.fromkeys(each.key for each in self.signers), {}, {}, NONE)

    @property
    def sequencer(self) -> Sequencer:
        return Sequencer(
            self.catalog, self.tiles, self.origin, self.signers, self.policy, self.clock
        )

    @property
    def recorder(self) -> Recorder:
        kid = KeyId(self.log.state, self.authority, 1)
        return Recorder(self.origin, kid, self.keys, self.clock, self.chance)

    def item(self) -> Ern:
        """A new item, without an event."""
        with self.catalog.write() as writer:
            if not writer.cases().entries:
                writer.open_case("Case", None, START)
            case_id = writer.cases().entries[0].case_id
            collector = writer.person_named(Role.COLLECTOR, "A").code
            (ern,) = writer.allocate(2026, 1)
            unknown = Moment.parse("unknown")
            asserted = Asserted(EvidenceKind.PHOTO, collector, unknown, "m", "p", "s")
            writer.add_items([Item(ern, case_id, ItemStatus.REGISTERED, asserted, START)])
        return ern

    def act(self, *erns: Ern, act: str = "sealed", place: str = "Brod") -> list[SignedEvent]:
        """An act on each item, in one transaction."""
        drafts = [Draft(ern, act, {"seals": ["A-1"]}, {"place": place}) for ern in erns]
        with self.catalog.write() as writer:
            return list(self.recorder.record(writer, drafts))
