"""Many files to a server side by side, bounded; and what a seal says of them. Knows no terminal."""

import base64
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from api.pushing import Outgoing, Pushing
from evidence_store.digest import fingerprint
from evidence_store.errors import DiscrepancyError, EvidenceError, UnavailableError
from evidence_store.field_seal import FieldSeal
from ingest.field_sealing import SEAL_NAME, FieldFolder
from ingest.sources import Refused

UNSTATED = "unknown"


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a file: the server's outcome, or why there is none."""

    name: bytes
    outcome: Mapping[str, Any] | None = None
    error: EvidenceError | None = None

    @property
    def is_quarantined(self) -> bool:
        """Whether the server has other bytes than were sealed or stated."""
        found = self.outcome or {}
        return "quarantined" in {found.get("status"), found.get("item_status")}


@dataclass(frozen=True, slots=True)
class SealToSend:
    """A seal, and its bytes as they were signed."""

    seal: FieldSeal
    content: bytes

    @property
    def sha256(self) -> str:
        """By which its files name it."""
        return fingerprint([self.content]).sha256.hex


@dataclass(frozen=True, slots=True)
class Parcel:
    """A folder that is to be sent: what is said of its files, and the seal over them, if any."""

    folder: FieldFolder
    said: Mapping[str, str]
    sealed: SealToSend | None = None

    def seal(self) -> Outgoing | None:
        """The seal itself, which goes first."""
        if self.sealed is None:
            return None
        said = {**self._said(), "seal": "manifest"}
        name = self._path(SEAL_NAME)
        return Outgoing(b"", name, said, self.sealed.sha256, self.sealed.content)

    def files(self) -> Iterator[Outgoing | Sent]:
        """Every file that is there, and what cannot be sent; then what was sealed and is missing.

        Raises:
            UnsupportedSourceError: if the folder itself is a link or gone.
        """
        left = set() if self.sealed is None else set(self.sealed.seal.files)
        for name, source in self.folder.sources():
            left.discard(name)
            if isinstance(source, Refused):
                yield Sent(self._path(name), error=source.error)
            else:
                yield self.file(name)
        for name in sorted(left):
            error = DiscrepancyError("field seal: expected a file of this name, found none")
            yield Sent(self._path(name), error=error)

    def file(self, name: bytes) -> Outgoing:
        """A file by its name in the seal."""
        said = self._said()
        sha256 = None
        if self.sealed is not None:
            said["sealed_in"] = self.sealed.sha256
            listed = self.sealed.seal.files.get(name)
            sha256 = None if listed is None else listed.fingerprint.sha256.hex
        if self.sealed is not None or not _is_text(name):
            said["name_base64"] = base64.b64encode(name).decode()
        return Outgoing(self.folder.path_of(name), self._path(name), said, sha256)

    def _said(self) -> dict[str, str]:
        """What is said of every file; the seal says what the sender leaves open."""
        said = dict(self.said)
        if self.sealed is not None:
            found = self.sealed.seal.circumstances
            for name, value in (
                ("collected_by", found.who),
                ("method", found.how),
                ("place", found.where),
            ):
                if said.get(name, UNSTATED) == UNSTATED:
                    said[name] = value
        return said

    def _path(self, name: bytes) -> bytes:
        root = self.folder.root
        return name if os.path.isfile(root) else os.path.join(os.path.basename(root), name)


def send_all(pushing: Pushing, files: Iterable[Outgoing | Sent], at_once: int) -> Iterator[Sent]:
    """Send the files, so many at a time; what became of each, in their order.

    Raises:
        UnavailableError: if the line is down: the rest was not sent.
    """
    waiting: deque[Future[Sent] | Sent] = deque()
    with ThreadPoolExecutor(at_once, "sending") as pool:
        try:
            for each in files:
                waiting.append(
                    each if isinstance(each, Sent) else pool.submit(_sent, pushing, each)
                )
                if len(waiting) >= 2 * at_once:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        except BaseException:
            pushing.stopped.set()  # the others end after the piece that they are sending
            for left in waiting:
                if isinstance(left, Future):
                    left.cancel()
            raise


def send_seal(pushing: Pushing, parcel: Parcel) -> Sent | None:
    """Send the parcel's seal, if it has one; before any of its files.

    Raises:
        UnavailableError, MalformedError, FixityError: as `Pushing.push`.
    """
    seal = parcel.seal()
    return None if seal is None else Sent(seal.name, pushing.push(seal))


def _sent(pushing: Pushing, file: Outgoing) -> Sent:
    try:
        return Sent(file.name, pushing.push(file))
    except UnavailableError:
        raise
    except EvidenceError as error:
        return Sent(file.name, error=error)


def _result(each: Future[Sent] | Sent) -> Sent:
    return each if isinstance(each, Sent) else each.result()


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
