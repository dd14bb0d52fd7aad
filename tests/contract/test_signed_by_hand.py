"""Acts that are prepared, signed and entered, on every database."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text

from evidence_store.audit import audit
from evidence_store.canonical import Json
from evidence_store.errors import (
    ConflictError,
    CustodyError,
    FixityError,
    OutOfOrderError,
    ProofError,
)
from evidence_store.handling import handle
from evidence_store.identifiers import Ern
from evidence_store.ledger.by_hand import check_by_hand
from evidence_store.ledger.event import Draft
from evidence_store.preparing import Prepared, ToSign, enter, prepare
from evidence_store.recording import Recorder
from storage.catalog import SqlCatalog
from storage.ledger.files import TileMemory
from tests.ledgers import Ledger
from tests.packages import RP_ID, SITE
from tests.softkey import SoftKey

Act = Callable[[Recorder], object]
REGISTERED: dict[str, Json] = {"case": "SI-CASE-0001", "kind": "physical", "seals": ["A-1"]}


class Officer:
    """An officer with a passkey, and two items."""

    def __init__(self, catalog: SqlCatalog) -> None:
        self.ledger = Ledger(catalog, TileMemory())
        self.key = SoftKey(SITE, RP_ID)
        self.items = [self.ledger.item(), self.ledger.item()]
        self.entered(*(Draft(each, "registered", REGISTERED) for each in self.items))

    def entered(self, *drafts: Draft) -> None:
        self.doing(*drafts)(self.ledger.recorder)

    def doing(self, *drafts: Draft) -> Act:
        def act(recorder: Recorder) -> None:
            with self.ledger.catalog.write() as writer:
                handle(writer, recorder, drafts)

        return act

    @property
    def checked(self) -> Act:
        """Both items' seals are checked by the officer."""
        data: dict[str, Json] = {"seals": ["A-1"], "check": "intact"}
        return self.doing(
            *(Draft(each, "seal_checked", data, {"officer": "A"}) for each in self.items)
        )

    def prepared(self, act: Act | None = None) -> tuple[Prepared, ToSign]:
        return prepare(self.ledger.recorder, self.key.hand, {"a": 1}, act or self.checked)

    def enters(
        self, kept: Prepared, challenge: bytes, record: dict[str, str] | None = None
    ) -> None:
        answer = record or self.key.record(challenge)
        enter(self.ledger.recorder, kept, challenge, answer, self.checked)

    def chain(self, ern: Ern) -> list[str]:
        with self.ledger.catalog.read() as reader:
            return [each.signed.event.act for each in reader.ledger.events(ern)]

    def problems(self) -> list[str]:
        found = audit(self.ledger.catalog, self.ledger.tiles)
        return [each.problem for each in found if each.problem is not None]


@pytest.fixture
def officer(catalog: SqlCatalog) -> Officer:
    return Officer(catalog)


def test_an_act_is_entered_as_it_was_signed(officer: Officer) -> None:
    kept, made = officer.prepared()
    officer.enters(Prepared.parse(kept.encode()), made.challenge)
    with officer.ledger.catalog.read() as reader:
        for ern, shown in zip(officer.items, made.events, strict=True):
            signed = [each.signed for each in reader.ledger.events(ern)][-1]
            assert check_by_hand(signed)
            assert signed.disclosed()["officer"] == "A"
            assert signed.event.at == shown.event.at
            assert set(shown.event.sd) < set(signed.event.sd)
    assert officer.problems() == []


def test_preparing_enters_nothing(officer: Officer) -> None:
    officer.prepared()
    assert [officer.chain(each) for each in officer.items] == [["registered"], ["registered"]]


def test_what_is_refused_now_is_not_prepared(officer: Officer) -> None:
    impossible = officer.doing(Draft(officer.items[0], "received", {"condition": "ok"}))
    with pytest.raises(CustodyError):
        officer.prepared(impossible)


def test_a_chain_that_moved_refuses_the_whole_act(officer: Officer) -> None:
    kept, made = officer.prepared()
    officer.entered(Draft(officer.items[1], "verified_match"))
    with pytest.raises(ConflictError):
        officer.enters(kept, made.challenge)
    assert [officer.chain(each)[1:] for each in officer.items] == [[], ["verified_match"]]


def test_it_is_entered_once(officer: Officer) -> None:
    kept, made = officer.prepared()
    officer.enters(kept, made.challenge)
    with pytest.raises(ConflictError):
        officer.enters(kept, made.challenge)


@pytest.mark.parametrize(
    "altered",
    [
        lambda kept: replace(kept, seed=bytes(32)),
        lambda kept: replace(kept, at=kept.at + timedelta(microseconds=1)),
        lambda kept: replace(kept, hand=replace(kept.hand, origin="https://evil.example")),
        lambda kept: replace(kept, hand=replace(kept.hand, passkey=bytes(32))),
    ],
    ids=["seed", "time", "origin", "passkey"],
)
def test_what_was_kept_cannot_be_altered(
    officer: Officer, altered: Callable[[Prepared], Prepared]
) -> None:
    kept, made = officer.prepared()
    with pytest.raises(ConflictError):
        officer.enters(altered(kept), made.challenge)


def test_another_act_than_was_signed_is_refused(officer: Officer) -> None:
    kept, made = officer.prepared()
    other = officer.doing(*(Draft(each, "verified_match") for each in officer.items))
    with pytest.raises(ConflictError):
        enter(
            officer.ledger.recorder, kept, made.challenge, officer.key.record(made.challenge), other
        )


def test_an_answer_that_does_not_hold_enters_nothing(officer: Officer) -> None:
    kept, made = officer.prepared()
    other = SoftKey(SITE, RP_ID)
    for record in (officer.key.record(bytes(32)), other.record(made.challenge)):
        with pytest.raises(ProofError):
            officer.enters(kept, made.challenge, record)
    assert officer.chain(officer.items[0]) == ["registered"]


def test_an_act_that_begins_a_chain_or_does_two_things_is_not_signed_by_hand(
    officer: Officer,
) -> None:
    begun = officer.doing(Draft(officer.ledger.item(), "registered", REGISTERED))
    twice = officer.doing(*[Draft(officer.items[0], "verified_match")] * 2)
    for act in (begun, twice, lambda _: None):
        with pytest.raises(OutOfOrderError):
            officer.prepared(act)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"seed": "zz"}'])
def test_what_is_no_prepared_act_is_not_read_as_one(content: str) -> None:
    with pytest.raises(FixityError):
        Prepared.parse(content)


def test_an_answer_that_was_taken_out_is_missed(officer: Officer) -> None:
    kept, made = officer.prepared()
    officer.enters(kept, made.challenge)
    assert officer.problems() == []
    with officer.ledger.catalog.read() as reader:
        (*_, last) = reader.ledger.events(officer.items[0])
    shown = "\n".join(last.signed.with_disclosures(["officer"]).disclosures)
    engine = create_engine(officer.ledger.catalog.engine.url)  # of whoever owns the database
    with engine.begin() as connection:
        guard = ("_no_update", "") if engine.name == "sqlite" else ("_append_only", " ON event")
        connection.execute(text(f"DROP TRIGGER event{guard[0]}{guard[1]}"))
        connection.execute(
            text("UPDATE event SET disclosures = :shown WHERE commitment = :commitment"),
            {"shown": shown, "commitment": last.signed.commitment},
        )
    engine.dispose()
    assert len(officer.problems()) == 2  # the answer, and a disclosure fewer than was signed
