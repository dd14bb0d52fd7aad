"""Lists by cursor, for the command line: page after page, never the whole in memory."""

from collections.abc import Iterator
from typing import Annotated, Protocol, TypeVar

import typer

from evidence_store.page import Page

PAGE_ENTRIES = 500
AfterOption = Annotated[
    str | None, typer.Option(help="Begin behind this entry: the last one of an earlier list.")
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="At most so many entries.")]
T = TypeVar("T")


class Lister(Protocol[T]):
    """A list of the catalog."""

    def __call__(self, *, after: str | None, limit: int) -> Page[T]:
        """One page."""
        ...


def paged(lister: Lister[T], *, after: str | None, limit: int | None) -> Iterator[T]:
    """All entries behind `after`, or the first `limit` of them."""
    left = limit
    while left is None or left > 0:
        page = lister(after=after, limit=PAGE_ENTRIES if left is None else min(left, PAGE_ENTRIES))
        yield from page.entries
        if page.after is None:
            return
        after = page.after
        left = None if left is None else left - len(page.entries)
