"""What the OpenAPI says of every operation: headers, ways in, problems. Nothing here changes an answer.

FastAPI describes parameters and bodies from the functions. What middleware does for all of them, and
what a protocol (tus, RFC 9421) has in headers, is said here, once.
"""

from typing import Any

from api.http.codes import CODES
from api.http.problems import MEDIA_TYPE

Json = dict[str, Any]
# Times of ours: always in UTC. A time that somebody states may be as inexact as it is known.
TIMES = frozenset(
    {
        "added_at", "changed_at", "created_at", "disabled_at", "ended_at", "expires_at", "made_at",
        "opened_at", "received_at", "recorded_at", "registered_at", "seen_at",
    }
)  # fmt: skip
_TEXT: Json = {"type": "string"}
_NUMBER: Json = {"type": "integer", "minimum": 0}
_TUS = "tus 1.0.0"
_RESUMABLE: Json = {
    "description": f"The version, {_TUS}.",
    "schema": {"type": "string", "enum": ["1.0.0"]},
}
_OFFSET: Json = {"description": f"Bytes that are acknowledged ({_TUS}).", "schema": _NUMBER}
_LENGTH: Json = {"description": f"Bytes of the whole ({_TUS}).", "schema": _NUMBER}
_METADATA: Json = {
    "description": "Pairs of a name and base64, with commas between: `filename` and `case` at least.",
    "schema": _TEXT,
}
_CONCAT: Json = {"description": "`partial`, or `final;` with the parts.", "schema": _TEXT}
_DEFER: Json = {
    "description": "1: the length follows.",
    "schema": {"type": "string", "enum": ["1"]},
}
_CHECKSUM: Json = {"description": "`sha256` and base64, of this body.", "schema": _TEXT}
_EXPIRES: Json = {"description": "Until when it is kept.", "schema": _TEXT}
_LOCATION: Json = {"description": "Where the upload is.", "schema": _TEXT}
_BYTES: Json = {
    "required": False,
    "content": {
        "application/offset+octet-stream": {"schema": {"type": "string", "format": "binary"}}
    },
}
# For each operation of tus: headers of the request (whether required), and of the answer.
_UPLOADS: dict[str, tuple[Json, Json]] = {
    "create_upload": (
        {
            "Tus-Resumable": (_RESUMABLE, True),
            "Upload-Length": (_LENGTH, False),
            "Upload-Defer-Length": (_DEFER, False),
            "Upload-Metadata": (_METADATA, False),
            "Upload-Concat": (_CONCAT, False),
            "Upload-Checksum": (_CHECKSUM, False),
        },
        {"Tus-Resumable": _RESUMABLE, "Location": _LOCATION, "Upload-Expires": _EXPIRES},
    ),
    "append_to_upload": (
        {
            "Tus-Resumable": (_RESUMABLE, True),
            "Upload-Offset": (_OFFSET, True),
            "Upload-Length": (_LENGTH, False),
            "Upload-Checksum": (_CHECKSUM, False),
        },
        {"Tus-Resumable": _RESUMABLE, "Upload-Offset": _OFFSET, "Upload-Expires": _EXPIRES},
    ),
    "upload_offset": (
        {"Tus-Resumable": (_RESUMABLE, True)},
        {"Tus-Resumable": _RESUMABLE, "Upload-Offset": _OFFSET, "Upload-Length": _LENGTH},
    ),
    "end_upload": ({"Tus-Resumable": (_RESUMABLE, True)}, {"Tus-Resumable": _RESUMABLE}),
}
_TAKES_BYTES = frozenset({"create_upload", "append_to_upload"})
_OF_STATUS: dict[str, Json] = {
    "401": {"WWW-Authenticate": {"description": "How to come in.", "schema": _TEXT}},
    "405": {"Allow": {"description": "The methods that there are.", "schema": _TEXT}},
    "429": {"Retry-After": {"description": "Seconds.", "schema": _NUMBER}},
    "503": {"Retry-After": {"description": "Seconds.", "schema": _NUMBER}},
}
_ETAG: Json = {"description": "The validator of what is answered.", "schema": _TEXT}
_LINK: Json = {"description": "The next page, if there is one (RFC 8288).", "schema": _TEXT}
_REQUEST_ID: Json = {"description": "The request's identifier.", "schema": _TEXT}
_IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "Validators that the caller has: 304 if one is still right.",
    "schema": _TEXT,
}
# Why what these make has no `Idempotency-Key`.
_NOT_ONCE = {
    "make_package": "Each is decided on and recorded anew, so there is no Idempotency-Key; nor a digest "
    "of the whole, as it is sent while it is made: the package carries the digests of its parts.",
    "open_access": "Each is decided on and recorded anew, so there is no Idempotency-Key.",
    "make_a_token": "The token is shown once and kept nowhere, so there is no Idempotency-Key: an answer "
    "that was lost leaves a token in the list, to be ended.",
    "issue_enrolment": "The link is shown once and kept nowhere, so there is no Idempotency-Key: the next "
    "one ends one whose answer was lost.",
    "subscribe": "The secret is shown once and kept nowhere, so there is no Idempotency-Key: a "
    "subscription whose answer was lost is in the list, to be ended.",
    "register_person_statement": "No digest of a name is kept, not even of a request's, so there is no "
    "Idempotency-Key.",
    "create_upload": "The protocol goes on by the upload's offset, so there is no Idempotency-Key.",
}
_SCHEMES_OF_OFFICERS = ("HTTPBearer", "session")


