"""What another instance may ask, in the name of an authority and of no officer.

A request is signed with the authority's registered key (`api.peers`). What the authority is no side
of is not there.
"""

import asyncio
import base64
import re
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api.delivering import Arriving, Sender, delivery_row, keep, named
from api.http.caller import DeliveringPeer, PeerCaller
from api.http.knowing import dossiers_sided, grant_sided, transfer_sided
from api.http.paging import After, Limit
from api.http.problems import problems
from api.http.records import (
    AccessPage,
    DeliveryView,
    DossierPage,
    GrantView,
    PeerView,
    TransferView,
)
from api.http.routes import Routes
from api.http.transfers import standing_row
from api.views import access_row, dossier_row, grant_row
from evidence_store.accessing import accesses_of_provider
from evidence_store.custody.transfer import TransferId
from evidence_store.errors import MalformedError, NotFoundError
from evidence_store.identifiers import DossierId, DossierKind, Ern
from evidence_store.transferring import standing

Record = dict[str, Any]
DELIVERIES = "/v1/peer/deliveries"
IDLE_SECONDS = 30.0
SIGNED = ("content-digest", "signature-input", "signature")
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


def peer_routes() -> Routes:
    """The routes, under `/v1/peer`."""
    routes = Routes(prefix="/v1/peer", tags=["peers"], responses=problems())

    @routes.get("", response_model=PeerView)
    def who_is_this_peer(peer: PeerCaller) -> Record:
        """Which authority, by which key: to see that keys and clocks agree."""
        return {"authority": peer.authority.value, "key": str(peer.kid)}

    @routes.get("/accesses", response_model=AccessPage)
    def list_accesses_of_provider(
        peer: PeerCaller,
        item: Annotated[str | None, Query(max_length=64)] = None,
        grant: Annotated[str | None, Query(max_length=64)] = None,
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """Who had access to an item of the authority's, or under a grant that it gave."""
        with peer.instance.catalog.read() as reader:
            found, cursor = accesses_of_provider(
                reader,
                peer.chains,
                (peer.authority, peer.instance.clock.now()),
                ern=None if item is None else Ern.parse(item),
                grant=None if grant is None else DossierId.parse(grant, DossierKind.GRANT),
                after=after,
                limit=limit,
            )
        return {"accesses": [dict(access_row(each)) for each in found], "next_cursor": cursor}

    @routes.get("/grants", response_model=DossierPage)
    def list_grants_of_peer(
        peer: PeerCaller,
        received: Annotated[bool, Query()] = False,  # noqa: FBT002 - a query parameter
        after: After = None,
        limit: Limit = 50,
    ) -> Record:
        """The grants that the authority gave, or received."""
        with peer.instance.catalog.read() as reader:
            page = dossiers_sided(
                reader, DossierKind.GRANT, peer.authority, after, limit, received=received
            )
        return {"entries": [dossier_row(each) for each in page.entries], "next_cursor": page.after}

    @routes.get("/grants/{identifier}", response_model=GrantView)
    def get_grant_of_peer(
        peer: PeerCaller,
        identifier: Annotated[str, Path(examples=["SI-GRT-000001"], max_length=32)],
    ) -> Record:
        """A grant that the authority is a side of."""
        dossier = DossierId.parse(identifier, DossierKind.GRANT)
        with peer.instance.catalog.read() as reader:
            found = grant_sided(reader, peer.chains, dossier, peer.authority)
        return {**grant_row(dossier, found), "missing": []}

    @routes.get("/transfers/{identifier}", response_model=TransferView)
    def get_transfer_of_peer(
        peer: PeerCaller,
        identifier: Annotated[str, Path(examples=["SI-TRF-000012"], max_length=32)],
    ) -> Record:
        """Where a transfer stands that the authority is a side of."""
        transfer = TransferId.parse(identifier)
        with peer.instance.catalog.read() as reader:
            transfer_sided(reader, transfer, peer.authority)
            return standing_row(transfer, standing(reader, transfer))

    _add_deliveries(routes)
    return routes


def _add_deliveries(routes: Routes) -> None:
    @routes.post(
        "/deliveries",
        status_code=201,
        response_model=DeliveryView,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def deliver_package(peer: DeliveringPeer, request: Request) -> Record:
        """Deliver a package: sealed as it arrives, verified, kept; answered with a signed receipt."""
        stated = _DIGEST.fullmatch(request.headers["content-digest"])
        if stated is None:
            raise MalformedError("delivery: expected Content-Digest with one digest, sha-256")
        arriving = await run_in_threadpool(Arriving, peer.instance)
        try:
            await _received(request, arriving)
        except BaseException:  # also when the sender goes away
            arriving.discard()
            raise
        signed = {name: request.headers[name] for name in SIGNED}
        signed |= {"method": request.method, "target": peer.target}
        sender = Sender(peer.kid, base64.b64decode(stated[1]), signed)
        made = await run_in_threadpool(keep, peer.instance, arriving, sender)
        return delivery_row(made)

    @routes.get("/deliveries/{identifier}", response_model=DeliveryView)
    def get_delivery(peer: PeerCaller, identifier: Annotated[str, Path(max_length=64)]) -> Record:
        """The receipt of a delivery of the authority's."""
        found = named(peer.instance, identifier)
        if found.authority != peer.authority:
            raise NotFoundError(f"there is no delivery {identifier}")
        return delivery_row(found)


async def _received(request: Request, arriving: Arriving) -> None:
    chunks = aiter(request.stream())
    try:
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            await run_in_threadpool(arriving.put, chunk)
    except (ClientDisconnect, TimeoutError):
        raise MalformedError("delivery: it was cut off; nothing of it is kept") from None
    await run_in_threadpool(arriving.close)
