"""RFC 3161 time-stamps over checkpoints: asked for over HTTP, verified by two tools when they come.

A stamp says that its content existed at a time, on the word of an authority that is neither the
log nor a State. It is kept as it came, and good only under roots that the reader trusts; whether
a certificate was revoked is not looked at. Years later it is verified as of its own time, because
the authority's certificate has ended by then.
"""

import queue
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, Request

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimeStampRequest,
    TimestampRequestBuilder,
    VerifierBuilder,
    decode_timestamp_response,
)

from evidence_store.errors import FixityError, MalformedError, UnavailableError

TIMEOUT_SECONDS = 10.0  # of the whole exchange, however slowly the bytes come
ANSWER_BYTES_MAX = 64 * 1024
OPENSSL_SECONDS = 30
_CHUNK_BYTES = 16 * 1024
# As openssl prints a GeneralizedTime; the fraction is dropped, as rfc3161-client does.
_PRINTED_TIME = re.compile(
    r"^Time stamp: (\w{3} [ \d]\d \d\d:\d\d:\d\d)(?:\.\d+)? (\d{4}) GMT$", re.ASCII | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class StampAuthority:
    """A time-stamp authority: what it is called here, where it is, and its roots in PEM."""

    name: str
    url: str
    roots: bytes

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", self.name, re.ASCII):
            raise MalformedError(f"time-stamp authority: a name such as tsa-1, not {self.name!r}")
        try:
            address = urlsplit(self.url)
            if address.scheme not in {"http", "https"} or not address.hostname:
                raise MalformedError(f"time-stamp authority {self.name}: expected http or https")
            x509.load_pem_x509_certificates(self.roots)
        except ValueError as error:
            raise MalformedError(
                f"time-stamp authority {self.name}: expected an address, and roots in PEM: {error}"
            ) from error


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """An answer as it came (DER), its time in whole seconds, and which tools accepted it."""

    answer: bytes
    at: datetime
    verified_by: tuple[str, ...]

    @property
    def confirmed(self) -> bool:
        """Whether every tool accepted it. One that is not is kept, and not relied on."""
        return set(self.verified_by) == set(_TOOLS)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What there is to verify: that the answer stamps the content, by these roots, at that time."""

    answer: bytes
    content: bytes
    roots: bytes
    at: datetime
    request: TimeStampRequest | None = None  # while it is known, the nonce must be the request's


def request_stamp(
    authority: StampAuthority, content: bytes, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> TimeStamp:
    """Have the content stamped now: a SHA-512 imprint of it is sent, never the content.

    The stamp was accepted by at least one tool, see `TimeStamp.confirmed`. May be called again.

    Raises:
        UnavailableError: if the authority does not answer in time, or not with a stamp.
        FixityError: if the stamp is not of this content and this question, under its roots.
        MalformedError: if the content is empty.
    """
    if not content:
        raise MalformedError("time-stamp: expected content to stamp, found none")
    request = (
        TimestampRequestBuilder()
        .data(content)
        .hash_algorithm(HashAlgorithm.SHA512)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    answer = _asked(authority, request.as_bytes(), timeout_seconds)
    at = _time_stated(answer)
    if at is None:
        raise _unavailable(authority, "it answered, but with a refusal or with what is no stamp")
    claim = _Claim(answer, content, authority.roots, at, request)
    accepted: list[str] = []
    refusals: list[FixityError] = []
    for tool, verify in _TOOLS.items():
        try:
            verify(claim)
        except FixityError as error:
            refusals.append(error)
        except UnavailableError:
            continue  # it said neither yes nor no, so it is not counted
        else:
            accepted.append(tool)
    if not accepted:
        raise refusals[0]
    return TimeStamp(answer, at, tuple(accepted))


def verify_stamp(answer: bytes, content: bytes, roots: bytes) -> datetime:
    """When the stamp says that the content was there, verified as of that time.

    Nothing given is trusted but the roots. Every tool on this machine must accept it; where there
    is no openssl, that is rfc3161-client alone.

    Raises:
        FixityError: if it is no stamp, of other content, changed, or by none of these roots.
        UnavailableError: if openssl is there and could not be run, which says nothing of the stamp.
    """
    if len(answer) > ANSWER_BYTES_MAX:
        raise _refused(f"{len(answer)} bytes")
    at = _time_stated(answer)
    if at is None:
        raise _refused("something that is no stamp")
    claim = _Claim(answer, content, roots, at)
    _verify_by_client(claim)
    if shutil.which("openssl") is not None:
        _verify_by_openssl(claim)
    return at


# ----------------------------------------------------------------------- asking


def _asked(authority: StampAuthority, query: bytes, timeout_seconds: float) -> bytes:
    """The answer to a query.

    A thread asks, and is left behind when time is up: otherwise an authority that sends a byte
    now and then would hold us for as long as it likes, since a socket's timeout is for each read.

    Raises:
        UnavailableError: if there is none in time, or it is not one to look at.
    """
    answers: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_exchanged(authority.url, query, timeout_seconds))
        except (OSError, HTTPException, ValueError) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answers.get(timeout=timeout_seconds)
    except queue.Empty:
        raise _unavailable(authority, f"no answer within {timeout_seconds:g} seconds") from None
    if isinstance(found, Exception):
        raise _unavailable(authority, str(found)) from found
    return found


def _exchanged(url: str, query: bytes, timeout_seconds: float) -> bytes:
    deadline = time.monotonic() + timeout_seconds
    request = Request(  # noqa: S310 - the scheme was checked
        url, query, {"Content-Type": "application/timestamp-query"}
    )
    opener = OpenerDirector()  # no redirects, no cookies, no proxy that the environment names
    for each in (HTTPHandler(), HTTPSHandler()):
        opener.add_handler(each)
    with opener.open(request, timeout=timeout_seconds) as response:
        if response.status != HTTPStatus.OK:
            raise ValueError(f"it answered with status {response.status}")
        answer = b""
        while chunk := response.read1(_CHUNK_BYTES):
            answer += chunk
            if len(answer) > ANSWER_BYTES_MAX:
                raise ValueError(f"expected at most {ANSWER_BYTES_MAX} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError  # nobody waits any more
    return answer


def _unavailable(authority: StampAuthority, why: str) -> UnavailableError:
    return UnavailableError(f"time-stamp authority {authority.name}: {why}; ask again later")


# -------------------------------------------------------------------- verifying


def _time_stated(answer: bytes) -> datetime | None:
    """When the answer says that it was made, unverified; None if it holds no stamp.

    openssl reads what rfc3161-client does not: a set of certificates out of DER's order, as
    `openssl ts -reply -chain` and real authorities send it.
    """
    try:
        with _parsing_by_client():
            return decode_timestamp_response(answer).tst_info.gen_time.astimezone(UTC)
    except FixityError:
        pass
    try:
        return _time_by_openssl(answer)
    except UnavailableError:
        return None


def _verify_by_client(claim: _Claim) -> None:
    with _parsing_by_client():
        roots = x509.load_pem_x509_certificates(claim.roots)
        response = decode_timestamp_response(claim.answer)
        nonce = None if claim.request is None else claim.request.nonce
        VerifierBuilder(roots=roots, nonce=nonce).build().verify_message(response, claim.content)


@contextmanager
def _parsing_by_client() -> Iterator[None]:
    """Make a refusal of whatever is raised over hostile bytes.

    That may be any class, and no `Exception` at all: some certificates, as a sender may put into a
    package, make rfc3161-client panic, which would otherwise end the program before its findings.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        why, _, _ = str(error).partition(": ErrorStack")  # what follows is for its developers
        raise _refused(f"rfc3161-client: {why}") from error


def _verify_by_openssl(claim: _Claim) -> None:
    """Have openssl verify the claim as of its time, and read that time for itself."""
    if _time_by_openssl(claim.answer) != claim.at:
        raise _refused("openssl: another time in it")
    files = {"content": claim.content, "answer": claim.answer, "roots": claim.roots}
    questions = [("-data", "content")]
    if claim.request is not None:
        files["query"] = claim.request.as_bytes()
        questions.append(("-queryfile", "query"))  # the nonce; openssl takes one of the two at once
    for question in questions:
        ran = _openssl(
            files, "-verify", *question, "-in", "answer", "-CAfile", "roots",
            "-attime", str(int(claim.at.timestamp())),
        )  # fmt: skip
        if ran.returncode != 0:
            raise _refused(f"openssl: does not accept it ({question[0]})")


def _time_by_openssl(answer: bytes) -> datetime | None:
    # Of the token alone: the status around it is not signed, and its text could forge such a line.
    ran = _openssl({"answer": answer}, "-reply", "-in", "answer", "-token_out", "-text")
    found = _PRINTED_TIME.search(ran.stdout.decode("ascii", "replace"))
    if ran.returncode != 0 or found is None:
        return None
    try:
        return datetime.strptime(f"{found[1]} {found[2]} +0000", "%b %d %H:%M:%S %Y %z")
    except ValueError:  # a leap second
        return None


def _openssl(files: Mapping[str, bytes], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run `openssl ts` in a folder of its own that holds the files.

    Raises:
        UnavailableError: if it is not on this machine, or did not run to its end.
    """
    program = shutil.which("openssl")
    if program is None:
        raise UnavailableError("openssl: expected it on this machine, found none; install it")
    try:
        with tempfile.TemporaryDirectory(prefix="evidence-stamp-") as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            return subprocess.run(  # noqa: S603 - a fixed command on files of our own
                [program, "ts", *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=OPENSSL_SECONDS,
                check=False,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"openssl: expected it to run to its end, found {error}") from error


def _refused(why: str) -> FixityError:
    return FixityError(what="time-stamp", expected="one of this content by these roots", found=why)


_TOOLS: Mapping[str, Callable[[_Claim], None]] = {
    "rfc3161-client": _verify_by_client,
    "openssl": _verify_by_openssl,
}
