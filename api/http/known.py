"""Which tokens and sessions were let in lately, and whose they are: to count requests by officer.

It lets nobody in: who calls is looked up at every request, whatever stands here.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping

from evidence_store.identifiers import PersonCode

KNOWN_MAX = 10_000  # whoever falls out is counted by address until the next answer


class Known:
    """The officers of what was shown lately, by its digest."""

    def __init__(self) -> None:
        self._officers: OrderedDict[bytes, PersonCode] = OrderedDict()
        self._lock = threading.Lock()

    def let_in(self, headers: Mapping[str, str], officer: PersonCode) -> None:
        """Remember whom what was shown let in."""
        shown = _shown(headers)
        if shown is None:
            return
        with self._lock:
            self._officers[shown] = officer
            self._officers.move_to_end(shown)
            if len(self._officers) > KNOWN_MAX:
                self._officers.popitem(last=False)

    def officer(self, headers: Mapping[str, str]) -> PersonCode | None:
        """Whose it is, if it let somebody in lately."""
        shown = _shown(headers)
        if shown is None:
            return None
        with self._lock:
            return self._officers.get(shown)


def _shown(headers: Mapping[str, str]) -> bytes | None:
    shown = headers.get("authorization") or headers.get("cookie")
    return None if shown is None else hashlib.sha256(shown.encode()).digest()
