"""One suite for both databases: acts that come at the same time share a commit, and nothing else.

None is acknowledged that is not durable, none is done twice, each item's events stay in one
row, and what happens to one act happens to no other, unless it is the commit itself.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from evidence_store.audit import audit
from evidence_store.errors import CatalogBusyError, ConflictError, CustodyError, EvidenceError
from evidence_store.identifiers import Ern
from evidence_store.ledger.event import Draft
from evidence_store.ledger.policy import NONE, Policy
from evidence_store.sequencing import Sequencer
from storage.catalog import SqlCatalog, create_catalog, group_commit, open_catalog
from storage.catalog.engine import writing
from storage.catalog.prepared import driven
from storage.ledger.files import TileFolder
from tests.catalogs import NOW, SI
from tests.ledgers import ORIGIN, Ledger, Ticking
from tests.queues import queue
from tests.signing import HeldKeys

ROOT = Path(__file__).parents[2]
OFFICERS = 6


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction stays open for those who come, however slow the machine is."""
    monkeypatch.setattr(group_commit, "OPEN_SECONDS_MAX", 60.0)


@pytest.fixture
def ledger(catalog: SqlCatalog, tmp_path: Path) -> Ledger:
    return Ledger(catalog, TileFolder(tmp_path / "ledger"))


def record(ledger: Ledger, ern: Ern, place: str = "Brod") -> int:
    """An act of its own, as it comes over HTTP; returns its number once it is acknowledged."""
    with ledger.catalog.act() as writer:
        (signed,) = ledger.recorder.record(writer, [Draft(ern, "moved", {}, {"place": place})])
    return signed.event.seq


def refused(ledger: Ledger, ern: Ern) -> int:
    """An act that is refused after something was written for it."""
    with ledger.catalog.act() as writer:
        ledger.recorder.record(writer, [Draft(ern, "moved", {}, {"place": "nowhere"})])
        raise CustodyError("the rules of custody refuse it")


def refused_by_database(ledger: Ledger, ern: Ern) -> int:
    """An act that the database refuses."""
    with ledger.catalog.act() as writer:
        writer.add_items([writer.item(ern)])
    return 0


def places(ledger: Ledger, ern: Ern) -> list[str]:
    """Where an item was moved to, insisting that its events and the log are without a gap."""
    with ledger.catalog.read() as reader:
        events = reader.ledger.events(ern)
        size = reader.ledger.size()
        assert len(reader.ledger.leaves(0, size)) == size
    assert [each.seq for each in events] == list(range(1, len(events) + 1))
    return [str(each.signed.disclosed()["place"]) for each in events]


def is_sound(ledger: Ledger) -> None:
    """The log is taken in, and an audit of all of it finds nothing."""
    ledger.sequencer.run()
    assert [each.problem for each in audit(ledger.catalog, ledger.tiles) if each.problem] == []


@contextmanager
def listening(engine: Engine, committing: Callable[[Connection], None]) -> Iterator[None]:
    """Whoever commits meanwhile calls this first."""
    event.listen(engine, "commit", committing)
    try:
        yield
    finally:
        event.remove(engine, "commit", committing)


@contextmanager
def commits(engine: Engine) -> Iterator[list[Connection]]:
    """Every commit meanwhile."""
    seen: list[Connection] = []
    with listening(engine, seen.append):
        yield seen


# -------------------------------------------------------------------- one commit for all


def test_acts_that_come_at_the_same_time_share_a_commit_and_follow_each_other(
    ledger: Ledger,
) -> None:
    ern = ledger.item()
    with commits(ledger.catalog.engine) as seen:
        with queue(ledger.catalog) as line:
            futures = [line.come(record, ledger, ern, f"{number}") for number in range(OFFICERS)]
        assert [each.result(20) for each in futures] == list(range(1, OFFICERS + 1))
    assert len(seen) == 2  # whoever held the turn, and all the others together
    assert places(ledger, ern) == [f"{number}" for number in range(OFFICERS)]
    is_sound(ledger)


def test_an_act_alone_is_one_commit(ledger: Ledger) -> None:
    ern = ledger.item()
    with commits(ledger.catalog.engine) as seen:
        assert [record(ledger, ern) for _ in range(3)] == [1, 2, 3]
    assert len(seen) == 3


def test_no_act_is_answered_before_the_commit(ledger: Ledger) -> None:
    ern = ledger.item()
    seen: list[int] = []
    reached, go = threading.Event(), threading.Event()

    def slowly(_: Connection) -> None:
        seen.append(1)
        if len(seen) == 2:  # the first is that of whoever held the turn
            reached.set()
            go.wait(60)

    with listening(ledger.catalog.engine, slowly):
        with queue(ledger.catalog) as line:
            futures = [line.come(record, ledger, ern) for _ in range(OFFICERS)]
        try:
            assert reached.wait(20)
            done, _ = wait(futures, timeout=0.3)
            assert not done
            assert places(ledger, ern) == []
        finally:
            go.set()
        assert [each.result(20) for each in futures] == list(range(1, OFFICERS + 1))


