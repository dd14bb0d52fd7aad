"""What is kept beside the objects so that catalog and ledger can be rebuilt from them and the keys.

As the log grows, the rows that came with its entries are written as a sealed object of their
own, and the headers of all objects into batches without any lock. A rebuild reads both back,
and is good only if the log's own tiles lead to the same root.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from evidence_store.age.stream import CHUNK_BYTES
from evidence_store.digest import Algorithm, Digest, Fingerprint, Fingerprinter
from evidence_store.errors import FixityError, MalformedError, NotFoundError
from evidence_store.identifiers import ObjectName
from evidence_store.item import SealedObject
from evidence_store.ports import Catalog
from evidence_store.vault import Sealing, Vault

BATCH_ENTRIES = 2048
LINE_BYTES_MAX = 4 * 1024 * 1024


class HeaderStore(Protocol):
    """Batches of key headers, by the log entries from `start` to `end` that they came with."""

    def batches(self) -> Iterator[tuple[int, int]]:
        """The batches there are, in order."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """A batch.

        Raises:
            NotFoundError: if there is none.
        """
        ...

    def write(self, start: int, end: int, content: bytes) -> None:
        """Make a batch durable, in the place of one that is there."""
        ...


class JournalView(Protocol):
    """A consistent view of the catalog by the log's entries."""

    def size(self) -> int:
        """How many entries the newest state of the log holds."""
        ...

    def lines(self, start: int, end: int) -> Iterator[Mapping[str, Any]]:
        """The rows that came with these entries, without headers."""
        ...

    def objects(self, start: int, end: int) -> Iterator[SealedObject]:
        """The objects that came with these entries."""
        ...


class JournalledCatalog(Catalog, Protocol):
    """A catalog that can be journalled."""

    def journal(self) -> AbstractContextManager[JournalView]:
        """A view.

        Raises:
            CatalogBusyError: if the database does not answer.
        """
        ...


def write_journal(catalog: JournalledCatalog, vault: Vault, headers: HeaderStore) -> int:
    """Journal what the log took in since the last time; returns how many entries.

    Raises:
        NoSpaceError, StoreUnavailableError, CatalogBusyError: it is done the next time.
    """
    done = max((end for _, end in headers.batches()), default=0)
    written = 0
    with catalog.journal() as view:
        size = view.size()
        while done < size:
            end = min(size, done + BATCH_ENTRIES)
            sealed = _sealed(vault, view.lines(done, end))
            objects = list(view.objects(done, end))
            with catalog.write() as writer:
                writer.add_sealed([sealed])  # so that it is no orphan, and follows a new key
            headers.write(done, end, encoded([sealed, *objects]))
            written += end - done
            done = end
    return written


def refresh_headers(catalog: Catalog, headers: HeaderStore) -> int:
    """Take over the headers that the catalog has now, after a rotation; returns how many batches.

    Raises:
        NoSpaceError, CatalogBusyError: some may be as they were; do it again.
    """
    changed = 0
    for start, end in headers.batches():
        before = decoded(headers.read(start, end))
        with catalog.read() as reader:
            now = [reader.sealed(each.name) for each in before]
        if now != before:
            headers.write(start, end, encoded(now))
            changed += 1
    return changed


def older_headers(headers: HeaderStore, recipient: str) -> int:
    """How many batches hold a header that is wrapped to another key than this one.

    Raises:
        MalformedError: if a batch of headers is none.
    """
    return sum(
        any(each.recipient != recipient for each in decoded(headers.read(start, end)))
        for start, end in headers.batches()
    )


def differing_headers(catalog: Catalog, headers: HeaderStore) -> Iterator[str]:
    """Which batches of headers are missing, cannot be read, or are not what the catalog has.

    Raises:
        StoreUnavailableError, CatalogBusyError: if a part does not answer.
    """
    done = 0
    for start, end in headers.batches():
        if start > done:
            yield f"entries {done} to {start - 1}: there is no batch"
        done = max(done, end)
        try:
            batch = decoded(headers.read(start, end))
            with catalog.read() as reader:
                differ = [each for each in batch if reader.sealed(each.name) != each]
        except (MalformedError, NotFoundError) as error:
            yield f"entries {start} to {end - 1}: {error}"
            continue
        if differ:
            yield f"entries {start} to {end - 1}: {len(differ)} headers are not the catalog's"
    with catalog.read() as reader:
        head = reader.ledger.head()
    if head is not None and done < head.size:
        yield f"entries {done} to {head.size - 1}: there is no batch"


