"""An officer at work: whose key signs, which look-ups are at hand, what the officer may do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from evidence_store.cooperation.registry import OfficerEntry, OfficerRole
from evidence_store.dossiers import Chains
from evidence_store.identifiers import AuthorityId, PersonCode
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
