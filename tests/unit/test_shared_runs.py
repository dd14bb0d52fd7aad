"""Work that several ask for at once is done once for them, and never too early."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from api.shared_runs import SharedRuns
from evidence_store.errors import LedgerAlteredError, UnavailableError


class Work:
    """Counts its runs, takes what waits, and goes no further than it is let."""

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.runs = 0
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.failure: BaseException | None = None

    def __call__(self) -> tuple[int, ...]:
        self.runs += 1
        taken = tuple(self.waiting)
        self.begun.release()
        assert self.go.acquire(timeout=20)
        if self.failure is not None:
            raise self.failure
        return taken


def test_one_after_another_each_has_a_run_of_its_own() -> None:
    runs, work = SharedRuns[tuple[int, ...]](), Work()
    work.go.release(2)
    work.waiting.append(1)
    assert runs.run(work) == (1,)
    work.waiting.append(2)
    assert runs.run(work) == (1, 2)
    assert work.runs == 2


@contextmanager
def sharing(
    runs: SharedRuns[tuple[int, ...]], work: Work
) -> Iterator[tuple[Future[tuple[int, ...] | None], list[Future[tuple[int, ...] | None]]]]:
    """While a run is under way five ask for one; ends when they all wait. The first of them leads."""

    def ask(number: int) -> tuple[int, ...] | None:
        work.waiting.append(number)
        return runs.run(work)

    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(runs.run, work)
        assert work.begun.acquire(timeout=20)
        asking = [pool.submit(ask, 0)]
        ends = time.monotonic() + 20
        while runs._next is None:  # noqa: SLF001 - who waits is nobody's business else
            assert time.monotonic() < ends
        over = runs._next.over = Counted()  # noqa: SLF001 - likewise
        asking += [pool.submit(ask, number) for number in range(1, 5)]
        for _ in range(4):
            assert over.come.acquire(timeout=20)
        yield first, asking


class Counted(threading.Event):
    """Tells when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.come = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        self.come.release()
        return super().wait(timeout)


def test_those_who_come_during_a_run_share_the_next_which_sees_what_they_did() -> None:
    runs, work = SharedRuns[tuple[int, ...]](), Work()
    with sharing(runs, work) as (first, asking):
        work.go.release(2)
        assert first.result(20) == ()
        for each in asking:
            assert sorted(each.result(20) or ()) == [0, 1, 2, 3, 4]
    assert work.runs == 2


def test_a_run_that_fails_fails_those_who_share_it_and_nobody_later() -> None:
    runs, work = SharedRuns[tuple[int, ...]](), Work()
    with sharing(runs, work) as (first, asking):
        work.failure = LedgerAlteredError("ledger: altered")
        work.go.release(2)
        for each in (first, *asking):
            with pytest.raises(LedgerAlteredError):
                each.result(20)
    assert work.runs == 2
    work.failure = None
    work.go.release()
    assert runs.run(work) is not None


def test_who_is_ended_in_a_run_leaves_the_others_with_try_again() -> None:
    runs, work = SharedRuns[tuple[int, ...]](), Work()
    with sharing(runs, work) as (first, asking):
        work.go.release()
        assert first.result(20) == ()
        work.failure = KeyboardInterrupt()
        work.go.release()
        assert isinstance(asking[0].exception(20), KeyboardInterrupt)
        for each in asking[1:]:
            with pytest.raises(UnavailableError, match="try again"):
                each.result(20)
    work.failure = None
    work.go.release()
    assert runs.run(work) is not None
