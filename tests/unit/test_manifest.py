import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store import manifest
from evidence_store.digest import Digest, fingerprint
from evidence_store.errors import MalformedError

NAMES = st.binary(min_size=1, max_size=30).filter(
    lambda name: not name.startswith(b"./") and name.strip() and b"\0" not in name
)
DIGESTS = st.binary(max_size=8).map(lambda content: fingerprint([content]).sha256)


@given(st.dictionaries(NAMES, DIGESTS, max_size=5))
def test_a_manifest_of_any_names_is_read_as_it_was_written(digests: dict[bytes, Digest]) -> None:
    assert manifest.parse(manifest.write(digests)) == digests


def test_what_sha256sum_writes_is_read(tmp_path: Path) -> None:
    names = ["plain.jpg", "with space.jpg", "back\\slash", "new\nline", "š č.txt"]
    for name in names:
        (tmp_path / name).write_text(name)
    written = subprocess.run(  # noqa: S603 - fixed arguments
        ["sha256sum", "--", *names],  # noqa: S607 - coreutils, wherever it is
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    expected = {name.encode(): fingerprint([name.encode()]).sha256 for name in names}
    assert manifest.parse(written.stdout) == expected


def test_binary_marks_capitals_dots_blank_lines_and_carriage_returns_are_read() -> None:
    digest = "AB" * 32
    content = f"{digest} *a.bin\r\n\n{digest}  ./sub/b.bin\n".encode()
    assert list(manifest.parse(content)) == [b"a.bin", b"sub/b.bin"]


@pytest.mark.parametrize(
    "line",
    [
        b"not a digest  name",
        b"ab" * 31 + b"  name",
        b"ab" * 32 + b" name",
        b"ab" * 32 + b"  ",
        b"SHA256 (name) = " + b"ab" * 32,
        b"\\" + b"ab" * 32 + b"  bad\\qescape",
        b"\\" + b"ab" * 32 + b"  trailing\\",
        b"ab" * 32 + b"  ./",
    ],
)
def test_a_line_that_is_not_in_the_format_is_refused_by_its_number(line: bytes) -> None:
    good = b"cd" * 32 + b"  good\n"
    with pytest.raises(MalformedError, match="line 2"):
        manifest.parse(good + line + b"\n")


def test_a_name_with_two_digests_is_refused() -> None:
    content = b"ab" * 32 + b"  name\n" + b"cd" * 32 + b"  ./name\n"
    with pytest.raises(MalformedError):
        manifest.parse(content)
