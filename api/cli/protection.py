"""`evidence measure|team|index|statement`: protection, joint teams, and finding each other."""

from datetime import date
from typing import Annotated

import typer

from api import cooperation
from api.cli.desk import OfficerOption, ReasonOption, at_desk, done
from api.cli.output import Json
from evidence_store.errors import MalformedError
from evidence_store.finding import (
    Criteria,
    Identity,
    enter,
    look_up_person,
    register_statement,
    search,
    withhold,
)
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, Ern
from evidence_store.protecting import decide_measure, measures_on, request_measure
from evidence_store.sharing.measure import MeasureType
from evidence_store.sharing.terms import purpose
from evidence_store.teaming import Team, carry_on, propose_team

measures = typer.Typer(no_args_is_help=True, help="Protective measures; they go with the item.")
teams = typer.Typer(no_args_is_help=True, help="Joint investigation teams.")
index = typer.Typer(no_args_is_help=True, help="Hit or no hit: who has something, not what.")
statements = typer.Typer(no_args_is_help=True, help="Has this person given a statement already?")
ItemArgument = Annotated[str, typer.Argument(help="The item, as in SI-2026-000123.")]
MeasureArgument = Annotated[str, typer.Argument(help="The measure, as in SI-MSR-000001.")]
TeamArgument = Annotated[str, typer.Argument(help="The team, as in SI-JIT-000001.")]
VersionOption = Annotated[
    list[int] | None, typer.Option("--version", help="A version that satisfies it; repeat it.")
]
DECISIONS = {
    "order": "ordered",
    "reject": "rejected",
    "vary": "varied",
    "continue": "continued",
    "lift": "lifted",
}
CARRIED = {"sign": "signed", "leave": "left", "end": "ended"}
CrimeOption = Annotated[str, typer.Option(help="The crime.")]
DistrictOption = Annotated[str, typer.Option(help="The district; nothing closer.")]
MonthOption = Annotated[str, typer.Option(help="The month, as in 2022-03; nothing closer.")]
EventOption = Annotated[str, typer.Option(help="The event, if it has a name.")]
NameOption = Annotated[str, typer.Option(help="The person's name; it is blinded at once.")]
BornOption = Annotated[str | None, typer.Option(help="The date of birth, as in 1970-05-14.")]
PaperOption = Annotated[str, typer.Option("--paper", help="The number of an identity document.")]


