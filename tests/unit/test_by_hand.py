"""An officer's signature over an event: what it is over, and that nothing else passes for it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.canonical import Json
from evidence_store.errors import MalformedError, ProofError
from evidence_store.identifiers import Ern, StateCode
from evidence_store.ledger.by_hand import (
    answers,
    challenge_of,
    check_by_hand,
    with_digest,
    without,
)
from evidence_store.ledger.event import (
    Draft,
    Event,
    Link,
    SignedEvent,
    disclosed_as,
    disclosure_digest,
    unsigned,
)
from evidence_store.ledger.merkle import leaf_hash, root_and_paths, root_of, verify_inclusion
from evidence_store.ledger.passkey import check_assertion, public_key
from tests.packages import RP_ID, SITE
from tests.signing import POLICE
from tests.softkey import SoftKey
from tests.vaults import Chance

ITEMS = [Ern(StateCode("SI"), 2026, each) for each in range(1, 6)]
KEY = SoftKey(SITE, RP_ID)
Answer = dict[str, Json]


def bodies(
    key: SoftKey = KEY, data: Answer | None = None, count: int = 3
) -> list[tuple[bytes, tuple[str, ...]]]:
    said: Answer = {"by_hand": key.hand.document} if data is None else data
    chance = Chance()
    return [
        unsigned(
            Draft(ern, "accepted", said, {"officer": "A"}),
            Link(bytes(32), 1, bytes(32)),
            log="log.invalid/x",
            by=POLICE,
            at=datetime(2026, 3, 14, tzinfo=UTC),
            anchor=None,
            random=chance,
        )
        for ern in ITEMS[:count]
    ]


def signed(
    key: SoftKey = KEY,
    spoil: Callable[[Answer], Json] = dict,
    at: int = 1,
    data: Answer | None = None,
    count: int = 3,
) -> SignedEvent:
    made = bodies(key, data, count)
    kept = answers([body for body, _ in made], key.record(challenge_of([body for body, _ in made])))
    own = disclosed_as(Chance(7), "passkey", spoil(kept[at]))
    body, disclosures = made[at]
    whole = with_digest(body, Event.parse(body), disclosure_digest(own))
    return SignedEvent(whole, b"", (*disclosures, own))


@pytest.mark.parametrize("count", range(1, 6))
def test_each_event_of_an_act_can_be_checked_alone(count: int) -> None:
    for at in range(count):
        found = check_by_hand(signed(at=at, count=count))
        assert found is not None
        assert found.is_shown
        assert found.hand == KEY.hand


def test_the_challenge_changes_with_every_event_and_their_order() -> None:
    one, two, three = (body for body, _ in bodies())
    found = {
        challenge_of(each)
        for each in ([one], [two], [one, two], [two, one], [one, two, three], [one, one])
    }
    assert len(found) == 6


def test_a_byte_of_the_event_is_another_act() -> None:
    sound = signed()
    for old, new in (
        (b'"accepted"', b'"received"'),
        (b'"seq":2', b'"seq":3'),
        (b"log.invalid/x", b"log.invalid/y"),
        (b'evidence.example"}', b'evidence.exampl"}'),
    ):
        changed = replace(sound, body=sound.body.replace(old, new))
        assert changed != sound
        with pytest.raises(ProofError):
            check_by_hand(changed)


def test_the_event_without_the_answer_is_what_was_signed() -> None:
    (body, _), *_ = bodies(count=1)
    found = signed(at=0, count=1)
    own = disclosure_digest(found.disclosures[-1])
    assert without(found.body, found.event, own) == body
    with pytest.raises(ProofError):
        without(body, Event.parse(body), own)


@pytest.mark.parametrize(
    "field", ["credential_id", "public_key", "authenticator_data", "client_data", "signature"]
)
@pytest.mark.parametrize("value", [None, "", 1, "=", "A", "x" * 20_000])
def test_an_answer_with_a_wrong_field_is_refused(field: str, value: Json) -> None:
    with pytest.raises(ProofError):
        check_by_hand(signed(spoil=lambda answer: {**answer, field: value}))


@pytest.mark.parametrize(
    "field", ["credential_id", "public_key", "authenticator_data", "client_data", "signature"]
)
def test_an_answer_without_a_field_or_with_another_is_refused(field: str) -> None:
    with pytest.raises(ProofError):
        check_by_hand(signed(spoil=lambda answer: {k: v for k, v in answer.items() if k != field}))
    with pytest.raises(ProofError):
        check_by_hand(signed(spoil=lambda answer: {**answer, f"{field}_too": answer[field]}))


@pytest.mark.parametrize(
    "place",
    [
        {"index": 0}, {"index": -1}, {"index": 3}, {"index": True}, {"index": "1"}, {"index": None},
        {"size": 2}, {"size": 4}, {"size": 1}, {"size": True}, {"size": 2**63},
        {"path": []}, {"path": ["00" * 32]}, {"path": ["00" * 32] * 2}, {"path": ["0"]}, {"path": "0"},
        {"path": [None, None]},
    ],
    ids=str,
)  # fmt: skip
def test_an_answer_at_another_place_is_refused(place: Answer) -> None:
    with pytest.raises(ProofError):
        check_by_hand(signed(spoil=lambda answer: {**answer, **place}))


@pytest.mark.parametrize("value", [None, "x", 1, [], {}])
def test_what_is_no_answer_is_refused(value: Json) -> None:
    with pytest.raises(ProofError):
        check_by_hand(signed(spoil=lambda _: value))


SAID = {"passkey": "ab" * 32, "rp_id": RP_ID, "origin": SITE}


@pytest.mark.parametrize(
    "said",
    [
        None, "x", {}, {"origin": SITE}, SAID | {"more": 1},
        SAID | {"origin": 'https://x"'}, SAID | {"origin": "ftp://x"},
        SAID | {"rp_id": ""}, SAID | {"passkey": "0"},
        SAID | {"passkey": "G" * 64},
    ],
    ids=str,
)  # fmt: skip
def test_what_an_event_says_of_it_has_one_form(said: Json) -> None:
    with pytest.raises(MalformedError):
        check_by_hand(signed(data={"by_hand": said}))


def test_an_event_that_does_not_say_so_has_no_answer() -> None:
    with pytest.raises(ProofError):
        check_by_hand(signed(data={}))


def test_an_answer_that_is_withheld_still_shows_that_there_is_one() -> None:
    found = check_by_hand(signed().with_disclosures(["officer"]))
    assert found is not None
    assert not found.is_shown


# ---------------------------------------------------------------------------- passkeys

CHALLENGE = hashlib.sha256(b"act").digest()


def client(text: bytes) -> dict[str, str]:
    """An answer over other client data, truly signed by the passkey."""

    class Odd(SoftKey):
        def _client(self, kind: str, challenge: str) -> bytes:
            assert kind == "webauthn.get"
            return text.replace(b"CHALLENGE", challenge.encode())

    return Odd(SITE, RP_ID).record(CHALLENGE)


GOOD = b'{"type":"webauthn.get","challenge":"CHALLENGE","origin":"https://evidence.example"'


@pytest.mark.parametrize(
    "end", [b"}", b',"crossOrigin":false}', b',"crossOrigin":false,"other":{"a":[1]}}']
)
def test_client_data_may_end_as_browsers_end_them(end: bytes) -> None:
    check_assertion(client(GOOD + end), CHALLENGE, RP_ID, SITE)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD + b',"crossOrigin":true}',
        GOOD + b',"other":1}',
        GOOD + b',"crossOrigin":false,"topOrigin":"https://evil.example"}',
        GOOD + b',"crossOrigin":false,"origin":"https://evidence.example"}',
        GOOD.replace(b":", b": ") + b"}",
        GOOD.replace(b".get", b".create") + b"}",
        GOOD.replace(b"https", b"http") + b"}",
        GOOD.replace(b"CHALLENGE", b"AAAA") + b"}",
        b"{}",
        b"\xff",
        b'{"origin":"https://evidence.example","type":"webauthn.get","challenge":"CHALLENGE"}',
    ],
)
def test_other_client_data_are_refused_though_they_are_signed(text: bytes) -> None:
    with pytest.raises(ProofError):
        check_assertion(client(text), CHALLENGE, RP_ID, SITE)


def test_a_public_key_has_one_spelling() -> None:
    cose = KEY.cose
    public_key(cose)
    off_curve = cose[:-1] + bytes([cose[-1] ^ 1])
    for each in (b"", cose[:-1], cose + b"\0", b"\xa4" + cose[1:], cose[::-1], off_curve):
        with pytest.raises(ProofError):
            public_key(each)


@given(st.integers(min_value=1, max_value=40))
def test_every_leaf_has_its_path(size: int) -> None:
    hashes = [leaf_hash(bytes([each])) for each in range(size)]
    root, paths = root_and_paths(hashes)
    assert root == root_of(hashes)
    for index, path in enumerate(paths):
        verify_inclusion(hashes[index], index, size, path, root)


def test_no_leaves_have_no_root() -> None:
    with pytest.raises(ProofError):
        root_and_paths([])
