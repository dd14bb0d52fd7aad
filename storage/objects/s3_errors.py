"""What an S3 server's answers mean, as this system's errors.

Names of objects, codes and statuses may enter a message; credentials, headers and bodies do not.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from time import sleep
from typing import TypeVar
from xml.etree.ElementTree import ParseError

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError

from evidence_store.errors import (
    ConflictError,
    EvidenceError,
    NoSpaceError,
    NotFoundError,
    StoreUnavailableError,
)

T = TypeVar("T")

PAUSES_SECONDS = (0.25, 1.0, 4.0)  # before the second, third and fourth try

_MISSING = frozenset({"NoSuchKey", "NoSuchUpload", "NoSuchVersion"})
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage"})
# Apart from the 5xx: these say that the same request may do better.
_PASSING = frozenset(
    {
        "BadDigest",  # the bytes were damaged on the way
        "ConditionalRequestConflict",
        "IncompleteBody",
        "OperationAborted",
        "RequestTimeout",
        "SlowDown",
        "TooManyRequests",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)
_ADVICE = {
    "AccessDenied": "see that the access key is right and that the bucket's policy allows it",
    "InvalidAccessKeyId": "see that the access key is right",
    "NoSuchBucket": "see that the bucket's name is right, or create it",
    "RequestTimeTooSkewed": "set this machine's clock",
    "SignatureDoesNotMatch": "see that the secret key is right",
}
_OTHER_ADVICE = "look into the server's log"


class UnansweredError(StoreUnavailableError):
    """No answer, or one that settles nothing: what was asked may have been done or not."""


class RefusedError(StoreUnavailableError):
    """The server answered, and did not do it; asking again would be answered the same."""


@contextmanager
def s3_errors(what: str) -> Iterator[None]:
    """Turn the errors of the SDK and of the connection into this system's.

    Raises:
        NotFoundError: if there is no such object, version or upload.
        ConflictError: if the name is taken.
        NoSpaceError: if the server is full.
        UnansweredError: if the same request may do better.
        RefusedError: if it will not.
    """
    try:
        yield
    except S3Error as error:
        raise _of_answer(error, what) from error
    except (
        ServerError,  # a status without a body, as for HEAD
        InvalidResponseError,  # often a proxy's own page
        HTTPError,
        OSError,
        ParseError,
        ValueError,
        MinioException,
    ) as error:
        found = type(getattr(error, "reason", None) or error).__name__
        raise UnansweredError(
            f"object store: expected an answer to {what}, found {found}; see that an S3 server is"
            " up there and its certificate trusted, then try again"
        ) from error


def _of_answer(error: S3Error, what: str) -> EvidenceError:
    code, status = error.code or "no code", error.response.status
    if code in _MISSING:
        if error.response.headers.get("x-amz-delete-marker") == "true":
            return NotFoundError(
                f"object store: {what}: it is hidden by a delete marker that another program"
                " wrote; remove the marker to have it back"
            )
        return NotFoundError(f"object store: {what}: there is none")
    if status == HTTPStatus.PRECONDITION_FAILED:
        return ConflictError(f"object store: {what}: the name is taken")
    found = f"object store: {what}: expected it done, found {code} (HTTP {status})"
    if code in _FULL or status == HTTPStatus.INSUFFICIENT_STORAGE:
        return NoSpaceError(f"{found}; free some space")
    passing = status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED
    if passing or code in _PASSING or status == HTTPStatus.TOO_MANY_REQUESTS:
        return UnansweredError(f"{found}; try again")
    return RefusedError(f"{found}; {_ADVICE.get(code, _OTHER_ADVICE)}")


def asked(what: str, call: Callable[[], T], pauses_seconds: Sequence[float] = ()) -> T:
    """Call, and call again after each pause while there is no answer.

    Only for what may be done twice without harm: a write under a new name is not.

    Raises:
        EvidenceError: as `s3_errors` says.
    """
    for pause in pauses_seconds:
        try:
            with s3_errors(what):
                return call()
        except UnansweredError:
            sleep(pause)
    with s3_errors(what):
        return call()
