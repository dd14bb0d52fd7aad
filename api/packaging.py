"""Packages for a court, made while they are sent: nothing of them lies on a disk of the server.

Every version that goes in is asked for, decided and recorded first; if one is refused nothing leaves. While
bytes leave, whatever ends a permission ends the package; each access says how many of them left.
"""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from typing import IO, cast

from api import cooperation, ledger
from api.stamping import authorities
from api.wiring import Instance, found_log
from evidence_store.accessing import Opening, Question, Watch, ask, end
from evidence_store.desk import Desk
from evidence_store.errors import DeniedError, EvidenceError, UnavailableError
from evidence_store.exporting import Choice, Exporter
from evidence_store.identifiers import DossierId
from evidence_store.ledger.signing import Signer
from evidence_store.package.composition import PACKAGE_ID_BYTES, Composition
from evidence_store.sharing.terms import Action

VERIFIERS = ("verify.py", "verify.sh")
PIECE_BYTES = 1024 * 1024
PIECES_WAITING = 4
STALLED_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to go into a package, why, and on what authority."""

    choice: Choice
    purpose: str
    grant: DossierId | None
    reference: str


@dataclass(frozen=True, slots=True)
class Making:
    """A package whose export is recorded: who makes it, what is chosen, and what it is made of."""

    exporter: Exporter
    choice: Choice
    composition: Composition


def exporter(instance: Instance, cose: Signer | None = None) -> Exporter:
    """What makes packages of an instance's items.

    Raises:
        SettingsError, KeyUnavailableError: if the log's policy or keys cannot be read.
    """
    log = found_log(instance.catalog, instance.signing)
    folder = resources.files("evidence_store.package") / "verifiers"
    return Exporter(
        catalog=instance.catalog,
        vault=instance.vault,
        tiles=instance.tiles,
        policy=ledger.policy(instance.home, log),
        verifiers={name: (folder / name).read_bytes() for name in VERIFIERS},
        cose=cose,
        stampers={each.name: each.roots for each in authorities(instance)},
    )


def opened(
    instance: Instance, desk: Desk, choice: Choice, purpose: str, dossier: DossierId | None
) -> list[Opening]:
    """Ask for every version that goes in; nothing goes in if one is refused.

    Raises:
        NotFoundError, DeniedError: as `ask`.
    """
    openings: list[Opening] = []
    try:
        for ern in choice.erns:
            with instance.catalog.read() as reader:
                numbers = [each.number for each in reader.versions(ern)]
            chosen = [
                each for each in numbers if choice.versions is None or each in choice.versions
            ]
            for number in (*chosen,) if chosen else (None,):
                action = Action.CERTIFIED_COPY if chosen else Action.SEE_METADATA
                question = Question(ern, number, action, purpose, dossier)
                openings.append(ask(desk, cooperation.policy(), question))
    except EvidenceError:
        for each in openings:
            end(desk, each, "nothing served", 0, None)
        raise
    return openings


def package(
    instance: Instance, desk: Desk, asked: Asked
) -> tuple[Sequence[Opening], Iterator[bytes]]:
    """Decide and record; then the package, piece by piece.

    Raises:
        NotFoundError, DeniedError: if a version is not to be had; nothing is made.
        CustodyError: if an item's history does not allow it.
        MalformedError: if no event has a field that is to be disclosed.
        UnavailableError: if the log has not sealed it yet: try again.
    """
    openings = opened(instance, desk, asked.choice, asked.purpose, asked.grant)
    try:
        making = exporter(instance)
        composition = making.record(
            desk.recorder,
            asked.choice,
            asked.reference,
            str(desk.officer),
            desk.recorder.random(PACKAGE_ID_BYTES).hex(),
        )
        problem = ledger.settle(instance)
        if problem is not None:
            raise UnavailableError(f"package: the log has not sealed it yet: {problem}; try again")
    except EvidenceError as error:
        for each in openings:
            end(desk, each, error.code, 0, None)
        raise
    making_it = Making(making, asked.choice, composition)
    return openings, _served(instance, desk, making_it, openings)


def _served(
    instance: Instance, desk: Desk, making: Making, openings: Sequence[Opening]
) -> Iterator[bytes]:
    """The package's bytes, each piece only while everything in it may still be had."""
    watches = [Watch(desk, cooperation.policy(), each) for each in openings]
    sent, ended = 0, "interrupted"
    pieces = _made(instance, making, [each.copy_id for each in openings])
    try:
        for piece in pieces:
            for watch in watches:
                watch.insist_open()
            sent += len(piece)  # counted before it leaves: never fewer than left
            yield piece
        ended = "packaged"
    except DeniedError as error:
        ended = error.rule
        raise
    except EvidenceError as error:
        ended = error.code
        raise
    finally:
        pieces.close()
        for each in openings:
            end(desk, each, ended, sent, None)


def _made(
    instance: Instance, making: Making, copies: Sequence[str]
) -> Generator[bytes, None, None]:
    """What the exporter writes, as it writes it, in bounded memory.

    The writer waits for the reader; it ends when the reader has gone, or does not come for long.
    """
    pipe = _Pipe()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            file = cast("IO[bytes]", pipe)
            now = instance.clock.now()
            making.exporter.write(making.choice, making.composition, file, now, copies)
            pipe.done()
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is read
            failed.append(error)
            with suppress(_Gone):
                pipe.abandon()

    thread = threading.Thread(target=write, name="package", daemon=True)
    thread.start()
    try:
        yield from pipe.pieces()
        if failed:
            raise failed[0]
    finally:
        pipe.close_reader()
        thread.join()


class _Gone(Exception):  # noqa: N818 - no error: the reader has what it wanted
    """Nobody reads any more."""


class _Pipe:
    """A file that is written here and read there, and cannot be sought in."""

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue(PIECES_WAITING)
        self._waiting = bytearray()
        self._gone = threading.Event()
        self._is_over = False

    def flush(self) -> None:
        """Nothing waits for it: whole pieces are passed on as they come."""

    def write(self, content: bytes) -> int:
        """Pass bytes on. Once it is over, what a zip still writes when it is let go is dropped."""
        if self._is_over:
            return len(content)
        self._waiting += content
        if len(self._waiting) >= PIECE_BYTES:
            self._put(bytes(self._waiting))
            self._waiting = bytearray()
        return len(content)

    def done(self) -> None:
        """Everything is written."""
        self._put(bytes(self._waiting))
        self._put(None)

    def abandon(self) -> None:
        """It failed: the reader gets what was passed on, and learns why."""
        self._is_over = True
        if not self._gone.is_set():
            self._put(None)

    def pieces(self) -> Iterator[bytes]:
        """What is written."""
        while (piece := self._queue.get()) is not None:
            if piece:
                yield piece

    def close_reader(self) -> None:
        """Nobody reads any more."""
        self._gone.set()

    def _put(self, piece: bytes | None) -> None:
        waited = 0.0
        while not self._gone.is_set() and waited < STALLED_SECONDS:
            try:
                self._queue.put(piece, timeout=0.5)
            except queue.Full:
                waited += 0.5
            else:
                return
        raise _Gone
