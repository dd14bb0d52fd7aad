"""Background work under leases: any worker can die, and no task holds up another."""

import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from api import wiring
from api.leases import Keep, Task
from api.worker import Worker
from evidence_store.errors import StoreUnavailableError, UnavailableError
from tests.doors import Doors, doors, instance_at  # noqa: F401 - a fixture

SHORT = timedelta(seconds=1.5)
DYING = """
import sys, time
from datetime import timedelta
from pathlib import Path
from api import wiring
from api.leases import Task
from api.worker import Worker

def act(keep):
    print("in the middle", flush=True)
    time.sleep(60)

instance = wiring.open_instance(Path(sys.argv[1]), lambda: b"")
with Worker(instance, None, [Task("uploads", act, 1)], lease=timedelta(seconds=1.5)) as worker:
    worker.run()
"""


def until(holds: Event, seconds: float = 20) -> None:
    assert holds.wait(seconds)


def test_a_worker_killed_in_the_middle_of_a_task_is_followed_by_another_after_its_lease(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    instance_at(home).close()
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", DYING, str(home)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    with process, closing(wiring.open_instance(home, lambda: b"")) as instance:
        assert process.stdout.readline() == b"in the middle\n"
        time.sleep(SHORT.total_seconds() * 1.5)  # the work goes on longer than a lease lasts
        done = Event()
        second = Worker(instance, None, [Task("uploads", lambda _: done.set(), 0.1)], SHORT)
        assert second.once() == []  # it was renewed
        process.kill()
        process.wait(30)
        with second:
            until(done)


def test_a_task_that_fails_stops_no_other_and_is_tried_again(doors: Doors) -> None:  # noqa: F811 - the fixture
    tried, went_on = Event(), Event()
    failures = 0

    def fails(_: Keep) -> None:
        nonlocal failures
        failures += 1
        if failures == 3:
            tried.set()
        raise StoreUnavailableError("away") if failures % 2 else RuntimeError("not foreseen")

    tasks = [Task("a", fails, 0.05), Task("b", lambda _: went_on.set(), 0.05)]
    with Worker(doors.instance, doors.uploading, tasks):
        until(tried)
        until(went_on)


def test_a_task_that_takes_long_holds_up_no_other(doors: Doors) -> None:  # noqa: F811 - the fixture
    begun, ended, others = Event(), Event(), Event()

    def long(keep: Keep) -> None:
        begun.set()
        others.wait(20)
        with pytest.raises(UnavailableError):
            keep.insist(30)  # the worker is stopped meanwhile
        ended.set()

    tasks = [Task("a", long, 1), Task("b", lambda _: others.set(), 0.05)]
    with Worker(doors.instance, doors.uploading, tasks):
        until(begun)
        until(others)
    until(ended)


def test_a_task_that_begins_while_the_worker_stops_is_told_at_once(doors: Doors) -> None:  # noqa: F811 - the fixture
    told = Event()

    def work(keep: Keep) -> None:
        with pytest.raises(UnavailableError):
            keep.insist()
        told.set()

    worker = Worker(doors.instance, doors.uploading, [Task("a", work, 1)])
    worker.stop()
    worker.once()
    assert told.is_set()


def test_who_has_lost_a_lease_is_told(doors: Doors) -> None:  # noqa: F811 - the fixture
    store, clock = doors.instance.doors, doors.instance.clock
    begun, told = Event(), Event()

    def work(keep: Keep) -> None:
        begun.set()
        with pytest.raises(UnavailableError):
            keep.insist(20)
        told.set()
        keep.insist()

    with Worker(doors.instance, doors.uploading, [Task("a", work, 60)], SHORT):
        until(begun)
        late = clock.now() + timedelta(hours=1)  # another, whose clock says that it ran out
        assert store.lease("a", "another", late, late + timedelta(hours=1))
        until(told)


def test_pauses_grow_while_something_is_away_and_have_an_end() -> None:
    task = Task("a", lambda _: None, 2, 60)
    assert [task.wait_seconds(failures) for failures in (0, 1, 3, 50)] == [2, 4, 16, 60]


def test_every_task_of_an_instance_is_done_once_and_says_when(doors: Doors) -> None:  # noqa: F811 - the fixture
    worker = Worker(doors.instance, doors.uploading)
    names = {task.name for task in worker.tasks}
    assert set(worker.once()) == names
    assert {"sequencing", "uploads", "expiry", "time-stamps", "fixity"} <= names
    found = {each.name: each for each in doors.instance.work.leases()}
    assert all(found[name].done_at is not None for name in names)
