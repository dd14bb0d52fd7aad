"""The entry point: global options, and errors turned into messages and exit codes.

`--home`, `--json` and `--text` may stand anywhere on the line, before or behind the
command. No traceback reaches a user; an unforeseen error is named by type and place.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from api.cli import (
    access,
    authority,
    cases,
    check,
    custody,
    doctor,
    exhibits,
    fetch,
    field_key,
    fixity,
    grant,
    ingest,
    items,
    keys,
    log,
    packages,
    peer,
    protection,
    push,
    registry,
    request,
    scenario,
    seal,
    serve,
    setup,
    transfer,
    verify,
    versions,
    watch,
    witness,
)
from api.cli.context import Shared
from api.cli.exits import Exit, exit_of
from api.cli.output import Output, ReaderGoneError
from api.settings import HOME_VARIABLE
from evidence_store.errors import EvidenceError, MalformedError

_EPILOG = (
    "--home DIR, --json and --text may stand anywhere on the line. JSON is the default when stdout "
    "is not a terminal. Exit codes: 0 done, 2 usage, 3 integrity failure, 4 try again."
)

app = typer.Typer(
    name="evidence",
    help="Keeps evidence, and proves that it was kept.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def root(
    context: typer.Context,
    home: Annotated[
        Path, typer.Option(envvar=HOME_VARIABLE, help="Where this instance lives.")
    ] = Path("~/.evidence"),
    *,
    json: Annotated[bool, typer.Option("--json", help="Write JSON, one record a line.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Write text, for a person.")] = False,
) -> None:
    """Keeps evidence, and proves that it was kept."""
    as_json = json or not (text or sys.stdout.isatty())
    context.obj = Shared(home.expanduser().absolute(), Output(as_json))
    context.call_on_close(context.obj.close)


setup.add_to(app)
cases.add_to(app)
ingest.add_to(app)
exhibits.add_to(app)
items.add_to(app)
versions.add_to(app)
fetch.add_to(app)
verify.add_to(app)
fixity.add_to(app)
check.add_to(app)
keys.add_to(app)
custody.add_to(app)
packages.add_to(app)
transfer.add_to(app)
authority.add_to(app)
log.add_to(app)
witness.add_to(app)
doctor.add_to(app)
registry.add_to(app)
request.add_to(app)
grant.add_to(app)
access.add_to(app)
protection.add_to(app)
scenario.add_to(app)
serve.add_to(app)
push.add_to(app)
seal.add_to(app)
field_key.add_to(app)
watch.add_to(app)
peer.add_to(app)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _globals_first(sys.argv[1:] if arguments is None else arguments)
    output = Output("--json" in arguments)
    try:
        return int(app(arguments or ["--help"], standalone_mode=False) or Exit.DONE)
    except EvidenceError as error:
        output.problem(error)
        code = exit_of(error)
    except TyperException as error:
        output.problem(MalformedError(f"{error}; `evidence COMMAND --help` says more"))
        code = Exit.USAGE
    except (typer.Abort, KeyboardInterrupt):
        output.note("interrupted; what was acknowledged is kept. Run the same command again.")
        code = Exit.AGAIN
    except ReaderGoneError:
        # Whoever read stdout has gone: no more can be said there, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.AGAIN
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for users
        output.note(_unforeseen(error))
        code = Exit.AGAIN
    return code


def _unforeseen(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return (
        f"{EvidenceError.code}: an error that was not foreseen ({type(error).__name__} at {place}); "
        "nothing unacknowledged was kept. Please report it with this line."
    )


def _globals_first(arguments: list[str]) -> list[str]:
    """The arguments with the global options moved to the front, up to a `--`."""
    first: list[str] = []
    rest: list[str] = []
    queue = iter(arguments)
    for each in queue:
        if each == "--":
            rest += [each, *queue]
        elif each in {"--json", "--text"} or each.startswith("--home="):
            first.append(each)
        elif each == "--home":
            first += [each, *[value for value in [next(queue, None)] if value is not None]]
        else:
            rest.append(each)
    return first + rest