def journals(headers: HeaderStore) -> Iterator[SealedObject]:
    """The journals themselves, as stored objects.

    Raises:
        MalformedError: if a batch of headers is none.
    """
    for start, end in headers.batches():
        yield decoded(headers.read(start, end))[0]


def read_journal(vault: Vault, headers: HeaderStore) -> Iterator[Mapping[str, Any]]:
    """Every line that was journalled, in order.

    Raises:
        FixityError: if a journal was changed or is not whole.
        NotFoundError, KeyUnavailableError, StoreUnavailableError: if one cannot be read.
    """
    for journal in journals(headers):
        yield from _lines(vault.open(journal))


def read_headers(headers: HeaderStore) -> Iterator[SealedObject]:
    """Every object whose header is kept."""
    for start, end in headers.batches():
        yield from decoded(headers.read(start, end))


def _sealed(vault: Vault, lines: Iterable[Mapping[str, Any]]) -> SealedObject:
    """The lines as a durable object; memory is bounded by a line."""
    sealing = vault.begin()
    packer = _Packer(sealing)
    compressor = zlib.compressobj(level=1)  # it is read once in a lifetime
    try:
        for line in lines:
            text = json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode()
            packer.add(compressor.compress(text + b"\n"))
        packer.add(compressor.flush())
        packer.finish()
        vault.objects.commit([sealing.writer])
    finally:
        sealing.writer.abort()
    return sealing.sealed(packer.fingerprinter.result())


@dataclass(slots=True)
class _Packer:
    sealing: Sealing
    fingerprinter: Fingerprinter
    buffer: bytearray

    def __init__(self, sealing: Sealing) -> None:
        self.sealing, self.fingerprinter, self.buffer = sealing, Fingerprinter(), bytearray()

    def add(self, content: bytes) -> None:
        self.buffer += content
        while len(self.buffer) > CHUNK_BYTES:
            self._put(bytes(self.buffer[:CHUNK_BYTES]), final=False)
            del self.buffer[:CHUNK_BYTES]

    def finish(self) -> None:
        self._put(bytes(self.buffer), final=True)

    def _put(self, content: bytes, *, final: bool) -> None:
        self.fingerprinter.update(content)
        out = memoryview(bytearray(Sealing.room(len(content))))
        length = self.sealing.seal_into(memoryview(content), out, final=final)
        self.sealing.writer.write(out[:length])


def _lines(chunks: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    decompressor = zlib.decompressobj()
    rest = b""
    for chunk in chunks:
        waiting = chunk
        while waiting:  # bounded, whatever it would unfold to
            rest += decompressor.decompress(waiting, LINE_BYTES_MAX)
            waiting = decompressor.unconsumed_tail
            *whole, rest = rest.split(b"\n")
            yield from map(json.loads, whole)
    if rest or not decompressor.eof:
        raise FixityError(what="journal", expected="whole lines", found="a part of one")


def encoded(objects: Sequence[SealedObject]) -> bytes:
    """A batch of headers, the journal's first."""
    return b"".join(
        json.dumps(
            {
                "name": each.name.value,
                "sha256": each.fingerprint.sha256.hex,
                "blake3": each.fingerprint.blake3.hex,
                "size_bytes": each.fingerprint.size_bytes,
                "stored_bytes": each.stored_bytes,
                "recipient": each.recipient,
                "header": base64.b64encode(each.header).decode(),
            }
        ).encode()
        + b"\n"
        for each in objects
    )


def decoded(batch: bytes) -> list[SealedObject]:
    """The inverse of `encoded`.

    Raises:
        MalformedError: if it is no batch.
    """
    try:
        found = [_object(json.loads(line)) for line in batch.splitlines()]
        return [found[0], *found[1:]]  # the journal's own is always there
    except (IndexError, KeyError, TypeError, ValueError):
        raise MalformedError("headers: expected a batch of headers") from None


def _object(value: Mapping[str, Any]) -> SealedObject:
    fingerprint = Fingerprint(
        sha256=Digest(Algorithm.SHA256, bytes.fromhex(value["sha256"])),
        blake3=Digest(Algorithm.BLAKE3, bytes.fromhex(value["blake3"])),
        size_bytes=value["size_bytes"],
    )
    return SealedObject(
        name=ObjectName(value["name"]),
        fingerprint=fingerprint,
        stored_bytes=value["stored_bytes"],
        header=base64.b64decode(value["header"], validate=True),
        recipient=value["recipient"],
    )
