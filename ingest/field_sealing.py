"""A folder in the field: its files digested for a seal, and compared with one. Writes nothing.

What cannot be sealed (a link, a device, a file that changes meanwhile) is named with its reason.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from evidence_store.digest import Fingerprint
from evidence_store.errors import EvidenceError
from evidence_store.field_seal import FieldSeal, SealedFile, Unsealed
from ingest.onepass import FingerprintPass
from ingest.reading import OpenSource
from ingest.sources import Refused, Source, absolute, walk

SEAL_NAME = b".evidence-seal.json"
STATE_NAME = b".evidence-push"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A file that was digested whole and at rest."""

    name: bytes
    file: SealedFile


@dataclass(slots=True)
class FieldFolder:
    """A folder, or a single file, and what in it is ours: `own` are paths that are no evidence."""

    root: bytes
    own: frozenset[bytes] = frozenset()
    _pass: FingerprintPass = field(default_factory=FingerprintPass)

    @classmethod
    def of(cls, path: bytes, *own: bytes) -> "FieldFolder":
        """The folder; besides the two dot-files at its top, `own` are left out."""
        root = absolute(path)
        dots = (os.path.join(root, SEAL_NAME), os.path.join(root, STATE_NAME))
        return cls(root, frozenset((*dots, *map(absolute, own))))

    def sources(self) -> Iterator[tuple[bytes, Source | Refused]]:
        """What is there, by the name it has in a seal, in the order of names.

        Raises:
            UnsupportedSourceError: if the folder itself is a link or no folder.
        """
        for each in walk([self.root]):
            if each.name in self.own:
                continue
            if isinstance(each, Refused) and each.name == self.root:
                raise each.error
            yield self.name_of(each.name), each

    def name_of(self, path: bytes) -> bytes:
        """The name in a seal of what lies at an absolute path."""
        if path == self.root:
            return os.path.basename(path)
        return path.removeprefix(self.root.rstrip(b"/") + b"/")

    def path_of(self, name: bytes) -> bytes:
        """The inverse of `name_of`."""
        if os.path.isfile(self.root):
            return self.root
        return os.path.join(self.root, name)

    def digested(self) -> Iterator[Sealed | Unsealed]:
        """Every file with its digests, as it is now."""
        for name, source in self.sources():
            if isinstance(source, Refused):
                yield Unsealed(name, source.error.code, str(source.error))
            else:
                yield self.seal(name, source)

    def seal(self, name: bytes, source: Source) -> Sealed | Unsealed:
        """A file with its digests, as it is now."""
        try:
            with OpenSource.open(source) as opened:
                found = self._pass.read(opened)
                return Sealed(name, SealedFile(found, spelt_time(opened.modified_ns)))
        except EvidenceError as error:
            return Unsealed(name, error.code, str(error))


class Difference(StrEnum):
    """How a folder differs from its seal."""

    ADDED = "added"
    CHANGED = "changed"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `expected` is what was sealed, `found` what is there."""

    name: bytes
    difference: Difference
    expected: Fingerprint | None = None
    found: Fingerprint | None = None
    reason: str | None = None


def compare(seal: FieldSeal, folder: FieldFolder) -> Iterator[Finding]:
    """Every difference between a folder and its seal; nothing if it is as it was."""
    refused = {each.name for each in seal.unsealed}
    left = dict(seal.files)
    for each in folder.digested():
        wanted = left.pop(each.name, None)
        expected = None if wanted is None else wanted.fingerprint
        if isinstance(each, Unsealed):
            if wanted is not None:
                yield Finding(each.name, Difference.UNREADABLE, expected, reason=each.reason)
            elif each.name not in refused:
                yield Finding(each.name, Difference.ADDED, reason=each.reason)
        elif expected is None:
            yield Finding(each.name, Difference.ADDED, found=each.file.fingerprint)
        elif expected != each.file.fingerprint:
            yield Finding(each.name, Difference.CHANGED, expected, each.file.fingerprint)
    for name, file in left.items():
        yield Finding(name, Difference.MISSING, file.fingerprint)


def spelt_time(nanoseconds: int) -> str | None:
    """A file's time; None where it lies outside of the years that can be spelled."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return f"{at:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
