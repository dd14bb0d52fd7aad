"""What a package is made of, as its export signed it: `data/package.json`, `docs/format.md`, 14.

A value and its one spelling; whether the files are there is for whoever reads the bag. The event
of the export holds the digest of these bytes and not the bytes, so that an item's chain, shown to
one court, does not say which other items went to another.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from evidence_store.canonical import Json, canonical, parse_canonical
from evidence_store.digest import Digest
from evidence_store.errors import MalformedError
from evidence_store.identifiers import Ern
from evidence_store.package import layout

PACKAGE_ID_BYTES = 16
_PACKAGE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_KIND = re.compile(r"[a-z][a-z_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class EnclosedVersion:
    """A version whose bytes are in the package, as the event that brought it measured it."""

    number: int
    kind: str
    sha256: Digest

    def __post_init__(self) -> None:
        if self.number < 1 or not _KIND.fullmatch(self.kind):
            raise MalformedError(f"composition: no version: {self.number}, {self.kind[:40]!r}")


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An item: how many events it has, that of the export included, and the versions enclosed."""

    ern: Ern
    events: int
    versions: tuple[EnclosedVersion, ...] = ()

    def __post_init__(self) -> None:
        numbers = [each.number for each in self.versions]
        if self.events < 1 or numbers != sorted(set(numbers)):
            raise MalformedError(f"composition: {self.ern}: events or versions that cannot be")


@dataclass(frozen=True, slots=True)
class Composition:
    """A package: its identity, its items, and the places of the control entries, each in order."""

    package: str
    items: tuple[ShownItem, ...]
    control: tuple[int, ...]

    def __post_init__(self) -> None:
        erns = [str(each.ern) for each in self.items]
        if not _PACKAGE.fullmatch(self.package) or not erns or erns != sorted(set(erns)):
            raise MalformedError("composition: expected an identity, and items once and in order")
        if list(self.control) != sorted(set(self.control)) or min(self.control, default=0) < 0:
            raise MalformedError("composition: expected control entries once and in order")

    @property
    def statement(self) -> dict[str, Json]:
        """What the event of the export says openly, and all that it says."""
        return {"composition": sha256(self.encode()).hexdigest(), "package": self.package}

    def encode(self) -> bytes:
        """The exact bytes that are signed for."""
        return canonical(
            {
                "control": list(self.control),
                "format": layout.FORMAT,
                "items": [_item(each) for each in self.items],
                "package": self.package,
                "v": 1,
            }
        )

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read the composition.

        Raises:
            MalformedError: if it is none, of another format, or not in its one spelling.
        """
        value = parse_canonical(content, layout.ABOUT)
        if value.get("format") != layout.FORMAT:
            raise MalformedError(
                f"package: expected the format {layout.FORMAT}, found "
                f"{str(value.get('format'))[:40]!r}: of a package of another format nothing is "
                "shown to be whole"
            )
        try:
            match value:
                case {"control": list(control), "items": list(items), "package": str(package)}:
                    found = cls(package, tuple(map(_parsed, items)), tuple(map(_number, control)))
                case _:
                    raise MalformedError("composition: expected control, items and package")
        except RecursionError:
            raise MalformedError("composition: nested too deep") from None
        if found.encode() != content:
            raise MalformedError("composition: expected these members and no others")
        return found

    def files(self) -> set[str]:
        """The files under `data/` without which the package is not whole."""
        named = {layout.ABOUT, layout.POLICY}
        for index in self.control:
            named |= {layout.control_path(index, each) for each in ("json", "tlog-proof")}
        for item in self.items:
            named.add(layout.key_path(item.ern))
            for seq in range(1, item.events + 1):
                named |= {layout.event_path(item.ern, seq, each) for each in layout.EVENT_FILES}
            for version in item.versions:
                named.add(layout.version_path(item.ern, version.number, version.kind))
        return named


def _item(item: ShownItem) -> dict[str, Json]:
    versions: list[Json] = [
        {"sha256": each.sha256.hex, "type": each.kind, "version": each.number}
        for each in item.versions
    ]
    return {"events": item.events, "item": str(item.ern), "versions": versions}


def _parsed(value: Json) -> ShownItem:
    match value:
        case {"events": int(events), "item": str(ern), "versions": list(versions)}:
            return ShownItem(Ern.parse(ern), events, tuple(map(_version, versions)))
        case _:
            raise MalformedError("composition: expected events, item and versions")


def _version(value: Json) -> EnclosedVersion:
    match value:
        case {"sha256": str(sha256_hex), "type": str(kind), "version": int(number)}:
            return EnclosedVersion(number, kind, Digest.sha256_hex(sha256_hex))
        case _:
            raise MalformedError("composition: expected sha256, type and version")


def _number(value: Json) -> int:
    match value:
        case int(number):
            return number
        case _:
            raise MalformedError("composition: expected the places of control entries")


def states(data: Mapping[str, Json], composition: Composition) -> bool:
    """Whether the open part of an event is that of the export of this very package."""
    return dict(data) == composition.statement


def identity_of(data: Mapping[str, Json]) -> str | None:
    """The package that the event of an export names; None if it names none."""
    match data:
        case {"package": str(package)} if _PACKAGE.fullmatch(package):
            return package
        case _:
            return None
