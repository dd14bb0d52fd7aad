"""`evidence verify`: re-read and re-digest what is stored, and say for each version what was found."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated

import typer

from api.cli.context import shared
from api.cli.exits import Exit, worst
from api.cli.output import Json
from api.wiring import Instance
from evidence_store.digest import Algorithm
from evidence_store.identifiers import Ern, ObjectName
from evidence_store.item import SealedObject, Version
from evidence_store.journal import journals
from evidence_store.verification import Outcome, Verdict, verify_stored

THREADS = 2
AHEAD = 64  # versions being verified or waiting for their turn to be printed
PAGE_ENTRIES = 500
REMEMBERED = 10_000  # verdicts on objects that several versions share

Held = tuple[Version, SealedObject]


def verify(
    context: typer.Context,
    erns: Annotated[list[str] | None, typer.Argument(help="Items; by default all.")] = None,
    *,
    both: Annotated[
        bool,
        typer.Option(
            "--both-digests",
            help="Measure SHA-256 as well as BLAKE3. BLAKE3 alone is three times as fast and "
            "shows the same: both were taken of the same bytes in one pass.",
        ),
    ] = False,
) -> Exit:
    """Re-read, decrypt and re-digest what is stored. Exit code 3 if anything is not as registered.

    Without ERNs also the journals that a rebuild needs; of these only what is wrong is listed.
    """
    here = shared(context)
    instance = here.instance()
    algorithms = [Algorithm.SHA256, Algorithm.BLAKE3] if both else [Algorithm.BLAKE3]
    exits: set[Exit] = set()
    counts = dict.fromkeys((Outcome.MATCH, Outcome.MISMATCH, Outcome.NOT_VERIFIABLE), 0)
    for version, verdict in _verdicts(instance, _held(instance, erns or []), algorithms):
        counts[verdict.outcome] += 1
        if verdict.outcome is not Outcome.MATCH:
            exits.add(Exit.AGAIN if verdict.again else Exit.INTEGRITY)
        here.output.record(_fields(version, verdict, algorithms), _text(version, verdict))
    for journal in () if erns else journals(instance.headers):
        verdict = verify_stored(instance.vault, journal, journal.fingerprint, algorithms)
        if verdict.outcome is not Outcome.MATCH:
            counts[verdict.outcome] += 1
            exits.add(Exit.AGAIN if verdict.again else Exit.INTEGRITY)
            here.output.record(*_journal(journal, verdict))
    summary: dict[str, Json] = {outcome.value: count for outcome, count in counts.items()}
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    here.output.record({"summary": summary}, said)
    return worst(exits)


def _held(instance: Instance, erns: Sequence[str]) -> Iterator[Held]:
    with instance.catalog.read() as reader:
        for ern in map(Ern.parse, erns):
            reader.item(ern)
            for version in reader.versions(ern):
                yield version, reader.sealed(version.object_name)
    after = None
    while not erns:
        with instance.catalog.read() as reader:
            page = reader.held(after=after, limit=PAGE_ENTRIES)
        yield from page.entries
        after = page.after
        if after is None:
            return


def _verdicts(
    instance: Instance, held: Iterable[Held], algorithms: Sequence[Algorithm]
) -> Iterator[tuple[Version, Verdict]]:
    """Verdicts in order, a few objects at a time; one that several versions share is read once."""
    vault = instance.vault
    pending: deque[tuple[Version, Future[Verdict]]] = deque()
    remembered: dict[tuple[ObjectName, bytes], Future[Verdict]] = {}
    with ThreadPoolExecutor(THREADS, "verify") as pool:
        try:
            for version, sealed in held:
                key = (sealed.name, version.fingerprint.sha256.value)
                if key not in remembered:
                    if len(remembered) >= REMEMBERED:
                        del remembered[next(iter(remembered))]
                    remembered[key] = pool.submit(
                        verify_stored, vault, sealed, version.fingerprint, algorithms
                    )
                pending.append((version, remembered[key]))
                if len(pending) >= AHEAD:
                    yield _finished(pending)
            while pending:
                yield _finished(pending)
        finally:
            pool.shutdown(cancel_futures=True)


def _finished(pending: deque[tuple[Version, Future[Verdict]]]) -> tuple[Version, Verdict]:
    version, verdict = pending.popleft()
    return version, verdict.result()


def _fields(version: Version, verdict: Verdict, algorithms: Sequence[Algorithm]) -> dict[str, Json]:
    return {
        "ern": str(version.ern),
        "version": version.number,
        "version_type": version.type.value,
        "outcome": verdict.outcome.value,
        "measured": [algorithm.value for algorithm in algorithms],
        "reason": verdict.reason,
        "code": verdict.code,
    }


def _journal(journal: SealedObject, verdict: Verdict) -> tuple[dict[str, Json], str]:
    row: dict[str, Json] = {
        "ern": None,
        "version": None,
        "journal": str(journal.name),
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "code": verdict.code,
    }
    what = verdict.outcome.value.upper().replace("_", " ")
    return row, f"{what:<14} journal {journal.name}  {verdict.code}: {verdict.reason}"


def _text(version: Version, verdict: Verdict) -> str:
    what = verdict.outcome.value.upper().replace("_", " ")
    line = f"{what:<14} {version.ern} version {version.number} ({version.type})"
    return line if verdict.reason is None else f"{line}  {verdict.code}: {verdict.reason}"


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("verify")(verify)
