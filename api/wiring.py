"""The composition root: the one place that knows which adapter serves which port."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from api import settings as configuration
from api.settings import Settings
from evidence_store.age.x25519 import X25519Recipient
from evidence_store.errors import SettingsError
from evidence_store.identifiers import StateCode
from evidence_store.ports import Catalog, Clock, Keyring, ObjectStore
from evidence_store.vault import Vault
from ingest.extraction.supervisor import Extractor, Limits
from storage.catalog import create_catalog, migrate, open_catalog
from storage.keys.keyfile import KeyFile
from storage.objects.filesystem import FilesystemObjectStore

PRIVATE = 0o700
Passphrase = Callable[[], bytes]


class SystemClock:
    """Implements `evidence_store.ports.Clock`."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(tz=UTC)


@dataclass(frozen=True, slots=True)
class Instance:
    """What one State's or institution's instance is made of."""

    home: Path
    settings: Settings
    catalog: Catalog
    objects: ObjectStore
    keyring: Keyring
    clock: Clock

    @property
    def vault(self) -> Vault:
        """The one way to evidence bytes."""
        return Vault(self.objects, self.keyring, secrets.token_bytes)

    def extractor(self) -> Extractor:
        """A fresh pool of isolated processes; close it, or use it as a context manager."""
        limits = Limits(wall_seconds=self.settings.extraction_seconds)
        return Extractor(workers=self.settings.extraction_workers, limits=limits)
