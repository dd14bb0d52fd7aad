"""The bag in its zip: written in one pass, and read with suspicion."""

import io
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import bagit  # type: ignore[import-untyped] # it has no types
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evidence_store.errors import MalformedError
from evidence_store.package.bag import BASE, SMALL_BYTES_MAX, BagReader, BagWriter
from evidence_store.package.verification import encoded_hashes, verify_package
from tests.packages import START, closed, told, zipped


def bagged(files: dict[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    bag = BagWriter(file, START)
    for name, content in files.items():
        bag.add(name, content)
    bag.finish({"Source-Organization": "SI"})
    file.seek(0)
    return file


FILES = {"data/a.txt": b"a", "data/b/c.bin": bytes(range(256)), "report.html": b"<p>"}


def test_what_was_written_is_read() -> None:
    bag = BagReader(bagged(FILES))
    assert {name: bag.read(name) for name in FILES} == FILES
    assert bag.under("data") == ["data/a.txt", "data/b/c.bin"]
    assert list(bag.problems()) == []


def test_a_bag_is_one_that_bagit_accepts(tmp_path: Path) -> None:
    with zipfile.ZipFile(bagged(FILES)) as content:
        content.extractall(tmp_path)
    found = bagit.Bag(str(tmp_path / BASE))
    found.validate()
    assert found.info["Payload-Oxum"] == "257.2"


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.from_regex(r"data/[a-z0-9]{1,8}", fullmatch=True), st.binary()))
def test_any_content_comes_back(files: dict[str, bytes]) -> None:
    bag = BagReader(bagged(files))
    assert {name: bag.read(name) for name in files} == files
    assert list(bag.problems()) == []


def test_a_content_is_written_as_it_comes() -> None:
    """A gigabyte goes in without ever being whole in memory: chunks are asked for one by one."""
    file = io.BytesIO()
    taken: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(3):
            taken.append(file.tell())
            yield bytes([number]) * 1000

    bag = BagWriter(file, START)
    bag.add("data/large", chunks())
    bag.finish({})
    assert taken[0] < taken[1] < taken[2]


@pytest.mark.parametrize("name", ["", "/x", "../x", "data/../x", "data//x", "data/.x", "a b", "ä"])
def test_a_name_that_is_not_plain_is_not_written(name: str) -> None:
    with pytest.raises(MalformedError):
        BagWriter(io.BytesIO(), START).add(name, b"")


def test_a_name_is_written_once() -> None:
    bag = BagWriter(io.BytesIO(), START)
    bag.add("data/x", b"one")
    with pytest.raises(MalformedError):
        bag.add("data/x", b"two")


def test_a_large_file_is_not_read_as_a_small_one() -> None:
    bag = BagReader(bagged({"data/x": bytes(SMALL_BYTES_MAX + 1)}))
    with pytest.raises(MalformedError):
        bag.read("data/x")


def test_a_text_is_utf_8() -> None:
    with pytest.raises(MalformedError):
        BagReader(bagged({"data/x": b"\xff"})).text("data/x")


def test_a_file_that_is_not_there_is_not_read() -> None:
    with pytest.raises(MalformedError):
        BagReader(bagged({})).read("data/x")


# ------------------------------------------------------------------- against manifests


def changed(files: dict[str, bytes | None]) -> BagReader:
    """The bag with files that were changed, added or (None) taken out after it was finished."""
    file = io.BytesIO()
    with zipfile.ZipFile(bagged(FILES)) as before, zipfile.ZipFile(file, "w") as after:
        kept = {each.filename: before.read(each) for each in before.infolist()}
        for name, content in {**kept, **{f"{BASE}/{n}": c for n, c in files.items()}}.items():
            if content is not None:
                after.writestr(name, content)
    file.seek(0)
    return BagReader(file)


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        ({"data/a.txt": b"b"}, {"data/a.txt"}),
        ({"data/a.txt": None}, {"data/a.txt"}),
        ({"data/new": b"x"}, {"data/new"}),
        ({"new": b"x"}, {"new"}),
        ({"report.html": b"<b>"}, {"report.html"}),
        ({"report.html": None}, {"report.html"}),
        ({"bagit.txt": b"BagIt-Version: 0.9\n"}, {"bagit.txt"}),
        ({"bagit.txt": None}, {"bagit.txt"}),
        ({"manifest-sha256.txt": None}, {"manifest-sha256.txt"}),
        ({"tagmanifest-sha256.txt": None}, {"tagmanifest-sha256.txt"}),
        ({"tagmanifest-sha256.txt": b"no manifest\n"}, {"tagmanifest-sha256.txt"}),
        ({"manifest-sha256.txt": b""}, {"manifest-sha256.txt", "data/a.txt", "data/b/c.bin"}),
    ],
)
def test_every_difference_from_the_manifests_is_named(
    files: dict[str, bytes | None], wrong: set[str]
) -> None:
    assert {name for name, _ in changed(files).problems()} == wrong


