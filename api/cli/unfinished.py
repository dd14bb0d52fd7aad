"""A package's file while it is written: beside its place, under a name that carries its identity.

It is there before the export is recorded, so that nothing is recorded for a file that cannot be;
and it stays when something fails after that, so that the same command finds its export and
finishes it, instead of recording another. A crash at any line leaves one of these two.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import BinaryIO

from evidence_store.errors import (
    ConflictError,
    MalformedError,
    NoSpaceError,
    StoreUnavailableError,
)


@dataclass(slots=True)
class Unfinished:
    """The file. Once `is_recorded`, it stays until it is whole."""

    content: BinaryIO
    is_recorded: bool = False


def left_behind(output: Path) -> list[str]:
    """The packages that were begun for this place, and not finished."""
    pattern = re.compile(rf"\.{re.escape(output.name)}\.([0-9a-f]{{32}})\.part", re.ASCII)
    try:
        found = [pattern.fullmatch(each.name) for each in output.parent.iterdir()]
    except OSError:
        return []  # whoever writes there says why it cannot be
    return sorted(each[1] for each in found if each)


@contextmanager
def unfinished(output: Path, package: str) -> Iterator[Unfinished]:
    """The file of a package, empty; it gets its name, durably, only if all goes well.

    Raises:
        ConflictError: if there is a file of that name, or another process writes this package.
        MalformedError: if the folder is not there.
        NoSpaceError, StoreUnavailableError: if it cannot be written.
    """
    if output.exists():
        raise ConflictError(f"{output}: there is a file already; it was left as it is")
    path = output.with_name(f".{output.name}.{package}.part")
    try:
        # Not emptied before it is ours alone: another process may be writing it.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o666), "r+b") as content:
            _alone(content, output)
            content.truncate(0)
            file = Unfinished(content)
            try:
                yield file
                content.flush()
                os.fsync(content.fileno())
                # link() refuses to replace: what came there meanwhile is not ours to overwrite.
                output.hardlink_to(path)
            except BaseException:
                content.truncate(0)  # what is half written would be evidence that lies about
                if not file.is_recorded:
                    path.unlink(missing_ok=True)
                raise
            path.unlink(missing_ok=True)
    except FileExistsError as error:
        raise ConflictError(
            f"{output}: a file came there meanwhile; move it, then again"
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MalformedError(f"{output.parent}: expected a folder, found none") from error
    except OSError as error:
        if error.errno in {ENOSPC, EDQUOT}:
            raise NoSpaceError(f"{output}: the disk is full") from error
        raise StoreUnavailableError(f"{output}: cannot be written ({error.strerror})") from error


def _alone(content: BinaryIO, output: Path) -> None:
    try:
        fcntl.flock(content, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConflictError(f"{output}: another process writes it now") from error
