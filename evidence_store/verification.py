"""Is it still what was registered? Verdicts on stored versions and on files at hand.

A verdict is a value, never an exception: a judge of a whole store returns all its
findings. "Not verifiable" is not "changed": a disk that is away is no tampering.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from evidence_store.digest import Algorithm, Digest, Fingerprint
from evidence_store.errors import (
    EvidenceError,
    FixityError,
    KeyUnavailableError,
    MalformedError,
    NotFoundError,
    UnavailableError,
)
from evidence_store.identifiers import Ern
from evidence_store.item import SealedObject, Version
from evidence_store.ports import CatalogReader
from evidence_store.vault import Vault


class Outcome(StrEnum):
    """What a comparison with the register showed."""

    MATCH = "match"
    MISMATCH = "mismatch"
    NOT_VERIFIABLE = "not_verifiable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome and, unless it is a match, why. `again` is set where a later try may end better."""

    outcome: Outcome
    reason: str | None = None
    code: str | None = None
    again: bool = False


MATCH = Verdict(Outcome.MATCH)


def verify_stored(
    vault: Vault, sealed: SealedObject, registered: Fingerprint, algorithms: Sequence[Algorithm]
) -> Verdict:
    """Read a stored object to its end, and compare it with what was registered of it."""
    if sealed.fingerprint != registered:
        error = FixityError(
            what="catalog: the object's digests are not the version's",
            expected=str(registered.sha256),
            found=str(sealed.fingerprint.sha256),
        )
        return _verdict(Outcome.MISMATCH, error)
    try:
        for _ in vault.open(sealed, algorithms):
            pass
    except FixityError as error:
        return _verdict(Outcome.MISMATCH, error)
    except (NotFoundError, KeyUnavailableError, MalformedError) as error:
        return _verdict(Outcome.NOT_VERIFIABLE, error)
    except UnavailableError as error:
        return _verdict(Outcome.NOT_VERIFIABLE, error, again=True)
    return MATCH


@dataclass(frozen=True, slots=True)
class Comparison:
    """A file at hand against the register: the verdict, and the version it is about, if any."""

    verdict: Verdict
    version: Version | None = None


def compare(
    catalog: CatalogReader, found: Fingerprint, ern: Ern | None = None
) -> Sequence[Comparison]:
    """Which registered versions a file is: one comparison for each that it matches.

    With an ERN, only that item's versions count, and bytes that are none of them
    are a mismatch. Without, bytes that match nothing are unknown.

    Raises:
        NotFoundError: if the ERN was not allocated.
    """
    if ern is None:
        versions = catalog.versions_with(found.sha256)
    else:
        catalog.item(ern)
        versions = catalog.versions(ern)
        if not versions:
            reason = f"{ern} has no bytes registered; it is known by its seals only"
            return [Comparison(Verdict(Outcome.NOT_VERIFIABLE, reason))]
    matches = [Comparison(MATCH, each) for each in versions if each.fingerprint == found]
    if matches:
        return matches
    if ern is None:
        return [Comparison(Verdict(Outcome.UNKNOWN, "no registered version has these bytes"))]
    original = versions[0]
    error = FixityError(
        what=f"{ern}: none of its {len(versions)} versions has these bytes; the original",
        expected=str(original.fingerprint.sha256),
        found=str(found.sha256),
    )
    return [Comparison(_verdict(Outcome.MISMATCH, error), original)]


def compare_digest(
    versions: Sequence[Version], sha256: Digest, ern: Ern | None = None
) -> Sequence[Comparison]:
    """Which of these versions have the digest: one comparison for each. `compare`, without bytes.

    `versions` are those that whoever asks may know of: of the item, if one is named, otherwise any.
    """
    matches = [Comparison(MATCH, each) for each in versions if each.fingerprint.sha256 == sha256]
    if matches:
        return matches
    if ern is None:
        return [Comparison(Verdict(Outcome.UNKNOWN, "no registered version has these bytes"))]
    if not versions:
        reason = f"{ern} has no bytes registered; it is known by its seals only"
        return [Comparison(Verdict(Outcome.NOT_VERIFIABLE, reason))]
    reason = f"{ern}: none of its {len(versions)} versions has these bytes"
    return [Comparison(Verdict(Outcome.MISMATCH, reason), versions[0])]


def stated_digest_error(stated: Digest, found: Fingerprint) -> FixityError | None:
    """The difference between a digest that the sender stated and the one measured, if any."""
    measured = found.digest(stated.algorithm)
    if measured == stated:
        return None
    return FixityError(what="the sender's digest", expected=str(stated), found=str(measured))


def _verdict(outcome: Outcome, error: EvidenceError, *, again: bool = False) -> Verdict:
    return Verdict(outcome, str(error), error.code, again)