# -------------------------------------------------------------------- hostile zips


def member(name: str, **attributes: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


def with_members(*members: zipfile.ZipInfo, content: bytes = b"x") -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped_up:
        for each in members:
            zipped_up.writestr(each, content)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        f"{BASE}/../x",
        f"{BASE}/data/../../x",
        f"{BASE}//x",
        f"{BASE}/data/./x",
        f"{BASE}/data\\x",
        f"{BASE}/C:x",
        f"{BASE}/data/x\n",
        f"{BASE}/../x/",
        "../",
        "elsewhere/x",
        f"{BASE}",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        BagReader(with_members(member(name)))


def test_folders_of_their_own_are_no_files() -> None:
    folders = [member(f"{BASE}/"), member(f"{BASE}/data/"), member(f"{BASE}/data/x")]
    assert BagReader(with_members(*folders, content=b"")).names == {"data/x"}


def test_a_link_is_refused() -> None:
    link = member(f"{BASE}/data/x", create_system=3, external_attr=(stat.S_IFLNK | 0o777) << 16)
    with pytest.raises(MalformedError):
        BagReader(with_members(link, content=b"/etc/passwd"))


def test_a_compressed_file_is_refused_unread() -> None:
    deflated = member(f"{BASE}/data/x", compress_type=zipfile.ZIP_DEFLATED)
    with pytest.raises(MalformedError):
        BagReader(with_members(deflated, content=bytes(1_000_000)))


@pytest.mark.parametrize("second", ["data/x", "data/X"])
def test_a_name_that_stands_twice_is_refused(second: str) -> None:
    # `writestr` warns of what is the point here, so the name is changed in the bytes.
    file = with_members(member(f"{BASE}/data/x"), member(f"{BASE}/data/y"))
    content = file.getvalue().replace(b"data/y", second.encode())
    with pytest.raises(MalformedError):
        BagReader(io.BytesIO(content))


def test_members_that_lie_over_each_other_are_refused() -> None:
    """Every entry of the directory points at the same large content."""
    large = 100_000
    content = with_members(member(f"{BASE}/data/x00"), content=bytes(large)).getvalue()
    start = content.index(b"PK\x01\x02")
    entry, end = content[start : content.index(b"PK\x05\x06")], content[-22:]
    entries = b"".join(entry.replace(b"x00", b"x%02d" % number) for number in range(50))
    fields = list(struct.unpack("<4s4H2LH", end))
    fields[3] = fields[4] = 50
    fields[5] = len(entries)
    with pytest.raises(MalformedError):
        BagReader(io.BytesIO(content[:start] + entries + struct.pack("<4s4H2LH", *fields)))


def test_a_member_of_two_sizes_is_refused() -> None:
    content = bytearray(with_members(member(f"{BASE}/data/x"), content=b"12345").getvalue())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24] = 3  # its length unpacked
    with pytest.raises(MalformedError):
        BagReader(io.BytesIO(bytes(content)))


@pytest.mark.parametrize("cut", [0, 1, 21, 1000, -1, -22, -100])
def test_a_zip_that_is_cut_short_is_refused(cut: int) -> None:
    content = bagged(FILES).getvalue()
    with pytest.raises(MalformedError):
        BagReader(io.BytesIO(content[:cut]))


def test_a_byte_that_was_lost_in_a_file_is_a_problem_and_no_crash() -> None:
    content = bagged(FILES).getvalue().replace(bytes(range(256)), bytes(256))
    bag = BagReader(io.BytesIO(content))
    assert [name for name, _ in bag.problems()] == ["data/b/c.bin"]
    with pytest.raises(MalformedError):
        bag.read("data/b/c.bin")


SOUND = zipped(closed(told())).getvalue()


@settings(max_examples=80, deadline=None)
@given(
    at=st.integers(0, len(SOUND) - 1) | st.integers(len(SOUND) - 6000, len(SOUND) - 1),
    value=st.integers(0, 255),
)
@example(at=len(SOUND) - 22 + 4, value=1)
def test_no_byte_of_a_zip_makes_more_than_an_error_or_a_finding(at: int, value: int) -> None:
    content = bytearray(SOUND)
    content[at] = value
    try:
        bag = BagReader(io.BytesIO(bytes(content)))
    except MalformedError:
        return
    verify_package(bag, None)


def test_hashes_of_another_length_are_not_written() -> None:
    with pytest.raises(MalformedError):
        encoded_hashes([b"short"])
