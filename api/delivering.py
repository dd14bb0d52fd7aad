"""Packages that peers deliver: sealed as they arrive, verified, kept, and answered with a receipt.

What is delivered is not evidence of this instance: an officer looks at it and takes in what belongs
here. Nothing is ever in the clear on a disk; the package is read through its seal.
"""

import base64
import hashlib
import io
import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from api import ledger
from api.peers import REFUSED
from api.wiring import Instance
from evidence_store.age import stream
from evidence_store.age.file_key import FILE_KEY_BYTES
from evidence_store.age.header import split
from evidence_store.canonical import canonical
from evidence_store.doors import Delivery
from evidence_store.errors import (
    ConflictError,
    IncompleteError,
    MalformedError,
    NotFoundError,
    SettingsError,
    UnauthenticatedError,
    UnavailableError,
)
from evidence_store.identifiers import KeyId, StateCode
from evidence_store.ledger.policy import Policy
from evidence_store.package.bag import BagReader
from evidence_store.package.findings import Outcome, Report
from evidence_store.package.verification import verify_package
from evidence_store.rewrap import Wrapped
from ingest.timestamping import verify_stamp

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BYTES_MAX = 4 * 1024 * 1024 * 1024
PIECE_BYTES = 64 * stream.CHUNK_BYTES
BUFFER_BYTES = 16 * stream.CHUNK_BYTES
HEADER_BYTES_MAX = 64 * 1024
EPOCH = 1
PEERS = "peers"
RECEIPT_LINE = b"evidence-delivery/v1\n"
FINDINGS_MAX = 100


class Sealed(Protocol):
    """Where sealed bytes lie."""

    def write(self, upload_id: str, epoch: int, at: int, content: bytes | memoryview) -> None:
        """Write at this place; durable when this returns."""
        ...

    def read(self, upload_id: str, epoch: int, offset: int, length: int) -> Iterator[bytes]:
        """The bytes from `offset` on, `length` or as many as there are."""
        ...

    def remove(self, upload_id: str) -> None:
        """Let go of it."""
        ...


