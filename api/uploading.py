"""Uploads: sealed segment by segment as bytes arrive, and taken in when the last one has.

The record is told of bytes after they are durable (`api.writing`), and only if nobody else has taken
the upload over meanwhile.
"""

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from api import cooperation, field_arrivals, ledger
from api.cli.asserted import Statement, kind_named, statement
from api.cli.receipts import receipt_fields
from api.early import EarlyOnes
from api.finishing import Finishing
from api.wiring import Instance
from api.writing import SealedWriter, Segments
from evidence_store.age import stream
from evidence_store.cooperation.registry import OfficerRole
from evidence_store.desk import Desk
from evidence_store.digest import Digest
from evidence_store.doors import DoorStore, Upload, UploadBounds, UploadState
from evidence_store.errors import (
    ConflictError,
    EvidenceError,
    FixityError,
    MalformedError,
    NotFoundError,
    StoreUnavailableError,
    UnavailableError,
)
from evidence_store.identifiers import CaseId, PersonCode
from evidence_store.intake import (
    Arrival,
    Content,
    Intake,
    IntakeStatus,
    Registered,
    source_key,
)
from evidence_store.kinds import EvidenceKind, kind_of
from evidence_store.ports import CatalogReader
from ingest.arriving import Arriving, Early, Looked
from ingest.extraction.supervisor import Extractor

LIFE = timedelta(days=7)
LENGTH_MAX = 2**40
DEFERRED_BYTES_MAX = 2**36  # of an upload while its length is not stated: it counts as so much
METADATA_NAMES = frozenset(
    {
        "filename",
        "filetype",
        "path",
        "case",
        "kind",
        "sha256",
        "collected_by",
        "collected_at",
        "method",
        "place",
        "source",
        "title",
        *field_arrivals.METADATA_NAMES,
    }
)
UPLOADERS = (
    OfficerRole.INVESTIGATOR,
    OfficerRole.CUSTODIAN,
    OfficerRole.EXAMINER,
    OfficerRole.PROSECUTOR,
)
FILE_KEY_BYTES = 16
EARLY_BYTES_MIN = 16 * 1024 * 1024  # what is smaller is taken in at once when it is whole
LEASE_SECONDS = 30
TAKEN_IN_BYTES_A_SECOND = 16 * 1024 * 1024  # or more


class FencedError(ConflictError):
    """Another request writes to this upload now."""

    code = "E409"


class GoneError(NotFoundError):
    """The upload was ended or has expired."""

    code = "E410"
    status = 410


