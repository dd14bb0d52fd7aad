"""Resumable uploads (tus 1.0.0), into the same intake as the command line.

With creation, creation-with-upload, creation-defer-length, checksum, termination, expiration and
concatenation. The rules it keeps: authorise before the first byte; write at exact places; durable before
acknowledged; an acknowledged offset never goes down; whoever comes last goes on, and whoever
wrote before is fenced off; what is finished stays.
"""

import asyncio
import base64
import binascii
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from api.http.caller import Caller, Uploader, needs
from api.http.integrity import stated_digests
from api.http.problems import problems
from api.http.records import UploadView
from api.http.routes import Routes
from api.spelling import rfc3339
from api.uploading import DEFERRED_BYTES_MAX, LENGTH_MAX, Uploading, Writer
from api.writing import PIECE_BYTES
from evidence_store.doors import Upload, UploadState
from evidence_store.errors import EvidenceError, MalformedError, UnavailableError

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,checksum,termination,expiration,concatenation"
ALGORITHMS: dict[str, Callable[[], Any]] = {
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "sha1": hashlib.sha1,
}
FINISH_SECONDS = 20.0  # one waits so long for what becomes of an upload; then it is asked for
IDLE_SECONDS = 60.0  # a body whose bytes come slower holds a place for nobody
OFFSET_TYPE = "application/offset+octet-stream"
METADATA_BYTES_MAX = 16 * 1024
PARTS_MAX = 1000
UPLOADS = "/v1/uploads"
UploadPath = Annotated[
    str, Path(pattern="^[0-9a-f]{32}$", examples=["5f2b7c0d9e8a4b1c5f2b7c0d9e8a4b1c"])
]


class TusError(EvidenceError):
    """The request is not as the protocol has it."""

    code = "E100"

    def __init__(self, status: int, message: str, code: str = "E100") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class EndingError(UnavailableError):
    """The server process ends; what came is kept."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body that is to be appended: where, and what must hold of it."""

    offset: int
    checksums: tuple[tuple[str, bytes], ...]
    length: int | None  # as Content-Length says


def upload_routes() -> Routes:
    """The routes, under `/v1/uploads`."""
    routes = Routes(
        prefix=UPLOADS, tags=["uploads"], responses=problems(409, 410, 412, 413, 415, 460)
    )
    _protocol(routes)
    _bytes(routes)
    return routes


def _protocol(routes: Routes) -> None:
    @routes.options("", status_code=204, response_class=Response)
    def upload_options() -> Response:
        """What this server can do (tus)."""
        return _answer(
            204,
            {
                "Tus-Version": VERSION,
                "Tus-Extension": EXTENSIONS,
                "Tus-Max-Size": str(LENGTH_MAX),
                "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
            },
        )

    @routes.head("/{identifier}", response_class=Response)
    def upload_offset(request: Request, caller: Uploader, identifier: UploadPath) -> Response:
        """How many bytes are durable. Whoever was writing is fenced off."""
        _insist_version(request)
        uploading = _uploading(request)
        upload = uploading.take_over(uploading.mine(identifier, caller.officer))
        headers = {
            "Upload-Offset": str(upload.offset),
            "Cache-Control": "no-store",
            **_expires(upload),
        }
        if upload.length is None:
            headers["Upload-Defer-Length"] = "1"
        else:
            headers["Upload-Length"] = str(upload.length)
        if upload.state is UploadState.PARTIAL:
            headers["Upload-Concat"] = "partial"
        elif upload.concatenated:
            parts = " ".join(f"{UPLOADS}/{each}" for each in upload.concatenated)
            headers["Upload-Concat"] = f"final;{parts}"
        return _answer(200, headers)

    @routes.get("/{identifier}", response_model=UploadView)
    def get_upload(request: Request, caller: Uploader, identifier: UploadPath) -> dict[str, Any]:
        """Where an upload stands; when it is taken in, its ERN, digests and receipt."""
        return upload_record(_uploading(request).mine(identifier, caller.officer))

    @routes.delete("/{identifier}", status_code=204, response_class=Response)
    def end_upload(request: Request, caller: Uploader, identifier: UploadPath) -> Response:
        """End an upload that is not finished (tus termination)."""
        _insist_version(request)
        uploading = _uploading(request)
        uploading.terminate(uploading.take_over(uploading.mine(identifier, caller.officer)))
        return _answer(204, {})


def upload_record(upload: Upload) -> dict[str, Any]:
    """An upload as its officer sees it."""
    return {
        "upload": upload.id,
        "state": upload.state.value,
        "offset": upload.offset,
        "length": upload.length,
        "expires_at": rfc3339(upload.expires_at),
        "outcome": None if upload.outcome is None else _outcome(upload.outcome),
    }


