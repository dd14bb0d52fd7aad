"""`evidence check`: is this file what was registered? MATCH, MISMATCH, NOT VERIFIABLE, UNKNOWN."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from api.cli.context import shared
from api.cli.exits import Exit
from api.cli.output import Json, name_fields
from evidence_store.digest import Fingerprint, Fingerprinter
from evidence_store.errors import EvidenceError
from evidence_store.identifiers import Ern
from evidence_store.ports import CatalogReader
from evidence_store.verification import Comparison, Outcome, Verdict, compare
from ingest.reading import OpenSource
from ingest.sources import Source, absolute

BUFFER_BYTES = 1024 * 1024


def check(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="The files to check.")],
    *,
    ern: Annotated[
        str | None, typer.Option(help="The item that they should be; other bytes are a mismatch.")
    ] = None,
) -> Exit:
    """Say whether files are what was registered, and as which version of which item.

    Exit code 0 only if every file matches; 3 if one does not; 4 if one could not be read.
    """
    here = shared(context)
    wanted = None if ern is None else Ern.parse(ern)
    exits: list[Exit] = []
    with here.instance().catalog.read() as reader:
        for file in files:
            path = os.fsencode(file)
            for found, comparison in _compared(reader, path, wanted):
                row = {**name_fields(path), **_fields(comparison, found)}
                here.output.record(row, _text(file, comparison))
                exits.append(_exit(comparison.verdict))
    return max(exits, key=lambda code: (code == Exit.INTEGRITY, code), default=Exit.DONE)


def fingerprint_of(path: bytes) -> Fingerprint:
    """Both digests of a file, read in bounded memory.

    Raises:
        UnsupportedSourceError, SourceChangedError: if it cannot be read whole.
    """
    buffer = memoryview(bytearray(BUFFER_BYTES))
    fingerprinter = Fingerprinter()
    with OpenSource.open(Source(absolute(path), path, 0)) as opened:
        offset = 0
        while length := opened.read_into(buffer, offset):
            fingerprinter.update(buffer[:length])
            offset += length
        opened.check_unchanged(offset)
    return fingerprinter.result()


def _compared(
    reader: CatalogReader, path: bytes, ern: Ern | None
) -> Iterator[tuple[Fingerprint | None, Comparison]]:
    try:
        found = fingerprint_of(path)
    except EvidenceError as error:
        verdict = Verdict(Outcome.NOT_VERIFIABLE, str(error), error.code, again=True)
        yield None, Comparison(verdict)
        return
    for comparison in compare(reader, found, ern):
        yield found, comparison


def _exit(verdict: Verdict) -> Exit:
    if verdict.outcome is Outcome.MATCH:
        return Exit.DONE
    return Exit.AGAIN if verdict.again else Exit.INTEGRITY


def _fields(comparison: Comparison, found: Fingerprint | None) -> dict[str, Json]:
    verdict, version = comparison.verdict, comparison.version
    return {
        "outcome": verdict.outcome.value,
        "ern": None if version is None else str(version.ern),
        "version": None if version is None else version.number,
        "version_type": None if version is None else version.type.value,
        "sha256": None if found is None else found.sha256.hex,
        "blake3": None if found is None else found.blake3.hex,
        "size_bytes": None if found is None else found.size_bytes,
        "reason": verdict.reason,
        "code": verdict.code,
    }


def _text(file: Path, comparison: Comparison) -> str:
    verdict, version = comparison.verdict, comparison.version
    what = verdict.outcome.value.upper().replace("_", " ")
    if verdict.outcome is Outcome.MATCH and version is not None:
        return f"{what}  {file} is {version.ern} version {version.number} ({version.type})"
    return f"{what}  {file}  {verdict.reason}"


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("check")(check)
