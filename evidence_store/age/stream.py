"""The body of an age v1 file: a nonce, then chunks of 64 KiB that are each authenticated.

C2SP age, section "Payload". A chunk's place and whether it is the last are in its
nonce, so chunks cannot be changed, moved, left out or added unnoticed. Memory is
bounded by a chunk and by the pieces a caller passes.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from evidence_store.age import file_key as file_keys
from evidence_store.errors import FixityError, MalformedError

CHUNK_BYTES = 64 * 1024
NONCE_BYTES = 16
TAG_BYTES = file_keys.TAG_BYTES
_SEALED_BYTES = CHUNK_BYTES + TAG_BYTES
_COUNTER_BYTES = 11

Piece = bytes | bytearray | memoryview


def sealed_size(plaintext_bytes: int) -> int:
    """How many bytes the body of so many bytes of plaintext has, its nonce included.

    Raises:
        MalformedError: if the number is negative.
    """
    if plaintext_bytes < 0:
        raise MalformedError(f"age body: a plaintext of {plaintext_bytes} bytes")
    chunks = max(1, -(-plaintext_bytes // CHUNK_BYTES))  # an empty plaintext has an empty chunk
    return NONCE_BYTES + plaintext_bytes + chunks * TAG_BYTES


def plaintext_size(body_bytes: int) -> int:
    """How many bytes of plaintext a body of so many bytes has. The inverse of `sealed_size`.

    Raises:
        MalformedError: if no plaintext has a body of this size.
    """
    chunks = -(-(body_bytes - NONCE_BYTES) // _SEALED_BYTES)
    plaintext_bytes = max(0, body_bytes - NONCE_BYTES - chunks * TAG_BYTES)
    if sealed_size(plaintext_bytes) != body_bytes:
        raise MalformedError(f"age body: no content is {body_bytes} bytes when it is sealed")
    return plaintext_bytes


class Sealer:
    """Encrypts one body, from its beginning to its end. Used by one thread at a time.

    The nonce is not part of what it gives out: the caller writes it first. A file
    key and nonce must never be used for a second body.
    """

    def __init__(self, file_key: bytes, nonce: bytes) -> None:
        self._aead = _payload_aead(file_key, nonce)
        self._index = 0
        self._ended = False

    def seal_into(self, plaintext: memoryview, out: memoryview, *, final: bool) -> int:
        """Encrypt the next bytes into `out`; returns how many bytes of `out` were written.

        Unless it is the final one, a plaintext is a positive multiple of `CHUNK_BYTES`. The
        final one may have any length, but none only if it is also the first.

        Raises:
            MalformedError: on any other length, if `out` is too small, or behind the final one.
        """
        chunks = self._chunks(len(plaintext), final=final)
        written = len(plaintext) + chunks * TAG_BYTES
        if len(out) < written:
            raise MalformedError(f"age body: expected room for {written} bytes, found {len(out)}")
        self._ended = final
        for at in range(chunks):
            chunk = plaintext[at * CHUNK_BYTES : (at + 1) * CHUNK_BYTES]
            start = at * _SEALED_BYTES
            nonce = _nonce(self._index, last=final and at == chunks - 1)
            self._index += 1  # before it is used: after a failure, too, a nonce is never reused
            self._aead.encrypt_into(nonce, chunk, None, out[start : start + len(chunk) + TAG_BYTES])
        return written

    def _chunks(self, plaintext_bytes: int, *, final: bool) -> int:
        if self._ended:
            raise MalformedError("age body: expected nothing behind its final bytes")
        whole, rest = divmod(plaintext_bytes, CHUNK_BYTES)
        if not final and (rest or not whole):
            raise MalformedError(
                f"age body: expected a positive multiple of {CHUNK_BYTES} bytes before the "
                f"final ones, found {plaintext_bytes}"
            )
        if not plaintext_bytes and self._index:
            raise MalformedError("age body: expected at least one byte in the last chunk")
        return max(1, whole + bool(rest))


def opened(body: Iterable[Piece], file_key: bytes, *, may_be_cut: bool = False) -> Iterator[bytes]:
    """Yield the plaintext of a body given in pieces of any size, chunk by chunk.

    Nothing is yielded that is not authentic and in its place; but only when the iteration
    ends without an error is it known that nothing is missing at the end. A body that `may_be_cut`
    is also good if it ends behind a whole chunk: then how long it is is known from elsewhere.

    Raises:
        FixityError: if the body was altered, cut short or added to.
    """
    nonce, sealed = _parted(body)
    aead = _payload_aead(file_key, nonce)
    for index, (chunk, last) in enumerate(_sealed_chunks(sealed)):
        try:
            plaintext = _opened_chunk(aead, index, chunk, last=last)
        except FixityError:
            if not (last and may_be_cut):
                raise
            plaintext = _opened_chunk(aead, index, chunk, last=False)
        if plaintext:
            yield plaintext


def open_range(
    read: Callable[[int, int], Iterable[Piece]],
    file_key: bytes,
    plaintext_bytes: int,
    offset: int,
    length: int,
) -> Iterator[bytes]:
    """Yield `length` bytes of the plaintext from `offset`, fewer where the plaintext ends.

    `read(offset, length)` reads from the body; only the nonce and the chunks that are needed
    are asked for. `plaintext_bytes` is the size of the whole, known from elsewhere: a chunk
    is the last one if it is there that the whole ends.

    Raises:
        FixityError: if one of these chunks was altered, moved or is missing.
        MalformedError: if a number is negative.
    """
    if min(plaintext_bytes, offset, length) < 0:
        raise MalformedError(
            f"range: expected numbers from 0, found {length} bytes from {offset} of "
            f"{plaintext_bytes}"
        )
    end = min(offset + length, plaintext_bytes)
    if offset >= end:
        return
    wanted = range(offset // CHUNK_BYTES, (end - 1) // CHUNK_BYTES + 1)
    last = (plaintext_bytes - 1) // CHUNK_BYTES
    nonce, sealed = _parted(_body_part(read, wanted, sealed_size(plaintext_bytes)))
    aead = _payload_aead(file_key, nonce)
    chunks = _sealed_chunks(sealed)
    for index in wanted:
        chunk, _ = next(chunks, (b"", True))
        plaintext = _opened_chunk(aead, index, chunk, last=index == last)
        start = index * CHUNK_BYTES
        yield plaintext[max(0, offset - start) : end - start]


def _body_part(
    read: Callable[[int, int], Iterable[Piece]], chunks: range, body_bytes: int
) -> Iterable[Piece]:
    """The nonce and these chunks, in one read if they are adjacent."""
    start = NONCE_BYTES + chunks.start * _SEALED_BYTES
    end = min(NONCE_BYTES + chunks.stop * _SEALED_BYTES, body_bytes)
    if start == NONCE_BYTES:
        return read(0, end)
    return chain(read(0, NONCE_BYTES), read(start, end - start))


def _parted(body: Iterable[Piece]) -> tuple[bytes, Iterator[Piece]]:
    """The nonce, and the pieces behind it."""
    pieces = iter(body)
    nonce = b""
    for piece in pieces:
        missing = NONCE_BYTES - len(nonce)
        nonce += piece[:missing]
        if len(nonce) == NONCE_BYTES:
            return nonce, chain((memoryview(piece)[missing:],), pieces)
    raise FixityError(
        what="sealed content", expected=f"{NONCE_BYTES} bytes of nonce", found=str(len(nonce))
    )


def _sealed_chunks(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, bool]]:
    """Cut pieces into sealed chunks, each with whether it is the last.

    A chunk is held back until there is a byte behind it or an end. Only what lies across the
    border of two pieces is copied.
    """
    held = bytearray()
    for piece in pieces:
        rest = memoryview(piece)
        if held:
            missing = _SEALED_BYTES - len(held)
            held += rest[:missing]
            rest = rest[missing:]
            if not rest:
                continue
            yield held, False
            held = bytearray()
        start = 0
        while len(rest) - start > _SEALED_BYTES:
            yield rest[start : start + _SEALED_BYTES], False
            start += _SEALED_BYTES
        held += rest[start:]
    yield held, True


def _opened_chunk(aead: ChaCha20Poly1305, index: int, chunk: Piece, *, last: bool) -> bytes:
    empty = len(chunk) == TAG_BYTES and index > 0
    if len(chunk) < TAG_BYTES or empty:
        raise FixityError(
            what=f"sealed content, chunk {index}",
            expected=f"more than {TAG_BYTES} bytes",
            found=f"{len(chunk)}; it was cut short",
        )
    try:
        return aead.decrypt(_nonce(index, last=last), chunk, None)
    except InvalidTag as error:
        raise FixityError(
            what=f"sealed content, chunk {index}",
            expected="the bytes that were sealed there",
            found="others; it was altered or moved" + (", or cut short" if last else ""),
        ) from error


def _nonce(index: int, *, last: bool) -> bytes:
    return index.to_bytes(_COUNTER_BYTES, "big") + (b"\1" if last else b"\0")


def _payload_aead(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    if len(nonce) != NONCE_BYTES:
        raise MalformedError(f"age body: expected a nonce of {NONCE_BYTES} bytes")
    key = file_keys.derived(file_keys.checked(file_key), salt=nonce, info=b"payload")
    return ChaCha20Poly1305(key)
