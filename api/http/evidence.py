"""Cases, items, versions, custody, access and its record, over HTTP.

An officer sees what the officer may know of; the rest is not there. Content leaves by decision only:
recorded before the first byte, completed with the count of those that left.
"""

import base64
import re
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from api import cooperation, ledger
from api.cli.receipts import receipt_fields
from api.http.caller import Accessor, Caller, Reader
from api.http.problems import problems
from api.views import access_row
from evidence_store.accessing import Opening, Question, accesses, ask, serve, serve_range, visible
from evidence_store.audit import audit_item
from evidence_store.errors import MalformedError, NotFoundError
from evidence_store.handling import history_of
from evidence_store.identifiers import DossierId, DossierKind, Ern
from evidence_store.item import Item, Version
from evidence_store.ports import CatalogReader
from evidence_store.sharing.terms import Action

ErnPath = Annotated[str, Path(description="As in SI-2026-000123.", examples=["SI-2026-000123"])]
After = Annotated[str | None, Query(description="The cursor of the page before.", max_length=100)]
Limit = Annotated[int, Query(ge=1, le=200)]
OURS = problems(409, 412, 416)
SANDBOX = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


class ItemView(BaseModel):
    """An item of evidence."""

    ern: str = Field(examples=["SI-2026-000123"])
    case: str = Field(examples=["SI-CASE-0007"])
    kind: str
    status: str
    registered_at: str
    title: str | None = None


class VersionView(BaseModel):
    """A version of an item's bytes."""

    number: int
    type: str
    sha256: str
    blake3: str
    size_bytes: int
    media_type: str
    added_at: str
    derived_from: int | None


class ItemPage(BaseModel):
    """A page of items; `next_cursor` begins the next one."""

    items: list[ItemView]
    next_cursor: str | None


class CaseView(BaseModel):
    """A case that the officer needs to know."""

    case: str = Field(examples=["SI-CASE-0007"])
    title: str
    reference: str | None


class AccessRequest(BaseModel):
    """What is asked for, and why."""

    item: str = Field(examples=["SI-2026-000123"], max_length=64)
    version: int | None = Field(default=None, ge=1, le=10_000)
    action: Action = Action.VIEW
    purpose: str = Field(examples=["prosecution"], max_length=64)
    grant: str | None = Field(default=None, examples=["SI-GRT-000004"], max_length=64)


def evidence_routes() -> APIRouter:
    """The routes, under `/v1`."""
    routes = APIRouter(prefix="/v1", responses=OURS)
    _lists(routes)
    _single(routes)
    _access(routes)
    return routes


def _lists(routes: APIRouter) -> None:
    @routes.get("/cases", tags=["evidence"])
    def list_cases(caller: Reader) -> list[CaseView]:
        """The cases that the officer needs to know."""
        with caller.instance.catalog.read() as reader:
            known = reader.dossiers.cases_of(caller.officer, caller.instance.clock.now())
            cases = [reader.case(each) for each in known]
        return [
            CaseView(case=str(each.case_id), title=each.title, reference=each.reference)
            for each in cases
        ]

    @routes.get("/items", tags=["evidence"])
    def list_items(
        caller: Reader, response: Response, after: After = None, limit: Limit = 50
    ) -> ItemPage:
        """The items that the officer may know of, by ERN."""
        found, cursor = visible(caller.desk, after=after, limit=limit)
        if cursor is not None:
            response.headers["Link"] = (
                f'</v1/items?after={quote(cursor)}&limit={limit}>; rel="next"'
            )
        return ItemPage(items=[_item_view(each) for each in found], next_cursor=cursor)


