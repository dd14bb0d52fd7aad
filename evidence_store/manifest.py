r"""Digest manifests as `sha256sum` writes them: what a sender states about files.

Reads the GNU coreutils format: 64 hexadecimal digits, a space, ` ` or `*`, the
name; a line that begins with a backslash has `\\`, `\n` and `\r` escaped in
its name. Names are bytes and are only compared, never opened.
"""

import re
from collections.abc import Mapping

from evidence_store.digest import Digest
from evidence_store.errors import MalformedError

MANIFEST_BYTES_MAX = 1 << 30
_LINE = re.compile(rb"(\\?)([0-9A-Fa-f]{64}) [ *](.+)", re.DOTALL)
_ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}


def parse(content: bytes) -> Mapping[bytes, Digest]:
    """Read a manifest: names, with a leading `./` removed, to digests.

    Raises:
        MalformedError: naming the line, if one is not in the format, or if a name is given two
            digests.
    """
    digests: dict[bytes, Digest] = {}
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.removesuffix(b"\r"))
        if found is None:
            raise MalformedError(
                f"manifest: line {number}: expected 64 hexadecimal digits, two spaces and a name"
            )
        name = _name(found[3], escaped=bool(found[1]), number=number)
        digest = Digest.sha256_hex(found[2].decode("ascii"))
        if digests.setdefault(name, digest) != digest:
            raise MalformedError(f"manifest: line {number}: the name has another digest above")
    return digests


def write(digests: Mapping[bytes, Digest]) -> bytes:
    """The manifest of these names and SHA-256 digests, as `sha256sum` would write it."""
    return b"".join(_line(name, digest) for name, digest in digests.items())


def _line(name: bytes, digest: Digest) -> bytes:
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if escaped != name else b""
    return mark + digest.hex.encode() + b"  " + escaped + b"\n"


def _name(name: bytes, *, escaped: bool, number: int) -> bytes:
    if escaped:
        name = re.sub(rb"\\.?", lambda found: _unescape(found[0], number), name, flags=re.DOTALL)
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    if not name:
        raise MalformedError(f"manifest: line {number}: the name is empty")
    return name


def _unescape(sequence: bytes, number: int) -> bytes:
    try:
        return _ESCAPES[sequence]
    except KeyError:
        raise MalformedError(f"manifest: line {number}: an escape that is not known") from None