def test_a_full_transaction_is_committed_and_the_next_begins(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "ACTS_MAX", 2)
    ern = ledger.item()
    with commits(ledger.catalog.engine) as seen:
        with queue(ledger.catalog) as line:
            futures = [line.come(record, ledger, ern) for _ in range(5)]
        assert [each.result(20) for each in futures] == [1, 2, 3, 4, 5]
    assert len(seen) == 1 + 3


def test_nobody_enters_a_transaction_that_is_old(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "OPEN_SECONDS_MAX", 0.0)
    ern = ledger.item()
    with commits(ledger.catalog.engine) as seen:
        with queue(ledger.catalog) as line:
            futures = [line.come(record, ledger, ern) for _ in range(3)]
        assert [each.result(20) for each in futures] == [1, 2, 3]
    assert len(seen) == 1 + 3


def test_a_writer_that_shares_with_nobody_finds_durable_what_was_done_before(
    ledger: Ledger, catalog_url: str
) -> None:
    ern = ledger.item()

    def alone() -> int:
        with (
            ledger.catalog.write() as writer,
            closing(open_catalog(catalog_url)) as another,
            another.read() as reader,
        ):
            durable = [each.seq for each in reader.ledger.events(ern)]
            assert durable == [each.seq for each in writer.ledger.events(ern)]
        return len(durable)

    with commits(ledger.catalog.engine) as seen:
        with queue(ledger.catalog) as line:
            futures = [line.come(record, ledger, ern) for _ in range(2)]
            between = line.come(alone)
            futures += [line.come(record, ledger, ern) for _ in range(2)]
        assert between.result(20) == 2
        assert [each.result(20) for each in futures] == [1, 2, 3, 4]
    assert len(seen) == 4  # the holder, two, the one alone, two


# ------------------------------------------------------------------- one act for itself


@pytest.mark.parametrize("place", [0, 2, OFFICERS], ids=["first", "between", "last"])
@pytest.mark.parametrize("how", [refused, refused_by_database])
def test_a_refused_act_undoes_itself_and_none_of_its_neighbours(
    ledger: Ledger, how: Callable[[Ledger, Ern], int], place: int
) -> None:
    ern = ledger.item()
    acts: list[Callable[[Ledger, Ern], int]] = [record] * OFFICERS
    acts[place:place] = [how]
    with queue(ledger.catalog) as line:
        futures = [line.come(act, ledger, ern) for act in acts]
    with pytest.raises(CustodyError if how is refused else ConflictError):
        futures.pop(place).result(20)
    assert [each.result(20) for each in futures] == list(range(1, OFFICERS + 1))
    assert places(ledger, ern) == ["Brod"] * OFFICERS
    is_sound(ledger)


def test_who_waits_too_long_gives_up_and_the_others_are_let_in(
    catalog_url: str, ledger: Ledger
) -> None:
    ern = ledger.item()
    with closing(open_catalog(catalog_url, busy_seconds=0.3)) as impatient:
        hasty = copy(ledger)
        hasty.catalog = impatient
        with queue(impatient) as line:
            early = line.come(record, hasty, ern)
            with pytest.raises(CatalogBusyError, match="try again"):
                early.result(20)
            late = line.come(record, hasty, ern)
        assert late.result(20) == 1
        assert record(hasty, ern) == 2
    is_sound(ledger)


# ---------------------------------------------------------------- the commit itself fails


def test_a_commit_that_fails_fails_them_all_with_try_again_and_keeps_nothing(
    ledger: Ledger,
) -> None:
    ern = ledger.item()
    record(ledger, ern, "before")
    seen: list[int] = []

    def failing(_: Connection) -> None:
        seen.append(1)
        if len(seen) == 2:
            raise OperationalError("", None, OSError("the line was cut"))

    with listening(ledger.catalog.engine, failing):
        with queue(ledger.catalog) as line:
            futures = [line.come(record, ledger, ern) for _ in range(OFFICERS)]
        for each in futures:
            with pytest.raises(CatalogBusyError):
                each.result(20)
    assert places(ledger, ern) == ["before"]
    assert record(ledger, ern, "after") == 2
    assert places(ledger, ern) == ["before", "after"]
    is_sound(ledger)


