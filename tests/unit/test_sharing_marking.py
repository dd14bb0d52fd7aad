import io
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfReader, PdfWriter

from evidence_store.sharing.marking import MARK, marked, marks_in

COPY, OTHER = "0123456789abcdef" * 2, "f" * 32
IDENTITY = MARK + COPY.encode()


def picture(form: str) -> bytes:
    made = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(made, form)
    return made.getvalue()


def pages() -> bytes:
    made, writer = io.BytesIO(), PdfWriter()
    writer.add_blank_page(200, 100)
    writer.add_blank_page(100, 200)
    writer.write(made)
    return made.getvalue()


CONTENT = {
    "image/jpeg": picture("JPEG"),
    "image/png": picture("PNG"),
    "application/pdf": pages(),
}
HEAD_BYTES = {"image/jpeg": 2, "image/png": 33}


def pieces(content: bytes, size_bytes: int) -> Iterator[bytes]:
    for start in range(0, len(content), size_bytes):
        yield content[start : start + size_bytes]


def copied(content: bytes, media_type: str, copy_id: str = COPY, size_bytes: int = 64) -> bytes:
    return b"".join(marked(pieces(content, size_bytes), media_type, copy_id))


def pixels(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as checked:
        checked.verify()
    with Image.open(io.BytesIO(content)) as image:
        return image.tobytes()


def text(content: bytes) -> bytes:
    return repr(
        [page.mediabox for page in PdfReader(io.BytesIO(content), strict=True).pages]
    ).encode()


SHOWN: dict[str, Callable[[bytes], bytes]] = {
    "image/jpeg": pixels,
    "image/png": pixels,
    "application/pdf": text,
}


@pytest.mark.parametrize("media_type", CONTENT)
def test_a_marked_copy_opens_and_shows_the_same(media_type: str) -> None:
    original = CONTENT[media_type]
    copy = copied(original, media_type)
    assert copy != original
    assert SHOWN[media_type](copy) == SHOWN[media_type](original)


@pytest.mark.parametrize("media_type", CONTENT)
def test_nothing_of_the_evidence_is_lost_in_a_marked_copy(media_type: str) -> None:
    original, copy = CONTENT[media_type], copied(CONTENT[media_type], media_type)
    head = HEAD_BYTES.get(media_type, len(original))
    tail = len(original) - head
    assert copy[:head] + copy[len(copy) - tail :] == original
    assert IDENTITY in copy[head : len(copy) - tail]


@pytest.mark.parametrize("media_type", CONTENT)
@given(size_bytes=st.integers(1, 200))
def test_a_copy_is_the_same_however_its_bytes_arrive(media_type: str, size_bytes: int) -> None:
    original = CONTENT[media_type]
    whole = copied(original, media_type, size_bytes=len(original))
    assert copied(original, media_type, size_bytes=size_bytes) == whole


def test_a_picture_tells_its_mark_to_whoever_reads_its_comments() -> None:
    with Image.open(io.BytesIO(copied(CONTENT["image/jpeg"], "image/jpeg"))) as image:
        image.load()
        assert image.info["comment"] == IDENTITY
    with Image.open(io.BytesIO(copied(CONTENT["image/png"], "image/png"))) as image:
        image.load()
        assert image.info["Comment"] == IDENTITY.decode()


@pytest.mark.parametrize("media_type", CONTENT)
def test_copies_for_two_are_told_apart(media_type: str) -> None:
    one, other = (copied(CONTENT[media_type], media_type, each) for each in (COPY, OTHER))
    assert one != other
    assert marks_in(iter([one])) == [COPY]
    assert marks_in(iter([other])) == [OTHER]


@pytest.mark.parametrize("media_type", CONTENT)
@given(size_bytes=st.integers(1, 100))
def test_a_mark_is_found_across_the_borders_of_what_is_read(
    media_type: str, size_bytes: int
) -> None:
    copy = copied(CONTENT[media_type], media_type)
    assert marks_in(pieces(copy, size_bytes)) == [COPY]


@given(st.lists(st.sampled_from([COPY, OTHER]), max_size=4), st.binary(), st.integers(1, 200))
def test_every_mark_is_found_once_in_the_order_of_the_content(
    copies: list[str], between: bytes, size_bytes: int
) -> None:
    content = b"".join(between + MARK + each.encode() + between for each in copies)
    assert marks_in(pieces(content, size_bytes)) == list(dict.fromkeys(copies))


@pytest.mark.parametrize("content", [b"", MARK, IDENTITY[:-1], MARK + COPY.upper().encode()])
def test_what_is_no_mark_is_not_found(content: bytes) -> None:
    assert marks_in(pieces(content, 7)) == []


@pytest.mark.parametrize("content", [b"", b"x", *CONTENT.values()], ids=len)
@pytest.mark.parametrize("media_type", ["video/mp4", "image/tiff", "text/plain", "image/jpeg2", ""])
def test_a_format_without_a_place_for_a_mark_stays_as_it_is(
    media_type: str, content: bytes
) -> None:
    assert copied(content, media_type) == content


@pytest.mark.parametrize(
    ("media_type", "length"),
    [(media_type, each) for media_type, head in HEAD_BYTES.items() for each in range(head)],
)
def test_what_is_shorter_than_its_header_stays_as_it_is(media_type: str, length: int) -> None:
    short = CONTENT[media_type][:length]
    for size_bytes in (1, 64):
        assert copied(short, media_type, size_bytes=size_bytes) == short


@pytest.mark.parametrize("media_type", HEAD_BYTES)
def test_what_is_nothing_but_its_header_is_marked(media_type: str) -> None:
    head = CONTENT[media_type][: HEAD_BYTES[media_type]]
    assert marks_in(iter([copied(head, media_type)])) == [COPY]


def test_the_first_bytes_leave_before_the_last_have_arrived() -> None:
    def endless() -> Iterator[bytes]:
        yield CONTENT["image/jpeg"]
        raise AssertionError

    assert IDENTITY in next(marked(endless(), "image/jpeg", COPY))
