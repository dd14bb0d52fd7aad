"""What background work keeps, on every database, each look-up by an index."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from evidence_store.background import Deadline, Notice, Outgoing, Webhook
from evidence_store.doors import Token, Upload, UploadBounds, UploadState
from evidence_store.errors import ConflictError, RateError
from evidence_store.identifiers import AuthorityId, PersonCode, Role
from storage.catalog import SqlCatalog
from storage.catalog.doors import SqlDoorStore
from storage.catalog.work import SqlWorkStore
from storage.ledger.files import TileMemory
from tests.catalogs import NOW
from tests.ledgers import Ledger

OFFICER = PersonCode(Role.OFFICER, 3)
ANY = UploadBounds(1000, 2**40, 2**20)
OWN, OTHER = AuthorityId("prosecutor"), AuthorityId("laboratory")
HOOK = Webhook("a" * 16, OWN, OFFICER, "https://x.example/", frozenset({"b", "a"}), b"s", b"h", NOW)


@pytest.fixture
def work(catalog: SqlCatalog) -> SqlWorkStore:
    return SqlWorkStore(catalog.engine)


@pytest.fixture
def doors(catalog: SqlCatalog) -> SqlDoorStore:
    return SqlDoorStore(catalog.engine)


def upload(upload_id: str, state: UploadState = UploadState.OPEN) -> Upload:
    return Upload(upload_id, OFFICER, 1, 0, 1, state, {}, (), b"h", NOW, NOW + timedelta(days=7))


def ids(found: Sequence[Outgoing]) -> list[str]:
    return [each.id for each in found]


def test_what_is_over_is_let_go_of_and_all_else_stays(
    work: SqlWorkStore, doors: SqlDoorStore
) -> None:
    for days in (-40, -1, 1):
        name = f"{days}".encode()
        end = NOW + timedelta(days=days)
        doors.add_token(
            Token(name.hex(), name, OFFICER, "t", frozenset({"read"}), end - timedelta(1), end)
        )
    assert (
        doors.begin_answer(OFFICER, "old", b"f", NOW - timedelta(days=3), NOW - timedelta(days=9))
        is None
    )
    assert (
        doors.begin_answer(OFFICER, "new", b"f", NOW - timedelta(days=1), NOW - timedelta(days=9))
        is None
    )
    work.clean(NOW)
    work.clean(NOW)
    assert {each.id for each in doors.tokens(OFFICER)} == {b"-1".hex(), b"1".hex()}
    assert (
        doors.begin_answer(OFFICER, "new", b"f", NOW, NOW - timedelta(days=9)) is not None
    )  # still claimed
    assert doors.begin_answer(OFFICER, "old", b"f", NOW, NOW - timedelta(days=9)) is None


def test_leases_say_who_works_and_when_it_was_last_done(
    work: SqlWorkStore, doors: SqlDoorStore
) -> None:
    doors.lease("fixity", "a", NOW, NOW + timedelta(minutes=1))
    doors.lease("expiry", "b", NOW, NOW + timedelta(minutes=1))
    doors.release("expiry", "b", NOW)
    expiry, fixity = work.leases()
    assert (expiry.name, expiry.until, expiry.done_at) == ("expiry", NOW, NOW)
    assert (fixity.holder, fixity.done_at) == ("a", None)


def test_a_position_is_kept(work: SqlWorkStore) -> None:
    assert work.position("x") is None
    work.set_position("x", 2**40)
    work.set_position("x", 2**41)
    assert work.position("x") == 2**41


def test_uploads_under_way_are_counted_up_to_so_many(
    work: SqlWorkStore, doors: SqlDoorStore
) -> None:
    for number in range(3):
        doors.add_upload(upload(f"{number:032x}"), ANY)
    doors.add_upload(upload("f" * 32, UploadState.DONE), ANY)
    assert work.open_uploads(most=10) == 3
    assert work.open_uploads(most=2) == 2


def test_events_come_by_their_place_and_control_entries_are_left_out(
    catalog: SqlCatalog, work: SqlWorkStore
) -> None:
    ledger = Ledger(catalog, TileMemory())
    erns = [ledger.item() for _ in range(3)]
    ledger.act(*erns)
    found = work.happened(-1, limit=100)
    assert [each.subject for each in found] == erns
    assert [each.place for each in found] == sorted(each.place for each in found)
    assert {each.act for each in found} == {"sealed"}
    assert found[0].data == {"seals": ["A-1"]}
    assert [each.subject for each in work.happened(found[0].place, limit=1)] == erns[1:2]


def test_the_end_of_an_upload_is_a_notice_in_the_same_transaction(
    work: SqlWorkStore, doors: SqlDoorStore
) -> None:
    name = "0" * 32
    doors.add_upload(upload(name, UploadState.WHOLE), ANY)
    for _ in range(2):  # the second finds it done
        doors.end_upload(name, before=UploadState.WHOLE, after=UploadState.DONE, outcome="{}")
    (told,) = work.notices(0, limit=10)
    assert (told.type, told.subject, told.officer) == ("upload.finished", name, OFFICER)
    work.add_notice(Notice(0, "grant.expired", "SI-GRT-000001", NOW, authorities=(OWN, OTHER)))
    (second,) = work.notices(told.number, limit=10)
    assert second.authorities == (OWN, OTHER)


def test_messages_deadlines_and_the_position_are_entered_at_once_and_once(
    work: SqlWorkStore,
) -> None:
    first = Outgoing("msg_1", HOOK.id, "{}", NOW, NOW)
    deadline = Deadline("SI-TRF-000001", "offer", NOW)
    work.tell("p", 1, [first], [deadline])
    second = replace(first, id="msg_2", due_at=NOW - timedelta(1))
    work.tell("p", 2, [first, second], [replace(deadline, at=NOW + timedelta(days=1))])
    assert ids(work.due(NOW, limit=10)) == ["msg_2", "msg_1"]
    assert work.position("p") == 2
    assert work.over(NOW, limit=10) == []
    (over,) = work.over(NOW + timedelta(days=2), limit=10)
    work.forget(over)
    assert work.over(NOW + timedelta(days=2), limit=10) == []


def test_a_message_waits_until_it_is_due_and_goes_when_it_is_acknowledged(
    work: SqlWorkStore,
) -> None:
    work.tell("p", 1, [Outgoing("msg_1", HOOK.id, "{}", NOW, NOW)])
    work.postpone("msg_1", 3, NOW + timedelta(hours=1))
    assert work.due(NOW, limit=10) == []
    (found,) = work.due(NOW + timedelta(hours=1), limit=10)
    assert found.attempts == 3
    work.delivered("msg_1")
    assert work.due(NOW + timedelta(hours=1), limit=10) == []


def test_a_subscription_is_kept_bounded_disabled_and_ended(work: SqlWorkStore) -> None:
    assert work.add_webhook(HOOK, most=1)
    assert not work.add_webhook(replace(HOOK, id="b" * 16), most=1)
    with pytest.raises(ConflictError):
        work.add_webhook(HOOK, most=5)
    assert work.webhooks(OWN) == [HOOK]
    assert work.webhooks(OTHER) == []
    work.tell("p", 1, [Outgoing("msg_1", HOOK.id, "{}", NOW, NOW)])
    assert work.pending(HOOK.id, most=10) == 1
    work.disable_webhook(HOOK.id, NOW, "silent")
    assert work.webhook(HOOK.id) == replace(HOOK, disabled_at=NOW, reason="silent")
    assert work.pending(HOOK.id, most=10) == 0
    assert not work.end_webhook(OTHER, HOOK.id)
    assert work.end_webhook(OWN, HOOK.id)
    assert work.webhook(HOOK.id) is None


def test_a_claim_that_ran_out_is_anothers_and_what_was_done_under_it_is_known(
    catalog: SqlCatalog, doors: SqlDoorStore
) -> None:
    later, over = NOW + timedelta(minutes=1), NOW + timedelta(seconds=30)
    assert doors.begin_answer(OFFICER, "k", b"f", NOW, NOW) is None
    assert doors.begin_answer(OFFICER, "k", b"f", NOW, NOW) is not None  # held
    assert doors.begin_answer(OFFICER, "k", b"other", later, over) is not None  # another request
    assert doors.begin_answer(OFFICER, "k", b"f", later, over) is None
    with (
        pytest.raises(ConflictError),
        doors.acting(OFFICER, "k", NOW),
        catalog.write() as writer,
    ):
        writer.next_person(Role.OFFICER)  # whose claim ran out does nothing any more
    doors.drop_answer(OFFICER, "k", NOW)
    with doors.acting(OFFICER, "k", later), catalog.write() as writer:
        assert writer.next_person(Role.OFFICER).serial == 1
    doors.drop_answer(OFFICER, "k", later)  # something was done: it is not forgotten
    much_later = NOW + timedelta(days=1)
    found = doors.begin_answer(OFFICER, "k", b"f", much_later, much_later)
    assert found is not None
    assert (found.status, found.is_done) == (None, True)


def test_what_an_upload_is_made_of_is_joined_with_it_or_not_at_all(doors: SqlDoorStore) -> None:
    bounds = UploadBounds(3, 100, 50)
    whole = replace(upload("a" * 32, UploadState.PARTIAL), offset=1)
    doors.add_upload(whole, bounds)
    doors.add_upload(replace(whole, id="b" * 32, offset=0), bounds)  # not whole
    made = replace(upload("c" * 32), concatenated=("a" * 32, "b" * 32))
    with pytest.raises(ConflictError):
        doors.add_upload(made, bounds)
    found = doors.upload("a" * 32)
    assert found is not None
    assert found.state is UploadState.PARTIAL
    assert doors.upload("c" * 32) is None
    theirs = replace(made, concatenated=("a" * 32,), officer=PersonCode(Role.OFFICER, 4))
    with pytest.raises(ConflictError):
        doors.add_upload(theirs, bounds)
    doors.add_upload(replace(made, concatenated=("a" * 32,)), bounds)
    found = doors.upload("a" * 32)
    assert found is not None
    assert found.state is UploadState.JOINED
    assert doors.end_upload(
        "c" * 32, before=UploadState.OPEN, after=UploadState.ENDED, outcome=None
    )
    found = doors.upload("a" * 32)
    assert found is not None
    assert (found.state, found.header) == (UploadState.ENDED, b"")


def test_uploads_under_way_are_bounded_by_number_and_bytes(doors: SqlDoorStore) -> None:
    bounds = UploadBounds(2, 100, 50)
    doors.add_upload(replace(upload("a" * 32), length=None), bounds)  # may bring 50
    with pytest.raises(RateError):
        doors.add_upload(replace(upload("b" * 32), length=51), bounds)
    doors.add_upload(replace(upload("b" * 32), length=50), bounds)
    with pytest.raises(RateError):
        doors.add_upload(replace(upload("c" * 32), length=0), bounds)
    with pytest.raises(RateError):
        doors.set_length("a" * 32, 1, 51, bounds)
    assert doors.set_length("a" * 32, 1, 50, bounds)
