"""How objects in S3 are locked: retention and legal hold (S3 Object Lock), as values.

The server keeps the lock, and nothing here talks to it. COMPLIANCE cannot be shortened or
lifted by anybody; GOVERNANCE can, by whom the server allows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from evidence_store.moment import in_utc


class LockMode(StrEnum):
    """Who can lift a retention before it lapses: nobody, or an administrator of the server."""

    COMPLIANCE = "COMPLIANCE"
    GOVERNANCE = "GOVERNANCE"


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock on an object. Without `retain_until` there is no retention."""

    mode: LockMode | None
    retain_until: datetime | None
    legal_hold: bool

    def headers(self) -> dict[str, str]:
        """What asks for this lock in the request that brings the bytes."""
        headers = {}
        if self.mode is not None and self.retain_until is not None:
            headers["x-amz-object-lock-mode"] = self.mode.value
            headers["x-amz-object-lock-retain-until-date"] = _spelled(self.retain_until)
        if self.legal_hold:
            headers["x-amz-object-lock-legal-hold"] = "ON"
        return headers

    def covers(self, asked: "Lock") -> bool:
        """Whether this lock is at least what was asked for."""
        if asked.legal_hold and not self.legal_hold:
            return False
        if asked.retain_until is None:
            return True
        return (
            self.mode in {asked.mode, LockMode.COMPLIANCE}
            and self.retain_until is not None
            and self.retain_until >= asked.retain_until
        )

    def __str__(self) -> str:
        held = ", on hold" if self.legal_hold else ""
        if self.mode is None or self.retain_until is None:
            return f"none{held}"
        return f"{self.mode} until {_spelled(self.retain_until)}{held}"


@dataclass(frozen=True, slots=True)
class LockRule:
    """How every new object is locked: for how long from its writing, and whether on hold."""

    period: timedelta | None
    mode: LockMode = LockMode.COMPLIANCE
    legal_hold: bool = False

    def at(self, now: datetime) -> Lock:
        """The lock of an object whose writing begins now."""
        if self.period is None:
            return Lock(None, None, self.legal_hold)
        return Lock(self.mode, whole_second(now + self.period), self.legal_hold)


def whole_second(instant: datetime) -> datetime:
    """The instant in UTC, rounded up: some servers keep no fractions, and would shorten it."""
    down = in_utc(instant).replace(microsecond=0)
    return down if down == instant else down + timedelta(seconds=1)


def parse_lock(mode: str | None, retain_until: str | None, legal_hold: str | None) -> Lock:
    """The lock that an object's headers tell of.

    Raises:
        ValueError: if they are not as S3 writes them.
    """
    return Lock(
        LockMode(mode.upper()) if mode else None,
        in_utc(datetime.fromisoformat(retain_until)) if retain_until else None,
        legal_hold == "ON",
    )


def _spelled(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
