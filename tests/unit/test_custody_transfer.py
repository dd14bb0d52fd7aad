"""Offers that both sides sign, and receipts that leave nothing out."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.canonical import Json, canonical, parse_canonical
from evidence_store.custody.transfer import (
    Condition,
    Mode,
    Offer,
    OfferedItem,
    ReceiptLine,
    TransferId,
    checked_receipt,
)
from evidence_store.errors import MalformedError
from evidence_store.identifiers import AuthorityId, Ern, StateCode
from evidence_store.moment import Moment

FIRST, SECOND, THIRD = (Ern.parse(f"SI-2026-00000{number}") for number in (1, 2, 3))
BYTES, OTHER = "ab" * 32, "cd" * 32
VIDEO, EXHIBIT = OfferedItem(FIRST, 1, BYTES), OfferedItem(SECOND, seals=("S1",))
OFFER = Offer(
    transfer=TransferId.parse("SI-TRF-000012"),
    items=(VIDEO, EXHIBIT),
    sender=AuthorityId("police"),
    sender_person="OFF-0001",
    receiver=AuthorityId("laboratory"),
    receiver_person="EXP-0001",
    purpose="fibre comparison",
    reference="K 12/2026",
    mode=Mode.COURIER,
    conditions=("keep dry",),
    valid_until=Moment.parse("2026-04-01T12:00Z"),
)


@given(st.integers(1, 10**12 - 1))
def test_a_transfer_has_one_spelling(serial: int) -> None:
    transfer = TransferId(StateCode("SI"), serial)
    assert TransferId.parse(str(transfer)) == transfer


@pytest.mark.parametrize(
    "text",
    [
        "SI-TRF-12",
        "SI-TRF-0000012",
        "SI-TRF-000000",
        "si-TRF-000012",
        "SI-TRF-000012 ",
        "SI-TRF-٠٠٠٠١٢",
    ],
)
def test_another_spelling_of_a_transfer_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        TransferId.parse(text)


def test_an_offer_is_read_as_it_was_written() -> None:
    loan = replace(OFFER, loan=True, return_by=Moment.parse("2026-05-01Z"))
    for offer in (OFFER, loan):
        read = Offer.parse(offer.document)
        assert read == offer
        assert read.digest == hashlib.sha256(offer.document).hexdigest()


def test_an_offers_document_is_canonical_by_a_judge_of_its_own() -> None:
    assert rfc8785.dumps(parse_canonical(OFFER.document, "offer")) == OFFER.document


@pytest.mark.parametrize(
    "changed",
    [
        replace(OFFER, items=(VIDEO,)),
        replace(OFFER, items=(EXHIBIT, VIDEO)),
        replace(OFFER, items=(replace(VIDEO, sha256=OTHER), EXHIBIT)),
        replace(OFFER, items=(replace(VIDEO, version=2), EXHIBIT)),
        replace(OFFER, items=(VIDEO, replace(EXHIBIT, seals=("S2",)))),
        replace(OFFER, receiver_person="EXP-0002"),
        replace(OFFER, conditions=()),
        replace(OFFER, valid_until=Moment.parse("2026-04-02T12:00Z")),
    ],
)
def test_an_offer_changed_in_anything_is_another_offer(changed: Offer) -> None:
    assert changed.digest != OFFER.digest


Change = Callable[[dict[str, Json]], object]


def _first_item(whole: dict[str, Json]) -> dict[str, Json]:
    items = whole["items"]
    assert isinstance(items, list)
    assert isinstance(items[0], dict)
    return items[0]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda whole: whole.update(v=True), id="version-true"),
        pytest.param(lambda whole: whole.update(v=2), id="version-2"),
        pytest.param(lambda whole: whole.update(also="read me"), id="more-than-an-offer-says"),
        pytest.param(lambda whole: whole.update(mode="pigeon"), id="unknown-mode"),
        pytest.param(lambda whole: whole.update(conditions=[1]), id="condition-no-text"),
        pytest.param(lambda whole: whole.update(items=[]), id="no-items"),
        pytest.param(lambda whole: whole.update(valid_until="soon"), id="no-time"),
        pytest.param(lambda whole: whole.update(valid_until="unknown"), id="never-over"),
        pytest.param(lambda whole: whole.pop("purpose"), id="no-purpose"),
        pytest.param(lambda whole: whole.update(loan=True), id="loan-without-return"),
        pytest.param(
            lambda whole: _first_item(whole).update(note="x"), id="more-than-an-item-says"
        ),
        pytest.param(lambda whole: _first_item(whole).update(seals=[1]), id="seal-no-text"),
        pytest.param(lambda whole: _first_item(whole).update(version=True), id="item-version-true"),
        pytest.param(lambda whole: _first_item(whole).update(version=0), id="item-version-0"),
        pytest.param(lambda whole: _first_item(whole).update(version=None), id="digest-of-nothing"),
        pytest.param(lambda whole: _first_item(whole).update(sha256=None), id="version-undigested"),
        pytest.param(lambda whole: _first_item(whole).update(sha256="zz"), id="no-digest"),
        pytest.param(
            lambda whole: _first_item(whole).update(sha256=BYTES.upper()), id="digest-in-capitals"
        ),
    ],
)
def test_a_document_that_is_not_exactly_an_offer_is_refused(change: Change) -> None:
    whole = parse_canonical(OFFER.document, "offer")
    change(whole)
    with pytest.raises(MalformedError):
        Offer.parse(canonical(whole))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda: replace(OFFER, items=()), id="no-items"),
        pytest.param(lambda: replace(OFFER, items=(VIDEO, VIDEO)), id="item-twice"),
        pytest.param(lambda: replace(OFFER, receiver=OFFER.sender), id="to-oneself"),
        pytest.param(lambda: replace(OFFER, receiver_person=" "), id="nobody-named"),
        pytest.param(lambda: replace(OFFER, reference=""), id="no-reference"),
        pytest.param(lambda: replace(OFFER, valid_until=Moment.parse("unknown")), id="never-over"),
        pytest.param(
            lambda: replace(OFFER, return_by=Moment.parse("2026-05-01Z")), id="return-without-loan"
        ),
        pytest.param(
            lambda: replace(OFFER, loan=True, return_by=Moment.parse("unknown")),
            id="loan-without-end",
        ),
    ],
)
def test_an_offer_that_could_not_be_kept_cannot_be_made(change: Callable[[], Offer]) -> None:
    with pytest.raises(MalformedError):
        change()


# --------------------------------------------------------------------------- receipts

ITEMS = (VIDEO, EXHIBIT)
VIDEO_OK, EXHIBIT_OK = ReceiptLine(FIRST, Condition.OK, BYTES), ReceiptLine(SECOND, Condition.OK)


def test_a_receipt_has_a_line_for_every_item() -> None:
    found = checked_receipt(ITEMS, [EXHIBIT_OK, VIDEO_OK])
    assert found == {FIRST: VIDEO_OK, SECOND: EXHIBIT_OK}


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="nothing"),
        pytest.param([VIDEO_OK], id="silently-partial"),
        pytest.param([VIDEO_OK, VIDEO_OK, EXHIBIT_OK], id="twice"),
        pytest.param([VIDEO_OK, EXHIBIT_OK, ReceiptLine(THIRD, Condition.EXTRA)], id="not-offered"),
        pytest.param([VIDEO_OK, ReceiptLine(SECOND, Condition.EXTRA)], id="offered-and-extra"),
    ],
)
def test_a_receipt_of_something_else_is_refused(lines: list[ReceiptLine]) -> None:
    with pytest.raises(MalformedError):
        checked_receipt(ITEMS, lines)


@pytest.mark.parametrize(
    ("condition", "measured"),
    [
        (Condition.OK, None),
        (Condition.OK, OTHER),
        (Condition.DIGEST_MISMATCH, None),
        (Condition.DIGEST_MISMATCH, BYTES),
        (Condition.MISSING, BYTES),
        (Condition.NOT_VERIFIABLE, BYTES),
    ],
)
def test_what_is_said_of_bytes_agrees_with_what_was_measured(
    condition: Condition, measured: str | None
) -> None:
    with pytest.raises(MalformedError):
        checked_receipt([VIDEO], [ReceiptLine(FIRST, condition, measured)])


@pytest.mark.parametrize(
    ("condition", "measured"),
    [
        (Condition.OK, BYTES),
        (Condition.DIGEST_MISMATCH, OTHER),
        (Condition.MISSING, None),
        (Condition.NOT_VERIFIABLE, None),
        (Condition.DAMAGED, None),
    ],
)
def test_reservations_about_bytes_are_possible(condition: Condition, measured: str | None) -> None:
    line = ReceiptLine(FIRST, condition, measured)
    assert checked_receipt([VIDEO], [line]) == {FIRST: line}


@pytest.mark.parametrize("measured", ["xx", BYTES.upper(), f"sha256:{BYTES}", ""])
def test_a_measurement_is_a_digest(measured: str) -> None:
    with pytest.raises(MalformedError):
        ReceiptLine(FIRST, Condition.DIGEST_MISMATCH, measured)


def test_a_thing_has_no_bytes_to_measure() -> None:
    for line in (
        ReceiptLine(SECOND, Condition.OK, BYTES),
        ReceiptLine(SECOND, Condition.DIGEST_MISMATCH),
    ):
        with pytest.raises(MalformedError):
            checked_receipt([EXHIBIT], [line])
