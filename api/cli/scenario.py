"""`evidence scenario`: whole cooperations, played for training, tests and demonstration."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from api import scenario as playing
from api.cli.context import shared
from api.cli.exits import Exit
from api.cli.output import Json
from api.scenario import Played

commands = typer.Typer(no_args_is_help=True, help="Whole cooperations, played for training.")


@commands.command("list")
def list_scenarios(context: typer.Context) -> None:
    """List the scenarios that come with the system."""
    here = shared(context)
    rows: list[dict[str, Json]] = [
        {"scenario": name, "title": each.title, "summary": each.summary, "steps": len(each.steps)}
        for name, each in playing.scenarios().items()
    ]
    here.output.table(rows, ("scenario", "title", "steps"))


@commands.command("run")
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The scenario, or a file of one's own.")],
    *,
    keep: Annotated[
        Path | None,
        typer.Option(help="An empty folder to play in, and to leave as it is afterwards."),
    ] = None,
) -> Exit:
    """Play a scenario on an instance of its own; one line a step. Exit code 3 if it goes otherwise."""
    from api.cli.main import main  # noqa: PLC0415 - it knows this command

    here = shared(context)
    chosen = playing.scenario_named(name)
    with tempfile.TemporaryDirectory(prefix="exercise-") as made:
        folder = Path(made) if keep is None else keep
        folder.mkdir(parents=True, exist_ok=True)
        odd = 0
        for played in playing.play(chosen, folder, main):
            odd += not played.expected
            here.output.record(_row(played), _text(played))
        problems = playing.checked(folder)
    row: dict[str, Json] = {
        "scenario": chosen.name,
        "unexpected": odd,
        "log_problems": list(problems),
        "as_expected": not odd and not problems,
    }
    here.output.record(row, "as expected" if row["as_expected"] else f"{odd} steps went otherwise")
    return Exit.DONE if row["as_expected"] else Exit.INTEGRITY


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="scenario")


def _row(played: Played) -> dict[str, Json]:
    row: dict[str, Json] = {
        "step": played.number,
        "at": f"{played.at:%Y-%m-%dT%H:%M:%SZ}",
        "who": played.step.who,
        "say": played.step.say,
        "command": played.command,
        "exit": played.exit,
        "as_expected": played.expected,
    }
    if played.problem:
        row["problem"] = played.problem
    if played.accesses:
        last = played.accesses[-1]
        row |= {
            "decision": last.decision,
            "rule": last.rule,
            "policy": last.policy,
            "access": str(last.id),
        }
    elif played.error is not None:
        row |= {"decision": "deny", "rule": str(played.error.get("code"))}
    if played.error is not None:
        row["error"] = played.error
    elif played.records:
        row["result"] = played.records[0] if len(played.records) == 1 else list(played.records)
    return row


def _text(played: Played) -> list[str]:
    mark = " " if played.expected else "!"
    lines = [f"{mark} {played.at:%Y-%m-%d %H:%M}  {played.step.who}: {played.step.say}"]
    lines += [f"      {each.decision} by {each.rule}  ({each.id})" for each in played.accesses]
    if played.error is not None:
        lines.append(f"      {played.error.get('code')}: {played.error.get('message')}")
    if played.problem:
        lines.append(f"      NOT AS EXPECTED: {played.problem}")
    return lines
