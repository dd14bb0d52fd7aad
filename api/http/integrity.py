"""What holds for bodies both ways: `Content-Digest` in (RFC 9530), `ETag` and `304` out (RFC 9110).

A digest that comes with a body is checked before anything is made of the body. What takes
bodies in as they come checks theirs while bytes arrive (`api.http.uploads`, `api.http.peers`).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http import problems
from api.http.bodies import Again

DIGESTS = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}  # what RFC 9530 calls secure
MISMATCH = "E460"
_MEMBER = re.compile(r"\s*([a-z0-9*_.-]+)=:([A-Za-z0-9+/=]*):\s*(?:;[^,]*)?")
_GONE_WITH_BODY = ("content-length", "content-type", "content-encoding")


def stated_digests(header: str) -> dict[str, bytes]:
    """The digests of a `Content-Digest` that can be checked, by algorithm.

    Raises:
        ValueError: if it is no such header, or a digest is no digest.
    """
    found: dict[str, bytes] = {}
    for part in header.split(","):
        member = _MEMBER.fullmatch(part)
        if member is None:
            raise ValueError("Content-Digest: expected sha-256=:…:")
        if member[1] in DIGESTS:
            try:
                found[member[1]] = base64.b64decode(member[2], validate=True)
            except binascii.Error:
                raise ValueError("Content-Digest: expected base64") from None
    return found


class ContentDigest:
    """Refuses a body that is not of the digest that came with it."""

    def __init__(
        self, app: ASGIApp, *, is_streamed: Callable[[Scope], bool], bytes_max: int
    ) -> None:
        self._app, self._is_streamed, self._bytes_max = app, is_streamed, bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request whose body is what it says."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        header = headers.get("content-digest")
        if header is None or self._is_streamed(scope):
            await self._app(scope, receive, send)
            return
        try:
            stated = stated_digests(header)
        except ValueError as error:
            await self._refuse(scope, receive, send, "E100", str(error))
            return
        body = await _whole(receive, self._bytes_max)
        for name, digest in stated.items():
            if DIGESTS[name](body).digest() != digest:
                detail = f"Content-Digest: the body's {name} is another; nothing was done"
                await self._refuse(scope, receive, send, MISMATCH, detail)
                return
        await self._app(scope, Again(body, receive), send)

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, code: str, detail: str
    ) -> None:
        await problems.problem(Request(scope), 400, code, detail)(scope, receive, send)


async def _whole(receive: Receive, bytes_max: int) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if not message.get("more_body", False) or len(body) > bytes_max:
            return body


class Conditional:
    """Answers 304 where the caller has what it asks for (`If-None-Match`)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; what is known is not sent again."""
        wanted = None
        if scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}:
            wanted = Headers(scope=scope).get("if-none-match")
        if wanted is None:
            await self._app(scope, receive, send)
            return
        known = {each.strip().removeprefix("W/") for each in wanted.split(",")}
        withheld = False

        async def unless_known(message: Message) -> None:
            nonlocal withheld
            if message["type"] == "http.response.start" and message["status"] == 200:  # noqa: PLR2004 - OK
                headers = MutableHeaders(scope=message)
                etag = headers.get("etag")
                withheld = etag is not None and (etag in known or "*" in known)
                if withheld:
                    message["status"] = 304
                    for name in _GONE_WITH_BODY:
                        del headers[name]
            elif message["type"] == "http.response.body" and withheld:
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, unless_known)


def etag_of_bytes(content: bytes) -> str:
    """A strong validator of exactly these bytes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
