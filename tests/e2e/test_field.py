"""From the field: sealed offline, pushed over a bad line, compared on arrival with the seal."""

import base64
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api import cooperation, wiring
from api.cli.main import main
from api.push_state import PushState
from api.wiring import Instance
from evidence_store.cooperation.registry import Entry, FieldKeyEntry, Validity
from evidence_store.field_seal import FieldSeal, key_id, public_key
from evidence_store.identifiers import AuthorityId, Ern
from evidence_store.moment import Moment
from evidence_store.registering import approve, propose
from tests.cooperation import ALWAYS, BRAVO_CENTRAL
from tests.e2e.conftest import Ran
from tests.served import Served

SEAL, STATE = ".evidence-seal.json", ".evidence-push"
REGISTRARS = ("OFF-0001", "OFF-0002")


def enter(instance: Instance, entry: Entry) -> None:
    """Make an entry of the registry, by two officers."""
    first, second = (cooperation.desk(instance, each) for each in REGISTRARS)
    change = propose(instance.catalog, first.recorder, first.chains, first.officer, entry)
    approve(instance.catalog, second.recorder, second.chains, second.officer, change)


class Field:
    """A kit in the field, and the server that it sends to."""

    def __init__(self, tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.capture, self.key = capture, tmp_path / "kit.pem"
        self.server = Served(tmp_path / "home")
        self.token = tmp_path / "token"
        self.token.write_text(self.server.tokens["prosecutor"])
        made = self("seal", "--new-key", self.key).records[0]
        self.public = public_key(made["public"])
        self.folder = tmp_path / "field"
        (self.folder / "deep").mkdir(parents=True)
        (self.folder / "note.txt").write_text("seen from the window at ten\n")
        (self.folder / "deep" / "blob.bin").write_bytes(bytes(range(256)) * 40)
        (self.folder / os.fsdecode(b"\xff odd")).write_bytes(b"odd")

    def __call__(self, *arguments: str | Path, code: int = 0) -> Ran:
        self.capture.readouterr()
        found = main(["--json", *map(str, arguments)])
        said = self.capture.readouterr()
        assert found == code, said.err + said.out
        return Ran(found, said.out, said.err)

    def register(self, authority: AuthorityId | None = None, when: Validity = ALWAYS) -> None:
        with closing(wiring.open_instance(self.server.home, lambda: b"")) as instance:
            home = cooperation.desk(instance, REGISTRARS[0]).authority
            enter(instance, FieldKeyEntry(self.public, authority or home, "kit 7", when))

    def seal(self, *more: str | Path) -> FieldSeal:
        said = ("--who", "Insp. A. Novak", "--where", "Brod", "--how", "write-blocked")
        self("seal", self.folder, "--key", self.key, *said, "--device", "kit 7", *more)
        path = Path(more[1]) if more else self.folder / SEAL
        return FieldSeal.opened(path.read_bytes())

    def push(self, *more: str | Path, code: int = 0) -> dict[str, dict[str, Any]]:
        server = ("--to", self.server.address, "--case", self.server.case)
        ran = self("push", self.folder, *server, "--token-file", self.token, *more, code=code)
        return {each["path"]: each for each in ran.records}

    def told(self, ern: str) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
        """What the first event says openly, the claims, and what the acts were."""
        with closing(wiring.open_instance(self.server.home, lambda: b"")) as instance:
            parsed = Ern.parse(ern)
            with instance.catalog.read() as reader:
                events = list(reader.ledger.events(parsed))
                version = reader.versions(parsed)[0]
                sealed, claims = reader.sealed(version.object_name), reader.claims(parsed, 1)
            acts = [each.signed.event.act for each in events]
            opened = instance.vault.open_claims(sealed, claims)
            data = dict(events[0].signed.event.data)
        return data, [each.to_json() for each in opened], acts


@pytest.fixture
def field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Field]:
    found = Field(tmp_path, capsys)
    yield found
    if found.server.process is not None and found.server.process.poll() is None:
        found.server.kill()


@pytest.mark.slow
def test_what_was_sealed_in_the_field_says_so_in_its_event_and_its_claims(field: Field) -> None:
    field.register()
    seal = field.seal()
    field.server.start()
    rows = field.push()
    manifest = rows.pop(f"field/{SEAL}")
    assert manifest["status"] == "ingested"
    assert manifest["field_seal"] == {
        "manifest": manifest["sha256"],
        "key": seal.key,
        "agrees": True,
    }
    assert len(rows) == 3
    for row in rows.values():
        assert (row["status"], row["item_status"]) == ("ingested", "registered")
        data, claims, _ = field.told(row["ern"])
        assert data["field_seal"] == manifest["field_seal"]
        (claim,) = (each for each in claims if each["tool"] == "field-seal")
        assert claim["values"]["who"] == "Insp. A. Novak"
        assert claim["values"]["sealed_at"] == f"{seal.ended_at:%Y-%m-%dT%H:%M:%S.%f}Z"
        assert claim["values"]["key"] == key_id(field.public)
    again = field.push()
    assert {each["ern"] for each in again.values()} == {
        manifest["ern"], *(each["ern"] for each in rows.values())
    }  # fmt: skip