def _single(routes: APIRouter) -> None:
    @routes.get("/items/{ern}", tags=["evidence"])
    def get_item(caller: Reader, ern: ErnPath) -> ItemView:
        """An item that the officer may know of."""
        with caller.instance.catalog.read() as reader:
            return _item_view(_known(reader, caller, ern))

    @routes.get("/items/{ern}/versions", tags=["evidence"])
    def list_versions(caller: Reader, ern: ErnPath) -> list[VersionView]:
        """An item's versions, by number."""
        with caller.instance.catalog.read() as reader:
            item = _known(reader, caller, ern)
            return [_version_view(each) for each in reader.versions(item.ern)]

    @routes.get("/items/{ern}/custody", tags=["custody"])
    def get_custody(caller: Reader, ern: ErnPath) -> dict[str, object]:
        """Who held an item, when, and every gap: for the State whose it is."""
        with caller.instance.catalog.read() as reader:
            item = _own(reader, caller, ern)
            told = history_of(reader.ledger, item.ern)
            problems_found = [each.problem for each in audit_item(reader, item.ern) if each.problem]
        return {
            "ern": ern,
            "state": None if told.custody is None else told.custody.state.value,
            "custodian": None if told.custody is None else told.custody.custodian.value,
            "timeline": [
                {
                    "seq": row.act.seq,
                    "act": row.act.type.value,
                    "by": row.act.by.value,
                    "recorded_at": row.act.at.isoformat(),
                    "late": row.late,
                    "custodian": None if row.custodian is None else str(row.custodian),
                }
                for row in told.rows
            ],
            "gaps": [
                {"kind": each.kind.value, "seq": each.seq, "detail": each.detail}
                for each in told.gaps
            ],
            "ledger_problems": problems_found,
        }

    @routes.get("/items/{ern}/receipts", tags=["custody"])
    def get_receipts(caller: Reader, ern: ErnPath) -> list[dict[str, object]]:
        """An item's events, each with the proof that the log holds it: for the State whose it is."""
        with caller.instance.catalog.read() as reader:
            item = _own(reader, caller, ern)
        return [dict(receipt_fields(each)) for each in ledger.receipts(caller.instance, item.ern)]


def _access(routes: APIRouter) -> None:
    @routes.post("/accesses", tags=["access"], status_code=200)
    def open_access(
        request: Request,
        caller: Accessor,
        asked: AccessRequest,
        range_header: Annotated[str | None, Header(alias="Range", max_length=64)] = None,
        if_range: Annotated[str | None, Header(max_length=200)] = None,
    ) -> Response:
        """Ask for access. What is allowed is recorded first, and then streamed.

        The body is the version's bytes, always as an attachment; `see_metadata` and what has no
        bytes is answered with the decision alone. A range continues a download that was cut off.
        """
        del request
        grant = None if asked.grant is None else DossierId.parse(asked.grant, DossierKind.GRANT)
        question = Question(
            Ern.parse(asked.item), asked.version, asked.action, asked.purpose, grant
        )
        desk, rules = caller.desk, cooperation.policy()
        opening = ask(desk, rules, question)
        if opening.version is None or asked.action is Action.SEE_METADATA:
            for _ in serve(desk, rules, opening, caller.instance.vault, content=False):
                pass
            return JSONResponse(_decided(opening), headers=SANDBOX)
        # A copy for viewing is marked, and has other bytes: it comes whole or not at all.
        asked_range = None if asked.action is Action.VIEW else range_header
        start, length = _wanted(asked_range, if_range, opening.version)
        if start is None:
            pieces = serve(desk, rules, opening, caller.instance.vault)
        else:
            pieces = serve_range(desk, rules, opening, caller.instance.vault, start, length)
        return _streamed(caller, opening, pieces, start, length)

    @routes.get("/accesses", tags=["access"])
    def list_accesses(
        caller: Reader,
        item: Annotated[str | None, Query(max_length=64)] = None,
        grant: Annotated[str | None, Query(max_length=64)] = None,
        after: After = None,
        limit: Limit = 50,
    ) -> dict[str, object]:
        """Who had access to an item, or under a grant: for the provider's State and its courts."""
        found, cursor = accesses(
            caller.desk,
            ern=None if item is None else Ern.parse(item),
            grant=None if grant is None else DossierId.parse(grant, DossierKind.GRANT),
            after=after,
            limit=limit,
        )
        return {"accesses": [dict(access_row(each)) for each in found], "next_cursor": cursor}


