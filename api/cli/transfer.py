"""`evidence transfer`: items change hands in an act of two sides."""

import os
from pathlib import Path
from typing import Annotated

import typer

from api import ledger
from api.cli.asserted import AsOption, acting
from api.cli.check import fingerprint_of
from api.cli.context import shared
from api.cli.output import Json
from api.cli.paging import AfterOption, LimitOption, paged
from api.cli.receipts import receipt_fields
from api.wiring import Instance
from evidence_store.custody.act import ActType
from evidence_store.custody.transfer import (
    Condition,
    Mode,
    Offer,
    OfferedItem,
    ReceiptLine,
    RefusalReason,
    TransferId,
)
from evidence_store.digest import Fingerprint, fingerprint
from evidence_store.errors import MalformedError
from evidence_store.identifiers import AuthorityId, Ern
from evidence_store.moment import Moment
from evidence_store.signed_digests import SignedDigests
from evidence_store.transferring import (
    Arrived,
    MeasuredOf,
    Release,
    Standing,
    accept,
    declare,
    make_offer,
    offered_item,
    receive,
    refuse,
    release,
    standing,
    withdraw,
)

commands = typer.Typer(no_args_is_help=True, help="Transfers: items change hands, two-sided.")
TransferArgument = Annotated[str, typer.Argument(help="The transfer, as in SI-TRF-000012.")]
PersonOption = Annotated[str, typer.Option(help="The officer who acts, by name or code.")]


@commands.command("offer")
def offer_items(  # noqa: PLR0913 - one parameter for each thing that an offer states
    context: typer.Context,
    items: Annotated[
        list[str], typer.Argument(help="Items, as in SI-2026-000123 or SI-2026-000123/2.")
    ],
    *,
    to: Annotated[str, typer.Option(help="The receiving authority, as in forensic-laboratory.")],
    to_person: Annotated[str, typer.Option(help="Who is to receive, by name or code.")],
    person: PersonOption,
    purpose: Annotated[str, typer.Option(help="What for.")],
    reference: Annotated[str, typer.Option(help="On what authority: an order, a request number.")],
    valid_until: Annotated[str, typer.Option(help="Until when the offer can be accepted.")],
    mode: Annotated[Mode, typer.Option(help="How the items travel.")] = Mode.HAND,
    condition: Annotated[
        list[str] | None, typer.Option(help="A condition; repeat it for each.")
    ] = None,
    return_by: Annotated[
        str | None, typer.Option(help="The items are lent, and come back by then.")
    ] = None,
    authority: AsOption = None,
) -> None:
    """Offer items to another authority."""
    here = shared(context)
    instance = here.instance()
    recorder = ledger.recorder(instance, acting(authority))
    with instance.catalog.act() as writer:
        offered = tuple(offered_item(writer, *_item(each)) for each in items)
        transfer = writer.ledger.next_transfer(writer.state())
    offer = Offer(
        transfer=transfer,
        items=offered,
        sender=recorder.by.authority,
        sender_person=person,
        receiver=AuthorityId(to),
        receiver_person=to_person,
        purpose=purpose,
        reference=reference,
        mode=mode,
        conditions=tuple(condition or ()),
        valid_until=Moment.parse(valid_until),
        loan=return_by is not None,
        return_by=None if return_by is None else Moment.parse(return_by),
    )
    _show(context, instance, make_offer(instance.catalog, recorder, offer))


@commands.command("accept")
def accept_offer(
    context: typer.Context,
    transfer: TransferArgument,
    *,
    person: PersonOption,
    authority: AsOption = None,
) -> None:
    """Accept an offer as it was made, as the receiver."""
    instance = shared(context).instance()
    recorder = ledger.recorder(instance, acting(authority))
    offer = accept(instance.catalog, recorder, TransferId.parse(transfer), person)
    _show(context, instance, offer)


@commands.command("refuse")
def refuse_offer(
    context: typer.Context,
    transfer: TransferArgument,
    *,
    reason: Annotated[RefusalReason, typer.Option(help="Why.")],
    note: Annotated[str | None, typer.Option(help="In words; can be withheld.")] = None,
    authority: AsOption = None,
) -> None:
    """Refuse an offer, with a reason, as the receiver."""
    instance = shared(context).instance()
    recorder = ledger.recorder(instance, acting(authority))
    offer = refuse(instance.catalog, recorder, TransferId.parse(transfer), reason, note)
    _show(context, instance, offer)


@commands.command("withdraw")
def withdraw_offer(
    context: typer.Context,
    transfer: TransferArgument,
    *,
    note: Annotated[str | None, typer.Option(help="Why; can be withheld.")] = None,
    authority: AsOption = None,
) -> None:
    """Take an offer back, or close one whose time is over, as the sender."""
    instance = shared(context).instance()
    recorder = ledger.recorder(instance, acting(authority))
    _show(context, instance, withdraw(instance.catalog, recorder, TransferId.parse(transfer), note))


