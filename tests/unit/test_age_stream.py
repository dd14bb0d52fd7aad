"""Bodies: round trips, ranges, and every way in which one can be damaged."""

from collections.abc import Callable, Iterator
from hashlib import shake_128

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.age import stream
from evidence_store.age.stream import CHUNK_BYTES, NONCE_BYTES, TAG_BYTES
from evidence_store.errors import EvidenceError, FixityError, MalformedError

FILE_KEY = b"YELLOW SUBMARINE"
NONCE = bytes(range(NONCE_BYTES))
SEALED = CHUNK_BYTES + TAG_BYTES
PLENTY = shake_128(b"evidence").digest(8 * CHUNK_BYTES)

quick = settings(max_examples=40, deadline=None)
near_borders = st.builds(
    lambda chunks, offset: max(0, chunks * CHUNK_BYTES + offset),
    st.integers(0, 5),
    st.one_of(st.integers(-17, 17), st.integers(-CHUNK_BYTES, CHUNK_BYTES)),
)


def seal(content: bytes, *, at_once: int = 1, nonce: bytes = NONCE) -> bytes:
    """The body of this content, sealed in pieces of `at_once` chunks."""
    body = bytearray(stream.sealed_size(len(content)))
    body[:NONCE_BYTES] = nonce
    sealer = stream.Sealer(FILE_KEY, nonce)
    piece, written = at_once * CHUNK_BYTES, NONCE_BYTES
    with memoryview(content) as plaintext, memoryview(body) as out:
        at = 0
        while len(content) - at > piece:
            written += sealer.seal_into(plaintext[at : at + piece], out[written:], final=False)
            at += piece
        written += sealer.seal_into(plaintext[at:], out[written:], final=True)
    assert written == len(body)
    return bytes(body)


def unsealed(body: bytes, piece: int | None = None) -> bytes:
    return b"".join(stream.opened(cut(body, piece or len(body) or 1), FILE_KEY))


def cut(body: bytes, piece: int) -> Iterator[bytes]:
    return (body[at : at + piece] for at in range(0, len(body), piece))


# ------------------------------------------------------------------------ round trips


@quick
@given(size=near_borders, at_once=st.integers(1, 4), piece=st.integers(1000, 3 * CHUNK_BYTES))
def test_content_of_any_size_comes_back(size: int, at_once: int, piece: int) -> None:
    content = PLENTY[:size]
    body = seal(content, at_once=at_once)
    assert body == seal(content)
    assert unsealed(body, piece) == content
    assert len(body) == stream.sealed_size(size)


@pytest.mark.parametrize("piece", [1, 7, 16, 17, SEALED - 1, SEALED, SEALED + 1, CHUNK_BYTES])
def test_the_size_of_the_pieces_read_does_not_matter(piece: int) -> None:
    content = PLENTY[: CHUNK_BYTES + 5]
    assert unsealed(seal(content), piece) == content


def test_empty_pieces_do_not_matter() -> None:
    body = seal(PLENTY[: 2 * CHUNK_BYTES])
    pieces = [b"", body[:3], b"", body[3:SEALED], b"", b"", body[SEALED:], b""]
    assert b"".join(stream.opened(pieces, FILE_KEY)) == PLENTY[: 2 * CHUNK_BYTES]


