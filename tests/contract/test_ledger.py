"""The ledger's part of the catalog, the log's files and the sequencer, on every adapter."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from evidence_store.audit import audit
from evidence_store.authorities import acting_key, appoint, follow, revoke
from evidence_store.errors import (
    ConflictError,
    EvidenceError,
    KeyUnavailableError,
    LedgerAlteredError,
    NotFoundError,
    ProofError,
)
from evidence_store.identifiers import AuthorityId, Ern
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.control import KINDS, ControlEntry
from evidence_store.ledger.event import leaf
from evidence_store.ledger.merkle import verify_consistency
from evidence_store.ledger.note import Note
from evidence_store.ledger.tiles import TileTree
from evidence_store.ledger_port import Head, NewEvent, TileStore
from evidence_store.sequencing import Sequencer, proof_of
from storage.catalog import SqlCatalog
from storage.ledger.bucket import TileBucket
from storage.ledger.files import TileFolder, TileMemory
from tests.ledgers import Ledger
from tests.seaweedfs import SeaweedServer


@pytest.fixture(params=["memory", "folder"])
def tiles(request: pytest.FixtureRequest, tmp_path: Path) -> TileStore:
    return TileMemory() if request.param == "memory" else TileFolder(tmp_path / "ledger")


@pytest.fixture(params=["memory", "folder", pytest.param("s3", marks=pytest.mark.s3)])
def any_tiles(request: pytest.FixtureRequest, tmp_path: Path) -> TileStore:
    """The log's files on every adapter, without a log around them."""
    if request.param != "s3":
        return TileMemory() if request.param == "memory" else TileFolder(tmp_path / "ledger")
    server: SeaweedServer = request.getfixturevalue("s3_server")
    bucket: str = request.getfixturevalue("s3_bucket_name")
    client = server.client()
    client.make_bucket(bucket, object_lock=True)
    return TileBucket(client, bucket)


@pytest.fixture
def ledger(catalog: SqlCatalog, tiles: TileStore) -> Ledger:
    return Ledger(catalog, tiles)


@pytest.fixture
def grown(ledger: Ledger) -> Ledger:
    """A ledger with an item whose three acts are sealed one after another."""
    ern = ledger.item()
    for _ in range(3):
        ledger.act(ern)
        ledger.sequencer.run()
    return ledger


ITEM = Ern.parse("SI-2026-000001")


# ------------------------------------------------------------------------- files


def test_a_file_of_the_log_is_written_once(any_tiles: TileStore) -> None:
    tiles = any_tiles
    tiles.write({"tile/0/000": b"a", "tile/x001/000": b"b"})
    tiles.write({"tile/0/000": b"a"})
    assert tiles.read("tile/0/000") == b"a"
    with pytest.raises(LedgerAlteredError):
        tiles.write({"tile/0/000": b"other"})
    with pytest.raises(NotFoundError):
        tiles.read("tile/0/001")


def test_the_checkpoint_is_replaced(any_tiles: TileStore) -> None:
    tiles = any_tiles
    assert tiles.checkpoint() is None
    tiles.publish(b"first")
    tiles.publish(b"second")
    assert tiles.checkpoint() == b"second"


# ------------------------------------------------------------------------ events


def test_an_act_is_chained_signed_and_has_a_place_in_the_log(grown: Ledger) -> None:
    with grown.catalog.read() as reader:
        events = reader.ledger.events(ITEM)
        link = reader.ledger.links([ITEM])[ITEM]
        public = grown.keys.public(events[0].signed.event.by)
        assert [each.index for each in events] == [2, 3, 4]  # behind genesis and the first key
        assert link.seq == 3
        for recorded in events:
            recorded.signed.verify_signature(public)
            assert recorded.signed.disclosed() == {"place": "Brod"}
            assert recorded.index is not None
            proof = proof_of(reader.ledger, grown.tiles, recorded.index)
            assert proof is not None
            entry = leaf(link.item_key, recorded.seq, recorded.signed.commitment)
            sealed = proof.verify(entry, grown.policy)
            assert sealed.checkpoint.size == recorded.index + 1  # the first that holds it
            with pytest.raises(ProofError):
                proof.verify(entry[:-1] + bytes([entry[-1] ^ 1]), grown.policy)


