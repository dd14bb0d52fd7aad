"""How the findings about a package read to a person; what is alike in one line. Decides nothing.

The verdict, what speaks against it, which version matched and who held it, what is not shown.
"""

from collections.abc import Iterator, Sequence

from api.cli.output import Json
from evidence_store.custody.timeline import History
from evidence_store.identifiers import Ern
from evidence_store.package.verification import LIMITS, Finding, Outcome, Question, Report

SUBJECTS_MAX = 4
_WEIGHT = {Outcome.REFUTED: 0, Outcome.NOT_SHOWN: 1, Outcome.PROVED: 2}
_TOLD_BELOW = {Question.CONTENT, Question.CHAIN, Question.CUSTODY}


def by_weight(findings: Sequence[Finding]) -> list[Finding]:
    """What is refuted first, then what is not shown; otherwise in the order of asking."""
    return sorted(findings, key=lambda each: _WEIGHT[each.outcome])


def told(report: Report) -> Sequence[str]:
    """The whole answer, by lines."""
    lines = ["The package verifies." if report.verifies else "THE PACKAGE DOES NOT VERIFY."]
    lines += _alike(report.findings, Outcome.REFUTED, "REFUTED")
    for ern, history in report.histories.items():
        lines += ["", *_item(report, ern, history)]
    lines += ["", *_proved(report.findings)]
    lines += ["", *_alike(report.findings, Outcome.NOT_SHOWN, "not shown")]
    # The first of them begins with what is proved: of what does not verify, that is not said.
    return (*lines, "", *(LIMITS if report.verifies else LIMITS[1:]))


def custody_rows(history: History) -> list[Json]:
    """The acts on an item, and who held it after each."""
    return [
        {
            "event": row.act.seq,
            "recorded_at": row.act.at.isoformat(),
            "act": row.act.type.value,
            "by": str(row.act.by),
            "custodian": None if row.custodian is None else str(row.custodian),
            "state": None if row.state is None else row.state.value,
        }
        for row in history.rows
    ]


def _item(report: Report, ern: Ern, history: History) -> Iterator[str]:
    yield str(ern)
    for each in report.findings:
        is_of_it = each.subject == str(ern) or each.subject.startswith(f"data/items/{ern}/")
        if is_of_it and each.question in _TOLD_BELOW and each.outcome is not Outcome.REFUTED:
            words = {Question.CONTENT: "matched", Question.CHAIN: "chain"}.get(each.question, "gap")
            if each.question is Question.CUSTODY and each.outcome is Outcome.PROVED:
                words = "custody"
            yield f"  {words}: {each.detail}"
    held = "nobody" if history.custody is None else str(history.custody.custodian)
    yield f"  held by {held} at the end of what is shown; the acts, as they were signed:"
    for row in history.rows:
        act = row.act
        state = "unknown" if row.state is None else row.state.value
        yield (
            f"  {act.seq:>5}  {act.at:%Y-%m-%d %H:%M:%S} UTC  {act.type.value} by {act.by}; "
            f"then {state.replace('_', ' ')}, with {row.custodian or 'nobody'}"
        )


def _proved(findings: Sequence[Finding]) -> Iterator[str]:
    for question in Question:
        proved = [
            each
            for each in findings
            if each.question is question and each.outcome is Outcome.PROVED
        ]
        if question in _TOLD_BELOW or not proved:
            continue
        if len(proved) == 1:
            yield f"proved: {proved[0].subject}: {proved[0].detail}"
        else:
            yield f"proved: {question} yes, {len(proved)} times"


def _alike(findings: Sequence[Finding], outcome: Outcome, words: str) -> Iterator[str]:
    grouped: dict[tuple[Question, str], list[str]] = {}
    for each in findings:
        is_told = each.question in _TOLD_BELOW and outcome is Outcome.NOT_SHOWN
        if each.outcome is outcome and not is_told:
            # What follows is of the one event only, such as the time that it says.
            alike = each.detail if outcome is Outcome.REFUTED else each.detail.split("; it ")[0]
            grouped.setdefault((each.question, alike), []).append(each.subject)
    for (_, detail), subjects in grouped.items():
        shown = ", ".join(subjects[:SUBJECTS_MAX])
        more = len(subjects) - SUBJECTS_MAX
        yield f"{words}: {shown}{f' and {more} more' if more > 0 else ''}: {detail}"
