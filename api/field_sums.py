"""A seal in other spellings: `sha256sum`'s, and a BagIt bag's tag files. Signs and decides nothing."""

import base64
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from evidence_store import manifest
from evidence_store.digest import Digest
from evidence_store.errors import ConflictError, MalformedError, UnavailableError
from evidence_store.field_seal import FieldSeal
from evidence_store.package.bag import DECLARATION, MANIFEST, TAGMANIFEST

_ESCAPES = ((b"%", b"%25"), (b"\n", b"%0A"), (b"\r", b"%0D"))


def spelt(value: bytes) -> str:
    """Bytes in base64."""
    return base64.b64encode(value).decode("ascii")


def write_durably(path: Path, content: bytes) -> None:
    """Write a file that is not there yet; it is there whole, or not at all.

    Raises:
        ConflictError: if there is something; it is left as it is.
        UnavailableError: if the system refuses.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with fresh.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # unlike a renaming, never over what is there
        except FileExistsError:
            raise
        except OSError:  # a medium without links (FAT): nobody else writes there meanwhile
            if path.exists():
                raise FileExistsError from None
            fresh.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise ConflictError(f"{path}: there is something already; it was left as it is") from None
    except OSError as error:
        raise UnavailableError(
            f"{path}: cannot be written ({error.strerror}); a write-blocked medium needs "
            "--manifest-out or --state on another"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)


def write_sums(path: Path, digests: Mapping[bytes, Digest]) -> None:
    """Write the digests as `sha256sum` does; `sha256sum -c` in the folder reads them.

    Raises: as `write_durably`.
    """
    write_durably(path, manifest.write(digests))


def write_bag(folder: Path, seal: FieldSeal) -> None:
    """Write a BagIt bag's tag files (RFC 8493) to a new folder; the files belong under its data/.

    Raises:
        ConflictError: if there is something already.
        MalformedError: if a name is not UTF-8, which a bag's manifest must be.
        UnavailableError: if the system refuses.
    """
    files = seal.files
    if not all(_is_text(name) for name in files):
        raise MalformedError("bag: a name is not UTF-8, which a bag cannot spell; use --sums")
    size = sum(each.fingerprint.size_bytes for each in files.values())
    payload = b"".join(
        f"{file.fingerprint.sha256.hex}  data/".encode() + _escaped(name) + b"\n"
        for name, file in sorted(files.items())
    )
    about = f"Bagging-Date: {seal.ended_at:%Y-%m-%d}\nPayload-Oxum: {size}.{len(files)}\n"
    tags = {
        "bagit.txt": DECLARATION,
        "bag-info.txt": f"{about}Internal-Sender-Identifier: field-key:{seal.key}\n".encode(),
        MANIFEST: payload,
    }
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in tags.items()
    )
    try:
        folder.mkdir()
    except FileExistsError:
        raise ConflictError(f"{folder}: there is something already") from None
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot be made ({error.strerror})") from error
    for name, content in {**tags, TAGMANIFEST: sums.encode()}.items():
        write_durably(folder / name, content)


def _escaped(name: bytes) -> bytes:
    for what, by in _ESCAPES:
        name = name.replace(what, by)
    return name


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
