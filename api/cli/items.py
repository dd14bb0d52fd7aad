"""`evidence list`, `show`, `void`: what is registered."""

import json
from typing import Annotated

import typer

from api import ledger
from api.cli.asserted import AsOption, acting
from api.cli.context import shared
from api.cli.output import Json
from api.cli.paging import AfterOption, LimitOption, paged
from api.cli.receipts import last_receipt
from api.cli.show import claim_set, item_detail, item_row, version_row
from evidence_store import acts
from evidence_store.errors import EvidenceError
from evidence_store.handling import handle
from evidence_store.identifiers import CaseId, Ern
from evidence_store.item import Item, Version
from evidence_store.page import Page
from evidence_store.ports import CatalogReader
from evidence_store.vault import Vault
from evidence_store.wording import stated

ErnArgument = Annotated[str, typer.Argument(help="The item, as in SI-2026-000123.")]


def list_items(
    context: typer.Context,
    case: Annotated[str | None, typer.Option(help="Only items of this case.")] = None,
    after: AfterOption = None,
    limit: LimitOption = None,
) -> None:
    """List items by their ERN."""
    here = shared(context)
    case_id = None if case is None else CaseId.parse(case)
    with here.instance().catalog.read() as reader:
        if case_id is not None:
            reader.case(case_id)

        def lister(*, after: str | None, limit: int) -> Page[Item]:
            return reader.items(case_id=case_id, after=after, limit=limit)

        rows = map(item_row, paged(lister, after=after, limit=limit))
        here.output.table(rows, ("ern", "status", "kind", "collected_at", "title", "path"))


def show(context: typer.Context, ern: ErnArgument) -> None:
    """Show an item: what the officer asserts, its versions, and what the files themselves claim."""
    here = shared(context)
    instance = here.instance()
    wanted = Ern.parse(ern)
    with instance.catalog.read() as reader:
        value = item_detail(reader.item(wanted))
        versions = [
            {**version_row(version), **_claims(reader, instance.vault, version)}
            for version in reader.versions(wanted)
        ]
    shown: dict[str, Json] = {**value, "versions": versions}
    here.output.record(shown, json.dumps(shown, ensure_ascii=False, indent=2).split("\n"))


def void(
    context: typer.Context,
    ern: ErnArgument,
    reason: Annotated[str, typer.Option(help="Why the number must not be used.")],
    authority: AsOption = None,
) -> None:
    """Declare an ERN void, for ever. What is stored under it stays stored."""
    here = shared(context)
    wanted = Ern.parse(ern)
    reason = stated(reason, "reason")
    instance = here.instance()
    recorder = ledger.recorder(instance, acting(authority))
    with instance.catalog.write() as writer:
        handle(writer, recorder, [acts.voided(wanted, reason)])
        item = writer.void(wanted, reason)
    row = {**item_detail(item), "receipt": last_receipt(instance, wanted)}
    here.output.record(row, f"{item.ern} is void: {reason}")


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("list")(list_items)
    app.command("show")(show)
    app.command("void")(void)


def _claims(reader: CatalogReader, vault: Vault, version: Version) -> dict[str, Json]:
    try:
        body = reader.claims(version.ern, version.number)
        sealed = reader.sealed(version.object_name)
        return {"claims": [claim_set(each) for each in vault.open_claims(sealed, body)]}
    except EvidenceError as error:
        return {"claims": None, "claims_error": f"{error.code}: {error}"}