@pytest.mark.slow
def test_what_differs_from_the_seal_is_kept_in_quarantine_and_says_why(field: Field) -> None:
    field.register()
    field.seal()
    (field.folder / "note.txt").write_text("seen from the window at two\n")
    (field.folder / "added.txt").write_text("nobody sealed this\n")
    (field.folder / "deep" / "blob.bin").unlink()
    field.server.start()
    rows = field.push(code=3)
    assert rows["field/deep/blob.bin"]["code"] == "E220"
    for name in ("note.txt", "added.txt"):
        row = rows[f"field/{name}"]
        assert row["status"] == "quarantined"
        assert "field seal" in row["reason"]
        data, claims, acts = field.told(row["ern"])
        assert data["field_seal"]["agrees"] is False
        assert acts == ["registered", "quarantined"]
        assert any(each["tool"] == "field-seal" and each["problem"] for each in claims)
        assert field.server.stored(row["ern"]) == (field.folder / name).read_bytes()
    assert rows[f"field/{SEAL}"]["status"] == "ingested"
    assert field.push(code=3)["field/note.txt"]["ern"] == rows["field/note.txt"]["ern"]
    (field.folder / STATE).unlink()
    field.push(code=3)  # also when nothing is known here of the first time


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["nobody's", "another authority's", "ended"])
def test_a_seal_by_a_key_that_does_not_count_proves_nothing(field: Field, whose: str) -> None:
    if whose == "another authority's":
        field.register(BRAVO_CENTRAL)
    if whose == "ended":
        field.register(when=Validity(Moment.parse("2020Z"), Moment.parse("2021Z")))
    field.seal()
    field.server.start()
    rows = field.push(code=3)
    assert {each["status"] for each in rows.values()} == {"quarantined"}
    assert all(field.public.hex() not in str(each) for each in rows.values())


@pytest.mark.slow
def test_a_harmed_seal_is_not_sent(field: Field) -> None:
    field.register()
    field.seal()
    text = (field.folder / SEAL).read_text()
    (field.folder / SEAL).write_text(text.replace("Brod", "Grod"))
    field.server.start()
    assert field.push(code=3) == {}


@pytest.mark.slow
def test_a_write_blocked_folder_is_sent_without_a_byte_written_into_it(
    field: Field, tmp_path: Path
) -> None:
    field.register()
    seal, state = tmp_path / "seal.json", tmp_path / "state"
    before = field.folder.stat().st_mtime_ns
    field.seal("--manifest-out", seal)
    field.server.start()
    rows = field.push("--manifest", seal, "--state", state, "--at-once", "1")
    assert {each["status"] for each in rows.values()} == {"ingested"}
    assert field.folder.stat().st_mtime_ns == before
    assert state.stat().st_mode & 0o077 == 0
    assert field.push("--state", tmp_path / "no" / "where", code=2) == {}


@pytest.mark.slow
def test_links_are_named_and_not_silently_left_out(field: Field) -> None:
    (field.folder / "link").symlink_to("/etc/passwd")
    field.server.start()
    rows = field.push(code=4)
    assert rows["field/link"]["code"] == "E120"
    assert {each["status"] for each in rows.values()} == {"ingested", "failed"}


@pytest.mark.slow
def test_a_state_that_somebody_else_wrote_sends_no_token_elsewhere(
    field: Field, tmp_path: Path
) -> None:
    field.server.start()
    rows = field.push()
    with closing(socket.create_server(("127.0.0.1", 0))) as thief:
        thief.settimeout(0.5)
        port = thief.getsockname()[1]
        row = rows["field/note.txt"]
        line = {"path": "field/note.txt", "sha256": row["sha256"]}
        line["upload"] = f"http://127.0.0.1:{port}{row['upload']}"
        state = tmp_path / "state"
        state.write_text(json.dumps(line) + "\nbroken")
        assert field.push("--state", state)["field/note.txt"]["ern"] == row["ern"]
        with pytest.raises(TimeoutError):
            thief.accept()


@pytest.mark.slow
def test_the_line_is_not_used_beyond_the_limit(field: Field) -> None:
    (field.folder / "big.bin").write_bytes(os.urandom(400_000))
    field.server.start()
    started = time.monotonic()
    field.push("--limit-rate", "200k")
    assert time.monotonic() - started > 1
    field.push("--limit-rate", "fast", code=2)


@pytest.mark.slow
def test_a_server_that_is_gone_is_try_again_and_nothing_is_sent_twice(field: Field) -> None:
    assert field.push(code=4) == {}
    field.server.start()
    assert len(field.push()) == 3


@pytest.mark.slow
def test_two_pushes_of_one_folder_do_not_run_at_once(field: Field) -> None:
    field.server.start()
    with PushState(field.folder / STATE):
        assert field.push(code=4) == {}


def test_a_field_key_is_made_known_by_two_officers_and_ended(field: Field) -> None:
    def run(*arguments: str, code: int = 0) -> Ran:
        return field("--home", str(field.server.home), *arguments, code=code)

    public = base64.b64encode(field.public).decode()
    added = run("field-key", "add", public, "--kit", "kit 7", "--officer", REGISTRARS[0])
    change = added.records[0]["change"]
    assert run("field-key", "list").records == []
    run("registry", "approve", change, "--officer", REGISTRARS[0], code=2)  # not by oneself
    run("registry", "approve", change, "--officer", REGISTRARS[1])
    (listed,) = run("field-key", "list").records
    assert (listed["key"], listed["kit"]) == (key_id(field.public), "kit 7")
    other = ("--authority", "bravo-central", "--officer", REGISTRARS[0])
    run("field-key", "add", public, "--kit", "kit 7", *other, code=2)  # it stays whose it is
    run("field-key", "add", "AAAA", "--kit", "kit 7", "--officer", REGISTRARS[0], code=2)
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}Z"
    end = run(
        "field-key", "end", listed["key"], "--at", tomorrow, "--officer", REGISTRARS[1]
    ).records[0]["change"]
    run("registry", "approve", end, "--officer", REGISTRARS[0])
    (listed,) = run("field-key", "list").records
    assert listed["valid_until"] == tomorrow
    run("field-key", "end", "0" * 32, "--at", tomorrow, "--officer", REGISTRARS[1], code=2)