def _bytes(routes: Routes) -> None:
    # Who calls is settled by a dependency, which runs before a byte of the body is read.
    @routes.post("", status_code=201, response_class=Response)
    async def create_upload(
        request: Request, caller: Annotated[Caller, Depends(needs("upload"))]
    ) -> Response:
        """Begin an upload; with a body, its first bytes (tus creation-with-upload)."""
        _insist_version(request)
        uploading = _uploading(request)
        upload = await run_in_threadpool(_created, uploading, caller, request)
        headers = {"Location": f"{UPLOADS}/{upload.id}"}
        if is_offset_type(request.headers.get("content-type", "")) and not upload.concatenated:
            upload = await _append(request, uploading, upload, _body(request, 0))
        elif upload.state is UploadState.OPEN and upload.offset == upload.length:
            upload = await _finished(uploading, upload)
        headers |= {"Upload-Offset": str(upload.offset), **_expires(upload)}
        return _answer(201, headers)

    @routes.patch("/{identifier}", status_code=204, response_class=Response)
    async def append_to_upload(
        request: Request,
        caller: Annotated[Caller, Depends(needs("upload"))],
        identifier: UploadPath,
    ) -> Response:
        """Send the next bytes."""
        _insist_version(request)
        if not is_offset_type(request.headers.get("content-type", "")):
            raise TusError(415, f"upload: expected the type {OFFSET_TYPE}")
        uploading = _uploading(request)
        offset = _number(request, "upload-offset")
        if offset is None:
            raise TusError(400, "upload: expected Upload-Offset")
        body = _body(request, offset)
        upload = await run_in_threadpool(_ready, uploading, caller, identifier, request, body)
        if upload.state in {UploadState.OPEN, UploadState.PARTIAL}:
            upload = await _append(request, uploading, upload, body)
        return _answer(204, {"Upload-Offset": str(upload.offset), **_expires(upload)})


def _created(uploading: Uploading, caller: Caller, request: Request) -> Upload:
    metadata = _metadata(request.headers.get("upload-metadata", ""))
    length = _number(request, "upload-length")
    deferred = request.headers.get("upload-defer-length")
    concat = request.headers.get("upload-concat", "")
    if concat.startswith("final;"):
        return _concatenated(uploading, caller, metadata, concat.removeprefix("final;"))
    if concat not in {"", "partial"}:
        raise TusError(400, "upload: expected Upload-Concat to be partial or final;…")
    if (length is None) == (deferred is None) or deferred not in {None, "1"}:
        raise TusError(400, "upload: expected Upload-Length, or Upload-Defer-Length: 1")
    if length is not None and length > LENGTH_MAX:
        raise TusError(413, f"upload: expected at most {LENGTH_MAX} bytes", "E413")
    sent = _number(request, "content-length")
    has_body = is_offset_type(request.headers.get("content-type", ""))
    if has_body and length is not None and sent is not None and sent > length:
        raise TusError(413, "upload: the body is longer than Upload-Length", "E413")
    return uploading.create(caller.desk, length, metadata, partial=concat == "partial")


def _concatenated(
    uploading: Uploading, caller: Caller, metadata: dict[str, str], listed: str
) -> Upload:
    names = [each.rpartition("/")[2] for each in listed.split()]
    if not 1 <= len(names) <= PARTS_MAX or len(set(names)) < len(names):
        raise TusError(400, f"upload: expected 1 to {PARTS_MAX} parts, each once")
    parts = [uploading.mine(each, caller.officer) for each in names]
    if any(each.state is not UploadState.PARTIAL or each.length != each.offset for each in parts):
        raise TusError(400, "upload: expected parts that are whole")
    length = sum(each.offset for each in parts)
    if length > LENGTH_MAX:
        raise TusError(413, f"upload: expected at most {LENGTH_MAX} bytes", "E413")
    return uploading.create(caller.desk, length, metadata, parts=parts)


def _ready(
    uploading: Uploading, caller: Caller, identifier: str, request: Request, body: Body
) -> Upload:
    """The upload, taken over, insisting that these bytes are the next."""
    upload = uploading.mine(identifier, caller.officer)
    if upload.concatenated:
        raise TusError(403, "upload: it is made of parts, and takes no bytes", "E403")
    upload = uploading.take_over(upload)
    if upload.offset != body.offset:
        raise TusError(409, f"upload: expected the offset {upload.offset}", "E409")
    stated = _number(request, "upload-length")
    if stated is not None:
        upload = _length_stated(uploading, upload, stated)
    if (
        upload.length is not None
        and body.length is not None
        and body.offset + body.length > upload.length
    ):
        raise TusError(413, "upload: more bytes than its length", "E413")
    return upload


