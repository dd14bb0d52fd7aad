"""Officers accept custody and terms with their own passkey, over the exact act, and in no other way."""

import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import text

from api import ledger, wiring
from api.cli.main import main
from api.tokens import SCOPES, make_token
from evidence_store.audit import audit
from evidence_store.identifiers import DossierId, Ern, StateCode, Subject
from evidence_store.ledger.by_hand import challenge_of, check_by_hand
from evidence_store.ledger.event import Draft, SignedEvent
from evidence_store.ledger.policy import Policy
from evidence_store.package.bag import BASE, BagReader
from evidence_store.package.findings import Outcome, Question
from evidence_store.package.verification import verify_package
from tests.hands import CONTENT, RP_ID, Hands, arrived, hands  # noqa: F401 - the fixture
from tests.integration.test_package_verifiers import by_python, by_shell
from tests.softkey import PRESENT, SoftKey

Refusal = tuple[int, str]


def events(site: Hands, subject: Subject) -> list[SignedEvent]:
    with site.instance.catalog.read() as reader:
        return [each.signed for each in reader.ledger.events(subject)]


def problems(site: Hands) -> list[str]:
    found = audit(site.instance.catalog, site.instance.tiles)
    return [each.problem for each in found if each.problem is not None]


def test_custody_is_accepted_and_received_by_hand(hands: Hands) -> None:  # noqa: F811
    ern = str(hands.world.item(CONTENT))
    path = hands.offered(ern)
    assert hands.signed("b-central", path, act="accepted").status_code == 200
    released = {"act": "released", "carrier": "C"}
    assert hands.browser("prosecutor").post(f"{path}/steps", json=released).status_code == 200
    received = hands.signed("b-central", path, act="received", lines=[arrived(ern)])
    assert received.json()["items"][0]["custodian"] == "bravo-central"
    kept = {each.event.act: each for each in events(hands, Ern.parse(ern))}
    for act in ("accepted", "received"):
        found = check_by_hand(kept[act])
        assert found is not None
        assert found.is_shown
        assert found.hand.rp_id == RP_ID
        assert kept[act].disclosed()["officer"] == str(hands.world.people["b-central"])
    assert check_by_hand(kept["released"]) is None
    assert problems(hands) == []


def test_terms_are_offered_and_accepted_by_hand(hands: Hands) -> None:  # noqa: F811
    path = hands.proposed()
    offered = hands.signed("central", path, act="offered")
    assert offered.status_code == 200, offered.text
    terms = offered.json()["terms"]
    accepted = hands.signed("b-central", path, act="accepted", terms=terms)
    assert accepted.json()["state"] == "active"
    kept = events(hands, DossierId.parse(path.rsplit("/", 1)[1]))
    assert [check_by_hand(each) is not None for each in kept] == [False, True, True]
    assert problems(hands) == []


def test_what_is_shown_is_what_is_signed(hands: Hands) -> None:  # noqa: F811
    path = hands.offered()
    asked = hands.asked("b-central", path, act="accepted")
    (event,) = asked["events"]
    assert (event["act"], event["disclosed"]["officer"]) == (
        "accepted",
        str(hands.world.people["b-central"]),
    )
    assert challenge_of([event["text"].encode()]).hex() == asked["digest"]


def test_one_answer_is_for_every_item_and_each_can_be_checked_alone(
    hands: Hands,  # noqa: F811
) -> None:
    erns = [hands.world.item(CONTENT + bytes([each])) for each in range(3)]
    path = hands.offered(*map(str, erns))
    assert hands.signed("b-central", path, act="accepted").status_code == 200
    for ern in erns:
        found = check_by_hand(events(hands, ern)[-1])
        assert found is not None
        assert found.is_shown


def test_asking_what_is_to_be_signed_enters_nothing(hands: Hands) -> None:  # noqa: F811
    ern = hands.world.item(CONTENT)
    path = hands.offered(str(ern))
    before = len(events(hands, ern))
    hands.asked("b-central", path, act="accepted")
    assert len(events(hands, ern)) == before
    assert hands.browser("prosecutor").get(path).json()["items"][0]["last"] == "offered"


# ------------------------------------------------------------------------------ refused


def _elsewhere(key: SoftKey) -> SoftKey:
    return replace(key, origin="https://evil.example")


def _of_another_site(key: SoftKey) -> SoftKey:
    return replace(key, rp_id="evil.example")


def _unverified(key: SoftKey) -> SoftKey:
    return replace(key, flags=PRESENT)


