"""Nonces, deliveries and identities on every database: each of them counts once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from evidence_store.accounts import Enrolment, Identity
from evidence_store.doors import Delivery
from evidence_store.errors import ConflictError
from evidence_store.identifiers import AuthorityId, PersonCode
from storage.catalog import SqlCatalog, create_catalog
from storage.catalog.accounts import SqlAccountStore
from storage.catalog.doors import SqlDoorStore
from tests.catalogs import NOW, SI

ONE, OTHER = bytes([1]) * 32, bytes([2]) * 32
MINUTE = timedelta(minutes=1)
OFFICERS = [PersonCode.parse(f"OFF-000{each}") for each in range(1, 5)]
DELIVERY = Delivery(
    "1" * 32, AuthorityId("bravo"), "ab" * 32, 2**40, NOW, '{"signature":"…"}', "{}", bytes(64)
)


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[SqlCatalog]:
    found = create_catalog(catalog_url, SI, "A", NOW)
    yield found
    found.close()


def test_a_nonce_counts_once_until_it_is_over(catalog: SqlCatalog) -> None:
    doors = SqlDoorStore(catalog.engine)
    assert doors.use_nonce(ONE, NOW, NOW + MINUTE)
    assert not doors.use_nonce(ONE, NOW, NOW + MINUTE)
    assert doors.use_nonce(OTHER, NOW, NOW + MINUTE)
    assert doors.use_nonce(ONE, NOW + MINUTE, NOW + 2 * MINUTE)


def test_of_many_who_use_a_nonce_at_once_one_does(catalog: SqlCatalog) -> None:
    doors = SqlDoorStore(catalog.engine)
    with ThreadPoolExecutor(8) as pool:
        used = pool.map(lambda _: doors.use_nonce(ONE, NOW, NOW + MINUTE), range(16))
    assert sorted(used) == [False] * 15 + [True]


def test_a_delivery_is_entered_once_and_found_again(catalog: SqlCatalog) -> None:
    doors = SqlDoorStore(catalog.engine)
    doors.add_delivery(DELIVERY)
    assert doors.delivery(DELIVERY.id) == DELIVERY
    assert doors.delivered(DELIVERY.authority, DELIVERY.sha256) == DELIVERY
    assert doors.delivered(AuthorityId("charlie"), DELIVERY.sha256) is None
    assert doors.delivery("2" * 32) is None
    same = Delivery("2" * 32, DELIVERY.authority, DELIVERY.sha256, 1, NOW, "", "", bytes(64))
    with pytest.raises(ConflictError):
        doors.add_delivery(same)
    doors.add_delivery(
        Delivery("3" * 32, AuthorityId("charlie"), DELIVERY.sha256, 1, NOW, "", "", b"")
    )
    first = doors.deliveries(limit=1)
    assert [each.id for each in first.entries] == ["1" * 32]
    rest = doors.deliveries(after=first.after)
    assert [each.id for each in rest.entries] == ["3" * 32]
    assert rest.after is None


def _bind(accounts: SqlAccountStore, officer: PersonCode, link: bytes, digest: bytes) -> bool:
    by, confirmed_by = OFFICERS[2:]
    accounts.add_enrolment(Enrolment(link, officer, by, NOW + MINUTE, confirmed_by), NOW)
    return accounts.enrol(link, Identity(digest, officer, "https://id.example"), NOW)


def test_an_identity_is_one_officers_and_the_last_that_was_bound(catalog: SqlCatalog) -> None:
    accounts = SqlAccountStore(catalog.engine)
    first, second, *_ = OFFICERS
    assert accounts.identity(ONE) is None
    assert _bind(accounts, first, bytes([5]) * 32, ONE)
    assert accounts.identity(ONE) == Identity(ONE, first, "https://id.example")
    with pytest.raises(ConflictError):
        _bind(accounts, second, bytes([6]) * 32, ONE)
    assert accounts.identity(ONE) == Identity(ONE, first, "https://id.example")
    assert _bind(accounts, first, bytes([7]) * 32, OTHER)
    assert accounts.identity(ONE) is None
