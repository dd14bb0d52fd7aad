from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evidence_store.claims import ClaimSet, Reading
from evidence_store.derivation import Derivation, add_version
from evidence_store.digest import Algorithm, Digest, fingerprint
from evidence_store.errors import (
    ConflictError,
    FixityError,
    KeyUnavailableError,
    NotFoundError,
    StoreUnavailableError,
)
from evidence_store.identifiers import CaseId, Ern, PersonCode, Role, StateCode
from evidence_store.intake import (
    Arrival,
    Content,
    ContestedError,
    Intake,
    IntakeStatus,
    register_exhibit,
    source_key,
)
from evidence_store.item import Asserted, ItemStatus, VersionType
from evidence_store.kinds import EvidenceKind
from evidence_store.moment import Moment
from evidence_store.reconciliation import Discrepancy, reconcile
from evidence_store.recording import Recorder
from evidence_store.rewrap import rewrap_all
from evidence_store.vault import Vault
from evidence_store.verification import Outcome, compare, verify_stored
from storage.catalog import SqlCatalog, create_catalog
from storage.objects.memory import MemoryObjectStore
from tests.signing import POLICE, HeldKeys
from tests.vaults import Chance, TestKeyring, sealed_into

NOW = datetime(2026, 3, 14, 9, tzinfo=UTC)
CLAIMS = (ClaimSet("tool", "1", Reading.READ, {"make": "X"}),)


class FixedClock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


class Desk:
    """An intake, and sources that arrive at it."""

    def __init__(self, catalog: SqlCatalog, vault: Vault) -> None:
        self.catalog, self.vault, self.clock = catalog, vault, FixedClock()
        with catalog.write() as writer:
            self.case_id = writer.open_case("Case", None, NOW).case_id
            self.collector = writer.person_named(Role.COLLECTOR, "A").code
        self.recorder = Recorder("log.invalid/test", POLICE, HeldKeys(), self.clock, Chance())
        self.intake = Intake(catalog, vault, self.recorder, self.case_id)

    def asserted(self, kind: EvidenceKind = EvidenceKind.PHOTO) -> Asserted:
        fields: dict[str, str | int | bool | list[str]] = {}
        if kind is EvidenceKind.PHYSICAL_EXHIBIT:
            fields = {"seal_numbers": ["A-1"], "container": "bag", "condition": "good"}
        unknown = Moment.parse("unknown")
        return Asserted(kind, self.collector, unknown, "m", "p", "s", fields)

    def content(self, content: bytes) -> Content:
        sealing = sealed_into(self.vault, content)
        return Content(fingerprint([content]), sealing, "image/jpeg", False, CLAIMS)

    def arrival(self, path: str, content: bytes, stated: Digest | None = None) -> Arrival:
        found = fingerprint([content])
        key = source_key(self.case_id, path.encode(), found.sha256)
        return Arrival(self.content(content), path.encode(), key, self.asserted(), stated)

    def arrive(self, *sources: tuple[str, bytes]) -> list[tuple[str, IntakeStatus]]:
        registered = self.intake.register([self.arrival(*source) for source in sources])
        return [(str(each.ern), each.status) for each in registered]


@pytest.fixture
def desk(tmp_path: Path, vault: Vault) -> Iterator[Desk]:
    catalog = create_catalog(f"sqlite:///{tmp_path / 'c.db'}", StateCode("SI"), "A", NOW)
    yield Desk(catalog, vault)
    catalog.close()


def test_arrivals_become_items_in_order(desk: Desk, objects: MemoryObjectStore) -> None:
    assert desk.arrive(("a", b"1"), ("b", b"2")) == [
        ("SI-2026-000001", IntakeStatus.INGESTED),
        ("SI-2026-000002", IntakeStatus.INGESTED),
    ]
    assert len(objects.objects) == 2


