"""`evidence peer`: ask another instance, in the name of an authority whose key is here."""

import json
from typing import Annotated

import typer

from api import ledger
from api.cli.context import shared
from api.cli.output import Json
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
    here.output.record(found, json.dumps(found, ensure_ascii=False, indent=2))


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="peer")
