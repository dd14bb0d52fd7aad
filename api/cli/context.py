"""What every command shares: the home, the output, and the instance, opened when first needed."""

import getpass
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import typer

from api import wiring
from api.cli.output import Output
from api.wiring import Instance
from evidence_store.errors import KeyUnavailableError, MalformedError
from ingest.extraction.supervisor import Extractor


@dataclass(slots=True)
class Shared:
    """The state of one run of the command line."""

    home: Path
    output: Output
    _opened: ExitStack = field(default_factory=ExitStack)

    def instance(self, *, without_store: bool = False) -> Instance:
        """The instance in the home; `without_store` as `wiring.open_instance` says.

        Raises:
            SettingsError: if there is none, or its settings are wrong.
        """
        instance = wiring.open_instance(self.home, ask_passphrase, without_store=without_store)
        self._opened.callback(instance.close)
        return instance

    def extractor(self) -> Extractor:
        """A fresh pool of isolated processes. Ask before `instance`: it starts meanwhile.

        Raises:
            SettingsError: if the settings are wrong.
        """
        return self._opened.enter_context(wiring.start_extractor(self.home))

    def close(self) -> None:
        """Close what was opened."""
        self._opened.close()


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


def new_passphrase(from_file: str = "EVIDENCE_KEY_PASSPHRASE_FILE") -> bytes:
    """A passphrase for a new file, typed twice. `from_file` is where else it could be given.

    Raises:
        KeyUnavailableError: if there is no terminal.
        MalformedError: if it is empty or the two differ.
    """
    if not sys.stdin.isatty():
        raise KeyUnavailableError(
            "passphrase: expected one for the new file, found no terminal to ask at; "
            f"give it by {from_file}: a file that holds it"
        )
    first = getpass.getpass("Passphrase of the new file: ", stream=sys.stderr).encode()
    if not first:
        raise MalformedError("passphrase: is empty")
    if getpass.getpass("The same again: ", stream=sys.stderr).encode() != first:
        raise MalformedError("passphrase: the two are not the same")
    return first
