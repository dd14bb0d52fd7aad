"""One file from its first byte to its last claim: identified, then read by whoever knows it.

Runs in the isolated process. Every failure of a parser becomes a set of claims that says how
the reading ended; nothing escapes but what ends the process.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from evidence_store.claims import ClaimSet, ClaimValue, Reading
from ingest.extraction.reader import Found, Reader, Values
from ingest.extraction.readers import (
    archives,
    ewf,
    exif,
    identification,
    mail,
    media,
    office,
    ole,
    pdf,
    web,
)
from ingest.extraction.source import SourceFile, extension
from ingest.extraction.tidy import tidy
from ingest.extraction.wire import UNIDENTIFIED, Identity, Report, Tool

# What parsers import only when a file calls for it; in the sandbox it would be too late.
_IMPORTED_LATE = ("encodings", "email", "pypdf")
_ALONE = ("_strptime", "heapq")  # likewise, of the standard library
READERS: tuple[Reader, ...] = (exif, media, pdf, office, ole, mail, archives, ewf, web)


def warm_up() -> None:
    """Import all that any parser may ever import."""
    for name in _ALONE:
        importlib.import_module(name)
    for name in _IMPORTED_LATE:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            with suppress(ImportError):  # of another platform, or of an extra not installed
                importlib.import_module(module.name)


def read(file: SourceFile) -> Iterator[Report]:
    """What is known of the file: once it is identified, then after each reader that knows its type.

    Only the last report has no `next_tool`.
    """
    identity = Identity(UNIDENTIFIED)
    readers: list[Reader] = []

    def identify() -> Found:
        nonlocal identity, readers
        identity = identification.identify(file)
        readers = [each for each in READERS if each.matches(identity.media_type, file.source_name)]
        return Found(_identity_values(identity, file, is_read=bool(readers)))

    claims = [_claims(identification.TOOL, identify)]
    for reader in readers:
        yield Report(identity, tuple(claims), next_tool=reader.TOOL)
        claims.append(_claims(reader.TOOL, partial(reader.read, file)))
    yield Report(identity, tuple(claims))


def _identity_values(identity: Identity, file: SourceFile, *, is_read: bool) -> Values:
    values: dict[str, object] = {"media_type": identity.media_type}
    if identity.name_mismatch:
        values["name_extension"] = extension(file.source_name)
    if not is_read and not identity.media_type.startswith("text/"):
        values |= identification.describe(file)
    return values


def _claims(tool: Tool, find: Callable[[], Found]) -> ClaimSet:
    """What was found, or how the attempt ended. An exception's message may quote the file."""
    reading: Reading
    problem: str | None
    values: dict[str, ClaimValue] = {}
    try:
        found = find()
        values, is_cut = tidy(found.values)
        problem = found.incomplete or ("not all of it was kept" if is_cut else None)
        reading = Reading.PARTIAL if problem else Reading.READ
    except MemoryError:
        reading, problem = Reading.KILLED, "the limit on memory was reached"
    except PermissionError:
        reading, problem = Reading.KILLED, "the parser tried what the isolation forbids"
    except Exception as error:  # noqa: BLE001 - parsers raise anything
        reading, problem = Reading.FAILED, f"the parser gave up ({type(error).__name__})"
    return ClaimSet(tool.name, tool.version, reading, values, problem)
