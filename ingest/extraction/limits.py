"""What one file may cost the isolated process.

Both sides know the limits: the worker keeps to them by itself where it can and says
what it left out; the supervisor ends a worker that does not.
"""

import json
from dataclasses import asdict, dataclass
from typing import Self

FORENSIC_IMAGES = frozenset({"application/x-ewf"})
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits per file, except `files_per_worker`.

    A forensic image is read whole, because its own digest is recomputed; it gets time in
    proportion to its size, and `image_seconds_max` at most.
    """

    wall_seconds: float = 10
    image_seconds_max: float = 1800
    image_bytes_per_second: int = 20 * MIB
    memory_bytes: int = 1024 * MIB
    files_per_worker: int = 10_000  # so that what a hostile file did to the process is not for ever

    def seconds_for(self, media_type: str, size_bytes: int) -> float:
        """How long a file of this type and size may take, by the clock and in processor time."""
        if media_type not in FORENSIC_IMAGES:
            return self.wall_seconds
        by_size = self.wall_seconds + size_bytes / self.image_bytes_per_second
        return max(self.wall_seconds, min(by_size, self.image_seconds_max))

    def to_json(self) -> str:
        """The limits as JSON, for the worker's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Only the worker does, and it trusts the supervisor."""
        return cls(**json.loads(text))