def test_a_duplicate_in_the_same_batch_or_a_later_one_is_stored_once(
    desk: Desk, objects: MemoryObjectStore
) -> None:
    assert [s for _, s in desk.arrive(("a", b"1"), ("b", b"1"))] == ["ingested", "duplicate"]
    assert [s for _, s in desk.arrive(("c", b"1"))] == ["duplicate"]
    assert len(objects.objects) == 1
    with desk.catalog.read() as reader:
        for item in reader.items().entries:
            (version,) = reader.versions(item.ern)
            sealed = reader.sealed(version.object_name)
            assert b"".join(desk.vault.open(sealed)) == b"1"
            body = reader.claims(item.ern, 1)
            assert desk.vault.open_claims(sealed, body) == CLAIMS


def test_the_same_source_again_is_the_item_that_is_there(
    desk: Desk, objects: MemoryObjectStore
) -> None:
    (first,) = desk.arrive(("a", b"1"))
    assert desk.arrive(("a", b"1"), ("a", b"1")) == [(first[0], IntakeStatus.RESUMED)] * 2
    assert desk.arrive(("b", b"2"), ("b", b"2"))[1] == ("SI-2026-000002", IntakeStatus.RESUMED)
    assert len(objects.objects) == 2
    assert objects.unfinished(before=datetime.now(UTC) + timedelta(days=1)) == []


def test_a_source_key_differs_by_case_path_and_content() -> None:
    state = StateCode("SI")
    digests = [fingerprint([content]).sha256 for content in (b"1", b"2")]
    keys = {
        source_key(CaseId(state, case), path, digest)
        for case in (1, 2)
        for path in (b"/a", b"/b", b"/a\0", b"/")
        for digest in digests
    }
    assert len(keys) == 16


def test_a_source_key_is_as_the_format_page_says() -> None:
    digest = Digest(Algorithm.SHA256, bytes(range(32)))
    key = source_key(CaseId(StateCode("SI"), 7), b"/media/card/IMG_1.jpg", digest)
    assert key.hex() == "053f1ac75d51d67c3bfba6b8323a49da997795e979abbe36dde16b514adffaec"


def test_bytes_that_the_sender_did_not_state_are_kept_in_quarantine(desk: Desk) -> None:
    stated = fingerprint([b"what was sent"]).sha256
    (registered,) = desk.intake.register([desk.arrival("a", b"what came", stated)])
    assert registered.status is IntakeStatus.QUARANTINED
    assert isinstance(registered.arrival.problem, FixityError)
    with desk.catalog.read() as reader:
        item = reader.item(registered.ern)
        (version,) = reader.versions(registered.ern)
        content = b"".join(desk.vault.open(reader.sealed(version.object_name)))
    assert (item.status, item.stated_sha256, content) == (
        ItemStatus.QUARANTINED,
        stated,
        b"what came",
    )


def test_a_damaged_stored_copy_does_not_let_a_good_one_go(
    desk: Desk, objects: MemoryObjectStore
) -> None:
    desk.arrive(("a", b"content"))
    (name,) = objects.objects
    objects.objects[name] = objects.objects[name][:-1] + b"\0"
    fresh = Desk.__new__(Desk)  # a later run, which remembers nothing
    fresh.__dict__.update(desk.__dict__)
    fresh.intake = Intake(desk.catalog, desk.vault, desk.recorder, desk.case_id)
    assert fresh.arrive(("b", b"content"))[0][1] is IntakeStatus.INGESTED
    with desk.catalog.read() as reader:
        newest = reader.sealed_with([fingerprint([b"content"]).sha256])
        assert b"".join(desk.vault.open(next(iter(newest.values())))) == b"content"


def test_when_the_store_fails_nothing_is_registered_and_nothing_is_left_open(
    desk: Desk, objects: MemoryObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: object) -> None:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(objects, "commit", failing)
    with pytest.raises(StoreUnavailableError):
        desk.arrive(("a", b"1"), ("b", b"2"))
    with desk.catalog.read() as reader:
        assert reader.items().entries == []
    assert objects.unfinished(before=datetime.now(UTC) + timedelta(days=1)) == []


def test_a_crash_between_store_and_catalog_leaves_an_orphan_and_no_reference(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Intake, "_enter", failing)
        with pytest.raises(KeyboardInterrupt):
            desk.arrive(("a", b"1"))
    found = [kind for kind, _ in reconcile(desk.catalog, desk.vault.objects)]
    assert found == [Discrepancy.ORPHAN]
    assert desk.arrive(("a", b"1"))[0] == ("SI-2026-000001", IntakeStatus.INGESTED)


