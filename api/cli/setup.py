"""`evidence init` and `evidence migrate`: an instance begins, and follows its software."""

from typing import Annotated

import typer

from api import ledger, wiring
from api.cli.context import ask_passphrase, new_passphrase, shared
from api.cli.exits import Exit
from api.cli.output import Json
from evidence_store.granting import relist_grants
from evidence_store.identifiers import StateCode
from evidence_store.index_audit import whole_audit
from evidence_store.wording import named


def init(
    context: typer.Context,
    *,
    state: Annotated[str, typer.Option(help="The State, as in SI (ISO 3166-1).")],
    authority: Annotated[str, typer.Option(help="The authority or institution.")],
    passphrase: Annotated[
        bool,
        typer.Option(
            "--passphrase",
            help="Protect the key file by a passphrase, from EVIDENCE_KEY_PASSPHRASE_FILE or the "
            "terminal.",
        ),
    ] = False,
    exercise: Annotated[
        bool,
        typer.Option("--exercise", help="For training: nothing in it is evidence, and it says so."),
    ] = False,
) -> None:
    """Set up an instance: its home, its key, its object store and its catalog.

    May be run again if it was cut short; an instance that is there is left as it is.
    """
    here = shared(context)
    made = wiring.create_instance(
        here.home,
        StateCode(state),
        named(authority, "authority"),
        new_passphrase if passphrase else None,
        exercise=exercise,
    )
    here.output.record(
        {
            "home": str(here.home),
            "state": state,
            "authority": authority,
            "exercise": exercise,
            "recipient": made.recipient,
            "key_file": str(made.path),
        },
        f"The instance is in {here.home}. Its key is {made.path}: without it nothing can be "
        "read again. Back it up now: evidence keys backup FILE",
    )


def migrate(context: typer.Context) -> None:
    """Bring the catalog's tables to what this version of the software needs."""
    here = shared(context)
    before, after = wiring.migrate_catalog(here.home)
    text = "nothing to do" if before == after else f"from {before} to {after}"
    here.output.record({"before": before, "after": after}, text)


def rebuild(context: typer.Context) -> Exit:
    """Make catalog and ledger anew from the object store and the keys, and check them.

    The log's files that are there must be those that are made. It may be run again if it was cut
    short or failed.
    """
    here = shared(context)
    if not wiring.rebuild_catalog(here.home, ask_passphrase):
        here.output.note(
            "No published checkpoint was at hand: the log goes on from the newest one that the "
            "journal holds. Whether it had grown since, only its witnesses and receipts can tell."
        )
    instance = here.instance()
    relist_grants(instance.catalog)
    problems = [each for each in whole_audit(instance.catalog, instance.tiles) if each.problem]
    for each in problems:
        here.output.note(f"{each.where}: {each.problem}")
    head = ledger.advance(instance)
    row: dict[str, Json] = {
        "size": head.size if head else 0,
        "root": head.root.hex() if head else None,
        "problems": len(problems),
    }
    here.output.record(row, f"the log has {row['size']} entries, root {row['root']}")
    return Exit.INTEGRITY if problems else Exit.DONE


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("init")(init)
    app.command("migrate")(migrate)
    app.command("rebuild")(rebuild)
