"""`evidence ingest`: files and folders into a case. One line for each file, then a summary."""

import os
import signal
import stat
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from api import ledger
from api.cli import asserted
from api.cli.check import fingerprint_of
from api.cli.context import shared
from api.cli.exits import Exit, exit_of, worst
from api.cli.output import Json, Output, name_fields
from api.cli.progress import Progress
from api.cli.receipts import PENDING, SEALED
from api.wiring import Instance
from evidence_store import manifest as manifests
from evidence_store.digest import Digest
from evidence_store.errors import EvidenceError, MalformedError
from evidence_store.identifiers import CaseId, Ern
from evidence_store.intake import Intake, IntakeStatus
from evidence_store.kinds import EvidenceKind
from evidence_store.verification import stated_digest_error
from ingest.pipeline import Order, Pipeline, Result
from ingest.sources import Refused, Source, walk
from ingest.stated import Stated, unnamed

SWITCH_SECONDS = 0.05
TAKEN, QUARANTINED = "would_ingest", "would_quarantine"
REFUSED, MISSING = "would_refuse", "missing"
FETCH = "evidence log prove ERN"


def ingest(  # noqa: PLR0913 - one parameter for each thing an officer states
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", exists=True)],
    *,
    case: asserted.CaseOption,
    method: asserted.MethodOption,
    collected_by: asserted.CollectedByOption,
    collected_at: asserted.CollectedAtOption,
    kind: Annotated[
        str | None,
        typer.Option(help="What all the files are; by default as each one's content says."),
    ] = None,
    place: asserted.PlaceOption = asserted.DEFAULT_STATED,
    source: asserted.SourceOption = asserted.DEFAULT_STATED,
    title: asserted.TitleOption = None,
    field: asserted.FieldOption = None,
    metadata: asserted.MetadataOption = None,
    terms: asserted.TermsOption = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="The sender's digests, as sha256sum writes them.", exists=True, dir_okay=False
        ),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="The sender's SHA-256 of a single file.")
    ] = None,
    receipts: Annotated[
        Path | None,
        typer.Option(help="A folder for the proofs that the log holds each item.", file_okay=False),
    ] = None,
    authority: asserted.AsOption = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only show what would be taken in, and compare what the sender stated.",
        ),
    ] = False,
) -> Exit:
    """Take files and folders into a case: digest, identify, describe, encrypt, store, register.

    May be run again after any interruption: what is registered already is not registered twice.
    """
    here = shared(context)
    extractor = here.extractor()
    instance = here.instance()
    stated_kind = None if kind is None else asserted.kind_named(kind)
    if stated_kind is EvidenceKind.PHYSICAL_EXHIBIT:
        raise MalformedError(
            "kind: a physical exhibit has no bytes; use `evidence exhibit register`"
        )
    statement = asserted.statement(
        kind=stated_kind or EvidenceKind.UNKNOWN,
        now=instance.clock.now(),
        collected_by=collected_by,
        collected_at=collected_at,
        method=method,
        place=place,
        source=source,
        title=title,
        fields=field or (),
        metadata=metadata,
        terms=terms,
    )
    case_id = CaseId.parse(case)
    with instance.catalog.read() as reader:
        reader.case(case_id)
    roots = [os.fsencode(path) for path in paths]
    stated = _stated(roots, manifest, sha256)
    sources = walk(roots, excluded=_folder(here.home))
    if dry_run:
        return _show(here.output, sources, stated)
    order = Order(statement.asserted(instance.catalog), infer_kind=stated_kind is None)
    recorder = ledger.recorder(instance, asserted.acting(authority))
    intake = Intake(instance.catalog, instance.vault, recorder, case_id)
    tally = _Tally(here.output, keeps_erns=receipts is not None)
    # The threads of an intake release the interpreter lock themselves, again and again; taking it
    # from each other every 5 ms besides costs a tenth of the time with many small files.
    sys.setswitchinterval(SWITCH_SECONDS)
    with Progress(roots) as progress, _noticing_interrupts() as interrupted:
        pipeline = Pipeline(intake, extractor, order, stated)
        try:
            with closing(pipeline.run(sources)) as results:
                for result in results:
                    tally.add(result)
                    progress.advance(result)
                    if interrupted.is_set():
                        break
        except KeyboardInterrupt:
            interrupted.set()
    tally.interrupted = interrupted.is_set()
    return tally.close(pipeline.stopped_by, _settled(instance, tally, receipts))


