"""`evidence export` and `evidence verify-package`: what a court gets, and how it checks it."""

import secrets
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from api import cooperation, ledger
from api.cli.asserted import AsOption, acting
from api.cli.context import Shared, shared
from api.cli.exits import Exit
from api.cli.fetch import insist_ungoverned
from api.cli.output import Json
from api.cli.unfinished import left_behind, unfinished
from api.cli.verdict import by_weight, custody_rows, told
from api.packaging import exporter, opened
from api.stamping import stamp_newest
from api.wiring import Instance, found_log
from evidence_store.accessing import Opening, end
from evidence_store.desk import Desk
from evidence_store.errors import EvidenceError, MalformedError, UnavailableError
from evidence_store.exporting import Choice, Exporter
from evidence_store.identifiers import DossierId, DossierKind, Ern
from evidence_store.ledger.note import KeyType
from evidence_store.ledger.policy import Policy
from evidence_store.ledger.signing import Signer
from evidence_store.package.composition import PACKAGE_ID_BYTES, Composition
from evidence_store.package.verification import LIMITS, Outcome, verify_file
from evidence_store.recording import Recorder
from ingest.timestamping import verify_stamp


class ReceiptKind(StrEnum):
    """Formats of receipts besides our own."""

    COSE = "cose"


ALL, NONE = "all", "none"


def export(  # noqa: PLR0913 - one parameter for each thing that can be chosen
    context: typer.Context,
    erns: Annotated[list[str], typer.Argument(help="The items, as in SI-2026-000123.")],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    person: Annotated[str, typer.Option(help="The officer who exports, by name or code.")],
    reference: Annotated[str, typer.Option(help="On what authority: an order, a request number.")],
    versions: Annotated[
        str,
        typer.Option(help="Which versions' bytes go in: all, none, or numbers as in 1,3."),
    ] = ALL,
    disclose: Annotated[
        list[str] | None,
        typer.Option(help="A field to disclose, such as place; repeat it. None unless named."),
    ] = None,
    disclose_all: Annotated[
        bool, typer.Option("--disclose-all", help="Disclose every field that can be withheld.")
    ] = False,
    receipt: Annotated[
        ReceiptKind | None,
        typer.Option(help="Receipts in another format besides: cose (RFC 9942)."),
    ] = None,
    authority: AsOption = None,
    officer: Annotated[
        str | None,
        typer.Option(
            envvar="EVIDENCE_OFFICER",
            help="The officer who acts, by code; needed where there is a registry.",
        ),
    ] = None,
    purpose: Annotated[str, typer.Option(help="What for, as in trial; with --officer.")] = "",
    grant: Annotated[str | None, typer.Option(help="Under which grant; with --officer.")] = None,
) -> None:
    """Write a package that a court can check offline. The export is itself recorded."""
    here = shared(context)
    choice = Choice(
        erns=tuple(dict.fromkeys(map(Ern.parse, erns))),
        versions=_versions(versions),
        disclosed=None if disclose_all else tuple(disclose or ()),
    )
    instance = here.instance()
    desk, dossier = None, None
    if officer is None:
        insist_ungoverned(instance, "evidence export")
        recorder = ledger.recorder(instance, acting(authority))
    else:
        desk = cooperation.desk(instance, officer)
        dossier = None if grant is None else DossierId.parse(grant, DossierKind.GRANT)
        recorder = desk.recorder
    making = exporter(instance, _cose(instance) if receipt else None)
    about = (recorder, choice, reference, person)
    package, composition = _begun(making, output, about)
    copies: list[str] = []
    with unfinished(output, package) as file:
        openings = [] if desk is None else opened(instance, desk, choice, purpose, dossier)
        copies = [each.copy_id for each in openings]
        try:
            if composition is None:
                composition = making.record(*about, package)
            file.is_recorded = True
            _seal(here, instance, output)
            making.write(choice, composition, file.content, instance.clock.now(), copies)
        except EvidenceError as error:
            if desk is not None:
                _end_all(desk, openings, error.code)
            raise
    if desk is not None:
        _end_all(desk, openings, None)
    row: dict[str, Json] = {
        "copies": list(copies),
        "file": str(output),
        "package": package,
        "size_bytes": output.stat().st_size,
        "items": [str(ern) for ern in choice.erns],
    }
    here.output.record(
        row, f"{output}: {row['size_bytes']} bytes, {len(choice.erns)} items, package {package}"
    )