def test_a_commit_that_fails_leaves_no_lock_behind(ledger: Ledger) -> None:
    engine = ledger.catalog.engine

    def failing(_: Connection) -> None:
        raise OperationalError("", None, OSError("the line was cut"))

    with (
        listening(engine, failing),
        pytest.raises(CatalogBusyError),
        writing(engine) as connection,
    ):
        connection.execute(text("SELECT 1"))
    with writing(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    assert record(ledger, ledger.item()) == 1


def test_a_transaction_that_the_database_gave_up_fails_all_who_are_in_it(ledger: Ledger) -> None:
    ern = ledger.item()
    record(ledger, ern, "before")

    def losing() -> int:
        with ledger.catalog.act() as writer:
            # As SQLite does of its own accord when the disk is full.
            driven(writer._connection, "ROLLBACK")  # type: ignore[attr-defined] # noqa: SLF001
            raise CustodyError("it is refused, too")

    with queue(ledger.catalog) as line:
        lost = [line.come(record, ledger, ern) for _ in range(2)]
        loser = line.come(losing)
        kept = [line.come(record, ledger, ern, "after") for _ in range(2)]
    with pytest.raises(CustodyError):
        loser.result(20)
    for each in lost:
        with pytest.raises(CatalogBusyError, match="try again"):
            each.result(20)
    assert [each.result(20) for each in kept] == [2, 3]
    assert places(ledger, ern) == ["before", "after", "after"]
    is_sound(ledger)


def test_a_database_that_another_process_writes_to_fails_each_act_in_its_time(
    ledger: Ledger, catalog_url: str
) -> None:
    ern = ledger.item()
    with closing(open_catalog(catalog_url, busy_seconds=0.2)) as impatient:
        hasty = copy(ledger)
        hasty.catalog = impatient
        with ThreadPoolExecutor(3) as pool, writing(ledger.catalog.engine):
            futures = [pool.submit(record, hasty, ern) for _ in range(3)]
            for each in futures:
                assert isinstance(each.exception(30), CatalogBusyError)
        assert record(hasty, ern) == 1


# ------------------------------------------------------------------------ whatever comes

KINDS = {"acts": record, "is refused": refused, "is refused by the database": refused_by_database}


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    officers=st.lists(
        st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 1)), max_size=4),
        min_size=2,
        max_size=OFFICERS,
    ),
    acts_max=st.integers(1, 8),
)
def test_whatever_officers_do_at_once_what_was_acknowledged_is_what_there_is(
    ledger: Ledger, officers: list[list[tuple[str, int]]], acts_max: int
) -> None:
    erns = [ledger.item(), ledger.item()]
    acknowledged = [(ern, record(ledger, ern)) for ern in erns]

    def officer(does: list[tuple[str, int]]) -> None:
        for kind, which in does:
            try:
                acknowledged.append((erns[which], KINDS[kind](ledger, erns[which])))
                assert kind == "acts"
            except EvidenceError:
                assert kind != "acts"

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(OFFICERS) as pool:
        patch.setattr(group_commit, "ACTS_MAX", acts_max)
        list(pool.map(officer, officers))
    for ern in erns:
        found = len(places(ledger, ern))
        assert sorted(seq for of, seq in acknowledged if of == ern) == list(range(1, found + 1))
    is_sound(ledger)


# ---------------------------------------------------------------------------- crashes

SIXTEEN_OFFICERS = """
import os, sys, threading
from pathlib import Path
from evidence_store.ledger.event import Draft
from evidence_store.ledger.policy import NONE, Policy
from evidence_store.sequencing import Sequencer
from storage.catalog import open_catalog
from storage.ledger.files import TileFolder
from tests.ledgers import ORIGIN, Ledger, Ticking
from tests.queues import queue
from tests.signing import HeldKeys

ledger = Ledger(open_catalog(sys.argv[1], busy_seconds=30), TileFolder(Path(sys.argv[2])))
erns = [ledger.item() for _ in range(5)]
for ern in erns:
    ledger.act(ern)

def officer(number):
    ern = erns[number % 5]
    while True:
        with ledger.catalog.act() as writer:
            (signed,) = ledger.recorder.record(writer, [Draft(ern, "moved", {}, {"place": "B"})])
        os.write(1, f"{ern} {signed.event.seq} {signed.commitment.hex()}\\n".encode())

for number in range(16):
    threading.Thread(target=officer, args=(number,)).start()
"""


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 7, 150])
def test_kill_9_while_sixteen_act_loses_nothing_that_was_acknowledged(
    catalog_url: str, tmp_path: Path, lines: int
) -> None:
    create_catalog(catalog_url, SI, "A", NOW).close()
    process = subprocess.Popen(  # noqa: S603 - this very Python, with our own program
        [sys.executable, "-c", SIXTEEN_OFFICERS, catalog_url, str(tmp_path / "ledger")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    told += process.communicate(timeout=30)[0].splitlines(keepends=True)
    acknowledged = [each.split() for each in told if each.endswith("\n")]
    assert len(acknowledged) >= lines

    keys, tiles = HeldKeys(), TileFolder(tmp_path / "ledger")
    signers = keys.log_signers(ORIGIN)
    policy = Policy(dict.fromkeys(each.key for each in signers), {}, {}, NONE)
    with closing(open_catalog(catalog_url, busy_seconds=10)) as catalog:
        Sequencer(catalog, tiles, ORIGIN, signers, policy, Ticking()).run()
        assert [each.problem for each in audit(catalog, tiles) if each.problem] == []
        with catalog.read() as reader:
            kept = {
                ern: [each.signed.commitment.hex() for each in reader.ledger.events(Ern.parse(ern))]
                for ern in {ern for ern, _, _ in acknowledged}
            }
    for ern, seq, commitment in acknowledged:
        assert kept[ern][int(seq) - 1] == commitment
        assert kept[ern].count(commitment) == 1
    assert len({(ern, seq) for ern, seq, _ in acknowledged}) == len(acknowledged)