@commands.command("release")
def release_items(
    context: typer.Context,
    transfer: TransferArgument,
    *,
    carrier: Annotated[str, typer.Option(help="Who carries the items, by name.")],
    seal: Annotated[
        list[str] | None, typer.Option(help="A seal on the consignment; repeat it for each.")
    ] = None,
    packages: Annotated[int | None, typer.Option(min=1, help="How many packages.")] = None,
    waybill: Annotated[str | None, typer.Option(help="The waybill.")] = None,
    authority: AsOption = None,
) -> None:
    """Let accepted items go. Custody stays with the sender until the receipt."""
    instance = shared(context).instance()
    recorder = ledger.recorder(instance, acting(authority))
    how = Release(carrier, tuple(seal or ()), packages, waybill)
    _show(context, instance, release(instance.catalog, recorder, TransferId.parse(transfer), how))


@commands.command("receive")
def receive_items(  # noqa: PLR0913 - one parameter for each thing that a receipt says
    context: typer.Context,
    transfer: TransferArgument,
    *,
    person: PersonOption,
    line: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ERN=CONDITION[:NOTE]", help=f"What was found: {', '.join(Condition)}."
        ),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(metavar="ERN=FILE", help="The bytes that arrived; they are measured."),
    ] = None,
    rest: Annotated[
        Condition | None, typer.Option(help="The condition of every item without a line.")
    ] = None,
    reject: Annotated[
        list[str] | None,
        typer.Option(metavar="ERN", help="An item that goes back with the carrier."),
    ] = None,
    extra: Annotated[
        list[str] | None, typer.Option(help="Something that came and was not offered.")
    ] = None,
    authority: AsOption = None,
) -> None:
    """Sign for what arrived, item by item, as the receiver.

    The digest of a digital item is measured now: of the --file that arrived. Without one, only
    what travels digitally is measured, in the store that both sides share, and the receipt says
    so; of what was carried nothing was measured, and it is not_verifiable.
    """
    instance = shared(context).instance()
    recorder = ledger.recorder(instance, acting(authority))
    chosen = TransferId.parse(transfer)
    lines, files = _lines(line or []), _files(file or [])
    with instance.catalog.read() as reader:
        where = standing(reader, chosen)
    foreign = (set(lines) | set(files)) - {item.ern for item in where.offer.items}
    if foreign:
        raise MalformedError(
            f"receipt: {', '.join(map(str, sorted(foreign)))} was not offered; name it with --extra"
        )
    arrived = [
        _arrived(instance, where.offer.mode, item, lines.get(item.ern), files.get(item.ern), rest)
        for item in where.offer.items
        if item.ern in where.open_items or not where.open_items
    ]
    offer = receive(
        instance.catalog,
        recorder,
        chosen,
        [each for each in arrived if each is not None],
        person,
        tuple(extra or ()),
        frozenset(map(Ern.parse, reject or ())),
    )
    _show(context, instance, offer)


@commands.command("declare")
def declare_items(
    context: typer.Context,
    transfer: TransferArgument,
    what: Annotated[str, typer.Argument(help="overdue, lost or found.")],
    *,
    note: Annotated[str, typer.Option(help="What is known; can be withheld.")],
    authority: AsOption = None,
) -> None:
    """Say of what is on its way, or lent, that it is overdue; lost; or found again; as the sender."""
    acts = {"overdue": ActType.OVERDUE, "lost": ActType.LOST_DECLARED, "found": ActType.FOUND}
    if what not in acts:
        raise MalformedError(f"declare: expected {', '.join(acts)}; found {what[:40]!r}")
    instance = shared(context).instance()
    recorder = ledger.recorder(instance, acting(authority))
    offer = declare(instance.catalog, recorder, TransferId.parse(transfer), acts[what], note)
    _show(context, instance, offer)


@commands.command("status")
def status(context: typer.Context, transfer: TransferArgument) -> None:
    """Where a transfer stands, item by item."""
    here = shared(context)
    instance = here.instance()
    with instance.catalog.read() as reader:
        found = standing(reader, TransferId.parse(transfer))
    here.output.record(_fields(found), _text(found))


@commands.command("list")
def list_transfers(
    context: typer.Context, after: AfterOption = None, limit: LimitOption = None
) -> None:
    """List the transfers."""
    here = shared(context)
    with here.instance().catalog.read() as reader:
        rows = (_row(each) for each in paged(reader.ledger.transfers, after=after, limit=limit))
        here.output.table(rows, ("transfer", "from", "to", "items", "valid_until"))


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="transfer")


