"""The asking side between instances: one request, signed with the authority's key, one answer."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import urllib3

from api.peers import signed_headers
from evidence_store.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    RateError,
    UnauthenticatedError,
    UnavailableError,
)
from evidence_store.identifiers import KeyId
from evidence_store.ports import Clock

ANSWER_BYTES_MAX = 8 * 1024 * 1024
SECONDS = 30.0
SENDING_SECONDS = 3600.0  # a package is verified before it is answered
NOTHING = hashlib.sha256().digest()
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
OK = range(200, 300)
_OF_STATUS = {
    400: MalformedError,
    401: UnauthenticatedError,
    404: NotFoundError,
    409: ConflictError,
    422: MalformedError,
    429: RateError,
}


@dataclass(slots=True)
class Asking:
    """Asks one instance in the name of one authority. A redirect is not followed: it is not signed."""

    server: str
    kid: KeyId
    sign: Callable[[KeyId, bytes], bytes]
    clock: Clock

    def __post_init__(self) -> None:
        found = urlsplit(self.server)
        is_near = found.scheme == "http" and found.hostname in LOOPBACK
        if (found.scheme != "https" and not is_near) or not found.netloc:
            raise MalformedError("peer: expected an address that begins with https://")
        self.server = self.server.rstrip("/")

    def get(self, path: str) -> dict[str, Any]:
        """What the instance answers.

        Raises:
            MalformedError, UnauthenticatedError, NotFoundError, RateError: as it says.
            UnavailableError: if it does not answer, or what is no answer.
        """
        return self._ask("GET", path, NOTHING, {})

    def send(self, path: str, file: Path) -> dict[str, Any]:
        """What the instance answers to a file, which may be of any size. See `get`.

        Raises:
            SourceChangedError: if the file changed meanwhile.
        """
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").digest()
            size = content.tell()
            content.seek(0)
            headers = {"Content-Type": "application/zip", "Content-Length": str(size)}
            return self._ask("POST", path, digest, headers, content)

    def _ask(
        self,
        method: str,
        path: str,
        digest: bytes,
        headers: dict[str, str],
        body: IO[bytes] | None = None,
    ) -> dict[str, Any]:
        url = f"{self.server}/{path.lstrip('/')}"
        signed = signed_headers(method, url, digest, self.kid, self.sign, self.clock.now())
        try:
            answer = urllib3.request(
                method,
                url,
                body=body,
                headers={**headers, **signed},
                redirect=False,
                retries=False,
                timeout=SECONDS if body is None else SENDING_SECONDS,
                preload_content=False,
            )
            content = answer.read(ANSWER_BYTES_MAX + 1)
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(f"peer: no answer ({type(error).__name__})") from None
        found = _read(content)
        if answer.status not in OK:
            said = str(found.get("detail", "it gives no reason"))
            kind = _OF_STATUS.get(answer.status, UnavailableError)
            raise kind(f"peer: {answer.status}: {said}")
        return found


def _read(content: bytes) -> dict[str, Any]:
    if len(content) > ANSWER_BYTES_MAX:
        raise UnavailableError(f"peer: expected an answer of at most {ANSWER_BYTES_MAX} bytes")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnavailableError("peer: expected a JSON object")
    return found
