"""The way from the log to its witnesses, over HTTP: all at once, bounded in time and in bytes.

Only the addresses of the policy are asked, http or https, and no redirect is followed. What a
witness answers is judged in `evidence_store.ledger.cosigning`; here it is only carried.
"""

import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from evidence_store.errors import MalformedError, ProofError, UnavailableError
from evidence_store.ledger.add_checkpoint import AddCheckpoint, Answer, Cosigned, Refusal, Refused
from evidence_store.ledger.cosigning import (
    Collected,
    Consistency,
    Known,
    ask,
    shown,
)
from evidence_store.ledger.note import Note, Signature
from evidence_store.ledger.policy import Policy, Witness

T = TypeVar("T")
TIMEOUT_SECONDS = 5.0  # of each request
BUDGET_SECONDS = 15.0  # of all that one witness is asked, however slowly its bytes come
ANSWER_BYTES_MAX = 256 * 1024
_CHUNK_BYTES = 16 * 1024
_STILL_SILENT = "it gave no answer in time"
_REFUSALS: dict[int, Refusal] = {
    HTTPStatus.BAD_REQUEST: Refusal.MALFORMED,
    HTTPStatus.FORBIDDEN: Refusal.UNTRUSTED,
    HTTPStatus.NOT_FOUND: Refusal.UNKNOWN_LOG,
    HTTPStatus.UNPROCESSABLE_ENTITY: Refusal.INCONSISTENT,
}


def collect(policy: Policy, note: Note, consistency: Consistency, *, likely: int = 0) -> Collected:
    """Ask every witness of the policy that has an address to cosign the note.

    `consistency` is asked by one thread at a time. `likely` is what the witnesses probably saw
    last, such as the last sealed size: it saves a round trip.

    Raises:
        LedgerAlteredError: if `consistency` does.
    """
    lock = threading.Lock()

    def one_at_a_time(size: int) -> Sequence[bytes]:
        with lock:
            return consistency(size)

    asked = _addresses(policy)
    replies, unreachable = _all_at_once(
        {
            url: partial(ask, HttpWitness(url), members, policy, note, one_at_a_time, likely=likely)
            for url, members in asked.items()
        }
    )
    signatures: list[Signature] = []
    for reply in replies.values():
        signatures += reply.signatures
    return Collected(
        note=note.with_signatures(signatures),
        alarms=[each.alarm for each in replies.values() if each.alarm is not None],
        unreachable=_by_name(asked, unreachable),
    )


def largest_known(policy: Policy, origin: str) -> Known:
    """Ask every witness of the policy that has an address what it saw last of this log."""
    asked = _addresses(policy)
    notes, unreachable = _all_at_once(
        {url: partial(shown, HttpWitness(url), policy, origin) for url in asked}
    )
    return Known(_by_name(asked, notes), _by_name(asked, unreachable))


@dataclass(frozen=True, slots=True)
class HttpWitness:
    """Implements `evidence_store.ledger.cosigning.WitnessLink`."""

    url: str

    def add_checkpoint(self, request: AddCheckpoint) -> Answer:
        """See `WitnessLink.add_checkpoint`."""
        status, body = self._exchange("add-checkpoint", request.encode())
        if status == HTTPStatus.OK:
            return Cosigned.parse(body)
        if status == HTTPStatus.CONFLICT:
            return Refused(Refusal.STALE, "another size", _size(body))
        reason = _REFUSALS.get(status)
        if reason is None:
            raise UnavailableError(f"it answered with status {status}")
        return Refused(reason, f"status {status}")

    def latest(self, origin: str) -> Note | None:
        """See `WitnessLink.latest`."""
        name = hashlib.sha256(origin.encode()).hexdigest()
        status, body = self._exchange(f"{name}/checkpoint", None)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise UnavailableError(f"it answered with status {status}")
        return Note.parse(body)

    def _exchange(self, path: str, body: bytes | None) -> tuple[int, bytes]:
        """The status and the body of one answer."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        try:
            if urlsplit(self.url).scheme not in {"http", "https"}:
                raise MalformedError("its address: expected http or https")
            request = Request(  # noqa: S310 - the scheme was checked
                f"{self.url.rstrip('/')}/{path}", body, {"Content-Type": "text/plain"}
            )
            with _opener().open(request, timeout=TIMEOUT_SECONDS) as response:
                content = b""
                while chunk := response.read1(_CHUNK_BYTES):
                    content += chunk
                    if len(content) > ANSWER_BYTES_MAX:
                        raise MalformedError(f"expected at most {ANSWER_BYTES_MAX} bytes")
                    if time.monotonic() > deadline:
                        raise UnavailableError(_STILL_SILENT)
                return response.status, content
        except (OSError, HTTPException, ValueError) as error:
            raise UnavailableError(f"it cannot be reached: {error}") from error


def _opener() -> OpenerDirector:
    """Requests without redirects, cookies, or an error for a status; each is looked at here."""
    opener = OpenerDirector()
    for each in (ProxyHandler({}), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(each)
    return opener


def _size(body: bytes) -> int:
    text = body.decode("ascii", "replace").removesuffix("\n")
    if not text.isdecimal() or len(text) > 19 or text != str(int(text)):  # noqa: PLR2004 - of 2**63
        raise MalformedError("expected the size that it saw")
    return int(text)


def _addresses(policy: Policy) -> Mapping[str, Sequence[Witness]]:
    """The policy's witnesses by address: one that cosigns by two keys is asked once."""
    found: defaultdict[str, list[Witness]] = defaultdict(list)
    for each in policy.witnesses.values():
        if each.url is not None:
            found[each.url].append(each)
    return found


def _by_name(asked: Mapping[str, Sequence[Witness]], found: Mapping[str, T]) -> Mapping[str, T]:
    return {each.name: found[url] for url in asked if url in found for each in asked[url]}


def _all_at_once(calls: Mapping[str, Callable[[], T]]) -> tuple[dict[str, T], dict[str, str]]:
    """What each call returns, and why others did not; whoever is not ready in time is left behind.

    The threads are daemons: a witness that sends a byte a second holds up neither the log nor
    the end of the process.
    """
    done: dict[str, T] = {}
    failed: dict[str, str] = {}
    broken: list[Exception] = []

    def run(url: str) -> None:
        try:
            done[url] = calls[url]()
        except (MalformedError, ProofError, UnavailableError) as error:
            failed[url] = str(error)
        except Exception as error:  # noqa: BLE001 - ours, not the witness's: raised again below
            broken.append(error)

    threads = [threading.Thread(target=run, args=(url,), daemon=True) for url in calls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + BUDGET_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if broken:
        raise broken[0]
    # Copies: a thread that was left behind may still write.
    found, why = dict(done), dict(failed)
    silent = {url: _STILL_SILENT for url in calls if url not in found and url not in why}
    return found, why | silent
