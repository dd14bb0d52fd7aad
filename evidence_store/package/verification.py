"""Does a package prove what it says? Every question by itself, and every answer, not the first.

Nothing here believes the package: keys come from the log's own entries, and the log from a
policy that the court brings. A policy that comes with the package is used when there is no
other, and said to be no proof. The formats are in `docs/format.md`, 14 and 15.
"""

import base64
import json
from collections.abc import Mapping, Sequence

from evidence_store.errors import EvidenceError, MalformedError
from evidence_store.ledger.merkle import HASH_BYTES
from evidence_store.ledger.policy import Policy
from evidence_store.package import layout
from evidence_store.package.bag import BagReader
from evidence_store.package.findings import LIMITS, Finding, Findings, Outcome, Question, Report
from evidence_store.package.items import ItemVerifier
from evidence_store.package.keys import KeyRegister
from evidence_store.package.sealing import Sealing, Stamps

__all__ = [
    "LIMITS", "Finding", "Outcome", "Question", "Report", "Stamps",
    "about", "encoded_hashes", "verify_package",
]  # fmt: skip


def verify_package(
    bag: BagReader,
    policy: Policy | None,
    stamps: Stamps | None = None,
    roots: Mapping[str, bytes] | None = None,
) -> Report:
    """Every finding about a package. Never raises for what the package holds.

    `roots` are those of the time-stamp authorities that the court trusts, by name; None takes
    the package's own, and says so.
    """
    findings = Findings()
    _check_bag(bag, findings)
    names = sorted({each.split("/")[2] for each in bag.under(layout.ITEMS)})
    _check_about(bag, names, findings)
    trusted = _trusted(bag, policy, findings)
    if trusted is None:
        return Report(tuple(findings.found))
    sealing = Sealing(bag, trusted, findings)
    sealing.check()
    sealing.check_stamps(stamps, roots)
    keys = KeyRegister(bag, sealing, findings)
    keys.check()
    items = ItemVerifier(bag, sealing, keys, findings)
    for name in names:
        items.check(name)
    return Report(tuple(findings.found), items.histories)


def about(bag: BagReader) -> Mapping[str, object]:
    """What the package says of itself; not believed.

    Raises:
        MalformedError: if it says nothing of this format.
    """
    try:
        found = json.loads(bag.text(layout.ABOUT))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != layout.FORMAT:
        raise MalformedError(f"package: expected the format {layout.FORMAT}")
    return found


def encoded_hashes(hashes: Sequence[bytes]) -> bytes:
    """Hashes as a proof of consistency lists them.

    Raises:
        MalformedError: if one is of another length.
    """
    if any(len(each) != HASH_BYTES for each in hashes):
        raise MalformedError("consistency: expected hashes of 32 bytes")
    return "".join(f"{base64.b64encode(each).decode()}\n" for each in hashes).encode()


def _check_bag(bag: BagReader, findings: Findings) -> None:
    problems = list(bag.problems())
    for name, problem in problems:
        findings.say(Question.BAG, Outcome.REFUTED, name, problem)
    if not problems:
        detail = f"{len(bag.names)} files are what the manifests say"
        findings.say(Question.BAG, Outcome.PROVED, "package", detail)
    # A manifest can be made anew by whoever adds a file, so that says nothing of what is in it.
    for name in sorted(each for each in bag.names if not layout.is_vouched_for(each)):
        detail = "nobody signed it: rely on these findings, not on what it says"
        findings.say(Question.BAG, Outcome.NOT_SHOWN, name, detail)


def _check_about(bag: BagReader, names: Sequence[str], findings: Findings) -> None:
    with findings.asking(Question.BAG, layout.ABOUT) as prove:
        listed = about(bag).get("items")
        if not names or not isinstance(listed, list) or sorted(map(str, listed)) != names:
            raise MalformedError(f"it lists other items than the package holds, {names}")
        prove(f"the package holds the {len(names)} items that it lists")


def _trusted(bag: BagReader, own: Policy | None, findings: Findings) -> Policy | None:
    if own is not None:
        findings.say(Question.POLICY, Outcome.PROVED, "policy", "you: it was given by you")
        return own
    try:
        found = Policy.parse(bag.text(layout.POLICY))
    except EvidenceError as error:
        findings.say(Question.POLICY, Outcome.REFUTED, "policy", str(error))
        return None
    detail = "the package itself; bring a policy of your own to know that the log is the right one"
    findings.say(Question.POLICY, Outcome.NOT_SHOWN, "policy", detail)
    return found