def test_an_event_is_not_older_than_its_anchor(grown: Ledger) -> None:
    with grown.catalog.read() as reader:
        anchors = [each.signed.event.anchor for each in reader.ledger.events(ITEM)]
        heads = {head.size: head.root for head in reader.ledger.heads(after=-1)}
    assert anchors[0] is None
    for anchor in anchors[1:]:
        assert anchor is not None
        assert heads[anchor.size] == anchor.root


def test_several_acts_on_one_item_in_one_transaction_follow_each_other(ledger: Ledger) -> None:
    ern = ledger.item()
    first, second = ledger.act(ern, ern)
    assert (first.event.seq, first.event.prev) == (1, None)
    assert (second.event.seq, second.event.prev) == (2, first.commitment)


def test_a_chain_is_not_continued_twice_from_one_place(grown: Ledger) -> None:
    with grown.catalog.read() as reader:
        link = reader.ledger.links([ITEM])[ITEM]
    (signed,) = grown.act(ITEM)
    event = signed.event
    stale = NewEvent(ITEM, link, event.act, event.by, event.at, signed)
    with pytest.raises(ConflictError), grown.catalog.write() as writer:
        writer.ledger.add_events([stale])
    assert [finding.problem for finding in audit(grown.catalog, grown.tiles)] == [None]


def test_an_act_that_fails_takes_no_place(ledger: Ledger) -> None:
    ern = ledger.item()
    ledger.act(ern)
    ledger.keys.lost.add(ledger.recorder.by)
    with pytest.raises(KeyUnavailableError):
        ledger.act(ern)
    ledger.keys.lost.clear()
    ledger.act(ern)
    ledger.sequencer.run()
    with ledger.catalog.read() as reader:
        assert [each.index for each in reader.ledger.events(ern)] == [2, 3]


# -------------------------------------------------------------------------- keys


def test_the_log_registers_its_keys_in_clear_and_signed_by_the_root(ledger: Ledger) -> None:
    lab = appoint(
        ledger.catalog, ledger.keys, ledger.clock, "Laboratory", AuthorityId("laboratory")
    )
    second = follow(ledger.catalog, ledger.keys, lab.id)
    with ledger.catalog.read() as reader:
        entries = [
            ControlEntry.parse(each.entry)
            for kind in KINDS
            for each in reader.ledger.controls(kind)
        ]
        assert acting_key(reader.ledger, lab.id) == second
    assert [each.kind for each in entries] == ["genesis", "key", "key", "key"]
    for each in entries:
        each.verify(ledger.log.root, ledger.log.root_public)
    last = entries[-1]
    assert last.kid == second
    for kid in last.signatures:  # root, itself and the key it follows
        last.verify(kid, ledger.keys.public(kid))
    assert len(last.signatures) == 3
    with pytest.raises(ProofError):
        last.verify(ledger.log.root, ledger.keys.public(second))


def test_a_revoked_key_acts_no_more_until_another_follows(ledger: Ledger) -> None:
    with ledger.catalog.read() as reader:
        kid = acting_key(reader.ledger, ledger.authority)
    revoke(ledger.catalog, ledger.keys, kid, "lost")
    with ledger.catalog.read() as reader, pytest.raises(KeyUnavailableError):
        acting_key(reader.ledger, ledger.authority)
    with pytest.raises(ConflictError):
        revoke(ledger.catalog, ledger.keys, kid, "lost again")
    with pytest.raises(ConflictError):
        revoke(ledger.catalog, ledger.keys, ledger.log.root, "no")
    assert follow(ledger.catalog, ledger.keys, ledger.authority).serial == 2


def test_an_authority_has_one_identifier_and_one_name(ledger: Ledger) -> None:
    args = (ledger.catalog, ledger.keys, ledger.clock)
    appoint(*args, "Laboratory", AuthorityId("laboratory"))
    with pytest.raises(ConflictError):
        appoint(*args, "Another", AuthorityId("laboratory"))
    with pytest.raises(ConflictError):
        appoint(*args, "Laboratory", AuthorityId("another"))
    with pytest.raises(ConflictError):
        appoint(*args, "Root", AuthorityId("root"))


