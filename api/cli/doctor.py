"""`evidence doctor`: what is wrong with this instance, and what a crash left. Changes nothing unasked."""

import ctypes
import shutil
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Annotated

import typer

from api import cooperation, fixity, ledger, rewrapping, wiring
from api.absent_store import AbsentStore
from api.cli.context import shared
from api.cli.exits import Exit, exit_of, worst
from api.cli.output import Json
from api.wiring import Instance
from evidence_store.cooperation.kind import kinds
from evidence_store.errors import EvidenceError, StoreUnavailableError
from evidence_store.journal import differing_headers
from evidence_store.reconciliation import Discrepancy, reconcile

FREE_BYTES_MIN = 10 * 1024**3
EXAMPLES = 5  # names shown of what is orphaned or missing
CLOCK_UNSYNCHRONISED = 5  # adjtimex(2): TIME_ERROR
OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `advice` says what to do unless the outcome is ok."""

    outcome: str
    found: Json
    advice: str | None = None


OK, WARNING, ERROR, SKIPPED = "ok", "warning", "error", "skipped"


def doctor(
    context: typer.Context,
    *,
    discard_unfinished: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="HOURS",
            help="Let go of writes begun more than HOURS ago that no crash survivor will finish.",
        ),
    ] = None,
) -> Exit:
    """Look for what is wrong: settings, keys, catalog, store, isolation, space, clock, orphans.

    Exit code 0 if all is well or only worth knowing, else as the worst finding has it.
    """
    here = shared(context)
    instance = here.instance(without_store=True)
    if discard_unfinished is not None and not isinstance(instance.objects, AbsentStore):
        before = instance.clock.now() - timedelta(hours=discard_unfinished)
        count = instance.objects.discard_unfinished(before=before)
        here.output.note(f"let go of {count} unfinished writes")
    exits: list[Exit] = []
    store_is_there = True
    for name, check in CHECKS.items():
        try:
            finding = check(instance)
        except StoreUnavailableError as error:
            # One finding; what else would be asked of the store cannot be said, and is not well.
            finding = Finding(SKIPPED, "the store is not there")
            if store_is_there:
                finding = Finding(ERROR, f"{error.code}: {error}", "bring it back; run this again")
            store_is_there = False
            exits.append(exit_of(error))
        except EvidenceError as error:
            finding = Finding(ERROR, f"{error.code}: {error}")
            exits.append(exit_of(error))
        else:
            if finding.outcome == ERROR:
                exits.append(Exit.INTEGRITY)
        row: dict[str, Json] = {
            "check": name,
            "outcome": finding.outcome,
            "found": finding.found,
            "advice": finding.advice,
        }
        advice = f"  {finding.advice}" if finding.advice else ""
        here.output.record(row, f"{finding.outcome:<8} {name}: {finding.found}{advice}")
    return worst(exits)


def _home(instance: Instance) -> Finding:
    mode = stat.S_IMODE(instance.home.stat().st_mode)
    if mode & OPEN_TO_OTHERS:
        return Finding(WARNING, f"mode {mode:04o}", f"run: chmod go= {instance.home}")
    return Finding(OK, str(instance.home))


def _catalog(instance: Instance) -> Finding:
    with instance.catalog.read() as reader:
        return Finding(OK, f"{reader.state()}, {reader.authority()}")


def _keys(instance: Instance) -> Finding:
    instance.keyring.check()
    older = rewrapping.still_older(instance)
    if older:
        words = f"wrapped to older keys: {rewrapping.told(older)}"
        return Finding(WARNING, words, "evidence keys rewrap")
    return Finding(OK, instance.keyring.recipient)


def _store(instance: Instance) -> Finding:
    return Finding(OK, wiring.examine_store(instance))


def _isolation(instance: Instance) -> Finding:
    with wiring.start_extractor(instance.home) as extractor:
        words = extractor.isolation()
        if not extractor.is_isolated:
            advice = "claims are not read on this machine; see the operator's guide"
            return Finding(WARNING, words, advice)
    return Finding(OK, words)


def _space(instance: Instance) -> Finding:
    free = min(shutil.disk_usage(path).free for path in wiring.local_folders(instance))
    if free < FREE_BYTES_MIN:
        return Finding(WARNING, free, "less than 10 GiB are free: make room")
    return Finding(OK, free)


def _clock(instance: Instance) -> Finding:
    now = instance.clock.now()
    with instance.catalog.read() as reader:
        last = reader.last_registered()
    if last is not None and last.registered_at > now:
        return Finding(ERROR, now.isoformat(), f"the clock is behind {last.ern}: set it right")
    if not _clock_is_synchronised():
        return Finding(WARNING, now.isoformat(), "the clock is not synchronised: set up NTP")
    return Finding(OK, now.isoformat())


def _clock_is_synchronised() -> bool:
    """What the kernel says, where it can be asked; True elsewhere."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return True
    # With `modes` of nought the call only reads; the structure is smaller than this buffer.
    return bool(adjtimex(ctypes.create_string_buffer(512)) != CLOCK_UNSYNCHRONISED)


