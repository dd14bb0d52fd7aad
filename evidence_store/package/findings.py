"""What a verifier answers: one finding for each question, `proved`, `refuted` or `not shown`.

Values and their collection only; nothing is verified here. `docs/format.md`, 15.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from types import TracebackType

from evidence_store.custody.timeline import History
from evidence_store.errors import EvidenceError, UnavailableError
from evidence_store.identifiers import Ern


class Outcome(StrEnum):
    """The answer to a question."""

    PROVED = "proved"
    REFUTED = "refuted"
    NOT_SHOWN = "not_shown"


class Question(StrEnum):
    """What is asked of a package."""

    BAG = "is the bag complete and unchanged?"
    COMPOSITION = "is all here that the export signed for, and nothing else?"
    POLICY = "who says who is trusted?"
    KEYS = "did the signing key count at its place in the log?"
    CHECKPOINT = "is the checkpoint signed, sealed and consistent with the newest?"
    SIGNATURE = "did the authority sign the event?"
    INCLUSION = "was the event in the log?"
    CHAIN = "is the item's chain of events unbroken and closed?"
    DISCLOSURE = "do the disclosures belong to the event?"
    BY_HAND = "did the officer's passkey sign the event?"
    TIME = "between which times was the event recorded?"
    CONTENT = "are the bytes those that were measured?"
    STAMP = "does a time-stamp authority confirm the checkpoint?"
    CUSTODY = "does the history of custody have gaps?"


LIMITS = (
    "It is proved who signed and that nothing was changed or taken out; not that what was stated is true.",
    "An act that nobody recorded leaves no trace here.",
    "That a key or passkey was used by the person who should use it is outside of this proof.",
    "What was recorded after the export is not seen here, a revocation of a key included: ask the log.",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer: to which question, about what, and in words."""

    question: Question
    outcome: Outcome
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """All answers, and the histories of the items as the package tells them."""

    findings: tuple[Finding, ...]
    histories: Mapping[Ern, History] = field(default_factory=dict)

    @property
    def verifies(self) -> bool:
        """Whether nothing is refuted, and there is something that is proved."""
        outcomes = {finding.outcome for finding in self.findings}
        return Outcome.REFUTED not in outcomes and Outcome.PROVED in outcomes


@dataclass(slots=True)
class Findings:
    """Answers as they come. A question that cannot be answered never hides the next one."""

    found: list[Finding] = field(default_factory=list)

    def say(self, question: Question, outcome: Outcome, subject: str, detail: str) -> None:
        """Enter an answer."""
        self.found.append(Finding(question, outcome, subject, detail))

    def asking(self, question: Question, subject: str) -> "Asking":
        """Ask: `with findings.asking(question, subject) as prove`."""
        return Asking(self, question, subject)


@dataclass(frozen=True, slots=True)
class Asking:
    """A question: call what it gives with what is proved; what is raised inside refutes.

    Whatever hostile bytes make a parser raise is an answer, and never ends the verification.
    That something is unavailable here says nothing of the package.
    """

    findings: Findings
    question: Question
    subject: str

    def __enter__(self) -> Callable[[str], None]:
        return partial(self.findings.say, self.question, Outcome.PROVED, self.subject)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        match error:
            case UnavailableError():
                outcome = Outcome.NOT_SHOWN
            case EvidenceError() | ValueError() | RecursionError() | OverflowError():
                outcome = Outcome.REFUTED
            case _:
                return False
        self.findings.say(self.question, outcome, self.subject, str(error))
        return True
