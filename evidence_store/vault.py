"""Content in, sealed; content out, verified: the one way to evidence bytes.

Every object has a file key of its own. What is stored is the body of an age v1
file; its header, with the wrapped key, is kept in the catalog, apart from the
body, so that destroying the header disposes of the content even where the store
refuses deletion. `header + body` is an age file that the stock tool opens.

The store is not trusted: every chunk is authenticated before it is passed on,
and the last one is held back until the content's digests agree.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from evidence_store.age import stream
from evidence_store.claims import ClaimSet
from evidence_store.digest import Algorithm, Fingerprint, verified
from evidence_store.errors import FixityError, KeyUnavailableError
from evidence_store.identifiers import ObjectName
from evidence_store.item import SealedObject
from evidence_store.ports import Keyring, ObjectStore, ObjectWriter, Randomness

FILE_KEY_BYTES = 16  # age v1: "the file key is 16 bytes"
NAME_BYTES = 16


@dataclass(slots=True)
class Body:
    """Sealed content that is on its way into the store, with the header that opens it."""

    writer: ObjectWriter
    header: bytes = field(repr=False)
    recipient: str
    file_key: bytes = field(repr=False)

    def sealed(self, fingerprint: Fingerprint) -> SealedObject:
        """The catalog's record of the object, once all of it is written."""
        return SealedObject(
            name=self.writer.name,
            fingerprint=fingerprint,
            stored_bytes=self.writer.size_bytes,
            header=self.header,
            recipient=self.recipient,
        )


@dataclass(slots=True)
class Sealing(Body):
    """Content on its way into an object: encrypts, in order, what `writer` is then given."""

    _sealer: stream.Sealer = field(repr=False)
    _nonce: bytes = field(repr=False)

    @staticmethod
    def room(plaintext_bytes: int) -> int:
        """How large `out` must be for so many bytes of plaintext."""
        return stream.sealed_size(plaintext_bytes)

    def seal_into(self, plaintext: memoryview, out: memoryview, *, final: bool) -> int:
        """Encrypt the next bytes into `out`; returns how many of `out` are to be written.

        Unless it is the final one, a piece is a positive multiple of `stream.CHUNK_BYTES`.
        """
        start = len(self._nonce)
        out[:start] = self._nonce  # the body begins with the nonce, once
        self._nonce = b""
        return start + self._sealer.seal_into(plaintext, out[start:], final=final)


@dataclass(frozen=True, slots=True)
class Vault:
    """Seals content into an object store under keys of a keyring, and opens it again."""

    objects: ObjectStore
    keyring: Keyring
    random: Randomness

    def begin(self, size_bytes: int | None = None) -> Sealing:
        """Begin to seal content, of about `size_bytes` if that is known.

        Raises:
            NoSpaceError, StoreUnavailableError: as `ObjectStore.begin`.
        """
        file_key = self.random(FILE_KEY_BYTES)
        nonce = self.random(stream.NONCE_BYTES)
        stored_bytes = None if size_bytes is None else stream.sealed_size(size_bytes)
        name = ObjectName.of(self.random(NAME_BYTES))
        return Sealing(
            writer=self.objects.begin(name, size_bytes=stored_bytes),
            header=self.keyring.wrap(file_key),
            recipient=self.keyring.recipient,
            file_key=file_key,
            _sealer=stream.Sealer(file_key, nonce),
            _nonce=nonce,
        )

    def adopt(self, file: str, file_key: bytes) -> Body:
        """A body that is sealed already, whole and durable in a file of this machine: it becomes an object as it is.

        Whoever sealed it vouches for what is in it. The file keeps its name until its owner removes
        it; from now on nobody may write to it.

        Raises:
            NoSpaceError, StoreUnavailableError: as `ObjectStore.adopt`.
        """
        return Body(
            writer=self.objects.adopt(ObjectName.of(self.random(NAME_BYTES)), file),
            header=self.keyring.wrap(file_key),
            recipient=self.keyring.recipient,
            file_key=file_key,
        )

    def open(
        self,
        sealed: SealedObject,
        algorithms: Sequence[Algorithm] = (Algorithm.SHA256, Algorithm.BLAKE3),
        *,
        through: Callable[[Iterator[bytes]], Iterator[bytes]] = iter,
    ) -> Iterator[bytes]:
        """Yield the content. The last chunk comes only when its digests are the registered ones.

        What is opened goes `through` something before it is digested, perhaps into another thread.

        Raises:
            FixityError: instead of the last chunk, or earlier, if stored bytes were changed.
            NotFoundError: if the store has no such object.
            KeyUnavailableError: if no key at hand opens it, or it was disposed of.
            StoreUnavailableError: if the store does not answer.
        """
        file_key = self.file_key(sealed)
        expected_bytes = stream.sealed_size(sealed.fingerprint.size_bytes)
        found_bytes = self.objects.stat(sealed.name).size_bytes
        if found_bytes != expected_bytes:
            raise FixityError(
                what="stored object",
                expected=f"{expected_bytes} bytes",
                found=f"{found_bytes} bytes",
            )
        content = stream.opened(self.objects.read(sealed.name), file_key)
        return verified(through(content), *(sealed.fingerprint.digest(each) for each in algorithms))

    def open_range(self, sealed: SealedObject, offset: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes of the content from `offset`, each chunk authenticated.

        A part cannot be compared with a digest of the whole; authentication by the
        object's own key shows that it is what was sealed.

        Raises:
            FixityError, NotFoundError, KeyUnavailableError, StoreUnavailableError: as `open`.
        """

        def read(start: int, count: int) -> Iterator[bytes]:
            return self.objects.read(sealed.name, offset=start, length=count)

        return stream.open_range(
            read, self.file_key(sealed), sealed.fingerprint.size_bytes, offset, length
        )

    def seal_claims(self, file_key: bytes, claims: Sequence[ClaimSet]) -> bytes:
        """The claims, sealed under the file key of the object they were read from.

        They are derived from the content, so what disposes of one disposes of the other.
        """
        if not claims:
            return b""
        document = json.dumps([each.to_json() for each in claims], separators=(",", ":"))
        plaintext = memoryview(document.encode("ascii"))
        nonce = self.random(stream.NONCE_BYTES)
        body = bytearray(stream.sealed_size(len(plaintext)))
        body[: len(nonce)] = nonce
        with memoryview(body) as out:
            stream.Sealer(file_key, nonce).seal_into(plaintext, out[len(nonce) :], final=True)
        return bytes(body)

    def open_claims(self, sealed: SealedObject, body: bytes) -> tuple[ClaimSet, ...]:
        """Open what `seal_claims` sealed.

        Raises:
            FixityError: if it was changed.
            KeyUnavailableError: as `open`.
            MalformedError: if it is not claims.
        """
        if not body:
            return ()
        document = b"".join(stream.opened([body], self.file_key(sealed)))
        return tuple(ClaimSet.from_json(each) for each in json.loads(document))

    def file_key(self, sealed: SealedObject) -> bytes:
        """The object's file key, also to seal more claims under.

        Raises:
            KeyUnavailableError: if no key at hand opens it, or it was disposed of.
            FixityError: if its header was altered.
        """
        if not sealed.header:
            raise KeyUnavailableError(
                f"object {sealed.name}: its key was destroyed; the content is disposed of"
            )
        return self.keyring.unwrap(sealed.header)
