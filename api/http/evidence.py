"""Items, access to them and its record, over HTTP.

An officer sees what the officer may know of; the rest is not there. Content leaves by decision only:
recorded before the first byte, completed with the count of those that left.
"""

import base64
import re
import unicodedata
from collections.abc import Generator
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Header, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from api import cooperation, ledger
from api.http.caller import Accessor, Caller, Reader
from api.http.integrity import etag_of_bytes
from api.http.knowing import item_known
from api.http.paging import After, Limit, link_next
from api.http.problems import problems
from api.http.records import AccessPage, Decided, ItemPage, ItemView
from api.http.routes import Routes
from api.http.streaming import Streamed
from api.spelling import rfc3339
from api.views import access_row
from evidence_store.accessing import (
    Opening,
    Part,
    Question,
    accesses,
    ask,
    serve,
    serve_range,
    visible,
)
from evidence_store.errors import MalformedError
from evidence_store.identifiers import DossierId, DossierKind, Ern
from evidence_store.item import Item, Listed, Version, VersionType
from evidence_store.sharing.terms import CONTENT, Action

ErnPath = Annotated[
    str, Path(description="As in SI-2026-000123.", examples=["SI-2026-000123"], max_length=64)
]
OURS = problems(304, 409, 412, 416)
SANDBOX = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
SERVED: dict[str, Any] = {
    "description": "The version's bytes; or the decision alone, of what has none.",
    "content": {
        "application/octet-stream": _BYTES,
        "application/json": {"schema": Decided.model_json_schema(by_alias=True)},
    },
    "headers": {
        name: {"description": said, "schema": {"type": "string"}}
        for name, said in (
            ("Repr-Digest", "SHA-256 of the whole (RFC 9530); not of a marked copy."),
            ("ETag", "To go on with `If-Range`; not of a marked copy."),
            (
                "X-Evidence-Item",
                "What it is, whatever the file is called: as in SI-2026-000123-v1.",
            ),
            ("X-Evidence-Access", "The access, as in SI-ACC-000001."),
            ("X-Evidence-Copy", "The copy's identity."),
            ("X-Evidence-Rule", "The rule that allowed it."),
        )
    },
}
_RANGE = re.compile(r"bytes=\s*([0-9]{0,30})-([0-9]{0,30})\s*", re.IGNORECASE)
NAME_CHARACTERS_MAX, NAME_ENDING_MAX = 180, 20
EXACT = frozenset(CONTENT - {Action.VIEW})
_PLAIN = re.compile(r"[^A-Za-z0-9 ._()+,=@~-]")
_UNSAFE = frozenset('"*/:<>?\\|')
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


class AccessRequest(BaseModel):
    """What is asked for, and why."""

    item: str = Field(examples=["SI-2026-000123"], max_length=64)
    version: int | None = Field(default=None, ge=1, le=10_000)
    action: Action = Action.VIEW
    purpose: str = Field(examples=["prosecution"], max_length=64)
    grant: str | None = Field(default=None, examples=["SI-GRT-000004"], max_length=64)


def evidence_routes() -> Routes:
    """The routes, under `/v1`."""
    routes = Routes(prefix="/v1", responses=OURS)
    _lists(routes)
    _single(routes)
    _access(routes)
    return routes


def _lists(routes: Routes) -> None:
    @routes.get("/items", tags=["evidence"])
    def list_items(
        request: Request,
        caller: Reader,
        response: Response,
        after: After = None,
        limit: Limit = 50,
    ) -> ItemPage:
        """The items that the officer may know of, by ERN."""
        found, cursor = visible(caller.desk, after=after, limit=limit)
        link_next(request, response, cursor)
        return ItemPage(items=[_listed_view(each) for each in found], next_cursor=cursor)


def _single(routes: Routes) -> None:
    @routes.get("/items/{ern}", tags=["evidence"])
    def get_item(caller: Reader, ern: ErnPath, response: Response) -> ItemView:
        """An item that the officer may know of."""
        with caller.instance.catalog.read() as reader:
            found = _item_view(item_known(reader, caller, ern))
        response.headers["ETag"] = etag_of_bytes(found.model_dump_json().encode())
        return found


