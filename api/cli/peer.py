"""`evidence peer`: ask another instance, in the name of an authority whose key is here."""

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer

from api import ledger
from api.cli.context import shared
from api.cli.fetch import new_file
from api.cli.output import Json
from evidence_store.errors import FixityError
from evidence_store.identifiers import AuthorityId

commands = typer.Typer(no_args_is_help=True, help="Ask other instances, signed by an authority.")
ServerOption = Annotated[
    str, typer.Option("--to", help="The other instance, as in https://evidence.example.")
]
AuthorityOption = Annotated[
    str | None,
    typer.Option("--as", help="The authority that signs; by default this instance's own."),
]


@commands.command("get")
def get(
    context: typer.Context,
    path: Annotated[
        str, typer.Argument(help="What is asked for, as in grants, transfers/SI-TRF-000001.")
    ] = "",
    *,
    server: ServerOption,
    authority: AuthorityOption = None,
) -> None:
    """Ask for grants, transfers or accesses that the authority is a side of."""
    here = shared(context)
    from api.asking import Asking  # noqa: PLC0415 - of this command only

    instance = here.instance()
    acting = None if authority is None else AuthorityId(authority)
    recorder = ledger.recorder(instance, acting)
    asking = Asking(server, recorder.by, instance.signing.sign, instance.clock)
    found: dict[str, Json] = asking.get(f"/v1/peer/{path.strip('/')}".rstrip("/"))
    here.output.record(found, json.dumps(found, ensure_ascii=False, indent=2).split("\n"))


@commands.command("deliver")
def deliver(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="A package, as of `evidence export`.", exists=True, dir_okay=False),
    ],
    *,
    server: ServerOption,
    authority: AuthorityOption = None,
) -> None:
    """Deliver a package to another instance. Its receipt says what arrived and what it shows."""
    here = shared(context)
    from api.asking import Asking  # noqa: PLC0415 - likewise

    instance = here.instance()
    recorder = ledger.recorder(instance, None if authority is None else AuthorityId(authority))
    asking = Asking(server, recorder.by, instance.signing.sign, instance.clock)
    found: dict[str, Json] = asking.send("/v1/peer/deliveries", file)
    here.output.record(found, json.dumps(found, ensure_ascii=False, indent=2).split("\n"))


@commands.command("deliveries")
def deliveries(context: typer.Context) -> None:
    """List the packages that peers have delivered here."""
    here = shared(context)
    from api.delivering import delivery_row  # noqa: PLC0415 - likewise

    instance = here.instance()
    after, rows = None, []
    while True:
        found = instance.doors.deliveries(after=after)
        rows += [delivery_row(each) for each in found.entries]
        if (after := found.after) is None:
            break
    here.output.table(rows, ("delivery", "authority", "received_at", "size_bytes", "sha256"))


@commands.command("open")
def open_delivery(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(help="The delivery.")],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
) -> None:
    """Open a delivered package, to look at it and to take in what belongs here."""
    here = shared(context)
    from api.delivering import named, pieces_of  # noqa: PLC0415 - likewise

    instance = here.instance()
    found = named(instance, identifier)
    digest = hashlib.sha256()
    with new_file(output) as file:
        for piece in pieces_of(instance, found):
            digest.update(piece)
            file.write(piece)
        if digest.hexdigest() != found.sha256:
            raise FixityError(what=identifier, expected=found.sha256, found=digest.hexdigest())
    here.output.record({"delivery": identifier, "file": str(output)}, str(output))


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="peer")
