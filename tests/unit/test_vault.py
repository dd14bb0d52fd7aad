import os

import pyrage  # type: ignore[import-untyped] # it ships no types
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence_store.age.stream import CHUNK_BYTES
from evidence_store.claims import ClaimSet, Reading
from evidence_store.digest import Algorithm, fingerprint
from evidence_store.errors import FixityError, KeyUnavailableError, NotFoundError
from evidence_store.vault import Vault
from storage.objects.memory import MemoryObjectStore
from tests.vaults import Put, TestKeyring, sealed_into

SIZES = st.sampled_from([0, 1, 5, CHUNK_BYTES]).flatmap(
    lambda base: st.integers(0, 3).map(lambda chunks: base + chunks * CHUNK_BYTES)
)
IN_MEMORY = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
CLAIMS = (ClaimSet("tool", "1", Reading.READ, {"make": "Č", "gps": {"latitude": 45.5}}),)


@IN_MEMORY
@given(SIZES, st.lists(st.integers(1, 2), max_size=4))
def test_content_comes_out_as_it_went_in(vault: Vault, size: int, pieces: list[int]) -> None:
    content = os.urandom(size)
    sealing = sealed_into(vault, content, pieces)
    vault.objects.commit([sealing.writer])
    sealed = sealing.sealed(fingerprint([content]))
    assert b"".join(vault.open(sealed)) == content
    assert sealed.stored_bytes == vault.objects.stat(sealed.name).size_bytes


@IN_MEMORY
@given(SIZES, st.data())
def test_a_range_is_the_slice_of_the_content(
    vault: Vault, put: Put, size: int, data: st.DataObject
) -> None:
    content = os.urandom(size)
    sealing, found = put(content)
    offset = data.draw(st.integers(0, size))
    length = data.draw(st.integers(0, size - offset))
    part = vault.open_range(sealing.sealed(found), offset, length)
    assert b"".join(part) == content[offset : offset + length]


def test_another_implementation_opens_header_and_body_as_an_age_file(
    vault: Vault, objects: MemoryObjectStore, keyring: TestKeyring, put: Put
) -> None:
    content = os.urandom(3 * CHUNK_BYTES + 7)
    sealing, found = put(content)
    sealed = sealing.sealed(found)
    identity = pyrage.x25519.Identity.from_str(str(keyring.identities[0]))
    assert pyrage.decrypt(sealed.header + objects.objects[sealed.name], [identity]) == content
    body = vault.seal_claims(sealing.file_key, CLAIMS)
    assert b'"make":"\\u010c"' in pyrage.decrypt(sealed.header + body, [identity])


def test_the_same_content_is_never_stored_as_the_same_bytes_or_under_the_same_key(
    objects: MemoryObjectStore, put: Put
) -> None:
    first, _ = put(b"the same")
    second, _ = put(b"the same")
    assert first.file_key != second.file_key
    assert first.header != second.header
    assert len(set(objects.objects.values())) == 2


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_whoever_reads_altered_bytes_never_has_the_whole(
    vault: Vault, objects: MemoryObjectStore, put: Put, where: str
) -> None:
    content = os.urandom(4 * CHUNK_BYTES)
    sealing, found = put(content)
    sealed = sealing.sealed(found)
    stored = bytearray(objects.objects[sealed.name])
    stored[{"first": 0, "middle": len(stored) // 2, "last": -1}[where]] ^= 1
    objects.objects[sealed.name] = bytes(stored)
    handed_over: list[bytes] = []
    with pytest.raises(FixityError):
        handed_over.extend(vault.open(sealed))
    assert len(b"".join(handed_over)) < len(content)
    assert content.startswith(b"".join(handed_over))


def test_content_that_opens_but_is_not_what_was_registered_is_refused(
    vault: Vault, put: Put
) -> None:
    sealing, _ = put(b"what was stored")
    registered = fingerprint([b"what was wanted"])
    handed_over: list[bytes] = []
    with pytest.raises(FixityError):
        handed_over.extend(vault.open(sealing.sealed(registered)))
    assert handed_over == []


@pytest.mark.parametrize("algorithm", Algorithm)
def test_each_digest_alone_shows_other_content(
    vault: Vault, put: Put, algorithm: Algorithm
) -> None:
    sealing, _ = put(b"one")
    with pytest.raises(FixityError):
        list(vault.open(sealing.sealed(fingerprint([b"two"])), [algorithm]))


def test_an_object_exchanged_for_another_is_noticed(
    vault: Vault, objects: MemoryObjectStore, put: Put
) -> None:
    (first, found), (second, _) = put(b"first item"), put(b"other item")
    objects.objects[first.writer.name] = objects.objects[second.writer.name]
    with pytest.raises(FixityError):
        list(vault.open(first.sealed(found)))


def test_a_size_that_the_catalog_does_not_expect_is_noticed_before_anything_is_read(
    vault: Vault, objects: MemoryObjectStore, put: Put
) -> None:
    sealing, found = put(b"content")
    objects.objects[sealing.writer.name] += b"more"
    with pytest.raises(FixityError):
        vault.open(sealing.sealed(found))


def test_a_destroyed_header_disposes_of_content_and_claims(vault: Vault, put: Put) -> None:
    sealing, found = put(b"content")
    sealed = sealing.sealed(found)
    body = vault.seal_claims(sealing.file_key, CLAIMS)
    disposed = type(sealed)(sealed.name, found, sealed.stored_bytes, b"", sealed.recipient)
    with pytest.raises(KeyUnavailableError):
        vault.open(disposed)
    with pytest.raises(KeyUnavailableError):
        vault.open_claims(disposed, body)


def test_a_missing_object_and_a_lost_key_are_told_apart(
    vault: Vault, objects: MemoryObjectStore, keyring: TestKeyring, put: Put
) -> None:
    sealing, found = put(b"content")
    sealed = sealing.sealed(found)
    objects.objects.clear()
    with pytest.raises(NotFoundError):
        vault.open(sealed)
    keyring.identities.clear()
    with pytest.raises(KeyUnavailableError):
        vault.open(sealed)


def test_claims_come_back_as_they_were_read_and_cannot_be_altered(vault: Vault, put: Put) -> None:
    sealing, found = put(b"content")
    sealed = sealing.sealed(found)
    body = bytearray(vault.seal_claims(sealing.file_key, CLAIMS))
    assert vault.open_claims(sealed, bytes(body)) == CLAIMS
    assert b"make" not in body
    body[20] ^= 1
    with pytest.raises(FixityError):
        vault.open_claims(sealed, bytes(body))


def test_no_claims_are_no_bytes(vault: Vault, put: Put) -> None:
    sealing, found = put(b"content")
    assert vault.seal_claims(sealing.file_key, ()) == b""
    assert vault.open_claims(sealing.sealed(found), b"") == ()


def test_secrets_are_not_shown(put: Put) -> None:
    sealing, found = put(b"content")
    for shown in (repr(sealing), repr(sealing.sealed(found))):
        assert sealing.file_key.hex() not in shown
        assert repr(sealing.file_key) not in shown
        assert repr(sealing.header) not in shown
