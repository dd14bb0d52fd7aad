"""An officer at work: whose key signs, which look-ups are at hand, what the officer may do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from evidence_store.cooperation.registry import OfficerEntry, OfficerRole
from evidence_store.dossiers import Chains
from evidence_store.errors import NotFoundError
from evidence_store.handling import history_of
from evidence_store.identifiers import AuthorityId, Ern, PersonCode
from evidence_store.item import Item
from evidence_store.ports import Catalog, CatalogReader
from evidence_store.recording import Recorder
from evidence_store.registering import Registry


@dataclass(frozen=True, slots=True)
class Desk:
    """An officer at work. The recorder signs as the officer's authority."""

    catalog: Catalog
    recorder: Recorder
    chains: Chains
    officer: PersonCode

    @property
    def authority(self) -> AuthorityId:
        """The authority that signs."""
        return self.recorder.by.authority

    @property
    def now(self) -> datetime:
        """The current instant."""
        return self.recorder.clock.now()

    def registry(self, reader: CatalogReader) -> Registry:
        """Look-ups in the registry."""
        return Registry(reader, self.chains)

    def insist(self, reader: CatalogReader, roles: Sequence[OfficerRole]) -> OfficerEntry:
        """The officer, insisting on this authority and on one of the roles now.

        Raises:
            OutOfOrderError, NotFoundError: as `Registry.insist`.
        """
        return self.registry(reader).insist(self.officer, self.authority, roles, self.now)


def owner_of(reader: CatalogReader, item: Item) -> AuthorityId:
    """The authority whose item it is: the one that registered it."""
    custody = history_of(reader.ledger, item.ern).custody
    if custody is None:  # registered before there was a ledger
        return AuthorityId.named(reader.authority())
    return custody.owner or custody.custodian


def insist_own_item(reader: CatalogReader, desk: Desk, ern: Ern) -> Item:
    """The item, insisting that it is of the officer's State, and that the officer may know of it.

    Those are who needs to know its case, and the central authority's officers, who sign for all.

    Raises:
        NotFoundError: if not: one is not to know of it.
    """
    registry, item = desk.registry(reader), reader.item(ern)
    own = registry.authority(desk.authority).state
    known = item.case_id in reader.dossiers.cases_of(desk.officer, desk.now)
    known = known or OfficerRole.CENTRAL in registry.officer(desk.officer).roles_at(desk.now)
    if not known or registry.authority(owner_of(reader, item)).state != own:
        raise NotFoundError(f"there is no item {ern}")
    return item
