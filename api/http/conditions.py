"""Once and not twice (`Idempotency-Key`), and on what one has seen (`ETag`, `If-Match`).

A key is an officer's own. What was answered under it is answered again; another request under it
is refused. A change states which version it is of; `*` is any that there is.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Header
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from api.http.caller import Caller
from api.http.problems import RETRY_SECONDS
from evidence_store.errors import (
    ConflictError,
    EvidenceError,
    NotFoundError,
    UnavailableError,
)
from evidence_store.identifiers import Subject
from evidence_store.ports import CatalogReader

CREATED = 201
CLAIM = timedelta(seconds=30)  # whoever has not done it by then does not hold its key any more
ETAG_CHARACTERS = 32
Record = dict[str, Any]
KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=128,
        description="The same key with the same body is done once.",
    ),
]
MatchHeader = Annotated[
    str | None,
    Header(alias="If-Match", max_length=200, description="The ETag that was seen, or `*`."),
]


class PreconditionRequiredError(EvidenceError):
    """A change must say which version it is of."""

    code = "E428"
    status = 428


class PreconditionFailedError(EvidenceError):
    """It has changed since it was seen."""

    code = "E412"
    status = 412


class BeingDoneError(ConflictError):
    """The same request is being done now, or whoever did it went away a moment ago."""

    headers = {"Retry-After": RETRY_SECONDS}  # noqa: RUF012 - read only


class OtherRequestError(EvidenceError):
    """The key belongs to another request."""

    code = "E422"
    status = 422


def once(
    caller: Caller,
    key: str | None,
    what: str,
    body: BaseModel,
    act: Callable[[], Record],
    at: str = "",
) -> Response:
    """What `act` creates, done once for a key. It is to be found `at`, filled in from the record.

    Raises:
        OtherRequestError: if the key was used for another request.
        BeingDoneError: if the same request is being done just now.
        ConflictError: if it was done, and its answer was lost: it is there, and is not done twice.
    """
    if key is None:
        return _created(act(), CREATED, at)
    doors, officer = caller.instance.doors, caller.officer
    fingerprint = hashlib.sha256(f"{what}\n{body.model_dump_json()}".encode()).digest()
    now = caller.instance.clock.now()
    found = doors.begin_answer(officer, key, fingerprint, now, now - CLAIM)
    if found is not None:
        if found.fingerprint != fingerprint:
            raise OtherRequestError("Idempotency-Key: it was used for another request")
        if found.status is not None and found.body is not None:
            return _created(json.loads(found.body), found.status, at)
        if found.is_done:
            raise ConflictError(
                f"Idempotency-Key: this was done, and its answer was lost; look for it in {at.partition('/{')[0] or what}"
                " before you ask for another under another key"
            )
        raise BeingDoneError("Idempotency-Key: the same request is being done; ask again")
    try:
        with doors.acting(officer, key, now):
            record = act()
    except BaseException:
        with suppress(UnavailableError):  # then the claim runs out
            doors.drop_answer(officer, key, now)
        raise
    with suppress(UnavailableError):  # it is done: that is what is answered, now or never
        doors.keep_answer(officer, key, CREATED, json.dumps(record))
    return _created(record, CREATED, at)


def _created(record: Record, status: int, at: str) -> Response:
    location = at.format(**record)
    return JSONResponse(record, status, {"Location": location} if location else None)


def creates(operation: str, parameter: str, member: str, at: str) -> dict[int | str, Any]:
    """What a 201 declares: where the thing is, and which operation shows it."""
    return {
        201: {
            "description": "Made, and recorded.",
            "headers": {
                "Location": {"description": f"As in {at}.", "schema": {"type": "string"}},
            },
            "links": {
                operation: {
                    "operationId": operation,
                    "parameters": {parameter: f"$response.body#/{member}"},
                }
            },
        }
    }


def etag_of(caller: Caller, dossier: Subject) -> str:
    """The strong validator of an item or a dossier: what its last event commits to.

    Raises:
        NotFoundError: if there is none.
    """
    with caller.instance.catalog.read() as reader:
        return _etag(reader, dossier)


def etags(header: str) -> set[str]:
    """The validators of an `If-Match` (RFC 9110, section 13.1.1); those of ours hold no comma.

    A weak one matches nothing here: comparison is strong.
    """
    return {each.strip(" \t") for each in header.split(",")}


def insist_unchanged(caller: Caller, dossier: Subject, if_match: str | None) -> None:
    """Insist that a change is of the version that there is.

    Raises:
        PreconditionRequiredError: if it does not say of which.
        PreconditionFailedError: if it is of another.
    """
    with caller.instance.catalog.read() as reader:
        insist_unchanged_within(reader, dossier, if_match)


def insist_unchanged_within(reader: CatalogReader, dossier: Subject, if_match: str | None) -> None:
    """As `insist_unchanged`, in the transaction of the change.

    A view of its own would not see an act that is in that transaction too, and not durable yet.
    """
    if if_match is None:
        raise PreconditionRequiredError("expected If-Match with the ETag that was seen, or *")
    if if_match.strip() != "*" and _etag(reader, dossier) not in etags(if_match):
        raise PreconditionFailedError("it has changed since it was seen; look at it again")


def _etag(reader: CatalogReader, dossier: Subject) -> str:
    link = reader.ledger.links([dossier]).get(dossier)
    if link is None or link.head is None:
        raise NotFoundError(f"there is no {dossier}")
    return f'"{link.head.hex()[:ETAG_CHARACTERS]}"'
