"""`evidence verify`: re-read and re-digest what is stored, and say for each version what was found."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated

import typer

from api.cli.context import shared
from api.cli.exits import Exit, worst
from api.cli.output import Json
from api.wiring import Instance
from evidence_store.digest import Algorithm
from evidence_store.errors import LedgerAlteredError
from evidence_store.identifiers import Ern, ObjectName
from evidence_store.item import SealedObject, Version
from evidence_store.journal import journals
from evidence_store.signed_digests import Brought, SignedDigests
from evidence_store.verification import Outcome, Verdict, verify_stored

THREADS = 2
AHEAD = 64  # versions being verified or waiting for their turn to be printed
PAGE_ENTRIES = 500
REMEMBERED = 10_000  # verdicts on objects that several versions share

Lost = tuple[Ern, int]
"""A version that was signed and has no row any more."""
Held = tuple[Version | Lost, SealedObject | None, Verdict]
"""A version, what opens it, and whether both are what was signed."""
ROW_LOST = Verdict(
    Outcome.NOT_VERIFIABLE, "it was signed, and its row is not there", LedgerAlteredError.code
)


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

    Registered is what was signed when it came in: an edited or missing row is named, too.

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
    """Each version with what opens it, and what comparing it with the signed events shows."""
    if not erns:
        yield from _whole(instance)
        yield from _without_versions(instance)
    for ern in map(Ern.parse, erns):
        with instance.catalog.read() as reader:
            reader.item(ern)
            found = [(each, reader.sealed(each.object_name)) for each in reader.versions(ern)]
            signed = SignedDigests(reader, instance.tiles)
            brought = signed.of([ern])
        yield from ((*each, signed.verdict(*each, brought.get(ern))) for each in found)
        yield from _lost(ern, brought, {version.number for version, _ in found})


def _whole(instance: Instance) -> Iterator[Held]:
    after, numbers = None, dict[Ern, set[int]]()
    while True:
        with instance.catalog.read() as reader:
            page = reader.held(after=after, limit=PAGE_ENTRIES)
            signed = SignedDigests(reader, instance.tiles)
            brought = signed.of(list(dict.fromkeys(each.ern for each, _ in page.entries)))
        after = page.after
        for version, sealed in page.entries:
            numbers.setdefault(version.ern, set()).add(version.number)
            yield version, sealed, signed.verdict(version, sealed, brought.get(version.ern))
        # The last item of a page may go on in the next one.
        for ern in list(numbers)[: -1 if after else None]:
            yield from _lost(ern, brought, numbers.pop(ern))
        if after is None:
            return


def _without_versions(instance: Instance) -> Iterator[Held]:
    after = None
    while True:
        with instance.catalog.read() as reader:
            page = reader.without_versions(after=after, limit=PAGE_ENTRIES)
            brought = SignedDigests(reader, instance.tiles).of(page.entries)
        for ern in page.entries:
            yield from _lost(ern, brought, ())
        after = page.after
        if after is None:
            return


def _lost(
    ern: Ern, brought: Mapping[Ern, Brought | LedgerAlteredError], known: Collection[int]
) -> Iterator[Held]:
    """The versions of an item that were signed and have no row."""
    signed = brought.get(ern, {})
    if not isinstance(signed, LedgerAlteredError):
        yield from (((ern, number), None, ROW_LOST) for number in signed if number not in known)


def _verdicts(
    instance: Instance, held: Iterable[Held], algorithms: Sequence[Algorithm]
) -> Iterator[tuple[Version | Lost, Verdict]]:
    """Verdicts in order, a few objects at a time; one that several versions share is read once."""
    vault = instance.vault
    pending: deque[tuple[Version | Lost, Future[Verdict]]] = deque()
    remembered: dict[ObjectName, Future[Verdict]] = {}
    with ThreadPoolExecutor(THREADS, "verify") as pool:
        try:
            for version, sealed, signed in held:
                if sealed is None or signed.outcome is not Outcome.MATCH:
                    pending.append((version, _done(signed)))
                else:  # of what is signed there is one content to each object
                    if sealed.name not in remembered:
                        if len(remembered) >= REMEMBERED:
                            del remembered[next(iter(remembered))]
                        remembered[sealed.name] = pool.submit(
                            verify_stored, vault, sealed, sealed.fingerprint, algorithms
                        )
                    pending.append((version, remembered[sealed.name]))
                if len(pending) >= AHEAD:
                    yield _finished(pending)
            while pending:
                yield _finished(pending)
        finally:
            pool.shutdown(cancel_futures=True)


def _done(verdict: Verdict) -> Future[Verdict]:
    future: Future[Verdict] = Future()
    future.set_result(verdict)
    return future


def _finished(
    pending: deque[tuple[Version | Lost, Future[Verdict]]],
) -> tuple[Version | Lost, Verdict]:
    version, verdict = pending.popleft()
    return version, verdict.result()


def _fields(
    version: Version | Lost, verdict: Verdict, algorithms: Sequence[Algorithm]
) -> dict[str, Json]:
    ern, number, type_ = _named(version)
    return {
        "ern": str(ern),
        "version": number,
        "version_type": type_,
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


def _named(version: Version | Lost) -> tuple[Ern, int, str | None]:
    """An ERN, a number and, where there is a row, its type."""
    if isinstance(version, Version):
        return version.ern, version.number, version.type.value
    return *version, None


def _text(version: Version | Lost, verdict: Verdict) -> str:
    what = verdict.outcome.value.upper().replace("_", " ")
    ern, number, type_ = _named(version)
    line = f"{what:<14} {ern} version {number}" + ("" if type_ is None else f" ({type_})")
    return line if verdict.reason is None else f"{line}  {verdict.code}: {verdict.reason}"


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("verify")(verify)