@contextmanager
def _noticing_interrupts() -> Iterator[threading.Event]:
    """Ctrl-C as usual, and noted besides: where it is raised in a finalizer, Python drops it."""
    seen = threading.Event()

    def noticed(number: int, frame: FrameType | None) -> None:
        seen.set()
        signal.default_int_handler(number, frame)

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = signal.signal(signal.SIGINT, noticed)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def _settled(instance: Instance, tally: "_Tally", receipts: Path | None) -> dict[str, Json]:
    """What the log says of the items just taken in; their proofs go into `receipts`."""
    problem = ledger.settle(instance)
    if receipts is not None:
        receipts.mkdir(parents=True, exist_ok=True)
        for ern in tally.erns:
            for receipt in ledger.receipts(instance, ern):
                if receipt.proof is not None:
                    name = f"{ern}-{receipt.recorded.seq}.tlog-proof"
                    (receipts / name).write_text(str(receipt.proof), encoding="utf-8")
    found: dict[str, Json] = {"status": SEALED if problem is None else PENDING}
    return found if problem is None else {**found, "waits_for": problem, "fetch": FETCH}


class _Tally:
    """Prints a line for each result, counts them, and closes with the summary."""

    def __init__(self, output: Output, *, keeps_erns: bool) -> None:
        self._keeps_erns = keeps_erns
        self.interrupted = False
        self.erns: list[Ern] = []
        self._output = output
        self._counts: Counter[IntakeStatus] = Counter()
        self._bytes = 0
        self._exits: set[Exit] = set()
        self._started = time.monotonic()

    def add(self, result: Result) -> None:
        self._counts[result.status] += 1
        if result.ern is not None and self._keeps_erns:
            self.erns.append(result.ern)
        if result.fingerprint is not None:
            self._bytes += result.fingerprint.size_bytes
        if result.error is not None:
            self._exits.add(exit_of(result.error))
        self._output.record(_fields(result), _text(result))

    def close(self, stopped_by: EvidenceError | None, receipt: dict[str, Json]) -> Exit:
        seconds = round(time.monotonic() - self._started, 3)
        counts = {status.value: self._counts[status] for status in IntakeStatus}
        summary: dict[str, Json] = {
            **counts,
            "files": self._counts.total(),
            "bytes": self._bytes,
            "seconds": seconds,
            "receipt": receipt,
            "interrupted": self.interrupted,
            "stopped_by": None if stopped_by is None else f"{stopped_by.code}: {stopped_by}",
        }
        said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        text = f"{said or 'no files'}; {self._bytes} bytes in {seconds} s"
        self._output.record({"summary": summary}, text)
        if stopped_by is not None:
            self._exits.add(exit_of(stopped_by))
            self._output.problem(stopped_by)
        if self.interrupted:
            self._exits.add(Exit.AGAIN)
            self._output.note("interrupted; run the same command again to go on")
        return worst(self._exits)


def _fields(result: Result) -> dict[str, Json]:
    found, error = result.fingerprint, result.error
    return {
        "ern": None if result.ern is None else str(result.ern),
        **name_fields(result.name),
        "status": result.status.value,
        "sha256": None if found is None else found.sha256.hex,
        "blake3": None if found is None else found.blake3.hex,
        "size_bytes": None if found is None else found.size_bytes,
        "media_type": result.media_type,
        "kind": None if result.kind is None else result.kind.value,
        "name_mismatch": result.name_mismatch,
        "error": None if error is None else f"{error.code}: {error}",
        "code": None if error is None else error.code,
        "differs": list(result.differs),
        "note": _note(result),
    }


def _note(result: Result) -> str | None:
    if not result.differs:
        return None
    return (
        f"registered before with another {', '.join(result.differs)}; nothing was changed: "
        "a wrong statement is corrected by `evidence act correction_of`"
    )