@measures.command("request")
def request(
    context: typer.Context,
    item: ItemArgument,
    kind: Annotated[MeasureType, typer.Argument(help="What protects.")],
    *,
    version: VersionOption = None,
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Ask for a measure on an item. Another officer orders it."""
    here, instance, desk = at_desk(context, officer)
    made = request_measure(desk, Ern.parse(item), kind, version or [], reason)
    row: dict[str, Json] = {"measure": str(made), "item": item, "state": "requested"}
    done(here, instance, row, f"{made} is requested")


@measures.command("decide")
def decide(
    context: typer.Context,
    identifier: MeasureArgument,
    how: Annotated[str, typer.Argument(help=f"One of: {', '.join(DECISIONS)}.")],
    *,
    version: VersionOption = None,
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Order, reject, vary, continue or lift a measure."""
    here, instance, desk = at_desk(context, officer)
    dossier = DossierId.parse(identifier, DossierKind.MEASURE)
    found = decide_measure(desk, dossier, DECISIONS.get(how, how), version or [], reason)
    row: dict[str, Json] = {
        "measure": identifier,
        "item": str(found.ern),
        "state": found.state,
        "satisfied_by": sorted(found.satisfied_by),
    }
    done(here, instance, row, f"{identifier} on {found.ern} is {found.state}")


@measures.command("list")
def list_measures(context: typer.Context, item: ItemArgument, *, officer: OfficerOption) -> None:
    """List the measures in force on an item that the officer may know of."""
    here, instance, desk = at_desk(context, officer)
    with instance.catalog.read() as reader:
        found = measures_on(reader, desk.chains, Ern.parse(item))
    rows = [
        {"measure": str(dossier), "type": each.type.value, "issuer": each.issuer.value}
        for dossier, each in found
        if each.issuer == desk.authority
    ]
    here.output.table(rows, ("measure", "type", "issuer"))


@teams.command("propose")
def propose(
    context: typer.Context,
    *,
    party: Annotated[list[str], typer.Option(help="A party; repeat it for each.")],
    for_purpose: Annotated[str, typer.Option("--purpose", help="What the team is for.")],
    rules: Annotated[str, typer.Option(help="The rules of evidence that it follows.")],
    valid_from: Annotated[str | None, typer.Option(help="From when; by default today.")] = None,
    valid_until: Annotated[str, typer.Option(help="Until when.")],
    officer: OfficerOption,
) -> None:
    """Propose a team, and sign it as its leader."""
    here, instance, desk = at_desk(context, officer)
    period = cooperation.validity(valid_from, valid_until, instance)
    made = propose_team(desk, [AuthorityId(each) for each in party], for_purpose, rules, period)
    row: dict[str, Json] = {"team": str(made), "state": "proposed", "parties": list(party)}
    done(here, instance, row, f"{made} is proposed; it is active when all have signed")


@teams.command("step")
def team_step(
    context: typer.Context,
    identifier: TeamArgument,
    how: Annotated[str, typer.Argument(help=f"One of: {', '.join(CARRIED)}.")],
    *,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    officer: OfficerOption,
) -> None:
    """Sign, leave or end a team."""
    here, instance, desk = at_desk(context, officer)
    dossier = DossierId.parse(identifier, DossierKind.TEAM)
    found = carry_on(desk, dossier, CARRIED.get(how, how), reason)
    done(here, instance, _team_row(identifier, found), f"{identifier} is {found.state}")


@index.command("enter")
def enter_index(
    context: typer.Context,
    item: ItemArgument,
    *,
    crime: CrimeOption,
    district: DistrictOption,
    month: MonthOption,
    event: EventOption = "",
    officer: OfficerOption,
) -> None:
    """Enter an item, so that other States can learn whom to ask."""
    here, instance, desk = at_desk(context, officer)
    made = enter(desk, Ern.parse(item), Criteria(crime, district, month, event))
    row: dict[str, Json] = {"entry": str(made), "item": item, "state": "entered"}
    done(here, instance, row, f"{item} is in the index as {made}")


@index.command("withhold")
def withhold_item(context: typer.Context, item: ItemArgument, *, officer: OfficerOption) -> None:
    """Withhold an item from the index."""
    here, instance, desk = at_desk(context, officer)
    changed = withhold(desk, Ern.parse(item), withheld=True)
    row: dict[str, Json] = {"item": item, "entries": changed, "state": "withheld"}
    done(here, instance, row, f"{item} is withheld from the index")


@index.command("reinstate")
def reinstate_item(context: typer.Context, item: ItemArgument, *, officer: OfficerOption) -> None:
    """Let an item be found again."""
    here, instance, desk = at_desk(context, officer)
    changed = withhold(desk, Ern.parse(item), withheld=False)
    row: dict[str, Json] = {"item": item, "entries": changed, "state": "entered"}
    done(here, instance, row, f"{item} is in the index again")


@index.command("search")
def search_index(
    context: typer.Context,
    *,
    crime: CrimeOption,
    district: DistrictOption,
    month: MonthOption,
    event: EventOption = "",
    for_purpose: Annotated[str, typer.Option("--purpose", help="What for; it is recorded.")],
    officer: OfficerOption,
) -> None:
    """Ask whether another authority has something, and whom to ask."""
    here, instance, desk = at_desk(context, officer)
    found = search(desk, Criteria(crime, district, month, event), purpose(for_purpose))
    ask: list[Json] = [each.value for each in found.ask]
    row: dict[str, Json] = {"search": str(found.search), "hit": found.hit, "ask": ask}
    done(here, instance, row, f"ask {', '.join(map(str, ask))}" if ask else "no hit")


@statements.command("register")
def register(
    context: typer.Context,
    item: ItemArgument,
    *,
    name: NameOption = "",
    born: BornOption = None,
    paper: PaperOption = "",
    officer: OfficerOption,
) -> None:
    """Say that a person gave the statement; only blinded identifiers are kept."""
    here, instance, desk = at_desk(context, officer)
    identity = Identity(name, _day(born), paper)
    made = register_statement(desk, cooperation.blinding(instance), identity, Ern.parse(item))
    row: dict[str, Json] = {"statement": str(made), "item": item}
    done(here, instance, row, f"{made} is registered; the name is not kept")


@statements.command("lookup")
def lookup(
    context: typer.Context,
    *,
    name: NameOption = "",
    born: BornOption = None,
    paper: PaperOption = "",
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Ask, as a protection unit, whether a person gave a statement already: whom to ask."""
    here, instance, desk = at_desk(context, officer)
    identity = Identity(name, _day(born), paper)
    found = look_up_person(desk, cooperation.blinding(instance), identity, reason)
    ask: list[Json] = [each.value for each in found.ask]
    row: dict[str, Json] = {"lookup": str(found.search), "hit": found.hit, "ask": ask}
    done(here, instance, row, f"ask {', '.join(map(str, ask))}" if ask else "nothing is known")


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(measures, name="measure")
    app.add_typer(teams, name="team")
    app.add_typer(index, name="index")
    app.add_typer(statements, name="statement")


def _team_row(identifier: str, found: Team) -> dict[str, Json]:
    return {
        "team": identifier,
        "state": found.state,
        "leader": found.leader.value,
        "parties": [each.value for each in found.parties],
        "signed": sorted(each.value for each in found.signed),
        "left": sorted(each.value for each in found.left),
    }


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise MalformedError(f"--born: expected 1970-05-14, found {text!r}") from None
