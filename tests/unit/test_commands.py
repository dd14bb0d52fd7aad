"""The command line loads a command's own module: which that is, is said in one place, and is so."""

from importlib import import_module
from pathlib import Path

import pytest
import typer

from api.cli.main import MODULES, commands_of

FOLDER = Path(__file__).parents[2] / "api" / "cli"


def names(app: typer.Typer) -> list[str | None]:
    return [
        *(each.name for each in app.registered_commands),
        *(each.name for each in app.registered_groups),
    ]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_holds_the_commands_that_load_it(module: str) -> None:
    assert sorted(map(str, names(commands_of([module])))) == sorted(MODULES[module])


def test_every_module_with_commands_is_loaded_for_the_help() -> None:
    having = {
        each.stem
        for each in FOLDER.glob("*.py")
        if hasattr(import_module(f"api.cli.{each.stem}"), "add_to")
    }
    assert having == set(MODULES)


def test_no_command_is_in_two_modules() -> None:
    found = [name for commands in MODULES.values() for name in commands]
    assert len(found) == len(set(found))