@dataclass(slots=True)
class Uploading:
    """Uploads of one instance."""

    instance: Instance
    segments: Segments
    extractor: Extractor
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when this process is to end: bodies under way end where they are."""
    holder: str = field(default_factory=lambda: secrets.token_hex(8))
    finishing: Finishing[Upload] = field(default_factory=Finishing)
    _groups: tuple[threading.Lock, ...] = field(
        default_factory=lambda: tuple(threading.Lock() for _ in range(256))
    )
    _told: dict[object, Callable[[], None]] = field(default_factory=dict)
    early: EarlyOnes = field(default_factory=EarlyOnes)
    _seals: field_arrivals.ReadSeals = field(default_factory=field_arrivals.ReadSeals)

    @property
    def doors(self) -> DoorStore:
        """Where uploads are recorded."""
        return self.instance.doors

    @property
    def bounds(self) -> UploadBounds:
        """What one officer may have under way."""
        settings = self.instance.settings
        return UploadBounds(settings.uploads_max, settings.uploads_bytes_max, DEFERRED_BYTES_MAX)

    def stop(self) -> None:
        """Let every body under way end where it is, also one that brings nothing just now.

        It is called where the bodies are received.
        """
        self.stopping.set()
        for tell in list(self._told.values()):
            tell()

    @contextmanager
    def told(self, tell: Callable[[], None]) -> Iterator[None]:
        """Within it, `tell` is called when this process is to end; at once, if it is already."""
        key = object()
        self._told[key] = tell
        if self.stopping.is_set():
            tell()
        try:
            yield
        finally:
            del self._told[key]

    def create(
        self,
        desk: Desk,
        length: int | None,
        metadata: Mapping[str, str],
        *,
        partial: bool = False,
        parts: Sequence[Upload] = (),
    ) -> Upload:
        """Begin an upload. What is asserted is checked now, before a byte is sent.

        One that is made of `parts` has all its bytes at once, and the parts are nobody else's any more.

        Raises:
            MalformedError: if something asserted is missing or wrong.
            NotFoundError: if the officer knows no such case, or a part of another upload knows none.
            OutOfOrderError: if the officer may not upload.
            RateError: if the officer has too much under way.
            ConflictError: if a part was joined to another upload meanwhile.
        """
        if length is not None and not 0 <= length <= LENGTH_MAX:
            raise MalformedError(f"upload: expected a length of at most {LENGTH_MAX} bytes")
        self._insist_takeable(desk, metadata, partial=partial)
        now = self.instance.clock.now()
        file_key = self.instance.random(FILE_KEY_BYTES)
        upload = Upload(
            id=secrets.token_hex(16),
            officer=desk.officer,
            length=length,
            offset=sum(each.offset for each in parts),
            epoch=1,
            state=UploadState.PARTIAL if partial else UploadState.OPEN,
            metadata=dict(metadata),
            parts=(),
            header=self.instance.keyring.wrap(file_key),
            created_at=now,
            expires_at=now + LIFE,
            concatenated=tuple(each.id for each in parts),
        )
        self.doors.add_upload(upload, self.bounds)
        return upload

    def mine(self, upload_id: str, officer: PersonCode) -> Upload:
        """An officer's upload.

        Raises:
            NotFoundError: if there is none.
            GoneError: if it was ended or has expired.
        """
        found = self.doors.upload(upload_id) if len(upload_id) == 32 else None  # noqa: PLR2004 - hexadecimal
        if found is None or found.officer != officer:
            raise NotFoundError("there is no such upload")
        is_over = (
            found.expires_at <= self.instance.clock.now() and found.state is not UploadState.DONE
        )
        if found.state in {UploadState.ENDED, UploadState.JOINED} or is_over:
            raise GoneError("upload: it was ended or put together with others, or its time is over")
        return found

    def take_over(self, upload: Upload) -> Upload:
        """The upload, with everybody who wrote to it before fenced off.

        Raises:
            NotFoundError: if it is gone meanwhile.
        """
        found = self.doors.take_over(upload.id)
        if found is None:
            raise NotFoundError("there is no such upload")
        return found

    def writer(self, upload: Upload, *, whole: bool = False) -> "Writer":
        """What a request's bytes go into; they are the `whole` of an upload, if that is known."""
        return Writer(self, upload, whole=whole)

    def acknowledge(self, upload: Upload) -> Upload:
        """Tell the record what is durable.

        Raises:
            FencedError: if another request has taken over.
        """
        until = self.instance.clock.now() + LIFE
        if not self.doors.advance(
            upload.id, upload.epoch, offset=upload.offset, parts=upload.parts, until=until
        ):
            raise FencedError("upload: another request goes on with it")
        return upload

    def finish_in_turn(self, upload: Upload) -> Future[Upload]:
        """Take in an upload that is whole, when it is its officer's turn; nobody waits for it here.

        As `finish`. If this process ends before, a worker finds the upload and takes it in.
        """
        return self.finishing.submit(upload.officer, upload.id, lambda: self.finish(upload))

    def finish(self, upload: Upload) -> Upload:
        """Take in an upload that is whole, once; what became of it stands in its record.

        Raises:
            UnavailableError: something did not answer; it is tried again later.
        """
        self.doors.end_upload(
            upload.id, before=UploadState.OPEN, after=UploadState.WHOLE, outcome=None
        )
        # Nobody takes it in twice, in no process: a lease is a process's, so its threads take turns.
        with self._groups[int(upload.id[:2], 16)], self._alone(upload) as is_alone:
            found = self.doors.upload(upload.id)
            if not is_alone or found is None or found.state is not UploadState.WHOLE:
                return found or upload
            try:
                outcome, state = self._taken_in(found), UploadState.DONE
            except UnavailableError:
                raise
            except EvidenceError as error:
                outcome = json.dumps({"error": {"code": error.code, "message": str(error)}})
                state = UploadState.FAILED
            self.doors.end_upload(found.id, before=UploadState.WHOLE, after=state, outcome=outcome)
            if state is UploadState.DONE:
                self._let_go(found)
        ended = self.doors.upload(upload.id)
        return ended or upload

    @contextmanager
    def _alone(self, upload: Upload) -> Iterator[bool]:
        """Whether no other process takes it in just now: under a lease, for one of 256 groups.

        If this process dies, the lease runs out; another that waited for it comes back by its worker.
        """
        name, clock = f"upload/{upload.id[:2]}", self.instance.clock
        now = clock.now()
        seconds = LEASE_SECONDS + upload.offset / TAKEN_IN_BYTES_A_SECOND
        if not self.doors.lease(name, self.holder, now, now + timedelta(seconds=seconds)):
            yield False
            return
        try:
            yield True
        finally:
            with suppress(UnavailableError):  # then it runs out
                self.doors.release(name, self.holder, clock.now())

    def take_in_waiting(self) -> int:
        """Take in uploads that are whole and were cut off before; returns how many.

        Raises:
            UnavailableError: something does not answer still.
        """
        found = self.doors.uploads_in(UploadState.WHOLE)
        for waited in [self.finish_in_turn(upload) for upload in found]:
            waited.result()
        return len(found)

    def terminate(self, upload: Upload) -> None:
        """End an upload that is not finished, and let go of its bytes.

        Raises:
            ConflictError: if it is finished.
        """
        for state in (UploadState.OPEN, UploadState.PARTIAL, UploadState.FAILED):
            if self.doors.end_upload(
                upload.id, before=state, after=UploadState.ENDED, outcome=None
            ):
                self._let_go(upload)
                self.early.drop(upload.id)
                return
        raise ConflictError("upload: it is finished, and stays")

    def expire(self) -> int:
        """Let go of uploads whose time is over; returns how many."""
        found = self.doors.expired(self.instance.clock.now())
        for upload in found:
            if self.doors.end_upload(
                upload.id, before=upload.state, after=UploadState.ENDED, outcome="expired"
            ):
                self._let_go(upload)
        return len(found)

    def _let_go(self, upload: Upload) -> None:
        for each in (upload.id, *upload.concatenated):
            self.segments.remove(each)

    def close(self) -> None:
        """Let go of what is in memory only."""
        self.finishing.close()
        self.early.close()

    def plaintext(self, upload: Upload) -> Iterator[bytes]:
        """The bytes of an upload, in order, each segment authenticated; exactly as many as are recorded.

        Raises:
            FixityError: if a segment was altered, or they are not as many.
            NotFoundError, StoreUnavailableError: if they cannot be read.
        """
        came = 0
        for each in [self._joined(upload, part) for part in upload.concatenated] or [upload]:
            for piece in self._own_bytes(each):
                came += len(piece)
                if came > upload.offset:
                    break
                yield piece
        if came != upload.offset:
            raise FixityError(what="upload: bytes", expected=str(upload.offset), found=str(came))

    def _joined(self, upload: Upload, part: str) -> Upload:
        """A part that was joined to this upload: the same officer's, with bytes of its own only."""
        found = self.doors.upload(part)
        if (
            found is None
            or found.officer != upload.officer
            or found.state is not UploadState.JOINED
            or found.concatenated
        ):
            raise NotFoundError("upload: a part of it is gone")
        return found

    def _own_bytes(self, upload: Upload) -> Iterator[bytes]:
        file_key = self.instance.keyring.unwrap(upload.header) if upload.parts else b""
        for epoch, length in upload.parts:
            # The record says how much counts; whoever was cut off could not say that it was all.
            may_be_cut = length % stream.CHUNK_BYTES == 0
            sealed = self.segments.read(upload.id, epoch, 0, stream.sealed_size(length))
            yield from stream.opened(sealed, file_key, may_be_cut=may_be_cut)

    def _taken_in(self, upload: Upload) -> str:
        desk = cooperation.desk(self.instance, str(upload.officer))
        said = upload.metadata
        case_id = CaseId.parse(said["case"])
        name = field_arrivals.source_name(said)
        content = self._as_it_is(upload, self.early.taken(upload))
        if content is None:
            content = self._arriving.take(self.plaintext(upload), name, upload.offset)
        try:
            asserted = _statement(desk, said).asserted(self.instance.catalog)
            if "kind" not in said:
                asserted = replace(asserted, kind=kind_of(content.media_type))
            origin = field_arrivals.origin_of(said, str(upload.officer))
            sealed = field_arrivals.check(
                self.instance,
                desk,
                said,
                field_arrivals.Arrived(
                    content.fingerprint, lambda: b"".join(self.plaintext(upload))
                ),
                self._seals,
            )
            if sealed is not None:
                claims = (*content.claims, field_arrivals.claims_of(sealed))
                content = replace(content, claims=claims)
            arrival = Arrival(
                content=content,
                source_name=name,
                source_key=source_key(case_id, origin, content.fingerprint.sha256),
                asserted=asserted,
                stated=Digest.sha256_hex(said["sha256"]) if "sha256" in said else None,
                sealed=sealed,
            )
            intake = Intake(self.instance.catalog, self.instance.vault, desk.recorder, case_id)
            (registered,) = intake.register([arrival])
            if registered.status is IntakeStatus.FAILED and registered.problem is not None:
                raise registered.problem
        finally:
            content.sealing.writer.abort()  # of no effect on what was committed
        return self._outcome(desk, registered)

    @property
    def _arriving(self) -> Arriving:
        return Arriving(self.instance.vault, self.extractor)

    def begun_early(self, upload: Upload, *, whole: bool) -> Early | None:
        """What takes an upload in while it arrives, if that is worth it.

        If its bytes become an object as they are, they are only looked at; otherwise sealed anew.
        """
        if upload.state is not UploadState.OPEN or (upload.length or 0) < EARLY_BYTES_MIN:
            return None
        file = self.segments.file(upload.id, upload.epoch)
        stays = whole and file is not None and self.instance.objects.adopts(str(file.parent))
        take = self._arriving.look if stays else self._arriving.take
        name, size_bytes = field_arrivals.source_name(upload.metadata), upload.length or 0
        return Early(lambda pieces: take(pieces, name, size_bytes))

    def _as_it_is(self, upload: Upload, taken: Content | Looked | None) -> Content | None:
        """The content, if it was taken in while it arrived; from its own file, if it was looked at."""
        if not isinstance(taken, Looked):
            return taken
        file = self.segments.file(upload.id, upload.parts[0][0])
        if len(upload.parts) > 1 or file is None:
            return None  # it was cut off, and another writer went on
        file_key = self.instance.keyring.unwrap(upload.header)
        try:
            return taken.content(self.instance.vault.adopt(str(file), file_key))
        except StoreUnavailableError:
            return None  # a filesystem without second names; its bytes can be sealed anew

    def _status(self, reader: CatalogReader, desk: Desk, registered: Registered) -> IntakeStatus:
        """What became of it. That the bytes are here already is told to who may know where."""
        if registered.status is not IntakeStatus.DUPLICATE:
            return registered.status
        same = reader.versions_with(registered.arrival.content.fingerprint.sha256)
        known = (
            reader.dossiers.knows_of(desk.officer, desk.authority, each.ern, desk.now)
            for each in same
            if each.ern != registered.ern
        )
        return IntakeStatus.DUPLICATE if any(known) else IntakeStatus.INGESTED

    def _outcome(self, desk: Desk, registered: Registered) -> str:
        waits = ledger.settle(self.instance)
        found, sealed = registered.arrival.content.fingerprint, registered.arrival.sealed
        with self.instance.catalog.read() as reader:
            item = reader.item(registered.ern)
            status = self._status(reader, desk, registered)
        receipt = receipt_fields(ledger.receipts(self.instance, registered.ern)[-1])
        return json.dumps(
            {
                "ern": str(registered.ern),
                "status": status.value,
                "sha256": found.sha256.hex,
                "blake3": found.blake3.hex,
                "size_bytes": found.size_bytes,
                "media_type": registered.arrival.content.media_type,
                "item_status": item.status.value,
                "reason": item.status_reason,
                "field_seal": None if sealed is None else sealed.open_data,
                "receipt": {**receipt, **({} if waits is None else {"waits_for": waits})},
            }
        )

    def _insist_takeable(self, desk: Desk, metadata: Mapping[str, str], *, partial: bool) -> None:
        """Insist that the officer may upload this. A part may leave open of what case it will be."""
        if unknown := set(metadata) - METADATA_NAMES:
            raise MalformedError(f"upload: not known: {', '.join(sorted(unknown))[:200]}")
        for name in () if partial else ("filename", "case"):
            if not metadata.get(name):
                raise MalformedError(f"upload: expected {name} in Upload-Metadata")
        _statement(desk, metadata)
        if "sha256" in metadata:
            Digest.sha256_hex(metadata["sha256"])
        with self.instance.catalog.read() as reader:
            desk.insist(reader, UPLOADERS)
            _insist_knows_case(reader, desk, metadata.get("case"))
            if not partial:
                field_arrivals.insist_sendable(reader, metadata)


