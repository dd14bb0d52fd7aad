"""What a file says about itself: embedded claims, with the tool that read them.

A claim is never a fact: a camera's clock may be wrong and any field can be
forged. Claims are kept apart from what an officer asserts. A set is made once
per tool and file, and bounded, because the file it comes from is hostile.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from evidence_store.errors import MalformedError

ClaimValue = str | int | float | bool | None | list["ClaimValue"] | dict[str, "ClaimValue"]
SET_BYTES_MAX = 256 * 1024


class Reading(StrEnum):
    """How the reading of a file's claims ended."""

    READ = "read"
    PARTIAL = "partial"  # a limit on entries or size was reached; what is there was read
    FAILED = "failed"  # the parser gave up on the file
    TIMED_OUT = "timed_out"
    KILLED = "killed"  # memory limit, forbidden call, or the parser crashed
    UNAVAILABLE = "unavailable"  # no isolation on this machine, so the file was not parsed


@dataclass(frozen=True, slots=True)
class ClaimSet:
    """The claims one tool read from one file: `values` are JSON values by name.

    `problem` says, without file content, why a reading is not complete.
    """

    tool: str
    tool_version: str
    reading: Reading
    values: Mapping[str, ClaimValue]
    problem: str | None = None

    def to_json(self) -> dict[str, ClaimValue]:
        """The set as a JSON object. `from_json` is its inverse."""
        return {
            "tool": self.tool,
            "tool_version": self.tool_version,
            "reading": self.reading.value,
            "values": dict(self.values),
            "problem": self.problem,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `to_json` wrote; the writer is not trusted.

        Raises:
            MalformedError: if it is not such an object or larger than 256 KiB.
        """
        match value:
            case {
                "tool": str(tool),
                "tool_version": str(tool_version),
                "reading": str(reading),
                "values": dict(values),
                "problem": None | str() as problem,
            } if reading in set(Reading) and all(isinstance(name, str) for name in values):
                size_bytes = len(json.dumps(values))
                if size_bytes > SET_BYTES_MAX:
                    raise MalformedError(
                        f"claims: expected at most {SET_BYTES_MAX} bytes, found {size_bytes}"
                    )
                return cls(tool, tool_version, Reading(reading), values, problem)
            case _:
                raise MalformedError("claims: not a set of claims")
