"""Versions of an item, and whether bytes at hand are one of them.

A further version's bytes are sent first, as a partial upload; then they are named here. What a caller
may not know of is never compared with: to an outsider every digest is unknown.
"""

import json
from typing import Annotated, Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api import ledger
from api.cli.receipts import PENDING, SEALED
from api.http.caller import Caller, Reader, Uploader
from api.http.conditions import KeyHeader, creates, once
from api.http.evidence import ErnPath
from api.http.integrity import etag_of_bytes
from api.http.knowing import item_held, item_known, versions_known
from api.http.paging import After, Limit, link_next
from api.http.places import Places
from api.http.problems import problems
from api.http.records import Verification, VerificationList, VersionPage, VersionView
from api.http.routes import Routes
from api.spelling import rfc3339
from api.uploading import UPLOADERS, Uploading
from api.wiring import found_log
from evidence_store.attestation import Attestation, attestation
from evidence_store.derivation import Derivation, add_version
from evidence_store.digest import Digest
from evidence_store.doors import Upload, UploadState
from evidence_store.errors import ConflictError, MalformedError, NotFoundError
from evidence_store.identifiers import Ern
from evidence_store.intake import Content
from evidence_store.item import Version, VersionType
from evidence_store.ports import CatalogReader
from evidence_store.verification import Comparison, Outcome, compare_digest
from evidence_store.wording import stated
from ingest.arriving import Arriving

NUMBER_MAX = 10_000
HEX = "^[0-9a-f]{64}$"
Record = dict[str, Any]
# Memory is bounded, nobody holds up a thread by waiting, and a retry finds what was made: an upload
# is one officer's, who adds one version at a time.
_places = Places("version", of_caller_max=1, of_all_max=2)


class VersionAsked(BaseModel):
    """A further version: whose bytes were sent as an upload with `Upload-Concat: partial`."""

    upload: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    type: Annotated[VersionType, Field(examples=["redacted"])]
    derived_from: Annotated[int, Field(ge=1, le=NUMBER_MAX)] = 1
    method: Annotated[str, Field(min_length=1, max_length=4000, examples=["faces blurred, v2"])]
    language: Annotated[str | None, Field(max_length=40)] = None


class VerificationAsked(BaseModel):
    """A digest to compare: with an item's versions, or with all that the caller may know of."""

    sha256: Annotated[str, Field(pattern=HEX, description="Of the bytes at hand, measured now.")]
    item: Annotated[str | None, Field(max_length=32, examples=["SI-2026-000123"])] = None


def version_routes() -> Routes:
    """The routes, under `/v1`."""
    routes = Routes(prefix="/v1", responses=problems(304, 409, 410))

    @routes.get("/items/{ern}/versions", tags=["evidence"])
    def list_versions(
        request: Request,
        caller: Reader,
        ern: ErnPath,
        response: Response,
        after: After = None,
        limit: Limit = 50,
    ) -> VersionPage:
        """An item's versions, by number: all of an own case's, otherwise those that are granted."""
        with caller.instance.catalog.read() as reader:
            found = versions_known(reader, caller, item_known(reader, caller, ern))
        rest = [each for each in found if each.number > _number(after)]
        cursor = str(rest[limit - 1].number) if len(rest) > limit else None
        page = VersionPage(
            versions=[version_view(each) for each in rest[:limit]],
            next_cursor=link_next(request, response, cursor),
        )
        response.headers["ETag"] = etag_of_bytes(page.model_dump_json().encode())
        return page

    @routes.post(
        "/items/{ern}/versions",
        tags=["evidence"],
        status_code=201,
        response_model=VersionView,
        responses=creates("list_versions", "ern", "ern", "/v1/items/SI-2026-000123/versions"),
    )
    def add_item_version(
        request: Request, caller: Uploader, ern: ErnPath, body: VersionAsked, key: KeyHeader = None
    ) -> Response:
        """Add a version, derived from one that is there; its bytes were uploaded before."""
        with caller.instance.catalog.read() as reader:
            item = item_held(reader, caller, ern)
            caller.desk.insist(reader, UPLOADERS)
        uploading: Uploading = request.app.state.uploading
        at = f"/v1/items/{item.ern}/versions"
        return once(caller, key, at, body, lambda: _added(caller, uploading, item.ern, body), at)

    @routes.post("/verifications", tags=["verification"])
    def verify_digest(caller: Reader, body: VerificationAsked) -> VerificationList:
        """Say whether a digest is of what was registered, and prove it.

        A match is one only if the signed event that measured the version says so too, and stands in
        the log. What the caller may not know of is `unknown`, like what never was.
        """
        with caller.instance.catalog.read() as reader:
            return VerificationList(
                verifications=[
                    _verified(reader, caller, body.sha256, each)
                    for each in _compared(reader, caller, body)
                ]
            )

    return routes


