"""`evidence access` and `evidence policy`: decided, recorded, then served; and read afterwards."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from api import cooperation, ledger
from api.cli.context import shared
from api.cli.desk import OfficerOption, at_desk, done
from api.cli.fetch import new_file
from api.cli.output import Json
from api.cli.paging import AfterOption
from api.views import access_row
from evidence_store.accessing import Question, accesses, ask, end, serve, visible
from evidence_store.canonical import Json as Canonical
from evidence_store.errors import DeniedError, MalformedError, NotFoundError
from evidence_store.identifiers import DossierId, DossierKind, Ern
from evidence_store.sharing.decision import Policy, rule_text, shipped_schema
from evidence_store.sharing.marking import marks_in
from evidence_store.sharing.terms import Action

commands = typer.Typer(no_args_is_help=True, help="Access to evidence: decided, recorded, served.")
policy_commands = typer.Typer(no_args_is_help=True, help="The rules by which accesses are decided.")
READ_BYTES = 1024 * 1024
AccessArgument = Annotated[str, typer.Argument(help="The access, as in SI-ACC-000001.")]


@commands.command("list")
def list_visible(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    after: AfterOption = None,
    officer: OfficerOption,
) -> None:
    """List the items that the officer may know of, and no others."""
    here, _, desk = at_desk(context, officer)
    items, _ = visible(desk, after=after, limit=limit)
    rows = [
        {"ern": str(each.ern), "case": str(each.case_id), "kind": each.kind.value} for each in items
    ]
    here.output.table(rows, ("ern", "case", "kind"))


@commands.command("open")
def open_item(
    context: typer.Context,
    item: Annotated[str, typer.Argument(help="The item, as in SI-2026-000123/2.")],
    *,
    purpose: Annotated[str, typer.Option(help="What for, as in prosecution.")],
    action: Annotated[Action, typer.Option(help="What is to be done with it.")] = Action.VIEW,
    grant: Annotated[str | None, typer.Option(help="Under which grant.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to make of its bytes.")
    ] = None,
    officer: OfficerOption,
) -> None:
    """Ask for access. What is allowed is recorded first, and then served into the file."""
    here, instance, desk = at_desk(context, officer)
    ern, version = cooperation.item_named(item)
    dossier = None if grant is None else DossierId.parse(grant, DossierKind.GRANT)
    question = Question(ern, version, action, purpose, dossier)
    rules = cooperation.policy()
    try:
        opening = ask(desk, rules, question)
        served = 0
        if output is None:
            end(desk, opening, "nothing served", 0, None)
        else:
            with new_file(output) as file:
                for piece in serve(desk, rules, opening, instance.vault):
                    file.write(piece)
                    served += len(piece)
    except (DeniedError, NotFoundError):
        ledger.settle(instance)  # the refusal is on record, too
        raise
    done(
        here,
        instance,
        {
            "access": str(opening.access),
            "decision": opening.decision.text,
            "rule": opening.decision.rule,
            "policy": opening.decision.policy,
            "item": str(ern),
            "version": None if opening.version is None else opening.version.number,
            "action": action.value,
            "purpose": purpose,
            "grant": None if opening.question.grant is None else str(opening.question.grant),
            "copy": opening.copy_id,
            "served_bytes": served,
            "output": None if output is None else str(output),
        },
        f"{opening.access}: allowed by {opening.decision.rule}; {served} bytes; "
        f"copy {opening.copy_id}",
    )


@commands.command("record")
def record(
    context: typer.Context,
    *,
    item: Annotated[str | None, typer.Option(help="Of this item.")] = None,
    grant: Annotated[str | None, typer.Option(help="Under this grant.")] = None,
    after: AfterOption = None,
    officer: OfficerOption,
) -> None:
    """Read who had access: for the provider's State, and for a court of its own grants."""
    here, _, desk = at_desk(context, officer)
    rows, _ = accesses(
        desk,
        ern=None if item is None else Ern.parse(item),
        grant=None if grant is None else DossierId.parse(grant, DossierKind.GRANT),
        after=after,
    )
    here.output.table(
        [access_row(each) for each in rows],
        ("access", "at", "officer", "authority", "action", "purpose", "decision", "rule", "ended"),
    )


