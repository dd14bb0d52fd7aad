"""`evidence keys`: the keys that content is sealed to. No command prints a secret."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from api import rewrapping, settings, wiring
from api.cli.context import Shared, ask_passphrase, new_passphrase, shared
from api.cli.exits import Exit
from api.cli.output import Json
from api.wiring import KeyFile, Passphrase
from evidence_store.errors import SettingsError
from evidence_store.rewrap import OBJECT

commands = typer.Typer(no_args_is_help=True, help="The keys that content is sealed to.")


@commands.command("list")
def list_keys(context: typer.Context) -> None:
    """List the keys' public names; new content is sealed to the current one."""
    here = shared(context)
    keys = here.instance().keyring
    rows: list[dict[str, Json]] = [
        {"recipient": each, "current": each == keys.recipient} for each in keys.recipients
    ]
    here.output.table(rows, ("recipient", "current"))


@commands.command("create")
def create(
    context: typer.Context,
    *,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Protect the file by a passphrase.")
    ] = False,
) -> None:
    """Create the key file where there is none. `evidence init` does so too; none is replaced."""
    here = shared(context)
    keys = _keys(here, new_passphrase if passphrase else None).create()
    here.output.record({"recipient": keys.recipient, "key_file": str(keys.path)}, keys.recipient)


@commands.command("backup")
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to make, on another medium.")],
    *,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            help="Holds the copy's passphrase; by default it is asked for.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Write a copy of the key file under a passphrase of its own, and read it back."""
    here = shared(context)
    chosen = passphrase_file
    asked = partial(new_passphrase, "--passphrase-file")
    secret = asked if chosen is None else lambda: wiring.read_passphrase(chosen)
    _keys(here, ask_passphrase).back_up(file, secret)
    here.output.record({"file": str(file)}, f"{file}: it opens with `age -d` and the passphrase")


@commands.command("check")
def check(context: typer.Context) -> None:
    """Check that the key file is private, that its keys open, and what is wrapped to older ones."""
    here = shared(context)
    keys = _keys(here, ask_passphrase)
    keys.check()
    older = _still_older(here)
    row: dict[str, Json] = {"recipient": keys.recipient, "usable": True, "older": {**older}}
    here.output.record(row, "the keys are usable")
    if older:
        here.output.note(
            f"wrapped to older keys: {rewrapping.told(older)}; run: evidence keys rewrap"
        )


@commands.command("rotate")
def rotate(context: typer.Context) -> Exit:
    """Make a new key, and wrap to it what is sealed. No content is touched.

    The old keys stay in the file: backups of the catalog need them.
    """
    here = shared(context)
    new = _keys(here, ask_passphrase).add_identity()
    here.output.note(f"the current key is now {new}; back it up: evidence keys backup FILE")
    return _rewrap(here)


@commands.command("rewrap")
def rewrap(context: typer.Context) -> Exit:
    """Wrap to the current key what is not yet: goes on with a rotation that was cut short."""
    return _rewrap(shared(context))


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="keys")


def _keys(here: Shared, passphrase: Passphrase | None) -> KeyFile:
    return wiring.key_file(here.home, settings.load(here.home), passphrase)


def _rewrap(here: Shared) -> Exit:
    instance = here.instance()
    current = instance.keyring.recipient
    objects = others = failed = 0
    for each in rewrapping.rewrap(instance):
        if each.error is not None:
            failed += 1
            here.output.note(f"{each.what} {each.name}: {each.error.code}: {each.error}")
        elif each.what == OBJECT:
            objects += 1
        else:
            others += 1
    summary: dict[str, Json] = {
        "recipient": current,
        "rewrapped": objects,
        "others": others,
        "failed": failed,
    }
    words = f"{objects} objects and {others} others are wrapped to {current}, {failed} could not be"
    here.output.record(summary, words)
    return Exit.INTEGRITY if failed else Exit.DONE


def _still_older(here: Shared) -> dict[str, int]:
    """What is wrapped to older keys; nothing where there is a key file and no instance yet."""
    try:
        instance = here.instance()
    except SettingsError:
        return {}
    return rewrapping.still_older(instance, thorough=True)
