"""What every command shares: the home, the output, and the instance, opened when first needed."""

import getpass
import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from api.cli.output import Output
from api.wiring import Instance, open_instance
from evidence_store.errors import KeyUnavailableError


@dataclass(slots=True)
class Shared:
    """The state of one run of the command line."""

    home: Path
    output: Output

    def instance(self) -> Instance:
        """The instance in the home.

        Raises:
            SettingsError: if there is none, or its settings are wrong.
        """
        return open_instance(self.home, ask_passphrase)


def shared(context: typer.Context) -> Shared:
    """The state that the root command set up."""
    found = context.find_object(Shared)
    if found is None:
        raise AssertionError("the root command sets it")
    return found


def ask_passphrase() -> bytes:
    """The key file's passphrase, from the terminal.

    Raises:
        KeyUnavailableError: if there is no terminal: nothing ever waits for one unseen.
    """
    if not sys.stdin.isatty():
        raise KeyUnavailableError(
            "key file: it has a passphrase and there is no terminal to ask at; "
            "set EVIDENCE_KEY_PASSPHRASE_FILE to a file that holds it"
        )
    return getpass.getpass("Passphrase of the key file: ", stream=sys.stderr).encode()
