"""`evidence push`: files to a server over a bad line; goes on after anything."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from api.cli.context import shared
from api.cli.exits import Exit, exit_of, worst
from api.cli.output import Json, Output, name_fields
from api.cli.seal import read_seal
from api.push_state import PushState
from api.pushing import Pace, Pushing
from api.sending import Parcel, SealToSend, Sent, send_all, send_seal
from api.settings import TOKEN_VARIABLE
from evidence_store.errors import MalformedError
from ingest.field_sealing import SEAL_NAME, STATE_NAME, FieldFolder
from ingest.sources import Source

ToOption = Annotated[str, typer.Option("--to", help="The server, as in https://evidence.example.")]
CaseOption = Annotated[str, typer.Option(help="The case, as in SI-CASE-0001.")]
InClearOption = Annotated[
    bool,
    typer.Option(
        "--in-clear",
        help="Send token and files over http, where they can be read on the way.",
    ),
]
TokenOption = Annotated[
    Path | None,
    typer.Option(help=f"A file that holds the token; by default {TOKEN_VARIABLE} is read."),
]
StateOption = Annotated[
    Path | None,
    typer.Option(help="Where it is written down how far it is; beside the files by default."),
]
AtOnceOption = Annotated[int, typer.Option(min=1, max=16, help="How many files side by side.")]
RateOption = Annotated[
    str | None, typer.Option(help="At most so many bytes a second, as in 500k or 2M.")
]
CollectedByOption = Annotated[str, typer.Option(help="Who collected them.")]
CollectedAtOption = Annotated[str, typer.Option(help="When, with zone.")]
MethodOption = Annotated[str, typer.Option(help="How they were collected.")]
PlaceOption = Annotated[str, typer.Option(help="Where.")]
SourceOption = Annotated[str, typer.Option(help="From whom or what.")]


def push(  # noqa: PLR0913 - one parameter for each thing that is said of the files
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder or a file.", exists=True)],
    *,
    to: ToOption,
    case: CaseOption,
    token_file: TokenOption = None,
    state: StateOption = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="The seal; by default the one in the folder, if there is.", exists=True),
    ] = None,
    at_once: AtOnceOption = 3,
    limit_rate: RateOption = None,
    in_clear: InClearOption = False,
    collected_by: CollectedByOption = "unknown",
    collected_at: CollectedAtOption = "unknown",
    method: MethodOption = "unknown",
    place: PlaceOption = "unknown",
    source: SourceOption = "unknown",
) -> Exit:
    """Send files to a server. Run it again after any interruption: nothing is sent or registered twice.

    What was sealed in the field is compared with its seal on arrival.
    """
    here = shared(context)
    where = state or beside(folder, STATE_NAME)
    own = [os.fsencode(each) for each in (where, manifest, token_file) if each is not None]
    files = FieldFolder.of(os.fsencode(folder), *own)
    said = {
        "case": case,
        "collected_by": collected_by,
        "collected_at": collected_at,
        "method": method,
        "place": place,
        "source": source,
    }
    parcel = Parcel(files, said, _seal(folder, manifest))
    pace, secret, exits = Pace(rate_of(limit_rate)), token_of(token_file), set[Exit]()
    with PushState(where) as kept, _progress(files) as progress:
        pushing = Pushing(to, secret, kept, pace, in_clear)
        if progress is not None:
            pushing.sent = lambda count: progress.advance(progress.task_ids[0], count)
        sealed = send_seal(pushing, parcel)
        if sealed is not None:
            exits.add(show(here.output, sealed))
        for each in send_all(pushing, parcel.files(), at_once):
            exits.add(show(here.output, each))
    return worst(exits)


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("push")(push)


def show(output: Output, sent: Sent) -> Exit:
    """Show what became of a file; the exit code for it."""
    row: dict[str, Json] = {**name_fields(sent.name)}
    shown = sent.name.decode("utf-8", "replace")
    if sent.error is not None:
        row |= {"status": "failed", "code": sent.error.code, "error": str(sent.error)}
        output.record(row, f"failed  -  {shown}  {sent.error.code}: {sent.error}")
        return exit_of(sent.error)
    found = dict(sent.outcome or {})
    why = f"  {found['reason']}" if found.get("reason") else ""
    output.record({**row, **found}, f"{found.get('status')}  {found.get('ern', '-')}  {shown}{why}")
    return Exit.INTEGRITY if sent.is_quarantined else Exit.DONE


def beside(folder: Path, name: bytes) -> Path:
    """A dot-file of ours in the folder, or beside the file."""
    return (folder if folder.is_dir() else folder.parent) / os.fsdecode(name)


def token_of(file: Path | None) -> str:
    """The token, from a file or from the environment.

    Raises:
        MalformedError: if there is none.
    """
    text = os.environ.get(TOKEN_VARIABLE) if file is None else file.read_text().strip()
    if not text:
        raise MalformedError(f"token: expected one in --token-file or in {TOKEN_VARIABLE}")
    return text


def rate_of(text: str | None) -> int | None:
    """Bytes a second, as in 500000, 500k or 2M.

    Raises:
        MalformedError: on anything else.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,11})([kMG]?)", text, re.ASCII)
    if found is None:
        raise MalformedError(f"--limit-rate: expected it as in 500k or 2M, found {text[:40]!r}")
    return int(found[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[found[2]]


def _seal(folder: Path, manifest: Path | None) -> SealToSend | None:
    path = manifest
    if path is None and folder.is_dir():  # beside a single file lies the seal of the whole folder
        path = beside(folder, SEAL_NAME)
    return SealToSend(*read_seal(path)) if path is not None and path.exists() else None


@contextmanager
def _progress(folder: FieldFolder) -> Iterator[Progress | None]:
    """A progress bar on stderr where a person watches; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    sizes = (each.size_bytes for _, each in folder.sources() if isinstance(each, Source))
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task("push", total=sum(sizes))
        yield bar
