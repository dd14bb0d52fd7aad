"""One suite for every catalog: what goes in comes out, in order, on SQLite and on PostgreSQL.

What concerns transactions and errors is in `test_catalog_transactions.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta, timezone
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence_store.digest import Digest, Fingerprint, fingerprint
from evidence_store.errors import ConflictError, MalformedError, NotFoundError
from evidence_store.identifiers import CaseId, Ern, ObjectName, PersonCode, Role, StateCode
from evidence_store.item import Item, ItemStatus, Listed, SealedObject, Version
from evidence_store.page import Page
from evidence_store.ports import CatalogReader, CatalogWriter
from storage.catalog import SqlCatalog
from tests.catalogs import NOW, SI, Filled

T = TypeVar("T")


def whole(page_behind: Callable[[str | None], Page[T]]) -> list[T]:
    """All entries of a list, page by page."""
    page = page_behind(None)
    found = list(page.entries)
    while page.after is not None:
        page = page_behind(page.after)
        found += page.entries
    return found


def test_a_catalog_says_whose_it_is(catalog: SqlCatalog) -> None:
    with catalog.read() as reader:
        assert (reader.state(), reader.authority()) == (StateCode("SI"), "Prosecutor")


def test_an_empty_catalog_has_empty_lists(catalog: SqlCatalog) -> None:
    with catalog.read() as reader:
        for page in (reader.cases(), reader.items(), reader.held()):
            assert (list(page.entries), page.after) == ([], None)
        assert reader.sealed_objects() == []
        assert reader.recipients() == []
        assert reader.last_registered() is None
        assert reader.erns_of([]) == {}
        assert reader.sealed_with([]) == {}


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


@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.binary(min_size=1, max_size=60))
def test_a_source_name_is_kept_byte_for_byte(filled: Filled, name: bytes) -> None:
    with filled.catalog.write() as writer:
        (ern,) = writer.allocate(2026, 1)
        item = filled.item(ern)
        named = Item(ern, item.case_id, item.status, item.asserted, NOW, source_name=name)
        writer.add_items([named])
    with filled.catalog.read() as reader:
        assert reader.item(ern).source_name == name


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


@pytest.mark.parametrize("text", ["half \udcff a character", "a \0 in it"])
def test_text_that_not_every_database_can_keep_is_refused_by_all(filled: Filled, text: str) -> None:
    attempts: list[Callable[[CatalogWriter], object]] = [
        lambda writer: writer.person_named(Role.COLLECTOR, text),
        lambda writer: writer.open_case(text, None, NOW),
        lambda writer: writer.open_case("A", text, NOW),
    ]
    for attempt in attempts:
        with pytest.raises(MalformedError) as raised, filled.catalog.write() as writer:
            attempt(writer)
        assert text not in str(raised.value)
    assert filled.counts() == (1, 0, 0, 0)


def test_times_keep_their_instant_whatever_zone_they_came_in(filled: Filled) -> None:
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    with filled.catalog.write() as writer:
        cases = [writer.open_case("Later", None, at) for at in (east, NOW.replace(microsecond=0))]
    with filled.catalog.read() as reader:
        found = [reader.case(case.case_id).opened_at for case in cases]
    assert found == [NOW, NOW.replace(microsecond=0)]
    assert [at.utcoffset() for at in found] == [timedelta(0)] * 2


@pytest.mark.parametrize(
    "missing",
    [
        lambda reader: reader.case(CaseId(SI, 99)),
        lambda reader: reader.person(PersonCode(Role.WITNESS, 99)),
        lambda reader: reader.item(Ern(SI, 2026, 99)),
        lambda reader: reader.claims(Ern(SI, 2026, 99), 1),
        lambda reader: reader.sealed(ObjectName("0" * 32)),
    ],
    ids=["case", "person", "item", "claims", "object"],
)
def test_what_is_not_there_is_not_found(
    filled: Filled, missing: Callable[[CatalogReader], object]
) -> None:
    with filled.catalog.read() as reader, pytest.raises(NotFoundError):
        missing(reader)


def test_an_item_without_bytes_has_no_versions(filled: Filled) -> None:
    with filled.catalog.write() as writer:
        (ern,) = writer.allocate(2026, 1)
        writer.add_items([filled.item(ern)])
    with filled.catalog.read() as reader:
        assert reader.versions(ern) == []


# ---------------------------------------------------------------- what is entered once


def test_numbers_are_given_out_in_one_unbroken_series_a_year(filled: Filled) -> None:
    with filled.catalog.write() as writer:
        first = writer.allocate(2026, 3)
        other_year = writer.allocate(2027, 1)
        none = writer.allocate(2026, 0)
        second = writer.allocate(2026, 2)
    assert [ern.serial for ern in (*first, *second)] == [1, 2, 3, 4, 5]
    assert [str(ern) for ern in other_year] == ["SI-2027-000001"]
    assert list(none) == []


def test_a_series_of_numbers_never_goes_back(filled: Filled) -> None:
    with filled.catalog.write() as writer:
        writer.allocate(2026, 5)
        with pytest.raises(MalformedError):
            writer.allocate(2026, -3)
    with filled.catalog.write() as writer:
        assert [ern.serial for ern in writer.allocate(2026, 1)] == [6]


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


@pytest.mark.parametrize("what", ["item", "object", "version"])
def test_an_ern_an_object_and_a_version_are_entered_once(filled: Filled, what: str) -> None:
    (ern,) = filled.add(1)
    with filled.catalog.read() as reader:
        version, sealed = reader.held().entries[0]
    again: dict[str, Callable[[CatalogWriter], None]] = {
        "item": lambda writer: writer.add_items([filled.item(ern)]),
        "object": lambda writer: writer.add_sealed([sealed]),
        "version": lambda writer: writer.add_versions([(version, b"")]),
    }
    with pytest.raises(ConflictError), filled.catalog.write() as writer:
        again[what](writer)
    assert filled.counts() == (1, 1, 1, 1)


def test_a_version_refers_to_nothing_that_is_not_there(filled: Filled) -> None:
    (ern,) = filled.add(1)
    with filled.catalog.read() as reader:
        sealed = reader.sealed_objects()[0]
    dangling = {
        "object": filled.version(ern, filled.sealed(fingerprint([b"never stored"])), 2),
        "item": filled.version(Ern(SI, 2026, 99), sealed),
        "version derived from": filled.version(ern, sealed, 3),
    }
    for version in dangling.values():
        with pytest.raises(NotFoundError), filled.catalog.write() as writer:
            writer.add_versions([(version, b"")])
    assert filled.counts() == (1, 1, 1, 1)


def test_a_void_number_stays_void_and_its_source_may_come_again(filled: Filled) -> None:
    key = b"k" * 32
    (held,) = filled.add(1)
    with filled.catalog.write() as writer:
        (ern,) = writer.allocate(2026, 1)
        writer.add_items([filled.item(ern, key=key)])
    with filled.catalog.write() as writer:
        voided = writer.void(ern, "wrong case")
        writer.void(held, "wrong case")
    assert (voided.status, voided.status_reason) == (ItemStatus.VOID, "wrong case")
    with pytest.raises(ConflictError), filled.catalog.write() as writer:
        writer.void(ern, "again")
    with filled.catalog.write() as writer:
        assert writer.erns_of([key]) == {}
        (following,) = writer.allocate(2026, 1)
        writer.add_items([filled.item(following, key=key)])
    with filled.catalog.read() as reader:
        assert following.serial == ern.serial + 1
        assert reader.erns_of([key]) == {key: following}
        assert reader.item(ern) == voided
        assert len(reader.versions(held)) == 1
    with pytest.raises(NotFoundError), filled.catalog.write() as writer:
        writer.void(Ern(SI, 2026, 99), "never allocated")


# --------------------------------------------------------------------------- lists


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_are_complete_ordered_and_without_repetition(filled: Filled, limit: int) -> None:
    with filled.catalog.write() as writer:
        other = writer.open_case("Other", None, NOW)
        third = writer.open_case("Third", None, NOW)
    erns = [*filled.add(3), *filled.add(2, other), *filled.add(2)]
    with filled.catalog.write() as writer:
        shared = filled.sealed(fingerprint([b"shared"]))
        writer.add_sealed([shared])
        writer.add_versions([(filled.version(erns[1], shared, n), b"") for n in (2, 3)])
    places = [(ern, 1) for ern in erns]
    places[2:2] = [(erns[1], 2), (erns[1], 3)]
    mine = filled.case.case_id
    with filled.catalog.read() as reader:

        def cases(after: str | None) -> Page[object]:
            page = reader.cases(after=after, limit=limit)
            return Page([case.case_id for case in page.entries], page.after)

        def items(after: str | None) -> Page[Item]:
            return reader.items(after=after, limit=limit)

        def own_items(after: str | None) -> Page[Item]:
            return reader.items(case_id=mine, after=after, limit=limit)

        def held(after: str | None) -> Page[tuple[Version, SealedObject]]:
            return reader.held(after=after, limit=limit)

        assert whole(cases) == [mine, other.case_id, third.case_id]
        assert [item.ern for item in whole(items)] == erns
        assert [item.ern for item in whole(own_items)] == [*erns[:3], *erns[5:]]
        assert [(version.ern, version.number) for version, _ in whole(held)] == places
        for version, sealed in whole(held):
            assert (version.object_name, version.fingerprint) == (sealed.name, sealed.fingerprint)


def test_lists_go_on_in_order_past_six_digits_and_over_years(filled: Filled) -> None:
    serials = [(2025, 7), (2026, 999_999), (2026, 1_000_000), (2026, 10**12 - 1), (2027, 1)]
    erns = [Ern(SI, year, serial) for year, serial in serials]
    with filled.catalog.write() as writer:
        writer.add_items([filled.item(ern) for ern in reversed(erns)])
    with filled.catalog.read() as reader:
        assert [item.ern for item in reader.items().entries] == erns
        assert [item.ern for item in reader.items(after=str(erns[1])).entries] == erns[2:]
        last = reader.last_registered()
    assert last is not None
    assert last.ern == erns[-1]


def test_items_are_looked_up_many_at_once_in_the_order_that_is_asked_for(filled: Filled) -> None:
    erns = [Ern(SI, 2026, serial) for serial in range(1, 6)]
    with filled.catalog.write() as writer:
        writer.add_items([filled.item(each) for each in erns])
    never = Ern(SI, 2026, 77)
    with filled.catalog.read() as reader:
        found = reader.items_listed([erns[3], never, erns[0], erns[4]])
        whole = [reader.item(each) for each in (erns[3], erns[0], erns[4])]
        assert found == [
            Listed(
                each.ern,
                each.case_id,
                each.status,
                each.asserted.kind,
                each.registered_at,
                each.asserted.title,
            )
            for each in whole
        ]
        assert reader.items_listed([]) == []


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "SI-2026-1", "'; DROP TABLE item; --", "1/2", "SI-2026-000001/01", "SI-CASE-00007"],
)
def test_a_cursor_that_no_list_gave_is_refused(filled: Filled, cursor: str) -> None:
    with filled.catalog.read() as reader:
        for lister in (reader.items, reader.cases, reader.held):
            with pytest.raises(MalformedError):
                lister(after=cursor)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_bounds_is_refused(filled: Filled, limit: int) -> None:
    digest = fingerprint([b"x"]).sha256
    with filled.catalog.read() as reader:
        attempts: Iterable[Callable[[], object]] = (
            lambda: reader.items(limit=limit),
            lambda: reader.cases(limit=limit),
            lambda: reader.held(limit=limit),
            lambda: reader.sealed_objects(limit=limit),
            lambda: reader.versions_with(digest, limit=limit),
        )
        for attempt in attempts:
            with pytest.raises(MalformedError):
                attempt()


# ------------------------------------------------------------------------ look-ups


def test_versions_are_found_by_either_digest_in_order(filled: Filled) -> None:
    erns = filled.add(3)
    with filled.catalog.write() as writer:
        sealed = filled.sealed(fingerprint([b"in every item"]))
        writer.add_sealed([sealed])
        versions = [filled.version(ern, sealed, 2) for ern in reversed(erns)]
        writer.add_versions([(version, b"") for version in versions])
    with filled.catalog.read() as reader:
        for digest in (sealed.fingerprint.sha256, sealed.fingerprint.blake3):
            assert list(reader.versions_with(digest)) == versions[::-1]
            assert list(reader.versions_with(digest, limit=2)) == versions[:0:-1]


def test_digests_are_looked_up_by_their_own_algorithm(filled: Filled) -> None:
    (ern,) = filled.add(1)
    with filled.catalog.read() as reader:
        (version,) = reader.versions(ern)
        crossed = Digest(version.fingerprint.sha256.algorithm, version.fingerprint.blake3.value)
        assert reader.versions_with(crossed) == []


def test_the_newest_of_several_objects_with_the_same_content_is_used(filled: Filled) -> None:
    found = fingerprint([b"the same"])
    older, newer = (  # the order of names is not the order of entry
        SealedObject(ObjectName(digit * 32), found, 40, b"header", "age1first") for digit in "f0"
    )
    with filled.catalog.write() as writer:
        writer.add_sealed([older])
    with filled.catalog.write() as writer:
        writer.add_sealed([newer])
    with filled.catalog.read() as reader:
        other = fingerprint([b"another"]).sha256
        assert reader.sealed_with([found.sha256, other]) == {found.sha256: newer}
    with filled.catalog.write() as writer:  # a new header makes no newer object
        writer.rewrap(older.name, header=b"new header", recipient="age1second")
        assert writer.sealed_with([found.sha256]) == {found.sha256: newer}


def test_lookups_of_many_keys_at_once_find_them_all(filled: Filled) -> None:
    with filled.catalog.write() as writer:
        erns = writer.allocate(2026, 1200)
        keys = [fingerprint([str(ern).encode()]).sha256.value for ern in erns]
        named = list(zip(erns, keys, strict=True))
        writer.add_items([filled.item(ern, key=key) for ern, key in named])
        objects = [filled.sealed(fingerprint([key])) for key in keys]
        writer.add_sealed(objects)
    noise = [fingerprint([b"not there", key]).sha256 for key in keys]
    wanted = [sealed.fingerprint.sha256 for sealed in objects]
    with filled.catalog.read() as reader:
        assert reader.erns_of([*(digest.value for digest in noise), *keys]) == {
            key: ern for ern, key in named
        }
        assert reader.sealed_with([*noise, *wanted]) == dict(zip(wanted, objects, strict=True))


# ------------------------------------------------------------------------- objects


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
        assert reader.sealed_objects(recipient="age1third") == []
        (after,) = reader.sealed_objects(recipient="age1second")
    unchanged = before[0]
    assert after == SealedObject(
        unchanged.name,
        unchanged.fingerprint,
        unchanged.stored_bytes,
        b"new header",
        "age1second",
    )
    with pytest.raises(NotFoundError), filled.catalog.write() as writer:
        writer.rewrap(ObjectName("f" * 32), header=b"", recipient="age1second")


def test_objects_and_keys_are_walked_in_the_order_of_their_bytes(filled: Filled) -> None:
    found = fingerprint([b"x"])
    names = [ObjectName(text * 16) for text in ("0f", "a9", "aa", "ab")]
    recipients = ["age1A", "age1aa", "age1ch", "age1z"]
    with filled.catalog.write() as writer:
        writer.add_sealed(
            [
                SealedObject(name, found, 37, b"", recipient)
                for name, recipient in zip(reversed(names), recipients, strict=True)
            ]
        )
    with filled.catalog.read() as reader:

        def behind(after: ObjectName | None) -> Sequence[ObjectName]:
            return [sealed.name for sealed in reader.sealed_objects(after=after, limit=2)]

        assert behind(None) == names[:2]
        assert behind(names[1]) == names[2:]
        assert behind(names[-1]) == []
        assert reader.recipients() == recipients
        only = reader.sealed_objects(after=names[0], recipient="age1A", limit=2)
        assert [sealed.name for sealed in only] == [names[-1]]
