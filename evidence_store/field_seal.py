"""Field seals: a folder's files as they were in the field, listed and signed offline.

`docs/format.md`, section 26. A seal proves that the holder of a field key had these bytes under
these names; its times are those of the kit's clock, and so claims. Reads and writes nothing.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from evidence_store.canonical import Json, canonical, parse_canonical
from evidence_store.digest import Algorithm, Digest, Fingerprint
from evidence_store.errors import DiscrepancyError, EvidenceError, FixityError, MalformedError
from evidence_store.ledger.signing import PrivateKey, verify_ed25519
from evidence_store.moment import in_utc
from evidence_store.wording import stated

DOMAIN = b"evidence-field-seal/v1\n"
SEAL_BYTES_MAX = 64 * 1024 * 1024
PUBLIC_BYTES = 32
ID_DIGITS = 32
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def key_id(public: bytes) -> str:
    """How a field key is called: the first half of the SHA-256 of its public key, hexadecimal."""
    return hashlib.sha256(public).hexdigest()[:ID_DIGITS]


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file as it was sealed. `modified_at` is what the medium says, a claim."""

    fingerprint: Fingerprint
    modified_at: str | None


@dataclass(frozen=True, slots=True)
class Unsealed:
    """What was met in the folder and could not be sealed, and why."""

    name: bytes
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Who sealed, where, how and on which device, as the investigator says."""

    who: str
    where: str
    how: str
    device: str

    def __post_init__(self) -> None:
        for name in ("who", "where", "how", "device"):
            stated(getattr(self, name), f"seal: {name}")


@dataclass(frozen=True, slots=True)
class FieldSeal:
    """A seal over files by name. Names are relative, of any bytes, parted by slashes."""

    circumstances: Circumstances
    started_at: datetime
    ended_at: datetime
    tool: str
    public: bytes
    files: Mapping[bytes, SealedFile]
    unsealed: Sequence[Unsealed] = ()

    def __post_init__(self) -> None:
        if in_utc(self.ended_at) < in_utc(self.started_at):
            raise MalformedError("seal: expected an end that is not before the beginning")
        if len(self.public) != PUBLIC_BYTES:
            raise MalformedError(f"seal: expected a public key of {PUBLIC_BYTES} bytes")
        for name in (*self.files, *(each.name for each in self.unsealed)):
            _insist_relative(name)

    @property
    def key(self) -> str:
        """The key that signed it."""
        return key_id(self.public)

    def signed(self, private: PrivateKey) -> bytes:
        """The seal as it is kept and sent.

        Raises:
            MalformedError: if it would be larger than 64 MiB: seal parts of the folder.
        """
        body = self.document()
        signature = private.sign(DOMAIN + canonical(body))
        content = canonical({"body": body, "sigs": [{"kid": self.key, "sig": _spelt(signature)}]})
        if len(content) > SEAL_BYTES_MAX:
            raise MalformedError(
                f"seal: expected at most {SEAL_BYTES_MAX} bytes, found {len(content)}; "
                "seal the folder's parts, each by itself"
            )
        return content

    @classmethod
    def opened(cls, content: bytes) -> Self:
        """The seal, insisting that it is signed by the key that stands in it.

        Whose key that is, is for the registry to say.

        Raises:
            MalformedError: if it is no seal.
            ProofError: if the signature is not by that key.
        """
        if len(content) > SEAL_BYTES_MAX:
            raise MalformedError(f"seal: expected at most {SEAL_BYTES_MAX} bytes")
        try:
            match parse_canonical(content, "seal"):
                case {"body": dict(body), "sigs": [{"kid": str(kid), "sig": str(signature)}]}:
                    seal = cls._read(body)
                case _:
                    raise MalformedError("seal: expected a body and one signature")
        except (KeyError, TypeError, ValueError, AttributeError):
            raise MalformedError("seal: expected the members of a seal, whole") from None
        if seal.document() != body or kid != seal.key:
            raise MalformedError("seal: expected the members of a seal and no others")
        verify_ed25519(seal.public, _unspelt(signature), DOMAIN + canonical(body))
        return seal

    def problem(self, name: bytes, found: Fingerprint) -> EvidenceError | None:
        """Why what arrived under a name is not what was sealed under it; None if it is."""
        listed = self.files.get(name)
        if listed is None:
            return DiscrepancyError("field seal: expected a file that it lists, found another name")
        wanted = listed.fingerprint
        if wanted == found:
            return None
        return FixityError(
            what="the field seal's digest", expected=str(wanted.sha256), found=str(found.sha256)
        )

    def document(self) -> dict[str, Json]:
        """What is signed, before it is spelled."""
        said = self.circumstances
        return {
            "v": 1,
            "who": said.who,
            "where": said.where,
            "how": said.how,
            "device": said.device,
            "started_at": in_utc(self.started_at).strftime(_TIME),
            "ended_at": in_utc(self.ended_at).strftime(_TIME),
            "tool": self.tool,
            "key": self.key,
            "public": _spelt(self.public),
            "files": [_file(name, self.files[name]) for name in sorted(self.files)],
            "unsealed": [
                {**_named(each.name), "code": each.code, "reason": each.reason}
                for each in sorted(self.unsealed, key=lambda each: each.name)
            ],
        }

    @classmethod
    def _read(cls, body: Mapping[str, Json]) -> Self:
        files = [(_name(each), _sealed(each)) for each in _objects(body["files"])]
        seal = cls(
            circumstances=Circumstances(
                *(_text(body[each]) for each in ("who", "where", "how", "device"))
            ),
            started_at=_time(body["started_at"]),
            ended_at=_time(body["ended_at"]),
            tool=_text(body["tool"]),
            public=_unspelt(_text(body["public"])),
            files=dict(files),
            unsealed=tuple(
                Unsealed(_name(each), _text(each["code"]), _text(each["reason"]))
                for each in _objects(body["unsealed"])
            ),
        )
        if len(seal.files) != len(files):
            raise MalformedError("seal: expected each name once")
        return seal


@dataclass(frozen=True, slots=True)
class SealCheck:
    """What comparing an arrival with a field seal brought. `manifest` is the seal's own digest.

    `problem` is why it goes into quarantine; the key is known only where the seal could be read.
    """

    manifest: Digest
    key: str | None = None
    seal: FieldSeal | None = None
    problem: EvidenceError | None = None

    @property
    def open_data(self) -> dict[str, Json]:
        """What an event says of it openly."""
        return {"manifest": self.manifest.hex, "key": self.key, "agrees": self.problem is None}

    @property
    def private_data(self) -> dict[str, Json]:
        """What an event says of it in a disclosure."""
        if self.seal is None:
            return {}
        said = self.seal.circumstances
        return {
            "sealed_at": self.seal.ended_at.strftime(_TIME),
            "who": said.who,
            "where": said.where,
            "how": said.how,
            "device": said.device,
            "tool": self.seal.tool,
        }


def _insist_relative(name: bytes) -> None:
    parts = name.split(b"/")
    if b"\0" in name or not all(parts) or {b".", b".."} & set(parts):
        raise MalformedError("seal: expected names that lead nowhere but into the folder")


def _file(name: bytes, file: SealedFile) -> dict[str, Json]:
    found = file.fingerprint
    return {
        **_named(name),
        "sha256": found.sha256.hex,
        "blake3": found.blake3.hex,
        "size_bytes": found.size_bytes,
        "modified_at": file.modified_at,
    }


def _sealed(entry: Mapping[str, Json]) -> SealedFile:
    size, modified = entry["size_bytes"], entry["modified_at"]
    if not isinstance(size, int) or isinstance(size, bool):
        raise TypeError
    fingerprint = Fingerprint(
        Digest.parse(f"{Algorithm.SHA256}:{_text(entry['sha256'])}"),
        Digest.parse(f"{Algorithm.BLAKE3}:{_text(entry['blake3'])}"),
        size,
    )
    return SealedFile(fingerprint, None if modified is None else _text(modified))


def _named(name: bytes) -> dict[str, Json]:
    try:
        return {"name": name.decode()}
    except UnicodeDecodeError:
        return {"name_base64": _spelt(name)}


def _name(entry: Mapping[str, Json]) -> bytes:
    if "name" in entry:
        return _text(entry["name"]).encode()
    return _unspelt(_text(entry["name_base64"]))


def _objects(value: Json) -> list[dict[str, Json]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise TypeError
    return [each for each in value if isinstance(each, dict)]


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _time(value: Json) -> datetime:
    return datetime.strptime(_text(value), _TIME).replace(tzinfo=UTC)


def _spelt(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _unspelt(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise MalformedError("seal: expected base64") from None


def public_key(text: str) -> bytes:
    """A field key's public half, as `evidence seal --new-key` shows it: base64 of 32 bytes.

    Raises:
        MalformedError: on anything else.
    """
    public = _unspelt(text)
    if len(public) != PUBLIC_BYTES or _spelt(public) != text:
        raise MalformedError("field key: expected base64 of 32 bytes")
    return public
