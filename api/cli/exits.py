"""Exit codes. They exist here only; the ground knows nothing of them."""

from collections.abc import Collection
from enum import IntEnum

from evidence_store import errors


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    USAGE = 2  # the call, a value or the settings are wrong: change them
    INTEGRITY = 3  # bytes are not what was registered or stated: look into it
    AGAIN = 4  # something did not do its part now, or was interrupted at work: run it again
    INTERRUPTED = 130  # by Ctrl-C, as shells say it: run it again


_OF_ERROR: tuple[tuple[type[errors.EvidenceError], Exit], ...] = (
    (errors.FixityError, Exit.INTEGRITY),
    (errors.DiscrepancyError, Exit.INTEGRITY),
    (errors.DamagedError, Exit.INTEGRITY),
    (errors.ProofError, Exit.INTEGRITY),
    (errors.LedgerAlteredError, Exit.INTEGRITY),
    (errors.SourceChangedError, Exit.AGAIN),
    (errors.UnsupportedSourceError, Exit.AGAIN),
    (errors.UnavailableError, Exit.AGAIN),
    (errors.RateError, Exit.AGAIN),
    (errors.EvidenceError, Exit.USAGE),
)


def exit_of(error: errors.EvidenceError) -> Exit:
    """The exit code for an error."""
    return next(code for kind, code in _OF_ERROR if isinstance(error, kind))


def worst(codes: Collection[Exit]) -> Exit:
    """The one code for several outcomes: integrity before trying again before done."""
    order = (Exit.INTEGRITY, Exit.USAGE, Exit.AGAIN)
    return next((code for code in order if code in codes), Exit.DONE)