def version_view(version: Version) -> VersionView:
    """A version, as every route shows it."""
    found = version.fingerprint
    return VersionView(
        number=version.number,
        type=version.type.value,
        sha256=found.sha256.hex,
        blake3=found.blake3.hex,
        size_bytes=found.size_bytes,
        media_type=version.media_type,
        added_at=rfc3339(version.added_at),
        derived_from=version.derived_from,
        method=version.method,
        language=version.language,
    )


def _number(after: str | None) -> int:
    if after is None:
        return 0
    if not (after.isascii() and after.isdigit()) or len(after) > len(str(NUMBER_MAX)):
        raise MalformedError("after: expected a cursor that an earlier page gave")
    return int(after)


def _added(caller: Caller, uploading: Uploading, ern: Ern, body: VersionAsked) -> Record:
    if body.type is VersionType.ORIGINAL:
        raise MalformedError("version: an original is registered, and derived from nothing")
    derivation = Derivation(
        ern=ern,
        type=body.type,
        derived_from=body.derived_from,
        method=stated(body.method, "method"),
        language=None if body.language is None else stated(body.language, "language"),
    )
    with _places.taken(caller.officer):
        upload = uploading.mine(body.upload, caller.officer)
        if upload.state is UploadState.DONE and upload.outcome is not None:
            return _outcome(upload, ern)
        if upload.state is not UploadState.PARTIAL or upload.length != upload.offset:
            raise ConflictError("version: expected an upload that is partial, and whole")
        name = upload.metadata.get("filename", "").encode("utf-8", "surrogateescape")
        arriving = Arriving(caller.instance.vault, uploading.extractor)
        content = arriving.take(uploading.plaintext(upload), name, upload.offset)
        try:
            version = _made_before(caller, derivation, content) or add_version(
                caller.instance.catalog,
                caller.instance.vault,
                caller.desk.recorder,
                derivation,
                content,
            )
        finally:
            content.sealing.writer.abort()  # of no effect on what was committed
        record = {"ern": str(ern), **version_view(version).model_dump()}
        uploading.doors.end_upload(
            upload.id,
            before=UploadState.PARTIAL,
            after=UploadState.DONE,
            outcome=json.dumps(record),
        )
        uploading.segments.remove(upload.id)
    ledger.settle(caller.instance)
    return record


def _outcome(upload: Upload, ern: Ern) -> Record:
    found: Record = json.loads(upload.outcome or "{}")
    if found.get("ern") != str(ern):
        raise ConflictError("version: the upload became something else")
    return found


def _made_before(caller: Caller, derivation: Derivation, content: Content) -> Version | None:
    """The version that an earlier request made of this upload, and could not say so."""
    with caller.instance.catalog.read() as reader:
        for each in reader.versions(derivation.ern):
            same = (each.type, each.derived_from, each.method, each.language) == (
                derivation.type,
                derivation.derived_from,
                derivation.method,
                derivation.language,
            )
            if same and each.fingerprint == content.fingerprint:
                return each
    return None


def _compared(reader: CatalogReader, caller: Caller, body: VerificationAsked) -> list[Comparison]:
    sha256 = Digest.sha256_hex(body.sha256)
    if body.item is not None:
        item = item_known(reader, caller, body.item)
        found = versions_known(reader, caller, item)
        return list(compare_digest(found, sha256, item.ern))
    known = []
    for version in reader.versions_with(sha256):
        try:
            item = item_known(reader, caller, str(version.ern))
        except NotFoundError:
            continue
        known += [
            each for each in versions_known(reader, caller, item) if each.number == version.number
        ]
    return list(compare_digest(known, sha256))


def _verified(
    reader: CatalogReader, caller: Caller, sha256: str, found: Comparison
) -> Verification:
    version, verdict = found.version, found.verdict
    is_match = verdict.outcome is Outcome.MATCH and version is not None
    attested = _attested(reader, caller, version) if is_match and version is not None else None
    outcome, reason = verdict.outcome, verdict.reason
    if attested is not None and attested.problem is not None:
        outcome, reason = Outcome.NOT_VERIFIABLE, f"the ledger: {attested.problem}"
    return Verification.model_validate(
        {
            "outcome": outcome.value,
            "sha256": sha256,
            "ern": None if version is None else str(version.ern),
            "version": version.number if is_match and version is not None else None,
            "version_type": version.type.value if is_match and version is not None else None,
            "reason": reason,
            "ledger": None if attested is None else _ledger(attested),
        }
    )


def _attested(reader: CatalogReader, caller: Caller, version: Version) -> Attestation:
    instance = caller.instance
    trusted = ledger.policy(instance.home, found_log(instance.catalog, instance.signing))
    return attestation(
        reader, instance.tiles, trusted, version.ern, version.number, version.fingerprint.sha256
    )


def _ledger(found: Attestation) -> Record:
    return {
        "event": found.seq,
        "by": None if found.by is None else str(found.by),
        "recorded_at": None if found.at is None else rfc3339(found.at),
        "custodian": found.custodian,
        "receipt": PENDING if found.proof is None else SEALED,
        "proof": None if found.proof is None else str(found.proof),
    }
