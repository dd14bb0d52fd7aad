"""Points in time, as exact as they are known.

A `Moment` is what somebody states: a year, a day, a second, or "unknown". Instants
this system itself records are aware UTC datetimes; `in_utc` refuses the rest.
The accepted forms are those of XML Schema 1.1 (gYear, gYearMonth, date, dateTime)
with the zone made compulsory, because a date without a zone names 50 hours.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Self

from evidence_store.errors import MalformedError


class Precision(StrEnum):
    """How exact a stated moment is."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    MINUTE = "minute"
    SECOND = "second"
    FRACTION = "fraction"
    UNKNOWN = "unknown"


# How far the earliest and the latest instant of a moment can lie apart.
SPAN: Mapping[Precision, timedelta] = {
    Precision.YEAR: timedelta(days=366),
    Precision.MONTH: timedelta(days=31),
    Precision.DAY: timedelta(days=1),
    Precision.MINUTE: timedelta(minutes=1),
    Precision.SECOND: timedelta(seconds=1),
    Precision.FRACTION: timedelta(),
}
UNKNOWN = "unknown"
_FORM = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:[Tt ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?)?)?)?"
    r"(?P<zone>[Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)
_EXPECTED = (
    "expected 2026-03-14T10:22:05+01:00, 2026-03-14T10:22Z, 2026-03-14Z, 2026-03Z, 2026Z or unknown"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A stated moment: the earliest instant it can mean, how exact it is, and as it was written."""

    text: str
    precision: Precision
    earliest: datetime | None

    def __str__(self) -> str:
        return self.text

    @property
    def is_unknown(self) -> bool:
        """Whether the moment was stated to be unknown."""
        return self.precision is Precision.UNKNOWN

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a moment.

        Raises:
            MalformedError: if the form is wrong, there is no such day, or the zone is missing.
        """
        if text == UNKNOWN:
            return cls(text, Precision.UNKNOWN, None)
        found = _FORM.fullmatch(text)
        if found is None:
            raise MalformedError(f"time: {_EXPECTED}", found=text)
        if found["zone"] is None:
            raise MalformedError(
                f"time: {text!r} has no zone; write {text}Z for UTC, or the offset, as in {text}+01:00"
            )
        parts = {name: found[name] for name in ("month", "day", "hour", "minute", "second")}
        try:
            earliest = datetime(
                int(found["year"]),
                int(parts["month"] or 1),
                int(parts["day"] or 1),
                int(parts["hour"] or 0),
                int(parts["minute"] or 0),
                int(parts["second"] or 0),
                int((found["fraction"] or "0").ljust(6, "0")[:6]),
                tzinfo=_zone(found["zone"]),
            ).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise MalformedError(f"time: {text!r} does not exist: {error}") from error
        return cls(text, _precision(found), earliest)

    @property
    def latest(self) -> datetime | None:
        """The end of what it can mean; None if that is unknown, or beyond all calendars."""
        try:
            return None if self.earliest is None else self.earliest + SPAN[self.precision]
        except OverflowError:
            return None

    def not_after(self, now: datetime, *, tolerance: timedelta = timedelta(minutes=5)) -> Self:
        """Return itself, insisting that it is not in the future.

        Raises:
            MalformedError: if even its earliest instant is later than `now` and the tolerance.
        """
        if self.earliest is not None and self.earliest > now + tolerance:
            raise MalformedError(
                f"time: {self.text} is in the future; it is now {in_utc(now).isoformat(timespec='seconds')}"
            )
        return self


def in_utc(instant: datetime) -> datetime:
    """The instant, in UTC.

    Raises:
        MalformedError: if it has no zone.
    """
    if instant.utcoffset() is None:
        raise MalformedError(f"time: {instant.isoformat()} has no zone")
    return instant.astimezone(UTC)


def _zone(text: str) -> timezone:
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    if hours > 14 or minutes > 59:  # noqa: PLR2004 - XML Schema 1.1, section 3.3.7: 14:00 at most
        raise MalformedError(f"time: there is no zone {text}")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _precision(found: re.Match[str]) -> Precision:
    for name in (Precision.FRACTION, Precision.SECOND, Precision.MINUTE):
        if found[name.value] is not None:
            return name
    if found["day"] is not None:
        return Precision.DAY
    return Precision.YEAR if found["month"] is None else Precision.MONTH
