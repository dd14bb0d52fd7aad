"""`evidence exhibit`: physical exhibits, known by seals, container and condition, not by bytes."""

from typing import Annotated

import typer

from api import ledger
from api.cli import asserted
from api.cli.context import shared
from api.cli.receipts import last_receipt
from api.cli.show import item_detail
from evidence_store.errors import MalformedError
from evidence_store.identifiers import CaseId
from evidence_store.intake import register_exhibit
from evidence_store.kinds import EvidenceKind

commands = typer.Typer(no_args_is_help=True, help="Physical exhibits.")


@commands.command("register")
def register(  # noqa: PLR0913 - one parameter for each thing an officer states
    context: typer.Context,
    *,
    case: asserted.CaseOption,
    seal: Annotated[
        list[str], typer.Option(help="A seal number; repeat it for each, or 'unknown'.")
    ],
    container: Annotated[str, typer.Option(help="What it is in, or 'unknown'.")],
    condition: Annotated[str, typer.Option(help="Its condition, or 'unknown'.")],
    method: asserted.MethodOption,
    collected_by: asserted.CollectedByOption,
    collected_at: asserted.CollectedAtOption,
    place: asserted.PlaceOption = asserted.DEFAULT_STATED,
    source: asserted.SourceOption = asserted.DEFAULT_STATED,
    title: asserted.TitleOption = None,
    field: asserted.FieldOption = None,
    metadata: asserted.MetadataOption = None,
    terms: asserted.TermsOption = None,
    authority: asserted.AsOption = None,
) -> None:
    """Register a physical exhibit under an ERN of its own."""
    here = shared(context)
    instance = here.instance()
    if any("," in each for each in seal):
        raise MalformedError("seal: expected one number an option, found a comma")
    statement = asserted.statement(
        kind=EvidenceKind.PHYSICAL_EXHIBIT,
        now=instance.clock.now(),
        collected_by=collected_by,
        collected_at=collected_at,
        method=method,
        place=place,
        source=source,
        title=title,
        fields=[
            f"seal_numbers={','.join(seal)}",
            f"container={container}",
            f"condition={condition}",
            *(field or ()),
        ],
        metadata=metadata,
        terms=terms,
    )
    case_id = CaseId.parse(case)
    with instance.catalog.read() as reader:
        reader.case(case_id)
    recorder = ledger.recorder(instance, asserted.acting(authority))
    item = register_exhibit(
        instance.catalog, recorder, case_id, statement.asserted(instance.catalog)
    )
    row = {**item_detail(item), "receipt": last_receipt(instance, item.ern)}
    here.output.record(row, f"{item.ern}  sealed {', '.join(seal)}")


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="exhibit")
