"""What `evidence_store.rewrap.Kept` promises, of the rows that are sealed to the keyring."""

import base64
import hashlib
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text

from evidence_store.accounts import Challenge, Enrolment, Password, Purpose
from evidence_store.background import Webhook
from evidence_store.doors import Upload, UploadBounds, UploadState
from evidence_store.errors import KeyUnavailableError, MalformedError
from evidence_store.identifiers import AuthorityId, PersonCode
from evidence_store.rewrap import Kept, Wrapped, older, rewrap_kept
from storage.catalog import SqlCatalog
from storage.catalog.accounts import SqlAccountStore
from storage.catalog.doors import SqlDoorStore
from storage.catalog.work import SqlWorkStore
from storage.catalog.wrapped import wrapped_rows
from tests.catalogs import NOW
from tests.vaults import Chance, TestKeyring

FILE_KEY = b"YELLOW SUBMARINE"
OFFICERS = [PersonCode.parse(f"OFF-{number:04d}") for number in (1, 2, 3)]
BODY = b"\x00sealed body"
TABLES = {
    "upload": "SELECT header FROM upload",
    "webhook": "SELECT header FROM webhook",
    "one-time codes": "SELECT totp FROM account",
    "one-time codes that are being enrolled": "SELECT content FROM challenge WHERE purpose = 'totp'",
}


@pytest.fixture
def keyring() -> TestKeyring:
    return TestKeyring(Chance())


@pytest.fixture(params=TABLES)
def kept(request: pytest.FixtureRequest, catalog: SqlCatalog, keyring: TestKeyring) -> Kept:
    """Three of a kind."""
    for number, officer in enumerate(OFFICERS):
        _fill(catalog, str(number), officer, keyring.wrap(FILE_KEY))
    (found,) = [each for each in wrapped_rows(catalog.engine) if each.what == request.param]
    return found


def _fill(catalog: SqlCatalog, name: str, officer: PersonCode, header: bytes) -> None:
    accounts, life = SqlAccountStore(catalog.engine), NOW + timedelta(days=1)
    digest = hashlib.sha256(name.encode()).digest()
    accounts.add_enrolment(Enrolment(digest, officer, PersonCode.parse("OFF-0008"), life), NOW)
    assert accounts.confirm_enrolment(digest, PersonCode.parse("OFF-0009"), NOW)
    assert accounts.enrol(digest, Password(officer, "$argon2id$", header + BODY, 7), NOW)
    sealed = base64.urlsafe_b64encode(header + BODY).rstrip(b"=").decode()
    accounts.add_challenge(Challenge(digest, Purpose.TOTP, officer, sealed, life), NOW)
    other = hashlib.sha256(b"other" + name.encode()).digest()
    accounts.add_challenge(Challenge(other, Purpose.SIGN_IN, officer, "no seal", life), NOW)
    SqlDoorStore(catalog.engine).add_upload(
        Upload(name, officer, 1, 0, 1, UploadState.OPEN, {}, (), header, NOW, life),
        UploadBounds(1000, 2**40, 2**20),
    )
    webhook = Webhook(
        name, AuthorityId("a"), officer, "https://x.example", frozenset({"x"}), b"s", header, NOW
    )
    assert SqlWorkStore(catalog.engine).add_webhook(webhook, most=10)


def contents(catalog: SqlCatalog, kept: Kept) -> list[bytes]:
    """What is in the column."""
    engine = create_engine(catalog.engine.url)  # beside the product: its plans are not looked at
    with engine.connect() as connection:
        found = [row[0] for row in connection.execute(text(TABLES[kept.what]))]
    engine.dispose()
    return [
        base64.urlsafe_b64decode(each + "==") if isinstance(each, str) else bytes(each)
        for each in found
    ]


def test_headers_are_listed_in_parts_and_each_once(kept: Kept) -> None:
    whole = kept.wrapped(limit=10)
    assert len(whole) == 3
    names, after = list[str](), None
    while part := kept.wrapped(after=after, limit=1):
        (one,) = part
        names.append(one.name)
        after = one.name
    assert names == [each.name for each in whole]


def test_a_new_header_takes_the_place_of_the_old_one_and_of_nothing_else(
    catalog: SqlCatalog, kept: Kept, keyring: TestKeyring
) -> None:
    keyring.rotate()
    assert len(list(older(kept, keyring))) == 3
    assert [each.error for each in rewrap_kept(kept, keyring)] == [None] * 3
    assert list(older(kept, keyring)) == []
    assert list(rewrap_kept(kept, keyring)) == []
    keyring.identities[1:] = []
    assert {keyring.unwrap(each.header) for each in kept.wrapped()} == {FILE_KEY}
    has_body = kept.what.startswith("one-time")
    for each in contents(catalog, kept):
        assert each.endswith(BODY) is has_body


def test_what_was_changed_meanwhile_is_left(
    catalog: SqlCatalog, kept: Kept, keyring: TestKeyring
) -> None:
    first = kept.wrapped()[0]
    before = sorted(contents(catalog, kept))
    kept.rewrap([(Wrapped(first.name, b"another header"), b"a third")])
    kept.rewrap([(Wrapped(first.name, keyring.wrap(FILE_KEY)), b"a third")])
    assert sorted(contents(catalog, kept)) == before


def test_what_no_key_opens_is_reported_and_left(
    catalog: SqlCatalog, kept: Kept, keyring: TestKeyring
) -> None:
    before = sorted(contents(catalog, kept))
    stranger = TestKeyring(Chance(7))
    errors = [each.error for each in rewrap_kept(kept, stranger)]
    assert [type(each) for each in errors] == [KeyUnavailableError] * 3
    first = kept.wrapped()[0]
    kept.rewrap([(first, b"")])  # damaged: the header is gone
    errors = [each.error for each in rewrap_kept(kept, keyring)]
    assert [type(each) for each in errors] == [MalformedError]
    assert len(contents(catalog, kept)) == len(before)