def _length_stated(uploading: Uploading, upload: Upload, stated: int) -> Upload:
    if upload.length is not None and upload.length != stated:
        raise TusError(400, "upload: its length is another")
    if upload.length is None:
        if stated > LENGTH_MAX or stated < upload.offset:
            raise TusError(413, f"upload: expected {upload.offset} to {LENGTH_MAX} bytes", "E413")
        uploading.doors.set_length(upload.id, upload.epoch, stated, uploading.bounds)
    return uploading.mine(upload.id, upload.officer)


async def _append(request: Request, uploading: Uploading, upload: Upload, body: Body) -> Upload:
    """Take the body, segment by segment.

    What must be checked as a whole (a checksum, a length that is not stated) is acknowledged at
    the end only; everything else as soon as it is durable.
    """
    at_once = not body.checksums and body.length is not None
    whole = body.offset == 0 and body.length is not None and body.length == upload.length
    storing = _Storing(uploading, uploading.writer(upload, whole=whole), body, at_once=at_once)
    try:
        await _received(request, uploading, storing)
    except (ClientDisconnect, TimeoutError):
        await storing.insist_going_on()
        if at_once:
            await storing.put(storing.waiting, final=True)
        raise TusError(408, "upload: the line was cut; go on from the offset", "E408") from None
    finally:
        await storing.settled()
    storing.insist_digests()
    stored = await run_in_threadpool(_completed, uploading, storing.writer, storing.waiting)
    if stored.state is UploadState.OPEN and stored.offset == stored.length:
        return await _finished(uploading, stored)
    return stored


async def _received(request: Request, uploading: Uploading, storing: "_Storing") -> None:
    """Receive the body to its end.

    Raises:
        ClientDisconnect, TimeoutError: if it does not come to its end, or this process does.
    """
    loop, seen = asyncio.get_running_loop(), 0.0
    async with _patient(uploading) as patience:
        async for chunk in request.stream():
            await storing.take(chunk)
            await storing.insist_going_on()
            if (now := loop.time()) - seen > 1:  # not for each of a million chunks
                patience.reschedule(now + IDLE_SECONDS)
                seen = now


