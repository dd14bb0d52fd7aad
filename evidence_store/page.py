"""Part of a list, and where the next part begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list, in its order. `after` is the cursor of the next part, if there is one."""

    entries: Sequence[T]
    after: str | None
