"""A whole age v1 file in memory: header and body. For small ones, such as a key file.

Evidence does not pass through here: its header and its body are kept apart, and
its body is a stream.
"""

from collections.abc import Callable, Sequence

from evidence_store.age import stream
from evidence_store.age.file_key import FILE_KEY_BYTES
from evidence_store.age.header import Identity, Recipient, open_header, seal_header, split


def seal_file(
    plaintext: bytes, recipients: Sequence[Recipient], random: Callable[[int], bytes]
) -> bytes:
    """An age file with this content, under a file key of its own.

    Raises:
        MalformedError: as `seal_header`.
    """
    file_key, nonce = random(FILE_KEY_BYTES), random(stream.NONCE_BYTES)
    body = bytearray(stream.sealed_size(len(plaintext)))
    body[: stream.NONCE_BYTES] = nonce
    with memoryview(body) as out:
        sealer = stream.Sealer(file_key, nonce)
        sealer.seal_into(memoryview(plaintext), out[stream.NONCE_BYTES :], final=True)
    return seal_header(file_key, recipients, random) + body


def open_file(file: bytes, identities: Sequence[Identity]) -> bytes:
    """The content of an age file.

    Raises:
        KeyUnavailableError: if none of the identities opens it.
        MalformedError: if it is not an age file.
        FixityError: if it was altered, cut short or added to.
    """
    length = split(file)
    file_key = open_header(file[:length], identities)
    return b"".join(stream.opened((file[length:],), file_key))
