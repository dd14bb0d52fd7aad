"""How closely something is kept: the levels, from the least to the most."""

from enum import StrEnum


class Classification(StrEnum):
    """How closely something is kept. An officer's clearance is the highest that may be seen."""

    PUBLIC = "public"
    CONFIDENTIAL = "confidential"
    STRICTLY_CONFIDENTIAL = "strictly_confidential"

    @property
    def level(self) -> int:
        """Its place in their order, from 0."""
        return list(Classification).index(self)
