"""What the sender stated of the files: digests by path, to be compared and ticked off.

Names in a manifest are looked for where a person would mean them: under each
path given, beside it, and beside the manifest. What is left over at the end was
named and did not arrive.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evidence_store.digest import Digest
from evidence_store.errors import DiscrepancyError
from ingest.sources import absolute


@dataclass(slots=True)
class Stated:
    """Digests by absolute path. `complete` says that files it does not name are a discrepancy."""

    complete: bool = False
    _digests: dict[bytes, Digest] = field(default_factory=dict)
    _names: dict[bytes, bytes] = field(default_factory=dict)
    _itself: bytes | None = None

    @classmethod
    def of_file(cls, path: bytes, digest: Digest) -> "Stated":
        """The digest of a single file."""
        path = absolute(path)
        return cls(_digests={path: digest}, _names={path: path})

    @classmethod
    def of_manifest(
        cls, manifest: Mapping[bytes, Digest], path: bytes, roots: Sequence[bytes]
    ) -> "Stated":
        """What the manifest at `path` says of the files under `roots`."""
        folders = [absolute(root) for root in roots]
        places = [*folders, *map(os.path.dirname, folders), os.path.dirname(absolute(path))]
        stated = cls(complete=True, _itself=absolute(path))
        for name, digest in manifest.items():
            candidates = [os.path.normpath(os.path.join(place, name)) for place in places]
            found = next(filter(os.path.lexists, candidates), candidates[0])
            stated._digests[found] = digest
            stated._names[found] = name
        return stated

    def take(self, path: bytes) -> Digest | None:
        """The digest stated for the file at this absolute path, ticking it off."""
        self._names.pop(path, None)
        return self._digests.get(path)

    def is_unnamed(self, path: bytes) -> bool:
        """Whether the sender's list should have named this file and does not."""
        return self.complete and path not in self._digests and path != self._itself

    def missing(self) -> Iterator[tuple[bytes, DiscrepancyError]]:
        """The names that were stated and never taken, each with the error to show."""
        for name in self._names.values():
            yield (
                name,
                DiscrepancyError(
                    "manifest: expected a file of this name, found none; ask the sender for it"
                ),
            )


def unnamed() -> DiscrepancyError:
    """The error of a file that the sender's list should have named and does not."""
    return DiscrepancyError(
        "manifest: expected every file to be named in it, found no line for this one"
    )