def _insist_knows_case(reader: CatalogReader, desk: Desk, stated: str | None) -> None:
    """Insist that the officer needs to know this case; or some case, if it is not stated which."""
    named = None if stated is None else CaseId.parse(stated)
    cases = reader.dossiers.cases_of(desk.officer, desk.now) if named is None else [named]
    registry = desk.registry(reader)
    if not any(registry.needs_to_know(desk.officer, each, desk.now) for each in cases):
        raise NotFoundError(f"there is no case {named or 'that this could be of'}")


def _statement(desk: Desk, said: Mapping[str, str]) -> Statement:
    kind = kind_named(said["kind"]) if "kind" in said else EvidenceKind.DOCUMENT
    return statement(
        kind=kind,
        now=desk.now,
        collected_by=said.get("collected_by", "unknown"),
        collected_at=said.get("collected_at", "unknown"),
        method=said.get("method", "unknown"),
        place=said.get("place", "unknown"),
        source=said.get("source", "unknown"),
        title=said.get("title"),
    )


@dataclass(slots=True)
class Writer:
    """One request's bytes on their way into an upload, in order. `upload` is it with what is durable."""

    _uploading: Uploading
    upload: Upload
    whole: bool
    _sealed: SealedWriter | None = None

    def put(self, content: bytes | bytearray, *, final: bool, acknowledge: bool = True) -> Upload:
        """Make bytes durable behind those there are, and acknowledge them unless told not to.

        They are `PIECE_BYTES`, or the final ones and no more than that. Nobody may change
        them afterwards.

        Raises:
            FencedError: if another request has taken over; nothing is acknowledged.
            NoSpaceError, StoreUnavailableError, CatalogBusyError: nothing is acknowledged.
        """
        if not content:
            return self.upload
        uploading, before = self._uploading, self.upload
        if self._sealed is None:
            file_key = uploading.instance.keyring.unwrap(before.header)
            nonce = uploading.instance.random(stream.NONCE_BYTES)
            self._sealed = SealedWriter(
                uploading.segments, before.id, before.epoch, file_key, nonce
            )
        self._sealed.write(content, final=final)
        self.upload = _moved(before, len(content))
        uploading.early.feed(
            before,
            self.upload,
            content,
            lambda upload: uploading.begun_early(upload, whole=self.whole),
        )
        return uploading.acknowledge(self.upload) if acknowledge else self.upload


def _moved(upload: Upload, more: int) -> Upload:
    """The upload with more bytes of its present writer."""
    parts = upload.parts
    if parts and parts[-1][0] == upload.epoch:
        parts, more_of_it = parts[:-1], parts[-1][1] + more
    else:
        more_of_it = more
    return replace(upload, offset=upload.offset + more, parts=(*parts, (upload.epoch, more_of_it)))
