"""`evidence custody` and `evidence act`: who holds an item, and what is done with it."""

from collections.abc import Sequence
from typing import Annotated

import typer

from api import ledger
from api.cli.asserted import AsOption, acting
from api.cli.context import shared
from api.cli.exits import Exit
from api.cli.items import ErnArgument
from api.cli.output import Json
from api.cli.receipts import last_receipt
from api.handling import BY_HAND, ByHand, act_by_hand, custody_fields
from evidence_store.audit import audit_item
from evidence_store.canonical import Json as Canonical
from evidence_store.classification import Classification
from evidence_store.custody.act import SealCheck
from evidence_store.custody.timeline import History, Row
from evidence_store.handling import history_of
from evidence_store.identifiers import Ern

TOLD = ("occurred_at", "purpose", "note", "reason", "officer", "place", "carrier")


def custody(context: typer.Context, ern: ErnArgument) -> Exit:
    """The timeline of an item: who held it, when and why, its seals, and every gap."""
    here = shared(context)
    wanted = Ern.parse(ern)
    instance = here.instance()
    with instance.catalog.read() as reader:
        reader.item(wanted)
        problems = [each.problem for each in audit_item(reader, wanted) if each.problem]
        found = history_of(reader.ledger, wanted)
    here.output.record(
        {
            "ern": ern,
            **custody_fields(found.custody),
            "timeline": [_row(each) for each in found.rows],
            "gaps": [
                {"kind": gap.kind.value, "seq": gap.seq, "detail": gap.detail} for gap in found.gaps
            ],
            "ledger_problems": list(problems),
        },
        _text(ern, found, problems),
    )
    return Exit.INTEGRITY if problems else Exit.DONE


def act(  # noqa: PLR0913 - one parameter for each thing an act can say
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="ACT", help=f"One of: {', '.join(BY_HAND)}.")],
    ern: ErnArgument,
    *,
    person: Annotated[str, typer.Option(help="The officer who does it, by name or code.")],
    seal: Annotated[
        list[str] | None, typer.Option(help="A seal number; repeat it for each.")
    ] = None,
    check: Annotated[
        SealCheck | None, typer.Option(help="With seal_checked: what was found.")
    ] = None,
    hold: Annotated[str | None, typer.Option(help="With a hold: the order's reference.")] = None,
    corrects: Annotated[
        int | None, typer.Option(min=1, help="With correction_of: the number of the wrong event.")
    ] = None,
    classification: Annotated[
        Classification | None, typer.Option(help="With classification_changed: the new one.")
    ] = None,
    place: Annotated[str | None, typer.Option(help="Where; can be withheld.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Why; can be withheld.")] = None,
    note: Annotated[str | None, typer.Option(help="Anything else; can be withheld.")] = None,
    occurred_at: Annotated[
        str | None, typer.Option(help="When it happened, if that was not just now.")
    ] = None,
    authority: AsOption = None,
) -> None:
    """Record an act on an item, if the rules of custody allow it."""
    here = shared(context)
    wanted = Ern.parse(ern)
    said = ByHand(
        act=kind,
        person=person,
        seals=seal or (),
        check=check,
        hold=hold,
        corrects=corrects,
        classification=classification,
        place=place,
        purpose=purpose,
        note=note,
        occurred_at=occurred_at,
    )
    instance = here.instance()
    recorder = ledger.recorder(instance, acting(authority))
    with instance.catalog.act() as writer:
        now = act_by_hand(writer, recorder, wanted, said)
    row: dict[str, Json] = {
        "ern": ern,
        **custody_fields(now),
        "receipt": last_receipt(instance, wanted),
    }
    here.output.record(row, f"{ern}: {kind}; now {row['state']} with {row['custodian']}")


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("custody")(custody)
    app.command("act")(act)


def _row(row: Row) -> dict[str, Json]:
    return {
        "seq": row.act.seq,
        "act": row.act.type.value,
        "by": str(row.act.by),
        "recorded_at": row.act.at.isoformat(),
        "late": row.late,
        "state": None if row.state is None else row.state.value,
        "custodian": None if row.custodian is None else str(row.custodian),
        "data": dict(row.act.data),
        "disclosed": dict(row.act.private),
    }


def _said(row: Row) -> list[tuple[str, str]]:
    """What an act says that a person asks of it: why, of which seals, and what it corrects."""
    data, private = row.act.data, row.act.private
    found: list[tuple[str, Canonical]] = [(name, private.get(name)) for name in TOLD]
    found += [(name, data.get(name)) for name in ("condition", "check", "hold", "transfer")]
    if seals := row.act.texts("seals"):
        found.append(("seals", ", ".join(seals)))
    if "corrects" in data:
        found.append(("corrects", f"event {data['corrects']}"))
    return [(name, value) for name, value in found if isinstance(value, str) and value]


def _text(ern: str, found: History, problems: Sequence[str]) -> list[str]:
    lines = [f"{ern}"]
    for row in found.rows:
        late = "  LATE" if row.late else ""
        lines.append(
            f"{row.act.seq:>4}  {row.act.at:%Y-%m-%d %H:%M:%SZ}  {row.act.type:<28}"
            f"by {row.act.by}; {row.state} with {row.custodian}{late}"
        )
        lines += [f"      {name}: {value}" for name, value in _said(row)]
    if found.custody is not None and found.custody.seals:
        seals = (f"{number} {check}" for number, check in found.custody.seals.items())
        lines.append(f"  seals now: {', '.join(seals)}")
    lines += [f"  gap at {gap.seq}: {gap.kind}: {gap.detail}" for gap in found.gaps] or [
        "  no gaps"
    ]
    lines += [f"  LEDGER: {problem}" for problem in problems]
    return lines
