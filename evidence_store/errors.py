"""Everything that can go wrong, as one tree of few classes, each with a stable code.

A message says what was expected and what was found, and what to do about it. It
never holds evidence content, key material or a passphrase. Exit codes and HTTP
statuses are not known here: they exist in `api` only.
"""

from collections.abc import Mapping, Sequence

FOUND_CHARACTERS_MAX = 80


class EvidenceError(Exception):
    """Something this system refused or could not do.

    `code` is stable: it may be documented, searched for and translated.
    """

    code = "E000"

    @property
    def details(self) -> Mapping[str, object]:
        """What a program may want of it besides code and message."""
        return {}


class MalformedError(EvidenceError):
    """The input is not in the form this system accepts.

    `found` is what was there instead, for whoever typed it: `expected` is the message without it,
    for logs and for answers that must not repeat what was sent.
    """

    code = "E100"

    def __init__(self, expected: str, *, found: str | None = None) -> None:
        shown = "" if found is None else f", found {found[:FOUND_CHARACTERS_MAX]!r}"
        super().__init__(expected + shown)
        self.expected = expected


class SettingsError(EvidenceError):
    """The installation is not set up, or set up wrongly."""

    code = "E110"


class UnsupportedSourceError(EvidenceError):
    """The source is something that cannot be evidence bytes: a link, a device, a socket."""

    code = "E120"


class FixityError(EvidenceError):
    """Bytes are not the bytes that were registered."""

    code = "E200"

    def __init__(self, *, expected: str, found: str, what: str = "content") -> None:
        super().__init__(f"{what}: expected {expected}, found {found}")
        self.expected = expected
        self.found = found


class SourceChangedError(EvidenceError):
    """The source changed or went away while it was read; nothing was registered from it."""

    code = "E210"


class DiscrepancyError(EvidenceError):
    """What arrived is not what the sender listed."""

    code = "E220"


class DamagedError(EvidenceError):
    """The catalog's own file is not whole any more: what it says cannot be relied on."""

    code = "E230"


class ProofError(EvidenceError):
    """A proof, a signature or a checkpoint does not hold."""

    code = "E240"


class LedgerAlteredError(EvidenceError):
    """The ledger's own records disagree: it refuses to sign over them."""

    code = "E250"


class CustodyError(EvidenceError):
    """The act is not possible for this item now, or not by this authority."""

    code = "E430"


class OutOfOrderError(EvidenceError):
    """The step is not possible now, or not by this side."""

    code = "E431"


class IncompleteError(EvidenceError):
    """Something that must be stated is not; every finding is listed, and nothing was sent."""

    code = "E130"

    def __init__(self, what: str, findings: Sequence[str]) -> None:
        super().__init__(f"{what}: {len(findings)} missing or wrong: {'; '.join(findings)}")
        self.findings = tuple(findings)

    @property
    def details(self) -> Mapping[str, object]:
        """Every finding."""
        return {"findings": list(self.findings)}


class UnauthenticatedError(EvidenceError):
    """Nobody has signed in, or not any more, or not with what was sent."""

    code = "E401"


class DeniedError(EvidenceError):
    """Policy refuses: the rule is named, with the digest of the policy that it stands in."""

    code = "E403"

    def __init__(self, rule: str, policy: str, advice: str) -> None:
        super().__init__(f"refused by the rule {rule!r} of policy {policy[:12]}: {advice}")
        self.rule = rule
        self.policy = policy

    @property
    def details(self) -> Mapping[str, object]:
        """The decision, its rule, and the policy's digest."""
        return {"decision": "deny", "rule": self.rule, "policy": self.policy}


class RateError(EvidenceError):
    """Too many of these in the time; the same call succeeds later."""

    code = "E429"

    def __init__(self, message: str, *, after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds
        """In how many seconds it is worth trying again, where that is known."""


class NotFoundError(EvidenceError):
    """No such case, item, version or object."""

    code = "E404"


class ConflictError(EvidenceError):
    """The name is taken, or somebody else wrote first; what is there was left as it is."""

    code = "E409"


class KeyUnavailableError(EvidenceError):
    """No key at hand opens this content: the key is missing, locked or destroyed."""

    code = "E500"


class UnavailableError(EvidenceError):
    """A store, database or disk did not do its part now; the same call may succeed later."""

    code = "E900"


class StoreUnavailableError(UnavailableError):
    """The object store cannot be reached, or refuses to work."""

    code = "E910"


class NoSpaceError(UnavailableError):
    """The disk is full; nothing of the unfinished work was registered."""

    code = "E920"


class CatalogBusyError(UnavailableError):
    """The catalog is locked by another process, or cannot be reached."""

    code = "E930"