# --------------------------------------------------------------------- sequencer


def test_a_log_without_news_is_not_signed_again(grown: Ledger) -> None:
    before = grown.tiles.checkpoint()
    grown.sequencer.run()
    assert grown.tiles.checkpoint() == before


def test_every_state_is_consistent_with_every_other(ledger: Ledger) -> None:
    erns = [ledger.item() for _ in range(40)]
    for count in (1, 40, 7, 40, 40, 40, 40, 39, 40, 1):
        ledger.act(*erns[:count])
        ledger.sequencer.run()
    with ledger.catalog.read() as reader:
        heads = reader.ledger.heads(after=-1)
    assert heads[-1].size > 256
    tree = TileTree(ledger.tiles.read, heads[-1].size)
    for one in heads:
        for other in heads:
            if one.size <= other.size:
                proof = tree.consistency(one.size, other.size)
                verify_consistency(one.size, other.size, one.root, other.root, proof)
    assert [finding.problem for finding in audit(ledger.catalog, ledger.tiles)] == [None]


def test_two_sequencers_at_once_make_one_log(ledger: Ledger) -> None:
    erns = [ledger.item() for _ in range(5)]
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                ledger.act(*erns)
                ledger.sequencer.run()
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.sequencer.run()
    assert errors == []
    assert [finding.problem for finding in audit(ledger.catalog, ledger.tiles)] == [None]
    with ledger.catalog.read() as reader:
        head = reader.ledger.sealed_head()
    assert head is not None
    assert head.size == 2 + 75


class Crash(BaseException):
    """The process is gone."""


STEPS = ["tiles.write", "add_head", "sign_head", "tiles.publish"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_step_is_gone_on_from(
    grown: Ledger, step: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage.catalog.ledger_writer import SqlLedgerWriter  # noqa: PLC0415

    owner: object = grown.tiles if step.startswith("tiles.") else SqlLedgerWriter
    name = step.removeprefix("tiles.")
    real = getattr(owner, name)

    def crashing(*args: object, **kwargs: object) -> object:
        if when == "after":
            real(*args, **kwargs)
        raise Crash

    grown.act(ITEM)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, crashing)
        with pytest.raises(Crash):
            grown.sequencer.run()
    grown.act(ITEM)
    grown.sequencer.run()
    assert [finding.problem for finding in audit(grown.catalog, grown.tiles)] == [None]
    with grown.catalog.read() as reader:
        head = reader.ledger.head()
    published = grown.tiles.checkpoint()
    assert head is not None
    assert published is not None
    assert Checkpoint.of(Note.parse(published)).size == head.size == 2 + 5


# ------------------------------------------------------------------------ sabotage


@contextmanager
def owner(ledger: Ledger) -> Iterator[Connection]:
    """A connection of somebody who owns the database."""
    engine = create_engine(ledger.catalog.engine.url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def tamper(ledger: Ledger, *statements: str) -> None:
    """What somebody who owns the database can do."""
    with owner(ledger) as connection:
        if ledger.catalog.engine.dialect.name == "sqlite":
            for table in ("event", "leaf", "control"):
                for verb in ("update", "delete"):
                    connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_{verb}"))
        else:
            for table in ("event", "leaf", "control"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}"))
        for statement in statements:
            connection.execute(text(statement))


def hex_literal(ledger: Ledger, value: bytes) -> str:
    sqlite = ledger.catalog.engine.dialect.name == "sqlite"
    return f"x'{value.hex()}'" if sqlite else f"'\\x{value.hex()}'"


def problems(ledger: Ledger) -> list[str]:
    return [each.problem for each in audit(ledger.catalog, ledger.tiles) if each.problem]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET act = 'x' WHERE seq = 1",
        "DELETE FROM event WHERE seq = 1",
        "UPDATE leaf SET place = 99 WHERE place = 1",
        "DELETE FROM leaf WHERE place = 1",
        "DELETE FROM control",
    ],
)
def test_the_database_itself_refuses_to_change_the_past(grown: Ledger, statement: str) -> None:
    with pytest.raises(Exception, match="append-only"), owner(grown) as connection:
        connection.execute(text(statement))