def _access(routes: Routes) -> None:
    @routes.post(
        "/accesses",
        tags=["access"],
        response_class=Response,
        responses={200: SERVED, 206: {**SERVED, "description": "A part of them."}},
    )
    def open_access(
        caller: Accessor,
        asked: AccessRequest,
        range_header: Annotated[str | None, Header(alias="Range")] = None,
        if_range: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Ask for access. What is allowed is recorded first, and then streamed.

        The body is the version's bytes, always as an attachment; `see_metadata` and what has no
        bytes is answered with the decision alone. A range with `If-Range` continues a download that was
        cut off, and is one use of the grant with it; an access that cannot be served is not recorded.
        """
        grant = None if asked.grant is None else DossierId.parse(asked.grant, DossierKind.GRANT)
        question = Question(
            Ern.parse(asked.item), asked.version, asked.action, asked.purpose, grant
        )
        desk, rules = caller.desk, cooperation.policy()
        # A copy for viewing is marked, and has other bytes: it comes whole or not at all.
        is_exact = asked.action in EXACT
        opening = ask(
            desk,
            rules,
            question,
            (lambda version: _wanted(range_header, if_range, version)) if is_exact else None,
        )
        if opening.version is None or asked.action is Action.SEE_METADATA:
            for _ in serve(desk, rules, opening, caller.instance.vault, content=False):
                pass
            return JSONResponse(_decided(opening), headers=SANDBOX)
        if opening.part is None:
            pieces = serve(desk, rules, opening, caller.instance.vault)
        else:
            pieces = serve_range(desk, rules, opening, caller.instance.vault, opening.part)
        return _streamed(caller, opening, pieces)

    @routes.get("/accesses", tags=["access"], response_model=AccessPage)
    def list_accesses(
        request: Request,
        caller: Reader,
        response: Response,
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
        rows = [dict(access_row(each)) for each in found]
        return {"accesses": rows, "next_cursor": link_next(request, response, cursor)}


def _streamed(
    caller: Caller,
    opening: Opening,
    pieces: Generator[bytes, None, None],
) -> Response:
    version = opening.version
    if version is None:
        raise MalformedError("access: expected a version")
    first = next(pieces, b"")  # what is refused at once is a problem, not a broken stream
    called = f"{opening.question.ern}-v{version.number}"
    headers = {
        **SANDBOX,
        "Content-Disposition": disposition(_name(caller, opening, version) or called),
        "X-Evidence-Item": called,
        "X-Evidence-Access": str(opening.access),
        "X-Evidence-Copy": opening.copy_id,
        "X-Evidence-Rule": opening.decision.rule,
    }
    part, size = opening.part, version.fingerprint.size_bytes
    if opening.question.action in EXACT:  # a marked copy has another digest and length
        headers["Accept-Ranges"] = "bytes"
        digest = base64.b64encode(bytes.fromhex(version.fingerprint.sha256.hex)).decode()
        headers["Repr-Digest"] = f"sha-256=:{digest}:"
        headers["ETag"] = _etag(version)
        headers["Content-Length"] = str(size if part is None else part.length)
    if part is not None:
        last = part.start + part.length - 1
        headers["Content-Range"] = f"bytes {part.start}-{last}/{size}"
    return Streamed(  # closing the pieces records how the access ended
        first,
        pieces,
        headers,
        media_type="application/octet-stream",
        status=200 if part is None else 206,
        ended=lambda: ledger.settle(caller.instance),
    )


def _name(caller: Caller, opening: Opening, version: Version) -> str | None:
    """What the original was called where it came from, for the State whose item it is.

    Under a grant it is withheld, as in the events: a source's name may tell who the source is. A further
    version is another file, and not called like the original.
    """
    if opening.question.grant is not None or version.type is not VersionType.ORIGINAL:
        return None
    with caller.instance.catalog.read() as reader:
        name = reader.item(opening.question.ern).source_name
    return None if name is None else safe_name(name.decode("utf-8", "replace"))


def safe_name(source: str) -> str | None:
    """The last part of a source's name, as a file can be called anywhere; None if nothing is left.

    Without controls and marks that turn the writing round, which show another name than there is.
    """
    last = re.split(r"[/\\]", source)[-1]
    seen = "".join(each for each in last if not unicodedata.category(each).startswith("C"))
    kept = "".join("_" if each in _UNSAFE else each for each in seen).strip(" ").lstrip(".")
    kept = kept.rstrip(" .")
    if len(kept) > NAME_CHARACTERS_MAX:
        stem, dot, ending = kept.rpartition(".")
        ending = dot + ending if stem and len(ending) < NAME_ENDING_MAX else ""
        kept = kept[: NAME_CHARACTERS_MAX - len(ending)] + ending
    return f"_{kept}" if _DEVICE.fullmatch(kept) else kept or None


def disposition(name: str) -> str:
    """The header that names what is handed out (RFC 6266, RFC 8187)."""
    return (
        f"attachment; filename=\"{_PLAIN.sub('_', name)}\"; filename*=UTF-8''{quote(name, safe='')}"
    )


def _wanted(range_header: str | None, if_range: str | None, version: Version) -> Part | None:
    """The part that is asked for; None is the whole, also where a header is none that we know (RFC 9110).

    Raises:
        RangeError: if it lies outside of the content.
    """
    size = version.fingerprint.size_bytes
    if range_header is None or (if_range is not None and if_range.strip() != _etag(version)):
        return None
    found = _RANGE.fullmatch(range_header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, last = max(0, size - int(found[2])), size - 1
    else:
        start, last = int(found[1]), int(found[2]) if found[2] else size - 1
        if found[2] and start > last:
            return None
        last = min(last, size - 1)
    if start > last:
        raise RangeError(size)
    return Part(start, last - start + 1, goes_on=if_range is not None)


class RangeError(MalformedError):
    """The range lies outside of the content."""

    code = "E416"
    status = 416

    def __init__(self, size: int) -> None:
        super().__init__(f"range: expected one within {size} bytes")
        self.headers = {"Content-Range": f"bytes */{size}"}


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


def _item_view(item: Item) -> ItemView:
    asserted = item.asserted
    return _listed_view(
        Listed(
            item.ern, item.case_id, item.status, asserted.kind, item.registered_at, asserted.title
        )
    )


def _listed_view(item: Listed) -> ItemView:
    return ItemView(
        ern=str(item.ern),
        case=str(item.case_id),
        kind=item.kind.value,
        status=item.status.value,
        registered_at=rfc3339(item.registered_at),
        title=item.title,
    )
