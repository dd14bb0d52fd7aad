"""`evidence push`: files to a server over a bad line; goes on after anything."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from api.cli.context import shared
from api.cli.exits import Exit, exit_of, worst
from api.cli.output import Json
from api.pushing import Pushing
from api.settings import TOKEN_VARIABLE
from evidence_store.errors import EvidenceError, MalformedError, UnavailableError

STATE = ".evidence-push"


def push(  # noqa: PLR0913 - one parameter for each thing that is said of the files
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder or a file.", exists=True)],
    *,
    to: Annotated[str, typer.Option(help="The server, as in https://evidence.example.")],
    case: Annotated[str, typer.Option(help="The case, as in SI-CASE-0001.")],
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"A file that holds the token; by default {TOKEN_VARIABLE} is read."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Where it is written down how far it is; beside the files by default."),
    ] = None,
    collected_by: Annotated[str, typer.Option(help="Who collected them.")] = "unknown",
    collected_at: Annotated[str, typer.Option(help="When, with zone.")] = "unknown",
    method: Annotated[str, typer.Option(help="How they were collected.")] = "unknown",
    place: Annotated[str, typer.Option(help="Where.")] = "unknown",
    source: Annotated[str, typer.Option(help="From whom or what.")] = "unknown",
) -> Exit:
    """Send files to a server. Run it again after any interruption: nothing is sent or registered twice."""
    here = shared(context)
    beside = (folder if folder.is_dir() else folder.parent) / STATE
    pushing = Pushing(to, _token(token_file), state or beside)
    said = {
        "case": case,
        "collected_by": collected_by,
        "collected_at": collected_at,
        "method": method,
        "place": place,
        "source": source,
    }
    exits: set[Exit] = set()
    for file in _files(folder):
        name = str(file.relative_to(folder.parent))
        try:
            row: dict[str, Json] = dict(pushing.push(file, name, said))
        except UnavailableError:
            raise
        except EvidenceError as error:
            exits.add(exit_of(error))
            row = {"path": name, "status": "failed", "code": error.code, "error": str(error)}
        here.output.record(row, f"{row.get('status')}  {row.get('ern', '-')}  {name}")
    return worst(exits)


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("push")(push)


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name != STATE:
            yield path


def _token(file: Path | None) -> str:
    text = os.environ.get(TOKEN_VARIABLE) if file is None else file.read_text().strip()
    if not text:
        raise MalformedError(f"token: expected one in --token-file or in {TOKEN_VARIABLE}")
    return text
