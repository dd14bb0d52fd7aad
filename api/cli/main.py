"""The entry point: global options, and errors turned into messages and exit codes.

`--home`, `--json` and `--text` may stand anywhere on the line, before or behind the
command. No traceback reaches a user; an unforeseen error is named by type and place.
"""

import difflib
import os
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from api.cli.context import Shared
from api.cli.exits import Exit, exit_of
from api.cli.output import Output, ReaderGoneError
from api.cli.start import INTERRUPTED
from api.settings import HOME_VARIABLE, check_environment
from evidence_store.errors import EvidenceError, MalformedError

_EPILOG = (
    "--home DIR, --json and --text may stand anywhere on the line. JSON is the default when stdout "
    "is not a terminal. Exit codes: 0 done, 2 usage, 3 integrity failure, 4 try again, "
    "130 interrupted."
)

NEAR = 0.75  # how alike two names are when one is likely to be the other, misspelt

# In the order of the help. A command loads its own module only: all of them take half a second.
MODULES: Mapping[str, Sequence[str]] = {
    "setup": ["init", "migrate", "rebuild"],
    "cases": ["case"],
    "ingest": ["ingest"],
    "exhibits": ["exhibit"],
    "items": ["list", "show", "void"],
    "versions": ["version"],
    "fetch": ["fetch"],
    "verify": ["verify"],
    "fixity": ["fixity"],
    "check": ["check"],
    "keys": ["keys"],
    "custody": ["custody", "act"],
    "packages": ["export", "verify-package"],
    "transfer": ["transfer"],
    "authority": ["authority"],
    "log": ["log"],
    "witness": ["witness"],
    "doctor": ["doctor"],
    "registry": ["registry", "state", "institution", "officer"],
    "request": ["request"],
    "grant": ["grant", "consent"],
    "access": ["access", "policy"],
    "protection": ["measure", "team", "index", "statement"],
    "scenario": ["scenario"],
    "serve": ["serve", "worker", "token", "enrolment"],
    "push": ["push"],
    "seal": ["seal"],
    "field_key": ["field-key"],
    "watch": ["watch"],
    "peer": ["peer"],
}


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
    check_environment()
    as_json = json or not (text or sys.stdout.isatty())
    context.obj = Shared(home.expanduser().absolute(), Output(as_json))
    context.call_on_close(context.obj.close)


def commands_of(modules: Iterable[str]) -> typer.Typer:
    """The command line, with what these modules hold."""
    app = typer.Typer(
        name="evidence",
        help="Keeps evidence, and proves that it was kept.",
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        suggest_commands=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(root)
    for each in modules:
        import_module(f"api.cli.{each}").add_to(app)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _globals_first(sys.argv[1:] if arguments is None else arguments)
    output = Output("--json" in arguments)
    try:
        app = commands_of(_needed(arguments))
        return int(app(arguments or ["--help"], standalone_mode=False) or Exit.DONE)
    except EvidenceError as error:
        output.problem(error)
        code = exit_of(error)
    except TyperException as error:
        output.problem(MalformedError(_misspelt(error, arguments)))
        code = Exit.USAGE
    except (typer.Abort, KeyboardInterrupt):
        output.note(INTERRUPTED)
        code = Exit.INTERRUPTED
    except ReaderGoneError:
        # Whoever read stdout has gone: no more can be said there, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.AGAIN
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for users
        output.note(_unforeseen(error))
        code = Exit.AGAIN
    return code


def _misspelt(error: TyperException, arguments: Sequence[str]) -> str:
    """What is wrong with the call, in one sentence, by the names that are typed."""
    known: Iterable[str] = getattr(error, "possibilities", None) or ()
    message, typed = str(getattr(error, "message", "")), ""
    if known:  # click names whatever is at all alike
        typed = str(getattr(error, "option_name", ""))
    else:
        message = error.format_message()
        typed = next((each for each in arguments if repr(each) in message), "")
        if message.startswith("No such command"):
            known = [each for commands in MODULES.values() for each in commands]
    close = difflib.get_close_matches(typed, list(known), n=1, cutoff=NEAR) if typed else []
    advice = f"; did you mean {close[0]}?" if close else ""
    return f"{message.rstrip('.')}{advice or '; `evidence COMMAND --help` says more'}"


def _needed(arguments: Sequence[str]) -> Sequence[str]:
    """The module of the command that is named, or all of them: for the help, and for a mistake."""
    behind = iter(arguments)
    for each in behind:
        if each == "--home":
            next(behind, None)
        elif not each.startswith("-"):
            found = [name for name, commands in MODULES.items() if each in commands]
            return found or list(MODULES)
    return list(MODULES)


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
