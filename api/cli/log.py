"""`evidence log`: the transparency log of this instance, its state and its proofs."""

from typing import Annotated

import typer

from api import ledger, wiring
from api.cli.context import shared
from api.cli.exits import Exit, exit_of, worst
from api.cli.output import Json
from api.cli.receipts import receipt_fields
from api.stamping import stamp_newest
from evidence_store.errors import EvidenceError
from evidence_store.identifiers import Ern
from evidence_store.index_audit import whole_audit
from evidence_store.ledger_port import Head

commands = typer.Typer(no_args_is_help=True, help="The log that every act is committed to.")


@commands.command("status")
def status(context: typer.Context) -> None:
    """How large the log is, what waits, and who vouches for it."""
    here = shared(context)
    instance = here.instance()
    log = wiring.found_log(instance.catalog, instance.signing)
    with instance.catalog.read() as reader:
        head, sealed = reader.ledger.head(), reader.ledger.sealed_head()
        pending = reader.ledger.size() - (head.size if head else 0)
    row: dict[str, Json] = {
        "origin": log.origin,
        "vkeys": [str(each) for each in log.vkeys],
        "size": head.size if head else 0,
        "root": head.root.hex() if head else None,
        "sealed_size": sealed.size if sealed else 0,
        "pending": pending,
        "policy": str(ledger.policy(instance.home, log)),
    }
    # The keys themselves are kilobytes; a person compares their names, a program takes the JSON.
    text = [
        log.origin,
        f"{row['size']} entries, {row['sealed_size']} sealed, {pending} waiting",
        *(f"signed by {each.name}+{each.key_id.hex()} ({each.type.name})" for each in log.vkeys),
    ]
    here.output.record(row, text)


@commands.command("checkpoint")
def checkpoint(context: typer.Context) -> Exit:
    """Let the log take in what waits, sign, ask the witnesses; prints the newest checkpoint."""
    here = shared(context)
    head = ledger.advance(here.instance())
    if head is None:
        here.output.note("the log has no entries yet")
        return Exit.DONE
    here.output.record(_head(head), _note(head).splitlines())
    return Exit.DONE if head.sealed else Exit.AGAIN


@commands.command("stamp")
def stamp(context: typer.Context) -> Exit:
    """Have the newest sealed checkpoint time-stamped by the authorities of time-stamps.toml."""
    here = shared(context)
    instance = here.instance()
    ledger.settle(instance)
    exits = []
    for name, found in stamp_newest(instance).items():
        row: dict[str, Json] = {"authority": name}
        if isinstance(found, EvidenceError):
            exits.append(exit_of(found))
            row |= {"at": None, "error": f"{found.code}: {found}"}
        else:
            row |= {
                "at": found.at.isoformat(),
                "verified_by": list(found.verified_by),
                "confirmed": found.confirmed,
            }
            if not found.confirmed:
                exits.append(Exit.AGAIN)
        here.output.record(row, f"{name}: {row['at'] or row['error']}")
    return worst(exits)


@commands.command("prove")
def prove(
    context: typer.Context,
    ern: Annotated[str, typer.Argument(help="The item, as in SI-2026-000123.")],
    seq: Annotated[int | None, typer.Option(min=1, help="Only this event.")] = None,
) -> Exit:
    """The proofs that the log holds an item's events, against the first sealed checkpoint of each."""
    here = shared(context)
    instance = here.instance()
    wanted = Ern.parse(ern)
    ledger.settle(instance)
    pending = False
    for receipt in ledger.receipts(instance, wanted):
        if seq is None or receipt.recorded.seq == seq:
            row = receipt_fields(receipt)
            pending = pending or receipt.proof is None
            text = f"{receipt.proof or 'pending'}".splitlines()
            here.output.record(row, [f"{row['seq']} {row['act']}", *text])
    return Exit.AGAIN if pending else Exit.DONE


@commands.command("audit")
def audit_log(context: typer.Context) -> Exit:
    """Check every entry, tile, signature and event of the log against each other."""
    here = shared(context)
    instance = here.instance()
    findings = 0
    checked = 0
    for finding in whole_audit(instance.catalog, instance.tiles):
        if finding.problem is None:
            checked = finding.checked
            continue
        findings += 1
        row: dict[str, Json] = {"where": finding.where, "problem": finding.problem}
        here.output.record(row, f"{finding.where}: {finding.problem}")
    summary: dict[str, Json] = {"summary": {"entries": checked, "problems": findings}}
    here.output.record(summary, f"{checked} entries, {findings} problems")
    return Exit.INTEGRITY if findings else Exit.DONE


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="log")


def _head(head: Head) -> dict[str, Json]:
    return {
        "size": head.size,
        "root": head.root.hex(),
        "made_at": head.made_at.isoformat(),
        "sealed": head.sealed is not None,
        "note": _note(head),
    }


def _note(head: Head) -> str:
    return (head.sealed or head.note or b"").decode()