def test_a_lost_object_is_missing_and_a_disposed_one_is_not(
    desk: Desk, objects: MemoryObjectStore
) -> None:
    desk.arrive(*((name, name.encode()) for name in "abcdef"))
    assert list(reconcile(desk.catalog, objects)) == []
    lost, disposed, *_ = sorted(objects.objects)
    del objects.objects[lost], objects.objects[disposed]
    with desk.catalog.write() as writer:
        writer.rewrap(disposed, header=b"", recipient="")
    assert list(reconcile(desk.catalog, objects)) == [(Discrepancy.MISSING, lost)]


def test_a_case_that_is_not_there_takes_nothing_in(desk: Desk, objects: MemoryObjectStore) -> None:
    desk.intake.case_id = CaseId(StateCode("SI"), 99)
    with pytest.raises(NotFoundError):
        desk.arrive(("a", b"1"))
    assert objects.objects == {}


def test_an_exhibit_is_an_item_without_versions(desk: Desk) -> None:
    asserted = desk.asserted(EvidenceKind.PHYSICAL_EXHIBIT)
    item = register_exhibit(desk.catalog, desk.recorder, desk.case_id, asserted)
    with desk.catalog.read() as reader:
        assert reader.item(item.ern) == item
        assert reader.versions(item.ern) == []
        (answer,) = compare(reader, fingerprint([b"x"]), item.ern)
        assert answer.verdict.outcome is Outcome.NOT_VERIFIABLE


@pytest.fixture
def ern(desk: Desk) -> Ern:
    return Ern.parse(desk.arrive(("a", b"original"))[0][0])


def derive(desk: Desk, ern: Ern, content: bytes, derived_from: int = 1) -> int:
    derivation = Derivation(ern, VersionType.REDACTED, derived_from, "by hand")
    return add_version(
        desk.catalog, desk.vault, desk.recorder, derivation, desk.content(content)
    ).number


def test_versions_are_numbered_and_say_what_they_are_derived_from(desk: Desk, ern: Ern) -> None:
    assert [derive(desk, ern, b"redacted"), derive(desk, ern, b"less redacted", 2)] == [2, 3]
    with desk.catalog.read() as reader:
        assert [v.derived_from for v in reader.versions(ern)] == [None, 1, 2]
        (answer,) = compare(reader, fingerprint([b"redacted"]))
    assert answer.version is not None
    assert (answer.verdict.outcome, answer.version.number) == (Outcome.MATCH, 2)


def test_a_version_is_derived_from_one_that_is_there(desk: Desk, ern: Ern) -> None:
    with pytest.raises(NotFoundError):
        derive(desk, ern, b"redacted", 2)
    with pytest.raises(NotFoundError):
        derive(desk, Ern(StateCode("SI"), 2026, 99), b"redacted")


def test_nothing_is_added_to_a_void_item(desk: Desk, ern: Ern) -> None:
    with desk.catalog.write() as writer:
        writer.void(ern, "wrong case")
    with pytest.raises(ConflictError):
        derive(desk, ern, b"redacted")


def test_bytes_of_another_item_are_a_mismatch_and_unknown_bytes_unknown(
    desk: Desk, ern: Ern
) -> None:
    desk.arrive(("b", b"another"))
    with desk.catalog.read() as reader:
        outcomes = [
            compare(reader, fingerprint([b"original"]), ern)[0].verdict.outcome,
            compare(reader, fingerprint([b"another"]), ern)[0].verdict.outcome,
            compare(reader, fingerprint([b"another"]))[0].verdict.outcome,
            compare(reader, fingerprint([b"never seen"]))[0].verdict.outcome,
        ]
    assert outcomes == [Outcome.MATCH, Outcome.MISMATCH, Outcome.MATCH, Outcome.UNKNOWN]