def _streamed(
    caller: Caller,
    opening: Opening,
    pieces: Iterator[bytes],
    start: int | None,
    length: int,
) -> Response:
    version = opening.version
    if version is None:
        raise MalformedError("access: expected a version")
    first = next(pieces, b"")  # what is refused at once is a problem, not a broken stream
    name = f"{opening.question.ern}-v{version.number}"
    headers = {
        **SANDBOX,
        "Content-Disposition": f"attachment; filename=\"{name}\"; filename*=UTF-8''{quote(name)}",
        "X-Evidence-Access": str(opening.access),
        "X-Evidence-Copy": opening.copy_id,
        "X-Evidence-Rule": opening.decision.rule,
        "Accept-Ranges": "bytes",
    }
    exact = opening.question.action is not Action.VIEW
    if exact:  # a marked copy has another digest and length
        digest = base64.b64encode(bytes.fromhex(version.fingerprint.sha256.hex)).decode()
        headers["Repr-Digest"] = f"sha-256=:{digest}:"
        headers["ETag"] = _etag(version)
        headers["Content-Length"] = str(length)
    status = 200
    if start is not None:
        status = 206
        end = start + length - 1
        headers["Content-Range"] = f"bytes {start}-{end}/{version.fingerprint.size_bytes}"

    def body() -> Iterator[bytes]:
        try:
            yield first
            yield from pieces
        finally:
            pieces.close()  # type: ignore[attr-defined] # it records how the access ended
            ledger.settle(caller.instance)

    return StreamingResponse(body(), status, headers, media_type="application/octet-stream")


def _wanted(
    range_header: str | None, if_range: str | None, version: Version
) -> tuple[int | None, int]:
    """Where to begin and how much to send; None is the whole."""
    size = version.fingerprint.size_bytes
    if range_header is None or (if_range is not None and if_range != _etag(version)):
        return None, size
    found = _RANGE.fullmatch(range_header)
    if found is None:
        return None, size  # of a kind that we do not know: RFC 9110 lets us send the whole
    start = int(found[1])
    last = min(int(found[2]) if found[2] else size - 1, size - 1)
    if start > last:
        raise RangeError(f"range: expected one within {size} bytes")
    return start, last - start + 1


class RangeError(MalformedError):
    """The range lies outside of the content."""

    code = "E416"
    status = 416


def _etag(version: Version) -> str:
    return f'"{version.fingerprint.sha256.hex}"'


def _decided(opening: Opening) -> dict[str, object]:
    return {
        "access": str(opening.access),
        "decision": opening.decision.text,
        "rule": opening.decision.rule,
        "policy": opening.decision.policy,
        "copy": opening.copy_id,
    }


def _known(reader: CatalogReader, caller: Caller, text: str) -> Item:
    """The item, if the officer may know of it.

    Raises:
        NotFoundError: if there is none, or none that the officer may know of.
    """
    ern, desk = Ern.parse(text), caller.desk
    missing = NotFoundError(f"there is no item {ern}")
    officer = desk.registry(reader).officer(desk.officer)
    now = desk.now
    roles = officer.roles_at(now)
    if not roles or "system_operator" in roles:
        raise missing
    if not reader.dossiers.knows_of(desk.officer, desk.authority, ern, now):
        raise missing
    return reader.item(ern)


def _own(reader: CatalogReader, caller: Caller, text: str) -> Item:
    """The item, if the officer needs to know its case.

    Raises:
        NotFoundError: if not.
    """
    item = _known(reader, caller, text)
    if item.case_id not in reader.dossiers.cases_of(caller.officer, caller.instance.clock.now()):
        raise NotFoundError(f"there is no item {item.ern}")
    return item


def _item_view(item: Item) -> ItemView:
    return ItemView(
        ern=str(item.ern),
        case=str(item.case_id),
        kind=item.asserted.kind.value,
        status=item.status.value,
        registered_at=item.registered_at.isoformat(),
        title=item.asserted.title,
    )


def _version_view(version: Version) -> VersionView:
    found = version.fingerprint
    return VersionView(
        number=version.number,
        type=version.type.value,
        sha256=found.sha256.hex,
        blake3=found.blake3.hex,
        size_bytes=found.size_bytes,
        media_type=version.media_type,
        added_at=version.added_at.isoformat(),
        derived_from=version.derived_from,
    )