def describe_all(document: Json, origin: str | None) -> None:
    """Complete the OpenAPI document."""
    document["servers"] = [{"url": origin or "/", "description": "This instance."}]
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        _times(schema)
    schemas["Problem"]["properties"]["code"]["enum"] = list(CODES)
    has_sessions = "session" in document["components"].get("securitySchemes", {})
    for path in document["paths"].values():
        for method, operation in path.items():
            _operation(method, operation, schemas, has_sessions=has_sessions)


def _operation(method: str, operation: Json, schemas: Json, *, has_sessions: bool) -> None:
    if has_sessions and operation.get("security") == [{"HTTPBearer": []}]:
        operation["security"] = [{each: []} for each in _SCHEMES_OF_OFFICERS]
    responses: Json = operation["responses"]
    if method != "get":
        responses.pop("304", None)
    elif "304" in responses:
        operation.setdefault("parameters", []).append(_IF_NONE_MATCH)
        for status in ("200", "304"):
            responses[status].setdefault("headers", {})["ETag"] = _ETAG
    _headers(responses, schemas)
    why = _NOT_ONCE.get(operation["operationId"])
    if why is not None:
        operation["description"] = f"{operation['description']}\n\n{why}"
    _upload(operation)


def _headers(responses: Json, schemas: Json) -> None:
    for status, response in responses.items():
        headers = response.setdefault("headers", {})
        headers["X-Request-Id"] = _REQUEST_ID
        headers.update(_OF_STATUS.get(status, {}))
        content = response.get("content", {})
        if MEDIA_TYPE in content and "application/json" in content:
            content[MEDIA_TYPE] = content.pop("application/json")
        named = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        page = schemas.get(named.rpartition("/")[2], {})
        if "next_cursor" in page.get("properties", {}):
            headers["Link"] = _LINK


def _upload(operation: Json) -> None:
    asked, answered = _UPLOADS.get(operation["operationId"], ({}, {}))
    parameters = operation.get("parameters", [])
    known = {each["name"].lower() for each in parameters}
    for name, (said, required) in asked.items():
        if name.lower() not in known:
            parameters.append({"name": name, "in": "header", "required": required, **said})
    if parameters:
        operation["parameters"] = parameters
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response["headers"].update(answered)
    if operation["operationId"] in _TAKES_BYTES:
        operation.setdefault("requestBody", _BYTES)


def _times(schema: Json) -> None:
    """State the form of the times that are ours, in what is answered."""
    for name, found in schema.get("properties", {}).items():
        if name in TIMES:
            for each in found.get("anyOf", [found]):
                if each.get("type") == "string":
                    each["format"] = "date-time"
