"""`evidence grant` and `evidence consent`: evidence is shared under terms that both sides sign."""

from typing import Annotated

import typer

from api import cooperation
from api.cli.context import Shared
from api.cli.desk import (
    DocumentOption,
    OfficerOption,
    ReasonOption,
    at_desk,
    document,
    done,
)
from api.cli.exits import Exit
from api.cli.paging import AfterOption
from api.views import consent_row, grant_row
from api.wiring import Instance
from evidence_store.desk import Desk
from evidence_store.dossiers import Chains
from evidence_store.granting import (
    REACHES_BY,
    accept_grant,
    answer_consent,
    ask_consent,
    consent,
    declare,
    give_assurance,
    grant,
    notify_charge,
    offer_grant,
    propose_grant,
    review,
    step,
)
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, Ern
from evidence_store.sharing.consent import Subject
from evidence_store.sharing.grant import DECLARATIONS, Grant
from evidence_store.sharing.terms import Assurance, purpose

commands = typer.Typer(no_args_is_help=True, help="Grants: who may see what, for what, until when.")
consent_commands = typer.Typer(no_args_is_help=True, help="Consents: asked, given, withdrawn.")
GrantArgument = Annotated[str, typer.Argument(help="The grant, as in SI-GRT-000001.")]
ConsentArgument = Annotated[str, typer.Argument(help="The consent, as in SI-CNS-000001.")]
ANSWERS = {"give": "given", "refuse": "refused", "withdraw": "withdrawn", "drop": "dropped"}


@commands.command("propose")
def propose(
    context: typer.Context, *, document_file: DocumentOption, officer: OfficerOption
) -> None:
    """Propose a grant, with its terms as a document. Another officer offers it."""
    here, instance, desk = at_desk(context, officer)
    said = document(document_file)
    terms = cooperation.terms_for(said, desk)
    made = propose_grant(desk, terms, cooperation.refused_in(said))
    _show(here, instance, desk, made, done_now=True)


@commands.command("review")
def review_grant(
    context: typer.Context, identifier: GrantArgument, *, officer: OfficerOption
) -> Exit:
    """Say what stands in the way of a grant. Exit code 2 if anything does."""
    here, instance, desk = at_desk(context, officer)
    with instance.catalog.read() as reader:
        found = grant(reader, desk.chains, _parsed(identifier), desk.authority)
        problems = review(reader, desk.chains, desk, found)
    text = list(problems) or "nothing stands in its way"
    here.output.record({"grant": identifier, "missing": list(problems)}, text)
    return Exit.USAGE if problems else Exit.DONE


@commands.command("offer")
def offer(context: typer.Context, identifier: GrantArgument, *, officer: OfficerOption) -> None:
    """Offer a grant that another officer proposed: the grantor signs its terms."""
    here, instance, desk = at_desk(context, officer)
    offer_grant(desk, _parsed(identifier))
    _show(here, instance, desk, _parsed(identifier), done_now=True)


@commands.command("accept")
def accept(
    context: typer.Context,
    identifier: GrantArgument,
    *,
    terms: Annotated[str, typer.Option(help="The digest of the terms that are accepted.")],
    officer: OfficerOption,
) -> None:
    """Accept a grant: the grantee signs its terms. Only then anything opens."""
    here, instance, desk = at_desk(context, officer)
    accept_grant(desk, _parsed(identifier), terms)
    _show(here, instance, desk, _parsed(identifier), done_now=True)