def test_verdicts_tell_changed_from_missing_from_locked(
    desk: Desk, ern: Ern, objects: MemoryObjectStore, keyring: TestKeyring
) -> None:
    with desk.catalog.read() as reader:
        ((version, sealed),) = reader.held().entries
    both = list(Algorithm)

    def outcome() -> tuple[Outcome, str | None]:
        verdict = verify_stored(desk.vault, sealed, version.fingerprint, both)
        return verdict.outcome, verdict.code

    assert version.ern == ern
    assert outcome() == (Outcome.MATCH, None)
    identities = keyring.identities
    keyring.identities = []
    assert outcome() == (Outcome.NOT_VERIFIABLE, KeyUnavailableError.code)
    keyring.identities = identities
    objects.objects[sealed.name] = objects.objects[sealed.name][:-1] + b"\0"
    assert outcome() == (Outcome.MISMATCH, FixityError.code)
    del objects.objects[sealed.name]
    assert outcome() == (Outcome.NOT_VERIFIABLE, NotFoundError.code)


def test_a_digest_that_was_edited_in_the_catalog_is_a_mismatch(desk: Desk, ern: Ern) -> None:
    with desk.catalog.read() as reader:
        ((version, sealed),) = reader.held().entries
    assert version.ern == ern
    edited = fingerprint([b"forged"])
    for found in (
        verify_stored(desk.vault, sealed, edited, [Algorithm.BLAKE3]),
        verify_stored(
            desk.vault,
            type(sealed)(sealed.name, edited, sealed.stored_bytes, sealed.header, ""),
            edited,
            [Algorithm.BLAKE3],
        ),
    ):
        assert found.outcome is Outcome.MISMATCH


def test_rotation_wraps_every_header_to_the_new_key_and_the_old_one_is_not_needed(
    desk: Desk, keyring: TestKeyring
) -> None:
    desk.arrive(("a", b"1"), ("b", b"2"), ("c", b"3"))
    old = keyring.recipient
    keyring.rotate()
    done = list(rewrap_all(desk.catalog, keyring, old))
    assert [each.error for each in done] == [None] * 3
    del keyring.identities[1:]
    with desk.catalog.read() as reader:
        assert reader.recipients() == [keyring.recipient]
        for version, sealed in reader.held().entries:
            verdict = verify_stored(desk.vault, sealed, version.fingerprint, list(Algorithm))
            assert verdict.outcome is Outcome.MATCH


def test_a_header_that_no_key_opens_is_reported_and_left(
    desk: Desk, keyring: TestKeyring, chance: Chance
) -> None:
    desk.arrive(("a", b"1"))
    old = keyring.recipient
    with desk.catalog.read() as reader:
        before = reader.sealed_objects()
    stranger = TestKeyring(chance)
    done = list(rewrap_all(desk.catalog, stranger, old))
    assert [type(each.error) for each in done] == [KeyUnavailableError]
    with desk.catalog.read() as reader:
        assert reader.sealed_objects() == before


def test_a_person_code_names_who_collected(desk: Desk) -> None:
    assert desk.collector == PersonCode(Role.COLLECTOR, 1)


def test_other_bytes_stated_of_what_is_registered_are_said_and_change_nothing(
    desk: Desk, objects: MemoryObjectStore
) -> None:
    stated = fingerprint([b"another"]).sha256
    (first,) = desk.arrive(("a", b"1"))
    (again,) = desk.intake.register([desk.arrival("a", b"1", stated)])
    assert (str(again.ern), again.status) == (first[0], IntakeStatus.FAILED)
    assert isinstance(again.problem, ContestedError)
    assert first[0] in str(again.problem)
    assert stated.hex in str(again.problem)
    with desk.catalog.read() as reader:
        assert reader.item(again.ern).status is ItemStatus.REGISTERED
    assert len(objects.objects) == 1


def test_what_went_into_quarantine_for_what_was_stated_is_found_again(desk: Desk) -> None:
    stated = fingerprint([b"another"]).sha256
    statuses = [desk.intake.register([desk.arrival("a", b"1", stated)])[0].status for _ in range(2)]
    assert statuses == [IntakeStatus.QUARANTINED, IntakeStatus.RESUMED]
