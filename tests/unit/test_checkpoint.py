"""Checkpoints: three lines, nothing before, between or behind them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.errors import MalformedError
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.merkle import SIZE_MAX
from evidence_store.ledger.note import Note

ROOT = bytes(range(32))
ROOT64 = base64.b64encode(ROOT).decode()


def read(text: str) -> Checkpoint:
    return Checkpoint.of(Note(text, ()))


@given(st.integers(0, SIZE_MAX), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_is_read_as_it_was_written(size: int, root: bytes) -> None:
    checkpoint = Checkpoint("log.invalid/si", size, root)
    assert read(checkpoint.text) == checkpoint
    assert checkpoint.text.encode() == b"log.invalid/si\n%d\n%b\n" % (size, base64.b64encode(root))


@pytest.mark.parametrize(
    "size",
    ["", "00", "01", "+1", "-1", "-0", " 1", "1 ", "1_0", "0x1", "1.0", "1e3", "\u0661", "\u00b2",
     str(SIZE_MAX + 1), "9" * 20],
)  # fmt: skip
def test_a_size_has_one_spelling(size: str) -> None:
    with pytest.raises(MalformedError):
        read(f"log.invalid/si\n{size}\n{ROOT64}\n")


@pytest.mark.parametrize(
    "text",
    [
        "\n",
        "log.invalid/si\n",
        "log.invalid/si\n7\n",
        f"log.invalid/si\n7\n{ROOT64}\nextension\n",
        f"log.invalid/si\n7\n{ROOT64}\n\n",
        f"\nlog.invalid/si\n7\n{ROOT64}\n",
        f"log.invalid/si\n\n7\n{ROOT64}\n",
        f"log.invalid/si\n{ROOT64}\n7\n",
        f"log.invalid/si\n7\n{base64.b64encode(ROOT[:31]).decode()}\n",
        f"log.invalid/si\n7\n{base64.b64encode(ROOT + b'x').decode()}\n",
        f"log.invalid/si\n7\n{ROOT64.rstrip('=')}\n",
        f"log.invalid/si\n7\n{ROOT64[:-2]}9=\n",
        f"log.invalid/si\n7\n{ROOT64} \n",
        f"log.invalid/si\n7\n{ROOT.hex()}\n",
        f"\n7\n{ROOT64}\n",
        f"log invalid\n7\n{ROOT64}\n",
        f"log+invalid\n7\n{ROOT64}\n",
        f"log\u2028invalid\n7\n{ROOT64}\n",
        f"{'x' * 256}\n7\n{ROOT64}\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        read(text)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [("", 1, ROOT), ("a b", 1, ROOT), ("a\nb", 1, ROOT), ("a", -1, ROOT), ("a", SIZE_MAX + 1, ROOT),
     ("a", 1, ROOT[:31]), ("a", 1, ROOT + b"x"), ("a", 1, b"")],
)  # fmt: skip
def test_a_checkpoint_cannot_exist_malformed(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(MalformedError):
        Checkpoint(origin, size, root)