def _item(text: str) -> tuple[Ern, int | None]:
    ern, separator, number = text.partition("/")
    if separator and not (number.isascii() and number.isdigit() and int(number) > 0):
        raise MalformedError(f"item: expected ERN or ERN/VERSION, found {text[:80]!r}")
    return Ern.parse(ern), int(number) if separator else None


def _lines(texts: list[str]) -> dict[Ern, tuple[Condition, str | None]]:
    found: dict[Ern, tuple[Condition, str | None]] = {}
    for text in texts:
        ern, separator, said = text.partition("=")
        condition, _, note = said.partition(":")
        if not separator or condition not in set(Condition):
            raise MalformedError(
                f"line: expected ERN=CONDITION with one of {', '.join(Condition)}; "
                f"found {text[:80]!r}"
            )
        found[Ern.parse(ern)] = Condition(condition), note or None
    return found


def _files(texts: list[str]) -> dict[Ern, Path]:
    found: dict[Ern, Path] = {}
    for text in texts:
        ern, separator, path = text.partition("=")
        if not separator or not Path(path).is_file():
            raise MalformedError(f"file: expected ERN=FILE, found {text[:80]!r}")
        found[Ern.parse(ern)] = Path(path)
    return found


def _arrived(
    instance: Instance,
    mode: Mode,
    item: OfferedItem,
    line: tuple[Condition, str | None] | None,
    file: Path | None,
    rest: Condition | None,
) -> Arrived | None:
    condition, note = line or (rest, None)
    measured: Fingerprint | None = None
    of = MeasuredOf.ARRIVED
    if item.sha256 is not None and condition not in {Condition.MISSING, Condition.NOT_VERIFIABLE}:
        if file is not None:
            measured = fingerprint_of(os.fsencode(file))
        elif mode is Mode.DIGITAL:
            measured, of = _of_store(instance, item), MeasuredOf.SHARED_STORE
        if measured is None:
            condition = _unmeasured(item, line, condition)
        elif condition in {None, Condition.OK}:
            matches = measured.sha256.hex == item.sha256
            condition = Condition.OK if matches else Condition.DIGEST_MISMATCH
    if condition is None:
        return None  # without a line: the receipt will be refused, naming it
    sha256 = None if measured is None else measured.sha256.hex
    return Arrived(ReceiptLine(item.ern, condition, sha256, note), measured, of)


def _unmeasured(
    item: OfferedItem,
    line: tuple[Condition, str | None] | None,
    condition: Condition | None,
) -> Condition:
    """What can be said of a digital item of which nothing that arrived was measured."""
    if line is not None and condition is Condition.OK:
        raise MalformedError(
            f"line: {item.ern}: ok needs the bytes that arrived; expected --file {item.ern}=FILE"
        )
    return Condition.NOT_VERIFIABLE if condition in {None, Condition.OK} else condition


def _of_store(instance: Instance, item: OfferedItem) -> Fingerprint:
    with instance.catalog.read() as reader:
        version = next(each for each in reader.versions(item.ern) if each.number == item.version)
        sealed = reader.sealed(version.object_name)
        SignedDigests(reader, instance.tiles).insist(version, sealed)
    return fingerprint(instance.vault.open(sealed))


def _show(context: typer.Context, instance: Instance, offer: Offer) -> None:
    """The transfer after an act, with the receipts of what was just recorded."""
    problem = ledger.settle(instance)
    with instance.catalog.read() as reader:
        found = standing(reader, offer.transfer)
    receipts: list[Json] = []
    for item in offer.items:
        last = ledger.receipts(instance, item.ern)[-1]
        receipts.append({"ern": str(item.ern), **receipt_fields(last)})
    row: dict[str, Json] = {**_fields(found), "receipts": receipts}
    if problem is not None:
        row["waits_for"] = problem
    shared(context).output.record(row, _text(found))


def _row(offer: Offer) -> dict[str, Json]:
    return {
        "transfer": str(offer.transfer),
        "offer": offer.digest,
        "from": str(offer.sender),
        "to": str(offer.receiver),
        "items": len(offer.items),
        "mode": offer.mode.value,
        "valid_until": offer.valid_until.text,
    }


def _fields(found: Standing) -> dict[str, Json]:
    items: list[Json] = []
    for item in found.offer.items:
        last, custodian = found.items.get(item.ern, (None, None))
        items.append(
            {
                "ern": str(item.ern),
                "version": item.version,
                "sha256": item.sha256,
                "last": None if last is None else last.value,
                "custodian": custodian,
            }
        )
    return {**_row(found.offer), "items": items}


def _text(found: Standing) -> list[str]:
    offer = found.offer
    lines = [f"{offer.transfer}: {offer.sender} to {offer.receiver}, offer {offer.digest}"]
    for item in offer.items:
        last, custodian = found.items.get(item.ern, ("not recorded", "nobody"))
        lines.append(f"  {item.ern}: {last}; with {custodian}")
    return lines