def _another(key: SoftKey) -> SoftKey:
    return SoftKey(key.origin, key.rp_id, identifier=key.identifier)


@pytest.mark.parametrize("wrong", [_elsewhere, _of_another_site, _unverified, _another])
def test_an_answer_that_is_not_this_key_at_this_site_is_refused(
    hands: Hands,  # noqa: F811
    wrong: Callable[[SoftKey], SoftKey],
) -> None:
    path = hands.offered()
    asked = hands.asked("b-central", path, act="accepted")
    refused = hands.answered("b-central", path, asked, wrong(hands.keys["b-central"]))
    assert (refused.status_code, refused.json()["code"]) == (400, "E240")
    _still_offered(hands, path)


def test_another_officers_passkey_is_refused(hands: Hands) -> None:  # noqa: F811
    path = hands.offered()
    asked = hands.asked("b-central", path, act="accepted")
    hands.browser("central")
    refused = hands.answered("b-central", path, asked, hands.keys["central"])
    assert (refused.status_code, refused.json()["code"]) == (400, "E240")
    # Nor does another officer take a step that was prepared for somebody else.
    hands.browser("b-prosecutor")
    asked = hands.asked("b-central", path, act="accepted")
    refused = hands.answered("b-prosecutor", path, asked)
    assert (refused.status_code, refused.json()["code"]) == (400, "E240")
    _still_offered(hands, path)


def test_an_answer_for_another_act_is_refused(hands: Hands) -> None:  # noqa: F811
    one, other = hands.offered(), hands.offered(str(hands.world.item(b"other")))
    asked = hands.asked("b-central", one, act="accepted")
    refused = hands.answered("b-central", other, asked)
    assert (refused.status_code, refused.json()["code"]) == (400, "E240")
    _still_offered(hands, one)
    _still_offered(hands, other)


def test_an_answer_counts_once(hands: Hands) -> None:  # noqa: F811
    path = hands.offered()
    asked = hands.asked("b-central", path, act="accepted")
    credential = hands.keys["b-central"].get(asked["passkey"])
    assert hands.sent("b-central", path, credential).status_code == 200
    again = hands.sent("b-central", path, credential)
    assert (again.status_code, again.json()["code"]) == (400, "E240")


def test_a_chain_that_moved_in_between_must_be_asked_about_again(
    hands: Hands,  # noqa: F811
) -> None:
    ern = hands.world.item(CONTENT)
    path = hands.offered(str(ern))
    asked = hands.asked("b-central", path, act="accepted")
    with hands.instance.catalog.write() as writer:
        hands.world.ledger.recorder.record(writer, [Draft(ern, "verified_match")])
    refused = hands.answered("b-central", path, asked)
    assert (refused.status_code, refused.json()["code"]) == (409, "E409")
    _still_offered(hands, path)
    assert hands.signed("b-central", path, act="accepted").status_code == 200


def test_rules_are_judged_when_it_is_signed(hands: Hands) -> None:  # noqa: F811
    path = hands.offered()
    asked = hands.asked("b-central", path, act="accepted")
    withdrawn = {"act": "withdrawn", "note": "no"}
    assert hands.browser("prosecutor").post(f"{path}/steps", json=withdrawn).status_code == 200
    assert hands.answered("b-central", path, asked).status_code == 409


def test_an_answer_after_five_minutes_is_refused(
    hands: Hands,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = hands.offered()
    asked = hands.asked("b-central", path, act="accepted")
    clock = type(hands.instance.clock)
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda self: now(self) + timedelta(minutes=5, seconds=1))
    refused = hands.answered("b-central", path, asked)
    assert (refused.status_code, refused.json()["code"]) == (400, "E240")
    _still_offered(hands, path)


def test_what_was_kept_for_an_act_cannot_be_made_another_act(
    hands: Hands,  # noqa: F811
) -> None:
    path = hands.offered()
    asked = hands.asked("b-central", path, act="accepted")
    with hands.instance.catalog.engine.begin() as connection:
        changed = connection.execute(
            text('UPDATE challenge SET content = replace(content, \'"seed": "\', \'"seed": "00\')')
        )
        assert changed.rowcount >= 1
    assert hands.answered("b-central", path, asked).status_code == 409
    _still_offered(hands, path)


@pytest.mark.parametrize("step", ["accepted", "received"])
def test_a_session_by_passkey_does_not_do_without(
    hands: Hands,  # noqa: F811
    step: str,
) -> None:
    path = hands.offered()
    refused = hands.browser("b-central").post(f"{path}/steps", json={"act": step})
    assert (refused.status_code, refused.json()["code"]) == (403, "E403")
    assert refused.json()["rule"] == "signed_by_hand"
    _still_offered(hands, path)


