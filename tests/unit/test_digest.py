import hashlib

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.digest import Algorithm, Digest, Fingerprint, fingerprint, verified
from evidence_store.errors import FixityError, MalformedError

CHUNKS = st.lists(st.binary(max_size=64), max_size=8)


def digest_of(content: bytes) -> Digest:
    return Digest(Algorithm.SHA256, hashlib.sha256(content).digest())


@given(CHUNKS)
def test_a_fingerprint_is_what_the_reference_libraries_compute(chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    found = fingerprint(chunks)
    assert found.sha256.value == hashlib.sha256(content).digest()
    assert found.blake3.value == blake3(content).digest()
    assert found.size_bytes == len(content)


@given(st.sampled_from(Algorithm), st.binary(min_size=32, max_size=32))
def test_parse_and_str_of_a_digest_are_inverses(algorithm: Algorithm, value: bytes) -> None:
    digest = Digest(algorithm, value)
    assert Digest.parse(str(digest)) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:" + "AB" * 32,
        "sha256:" + "ab" * 31,
        "sha256:" + "ab" * 33,
        "md5:" + "ab" * 16,
        "SHA256:" + "ab" * 32,
        "ab" * 32,
        "sha256:" + "ab " * 32,
        "sha256:" + "zz" * 32,
    ],
)
def test_a_digest_has_one_spelling_only(text: str) -> None:
    with pytest.raises(MalformedError):
        Digest.parse(text)


def test_a_digest_as_tools_print_it_may_be_in_capitals() -> None:
    assert Digest.sha256_hex("AB" * 32) == Digest.sha256_hex("ab" * 32)


def test_a_fingerprint_with_its_digests_exchanged_cannot_exist() -> None:
    good = fingerprint([b"x"])
    with pytest.raises(MalformedError):
        Fingerprint(sha256=good.blake3, blake3=good.sha256, size_bytes=1)


@given(CHUNKS)
def test_verified_chunks_are_the_content_when_the_digest_agrees(chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    assert b"".join(verified(chunks, digest_of(content))) == content


@given(CHUNKS.filter(any))
def test_a_reader_never_has_the_whole_of_changed_content(chunks: list[bytes]) -> None:
    handed_over: list[bytes] = []
    with pytest.raises(FixityError):
        handed_over.extend(verified(chunks, digest_of(b"other")))  # keeps what came before
    assert b"".join(handed_over) == b"".join([each for each in chunks if each][:-1])


def test_every_digest_asked_for_must_agree() -> None:
    good = fingerprint([b"content"])
    wrong = Digest(Algorithm.BLAKE3, bytes(32))
    with pytest.raises(FixityError):
        list(verified([b"content"], good.sha256, wrong))