def _text(result: Result) -> str:
    name = result.name.decode("utf-8", "replace")
    line = f"{result.status:<11} {'-' if result.ern is None else result.ern!s:<14} {name}"
    if result.name_mismatch:
        line += f"  (its name speaks of another type than {result.media_type})"
    if (note := _note(result)) is not None:
        line += f"  ({note})"
    return line if result.error is None else f"{line}  {result.error.code}: {result.error}"


def _stated(roots: list[bytes], manifest: Path | None, sha256: str | None) -> Stated:
    if manifest is not None and sha256 is not None:
        raise MalformedError("expected --manifest or --sha256, found both")
    if manifest is not None:
        digests = manifests.parse(_whole(manifest, manifests.MANIFEST_BYTES_MAX))
        return Stated.of_manifest(digests, os.fsencode(manifest), roots)
    if sha256 is None:
        return Stated()
    if len(roots) != 1 or not Path(os.fsdecode(roots[0])).is_file():
        raise MalformedError("--sha256: expected exactly one path, a file; use --manifest for more")
    return Stated.of_file(roots[0], Digest.sha256_hex(sha256))


def _whole(file: Path, size_bytes_max: int) -> bytes:
    """A regular file's content; a device or a pipe might never end."""
    try:
        # Not waiting for the other end of a pipe, should it be one; asked of what was opened.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise MalformedError(f"manifest: cannot be read ({error.strerror})") from error
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise MalformedError("manifest: expected a regular file, found something else")
        content = opened.read(size_bytes_max + 1)
    if len(content) > size_bytes_max:
        raise MalformedError(f"manifest: expected at most {size_bytes_max} bytes, found more")
    return content


def _folder(path: Path) -> frozenset[tuple[int, int]]:
    found = path.stat()
    return frozenset({(found.st_dev, found.st_ino)})


def _show(output: Output, sources: Iterable[Source | Refused], stated: Stated) -> Exit:
    """What would become of the sources. What the sender stated a digest of is read and compared."""
    counts: Counter[str] = Counter()
    size_bytes = 0
    exits: list[Exit] = []
    for name, size, status, error in _foreseen(sources, stated):
        counts[status] += 1
        row: dict[str, Json] = {**name_fields(name), "status": status}
        if size is not None:
            size_bytes += size
            row["size_bytes"] = size
        row["error"] = None if error is None else f"{error.code}: {error}"
        if error is not None and status != REFUSED:
            exits.append(exit_of(error))
        output.record(row, "  ".join(str(value) for value in row.values() if value is not None))
    taken = counts[TAKEN] + counts[QUARANTINED]
    summary: dict[str, Json] = {
        "would_ingest": taken,
        "would_quarantine": counts[QUARANTINED],
        "would_refuse": counts[REFUSED],
        "missing": counts[MISSING],
        "bytes": size_bytes,
    }
    text = f"would take in {taken} files of {size_bytes} bytes, and refuse {counts[REFUSED]}"
    if stated.complete:
        text += f"; {counts[QUARANTINED]} are not as stated, {counts[MISSING]} are missing"
    output.record({"summary": {**summary, "dry_run": True}}, text)
    return worst(exits)


def _foreseen(
    sources: Iterable[Source | Refused], stated: Stated
) -> Iterator[tuple[bytes, int | None, str, EvidenceError | None]]:
    for each in sources:
        if isinstance(each, Refused):
            yield each.name, None, REFUSED, each.error
            continue
        digest = stated.take(each.path)
        error: EvidenceError | None = unnamed() if stated.is_unnamed(each.path) else None
        if digest is None:
            yield each.name, each.size_bytes, TAKEN, error
            continue
        try:
            error = stated_digest_error(digest, fingerprint_of(each.path))
        except EvidenceError as unread:
            yield each.name, None, REFUSED, unread
        else:
            yield each.name, each.size_bytes, TAKEN if error is None else QUARANTINED, error
    for name, missing in stated.missing():
        yield name, None, MISSING, missing


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("ingest")(ingest)
