"""`evidence authority`: who acts here, and the keys that they sign with."""

from collections.abc import Sequence
from typing import Annotated

import typer

from api import ledger
from api.cli.context import shared
from api.cli.output import Json
from evidence_store.authorities import appoint, follow, revoke
from evidence_store.identifiers import AuthorityId, KeyId
from evidence_store.ledger_port import Authority, LedgerReader
from evidence_store.wording import named, stated

commands = typer.Typer(no_args_is_help=True, help="Authorities, and the keys they sign with.")
AuthorityArgument = Annotated[str, typer.Argument(help="The authority, as in police-directorate.")]


@commands.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The authority's name.")],
    identifier: Annotated[
        str | None, typer.Option("--id", help="How it is called; made from its name by default.")
    ] = None,
) -> None:
    """Enter an authority of this State, with a signing key of its own."""
    here = shared(context)
    instance = here.instance()
    ledger.insist_continued(instance)
    chosen = AuthorityId(identifier) if identifier else AuthorityId.named(named(name, "name"))
    made = appoint(instance.catalog, instance.signing, instance.clock, name, chosen)
    ledger.settle(instance)
    with instance.catalog.read() as reader:
        row = _row(reader.ledger, made)
    here.output.record(row, f"{made.id}  {made.name}")


@commands.command("list")
def list_authorities(context: typer.Context) -> None:
    """List the authorities and their keys."""
    here = shared(context)
    with here.instance().catalog.read() as reader:
        rows = [_row(reader.ledger, each) for each in reader.ledger.authorities()]
    here.output.table(rows, ("authority", "name", "keys", "revoked"))


@commands.command("follow")
def follow_key(context: typer.Context, authority: AuthorityArgument) -> None:
    """Register a new key for an authority; from now on it signs with that one."""
    here = shared(context)
    instance = here.instance()
    ledger.insist_continued(instance)
    kid = follow(instance.catalog, instance.signing, AuthorityId(authority))
    ledger.settle(instance)
    here.output.record({"kid": str(kid)}, f"{kid} signs from now on")


@commands.command("revoke")
def revoke_key(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="The key, as in SI/police-directorate/1.")],
    reason: Annotated[str, typer.Option(help="Why; no personal data, the log is public.")],
    from_index: Annotated[
        int | None,
        typer.Option(min=0, help="From which entry on it does not count; by default from now on."),
    ] = None,
) -> None:
    """Say in the log that a key does not count any more. What it signed before stays good."""
    here = shared(context)
    instance = here.instance()
    kid = KeyId.parse(key)
    ledger.insist_continued(instance)
    start = revoke(instance.catalog, instance.signing, kid, stated(reason, "reason"), from_index)
    ledger.settle(instance)
    here.output.record({"kid": key, "from_index": start}, f"{key} does not count from {start} on")


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="authority")


def _row(reader: LedgerReader, authority: Authority) -> dict[str, Json]:
    revoked = {str(each.kid) for each in reader.controls("revocation")}
    keys: Sequence[str] = [str(each.kid) for each in reader.keys_of(authority.id)]
    return {
        "authority": str(authority.id),
        "name": authority.name,
        "keys": list(keys),
        "revoked": [each for each in keys if each in revoked],
    }
