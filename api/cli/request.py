"""`evidence request`: one State asks another for assistance."""

from typing import Annotated

import typer

from api.cli.context import Shared, shared
from api.cli.desk import (
    DocumentOption,
    OfficerOption,
    ReasonOption,
    at_desk,
    document,
    done,
    pairs,
)
from api.cli.exits import Exit
from api.cli.paging import AfterOption
from api.views import kind_row, request_row
from api.wiring import Instance
from evidence_store.cooperation.kind import kinds
from evidence_store.cooperation.registry import Channel
from evidence_store.cooperation.request import RefusalGround
from evidence_store.dossiers import Chains
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, Ern
from evidence_store.moment import Moment
from evidence_store.requesting import (
    REACHES_BY,
    advance,
    amend,
    certify,
    confirm,
    draft,
    execute,
    lapse,
    make_orally,
    postpone,
    refuse,
    request,
    sign,
    step,
    transmit,
    what_is_missing,
)

commands = typer.Typer(no_args_is_help=True, help="Requests for assistance between States.")
RequestArgument = Annotated[str, typer.Argument(help="The request, as in SI-REQ-000001.")]
ToOption = Annotated[str, typer.Option(help="The authority that is asked.")]
ChannelOption = Annotated[Channel, typer.Option(help="How it is sent.")]
StatementOption = Annotated[
    list[str] | None, typer.Option("--state", metavar="NAME=VALUE", help="A statement; repeat it.")
]
STEPS = {
    "acknowledge": "acknowledged",
    "begin": "execution_begun",
    "ask-information": "information_requested",
    "give-information": "information_given",
    "resume": "resumed",
    "consult": "consulted",
    "cannot-keep-confidential": "cannot_keep_confidential",
    "go-on": "confidentiality_answered",
    "provisional-measure": "provisional_measure",
    "report-progress": "progress_reported",
    "execute-in-part": "executed_in_part",
    "withdraw": "withdrawn",
    "reopen": "reopened",
    "close": "closed",
}


@commands.command("kinds")
def list_kinds(
    context: typer.Context,
    kind: Annotated[str | None, typer.Argument(help="One kind only, whole.")] = None,
) -> None:
    """List the kinds of assistance: what each asks for, its steps, papers and certificates."""
    here = shared(context)
    chosen = [each for each in kinds().values() if kind in {None, each.id}]
    if here.output.as_json or kind is None:
        rows = [kind_row(each) for each in chosen]
        here.output.table(rows, ("number", "kind", "title"))
        return
    for each in chosen:
        for text in (f"{each.number}. {each.title}", each.summary, ""):
            here.output.line(text)
        for field in each.fields:
            here.output.line(f"  {'*' if field.required else ' '} {field.name}: {field.label}")


@commands.command("draft")
def draft_request(
    context: typer.Context, *, to: ToOption, document_file: DocumentOption, officer: OfficerOption
) -> None:
    """Draft a request from a document; it may be incomplete, and what is missing is listed."""
    here, instance, desk = at_desk(context, officer)
    made = draft(desk, AuthorityId(to), document(document_file))
    _show(here, instance, made, desk.authority, done_now=True)


@commands.command("oral")
def oral_request(
    context: typer.Context,
    *,
    to: ToOption,
    document_file: DocumentOption,
    confirm_by: Annotated[str, typer.Option(help="By when it is confirmed in writing.")],
    channel: ChannelOption = Channel.INTERPOL,
    officer: OfficerOption,
) -> None:
    """Record an urgent request by word of mouth. It lapses unless it is confirmed in time."""
    here, instance, desk = at_desk(context, officer)
    made = make_orally(
        desk, AuthorityId(to), document(document_file), Moment.parse(confirm_by), channel
    )
    _show(here, instance, made, desk.authority, done_now=True)