def _begun(
    making: Exporter, output: Path, about: tuple[Recorder, Choice, str, str]
) -> tuple[str, Composition | None]:
    """The package that an earlier try recorded for this place, to be finished; or a new identity."""
    for package in left_behind(output):
        composition = making.recorded(*about, package)
        if composition is not None:
            return package, composition
    return secrets.token_hex(PACKAGE_ID_BYTES), None


def _seal(here: Shared, instance: Instance, output: Path) -> None:
    """Have the log take the export in, and the newest checkpoint stamped.

    Raises:
        UnavailableError: if it is not sealed; the export stands, and the same command finishes it.
    """
    problem = ledger.settle(instance)
    if problem is not None:
        raise UnavailableError(
            f"export: recorded, and not sealed by the log yet: {problem}; the same command for "
            f"{output} finishes it, and records nothing again"
        )
    for name, stamp in stamp_newest(instance).items():
        if isinstance(stamp, EvidenceError):
            here.output.note(f"not stamped by {name}: {stamp}")


def _end_all(desk: Desk, openings: Sequence[Opening], code: str | None) -> None:
    """End the accesses: each served its version, or nothing, with the code of what went wrong."""
    for each in openings:
        size = 0 if each.version is None or code else each.version.fingerprint.size_bytes
        end(desk, each, code or "packaged", size, None)


def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The package.", exists=True, dir_okay=False)],
    policy: Annotated[
        Path | None,
        typer.Option(
            help="The policy that says which log you trust (tlog-policy); it should not come from "
            "who made the package.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    tsa_root: Annotated[
        list[Path] | None,
        typer.Option(
            help="Roots (PEM) of a time-stamp authority that you trust; repeat it. Time-stamps "
            "under others, those in the package too, prove nothing.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
) -> Exit:
    """Check a package: every finding. Needs no instance and no network."""
    out = shared(context).output
    own = None if policy is None else Policy.parse(policy.read_text(encoding="utf-8"))
    roots = b"\n".join(each.read_bytes() for each in tsa_root) if tsa_root else None
    with file.open("rb") as content:
        report = verify_file(content, own, verify_stamp, roots)
    findings = by_weight(report.findings)
    counts = {
        outcome.value: sum(each.outcome is outcome for each in findings) for outcome in Outcome
    }
    if not out.as_json:
        for line in told(report):
            out.line(line)
        return Exit.DONE if report.verifies else Exit.INTEGRITY
    for finding in findings:
        row: dict[str, Json] = {
            "question": finding.question.name.lower(),
            "outcome": finding.outcome.value,
            "subject": finding.subject,
            "detail": finding.detail,
        }
        out.record(row, "")
    summary: dict[str, Json] = {
        **counts,
        "verifies": report.verifies,
        "custodians": {
            str(ern): None if found.custody is None else str(found.custody.custodian)
            for ern, found in report.histories.items()
        },
        "custody": {str(ern): custody_rows(found) for ern, found in report.histories.items()},
        "does_not_show": list(LIMITS),
    }
    out.record({"summary": summary}, "")
    return Exit.DONE if report.verifies else Exit.INTEGRITY


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("export")(export)
    app.command("verify-package")(verify)


def _cose(instance: Instance) -> Signer | None:
    """The log's key that receipts in COSE are signed with."""
    log = found_log(instance.catalog, instance.signing)
    signers = instance.signing.log_signers(log.origin)
    return next((each for each in signers if each.key.type is KeyType.ED25519), None)


def _versions(text: str) -> tuple[int, ...] | None:
    if text in {ALL, NONE}:
        return None if text == ALL else ()
    numbers = text.split(",")
    if not all(each.isascii() and each.isdigit() for each in numbers):
        raise MalformedError(f"versions: expected all, none or numbers, found {text[:80]!r}")
    return tuple(map(int, numbers))
