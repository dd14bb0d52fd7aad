"""A BagIt bag (RFC 8493) in a zip: written in one pass, read with suspicion. Contents are opaque here.

Nothing is compressed, so that a gigabyte of evidence costs no more than its digest, and a zip
cannot unfold into more than it is.
"""

import hashlib
import re
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from io import SEEK_END
from typing import IO

from evidence_store.errors import MalformedError
from evidence_store.moment import in_utc

BASE = "evidence-package"
MANIFEST = "manifest-sha256.txt"
TAGMANIFEST = "tagmanifest-sha256.txt"
DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
CHUNK_BYTES = 256 * 1024
FILES_MAX = 1_000_000
SMALL_BYTES_MAX = 16 * 1024 * 1024
# RuntimeError: a kind of zip that Python does not know.
_DAMAGED = (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, struct.error)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*", re.ASCII)


@dataclass(slots=True)
class BagWriter:
    """Writes a bag into a file, member by member; `finish` it."""

    file: IO[bytes]
    made_at: datetime
    _payload: dict[str, str] = field(default_factory=dict)
    _tags: dict[str, str] = field(default_factory=dict)
    _payload_bytes: int = 0
    _zip: zipfile.ZipFile = field(init=False)

    def __post_init__(self) -> None:
        self._zip = zipfile.ZipFile(self.file, "w", zipfile.ZIP_STORED, allowZip64=True)

    def add(self, name: str, content: bytes | Iterable[bytes]) -> str:
        """Add a payload file under `data/`, or a tag file; returns its SHA-256.

        Raises:
            MalformedError: if the name is no name, or is there already.
            FixityError, StoreUnavailableError: as the content's iterator has it; the bag is void.
        """
        if not _NAME.fullmatch(name) or name in self._payload or name in self._tags:
            raise MalformedError("bag: expected a new plain name", found=name)
        digest, size = hashlib.sha256(), 0
        with self._zip.open(self._info(name), "w", force_zip64=True) as member:
            for chunk in (content,) if isinstance(content, bytes) else content:
                digest.update(chunk)
                size += len(chunk)
                member.write(chunk)
        if name.startswith("data/"):
            self._payload[name] = digest.hexdigest()
            self._payload_bytes += size
        else:
            self._tags[name] = digest.hexdigest()
        return digest.hexdigest()

    def finish(self, about: Mapping[str, str]) -> None:
        """Write the manifests; nothing may follow."""
        oxum = f"{self._payload_bytes}.{len(self._payload)}"
        lines = {**about, "Bagging-Date": f"{in_utc(self.made_at):%Y-%m-%d}", "Payload-Oxum": oxum}
        self.add("bagit.txt", DECLARATION)
        self.add("bag-info.txt", "".join(f"{k}: {v}\n" for k, v in lines.items()).encode())
        self.add(MANIFEST, _manifest(self._payload))
        self.add(TAGMANIFEST, _manifest(self._tags))
        self._zip.close()

    def _info(self, name: str) -> zipfile.ZipInfo:
        at = in_utc(self.made_at)
        when = (at.year, at.month, at.day, at.hour, at.minute, at.second)
        info = zipfile.ZipInfo(f"{BASE}/{name}", when)
        info.external_attr = 0o100644 << 16
        return info


