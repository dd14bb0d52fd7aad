"""Places and turns: nobody has them all, nobody waits in a thread that others need."""

import threading

import pytest

from api.finishing import AT_ONCE_MAX, Finishing
from api.http import packages
from api.http.places import Places
from evidence_store.errors import RateError
from evidence_store.identifiers import PersonCode, Role

ONE, TWO, THREE = (PersonCode(Role.OFFICER, number) for number in (1, 2, 3))


def test_a_caller_has_so_many_places_and_others_have_theirs() -> None:
    places = Places("package", of_caller_max=2, of_all_max=3)
    places.take(ONE)
    places.take(ONE)
    with pytest.raises(RateError):
        places.take(ONE)
    places.take(TWO)
    with pytest.raises(RateError):
        places.take(THREE)
    places.give_back(ONE)
    with places.taken(THREE), pytest.raises(RateError):
        places.take(TWO)
    places.take(TWO)


def test_one_caller_cannot_have_all_places_for_packages() -> None:
    assert packages.OF_CALLER_MAX < packages.OF_ALL_MAX


def test_turns_go_round_among_callers_and_each_has_one_at_a_time() -> None:
    finishing: Finishing[str] = Finishing()
    go_on, order, lock = threading.Event(), [], threading.Lock()

    def act(name: str) -> str:
        with lock:
            order.append(name)
        assert go_on.wait(30)
        return name

    futures = [finishing.submit(ONE, f"1{n}", lambda n=n: act(f"1{n}")) for n in range(5)]  # type: ignore[misc] # bound now
    futures += [finishing.submit(TWO, "2", lambda: act("2")), finishing.submit(THREE, "3", dict)]  # type: ignore[arg-type] # any result
    go_on.set()
    assert [each.result(30) for each in futures[:6]] == ["10", "11", "12", "13", "14", "2"]
    assert order.index("2") <= AT_ONCE_MAX  # before what the first had waiting for long
    finishing.close()


def test_what_is_asked_for_twice_is_done_once_and_what_fails_says_so() -> None:
    finishing: Finishing[int] = Finishing()
    go_on = threading.Event()

    def fails() -> int:
        assert go_on.wait(30)
        raise RateError("no")

    first, again = finishing.submit(ONE, "a", fails), finishing.submit(ONE, "a", lambda: 1)
    go_on.set()
    assert first is again
    with pytest.raises(RateError):
        first.result(30)
    assert finishing.submit(ONE, "a", lambda: 1).result(30) == 1
    finishing.close()
    with pytest.raises(RuntimeError):
        finishing.submit(ONE, "b", lambda: 1)
