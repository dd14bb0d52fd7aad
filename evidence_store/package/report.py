"""The custody report: what a package holds, on paper, for a person who reads no JSON.

One page of HTML without script or anything from outside; every word from the events is
escaped. It tells what the events say and proves nothing itself: the verifiers do, and what
they found is told too where it is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from evidence_store.custody.act import Act
from evidence_store.custody.timeline import History
from evidence_store.digest import Fingerprint
from evidence_store.identifiers import Ern
from evidence_store.ledger.by_hand import DISCLOSURE, MEMBER
from evidence_store.package.findings import LIMITS, Finding

_UNTOLD = {"offer_document", DISCLOSURE}  # for programs
_STYLE = """
@page { size: A4; margin: 18mm }
body { font: 10.5pt/1.45 "Liberation Serif", Georgia, serif; max-width: 178mm; margin: 1em auto; padding: 0 1em }
h1 { font-size: 17pt } h2 { font-size: 13pt; margin-top: 1.6em; break-after: avoid }
table { border-collapse: collapse; width: 100%; margin: .6em 0 }
th, td { text-align: left; vertical-align: top; padding: .25em .5em; border-bottom: .5pt solid #999 }
code { font: 8.5pt "Liberation Mono", monospace; overflow-wrap: anywhere }
.gap { border-left: 3pt solid #a33; padding-left: .6em } .late { color: #a33 }
"""


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """A version, and whether its bytes are in the package."""

    number: int
    kind: str
    fingerprint: Fingerprint
    included: bool


@dataclass(frozen=True, slots=True)
class ItemStory:
    """What is told of an item."""

    ern: Ern
    history: History
    versions: tuple[ShownVersion, ...]


def report_page(
    about: Mapping[str, object], items: Sequence[ItemStory], findings: Sequence[Finding] = ()
) -> bytes:
    """The report. `findings` are those of whoever verified the package; none when it is made."""
    body = "".join(map(_item, items)) + _found(findings)
    limits = "".join(f"<li>{escape(each)}</li>" for each in LIMITS)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Custody report</title>'
        f"<style>{_STYLE}</style></head><body><h1>Custody report</h1>"
        f"<p>Made on {escape(str(about['made_at']))} by {escape(str(about['by']))}: package {escape(str(about['package']))}.</p>"
        "<p>This page tells what the enclosed events say. To check it without trusting anybody who "
        "made it, run <code>python verify.py</code> or <code>sh verify.sh</code> in this folder.</p>"
        f"{body}<h2>What this does not show</h2><ul>{limits}</ul></body></html>\n"
    )
    return page.encode()


def _found(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    rows = "".join(
        f"<tr><td>{_words(each.outcome)}</td><td>{escape(each.question)}</td>"
        f"<td>{escape(each.subject)}</td><td>{escape(each.detail)}</td></tr>"
        for each in findings
    )
    return (
        "<h2>What verification found</h2><table><tr><th>Answer</th><th>Question</th><th>Of</th>"
        f"<th></th></tr>{rows}</table>"
    )


def _item(story: ItemStory) -> str:
    rows = "".join(
        f"<tr><td>{row.act.seq}</td>"
        f"<td{' class=late' if row.late else ''}>{row.act.at:%Y-%m-%d %H:%M:%S} UTC"
        f"{' (late)' if row.late else ''}</td>"
        f"<td>{_words(row.act.type)}</td><td>{escape(str(row.act.by))}</td>"
        f"<td>{_words(row.state or 'unknown')}, with {escape(str(row.custodian or 'nobody'))}</td>"
        f"<td>{_seals(row.act)}{_hand(row.act)}{_told(row.act.private)}</td></tr>"
        for row in story.history.rows
    )
    gaps = "".join(
        f'<p class="gap">At event {gap.seq}: {_words(gap.kind)}: {escape(gap.detail)}</p>'
        for gap in story.history.gaps
    )
    return (
        f"<h2>{escape(str(story.ern))}</h2>{_versions(story.versions)}"
        "<table><tr><th>No.</th><th>Recorded</th><th>Act</th><th>By</th><th>Then</th>"
        f"<th>Stated</th></tr>{rows}</table>{gaps or '<p>No gaps are recorded.</p>'}"
    )


def _versions(versions: Sequence[ShownVersion]) -> str:
    if not versions:
        return "<p>A physical item: it has no bytes.</p>"
    rows = "".join(
        f"<tr><td>{each.number}</td><td>{_words(each.kind)}</td>"
        f"<td>{each.fingerprint.size_bytes}</td><td><code>{each.fingerprint.sha256.hex}</code></td>"
        f"<td>{'enclosed' if each.included else 'not enclosed'}</td></tr>"
        for each in versions
    )
    return (
        "<table><tr><th>Version</th><th>Kind</th><th>Bytes</th><th>SHA-256</th><th></th></tr>"
        f"{rows}</table>"
    )


def _seals(act: Act) -> str:
    numbers, check = act.texts("seals"), act.data.get("check")
    if not numbers:
        return ""
    found = f", found {_words(str(check))}" if check else ""
    return f"seals {escape(', '.join(numbers))}{found}; "


def _hand(act: Act) -> str:
    match act.data.get(MEMBER):
        case {"passkey": str(passkey)}:
            return f"signed by hand with the passkey <code>{escape(passkey[:16])}</code>; "
        case _:
            return ""


def _told(private: Mapping[str, object]) -> str:
    told = {name: value for name, value in private.items() if name not in _UNTOLD}
    return "; ".join(f"{_words(name)}: {escape(str(value))}" for name, value in told.items())


def _words(name: str) -> str:
    return escape(str(name).replace("_", " "))