def test_a_changed_leaf_is_found_and_nothing_is_signed_over_it(grown: Ledger) -> None:
    other = hex_literal(grown, b"\x01" + bytes(64))
    tamper(grown, f"UPDATE leaf SET entry = {other} WHERE place = 3")
    assert problems(grown)
    grown.act(ITEM)
    before = grown.tiles.checkpoint()
    with pytest.raises(LedgerAlteredError):
        grown.sequencer.run()
    assert grown.tiles.checkpoint() == before


@pytest.mark.parametrize("column", ["body", "signature"])
def test_a_changed_field_of_an_event_is_found(grown: Ledger, column: str) -> None:
    with grown.catalog.read() as reader:
        signed = reader.ledger.events(ITEM)[1].signed
    value = getattr(signed, column)
    changed = value.replace(b"sealed", b"moved!") if column == "body" else value[:-1] + b"\0"
    assert changed != value
    tamper(grown, f"UPDATE event SET {column} = {hex_literal(grown, changed)} WHERE seq = 2")
    assert problems(grown)


def test_a_changed_disclosure_is_found(grown: Ledger) -> None:
    (signed,) = grown.act(ITEM, place="elsewhere")
    tamper(grown, f"UPDATE event SET disclosures = '{signed.disclosures[0]}' WHERE seq = 2")
    assert problems(grown)


def test_an_event_that_was_taken_away_is_found(grown: Ledger) -> None:
    tamper(grown, "DELETE FROM event WHERE seq = 2")
    assert problems(grown)


def test_the_last_events_taken_away_with_their_leaves_are_found(grown: Ledger) -> None:
    tamper(
        grown,
        "DELETE FROM event WHERE seq > 1",
        "DELETE FROM leaf WHERE place > 2",
        "DELETE FROM head WHERE size > 3",
        "UPDATE chain SET seq = 1",
    )
    with pytest.raises(EvidenceError):
        grown.sequencer.run()


def test_a_database_from_yesterday_is_refused(grown: Ledger) -> None:
    with grown.catalog.read() as reader:
        first = reader.ledger.heads(after=-1)[0]
    tamper(
        grown,
        f"DELETE FROM head WHERE size > {first.size}",
        f"DELETE FROM leaf WHERE place >= {first.size}",
    )
    with pytest.raises(LedgerAlteredError):
        grown.sequencer.run()


def test_a_changed_tile_is_found_and_nothing_is_signed_over_it(grown: Ledger) -> None:
    real = grown.tiles.read

    class Altered:
        def read(self, path: str) -> bytes:
            content = real(path)
            return (
                content[:-1] + bytes([content[-1] ^ 1]) if path.startswith("tile/0/") else content
            )

        write = grown.tiles.write
        checkpoint = grown.tiles.checkpoint
        publish = grown.tiles.publish

    grown.act(ITEM)
    altered = Altered()
    sequencer = Sequencer(
        grown.catalog, altered, grown.origin, grown.signers, grown.policy, grown.clock
    )
    with pytest.raises(LedgerAlteredError):
        sequencer.run()
    assert [each for each in audit(grown.catalog, altered) if each.problem]


def test_a_checkpoint_of_another_log_in_the_place_of_ours_is_refused(grown: Ledger) -> None:
    other = Checkpoint("other.invalid/log", 5, bytes(32))
    signer = grown.keys.log_signers("other.invalid/log")[0]
    grown.tiles.publish(Note(other.text, (signer.sign(other, 1),)).encode())
    with pytest.raises(LedgerAlteredError):
        grown.sequencer.run()


def test_no_size_ever_gets_a_second_root(grown: Ledger) -> None:
    with grown.catalog.read() as reader:
        head = reader.ledger.head()
    assert head is not None
    with pytest.raises(ConflictError), grown.catalog.write() as writer:
        writer.ledger.add_head(Head(head.size, bytes(32), head.made_at))
