"""Small secrets of the doors, sealed to the instance's key: age v1 files in memory.

Not for evidence, whose header and body are kept apart (`evidence_store.vault`).
"""

from evidence_store.age import stream
from evidence_store.age.file_key import FILE_KEY_BYTES
from evidence_store.age.header import split
from evidence_store.ports import Keyring, Randomness


def sealed(keyring: Keyring, random: Randomness, plaintext: bytes) -> bytes:
    """An age file with this content, under a file key of its own.

    Raises:
        KeyUnavailableError: if the key file cannot be read.
    """
    file_key, nonce = random(FILE_KEY_BYTES), random(stream.NONCE_BYTES)
    body = bytearray(stream.sealed_size(len(plaintext)))
    body[: stream.NONCE_BYTES] = nonce
    with memoryview(body) as out:
        sealer = stream.Sealer(file_key, nonce)
        sealer.seal_into(memoryview(plaintext), out[stream.NONCE_BYTES :], final=True)
    return keyring.wrap(file_key) + bytes(body)


def opened(keyring: Keyring, content: bytes) -> bytes:
    """What was sealed.

    Raises:
        KeyUnavailableError: if the key file cannot be read, or none of its keys opens it.
        FixityError, MalformedError: if it was altered.
    """
    length = split(content)
    return b"".join(stream.opened((content[length:],), keyring.unwrap(content[:length])))