@commands.command("decline")
def decline(
    context: typer.Context,
    identifier: GrantArgument,
    *,
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Decline a grant that was offered."""
    _step(context, identifier, "declined", reason, officer)


@commands.command("drop")
def drop(
    context: typer.Context,
    identifier: GrantArgument,
    *,
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Take back a grant before it is accepted."""
    _step(context, identifier, "dropped", reason, officer)


@commands.command("suspend")
def suspend(
    context: typer.Context,
    identifier: GrantArgument,
    *,
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Suspend a grant: nothing opens until it is resumed."""
    _step(context, identifier, "suspended", reason, officer)


@commands.command("resume")
def resume(
    context: typer.Context,
    identifier: GrantArgument,
    *,
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Resume a suspended grant."""
    _step(context, identifier, "resumed", reason, officer)


@commands.command("revoke")
def revoke(
    context: typer.Context,
    identifier: GrantArgument,
    *,
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Revoke a grant: from the next byte on nothing opens, also for those it was passed on to."""
    _step(context, identifier, "revoked", reason, officer)


@commands.command("expire")
def expire(context: typer.Context, identifier: GrantArgument, *, officer: OfficerOption) -> None:
    """Record that the time of a grant is over: a declaration is due."""
    here, instance, desk = at_desk(context, officer)
    with instance.catalog.read() as reader:
        found = grant(reader, desk.chains, _parsed(identifier), desk.authority)
    last = found.terms.valid_until.earliest
    if last is not None and last > desk.now:
        here.output.note(f"{identifier} is valid until {found.terms.valid_until}")
        raise typer.Exit(Exit.USAGE)
    step(desk, _parsed(identifier), "expired")
    _show(here, instance, desk, _parsed(identifier), done_now=True)


@commands.command("assure")
def assure(
    context: typer.Context,
    identifier: GrantArgument,
    assurance: Annotated[Assurance, typer.Argument(help="What is assured.")],
    *,
    charge: Annotated[
        list[str] | None, typer.Option(help="For which charge; by default for all there are.")
    ] = None,
    officer: OfficerOption,
) -> None:
    """Give an assurance, as the grantee."""
    here, instance, desk = at_desk(context, officer)
    give_assurance(desk, _parsed(identifier), assurance, charge or [])
    _show(here, instance, desk, _parsed(identifier), done_now=True)


@commands.command("charge")
def charge_notified(
    context: typer.Context,
    identifier: GrantArgument,
    *,
    charge: Annotated[str, typer.Option(help="The new charge.")],
    offence: Annotated[str, typer.Option(help="The offence that it is of.")],
    officer: OfficerOption,
) -> None:
    """Notify a new charge, as the grantee: assurances must be given anew for it."""
    here, instance, desk = at_desk(context, officer)
    notify_charge(desk, _parsed(identifier), charge, offence)
    _show(here, instance, desk, _parsed(identifier), done_now=True)


@commands.command("ask-report")
def ask_report(
    context: typer.Context, identifier: GrantArgument, *, officer: OfficerOption
) -> None:
    """Ask for a report on the use that was made of it, as the grantor."""
    _step(context, identifier, "use_report_requested", None, officer)


@commands.command("report")
def report(
    context: typer.Context,
    identifier: GrantArgument,
    *,
    reason: Annotated[str, typer.Option("--reason", help="What was used, when, where.")],
    officer: OfficerOption,
) -> None:
    """Report on the use that was made of it, as the grantee."""
    _step(context, identifier, "use_reported", reason, officer)


@commands.command("notify-exculpatory")
def exculpatory(
    context: typer.Context,
    identifier: GrantArgument,
    *,
    reason: Annotated[str, typer.Option("--reason", help="What is exculpatory, and for whom.")],
    officer: OfficerOption,
) -> None:
    """Notify that something exculpates: no purpose of a grant keeps that from the defence."""
    _step(context, identifier, "exculpatory_notified", reason, officer)


@commands.command("declare")
def declare_end(
    context: typer.Context,
    identifier: GrantArgument,
    declaration: Annotated[str, typer.Argument(help=f"One of: {', '.join(DECLARATIONS)}.")],
    *,
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Declare what became of the copies, as the grantee."""
    here, instance, desk = at_desk(context, officer)
    declare(desk, _parsed(identifier), declaration, reason)
    _show(here, instance, desk, _parsed(identifier), done_now=True)


@commands.command("show")
def show(context: typer.Context, identifier: GrantArgument, *, officer: OfficerOption) -> None:
    """Show a grant, as one of its two sides."""
    here, instance, desk = at_desk(context, officer)
    _show(here, instance, desk, _parsed(identifier), done_now=False)


@commands.command("list")
def list_grants(
    context: typer.Context,
    *,
    received: Annotated[
        bool, typer.Option("--received", help="Those received, not those given.")
    ] = False,
    after: AfterOption = None,
    officer: OfficerOption,
) -> None:
    """List the grants of the officer's authority: those given, or those received."""
    here, instance, desk = at_desk(context, officer)
    with instance.catalog.read() as reader:
        page = reader.dossiers.dossiers(
            DossierKind.GRANT,
            owner=None if received else desk.authority,
            counterpart=desk.authority if received else None,
            acts=REACHES_BY if received else (),
            after=after,
        )
    rows = [
        {
            "grant": str(each.id),
            "state": each.state,
            "grantor": each.owner.value,
            "grantee": None if each.counterpart is None else each.counterpart.value,
        }
        for each in page.entries
    ]
    here.output.table(rows, ("grant", "state", "grantor", "grantee"))


@consent_commands.command("ask")
def ask(
    context: typer.Context,
    subject: Annotated[Subject, typer.Argument(help="What the consent is to.")],
    *,
    of: Annotated[str | None, typer.Option("--grant", help="Under which grant.")] = None,
    to: Annotated[str | None, typer.Option(help="To whom it is to be passed on.")] = None,
    for_purpose: Annotated[
        list[str] | None, typer.Option("--purpose", help="For which purpose; repeat it.")
    ] = None,
    item: Annotated[list[str] | None, typer.Option(help="Of which item; repeat it.")] = None,
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Ask for a consent: to onward sharing, to another purpose, of a provider."""
    here, instance, desk = at_desk(context, officer)
    made = ask_consent(
        desk,
        subject,
        reason,
        of=None if of is None else _parsed(of),
        to=None if to is None else AuthorityId(to),
        purposes=[purpose(each) for each in for_purpose or []],
        items=[Ern.parse(each) for each in item or []],
    )
    _show_consent(here, instance, desk, made, done_now=True)


@consent_commands.command("answer")
def answer(
    context: typer.Context,
    identifier: ConsentArgument,
    how: Annotated[str, typer.Argument(help=f"One of: {', '.join(ANSWERS)}.")],
    *,
    reason: ReasonOption,
    officer: OfficerOption,
) -> None:
    """Give, refuse, withdraw or drop a consent."""
    here, instance, desk = at_desk(context, officer)
    dossier = DossierId.parse(identifier, DossierKind.CONSENT)
    answer_consent(desk, dossier, ANSWERS.get(how, how), reason)
    _show_consent(here, instance, desk, dossier, done_now=True)


@consent_commands.command("show")
def show_consent(
    context: typer.Context, identifier: ConsentArgument, *, officer: OfficerOption
) -> None:
    """Show a consent, as one of its two sides."""
    here, instance, desk = at_desk(context, officer)
    dossier = DossierId.parse(identifier, DossierKind.CONSENT)
    _show_consent(here, instance, desk, dossier, done_now=False)


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="grant")
    app.add_typer(consent_commands, name="consent")


def _parsed(identifier: str) -> DossierId:
    return DossierId.parse(identifier, DossierKind.GRANT)


def _step(
    context: typer.Context, identifier: str, act: str, reason: str | None, officer: str
) -> None:
    here, instance, desk = at_desk(context, officer)
    step(desk, _parsed(identifier), act, {}, reason)
    _show(here, instance, desk, _parsed(identifier), done_now=True)


def _show(
    here: Shared, instance: Instance, desk: Desk, dossier: DossierId, *, done_now: bool
) -> None:
    with instance.catalog.read() as reader:
        found = grant(reader, Chains(), dossier, desk.authority)
    row, text = grant_row(dossier, found), _text(dossier, found)
    if done_now:
        done(here, instance, row, text)
    else:
        here.output.record(row, text)


def _text(dossier: DossierId, found: Grant) -> list[str]:
    terms = found.terms
    return [
        f"{dossier}  {found.state}: {terms.grantor} to {terms.grantee}, {terms.mode}",
        f"  for {', '.join(terms.purposes)}; offences: {', '.join(terms.offences)}",
        f"  from {terms.valid_from} until {terms.valid_until}; onward: {terms.onward}",
        *(f"  granted {each}" for each in terms.items),
        *(f"  not granted {each.ern}: {each.reason}" for each in found.refused),
        f"  terms {terms.digest}",
    ]


def _show_consent(
    here: Shared, instance: Instance, desk: Desk, dossier: DossierId, *, done_now: bool
) -> None:
    with instance.catalog.read() as reader:
        found = consent(reader, Chains(), dossier, desk.authority)
    row = consent_row(dossier, found)
    text = f"{dossier}  {found.subject}: {found.state}, to be answered by {found.answers}"
    if done_now:
        done(here, instance, row, text)
    else:
        here.output.record(row, text)
