"""How answers spell what the ground has as values. What is signed is spelled by its own format."""

from datetime import UTC, datetime


def rfc3339(at: datetime) -> str:
    """A time as answers spell it: UTC, with a `Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
