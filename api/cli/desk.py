"""What the commands of cooperation share: the officer who acts, documents, and what is shown."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from api import cooperation, ledger
from api.cli.context import Shared, shared
from api.cli.output import Json
from api.wiring import Instance
from evidence_store.canonical import Json as Canonical
from evidence_store.canonical import canonical
from evidence_store.desk import Desk
from evidence_store.errors import MalformedError

DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
OfficerOption = Annotated[
    str,
    typer.Option(envvar="EVIDENCE_OFFICER", help="The officer who acts, by code, as in OFF-0001."),
]
DocumentOption = Annotated[
    Path, typer.Option("--document", help="The document, as JSON.", exists=True, dir_okay=False)
]
ReasonOption = Annotated[str, typer.Option(help="Why; can be withheld from the log's readers.")]


def at_desk(context: typer.Context, officer: str) -> tuple[Shared, Instance, Desk]:
    """The run, the instance and the officer's desk; not with rules that are not as they must be.

    Raises:
        SettingsError: if the rules have a mistake.
        NotFoundError: if there is no such officer.
    """
    here = shared(context)
    cooperation.policy()
    instance = here.instance()
    return here, instance, cooperation.desk(instance, officer)


def done(
    here: Shared, instance: Instance, record: Mapping[str, Json], text: str | Sequence[str]
) -> None:
    """Let the log take in what was done, and show it.

    Raises:
        LedgerAlteredError: if the log refuses to be signed; the act is kept, and waits.
    """
    waits = ledger.settle(instance)
    row = {**record, "receipt": "sealed"} if waits is None else {**record, "waits_for": waits}
    here.output.record(row, text)


def document(file: Path) -> dict[str, Canonical]:
    """A document that an officer wrote.

    Raises:
        MalformedError: if it is no JSON object, or holds what a signed one cannot.
    """
    content = file.read_bytes()[: DOCUMENT_BYTES_MAX + 1]
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise MalformedError(f"{file.name}: expected JSON") from None
    if not isinstance(found, dict) or len(content) > DOCUMENT_BYTES_MAX:
        raise MalformedError(f"{file.name}: expected an object of at most 4 MiB")
    canonical(found)
    return found


def pairs(typed: list[str] | None) -> dict[str, str]:
    """What is typed as NAME=VALUE, again and again.

    Raises:
        MalformedError: if one has no `=`, or a name comes twice.
    """
    found: dict[str, str] = {}
    for each in typed or []:
        name, equals, value = each.partition("=")
        if not equals or name in found:
            raise MalformedError(f"expected NAME=VALUE, each name once; found {each[:80]!r}")
        found[name] = value
    return found