@dataclass(slots=True)
class BagReader:
    """A bag in a zip. What it holds is not believed; `problems` compares it with its manifests."""

    file: IO[bytes]
    names: frozenset[str] = field(init=False)
    _zip: zipfile.ZipFile = field(init=False)

    def __post_init__(self) -> None:
        try:
            self._zip = zipfile.ZipFile(self.file)
        except _DAMAGED:
            raise MalformedError("package: expected a zip that is whole") from None
        members = self._zip.infolist()
        if len(members) > FILES_MAX:
            raise MalformedError(f"package: expected at most {FILES_MAX} files")
        # Otherwise members that lie over each other make a small file unfold into a vast one.
        if sum(each.file_size for each in members) > self.file.seek(0, SEEK_END):
            raise MalformedError("package: a zip that would unfold into more than it is")
        names = [_checked(each) for each in members]
        self.names = frozenset(name for name in names if not name.endswith("/"))
        # Without case, as some file systems have names: there, one would take the other's place.
        if len({name.casefold() for name in names}) != len(names):
            raise MalformedError("package: expected every name once")

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file.

        Raises:
            MalformedError: if there is none, or the zip is damaged there.
        """
        try:
            with self._zip.open(f"{BASE}/{name}") as member:
                while chunk := member.read(CHUNK_BYTES):
                    yield chunk
        except (KeyError, *_DAMAGED):
            raise MalformedError(f"package: {name} is missing or damaged") from None

    def read(self, name: str) -> bytes:
        """The content of a small file.

        Raises:
            MalformedError: as `chunks`, or if it is unreasonably large.
        """
        content = bytearray()
        for chunk in self.chunks(name):
            content += chunk
            if len(content) > SMALL_BYTES_MAX:
                raise MalformedError(f"package: {name} is too large for what it should be")
        return bytes(content)

    def text(self, name: str) -> str:
        """The content of a small text file.

        Raises:
            MalformedError: as `read`, or if it is no UTF-8.
        """
        try:
            return self.read(name).decode()
        except UnicodeDecodeError:
            raise MalformedError(f"package: {name}: expected UTF-8") from None

    def under(self, folder: str) -> list[str]:
        """The files in a folder, in order."""
        return sorted(each for each in self.names if each.startswith(f"{folder}/"))

    def problems(self) -> Iterator[tuple[str, str]]:
        """What differs from the manifests: the file, and in what."""
        if self._digest("bagit.txt") != hashlib.sha256(DECLARATION).hexdigest():
            yield "bagit.txt", "does not say that this is a bag of BagIt 1.0"
        for manifest, wanted in (
            (MANIFEST, {each for each in self.names if each.startswith("data/")}),
            (
                TAGMANIFEST,
                {each for each in self.names if not each.startswith("data/")} - {TAGMANIFEST},
            ),
        ):
            listed = self._listed(manifest)
            if isinstance(listed, str):
                yield manifest, listed
                continue
            yield from ((each, "is not in the manifest") for each in sorted(wanted - set(listed)))
            for name, digest in listed.items():
                if name not in wanted:
                    yield name, "is in the manifest and not in the bag"
                elif self._digest(name) != digest:
                    yield name, "is not what the manifest says"

    def _listed(self, manifest: str) -> dict[str, str] | str:
        try:
            lines = self.text(manifest).splitlines()
        except MalformedError as error:
            return str(error)
        found = [re.fullmatch(r"([0-9a-f]{64})  (\S+)", line, re.ASCII) for line in lines]
        listed = {each[2]: each[1] for each in found if each}
        return listed if len(listed) == len(lines) else "is no manifest"

    def _digest(self, name: str) -> str:
        digest = hashlib.sha256()
        try:
            for chunk in self.chunks(name):
                digest.update(chunk)
        except MalformedError:
            return "damaged"
        return digest.hexdigest()


def _checked(member: zipfile.ZipInfo) -> str:
    """The member's name without the base; that of a folder ends in a slash."""
    name = member.filename
    plain = name.removeprefix(f"{BASE}/")
    if plain == "" and member.is_dir():
        return "/"
    if plain == name or not _NAME.fullmatch(plain.removesuffix("/")):
        raise MalformedError(f"package: a file with the name {name[:80]!r}")
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise MalformedError(f"package: {plain}: expected a file or folder, found a link")
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        raise MalformedError(f"package: {plain}: expected it stored as it is")
    if member.compress_size != member.file_size:
        raise MalformedError(f"package: {plain}: expected one size, found two")
    return plain


def _manifest(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()
