"""Pieces made ahead come in order, stop where the source fails, and leave no thread behind."""

import threading
from collections.abc import Iterator

import pytest

from evidence_store.ahead import ahead
from evidence_store.errors import FixityError


def threads() -> int:
    return sum(each.name == "ahead" for each in threading.enumerate())


@pytest.mark.parametrize("waiting", [1, 2, 7])
def test_pieces_come_in_order_and_none_is_lost(waiting: int) -> None:
    assert list(ahead(iter(range(100)), waiting=waiting)) == list(range(100))
    assert threads() == 0


def test_of_nothing_there_is_nothing() -> None:
    assert list(ahead(iter(()), waiting=1)) == []


def test_what_the_source_raises_comes_in_place_of_the_piece() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise FixityError(what="object", expected="these", found="others")

    pieces = ahead(source(), waiting=5)
    assert [next(pieces), next(pieces)] == [1, 2]
    with pytest.raises(FixityError):
        next(pieces)
    assert threads() == 0


def test_whoever_stops_early_closes_the_source() -> None:
    closed = threading.Event()
    made: list[int] = []

    def source() -> Iterator[int]:
        try:
            for number in range(1_000_000):
                made.append(number)
                yield number
        finally:
            closed.set()

    pieces = ahead(source(), waiting=2)
    assert next(pieces) == 0
    pieces.close()
    assert closed.is_set()
    assert threads() == 0
    assert len(made) < 10  # two wait, and those on their way


def test_no_more_than_stated_are_made_before_they_are_asked_for() -> None:
    made: list[int] = []
    enough, more = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 3:
                enough.set()  # one is in hand, two wait, and this is the next
            if number > 3:
                more.set()
            yield number

    pieces = ahead(source(), waiting=2)
    next(pieces)
    assert enough.wait(10)
    assert not more.wait(0.1)
    pieces.close()
