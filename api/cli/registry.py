"""`evidence registry|state|institution|officer`, and designations: who is who, by two people."""

from typing import Annotated

import typer

from api import cooperation, ledger
from api.cli.authority import commands as authority_commands
from api.cli.context import Shared, shared
from api.cli.desk import OfficerOption, ReasonOption, at_desk, done
from api.cli.paging import AfterOption
from api.views import entry_row
from api.wiring import Instance
from evidence_store.classification import Classification
from evidence_store.cooperation.registry import (
    AssignmentEntry,
    AuthorityEntry,
    AuthorityRole,
    Channel,
    Designation,
    Entry,
    EntryKind,
    InstitutionEntry,
    OfficerEntry,
    OfficerRole,
    StateEntry,
    StateKind,
    Validity,
    document_of,
    member,
)
from evidence_store.desk import Desk
from evidence_store.dossiers import Chains
from evidence_store.errors import MalformedError
from evidence_store.identifiers import (
    AuthorityId,
    CaseId,
    DossierId,
    DossierKind,
    PersonCode,
    StateCode,
)
from evidence_store.moment import Moment
from evidence_store.registering import (
    Registry,
    approve,
    entries,
    found_registry,
    new_officer_code,
    propose,
    reject,
)

registry_commands = typer.Typer(no_args_is_help=True, help="The registry: who is who.")
state_commands = typer.Typer(no_args_is_help=True, help="States, and institutions beside them.")
institution_commands = typer.Typer(no_args_is_help=True, help="Institutions of a State.")
officer_commands = typer.Typer(no_args_is_help=True, help="Officers: roles, cases, competences.")

RoleOption = Annotated[
    list[str],
    typer.Option(
        "--role",
        help="A role, as in court, or court@2026Z..2030Z for a time; repeat it for each.",
    ),
]
LanguageOption = Annotated[
    list[str], typer.Option("--language", help="A language, as in sl (ISO 639); repeat it.")
]
ChannelOption = Annotated[
    list[Channel] | None, typer.Option("--channel", help="How it is reached; repeat it.")
]
ChangeArgument = Annotated[str, typer.Argument(help="The change, as in SI-REG-000002.")]
KnownOption = Annotated[
    str | None, typer.Option("--known-at", help="As the registry was at that time.")
]


@registry_commands.command("found")
def found(
    context: typer.Context,
    *,
    name: Annotated[
        list[str], typer.Option("--officer-name", help="An officer who keeps it; give two.")
    ],
    state_name: Annotated[str, typer.Option(help="The State's name, as it calls itself.")],
    language: LanguageOption,
    role: RoleOption,
    channel: ChannelOption = None,
) -> None:
    """Found the registry: this State, this authority, and two officers who keep it."""
    here = shared(context)
    instance = here.instance()
    recorder = ledger.recorder(instance)
    with instance.catalog.read() as reader:
        state, authority_name = reader.state(), reader.authority()
    home_state = StateEntry(state, state_name, StateKind.STATE, tuple(language))
    authority = AuthorityEntry(
        id=recorder.by.authority,
        state=state,
        name=authority_name,
        designations=_designations(role, "", instance),
        languages=tuple(language),
        channels=tuple(channel or (Channel.CENTRAL, Channel.ELECTRONIC)),
    )
    codes = found_registry(instance.catalog, recorder, home_state, authority, name)
    done(
        here,
        instance,
        {"state": str(state), "authority": authority.id.value, "officers": list(map(str, codes))},
        f"The registry is founded; it is kept by {codes[0]} and {codes[1]}",
    )


@registry_commands.command("approve")
def approve_change(
    context: typer.Context, change: ChangeArgument, *, officer: OfficerOption
) -> None:
    """Approve a change that another officer proposed. From now on it counts."""
    here, instance, desk = at_desk(context, officer)
    dossier = DossierId.parse(change, DossierKind.REGISTRY)
    made = approve(instance.catalog, desk.recorder, desk.chains, desk.officer, dossier)
    cooperation.give_keys(instance, made)
    done(
        here,
        instance,
        {"change": change, "state": "approved", "entries": [document_of(each) for each in made]},
        f"{change} counts from now on",
    )


