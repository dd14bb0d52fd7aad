"""Catalogs for tests: an empty one on each database, and one with quick ways to put things in."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evidence_store.digest import Fingerprint, fingerprint
from evidence_store.identifiers import Ern, ObjectName, Role, StateCode
from evidence_store.item import (
    Asserted,
    Case,
    Item,
    ItemStatus,
    SealedObject,
    Version,
    VersionType,
)
from evidence_store.kinds import EvidenceKind
from evidence_store.moment import Moment
from evidence_store.provider import ProviderTerms, Purpose
from storage.catalog import SqlCatalog, create_catalog
from tests.plans import assert_indexed, statements

NOW = datetime(2026, 3, 14, 9, 26, 53, 589793, tzinfo=UTC)
SI = StateCode("SI")
TERMS = ProviderTerms(("SI", "ICC"), (Purpose.TRIAL,), Moment.parse("2036Z"), "the provider")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is no catalog yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    found: str = request.getfixturevalue("postgresql_url")
    return found


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[SqlCatalog]:
    """An empty catalog. Whatever a test makes it look up must go by an index."""
    created = create_catalog(catalog_url, SI, "Prosecutor", NOW, busy_seconds=5)
    try:
        with statements(created.engine) as seen:
            yield created
        assert_indexed(created.engine, seen)
    finally:
        created.close()


class Filled:
    """A catalog with a case and a collector, and quick ways to put items in."""

    def __init__(self, catalog: SqlCatalog) -> None:
        self.catalog = catalog
        with catalog.write() as writer:
            self.case = writer.open_case("Shelling", "Kt/1", NOW)
            self.collector = writer.person_named(Role.COLLECTOR, "A. Novak").code
        self.names = 0

    def asserted(self) -> Asserted:
        return Asserted(
            kind=EvidenceKind.PHOTO,
            collected_by=self.collector,
            collected_at=Moment.parse("2026-03-14T10:20+01:00"),
            method="copied",
            place="Brod",
            source="unknown",
            fields={"device_make": "Fictional", "faces_present": True},
            terms=TERMS,
            title="Square",
        )

    def item(self, ern: Ern, *, key: bytes | None = None, case: Case | None = None) -> Item:
        return Item(
            ern=ern,
            case_id=(case or self.case).case_id,
            status=ItemStatus.REGISTERED,
            asserted=self.asserted(),
            registered_at=NOW,
            source_name=b"\xff\x00 odd\nname",
            source_key=key,
            stated_sha256=fingerprint([b"stated"]).sha256,
        )

    def fresh(self, ern: Ern) -> Fingerprint:
        """The fingerprint of content that no other item has."""
        return fingerprint([str(ern).encode()])

    def sealed(self, found: Fingerprint, recipient: str = "age1first") -> SealedObject:
        self.names += 1
        name = ObjectName(f"{self.names:032x}")
        return SealedObject(name, found, found.size_bytes + 32, b"header", recipient)

    def version(self, ern: Ern, sealed: SealedObject, number: int = 1) -> Version:
        return Version(
            ern=ern,
            number=number,
            type=VersionType.ORIGINAL if number == 1 else VersionType.REDACTED,
            fingerprint=sealed.fingerprint,
            object_name=sealed.name,
            media_type="image/jpeg",
            added_at=NOW,
            derived_from=None if number == 1 else number - 1,
            method=None if number == 1 else "by hand",
            language=None if number == 1 else "sl",
            name_mismatch=number > 1,
        )

    def add(self, count: int, case: Case | None = None) -> list[Ern]:
        """Items with one version each."""
        with self.catalog.write() as writer:
            erns = list(writer.allocate(2026, count))
            objects = [self.sealed(self.fresh(ern)) for ern in erns]
            writer.add_items([self.item(ern, case=case) for ern in erns])
            writer.add_sealed(objects)
            writer.add_versions(
                [
                    (self.version(ern, sealed), b"claims of " + str(ern).encode())
                    for ern, sealed in zip(erns, objects, strict=True)
                ]
            )
        return erns

    def counts(self) -> tuple[int, int, int, int]:
        """How many cases, items, objects and versions there are."""
        with self.catalog.read() as reader:
            return (
                len(reader.cases(limit=1000).entries),
                len(reader.items(limit=1000).entries),
                len(reader.sealed_objects(limit=1000)),
                len(reader.held(limit=1000).entries),
            )


@pytest.fixture
def filled(catalog: SqlCatalog) -> Filled:
    """A catalog with a case and a collector."""
    return Filled(catalog)