class Arriving:
    """A package while it arrives. Used by one thread at a time; `discard` what is not kept."""

    def __init__(self, instance: Instance) -> None:
        self.id = secrets.token_hex(16)
        self.size_bytes = 0
        self._instance, self._folder = instance, instance.deliveries
        self._file_key = instance.random(FILE_KEY_BYTES)
        nonce = instance.random(stream.NONCE_BYTES)
        self._sealer = stream.Sealer(self._file_key, nonce)
        self._digest, self._waiting = hashlib.sha256(), bytearray()
        header = instance.keyring.wrap(self._file_key)
        self._start = len(header)
        self._at = self._start + len(nonce)
        self._folder.write(self.id, EPOCH, 0, header + nonce)

    @property
    def sha256(self) -> bytes:
        """The digest of what has arrived."""
        return self._digest.digest()

    def put(self, content: bytes) -> None:
        """The next bytes.

        Raises:
            MalformedError: if there are more than anybody delivers.
            NoSpaceError, StoreUnavailableError: if they cannot be kept.
        """
        self.size_bytes += len(content)
        if self.size_bytes > BYTES_MAX:
            raise MalformedError(f"delivery: expected at most {BYTES_MAX} bytes")
        self._digest.update(content)
        self._waiting += content
        if len(self._waiting) > PIECE_BYTES:  # one byte at least is left for the last chunk
            whole = (len(self._waiting) - 1) // stream.CHUNK_BYTES * stream.CHUNK_BYTES
            self._seal(bytes(self._waiting[:whole]), final=False)
            del self._waiting[:whole]

    def close(self) -> None:
        """There is no more: all of it is durable when this returns."""
        self._seal(bytes(self._waiting), final=True)
        self._waiting.clear()

    def insist_on(self, sha256: bytes) -> None:
        """Insist that these bytes have arrived, which the sender signed.

        Raises:
            UnauthenticatedError: if others have.
        """
        if self._digest.digest() != sha256:
            raise UnauthenticatedError(REFUSED)

    def opened(self) -> io.BufferedReader:
        """The package, read through its seal."""
        raw = Opened(self._folder, self.id, self._start, self._file_key, self.size_bytes)
        return io.BufferedReader(raw, BUFFER_BYTES)

    def discard(self) -> None:
        """Keep nothing of it."""
        self._folder.remove(self.id)

    def _seal(self, content: bytes, *, final: bool) -> None:
        chunks = max(1, -(-len(content) // stream.CHUNK_BYTES))
        out = memoryview(bytearray(len(content) + chunks * stream.TAG_BYTES))
        written = self._sealer.seal_into(memoryview(content), out, final=final)
        self._folder.write(self.id, EPOCH, self._at, out[:written])
        self._at += written


class Opened(io.RawIOBase):
    """A sealed package as a file that can be read anywhere. Nothing that was altered is given."""

    def __init__(
        self, folder: Sealed, delivery: str, start: int, file_key: bytes, size_bytes: int
    ) -> None:
        super().__init__()
        self._folder, self._delivery, self._start = folder, delivery, start
        self._file_key, self._size, self._at = file_key, size_bytes, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """The next bytes.

        Raises:
            FixityError: if they were altered.
        """
        view = memoryview(buffer).cast("B")
        pieces = stream.open_range(self._body, self._file_key, self._size, self._at, len(view))
        found = b"".join(pieces)
        view[: len(found)] = found
        self._at += len(found)
        return len(found)

    def _body(self, offset: int, length: int) -> Iterator[bytes]:
        return self._folder.read(self._delivery, EPOCH, self._start + offset, length)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who delivers: by which key, and the signature that shows it."""

    kid: KeyId
    sha256: bytes
    signed: dict[str, str] = field(repr=False)


def keep(instance: Instance, arriving: Arriving, sender: Sender) -> Delivery:
    """Verify what has arrived and keep it; the delivery with its receipt. The same again is the same.

    What is not kept is discarded. Bytes are durable before the row is: a crash between leaves an
    orphan file.

    Raises:
        UnauthenticatedError: if other bytes arrived than were signed.
        IncompleteError: if it does not verify, with what is refuted.
        MalformedError: if it is no package.
    """
    try:
        arriving.insist_on(sender.sha256)
        earlier = instance.doors.delivered(sender.kid.authority, sender.sha256.hex())
        made = None if earlier is not None else _judged(instance, arriving, sender)
    except BaseException:
        arriving.discard()
        raise
    if made is not None:
        try:
            instance.doors.add_delivery(made)
        except ConflictError:  # the same was delivered at the same time
            earlier = instance.doors.delivered(sender.kid.authority, sender.sha256.hex())
        else:
            return made
    arriving.discard()
    if earlier is None:
        raise UnavailableError("delivery: it was not kept; send it again")
    return earlier


def _judged(instance: Instance, arriving: Arriving, sender: Sender) -> Delivery:
    own = trusted(instance, sender.kid.state)
    with arriving.opened() as file:
        report = verify_package(BagReader(file), own, verify_stamp)
    if not report.verifies:
        refuted = [
            f"{each.subject}: {each.detail}"
            for each in report.findings
            if each.outcome is Outcome.REFUTED
        ]
        raise IncompleteError("delivery", refuted[:FINDINGS_MAX] or ["nothing in it is proved"])
    return _receipted(instance, arriving, sender, report, trusts=own is not None)


def trusted(instance: Instance, state: StateCode) -> Policy | None:
    """The policy by which this instance trusts a State's log: `peers/<State>.policy`; None if none.

    Raises:
        SettingsError: if it cannot be read.
    """
    path = instance.home / PEERS / f"{state}.policy"
    try:
        return Policy.parse(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, MalformedError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from error


def pieces_of(instance: Instance, delivery: Delivery) -> Iterator[bytes]:
    """The package's bytes, for an officer to look at. Whether the whole agrees is for the caller.

    Raises:
        FixityError: if it was altered.
        NotFoundError: if its file is gone.
    """
    folder = instance.deliveries
    head = b"".join(folder.read(delivery.id, EPOCH, 0, HEADER_BYTES_MAX))
    start = split(head)
    file_key = instance.keyring.unwrap(head[:start])
    with Opened(folder, delivery.id, start, file_key, delivery.size_bytes) as raw:
        while piece := raw.read(PIECE_BYTES):
            yield piece


class KeptDeliveries:
    """Implements `evidence_store.rewrap.Kept`: the deliveries that are kept, each a whole age file."""

    def __init__(self, instance: Instance) -> None:
        self._doors, self._folder = instance.doors, instance.deliveries

    @property
    def what(self) -> str:
        """See `Kept.what`."""
        return "delivery"

    def wrapped(self, *, after: str | None = None, limit: int = 100) -> Sequence[Wrapped]:
        """See `Kept.wrapped`. One whose file is gone has no header."""
        rows = self._doors.deliveries(after=after, limit=limit).entries
        return [Wrapped(each.id, self._header(each.id)) for each in rows]

    def rewrap(self, changes: Sequence[tuple[Wrapped, bytes]]) -> None:
        """See `Kept.rewrap`."""
        for before, header in changes:
            self._folder.replace_head(before.name, EPOCH, before.header, header)

    def _header(self, delivery_id: str) -> bytes:
        try:
            head = b"".join(self._folder.read(delivery_id, EPOCH, 0, HEADER_BYTES_MAX))
            return head[: split(head)]
        except (NotFoundError, MalformedError):
            return b""


def delivery_row(found: Delivery) -> dict[str, Any]:
    """A delivery, as both doors show it."""
    return {
        "delivery": found.id,
        "authority": found.authority.value,
        "sha256": found.sha256,
        "size_bytes": found.size_bytes,
        "received_at": found.received_at.isoformat(),
        "receipt": found.receipt,
        "signature": base64.b64encode(found.signature).decode(),
    }


def named(instance: Instance, delivery_id: str) -> Delivery:
    """The delivery of this identifier.

    Raises:
        NotFoundError: if there is none.
    """
    found = instance.doors.delivery(delivery_id)
    if found is None:
        raise NotFoundError(f"there is no delivery {delivery_id}")
    return found


def _receipted(
    instance: Instance, arriving: Arriving, sender: Sender, report: Report, *, trusts: bool
) -> Delivery:
    recorder = ledger.recorder(instance)
    now = instance.clock.now()
    counts = Counter(each.outcome for each in report.findings)
    body = canonical(
        {
            "by": str(recorder.by),
            "delivery": arriving.id,
            "findings": {each.value: counts[each] for each in Outcome},
            "from": str(sender.kid),
            "log": recorder.log,
            "received_at": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "sha256": arriving.sha256.hex(),
            "size_bytes": arriving.size_bytes,
            "trusted_log": trusts,
            "v": 1,
        }
    )
    return Delivery(
        id=arriving.id,
        authority=sender.kid.authority,
        sha256=arriving.sha256.hex(),
        size_bytes=arriving.size_bytes,
        received_at=now,
        signed=json.dumps(sender.signed, sort_keys=True),
        receipt=body.decode(),
        signature=recorder.keys.sign(recorder.by, RECEIPT_LINE + body),
    )
