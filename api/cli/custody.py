"""`evidence custody` and `evidence act`: who holds an item, and what is done with it."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from api import ledger
from api.cli.asserted import AsOption, acting
from api.cli.context import shared
from api.cli.exits import Exit
from api.cli.items import ErnArgument
from api.cli.output import Json
from api.cli.receipts import last_receipt
from evidence_store.audit import audit_item
from evidence_store.canonical import Json as Canonical
from evidence_store.classification import Classification
from evidence_store.custody.act import ActType, SealCheck
from evidence_store.custody.state import Custody
from evidence_store.custody.timeline import History, Row
from evidence_store.errors import MalformedError
from evidence_store.handling import handle, history_of
from evidence_store.identifiers import Ern
from evidence_store.ledger.event import Draft
from evidence_store.moment import Moment

# What an officer may record by hand; the rest comes with the command that does it.
BY_HAND = (
    ActType.RELEASED_FROM_QUARANTINE,
    ActType.SEALED,
    ActType.SEAL_CHECKED,
    ActType.SEAL_BROKEN,
    ActType.RESEALED,
    ActType.CHECKED_IN,
    ActType.CHECKED_OUT,
    ActType.MOVED,
    ActType.DAMAGED_DECLARED,
    ActType.LOST_DECLARED,
    ActType.FOUND,
    ActType.HOLD_PLACED,
    ActType.HOLD_RELEASED,
    ActType.CLASSIFICATION_CHANGED,
    ActType.CORRECTION_OF,
)
SEALS_NEEDED = (ActType.SEALED, ActType.RESEALED)
GOES_WITH = {
    "check": (ActType.SEAL_CHECKED,),
    "hold": (ActType.HOLD_PLACED, ActType.HOLD_RELEASED),
    "corrects": (ActType.CORRECTION_OF,),
    "classification": (ActType.CLASSIFICATION_CHANGED,),
}


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
            **_now(found.custody),
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
    wanted, chosen = Ern.parse(ern), _chosen(kind)
    data = _data(
        chosen,
        seal or [],
        {
            "check": None if check is None else check.value,
            "hold": hold,
            "corrects": corrects,
            "classification": None if classification is None else classification.value,
        },
    )
    said = {"officer": person, "place": place, "purpose": purpose, "note": note}
    private: dict[str, Canonical] = {
        name: value for name, value in said.items() if value is not None
    }
    instance = here.instance()
    if occurred_at is not None:
        moment = Moment.parse(occurred_at).not_after(instance.clock.now())
        private["occurred_at"] = moment.text
    recorder = ledger.recorder(instance, acting(authority))
    with instance.catalog.write() as writer:
        handle(writer, recorder, [Draft(wanted, chosen.value, data, private)])
        found = history_of(writer.ledger, wanted)
    row: dict[str, Json] = {
        "ern": ern,
        **_now(found.custody),
        "receipt": last_receipt(instance, wanted),
    }
    here.output.record(row, f"{ern}: {chosen}; now {row['state']} with {row['custodian']}")


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("custody")(custody)
    app.command("act")(act)


def _chosen(kind: str) -> ActType:
    for each in BY_HAND:
        if each.value == kind:
            return each
    raise MalformedError(f"act: expected one of {', '.join(BY_HAND)}; found {kind[:40]!r}")


def _data(kind: ActType, seals: list[str], own: Mapping[str, Canonical]) -> dict[str, Canonical]:
    """What an act says openly; `own` is what goes with one kind of act only."""
    if kind in SEALS_NEEDED and not seals:
        raise MalformedError(f"{kind}: expected the numbers of the seals (--seal)")
    for name, value in own.items():
        kinds = GOES_WITH[name]
        if (value is not None) != (kind in kinds):
            raise MalformedError(f"--{name} goes with {', '.join(kinds)}, and only with it")
    given: dict[str, Canonical] = {"seals": list(seals) if seals else None, **own}
    return {name: value for name, value in given.items() if value is not None}


def _now(custody: Custody | None) -> dict[str, Json]:
    if custody is None:
        return {"state": None, "custodian": None, "since": None, "seals": {}, "holds": {}}
    opened = custody.transfer
    return {
        "state": custody.state.value,
        "custodian": str(custody.custodian),
        "since": custody.since.isoformat(),
        "seals": {number: check.value for number, check in custody.seals.items()},
        "holds": {hold: str(by) for hold, by in custody.holds.items()},
        "transfer": None if opened is None else opened.transfer,
    }


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


def _text(ern: str, found: History, problems: Sequence[str]) -> str:
    lines = [f"{ern}"]
    for row in found.rows:
        late = "  LATE" if row.late else ""
        lines.append(
            f"{row.act.seq:>4}  {row.act.at:%Y-%m-%d %H:%M:%SZ}  {row.act.type:<28}"
            f"by {row.act.by}; {row.state} with {row.custodian}{late}"
        )
    lines += [f"  gap at {gap.seq}: {gap.kind}: {gap.detail}" for gap in found.gaps] or [
        "  no gaps"
    ]
    lines += [f"  LEDGER: {problem}" for problem in problems]
    return "\n".join(lines)