@asynccontextmanager
async def _patient(uploading: Uploading) -> AsyncIterator[asyncio.Timeout]:
    """Patience with a body: over when nothing came for too long, or when this process is to end."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(IDLE_SECONDS) as patience:
        with uploading.told(lambda: patience.reschedule(loop.time())):
            yield patience


class _Storing:
    """Stores one piece while the next is received, in order."""

    def __init__(self, uploading: Uploading, writer: Writer, body: Body, *, at_once: bool) -> None:
        self._uploading, self.writer, self._at_once = uploading, writer, at_once
        self._states = [(ALGORITHMS[name](), digest) for name, digest in body.checksums]
        self._pending: asyncio.Task[Upload] | None = None
        self._length = writer.upload.length
        self._received = writer.upload.offset
        self.waiting = bytearray()
        """What came and was not put yet: less than a piece."""

    async def take(self, chunk: bytes) -> None:
        """Take what came; something is always left for the end.

        Raises:
            TusError: if it is more than the upload may have.
        """
        for state, _ in self._states:
            state.update(chunk)
        _insist_fits(self._received, self._length, len(self.waiting) + len(chunk))
        rest = memoryview(chunk)
        while len(self.waiting) + len(rest) > PIECE_BYTES:
            fits = PIECE_BYTES - len(self.waiting)
            self.waiting += rest[:fits]
            rest = rest[fits:]
            await self.put(self.waiting)
            self.waiting = bytearray()
        self.waiting += rest

    def insist_digests(self) -> None:
        """Insist that what came is of every digest that came with it.

        Raises:
            TusError: if it is not.
        """
        if any(state.digest() != digest for state, digest in self._states):
            raise TusError(
                460, "upload: a checksum is another; nothing of this body is kept", "E460"
            )

    async def put(self, piece: bytearray, *, final: bool = False) -> None:
        """Store a piece behind those before, once they are stored. It is theirs from now on."""
        await self.settled()
        self._received += len(piece)
        self._pending = asyncio.create_task(
            run_in_threadpool(self.writer.put, piece, final=final, acknowledge=self._at_once)
        )

    async def insist_going_on(self) -> None:
        """Insist that this process is not about to end; if it is, what came is stored first.

        Raises:
            EndingError: if it is.
        """
        if self._uploading.stopping.is_set():
            await self.put(self.waiting, final=True)
            raise EndingError("upload: this server ends; go on from the offset")

    async def settled(self) -> None:
        """Wait until everything that was put is stored."""
        pending = self._pending
        if pending is None:
            return
        try:
            # Whoever waits may be told to stop; what is being stored is stored, and in its order.
            await asyncio.shield(pending)
        finally:
            if pending.done():
                self._pending = None


def _completed(uploading: Uploading, writer: Writer, last: bytearray) -> Upload:
    """The upload with the last bytes of a body, acknowledged."""
    return uploading.acknowledge(writer.put(last, final=True, acknowledge=False))


async def _finished(uploading: Uploading, upload: Upload) -> Upload:
    """The upload taken in; or as it is, if that takes longer than one should wait for.

    It is waited for on no thread: what takes long here holds up nobody else.
    """
    try:
        taken_in = asyncio.wrap_future(uploading.finish_in_turn(upload))
        return await asyncio.wait_for(asyncio.shield(taken_in), FINISH_SECONDS)
    except (UnavailableError, TimeoutError, RuntimeError):  # the last: this process ends
        return upload  # every byte is durable; it is taken in when it can be


def _insist_fits(received: int, length: int | None, more: int) -> None:
    if received + more > (DEFERRED_BYTES_MAX if length is None else length):
        raise TusError(413, "upload: more bytes than its length", "E413")


def _body(request: Request, offset: int) -> Body:
    """What must hold of a body: every digest that came with it, whichever header it came in."""
    return Body(
        offset,
        (*_upload_checksum(request), *_content_digests(request)),
        _number(request, "content-length"),
    )


def _upload_checksum(request: Request) -> list[tuple[str, bytes]]:
    header = request.headers.get("upload-checksum")
    if header is None:
        return []
    name, _, encoded = header.partition(" ")
    if name not in ALGORITHMS:
        raise TusError(400, f"upload: expected a checksum by {', '.join(ALGORITHMS)}")
    try:
        return [(name, base64.b64decode(encoded, validate=True))]
    except binascii.Error:
        raise TusError(400, "upload: expected a checksum in base64") from None


def _content_digests(request: Request) -> list[tuple[str, bytes]]:
    """The digests of a Content-Digest (RFC 9530), as if they were the protocol's own checksums."""
    header = ",".join(request.headers.getlist("content-digest"))
    if not header:
        return []
    try:
        found = stated_digests(header)
    except ValueError as error:
        raise TusError(400, str(error)) from None
    return [(name.replace("-", ""), digest) for name, digest in found.items()]


def is_offset_type(content_type: str) -> bool:
    """Whether a body is bytes of an upload. Media types have no case (RFC 9110, section 8.3.1)."""
    return content_type.partition(";")[0].strip().lower() == OFFSET_TYPE


def always_said(path: str, status: int) -> dict[str, str]:
    """The headers of the protocol that every answer at a path carries, refusals too."""
    if path != UPLOADS and not path.startswith(f"{UPLOADS}/"):
        return {}
    versions = {"Tus-Version": VERSION} if status == HTTPStatus.PRECONDITION_FAILED else {}
    return {"Tus-Resumable": VERSION, **versions}


def _metadata(header: str) -> dict[str, str]:
    if len(header) > METADATA_BYTES_MAX:
        raise MalformedError(
            f"upload: expected Upload-Metadata of at most {METADATA_BYTES_MAX} bytes"
        )
    found: dict[str, str] = {}
    for pair in (each.strip() for each in header.split(",") if each.strip()):
        name, _, encoded = pair.partition(" ")
        try:
            value = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise MalformedError("upload: expected Upload-Metadata in base64 of UTF-8") from None
        if name in found or "\0" in value:
            raise MalformedError("upload: expected each name of Upload-Metadata once, without NUL")
        found[name] = value
    return found


def _number(request: Request, name: str) -> int | None:
    text = request.headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 18:  # noqa: PLR2004 - 64 bits
        raise TusError(400, f"upload: expected a number in {name}")
    return int(text)


def _insist_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise TusError(412, f"upload: expected Tus-Resumable: {VERSION}", "E412")


def _expires(upload: Upload) -> dict[str, str]:
    if upload.state is UploadState.DONE:
        return {}
    return {"Upload-Expires": format_datetime(upload.expires_at, usegmt=True)}


def _answer(status: int, headers: dict[str, str]) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": VERSION, **headers})


def _uploading(request: Request) -> Uploading:
    found: Uploading = request.app.state.uploading
    return found


def _outcome(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
