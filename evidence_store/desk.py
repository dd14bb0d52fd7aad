"""An officer at work: whose key signs, which look-ups are at hand, what the officer may do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from evidence_store.cooperation.registry import OfficerEntry, OfficerRole
from evidence_store.dossiers import Chains
from evidence_store.errors import NotFoundError
from evidence_store.identifiers import AuthorityId, Ern, PersonCode
from evidence_store.item import Item
from evidence_store.ports import Catalog, CatalogReader, Clock
from evidence_store.recording import Recorder
from evidence_store.registering import Registry


@dataclass(frozen=True)
class Desk:
    """An officer of an authority at work. `signs` makes the recorder that signs as the authority."""

    catalog: Catalog
    authority: AuthorityId
    clock: Clock
    signs: Callable[[], Recorder]
    chains: Chains
    officer: PersonCode

    @cached_property
    def recorder(self) -> Recorder:
        """What signs as the officer's authority, made when the first act needs it.

        Raises:
            KeyUnavailableError: if the authority has no key here, or it is revoked.
        """
        return self.signs()

    @property
    def now(self) -> datetime:
        """The current instant."""
        return self.clock.now()

    def registry(self, reader: CatalogReader) -> Registry:
        """Look-ups in the registry."""
        return Registry(reader, self.chains)

    def insist(self, reader: CatalogReader, roles: Sequence[OfficerRole]) -> OfficerEntry:
        """The officer, insisting on this authority and on one of the roles now.

        Raises:
            OutOfOrderError, NotFoundError: as `Registry.insist`.
        """
        return self.registry(reader).insist(self.officer, self.authority, roles, self.now)


def owner_of(reader: CatalogReader, chains: Chains, item: Item) -> AuthorityId:
    """The authority whose item it is: the one that registered it, as it signed.

    Raises:
        LedgerAlteredError: if its events are not those that were signed and entered.
    """
    signed = chains.item(reader, item.ern)
    custody = None if signed is None else signed.history.custody
    if custody is None:  # registered before there was a ledger
        return AuthorityId.named(reader.authority())
    return custody.owner or custody.custodian


def insist_own_item(reader: CatalogReader, desk: Desk, ern: Ern) -> Item:
    """The item, insisting that it is of the officer's State, and that the officer may know of it.

    Those are who needs to know its case, and the central authority's officers, who sign for all.

    Raises:
        NotFoundError: if not, or if there is none, in the same words: one is not to know of it.
    """
    registry = desk.registry(reader)
    try:
        item = reader.item(ern)
    except NotFoundError:
        raise NotFoundError(f"there is no item {ern}") from None
    own = registry.authority(desk.authority).state
    known = registry.needs_to_know(desk.officer, item.case_id, desk.now)
    known = known or OfficerRole.CENTRAL in registry.officer(desk.officer).roles_at(desk.now)
    if not known or registry.authority(owner_of(reader, desk.chains, item)).state != own:
        raise NotFoundError(f"there is no item {ern}")
    return item
