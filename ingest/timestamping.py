"""RFC 3161 time-stamps over checkpoints: asked for over HTTP, verified by two tools when they come.

A stamp says that its content existed at a time, on the word of an authority that is neither the
log nor a State. It is kept as it came, and good only under roots that the reader trusts. Years
later it is verified as of its own time, because the authority's certificate has ended by then.
"""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimeStampRequest,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from evidence_store.errors import FixityError, MalformedError, UnavailableError

TIMEOUT_SECONDS = 10.0
ANSWER_BYTES_MAX = 64 * 1024
OPENSSL_SECONDS = 30


@dataclass(frozen=True, slots=True)
class StampAuthority:
    """A time-stamp authority: what it is called here, where it is, and its roots in PEM."""

    name: str
    url: str
    roots: bytes

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", self.name, re.ASCII):
            raise MalformedError(f"time-stamp authority: a name such as tsa-1, not {self.name!r}")
        if urlsplit(self.url).scheme not in {"http", "https"}:
            raise MalformedError(f"time-stamp authority {self.name}: expected http or https")


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """An answer as it came, its time, and which tools accepted it."""

    answer: bytes
    at: datetime
    verified_by: tuple[str, ...]


def request_stamp(authority: StampAuthority, content: bytes) -> TimeStamp:
    """Have the content stamped now.

    Raises:
        UnavailableError: if the authority does not answer, or not with a stamp.
        FixityError: if the stamp is not of this content and this question, under its roots.
    """
    request = (
        TimestampRequestBuilder()
        .data(content)
        .hash_algorithm(HashAlgorithm.SHA512)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    answer = _asked(authority, request.as_bytes())
    at = _verified(answer, content, authority.roots, request)
    second = _verified_by_openssl(answer, content, authority.roots, at)
    return TimeStamp(answer, at, ("rfc3161-client", *(("openssl",) if second else ())))


def verify_stamp(answer: bytes, content: bytes, roots: bytes) -> datetime:
    """When the stamp says that the content was there, verified as of that time.

    Raises:
        FixityError: if it is of other content, changed, or by none of these roots.
    """
    at = _verified(answer, content, roots, None)
    if shutil.which("openssl") is not None and not _verified_by_openssl(answer, content, roots, at):
        raise _refused("openssl does not accept it")
    return at


def _asked(authority: StampAuthority, body: bytes) -> bytes:
    request = Request(  # noqa: S310 - the scheme was checked
        authority.url, body, {"Content-Type": "application/timestamp-query"}
    )
    opener = OpenerDirector()  # no redirects, no cookies, no errors for a status
    for each in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(each)
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            status, answer = response.status, response.read(ANSWER_BYTES_MAX + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise UnavailableError(f"time-stamp authority {authority.name}: {error}") from error
    if status != 200 or len(answer) > ANSWER_BYTES_MAX:  # noqa: PLR2004 - OK
        raise UnavailableError(f"time-stamp authority {authority.name}: answered with {status}")
    return bytes(answer)


def _verified(
    answer: bytes, content: bytes, roots: bytes, request: TimeStampRequest | None
) -> datetime:
    try:
        response: TimeStampResponse = decode_timestamp_response(answer)
        certificates = x509.load_pem_x509_certificates(roots)
    except ValueError:
        raise UnavailableError("time-stamp: expected a stamp, found something else") from None
    builder = VerifierBuilder() if request is None else VerifierBuilder.from_request(request)
    for each in certificates:
        builder = builder.add_root_certificate(each)
    try:
        builder.build().verify_message(response, content)
    except (VerificationError, ValueError) as error:
        raise _refused(str(error)) from None
    return response.tst_info.gen_time.astimezone(UTC)


def _verified_by_openssl(answer: bytes, content: bytes, roots: bytes, at: datetime) -> bool:
    """Whether openssl accepts it; False also where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return False
    with tempfile.TemporaryDirectory(prefix="evidence-stamp-") as folder:
        names = {"content": content, "answer": answer, "roots": roots}
        for name, value in names.items():
            (Path(folder) / name).write_bytes(value)
        ran = subprocess.run(  # noqa: S603 - a fixed command on files of our own
            [
                openssl, "ts", "-verify", "-data", "content", "-in", "answer", "-CAfile", "roots",
                "-attime", str(int(at.timestamp())),
            ],
            cwd=folder,
            capture_output=True,
            timeout=OPENSSL_SECONDS,
            check=False,
        )  # fmt: skip
    return ran.returncode == 0


def _refused(why: str) -> FixityError:
    return FixityError(what="time-stamp", expected="one of this content by these roots", found=why)
