"""A vault in memory; a house whose officers sign in."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from evidence_store.digest import Fingerprint, fingerprint
from evidence_store.vault import Sealing, Vault
from storage.catalog import create_catalog
from storage.objects.memory import MemoryObjectStore
from tests.catalogs import NOW, SI
from tests.houses import House
from tests.vaults import Chance, Put, TestKeyring, sealed_into


@pytest.fixture
def chance() -> Chance:
    return Chance()


@pytest.fixture
def objects() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def keyring(chance: Chance) -> TestKeyring:
    return TestKeyring(chance)


@pytest.fixture
def vault(objects: MemoryObjectStore, keyring: TestKeyring, chance: Chance) -> Vault:
    return Vault(objects, keyring, chance)


@pytest.fixture
def put(vault: Vault) -> Put:
    """Seals content and commits it."""

    def put_content(content: bytes) -> tuple[Sealing, Fingerprint]:
        sealing = sealed_into(vault, content)
        vault.objects.commit([sealing.writer])
        return sealing, fingerprint([content])

    return put_content


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    with closing(create_catalog(url, SI, "Prosecutor", NOW)) as catalog:
        yield House(catalog)
