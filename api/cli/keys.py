"""`evidence keys`: the keys that content is sealed to. No command prints a secret."""

from pathlib import Path
from typing import Annotated

import typer

from api.cli.context import new_passphrase, shared
from api.cli.exits import Exit
from evidence_store.rewrap import rewrap_all

commands = typer.Typer(no_args_is_help=True, help="The keys that content is sealed to.")


@commands.command("list")
def list_keys(context: typer.Context) -> None:
    """List the public names of the keys; content is sealed to the current one."""
    here = shared(context)
    key_file = here.key_file()
    rows = [
        {"recipient": recipient, "current": recipient == key_file.recipient}
        for recipient in key_file.recipients
    ]
    here.output.table(rows, ("recipient", "current"))


@commands.command("create")
def create(
    context: typer.Context,
    *,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Protect the new file by a passphrase.")
    ] = False,
) -> None:
    """Create the key file, where there is none. One that is there is never replaced."""
    here = shared(context)
    key_file = here.create_key_file(new_passphrase if passphrase else None)
    here.output.record({"recipient": key_file.recipient}, key_file.recipient)


@commands.command("backup")
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to make, on another medium.")],
) -> None:
    """Write a copy of the key file, encrypted under a passphrase of its own."""
    here = shared(context)
    here.key_file().back_up(file, new_passphrase())
    here.output.record({"file": str(file)}, f"{file}: open it with `age -d` and the passphrase")


@commands.command("check")
def check(context: typer.Context) -> None:
    """Check that the key file is private and that its keys open what they seal."""
    here = shared(context)
    key_file = here.key_file()
    key_file.check()
    here.output.record({"recipient": key_file.recipient, "usable": True}, "the keys are usable")


@commands.command("rotate")
def rotate(context: typer.Context) -> Exit:
    """Make a new key, and wrap every object's file key to it. Content is not touched.

    Goes on where it was cut short when run with --continue-rotation implied: old headers are
    always looked for. Old keys stay in the file, for backups of the catalog.
    """
    here = shared(context)
    key_file = here.key_file()
    key_file.add_identity()
    instance = here.instance()
    ...
    return Exit.DONE
