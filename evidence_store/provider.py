"""Where evidence came from, and what its provider allows to be done with it.

A provider's terms bind every later share, so they are taken at intake, or it is
recorded that there are none. Whether a share may happen is decided elsewhere.
"""

from dataclasses import dataclass
from enum import StrEnum

from evidence_store.errors import MalformedError
from evidence_store.moment import Moment
from evidence_store.wording import stated


class Purpose(StrEnum):
    """What shared evidence may be used for. Immigration, intelligence and media never are."""

    INVESTIGATION = "investigation"
    PROSECUTION = "prosecution"
    TRIAL = "trial"
    APPEAL = "appeal"
    RELATED_JUDICIAL = "related_judicial"
    EXTRADITION = "extradition"
    ASSET_RECOVERY = "asset_recovery"
    VICTIM_REPARATION = "victim_reparation"
    IDENTIFICATION_OF_REMAINS = "identification_of_remains"
    PUBLIC_SECURITY_THREAT = "public_security_threat"
    STRUCTURAL_INVESTIGATION = "structural_investigation"


@dataclass(frozen=True, slots=True)
class ProviderTerms:
    """What the provider allows: who may see it, for which purposes, until when, whom to ask."""

    may_see: tuple[str, ...]
    purposes: tuple[Purpose, ...]
    until: Moment
    ask: str

    def __post_init__(self) -> None:
        for recipient in self.may_see:
            stated(recipient, "terms: may_see")
        if not self.may_see:
            raise MalformedError("terms: may_see is empty; name who may see it, or 'unknown'")
        if not self.purposes:
            raise MalformedError("terms: purposes is empty; name at least one")
        stated(self.ask, "terms: ask")
