"""`evidence check`: is this file what was registered? MATCH, MISMATCH, NOT VERIFIABLE, UNKNOWN."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from api import ledger
from api.cli.context import shared
from api.cli.exits import Exit
from api.cli.output import Json, name_fields
from api.cli.receipts import PENDING, SEALED
from api.wiring import Instance, found_log
from evidence_store.attestation import Attestation, attestation
from evidence_store.digest import Fingerprint, Fingerprinter
from evidence_store.errors import EvidenceError, ProofError
from evidence_store.identifiers import Ern
from evidence_store.item import Version
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.policy import Policy
from evidence_store.package.items import KnownVersion
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
    """Say whether files are what was registered, as which version of which item, and prove it.

    A match is one only if the signed event that measured the version says so too. Exit code 0
    only if every file matches; 3 if one does not; 4 if one could not be read.
    """
    here = shared(context)
    wanted = None if ern is None else Ern.parse(ern)
    exits: list[Exit] = []
    instance = here.instance()
    trusted = ledger.policy(instance.home, found_log(instance.catalog, instance.signing))
    with instance.catalog.read() as reader:
        for file in files:
            path = os.fsencode(file)
            for found, comparison in _compared(reader, path, wanted):
                attested = _attested(reader, instance, trusted, comparison)
                answer = _believed(comparison, attested)
                row = {
                    **name_fields(path),
                    **_fields(answer, found),
                    "ledger": None if attested is None else _ledger_fields(attested),
                }
                here.output.record(row, _text(reader, file, answer, attested))
                exits.append(_exit(answer.verdict))
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


def _attested(
    reader: CatalogReader, instance: Instance, trusted: Policy, comparison: Comparison
) -> Attestation | None:
    version = comparison.version
    if comparison.verdict.outcome is not Outcome.MATCH or version is None:
        return None
    sha256 = version.fingerprint.sha256
    return attestation(reader, instance.tiles, trusted, version.ern, version.number, sha256)


def _believed(comparison: Comparison, attested: Attestation | None) -> Comparison:
    """The comparison, unless the ledger does not attest what the catalog says."""
    if attested is None or attested.problem is None:
        return comparison
    reason = f"the ledger: {attested.problem}"
    return Comparison(Verdict(Outcome.NOT_VERIFIABLE, reason, ProofError.code), comparison.version)


def _ledger_fields(found: Attestation) -> dict[str, Json]:
    return {
        "problem": found.problem,
        "event": found.seq,
        "by": None if found.by is None else str(found.by),
        "recorded_at": None if found.at is None else found.at.isoformat(),
        "custodian": found.custodian,
        "receipt": PENDING if found.proof is None else SEALED,
        "proof": None if found.proof is None else str(found.proof),
    }


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


def _text(
    reader: CatalogReader, file: Path, comparison: Comparison, attested: Attestation | None
) -> Sequence[str]:
    verdict, version = comparison.verdict, comparison.version
    what = verdict.outcome.value.upper().replace("_", " ")
    if verdict.outcome is Outcome.MATCH and version is not None:
        return (
            f"{what}  {file} is the {_named(reader, version)} (version {version.number})",
            f"       {_proof(attested)}",
        )
    return (f"{what}  {file}  {verdict.reason}",)


def _named(reader: CatalogReader, version: Version) -> str:
    """What a court calls it: a redacted copy is told by its place among the redacted ones."""
    alike = [each for each in reader.versions(version.ern) if each.type is version.type]
    ordinal = sum(each.number <= version.number for each in alike)
    known = KnownVersion(version.fingerprint.sha256, version.type.value, ordinal)
    return known.named(version.ern)


def _proof(attested: Attestation | None) -> str:
    if attested is None or attested.at is None:
        return "not proved: no signed event is here"
    signed = (
        f"event {attested.seq} measured it, signed by {attested.by} on {attested.at.isoformat()}"
    )
    if attested.proof is None:
        return f"{signed}; not proved yet: the log has not sealed it"
    size = Checkpoint.of(attested.proof.note).size
    held = attested.custodian or "nobody"
    return f"proved: {signed}, entry {attested.proof.index} of {size} in the log; held by {held}"


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("check")(check)
