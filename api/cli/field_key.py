"""`evidence field-key`: the keys of kits that seal in the field, made known by two officers."""

from typing import Annotated

import typer

from api import cooperation
from api.cli.context import Shared, shared
from api.cli.desk import OfficerOption, at_desk, done
from api.cli.paging import AfterOption
from api.views import entry_row
from api.wiring import Instance
from evidence_store.cooperation.registry import (
    EntryKind,
    FieldKeyEntry,
    Validity,
    document_of,
)
from evidence_store.desk import Desk
from evidence_store.dossiers import Chains
from evidence_store.field_seal import public_key
from evidence_store.identifiers import AuthorityId
from evidence_store.moment import Moment
from evidence_store.registering import entries, propose

commands = typer.Typer(no_args_is_help=True, help="Field keys: what kits seal with.")


@commands.command("add")
def add(
    context: typer.Context,
    public: Annotated[str, typer.Argument(help="As `evidence seal --new-key` shows it.")],
    *,
    kit: Annotated[str, typer.Option(help="Whose kit it is in, as in: kit 7.")],
    authority: Annotated[
        str | None, typer.Option(help="The authority it seals for; the officer's by default.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="From when it counts; by default from today on.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Until when it counts.")] = None,
    officer: OfficerOption,
) -> None:
    """Propose a kit's key. It counts when another officer has approved it."""
    here, instance, desk = at_desk(context, officer)
    whose = desk.authority if authority is None else AuthorityId(authority)
    when = cooperation.validity(start, until, instance)
    _propose(here, instance, desk, FieldKeyEntry(public_key(public), whose, kit, when))


@commands.command("end")
def end(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="The key, as `field-key list` shows it.")],
    *,
    at: Annotated[str, typer.Option(help="From when on it counts no more.")],
    officer: OfficerOption,
) -> None:
    """Propose that a kit's key counts no more: lost, stolen, or its kit was given back."""
    here, instance, desk = at_desk(context, officer)
    with instance.catalog.read() as reader:
        found = desk.registry(reader).field_key(key)
    when = Validity(found.validity.start, Moment.parse(at))
    _propose(here, instance, desk, FieldKeyEntry(found.public, found.authority, found.kit, when))


@commands.command("list")
def list_keys(context: typer.Context, *, after: AfterOption = None) -> None:
    """List the field keys."""
    here = shared(context)
    with here.instance().catalog.read() as reader:
        found, _ = entries(reader, Chains(), EntryKind.FIELD_KEY, after=after)
    rows = [{"key": each.entry.key, **entry_row(each)} for each in found]
    here.output.table(rows, ("key", "authority", "kit", "valid_from", "valid_until"))


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="field-key")


def _propose(here: Shared, instance: Instance, desk: Desk, entry: FieldKeyEntry) -> None:
    change = propose(instance.catalog, desk.recorder, desk.chains, desk.officer, entry)
    done(
        here,
        instance,
        {"change": str(change), "state": "proposed", "key": entry.key, "entry": document_of(entry)},
        f"{change} is proposed: {entry.key}. Another officer approves it: "
        f"evidence registry approve {change}",
    )
