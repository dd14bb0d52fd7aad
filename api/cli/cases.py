"""`evidence case`: open and list cases."""

from typing import Annotated

import typer

from api import ledger
from api.cli.context import shared
from api.cli.output import Json
from api.cli.paging import AfterOption, LimitOption, paged
from evidence_store.item import Case
from evidence_store.wording import named

commands = typer.Typer(no_args_is_help=True, help="Cases: what evidence is gathered for.")


@commands.command("open")
def open_case(
    context: typer.Context,
    title: Annotated[str, typer.Option(help="What the case is called; no names of witnesses.")],
    reference: Annotated[str | None, typer.Option(help="The authority's own number.")] = None,
) -> None:
    """Open a case; prints its identifier."""
    here = shared(context)
    title = named(title, "title")
    if reference is not None:
        reference = named(reference, "reference")
    instance = here.instance()
    ledger.insist_continued(instance)
    with instance.catalog.write() as writer:
        case = writer.open_case(title, reference, instance.clock.now())
    here.output.record(_case(case), f"{case.case_id}  {case.title}")


@commands.command("list")
def list_cases(
    context: typer.Context, after: AfterOption = None, limit: LimitOption = None
) -> None:
    """List the cases."""
    here = shared(context)
    with here.instance().catalog.read() as reader:
        rows = map(_case, paged(reader.cases, after=after, limit=limit))
        here.output.table(rows, ("case", "reference", "title", "opened_at"))


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="case")


def _case(case: Case) -> dict[str, Json]:
    return {
        "case": str(case.case_id),
        "title": case.title,
        "reference": case.reference,
        "opened_at": case.opened_at.isoformat(timespec="seconds"),
    }
