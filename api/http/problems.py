"""Errors as HTTP carries them: problem documents (RFC 9457) with our stable codes.

A problem says what was expected and found, and never what was in the request. Nothing that was
not foreseen is described: it gets an identifier to find it by.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api.http import languages
from api.http.caller import insist_on_claim
from evidence_store import errors

log = logging.getLogger("evidence.http")
MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "5"
UNCHANGED = 304
_CODES = {401: "E401", 404: "E404", 405: "E405"}
_OF_ERROR: tuple[tuple[type[errors.EvidenceError], HTTPStatus], ...] = (
    (errors.IncompleteError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.UnauthenticatedError, HTTPStatus.UNAUTHORIZED),
    (errors.ProofError, HTTPStatus.BAD_REQUEST),
    (errors.DeniedError, HTTPStatus.FORBIDDEN),
    (errors.NotFoundError, HTTPStatus.NOT_FOUND),
    (errors.RateError, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.ConflictError, HTTPStatus.CONFLICT),
    (errors.CustodyError, HTTPStatus.CONFLICT),
    (errors.OutOfOrderError, HTTPStatus.CONFLICT),
    (errors.MalformedError, HTTPStatus.BAD_REQUEST),
    (errors.UnsupportedSourceError, HTTPStatus.BAD_REQUEST),
    (errors.KeyUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.LedgerAlteredError, HTTPStatus.SERVICE_UNAVAILABLE),
)


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(examples=["/problems#E404"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(description="Stable.", examples=["E404"])
    detail: str = Field(examples=["there is no item SI-2026-000123"])
    request_id: str = Field(examples=["5f2b7c0d9e8a4b1c"])
    findings: list[str] | None = Field(default=None, description="All that is missing or wrong.")
    decision: str | None = None
    rule: str | None = None
    policy: str | None = None
    errors: list[dict[str, str]] | None = Field(
        default=None,
        description="Each with what is wrong, and where: `pointer` (RFC 6901, into the body), "
        "`parameter` (of path or query) or `header`.",
    )


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route declares, beside those that any can answer."""
    always = (400, 401, 403, 404, 405, 408, 413, 414, 415, 422, 429, 431, 500, 503)
    unchanged: dict[int | str, dict[str, Any]] = (
        {UNCHANGED: {"description": "It is as the caller has it."}} if UNCHANGED in statuses else {}
    )
    return unchanged | {
        status: {
            "model": Problem,
            "content": {MEDIA_TYPE: {}},
            "description": languages.title("", status, languages.ENGLISH),
        }
        for status in sorted({*always, *statuses} - {UNCHANGED})
    }


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document."""
    language = languages.chosen(request.headers.get("accept-language", ""))
    body = {
        "type": f"/problems#{code}",
        "title": languages.title(code, status, language),
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": getattr(request.state, "request_id", ""),
        **(more or {}),
    }
    said = {"Content-Language": language, "Vary": "Accept-Language", **(headers or {})}
    return JSONResponse(body, status, headers=said, media_type=MEDIA_TYPE)


def status_of(error: errors.EvidenceError) -> int:
    """The HTTP status of an error."""
    found = getattr(error, "status", None)
    if isinstance(found, int):
        return found
    return next(
        (int(status) for kind, status in _OF_ERROR if isinstance(error, kind)),
        int(HTTPStatus.INTERNAL_SERVER_ERROR),
    )


def of_error(request: Request, error: errors.EvidenceError) -> Response:
    """An error of ours as a problem."""
    status = status_of(error)
    headers = {}
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        stated = error.after_seconds if isinstance(error, errors.RateError) else None
        headers["Retry-After"] = RETRY_SECONDS if stated is None else str(stated)
    headers |= getattr(error, "headers", {})
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="evidence"'
    detail = error.expected if isinstance(error, errors.MalformedError) else str(error)
    return problem(request, status, error.code, detail, error.details, headers)


def install(app: FastAPI) -> None:
    """Let every error of the application become a problem."""

    @app.exception_handler(errors.EvidenceError)
    async def ours(request: Request, error: errors.EvidenceError) -> Response:
        return of_error(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        try:  # nobody who may not call is told what is wrong with a request
            await insist_on_claim(request)
        except errors.EvidenceError as refusal:
            return of_error(request, refusal)
        found = [_fault(each["loc"], str(each["msg"])) for each in error.errors()[:100]]
        return problem(request, 422, "E100", "the request is not as it must be", {"errors": found})

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        code = _CODES.get(error.status_code, "E100")
        headers = dict(error.headers or {})
        return problem(request, error.status_code, code, str(error.detail), None, headers)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        log.error(
            "not foreseen: %s request %s",
            type(error).__name__,
            getattr(request.state, "request_id", ""),
        )
        return problem(
            request, 500, "E000", "an error that was not foreseen; nothing half-done is kept"
        )


def _fault(where: Sequence[int | str], detail: str) -> dict[str, str]:
    """Where something is wrong: a pointer into the body, or the name of a parameter or header.

    A body that is no JSON has one fault, of the whole: the pointer to that is empty.
    """
    place, rest = str(where[0]) if where else "body", where[1:]
    if place == "body":
        is_json = detail != "JSON decode error"
        return {"pointer": _pointer(rest) if is_json else "", "detail": detail}
    name = ".".join(map(str, rest))
    return {"header" if place == "header" else "parameter": name, "detail": detail}


def _pointer(where: Sequence[int | str]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join(f"/{str(each).replace('~', '~0').replace('/', '~1')}" for each in where)
