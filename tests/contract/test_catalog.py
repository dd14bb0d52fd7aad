"""One suite for every catalog: whatever holds here holds on SQLite and on PostgreSQL."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence_store.digest import Digest, Fingerprint, fingerprint
from evidence_store.errors import (
    CatalogBusyError,
    ConflictError,
    EvidenceError,
    MalformedError,
    NotFoundError,
    SettingsError,
)
from evidence_store.identifiers import CaseId, Ern, ObjectName, PersonCode, Role, StateCode
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
from storage.catalog import SqlCatalog, create_catalog, open_catalog

NOW = datetime(2026, 3, 14, 9, 26, 53, 589793, tzinfo=UTC)
TERMS = ProviderTerms(("SI", "ICC"), (Purpose.TRIAL,), Moment.parse("2036Z"), "the provider")


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)],
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    found: str = request.getfixturevalue("postgresql_url")
    return found


@pytest.fixture
def catalog(url: str) -> Iterator[SqlCatalog]:
    created = create_catalog(url, StateCode("SI"), "Prosecutor", NOW, busy_seconds=5)
    yield created
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
            derived_from=None if number == 1 else 1,
            method=None if number == 1 else "by hand",
            language=None if number == 1 else "sl",
            name_mismatch=number > 1,
        )

    def add(self, count: int, case: Case | None = None) -> list[Ern]:
        with self.catalog.write() as writer:
            erns = list(writer.allocate(2026, count))
            objects = [self.sealed(fingerprint([str(ern).encode()])) for ern in erns]
            writer.add_items([self.item(ern, case=case) for ern in erns])
            writer.add_sealed(objects)
            writer.add_versions(
                [
                    (self.version(ern, sealed), b"claims of " + str(ern).encode())
                    for ern, sealed in zip(erns, objects, strict=True)
                ]
            )
        return erns


@pytest.fixture
def filled(catalog: SqlCatalog) -> Filled:
    return Filled(catalog)


def test_a_catalog_says_whose_it_is(catalog: SqlCatalog) -> None:
    with catalog.read() as reader:
        assert (reader.state(), reader.authority()) == (StateCode("SI"), "Prosecutor")


def test_a_catalog_belongs_to_one_state_for_ever(catalog: SqlCatalog, url: str) -> None:
    with pytest.raises(ConflictError):
        create_catalog(url, StateCode("HR"), "Other", NOW)
    with catalog.read() as reader:
        assert reader.state() == StateCode("SI")


def test_a_catalog_that_is_not_there_says_how_to_make_one(url: str) -> None:
    with pytest.raises(SettingsError, match="init"):
        open_catalog(url)


def test_everything_about_an_item_comes_back_as_it_went_in(filled: Filled) -> None:
    with filled.catalog.write() as writer:
        (ern,) = writer.allocate(2026, 1)
        item = filled.item(ern, key=bytes(32))
        writer.add_items([item])
    with filled.catalog.read() as reader:
        assert reader.item(ern) == item
        assert reader.case(filled.case.case_id) == filled.case
        assert reader.person(filled.collector).name == "A. Novak"


def test_everything_about_a_version_comes_back_as_it_went_in(filled: Filled) -> None:
    small = fingerprint([b"x"])
    large = Fingerprint(small.sha256, small.blake3, 5 * 2**40)
    with filled.catalog.write() as writer:
        (ern,) = writer.allocate(2026, 1)
        writer.add_items([filled.item(ern)])
        objects = [filled.sealed(large), filled.sealed(fingerprint([b"redacted"]))]
        versions = [filled.version(ern, objects[0]), filled.version(ern, objects[1], 2)]
        writer.add_sealed(objects)
        writer.add_versions([(versions[0], b""), (versions[1], b"\x00sealed\xff")])
    with filled.catalog.read() as reader:
        assert reader.versions(ern) == versions
        assert [reader.claims(ern, number) for number in (1, 2)] == [b"", b"\x00sealed\xff"]
        assert reader.sealed(objects[0].name) == objects[0]
        assert list(reader.held().entries) == list(zip(versions, objects, strict=True))
        assert reader.versions_with(large.sha256) == versions[:1]
        assert reader.versions_with(large.blake3) == versions[:1]


def test_times_keep_their_instant_whatever_zone_they_came_in(filled: Filled) -> None:
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    with filled.catalog.write() as writer:
        case = writer.open_case("Later", None, east)
    with filled.catalog.read() as reader:
        found = reader.case(case.case_id).opened_at
    assert found == NOW
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "missing",
    [
        lambda reader: reader.case(CaseId(StateCode("SI"), 99)),
        lambda reader: reader.person(PersonCode(Role.WITNESS, 99)),
        lambda reader: reader.item(Ern(StateCode("SI"), 2026, 99)),
        lambda reader: reader.claims(Ern(StateCode("SI"), 2026, 99), 1),
        lambda reader: reader.sealed(ObjectName("0" * 32)),
    ],
    ids=["case", "person", "item", "claims", "object"],
)
def test_what_is_not_there_is_not_found(
    filled: Filled, missing: Callable[[object], object]
) -> None:
    with filled.catalog.read() as reader, pytest.raises(NotFoundError):
        missing(reader)


def test_an_item_without_bytes_has_no_versions(filled: Filled) -> None:
    with filled.catalog.write() as writer:
        (ern,) = writer.allocate(2026, 1)
        writer.add_items([filled.item(ern)])
    with filled.catalog.read() as reader:
        assert reader.versions(ern) == []


def test_numbers_are_given_out_in_one_unbroken_series_a_year(filled: Filled) -> None:
    with filled.catalog.write() as writer:
        first = writer.allocate(2026, 3)
        other_year = writer.allocate(2027, 1)
        second = writer.allocate(2026, 2)
    assert [ern.serial for ern in (*first, *second)] == [1, 2, 3, 4, 5]
    assert [str(ern) for ern in other_year] == ["SI-2027-000001"]


def test_no_number_is_given_out_twice_to_writers_at_the_same_time(filled: Filled) -> None:
    def allocate(_: int) -> list[Ern]:
        with filled.catalog.write() as writer:
            return list(writer.allocate(2026, 3))

    with ThreadPoolExecutor(4) as pool:
        erns = [ern for each in pool.map(allocate, range(20)) for ern in each]
    assert sorted(ern.serial for ern in erns) == list(range(1, 61))


def test_a_transaction_that_fails_leaves_nothing_not_even_its_numbers(filled: Filled) -> None:
    def failing() -> None:
        with filled.catalog.write() as writer:
            (ern,) = writer.allocate(2026, 1)
            writer.add_items([filled.item(ern)])
            raise MalformedError("the caller changed its mind")

    with pytest.raises(MalformedError):
        failing()
    assert [str(ern) for ern in filled.add(1)] == ["SI-2026-000001"]


def test_a_person_of_the_same_role_and_name_is_entered_once(filled: Filled) -> None:
    with filled.catalog.write() as writer:
        again = writer.person_named(Role.COLLECTOR, "A. Novak")
        other_role = writer.person_named(Role.EXPERT, "A. Novak")
        other_name = writer.person_named(Role.COLLECTOR, "a. novak")
    assert again.code == filled.collector
    assert [str(each.code) for each in (other_role, other_name)] == ["EXP-0001", "COL-0002"]


def test_two_cases_cannot_have_the_same_reference_but_may_have_none(filled: Filled) -> None:
    with filled.catalog.write() as writer:
        writer.open_case("A", None, NOW)
        writer.open_case("B", None, NOW)
    with pytest.raises(ConflictError), filled.catalog.write() as writer:
        writer.open_case("C", "Kt/1", NOW)


def test_a_source_key_belongs_to_one_item(filled: Filled) -> None:
    key = b"k" * 32
    with filled.catalog.write() as writer:
        first, second = writer.allocate(2026, 2)
        writer.add_items([filled.item(first, key=key)])
    with filled.catalog.read() as reader:
        assert reader.erns_of([key, b"other" * 6 + b"00"]) == {key: first}
    with pytest.raises(ConflictError), filled.catalog.write() as writer:
        writer.add_items([filled.item(second, key=key)])


def test_an_ern_an_object_and_a_version_are_entered_once(filled: Filled) -> None:
    (ern,) = filled.add(1)
    with filled.catalog.read() as reader:
        version, sealed = reader.held().entries[0]

    def attempt(change: str) -> None:
        with filled.catalog.write() as writer:
            if change == "item":
                writer.add_items([filled.item(ern)])
            elif change == "object":
                writer.add_sealed([sealed])
            else:
                writer.add_versions([(version, b"")])

    for change in ("item", "object", "version"):
        with pytest.raises(ConflictError):
            attempt(change)


def test_a_version_of_an_object_that_is_not_there_is_refused(filled: Filled) -> None:
    (ern,) = filled.add(1)
    dangling = filled.version(ern, filled.sealed(fingerprint([b"never stored"])), 2)
    with pytest.raises(NotFoundError), filled.catalog.write() as writer:
        writer.add_versions([(dangling, b"")])


def test_a_void_number_stays_void_and_its_source_may_come_again(filled: Filled) -> None:
    key = b"k" * 32
    with filled.catalog.write() as writer:
        (ern,) = writer.allocate(2026, 1)
        writer.add_items([filled.item(ern, key=key)])
    with filled.catalog.write() as writer:
        voided = writer.void(ern, "wrong case")
    assert (voided.status, voided.status_reason) == (ItemStatus.VOID, "wrong case")
    with pytest.raises(ConflictError), filled.catalog.write() as writer:
        writer.void(ern, "again")
    with filled.catalog.write() as writer:
        assert writer.erns_of([key]) == {}
        assert [each.serial for each in writer.allocate(2026, 1)] == [ern.serial + 1]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_are_complete_ordered_and_without_repetition(filled: Filled, limit: int) -> None:
    with filled.catalog.write() as writer:
        other = writer.open_case("Other", None, NOW)
    erns = [*filled.add(3), *filled.add(2, other), *filled.add(2)]
    own = [*erns[:3], *erns[5:]]
    with filled.catalog.read() as reader:

        def all_of(case_id: CaseId | None) -> list[Ern]:
            found: list[Ern] = []
            after = None
            while True:
                page = reader.items(case_id=case_id, after=after, limit=limit)
                found += [item.ern for item in page.entries]
                after = page.after
                if after is None:
                    return found

        assert all_of(None) == erns
        assert all_of(filled.case.case_id) == own
        held: list[Ern] = []
        after = None
        while True:
            page = reader.held(after=after, limit=limit)
            held += [version.ern for version, _ in page.entries]
            after = page.after
            if after is None:
                break
        assert held == erns


def test_lists_go_on_in_order_past_six_digits(filled: Filled) -> None:
    state = StateCode("SI")
    erns = [Ern(state, 2026, serial) for serial in (999_999, 1_000_000, 1_000_001)]
    with filled.catalog.write() as writer:
        writer.add_items([filled.item(ern) for ern in reversed(erns)])
    with filled.catalog.read() as reader:
        assert [item.ern for item in reader.items().entries] == erns
        assert [x.ern for x in reader.items(after=str(erns[0])).entries] == erns[1:]
        last = reader.last_registered()
    assert last is not None
    assert last.ern == erns[-1]


@pytest.mark.parametrize("cursor", ["", "x", "SI-2026-1", "'; DROP TABLE item; --", "1/2"])
def test_a_cursor_that_no_list_gave_is_refused(filled: Filled, cursor: str) -> None:
    with filled.catalog.read() as reader:
        for lister in (reader.items, reader.cases, reader.held):
            with pytest.raises(MalformedError):
                lister(after=cursor)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_bounds_is_refused(filled: Filled, limit: int) -> None:
    with filled.catalog.read() as reader, pytest.raises(MalformedError):
        reader.items(limit=limit)


def test_the_newest_of_several_objects_with_the_same_content_is_used(filled: Filled) -> None:
    found = fingerprint([b"the same"])
    older, newer = filled.sealed(found), filled.sealed(found)
    with filled.catalog.write() as writer:
        writer.add_sealed([older])
    with filled.catalog.write() as writer:
        writer.add_sealed([newer])
    with filled.catalog.read() as reader:
        other = fingerprint([b"another"]).sha256
        assert reader.sealed_with([found.sha256, other]) == {found.sha256: newer}


def test_lookups_of_many_keys_at_once_find_them_all(filled: Filled) -> None:
    filled.add(3)
    with filled.catalog.read() as reader:
        held = reader.held().entries
        noise = [fingerprint([str(n).encode()]).sha256 for n in range(1500)]
        wanted = [noise[0], *(version.fingerprint.sha256 for version, _ in held), *noise[1:]]
        assert len(reader.sealed_with(wanted)) == 3
        assert reader.erns_of(digest.value for digest in wanted) == {}


def test_rewrapping_replaces_the_header_and_nothing_else(filled: Filled) -> None:
    filled.add(2)
    with filled.catalog.read() as reader:
        before = reader.sealed_objects()
        assert reader.recipients() == ["age1first"]
    with filled.catalog.write() as writer:
        writer.rewrap(before[0].name, header=b"new header", recipient="age1second")
    with filled.catalog.read() as reader:
        assert reader.recipients() == ["age1first", "age1second"]
        assert reader.sealed_objects(recipient="age1first") == before[1:]
        (after,) = reader.sealed_objects(recipient="age1second")
    assert (after.header, after.fingerprint) == (b"new header", before[0].fingerprint)
    with pytest.raises(NotFoundError), filled.catalog.write() as writer:
        writer.rewrap(ObjectName("f" * 32), header=b"", recipient="age1second")


def test_objects_are_walked_by_name(filled: Filled) -> None:
    filled.add(5)
    with filled.catalog.read() as reader:
        names = [sealed.name for sealed in reader.sealed_objects()]
        assert names == sorted(names)
        assert [s.name for s in reader.sealed_objects(after=names[1], limit=2)] == names[2:4]


def test_a_reader_sees_the_catalog_as_it_was_when_it_began(filled: Filled) -> None:
    filled.add(1)
    with filled.catalog.read() as reader:
        assert len(reader.items().entries) == 1
        filled.add(1)
        assert len(reader.items().entries) == 1
    with filled.catalog.read() as reader:
        assert len(reader.items().entries) == 2


def test_a_writer_sees_what_it_wrote(filled: Filled) -> None:
    with filled.catalog.write() as writer:
        (ern,) = writer.allocate(2026, 1)
        writer.add_items([filled.item(ern, key=b"k" * 32)])
        assert writer.item(ern).ern == ern
        assert writer.erns_of([b"k" * 32]) == {b"k" * 32: ern}


def test_a_second_writer_waits_and_then_gives_up_with_try_again(filled: Filled, url: str) -> None:
    impatient = open_catalog(url, busy_seconds=0.2)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with filled.catalog.write():
            entered.set()
            leave.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    try:
        with pytest.raises(CatalogBusyError), impatient.write():
            pytest.fail("two writers at once")
        with impatient.read() as reader:
            assert reader.state() == StateCode("SI")  # readers never wait
    finally:
        leave.set()
        holder.join()
        impatient.close()


@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
    ).filter(str.strip)
)
def test_any_text_is_kept_and_is_never_a_statement(filled: Filled, text: str) -> None:
    with filled.catalog.write() as writer:
        person = writer.person_named(Role.COLLECTOR, text)
    with filled.catalog.read() as reader:
        assert reader.person(person.code).name == text


def test_errors_hold_no_statement_and_no_value(filled: Filled) -> None:
    secret = "WITNESS-NAME"  # noqa: S105 - what must not be shown
    with filled.catalog.write() as writer:
        writer.open_case(secret, secret, NOW)
    with pytest.raises(EvidenceError) as raised, filled.catalog.write() as writer:
        writer.open_case(secret, secret, NOW)
    assert secret not in str(raised.value)
    assert "INSERT" not in str(raised.value).upper()
    assert raised.value.__suppress_context__


def test_digests_are_looked_up_by_their_own_algorithm(filled: Filled) -> None:
    (ern,) = filled.add(1)
    with filled.catalog.read() as reader:
        (version,) = reader.versions(ern)
        crossed = Digest(version.fingerprint.sha256.algorithm, version.fingerprint.blake3.value)
        assert reader.versions_with(crossed) == []