@commands.command("confirm")
def confirm_request(
    context: typer.Context,
    identifier: RequestArgument,
    *,
    document_file: DocumentOption,
    channel: ChannelOption = Channel.ELECTRONIC,
    officer: OfficerOption,
) -> None:
    """Confirm an oral request in writing, whole."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    confirm(desk, dossier, document(document_file), channel)
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("lapse")
def lapse_request(
    context: typer.Context, identifier: RequestArgument, *, officer: OfficerOption
) -> None:
    """Record that an oral request was not confirmed in time."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    lapse(desk, dossier)
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("amend")
def amend_request(
    context: typer.Context,
    identifier: RequestArgument,
    *,
    document_file: DocumentOption,
    officer: OfficerOption,
) -> None:
    """Write a draft anew."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    amend(desk, dossier, document(document_file))
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("check")
def check_request(
    context: typer.Context,
    identifier: RequestArgument,
    *,
    channel: ChannelOption = Channel.ELECTRONIC,
    officer: OfficerOption,
) -> Exit:
    """Say what is missing before a request may be sent. Exit code 2 if anything is."""
    here, instance, desk = at_desk(context, officer)
    with instance.catalog.read() as reader:
        found = request(reader, desk.chains, _parsed(identifier), desk.authority)
        missing = what_is_missing(reader, desk.chains, found, desk.now, channel.value)
    text = list(missing) or "complete: it may be sent"
    here.output.record({"request": identifier, "missing": list(missing)}, text)
    return Exit.USAGE if missing else Exit.DONE


@commands.command("sign")
def sign_request(
    context: typer.Context, identifier: RequestArgument, *, officer: OfficerOption
) -> None:
    """Sign a complete draft, as another officer than the one who drafted it."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    sign(desk, dossier)
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("send")
def send_request(
    context: typer.Context,
    identifier: RequestArgument,
    *,
    channel: ChannelOption = Channel.ELECTRONIC,
    officer: OfficerOption,
) -> None:
    """Send a signed request, if both authorities are designated for it today."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    transmit(desk, dossier, channel)
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("step")
def take_step(
    context: typer.Context,
    identifier: RequestArgument,
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(STEPS)}.")],
    *,
    note: Annotated[str, typer.Option(help="What is said with it; can be withheld.")] = "",
    officer: OfficerOption,
) -> None:
    """Take a step of the one lifecycle that all requests have."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    step(desk, dossier, STEPS.get(name, name), {}, {"note": note})
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("observe")
def observe(
    context: typer.Context,
    identifier: RequestArgument,
    formality: Annotated[str, typer.Argument(help="The particular procedure that was followed.")],
    *,
    evidence: Annotated[str, typer.Option(help="What shows it: an ERN, a minute.")],
    officer: OfficerOption,
) -> None:
    """Tick off a particular procedure that was asked for, with what shows it."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    step(desk, dossier, "formality_observed", {}, {"formality": formality, "evidence": evidence})
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("yield")
def yield_result(
    context: typer.Context,
    identifier: RequestArgument,
    what: Annotated[str, typer.Argument(help="An ERN, a transfer, a grant.")],
    *,
    officer: OfficerOption,
) -> None:
    """Say what the execution yielded."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    step(desk, dossier, "yielded", {"what": what})
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("advance")
def advance_request(
    context: typer.Context,
    identifier: RequestArgument,
    name: Annotated[str, typer.Argument(help="The step of this kind of assistance.")],
    *,
    statement: StatementOption = None,
    officer: OfficerOption,
) -> None:
    """Take a step of this kind's own execution. `evidence request kinds KIND` lists them."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    advance(desk, dossier, name, pairs(statement))
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("certify")
def certify_request(
    context: typer.Context,
    identifier: RequestArgument,
    form: Annotated[str, typer.Argument(help="The certificate, as in minutes.")],
    *,
    statement: StatementOption = None,
    item: Annotated[list[str] | None, typer.Option(help="An item it is about; repeat it.")] = None,
    officer: OfficerOption,
) -> None:
    """Certify what was done: minutes, proof of service, an attestation of seized items."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    certify(desk, dossier, form, pairs(statement), [Ern.parse(each) for each in item or []])
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("execute")
def execute_request(
    context: typer.Context, identifier: RequestArgument, *, officer: OfficerOption
) -> None:
    """Declare a request executed: its execution has ended, its certificates are there."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    execute(desk, dossier)
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("refuse")
def refuse_request(
    context: typer.Context,
    identifier: RequestArgument,
    *,
    ground: Annotated[RefusalGround, typer.Option(help="The ground.")],
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Refuse a request, on a ground, with reasons, after consultation."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    refuse(desk, dossier, ground, reason)
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("postpone")
def postpone_request(
    context: typer.Context,
    identifier: RequestArgument,
    *,
    until: Annotated[str, typer.Option(help="Until when.")],
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Postpone the execution, until when and why."""
    here, instance, desk = at_desk(context, officer)
    dossier = _parsed(identifier)
    postpone(desk, dossier, Moment.parse(until), reason)
    _show(here, instance, dossier, desk.authority, done_now=True)


@commands.command("show")
def show_request(
    context: typer.Context, identifier: RequestArgument, *, officer: OfficerOption
) -> None:
    """Show a request, as one of its two sides."""
    here, instance, desk = at_desk(context, officer)
    _show(here, instance, _parsed(identifier), desk.authority, done_now=False)


@commands.command("list")
def list_requests(
    context: typer.Context,
    *,
    received: Annotated[
        bool, typer.Option("--received", help="Those received, not those made.")
    ] = False,
    after: AfterOption = None,
    officer: OfficerOption,
) -> None:
    """List the requests of the officer's authority: those made, or those received."""
    here, instance, desk = at_desk(context, officer)
    with instance.catalog.read() as reader:
        page = reader.dossiers.dossiers(
            DossierKind.REQUEST,
            owner=None if received else desk.authority,
            counterpart=desk.authority if received else None,
            acts=REACHES_BY if received else (),
            after=after,
        )
    rows = [
        {
            "request": str(each.id),
            "state": each.state,
            "from": each.owner.value,
            "to": None if each.counterpart is None else each.counterpart.value,
            "changed_at": each.changed_at.isoformat(),
        }
        for each in page.entries
    ]
    here.output.table(rows, ("request", "state", "from", "to"))


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="request")


def _parsed(identifier: str) -> DossierId:
    return DossierId.parse(identifier, DossierKind.REQUEST)


def _show(
    here: Shared, instance: Instance, dossier: DossierId, side: AuthorityId, *, done_now: bool
) -> None:
    with instance.catalog.read() as reader:
        found = request(reader, Chains(), dossier, side)
        now = instance.clock.now()
        missing = (
            what_is_missing(reader, Chains(), found, now, Channel.ELECTRONIC.value)
            if found.state in {"draft", "signed"}
            else []
        )
    row = request_row(dossier, found.at(now), missing)
    text = [f"{dossier}  {found.kind.title}: {found.at(now).state}, {found.track}"]
    if missing:
        text += ["missing before it may be sent:", *(f"  {each}" for each in missing)]
    if done_now:
        done(here, instance, row, text)
    else:
        here.output.record(row, text)
