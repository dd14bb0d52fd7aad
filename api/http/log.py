"""The log, public: checkpoint, tiles, keys, proofs. Nobody signs in, and caches may keep it.

Nothing personal is in it: leaves are salted commitments (`docs/format.md`, 13).
"""

import re
from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import PlainTextResponse, Response

from api import ledger
from api.http.integrity import etag_of_bytes
from api.http.problems import problems
from api.http.records import LogKeys
from api.http.routes import Routes
from api.wiring import Instance, found_log
from evidence_store.errors import MalformedError, NotFoundError
from evidence_store.sequencing import proof_of

FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
FOR_A_WHILE = {"Cache-Control": "public, max-age=86400, immutable"}
RARELY = {"Cache-Control": "public, max-age=300"}
SHORTLY = {"Cache-Control": "public, max-age=5"}
_TILE = re.compile(
    r"(entries|[0-9]|[1-5][0-9]|6[0-3])(/x\d{3}){0,5}/\d{3}(\.p/([1-9][0-9]?|1\d\d|2[0-4]\d|25[0-5]))?"
)
PLACE_MAX = 2**62
PUBLIC = problems(304)
PARTIAL = ".p/"


def log_routes() -> Routes:  # noqa: C901 - five routes
    """The routes, under `/v1/log`."""
    routes = Routes(prefix="/v1/log", tags=["log"], responses=PUBLIC)

    @routes.get("/checkpoint", response_class=PlainTextResponse)
    def checkpoint(request: Request) -> Response:
        """The newest sealed checkpoint: a signed note (C2SP tlog-checkpoint)."""
        note = _instance(request).tiles.checkpoint()
        if note is None:
            raise NotFoundError("log: nothing is sealed yet")
        return PlainTextResponse(note, headers={**SHORTLY, "ETag": etag_of_bytes(note)})

    @routes.get("/tile/{path:path}", response_class=Response)
    def tile(
        request: Request, path: Annotated[str, Path(description="As in 0/x001/234.p/5.")]
    ) -> Response:
        """A tile or a bundle of entries (C2SP tlog-tiles)."""
        if _TILE.fullmatch(path) is None:
            raise NotFoundError("log: there is no such tile")
        content = _instance(request).tiles.read(f"tile/{path}")
        # A part of a tile never changes either, but nobody needs it once the tile is full.
        cached = FOR_A_WHILE if PARTIAL in path else FOR_EVER
        headers = {**cached, "ETag": etag_of_bytes(content)}
        return Response(content, headers=headers, media_type="application/octet-stream")

    @routes.get("/keys")
    def keys(request: Request, response: Response) -> LogKeys:
        """The log's origin and verifier keys, and the policy under which it is sealed."""
        instance = _instance(request)
        log = found_log(instance.catalog, instance.signing)
        found = LogKeys(
            origin=log.origin,
            vkeys=[str(each) for each in log.vkeys],
            policy=str(ledger.policy(instance.home, log)),
        )
        response.headers.update(RARELY)
        response.headers["ETag"] = etag_of_bytes(found.model_dump_json().encode())
        return found

    @routes.get("/policy", response_class=PlainTextResponse)
    def policy(request: Request) -> Response:
        """The policy under which the log is sealed: its keys, witnesses and quorum (tlog-policy)."""
        instance = _instance(request)
        log = found_log(instance.catalog, instance.signing)
        text = str(ledger.policy(instance.home, log))
        headers = {**RARELY, "ETag": etag_of_bytes(text.encode())}
        return PlainTextResponse(text, headers=headers)

    @routes.get("/proofs/{index}", response_class=PlainTextResponse)
    def proof(
        request: Request, index: Annotated[int, Path(ge=0, le=PLACE_MAX, examples=[0])]
    ) -> Response:
        """The proof that the log holds the entry at a place (C2SP tlog-proof)."""
        instance = _instance(request)
        with instance.catalog.read() as reader:
            head = reader.ledger.head()
            if head is None or index >= head.size:
                raise NotFoundError("log: there is no such entry yet")
            found = proof_of(reader.ledger, instance.tiles, index)
        if found is None:
            raise NotFoundError("log: the entry is not sealed yet; ask again")
        text = str(found)
        headers = {**SHORTLY, "ETag": etag_of_bytes(text.encode())}
        return PlainTextResponse(text, headers=headers)

    return routes


def _instance(request: Request) -> Instance:
    found = request.app.state.instance
    if not isinstance(found, Instance):
        raise MalformedError("the application has no instance")
    return found