@pytest.mark.parametrize("step", ["offered", "accepted"])
def test_nor_does_it_for_terms(hands: Hands, step: str) -> None:  # noqa: F811
    path = hands.proposed()
    refused = hands.browser("central").post(f"{path}/steps", json={"act": step})
    assert (refused.status_code, refused.json()["rule"]) == (403, "signed_by_hand")


def by_token(site: Hands, name: str, path: str, **step: object) -> Refusal:
    _, token = make_token(
        site.instance.doors,
        site.world.people[name],
        "test",
        SCOPES,
        site.instance.clock.now(),
        timedelta(days=1),
    )
    headers = {"Authorization": f"Bearer {token}"}
    answer = site.new_browser().post(path, json=step, headers=headers)
    return answer.status_code, answer.json().get("rule", "")


def test_a_token_accepts_nothing_and_signs_nothing(hands: Hands) -> None:  # noqa: F811
    transfer, grant = hands.offered(), hands.proposed()
    denied = (403, "signed_by_hand")
    assert by_token(hands, "b-central", f"{transfer}/steps", act="accepted") == denied
    assert by_token(hands, "central", f"{grant}/steps", act="offered") == denied
    hands.browser("b-central")
    hands.browser("central")
    assert by_token(hands, "b-central", f"{transfer}/steps/signing", act="accepted") == denied
    assert by_token(hands, "central", f"{grant}/steps/signing", act="offered") == denied
    asked = hands.asked("b-central", transfer, act="accepted")
    credential = hands.keys["b-central"].get(asked["passkey"])
    assert by_token(hands, "b-central", f"{transfer}/steps/signed", credential=credential) == denied
    _still_offered(hands, transfer)
    # What binds nobody, a token still does.
    status, _ = by_token(hands, "prosecutor", f"{transfer}/steps", act="withdrawn")
    assert status == 200


def test_in_an_exercise_a_token_may_accept(tmp_path: Path) -> None:
    for name, exercise in (("real", False), ("exercise", True)):
        wiring.create_instance(tmp_path / name, StateCode("SI"), "P", None, exercise=exercise)
        with closing(wiring.open_instance(tmp_path / name, lambda: b"")) as instance:
            assert instance.tokens_sign_for_officers is exercise


def test_who_may_not_know_of_it_is_not_told_what_to_sign(hands: Hands) -> None:  # noqa: F811
    transfer, grant = hands.offered(), hands.proposed()
    for path in (transfer, grant):
        stranger = hands.browser("c-central")
        asked = stranger.post(f"{path}/steps/signing", json={"act": "accepted"})
        answered = stranger.post(f"{path}/steps/signed", json={"credential": {}})
        assert (asked.status_code, answered.status_code) == (404, 404)


def _still_offered(site: Hands, path: str) -> None:
    assert site.browser("prosecutor").get(path).json()["items"][0]["last"] in {
        "offered",
        "verified_match",
    }


def test_every_verifier_checks_it_in_what_a_court_gets(
    hands: Hands,  # noqa: F811
    tmp_path: Path,
) -> None:
    ern = str(hands.world.item(CONTENT))
    path = hands.offered(ern)
    assert hands.signed("b-central", path, act="accepted").status_code == 200
    file, home = tmp_path / "court.zip", hands.instance.home
    officer = str(hands.world.people["prosecutor"])
    given = ("--person", "A", "--reference", "r", "--officer", officer, "--purpose", "prosecution")
    assert main(["--home", str(home), "export", ern, "-o", str(file), *given]) == 0
    policy = tmp_path / "policy.txt"
    policy.write_text(
        str(ledger.policy(home, wiring.found_log(hands.instance.catalog, hands.instance.signing)))
    )
    with file.open("rb") as package:
        report = verify_package(BagReader(package), Policy.parse(policy.read_text()))
    assert report.verifies
    (found,) = [each for each in report.findings if each.question is Question.BY_HAND]
    assert found.outcome is Outcome.PROVED
    with zipfile.ZipFile(file) as bag:
        bag.extractall(tmp_path)
    folder = tmp_path / BASE
    for ran in (by_python(folder, "--policy", policy), by_shell(folder, "--policy", policy)):
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "withheld" not in ran.stdout
    (event,) = [each for each in folder.rglob("*.json") if b'"by_hand"' in each.read_bytes()]
    assert sha256(hands.keys["b-central"].cose).hexdigest() in event.read_text()
