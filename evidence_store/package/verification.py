"""Does a package prove what it says? Every question by itself, and every answer, not the first.

Nothing here believes the package: keys come from the log's own entries, and the log from a
policy that the court brings. A policy that comes with the package is used when there is no
other, and said to be no proof. The formats are in `docs/format.md`, 14 and 15.
"""

import base64
from collections.abc import Sequence
from typing import IO

from evidence_store.errors import EvidenceError, MalformedError
from evidence_store.ledger.merkle import HASH_BYTES
from evidence_store.ledger.policy import Policy
from evidence_store.package import layout
from evidence_store.package.bag import BagReader
from evidence_store.package.composition import Composition
from evidence_store.package.findings import LIMITS, Finding, Findings, Outcome, Question, Report
from evidence_store.package.items import ItemVerifier
from evidence_store.package.keys import KeyRegister
from evidence_store.package.sealing import Sealing, Stamps

__all__ = [
    "LIMITS", "Finding", "Outcome", "Question", "Report", "Stamps",
    "encoded_hashes", "verify_file", "verify_package",
]  # fmt: skip


def verify_file(
    file: IO[bytes],
    policy: Policy | None,
    stamps: Stamps | None = None,
    roots: bytes | None = None,
) -> Report:
    """As `verify_package`, of a file that may be damaged or no package at all: that is a finding."""
    try:
        bag = BagReader(file)
    except MalformedError as error:
        return Report((Finding(Question.BAG, Outcome.REFUTED, "package", str(error)),))
    return verify_package(bag, policy, stamps, roots)


def verify_package(
    bag: BagReader,
    policy: Policy | None,
    stamps: Stamps | None = None,
    roots: bytes | None = None,
) -> Report:
    """Every finding about a package. Never raises for what the package holds.

    `roots` are certificates (PEM) of the time-stamp authorities that the court trusts. By those
    that the package brought itself nothing is proved: whoever made the stamp could have made them.
    """
    findings = Findings()
    _check_bag(bag, findings)
    names = sorted({each.split("/")[2] for each in bag.under(layout.ITEMS)})
    composition = _check_composition(bag, findings)
    trusted = _trusted(bag, policy, findings)
    if trusted is None:
        return Report(tuple(findings.found))
    sealing = Sealing(bag, trusted, findings)
    sealing.check()
    sealing.check_stamps(stamps, roots)
    keys = KeyRegister(bag, sealing, findings)
    keys.check()
    items = ItemVerifier(bag, sealing, keys, findings, composition)
    for name in names:
        items.check(name)
    return Report(tuple(findings.found), items.histories)


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
    for name in sorted(filter(layout.is_signed_by_nobody, bag.names)):
        detail = "nobody signed it: rely on these findings, not on what it says"
        findings.say(Question.BAG, Outcome.NOT_SHOWN, name, detail)


def _check_composition(bag: BagReader, findings: Findings) -> Composition | None:
    """What the package says that it is made of; whether that was signed, the items' chains show."""
    composition: Composition | None = None
    with findings.asking(Question.COMPOSITION, layout.ABOUT) as prove:
        composition = Composition.parse(bag.read(layout.ABOUT))
        if sum(each.events for each in composition.items) > len(bag.names):
            raise MalformedError("it names more events than the package has files")
        named = composition.files()
        there = {each for each in bag.names if each.startswith("data/")}
        for name in sorted(named - there):
            detail = "the export names it, and it is not here"
            findings.say(Question.COMPOSITION, Outcome.REFUTED, name, detail)
        foreign = sorted(each for each in there - named if not _belongs(each, named, there))
        for name in foreign:
            detail = "nothing that was signed names it: it is no part of this evidence"
            findings.say(Question.COMPOSITION, Outcome.REFUTED, name, detail)
        if named <= there and not foreign:
            versions = sum(len(each.versions) for each in composition.items)
            prove(
                f"package {composition.package}: {len(composition.items)} items, {versions} "
                f"versions enclosed and {len(composition.control)} control entries, and no others"
            )
    for name in sorted(each for each in bag.names if each.endswith(".receipt.cose")):
        detail = "a receipt in COSE, for other tools; it is not looked at here"
        findings.say(Question.INCLUSION, Outcome.NOT_SHOWN, name, detail)
    return composition


def _belongs(path: str, named: set[str], there: set[str]) -> bool:
    """Whether a file that the export did not name stands beside one that it did, or is the log's."""
    if path.startswith(f"{layout.TIMESTAMPS}/") and path.endswith(".pem"):
        authority = path.rsplit("/", 1)[1].removesuffix(".pem")
        return any(each.endswith(f"-{authority}.tsr") for each in there)
    if path.endswith(".consistency"):
        note = path.rsplit("-", 1)[0] + ".note"
        return layout.is_of_the_log(path) and note in there
    return layout.is_of_the_log(path) or layout.event_beside(path) in named


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
