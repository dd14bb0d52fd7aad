"""Once and not twice (`Idempotency-Key`), and on what one has seen (`ETag`, `If-Match`).

A key is an officer's own. What was answered under it is answered again; another request under it
is refused. A change states which version it is of; `*` is any that there is.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from api.http.caller import Caller
from evidence_store.errors import ConflictError, EvidenceError, NotFoundError
from evidence_store.identifiers import Subject

CREATED = 201
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
        ConflictError: if the same request is being done just now.
    """
    if key is None:
        return _created(act(), CREATED, at)
    doors, officer = caller.instance.doors, caller.officer
    fingerprint = hashlib.sha256(f"{what}\n{body.model_dump_json()}".encode()).digest()
    found = doors.begin_answer(officer, key, fingerprint, caller.instance.clock.now())
    if found is not None:
        if found.fingerprint != fingerprint:
            raise OtherRequestError("Idempotency-Key: it was used for another request")
        if found.status is None or found.body is None:
            raise ConflictError("Idempotency-Key: the same request is being done; ask again")
        return _created(json.loads(found.body), found.status, at)
    try:
        record = act()
    except BaseException:
        doors.drop_answer(officer, key)
        raise
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
        link = reader.ledger.links([dossier]).get(dossier)
    if link is None or link.head is None:
        raise NotFoundError(f"there is no {dossier}")
    return f'"{link.head.hex()[:ETAG_CHARACTERS]}"'


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
    if if_match is None:
        raise PreconditionRequiredError("expected If-Match with the ETag that was seen, or *")
    if if_match.strip() != "*" and etag_of(caller, dossier) not in etags(if_match):
        raise PreconditionFailedError("it has changed since it was seen; look at it again")
