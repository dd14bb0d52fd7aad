"""`evidence version`: further versions of an item, each derived from one that is there."""

import os
from pathlib import Path
from typing import Annotated

import typer

from api import ledger
from api.cli.asserted import AsOption, MethodOption, acting
from api.cli.context import shared
from api.cli.items import ErnArgument
from api.cli.output import Json
from api.cli.receipts import last_receipt
from api.cli.show import version_row
from evidence_store.derivation import Derivation, add_version
from evidence_store.errors import MalformedError
from evidence_store.identifiers import Ern
from evidence_store.item import VersionType
from evidence_store.wording import stated
from ingest.content import read_ahead
from ingest.onepass import OnePass
from ingest.sources import Source, absolute

commands = typer.Typer(no_args_is_help=True, help="Versions: redactions, translations, copies …")


@commands.command("add")
def add(
    context: typer.Context,
    ern: ErnArgument,
    file: Annotated[Path, typer.Argument(help="The file.", exists=True, dir_okay=False)],
    *,
    type_: Annotated[str, typer.Option("--type", help="What it is, such as redacted.")],
    method: MethodOption,
    derived_from: Annotated[int, typer.Option(min=1, help="The version it was made from.")] = 1,
    language: Annotated[str | None, typer.Option(help="Of a translation or transcript.")] = None,
    authority: AsOption = None,
) -> None:
    """Add a version to an item."""
    here = shared(context)
    extractor = here.extractor()
    instance = here.instance()
    derivation = Derivation(
        ern=Ern.parse(ern),
        type=_type(type_),
        derived_from=derived_from,
        method=stated(method, "method"),
        language=None if language is None else stated(language, "language"),
    )
    path = os.fsencode(file)
    source = Source(absolute(path), path, file.stat().st_size)
    read = read_ahead(instance.vault, extractor, OnePass(), source)
    try:
        recorder = ledger.recorder(instance, acting(authority))
        version = add_version(
            instance.catalog, instance.vault, recorder, derivation, read.content()
        )
    finally:
        read.discard()
    receipt = last_receipt(instance, derivation.ern)
    row: dict[str, Json] = {"ern": ern, **version_row(version), "receipt": receipt}
    here.output.record(row, f"{ern} version {version.number} ({version.type})")


def _type(text: str) -> VersionType:
    derived = [each for each in VersionType if each is not VersionType.ORIGINAL]
    if text not in derived:
        raise MalformedError(f"type: expected one of {', '.join(derived)}; found {text[:80]!r}")
    return VersionType(text)


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="version")