@commands.command("explain")
def explain(context: typer.Context, identifier: AccessArgument, *, officer: OfficerOption) -> None:
    """Explain a decision by the rule as it was then, and decide it again from the same facts."""
    here, instance, desk = at_desk(context, officer)
    dossier = DossierId.parse(identifier, DossierKind.ACCESS)
    with instance.catalog.read() as reader:
        try:
            found = reader.dossiers.access(dossier)
            text = reader.dossiers.policy_text(found.policy) or ""
            decided = desk.chains.steps(reader, dossier)[0]
        except NotFoundError:
            raise NotFoundError(f"there is no access {identifier}") from None
    if found.officer != desk.officer or found.rule == "no-such-item":
        accesses(desk, ern=found.ern, limit=1)  # refuses whoever may not read the record
    facts = decided.private.get("facts")
    again: dict[str, Json] = {}
    if isinstance(facts, dict):
        decision = Policy(text, shipped_schema(), found.policy).decide_again(facts)
        again = {"decision": decision.text, "rule": decision.rule}
    closed = decided.data.get("closed")
    here.output.record(
        {
            **access_row(found),
            "closed": list(closed) if isinstance(closed, list) else [],
            "rule_text": rule_text(text, found.rule),
            "decided_again": again,
            "facts": _shown(facts),
        },
        [
            f"{found.decision} by {found.rule}",
            "",
            *rule_text(text, found.rule).split("\n"),
            "",
            f"decided again from the same facts: {again.get('decision')} by {again.get('rule')}",
        ],
    )


@commands.command("trace")
def trace(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A copy that was found.", dir_okay=False)],
    *,
    officer: OfficerOption,
) -> None:
    """Say under which access a copy was handed out, by its mark or its digest."""
    here, instance, desk = at_desk(context, officer)
    state, marks = hashlib.sha256(), []
    with file.open("rb") as opened:
        marks = marks_in(iter(lambda: opened.read(READ_BYTES), b""))
        opened.seek(0)
        while chunk := opened.read(READ_BYTES):
            state.update(chunk)
    with instance.catalog.read() as reader:
        found = [reader.dossiers.copy(copy_id=each) for each in marks]
        found.append(reader.dossiers.copy(sha256=state.hexdigest()))
    rows = {}
    for each in found:
        if each is not None:
            accesses(desk, ern=each.ern, limit=1)
            rows[str(each.id)] = access_row(each)
    here.output.table(
        list(rows.values()), ("access", "at", "officer", "authority", "grant", "copy", "action")
    )


@policy_commands.command("check")
def check_policy(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Rules in Cedar.", exists=True, dir_okay=False)],
) -> None:
    """Check rules against what they may speak of."""
    here = shared(context)
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise MalformedError(f"{file.name}: expected text in UTF-8") from None
    found = Policy(text, shipped_schema(), file.name)
    row: dict[str, Json] = {"policy": found.digest, "rules": list(found.rules)}
    here.output.record(row, f"{file.name}: {len(found.rules)} rules, policy {found.digest}")


@policy_commands.command("show")
def show_policy(
    context: typer.Context,
    rule: Annotated[str | None, typer.Argument(help="One rule only.")] = None,
) -> None:
    """Show the rules in force, or one of them with its reason."""
    here = shared(context)
    found = cooperation.policy()
    if rule is not None and rule not in found.rules:
        raise NotFoundError(f"there is no rule {rule!r}; `evidence policy show` lists them")
    text = found.text if rule is None else rule_text(found.text, rule)
    here.output.record({"policy": found.digest, "rules": list(found.rules), "text": text}, text)


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="access")
    app.add_typer(policy_commands, name="policy")


def _shown(facts: Canonical) -> Json:
    return facts if isinstance(facts, dict) else {}