def test_content_is_yielded_as_it_comes_and_not_at_the_end() -> None:
    body = seal(PLENTY[: 4 * CHUNK_BYTES])
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for piece in cut(body, CHUNK_BYTES):
            taken += 1
            yield piece

    first = next(stream.opened(pieces(), FILE_KEY))
    assert first == PLENTY[:CHUNK_BYTES]
    assert taken <= 2


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_the_last_chunk_is_marked_and_empty_only_if_there_is_no_content(size: int) -> None:
    body = seal(PLENTY[:size])
    chunks = list(cut(body[NONCE_BYTES:], SEALED))
    assert len(chunks) == max(1, -(-size // CHUNK_BYTES))
    assert all(len(chunk) > TAG_BYTES for chunk in chunks) or size == 0


def test_the_key_of_a_body_depends_on_its_nonce() -> None:
    one, other = seal(b"same"), seal(b"same", nonce=bytes(16))
    assert one[NONCE_BYTES:] != other[NONCE_BYTES:]


# ------------------------------------------------------------------------------ sizes


@given(st.integers(0, 2**60))
def test_the_size_of_the_content_is_known_from_that_of_the_body(size: int) -> None:
    assert stream.plaintext_size(stream.sealed_size(size)) == size


def test_every_other_size_is_one_that_no_body_has() -> None:
    sizes = {stream.sealed_size(size): size for size in range(3 * CHUNK_BYTES)}
    for body in (
        *range(100),
        *range(SEALED - 100, SEALED + 100),
        *range(2 * SEALED, 2 * SEALED + 99),
    ):
        if body in sizes:
            assert stream.plaintext_size(body) == sizes[body]
        else:
            with pytest.raises(MalformedError):
                stream.plaintext_size(body)


@pytest.mark.parametrize("size", [0, 15, 16, 31, 17 + SEALED, 32 + SEALED])
def test_sizes_between_chunks_are_impossible(size: int) -> None:
    with pytest.raises(MalformedError):
        stream.plaintext_size(size)


def test_no_content_has_a_negative_size() -> None:
    with pytest.raises(MalformedError):
        stream.sealed_size(-1)


# ------------------------------------------------------------------------------ ranges


def reader(body: bytes, asked: list[tuple[int, int]]) -> Callable[[int, int], Iterator[bytes]]:
    def read(offset: int, length: int) -> Iterator[bytes]:
        asked.append((offset, length))
        return cut(body[offset : offset + length], 50_000)

    return read


@quick
@given(size=near_borders, offset=near_borders, length=near_borders)
def test_a_range_is_that_slice_and_touches_only_its_chunks(
    size: int, offset: int, length: int
) -> None:
    content, asked = PLENTY[:size], list[tuple[int, int]]()
    read = reader(seal(content), asked)
    found = b"".join(stream.open_range(read, FILE_KEY, size, offset, length))
    assert found == content[offset : offset + length]
    chunks = -(-len(found) // CHUNK_BYTES) + 1
    assert sum(length for _, length in asked) <= NONCE_BYTES + (chunks * SEALED if found else 0)
    assert len(asked) <= 2


def test_a_range_is_read_from_a_large_body_without_the_rest() -> None:
    """A body of which only the nonce and the wanted chunks exist."""
    body = seal(PLENTY[: 3 * CHUNK_BYTES])
    start = NONCE_BYTES + SEALED

    def read(offset: int, length: int) -> Iterator[bytes]:
        assert (offset, length) in {(0, NONCE_BYTES), (start, SEALED)}
        return iter((body[offset : offset + length],))

    found = b"".join(stream.open_range(read, FILE_KEY, 3 * CHUNK_BYTES, CHUNK_BYTES + 7, 100))
    assert found == PLENTY[CHUNK_BYTES + 7 :][:100]


@pytest.mark.parametrize(("size", "offset", "length"), [(-1, 0, 1), (9, -1, 1), (9, 0, -1)])
def test_a_range_of_negative_numbers_is_refused(size: int, offset: int, length: int) -> None:
    with pytest.raises(MalformedError):
        list(stream.open_range(reader(b"", []), FILE_KEY, size, offset, length))


TWO_CHUNKS = seal(PLENTY[: 2 * CHUNK_BYTES])
FIRST_END = NONCE_BYTES + SEALED
DAMAGED = {
    "empty": b"",
    "nonce_only": TWO_CHUNKS[:NONCE_BYTES],
    "nonce_cut_short": TWO_CHUNKS[: NONCE_BYTES - 1],
    "cut_short_between_chunks": TWO_CHUNKS[:FIRST_END],
    "cut_short_behind_a_border": TWO_CHUNKS[: FIRST_END + 5],
    "cut_short_by_a_byte": TWO_CHUNKS[:-1],
    "another_nonce": bytes(NONCE_BYTES) + TWO_CHUNKS[NONCE_BYTES:],
    "altered": TWO_CHUNKS[:-1] + bytes([TWO_CHUNKS[-1] ^ 1]),
    "chunk_repeated": TWO_CHUNKS[:FIRST_END] + TWO_CHUNKS[NONCE_BYTES:FIRST_END],
    "last_chunk_not_the_last": seal(PLENTY[: 2 * CHUNK_BYTES + 1])[: len(TWO_CHUNKS)],
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_range_of_a_damaged_body_is_refused(damage: str) -> None:
    read = reader(DAMAGED[damage], [])
    with pytest.raises(FixityError):
        list(stream.open_range(read, FILE_KEY, 2 * CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES))


def test_a_range_does_not_take_a_shorter_contents_end_for_its_own() -> None:
    body = seal(PLENTY[:CHUNK_BYTES])
    with pytest.raises(FixityError):
        list(stream.open_range(reader(body, []), FILE_KEY, 2 * CHUNK_BYTES, 0, 10))


# ------------------------------------------------------------------------------ damage


def assert_refused(body: bytes, content: bytes) -> None:
    """Reading fails, and before that comes nothing but a beginning of the content, not all."""
    released = bytearray()

    def read() -> None:
        for piece in stream.opened([body], FILE_KEY):
            released.extend(piece)

    with pytest.raises(FixityError):
        read()
    assert content.startswith(released)
    assert len(released) < max(1, len(content))


SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 9]


@pytest.mark.parametrize("size", SIZES)
def test_a_body_cut_short_anywhere_is_noticed(size: int) -> None:
    body = seal(PLENTY[:size])
    borders = range(NONCE_BYTES, len(body) + 1, SEALED)
    near = {border + offset for border in borders for offset in (-17, -16, -1, 0, 1, 16, 17)}
    for length in {0, 1, len(body) - 1, *near}:
        if 0 <= length < len(body):
            assert_refused(body[:length], PLENTY[:size])


@pytest.mark.parametrize("size", SIZES)
def test_a_body_that_may_be_cut_is_good_to_a_whole_chunk_and_to_nothing_else(size: int) -> None:
    content = PLENTY[:size]
    body = seal(content)

    def opened(length: int) -> bytes:
        return b"".join(stream.opened([body[:length]], FILE_KEY, may_be_cut=True))

    assert opened(len(body)) == content
    whole = range(NONCE_BYTES + SEALED, len(body), SEALED)
    for length in whole:
        assert opened(length) == content[: (length - NONCE_BYTES) // SEALED * CHUNK_BYTES]
    for length in {0, 1, NONCE_BYTES, len(body) - 1} - {*whole, len(body)}:
        with pytest.raises(FixityError):
            opened(length)
    if size:
        altered = body[:-1] + bytes([body[-1] ^ 1])
        with pytest.raises(FixityError):
            list(stream.opened([altered], FILE_KEY, may_be_cut=True))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("more", [1, TAG_BYTES, 17, CHUNK_BYTES, SEALED])
def test_anything_behind_the_end_is_noticed(size: int, more: int) -> None:
    body = seal(PLENTY[:size])
    assert_refused(body + bytes(more), PLENTY[:size])


@pytest.mark.parametrize("size", SIZES)
def test_an_altered_byte_is_noticed_at_every_border(size: int) -> None:
    body = seal(PLENTY[:size])
    borders = {0, NONCE_BYTES, *range(NONCE_BYTES + SEALED, len(body), SEALED), len(body)}
    places = {border + offset for border in borders for offset in (-17, -16, -1, 0, 15)}
    for place in places:
        if 0 <= place < len(body):
            altered = bytearray(body)
            altered[place] ^= 0x10
            assert_refused(bytes(altered), PLENTY[:size])


@quick
@given(size=near_borders, place=st.integers(0, 2**32), flip=st.integers(1, 255))
def test_an_altered_byte_is_noticed_anywhere(size: int, place: int, flip: int) -> None:
    body = bytearray(seal(PLENTY[:size]))
    body[place % len(body)] ^= flip
    assert_refused(bytes(body), PLENTY[:size])


def parts(body: bytes) -> tuple[bytes, list[bytes]]:
    return body[:NONCE_BYTES], list(cut(body[NONCE_BYTES:], SEALED))


@pytest.mark.parametrize(
    "order",
    [
        (1, 0, 2),
        (0, 2, 1),
        (2, 1, 0),
        (0, 1),
        (0, 2),
        (1, 2),
        (0, 0, 1, 2),
        (0, 1, 1, 2),
        (0, 1, 2, 2),
        (2,),
        (0, 1, 2, 0),
    ],
)
@pytest.mark.parametrize("end", [CHUNK_BYTES, 9])
def test_chunks_moved_left_out_or_repeated_are_noticed(order: tuple[int, ...], end: int) -> None:
    content = PLENTY[: 2 * CHUNK_BYTES + end]
    nonce, chunks = parts(seal(content))
    assert_refused(nonce + b"".join(chunks[at] for at in order), content)


def test_a_chunk_of_another_body_is_noticed() -> None:
    content = PLENTY[: 2 * CHUNK_BYTES]
    nonce, chunks = parts(seal(content))
    _, others = parts(seal(content, nonce=bytes(NONCE_BYTES)))
    assert_refused(nonce + chunks[0] + others[1], content)


def test_a_body_without_a_chunk_marked_as_the_last_is_noticed() -> None:
    body, out = NONCE, memoryview(bytearray(SEALED))
    sealer = stream.Sealer(FILE_KEY, NONCE)
    for at in range(2):
        sealer.seal_into(memoryview(PLENTY)[at * CHUNK_BYTES :][:CHUNK_BYTES], out, final=False)
        body += bytes(out)
        assert_refused(body, PLENTY[: (at + 1) * CHUNK_BYTES])


def test_an_empty_last_chunk_behind_a_full_one_is_refused_although_it_is_authentic() -> None:
    content = PLENTY[:CHUNK_BYTES]
    sealer, out = stream.Sealer(FILE_KEY, NONCE), memoryview(bytearray(SEALED))
    sealer.seal_into(memoryview(content), out, final=False)
    hollow = sealer._aead.encrypt((1).to_bytes(11, "big") + b"\1", b"", None)  # noqa: SLF001 - no way in
    body = NONCE + bytes(out) + hollow
    with pytest.raises(FixityError):
        unsealed(body)


def test_another_file_key_opens_nothing() -> None:
    with pytest.raises(FixityError):
        list(stream.opened([seal(b"statement")], bytes(16)))


@pytest.mark.parametrize("body", [b"", bytes(15), bytes(16), bytes(31), bytes(32)])
def test_a_body_too_short_to_be_one_is_refused(body: bytes) -> None:
    with pytest.raises(FixityError):
        unsealed(body)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_in_this_systems_words(body: bytes) -> None:
    with pytest.raises(EvidenceError):
        unsealed(body)


# ------------------------------------------------------------------------------ sealing


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES + 1])
def test_only_the_final_piece_may_end_inside_a_chunk(size: int) -> None:
    sealer = stream.Sealer(FILE_KEY, NONCE)
    with pytest.raises(MalformedError):
        sealer.seal_into(memoryview(bytes(size)), memoryview(bytearray(2 * SEALED)), final=False)


def test_a_body_with_content_has_no_empty_end() -> None:
    sealer, out = stream.Sealer(FILE_KEY, NONCE), memoryview(bytearray(SEALED))
    sealer.seal_into(memoryview(bytes(CHUNK_BYTES)), out, final=False)
    with pytest.raises(MalformedError):
        sealer.seal_into(memoryview(b""), out, final=True)


def test_nothing_is_sealed_behind_the_end() -> None:
    sealer, out = stream.Sealer(FILE_KEY, NONCE), memoryview(bytearray(SEALED))
    assert sealer.seal_into(memoryview(b""), out, final=True) == TAG_BYTES
    for final in (False, True):
        with pytest.raises(MalformedError):
            sealer.seal_into(memoryview(bytes(CHUNK_BYTES)), out, final=final)


def test_too_little_room_is_refused_before_anything_is_written() -> None:
    sealer, out = stream.Sealer(FILE_KEY, NONCE), bytearray(2 * SEALED - 1)
    with pytest.raises(MalformedError):
        sealer.seal_into(memoryview(bytes(2 * CHUNK_BYTES)), memoryview(out), final=True)
    assert not any(out)


@pytest.mark.parametrize(("key", "nonce"), [(15, 16), (32, 16), (16, 12), (16, 0)])
def test_a_key_or_nonce_of_another_length_is_refused(key: int, nonce: int) -> None:
    with pytest.raises(MalformedError):
        stream.Sealer(bytes(key), bytes(nonce))