@registry_commands.command("reject")
def reject_change(
    context: typer.Context, change: ChangeArgument, *, officer: OfficerOption, reason: ReasonOption
) -> None:
    """Reject a change, or withdraw one's own."""
    here, instance, desk = at_desk(context, officer)
    dossier = DossierId.parse(change, DossierKind.REGISTRY)
    reject(instance.catalog, desk.recorder, desk.chains, desk.officer, dossier, reason)
    done(here, instance, {"change": change, "state": "rejected"}, f"{change} is rejected")


@registry_commands.command("changes")
def list_changes(context: typer.Context, *, after: AfterOption = None) -> None:
    """List changes of the registry, and where each stands."""
    here = shared(context)
    with here.instance().catalog.read() as reader:
        page = reader.dossiers.dossiers(DossierKind.REGISTRY, after=after)
    rows = [
        {"change": str(each.id), "state": each.state, "made_at": each.made_at.isoformat()}
        for each in page.entries
    ]
    here.output.table(rows, ("change", "state", "made_at"))


@state_commands.command("add")
def add_state(
    context: typer.Context,
    code: Annotated[str, typer.Argument(help="Its code, as in SI (ISO 3166-1).")],
    name: Annotated[str, typer.Argument(help="Its name, as it calls itself.")],
    *,
    language: LanguageOption,
    kind: Annotated[StateKind, typer.Option(help="A State, or what acts beside States.")] = (
        StateKind.STATE
    ),
    officer: OfficerOption,
) -> None:
    """Propose a State, or an international court or mechanism under a user-assigned code."""
    here, instance, desk = at_desk(context, officer)
    _propose(here, instance, desk, StateEntry(StateCode(code), name, kind, tuple(language)))


@state_commands.command("list")
def list_states(context: typer.Context, *, after: AfterOption = None) -> None:
    """List the States."""
    _list(context, EntryKind.STATE, after, ("code", "name", "kind"))


@institution_commands.command("add")
def add_institution(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(help="How it is called, as in supreme-court.")],
    name: Annotated[str, typer.Argument(help="Its name.")],
    *,
    state: Annotated[str, typer.Option(help="Whose it is, as in SI.")],
    officer: OfficerOption,
) -> None:
    """Propose an institution of a State."""
    here, instance, desk = at_desk(context, officer)
    entry = InstitutionEntry(AuthorityId(identifier), StateCode(state), name)
    _propose(here, instance, desk, entry)


@institution_commands.command("list")
def list_institutions(context: typer.Context, *, after: AfterOption = None) -> None:
    """List the institutions."""
    _list(context, EntryKind.INSTITUTION, after, ("id", "state", "name"))


@authority_commands.command("designate")
def designate(  # noqa: PLR0913 - one parameter for each thing that a designation says
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(help="The authority, as in ministry-of-justice.")],
    *,
    name: Annotated[str, typer.Option(help="Its name.")],
    state: Annotated[str, typer.Option(help="Whose it is, as in SI.")],
    role: RoleOption,
    language: LanguageOption,
    channel: ChannelOption = None,
    institution: Annotated[str | None, typer.Option(help="The institution it belongs to.")] = None,
    contact: Annotated[str, typer.Option(help="How it is reached.")] = "",
    reference: Annotated[str, typer.Option(help="The notification's reference.")] = "",
    by_court: Annotated[
        str | None, typer.Option(help="For the defence: the court through which it acts.")
    ] = None,
    officer: OfficerOption,
) -> None:
    """Propose an authority with what it is designated for, or change one: all of it is said."""
    here, instance, desk = at_desk(context, officer)
    entry = AuthorityEntry(
        id=AuthorityId(identifier),
        state=StateCode(state),
        name=name,
        designations=_designations(role, reference, instance),
        languages=tuple(language),
        channels=tuple(channel or (Channel.CENTRAL, Channel.ELECTRONIC)),
        institution=None if institution is None else AuthorityId(institution),
        contact=contact,
        by_court=None if by_court is None else AuthorityId(by_court),
    )
    _propose(here, instance, desk, entry)


