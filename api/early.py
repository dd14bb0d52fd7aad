"""Which uploads are taken in while they arrive, and whether what they were fed is what counts.

Nothing rests on it: what is dropped here is taken in from its durable segments.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from evidence_store.doors import Upload
from ingest.arriving import Early, Taken

EARLY_MAX = 2  # each shows up to 64 MiB in memory
EARLY_IDLE_SECONDS = 120.0
Parts = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _One:
    """An upload that is taken in while it arrives, and the parts that it was fed."""

    early: Early
    fed: Parts = ()
    feeding: threading.Lock = field(default_factory=threading.Lock)


class EarlyOnes:
    """The uploads that are taken in while they arrive: those that this process gets whole, in order.

    What one was fed is known by the parts that the record will have once they are acknowledged.
    If the record has others (another process wrote, a body was taken back), it is dropped.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ones: dict[str, _One] = {}

    def feed(
        self,
        before: Upload,
        after: Upload,
        content: bytes | bytearray,
        begin: Callable[[Upload], Early | None],
    ) -> None:
        """Feed it what is durable now; begins one with the first bytes of an upload."""
        with self._lock:
            one = self._ones.get(before.id)
            if one is None and not before.parts and self._has_room():
                early = begin(before)
                if early is not None:
                    one = self._ones[before.id] = _One(early)
        if one is None:
            return
        with one.feeding:
            if one.fed == before.parts and one.early.feed(content):
                one.fed = after.parts
                return
        self.drop(before.id)

    def taken(self, upload: Upload) -> Taken | None:
        """What an upload that is whole holds, if it was taken in early; else None."""
        with self._lock:
            one = self._ones.get(upload.id)
        if one is None:
            return None
        with one.feeding:
            found = one.early.taken() if one.fed == upload.parts else None
        if found is None:
            self.drop(upload.id)
        with self._lock:
            self._ones.pop(upload.id, None)
        return found

    def drop(self, upload_id: str) -> None:
        """Let go of one, if there is one."""
        with self._lock:
            one = self._ones.pop(upload_id, None)
        if one is not None:
            one.early.drop()

    def close(self) -> None:
        """Let go of all."""
        for each in list(self._ones):
            self.drop(each)

    def _has_room(self) -> bool:
        long_ago = time.monotonic() - EARLY_IDLE_SECONDS
        for upload_id, one in list(self._ones.items()):
            if len(self._ones) >= EARLY_MAX and one.early.fed_at < long_ago:
                del self._ones[upload_id]
                one.early.drop()
        return len(self._ones) < EARLY_MAX
