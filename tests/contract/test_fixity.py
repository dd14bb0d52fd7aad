"""The fixity cycle on every database and both kinds of store: all is read again, and nothing missed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from evidence_store.accessing import Question, considered
from evidence_store.audit import audit
from evidence_store.errors import StoreUnavailableError
from evidence_store.fixity import Cycle, lines_digest, standing
from evidence_store.handling import history_of
from evidence_store.identifiers import DossierKind, Ern, ObjectName
from evidence_store.ports import ObjectStore
from evidence_store.sharing.decision import Deny
from evidence_store.sharing.terms import Action
from evidence_store.vault import Vault
from storage.catalog import SqlCatalog
from storage.ledger.files import TileMemory
from storage.objects.filesystem import FilesystemObjectStore
from storage.objects.memory import MemoryObjectStore
from tests.cooperation import World
from tests.ledgers import Ledger
from tests.vaults import Chance, TestKeyring

PERIOD = timedelta(days=90)
GIBIBYTE = 2**30


@dataclass
class Cycling:
    """A world, its object store, and ways to harm what is in it."""

    world: World[Ledger]
    store: ObjectStore
    root: Path
    turn_bytes: int = GIBIBYTE

    @property
    def cycle(self) -> Cycle:
        ledger = self.world.ledger
        return Cycle(
            ledger.catalog,
            self.world.vault,
            ledger.tiles,
            lambda: ledger.recorder,
            PERIOD,
            self.turn_bytes,
        )

    def turn(self, *, failed_again: bool = False) -> tuple[int, int]:
        found = self.cycle.turn(self.world.ledger.clock.now, failed_again=failed_again)
        return found.objects, found.failed

    def object_of(self, ern: Ern) -> ObjectName:
        with self.world.catalog.read() as reader:
            return reader.versions(ern)[0].object_name

    def change(self, ern: Ern, harm: Callable[[bytes], bytes | None]) -> None:
        name = self.object_of(ern)
        if isinstance(self.store, MemoryObjectStore):
            changed = harm(self.store.objects.pop(name))
            if changed is not None:
                self.store.objects[name] = changed
            return
        (file,) = (
            each for each in self.root.rglob("*") if each.is_file() and name.value in each.name
        )
        content = file.read_bytes()
        file.chmod(0o600)
        changed = harm(content)
        if changed is None:
            file.unlink()
        else:
            file.write_bytes(changed)

    def acts(self, ern: Ern) -> list[str]:
        with self.world.catalog.read() as reader:
            return [row.act.type.value for row in history_of(reader.ledger, ern).rows]

    def status(self) -> tuple[int, bool]:
        with self.world.catalog.read() as reader:
            found = standing(reader, PERIOD, self.world.ledger.clock.now())
        return len(found.failed), found.late


@pytest.fixture(params=["memory", "filesystem"])
def cycling(catalog: SqlCatalog, tmp_path: Path, request: pytest.FixtureRequest) -> Cycling:
    root = tmp_path / "objects"
    store: ObjectStore = MemoryObjectStore()
    if request.param == "filesystem":
        FilesystemObjectStore.create(root)
        store = FilesystemObjectStore(root)
    chance = Chance()
    world = World(Ledger(catalog, TileMemory()), vault=Vault(store, TestKeyring(chance), chance))
    return Cycling(world, store, root)


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def test_a_byte_that_flipped_at_rest_is_found_told_once_and_shown_until_it_is_mended(
    cycling: Cycling,
) -> None:
    sound, harmed = cycling.world.item(b"sound"), cycling.world.item(b"harmed")
    cycling.change(harmed, flipped)
    assert cycling.turn() == (0, 0)  # measured lately: not due yet
    cycling.world.go_on(days=46)
    assert cycling.turn() == (2, 1)
    assert cycling.acts(harmed)[-1] == "verified_mismatch"
    assert "verified_mismatch" not in cycling.acts(sound)
    assert cycling.status() == (1, False)
    cycling.world.go_on(days=2)
    assert cycling.turn() == (1, 1)  # read again, and not told again
    assert cycling.acts(harmed).count("verified_mismatch") == 1
    cycling.change(harmed, flipped)
    assert cycling.turn(failed_again=True) == (1, 0)
    assert cycling.acts(harmed)[-1] == "verified_match"
    assert cycling.status() == (0, False)


def test_an_object_that_is_gone_is_not_verifiable(cycling: Cycling) -> None:
    gone = cycling.world.item(b"gone")
    cycling.change(gone, lambda _: None)
    cycling.world.go_on(days=46)
    assert cycling.turn() == (1, 1)
    assert cycling.acts(gone)[-1] == "not_verifiable"
    assert cycling.status() == (1, False)


def test_what_failed_closes_the_gate_of_every_grant_and_a_match_opens_it(cycling: Cycling) -> None:
    world = cycling.world
    ern = world.item(b"shared")
    grant = world.grant(world.document(ern, valid_until="2036-01-01Z", mode="download_copy"))
    question = Question(ern, 1, Action.VIEW, "prosecution", grant)

    def closed() -> tuple[str, ...]:
        with world.catalog.read() as reader:
            found = considered(reader, world.desk("b-prosecutor"), world.policy, question)
        return found.closed if isinstance(found, Deny) else ()

    assert closed() == ()
    world.go_on(days=3 * 365)
    assert closed() == ("integrity-not-verified-lately",)
    cycling.turn()
    assert closed() == ()
    cycling.change(ern, flipped)
    world.go_on(days=46)
    cycling.turn()
    assert closed() == ("integrity-not-verified-lately",)


def test_the_period_is_kept_with_many_versions_and_a_small_budget(cycling: Cycling) -> None:
    erns = [cycling.world.item(f"version {number}".encode()) for number in range(40)]
    cycling.turn_bytes = 200  # four of them in a turn
    seen: dict[ObjectName, datetime] = {}
    for _ in range(130):  # a turn a day
        cycling.world.go_on(days=1)
        objects, failed = cycling.turn()
        assert failed == 0
        assert objects <= 5
        assert not cycling.status()[1]
    with cycling.world.catalog.read() as reader:
        for ern in erns:
            name = reader.versions(ern)[0].object_name
            found = reader.fixity.measured(name)
            assert found is not None
            assert found.turn is not None
            seen[name] = found.measured_at
    now = cycling.world.ledger.clock.now()
    assert now - min(seen.values()) <= PERIOD


def test_a_cycle_that_does_not_run_shows_as_late(cycling: Cycling) -> None:
    cycling.world.item(b"forgotten")
    cycling.turn()
    cycling.world.go_on(days=91)
    assert cycling.status() == (0, True)


def test_a_turn_is_one_event_whatever_it_read_and_commits_to_what_it_found(
    cycling: Cycling,
) -> None:
    for number in range(5):
        cycling.world.item(f"version {number}".encode())
    cycling.world.go_on(days=46)
    with cycling.world.catalog.read() as reader:
        before = reader.ledger.size()
    assert cycling.turn() == (5, 0)
    with cycling.world.catalog.read() as reader:
        assert reader.ledger.size() == before + 1
        (turn,) = reader.dossiers.dossiers(DossierKind.FIXITY).entries
        (event,) = reader.ledger.events(turn.id)
        rows = reader.fixity.due(cycling.world.ledger.clock.now(), limit=10)
    assert event.signed.event.data["objects"] == 5
    assert event.signed.event.data["found"] == lines_digest(rows)
    assert {row.turn for row in rows} == {turn.id}
    cycling.world.ledger.sequencer.run()
    findings = audit(cycling.world.catalog, cycling.world.ledger.tiles)
    assert [each.problem for each in findings if each.problem is not None] == []


def test_a_store_that_is_away_is_no_failure_and_what_was_read_is_kept(
    cycling: Cycling, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = cycling.world.item(b"first"), cycling.world.item(b"second")
    cycling.turn()
    cycling.world.go_on(days=46)
    with cycling.world.catalog.read() as reader:
        order = [each.name for each in reader.fixity.due(cycling.world.ledger.clock.now(), limit=9)]
    whole = type(cycling.store).stat

    def away(store: ObjectStore, name: ObjectName) -> object:
        if name == order[1]:
            raise StoreUnavailableError("away")
        return whole(store, name)

    with monkeypatch.context() as patch:
        patch.setattr(type(cycling.store), "stat", away)
        with pytest.raises(StoreUnavailableError):
            cycling.turn()
    assert cycling.status() == (0, False)
    assert {"verified_mismatch", "not_verifiable"}.isdisjoint(
        cycling.acts(first) + cycling.acts(second)
    )
    assert cycling.turn() == (1, 0)  # the other one; the first is not read again