@authority_commands.command("show")
def show_authority(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(help="The authority.")],
    *,
    at: Annotated[str | None, typer.Option(help="What was valid then; by default now.")] = None,
    known_at: KnownOption = None,
) -> None:
    """Show an authority, and what it was designated for at a time."""
    here = shared(context)
    instance = here.instance()
    with instance.catalog.read() as reader:
        known = None if known_at is None else Moment.parse(known_at).latest
        entry = Registry(reader, Chains(), known).authority(AuthorityId(identifier))
    when = instance.clock.now() if at is None else Moment.parse(at).earliest
    if when is None:
        raise MalformedError("--at: expected a time")
    roles = sorted(each.value for each in entry.roles_at(when))
    here.output.record(
        {**document_of(entry), "at": when.isoformat(), "roles_at": roles},
        f"{entry.id} ({entry.state}) {entry.name}: {', '.join(map(str, roles)) or 'nothing'}",
    )


@officer_commands.command("add")
def add_officer(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The officer's name; kept apart from the log.")],
    *,
    authority: Annotated[str, typer.Option(help="The authority that the officer belongs to.")],
    role: RoleOption,
    competence: Annotated[
        list[str] | None,
        typer.Option(help="A competence, as in device-imaging@2026Z..2028Z; repeat it."),
    ] = None,
    clearance: Annotated[Classification, typer.Option(help="The highest that may be seen.")] = (
        Classification.CONFIDENTIAL
    ),
    code: Annotated[
        str | None, typer.Option(help="An officer who is there already, to be changed.")
    ] = None,
    officer: OfficerOption,
) -> None:
    """Propose an officer, or change one: all of it is said."""
    here, instance, desk = at_desk(context, officer)
    roles: dict[OfficerRole, Validity] = {}
    for each in role:
        what, when = cooperation.spanned(each, instance)
        roles[member(OfficerRole, what, "officer: role")] = when
    entry = OfficerEntry(
        code=new_officer_code(instance.catalog) if code is None else PersonCode.parse(code),
        name=name,
        authority=AuthorityId(authority),
        roles=roles,
        competences=dict(cooperation.spanned(each, instance) for each in competence or []),
        clearance=clearance,
    )
    _propose(here, instance, desk, entry)


@officer_commands.command("assign")
def assign(
    context: typer.Context,
    code: Annotated[str, typer.Argument(help="The officer, as in OFF-0003.")],
    *,
    case: Annotated[str, typer.Option(help="The case to know, as in SI-CASE-0001.")],
    until: Annotated[str, typer.Option(help="Until when; a time in the past ends it.")],
    officer: OfficerOption,
) -> None:
    """Propose that an officer needs to know a case."""
    here, instance, desk = at_desk(context, officer)
    entry = AssignmentEntry(PersonCode.parse(code), CaseId.parse(case), Moment.parse(until))
    _propose(here, instance, desk, entry)


@officer_commands.command("list")
def list_officers(context: typer.Context, *, after: AfterOption = None) -> None:
    """List the officers."""
    _list(context, EntryKind.OFFICER, after, ("code", "authority", "roles"))


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(registry_commands, name="registry")
    app.add_typer(state_commands, name="state")
    app.add_typer(institution_commands, name="institution")
    app.add_typer(officer_commands, name="officer")


def _propose(here: Shared, instance: Instance, desk: Desk, entry: Entry) -> None:
    change = propose(instance.catalog, desk.recorder, desk.chains, desk.officer, entry)
    done(
        here,
        instance,
        {"change": str(change), "state": "proposed", "key": entry.key, "entry": document_of(entry)},
        f"{change} is proposed: {entry.key}. Another officer approves it: "
        f"evidence registry approve {change}",
    )


def _list(
    context: typer.Context, kind: EntryKind, after: str | None, columns: tuple[str, ...]
) -> None:
    here = shared(context)
    with here.instance().catalog.read() as reader:
        rows, _ = entries(reader, Chains(), kind, after=after)
    here.output.table([entry_row(each) for each in rows], columns)


def _designations(roles: list[str], reference: str, instance: Instance) -> tuple[Designation, ...]:
    found = [cooperation.spanned(each, instance) for each in roles]
    return tuple(
        Designation(member(AuthorityRole, what, "authority: role"), when, reference)
        for what, when in found
    )
