"""The page in which a worker leaves what it was at."""

import os

import pytest

from ingest.extraction.blackbox import SIZE_BYTES, BlackBox


def test_a_note_is_found_by_the_other_side_and_can_be_erased() -> None:
    ours, fd = BlackBox.create()
    theirs = BlackBox(fd)
    os.close(fd)
    assert ours.read() == b""
    assert theirs.note(b"at the exif reader")
    assert ours.read() == b"at the exif reader"
    assert theirs.note(b"")
    assert ours.read() == b""


def test_a_note_that_is_too_long_leaves_the_one_before() -> None:
    box, fd = BlackBox.create()
    os.close(fd)
    assert box.note(b"first")
    assert not box.note(bytes(SIZE_BYTES))
    assert box.read() == b"first"


def test_a_length_that_is_a_lie_reads_no_further_than_the_page() -> None:
    box, fd = BlackBox.create()
    os.pwrite(fd, b"\xff" * 100, 0)
    os.close(fd)
    assert len(box.read()) <= SIZE_BYTES


def test_the_page_cannot_be_taken_away_from_under_the_reader() -> None:
    _, fd = BlackBox.create()
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)
