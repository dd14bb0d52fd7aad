"""The next pieces of a stream, made by a thread of its own while earlier ones are dealt with.

It keeps order, errors and how much waits; it knows nothing of what the pieces are.
"""

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from queue import Empty, Queue
from typing import TypeVar

T = TypeVar("T")


class _End:
    """No piece follows; if it has an error, that is why."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(pieces: Iterator[T], *, waiting: int) -> Generator[T, None, None]:
    """Yield the pieces in order; at most `waiting` of them are ready and not yet asked for.

    What the pieces raise is raised where the piece would have come. Whoever stops early closes
    the source, too, and no thread is left behind.
    """
    ready: Queue[T | _End] = Queue(waiting)
    gone = threading.Event()
    thread = threading.Thread(target=_fill, args=(pieces, ready, gone), name="ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(each := ready.get(), _End):
            yield each
        if each.error is not None:
            raise each.error
    finally:
        gone.set()
        while thread.is_alive():
            with suppress(Empty):
                ready.get(timeout=0.02)
        thread.join()


def _fill(pieces: Iterator[T], ready: "Queue[T | _End]", gone: threading.Event) -> None:
    end = _End()
    try:
        for each in pieces:
            ready.put(each)
            if gone.is_set():
                break
        if isinstance(pieces, Generator):
            pieces.close()
    except BaseException as error:  # noqa: BLE001 - raised again where pieces are taken
        end = _End(error)
    ready.put(end)
