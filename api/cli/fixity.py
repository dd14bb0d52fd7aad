"""`evidence fixity`: what the cycle found of the stored bytes, and a turn of it now."""

import typer

from api import fixity
from api.cli.context import shared
from api.cli.exits import Exit
from api.cli.output import Json

fixity_commands = typer.Typer(no_args_is_help=True, help="Stored bytes, read again in a cycle.")


@fixity_commands.command("status")
def status(context: typer.Context) -> Exit:
    """Say how the cycle stands, and name what is not as registered. Exit code 3 if anything is."""
    here = shared(context)
    instance = here.instance()
    found = fixity.stands(instance)
    with instance.catalog.read() as reader:
        for row in fixity.failures(reader, found):
            what = f"{row['ern']} version {row['version']}" if row["ern"] else "journal"
            here.output.record(
                row, f"{row['outcome']}  {what}, object {row['object']}: {row['code']}"
            )
    oldest = None if found.oldest is None else found.oldest.isoformat()
    summary: dict[str, Json] = {
        "fixity": fixity.word(found),
        "oldest": oldest,
        "period_days": instance.settings.fixity_days,
        "late": found.late,
        "failed_objects": len(found.failed),
    }
    here.output.record(
        summary, f"{fixity.word(found)}; the oldest measurement is of {oldest or 'nothing'}"
    )
    return Exit.INTEGRITY if found.failed else Exit.DONE


@fixity_commands.command("run")
def run(context: typer.Context) -> Exit:
    """Do a turn now: first what was not as registered, then what is due. Exit code 3 as `status`."""
    here = shared(context)
    found = fixity.turn(here.instance(), failed_again=True)
    row: dict[str, Json] = {
        "objects": found.objects,
        "size_bytes": found.size_bytes,
        "failed": found.failed,
    }
    text = (
        f"read {found.objects} objects, {found.size_bytes} bytes; not as registered: {found.failed}"
    )
    here.output.record(row, text)
    return Exit.INTEGRITY if found.failed else Exit.DONE


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(fixity_commands, name="fixity")