def _rules(_: Instance) -> Finding:
    policy = cooperation.policy()
    return Finding(OK, f"{len(policy.rules)} rules, {len(kinds())} kinds of assistance")


def _log(instance: Instance) -> Finding:
    ledger.insist_continued(instance)
    kept = ledger.alarms(instance)
    with instance.catalog.read() as reader:
        head = reader.ledger.head()
    size = head.size if head else 0
    if kept:
        advice = f"a rollback or a fork was seen; keep {instance.home / ledger.ALARMS}"
        return Finding(WARNING, f"{size} entries; {', '.join(kept[:EXAMPLES])}", advice)
    return Finding(OK, f"{size} entries")


def _headers(instance: Instance) -> Finding:
    found = list(islice(differing_headers(instance.catalog, instance.headers), EXAMPLES))
    if found:
        advice = "a rebuild needs them; move `headers` away, and the next act writes all of it anew"
        return Finding(ERROR, "; ".join(found), advice)
    return Finding(OK, "ok")


def _fixity(instance: Instance) -> Finding:
    found = fixity.stands(instance)
    with instance.catalog.read() as reader:
        failed = fixity.failures(reader, found)
    if failed:
        names = ", ".join(f"{each['ern'] or each['object']}" for each in failed[:EXAMPLES])
        return Finding(ERROR, f"not as registered: {names}", "evidence fixity status")
    if found.late:
        advice = "the fixity cycle is late: is a worker running? Or raise fixity_bytes_per_second"
        return Finding(WARNING, f"last read at {found.oldest:%Y-%m-%d}", advice)
    return Finding(OK, "ok")


def _unfinished(instance: Instance) -> Finding:
    count = len(instance.objects.unfinished(before=instance.clock.now()))
    if count:
        advice = "if no ingest is running: evidence doctor --discard-unfinished 1"
        return Finding(WARNING, count, advice)
    return Finding(OK, 0)


def _reconciled(which: Discrepancy) -> Callable[[Instance], Finding]:
    def check(instance: Instance) -> Finding:
        counts: Counter[Discrepancy] = Counter()
        examples: list[str] = []
        for discrepancy, name in reconcile(instance.catalog, instance.objects):
            counts[discrepancy] += 1
            if discrepancy is which and len(examples) < EXAMPLES:
                examples.append(str(name))
        if not counts[which]:
            return Finding(OK, 0)
        shown = ", ".join(examples)
        if which is Discrepancy.ORPHAN:
            return Finding(WARNING, counts[which], f"harmless, left by a crash: {shown}")
        return Finding(ERROR, counts[which], f"lost from the store, restore from a copy: {shown}")

    return check


CHECKS: dict[str, Callable[[Instance], Finding]] = {
    "home": _home,
    "catalog": _catalog,
    "keys": _keys,
    "store": _store,
    "isolation": _isolation,
    "space": _space,
    "clock": _clock,
    "rules": _rules,
    "log": _log,
    "headers": _headers,
    "fixity": _fixity,
    "unfinished writes": _unfinished,
    "orphans": _reconciled(Discrepancy.ORPHAN),
    "missing objects": _reconciled(Discrepancy.MISSING),
}


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("doctor")(doctor)
