"""Policies: whose word counts, and what is no policy because it could be read in two ways."""

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.errors import MalformedError, ProofError
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.note import KeyType, Note, VerifierKey
from evidence_store.ledger.policy import Policy
from evidence_store.ledger.signing import Signer
from tests.signing import HeldKeys

ORIGIN = "log.invalid/si"
AT = 1_700_000_000
LOG = HeldKeys().log_signers(ORIGIN)
CHECKPOINT = Checkpoint(ORIGIN, 41, bytes(range(32)))
NOTE = Note(CHECKPOINT.text, tuple(each.sign(CHECKPOINT, AT) for each in LOG))


def cosigner(number: int, name: str | None = None) -> Signer:
    private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    public = private.public_key().public_bytes_raw()
    name = name or f"w{number}.invalid"
    return Signer(VerifierKey(name, KeyType.ED25519_COSIGNATURE, public), private)


COSIGNERS = [cosigner(number) for number in range(1, 7)]
LOGS = "".join(f"log {each.key}\n" for each in LOG)
WITNESSES = "".join(
    f"witness {name} {each.key}\n" for name, each in zip("abcdef", COSIGNERS, strict=True)
)


def signed_by(*names: str) -> Note:
    return NOTE.with_signatures(
        [COSIGNERS["abcdef".index(each)].sign(CHECKPOINT, AT) for each in names]
    )


def accepts(policy: Policy, note: Note) -> bool:
    try:
        policy.checked(note)
    except ProofError:
        return False
    return True


# -------------------------------------------------------------------------- reading


def test_a_policy_is_read_with_its_comments_tabs_and_addresses() -> None:
    text = (
        "# whom we trust\n\n"
        f"\tlog\t{LOG[0].key}  https://log.invalid/ \n"
        f"witness \u017dupanija {COSIGNERS[0].key} https://w1.invalid\n"
        f"witness b\u00a0c {COSIGNERS[1].key}\n"
        "   # of two\n"
        "group both all \u017dupanija b\u00a0c\n"
        "quorum both"
    )
    policy = Policy.parse(text)
    assert policy.logs == {LOG[0].key: "https://log.invalid/"}
    assert policy.witnesses["\u017dupanija"].url == "https://w1.invalid"
    assert policy.groups["both"].members == ("\u017dupanija", "b\u00a0c")  # spaces are ASCII's only
    assert policy.groups["both"].threshold == 2
    assert Policy.parse(str(policy)) == policy


@pytest.mark.parametrize(
    "line",
    [
        "group g any g",
        "group g all a g",
        "group g any later",
        "group g any none",
        "group none any a",
        "group a any b",
        "group g any a a",
        "group g 3 a b",
        "group g 0 a b",
        "group g -1 a b",
        "group g 01 a b",
        "group g +1 a b",
        "group g \u0661 a b",
        "group g 1.0 a b",
        "group g most a b",
        "group g any",
        "group g",
        "group",
        "group g any a\ngroup h any a",
        "group g any a\ngroup g any b",
        "group g any a\ngroup h any b\ngroup i any g h g",
        f"witness a {cosigner(9).key}",
        f"witness none {cosigner(9).key}",
        f"witness z {COSIGNERS[0].key}",
        f"witness z {cosigner(1, 'another-name.invalid').key}",
        f"witness z {LOG[0].key}",
        f"witness z {LOG[1].key}",
        f"witness z {dataclasses.replace(cosigner(9).key, type=KeyType.ED25519)}",
        f"witness z {dataclasses.replace(LOG[0].key, type=KeyType.ED25519_COSIGNATURE)}",
        "witness z",
        "witness z not-a-key",
        f"witness z {cosigner(9).key} https://a https://b",
        f"log {LOG[0].key}",
        f"log {dataclasses.replace(LOG[0].key, name='another-name.invalid')}",
        f"log {cosigner(9).key}",
        "log",
        f"log {dataclasses.replace(LOG[0].key, public=bytes(32))} https://a https://b",
        "quorum a",
        "Quorum a",
        "quorum",
        "trust everybody",
        "\\",
        "# carriage\r",
        "# \x00",
        "# \x1b[2J",
        "# \x7f",
        "\x0b",
        "\x0c",
    ],
)  # fmt: skip
def test_a_line_that_is_none_or_says_twice_refuses_the_policy(line: str) -> None:
    Policy.parse(f"{LOGS}{WITNESSES}quorum none\n")  # it is the line alone
    with pytest.raises(MalformedError):
        Policy.parse(f"{LOGS}{WITNESSES}quorum none\n{line}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quorum none\n",
        LOGS,
        LOGS + WITNESSES,
        LOGS + "quorum a\n" + WITNESSES,
        LOGS + "quorum q\n",
    ],
)
def test_a_policy_names_a_log_and_one_quorum_that_stands_above(text: str) -> None:
    with pytest.raises(MalformedError):
        Policy.parse(text)


@given(st.text(max_size=80))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    try:
        policy = Policy.parse(f"{LOGS}quorum none\n{text}")
    except MalformedError:
        return
    assert Policy.parse(str(policy)) == policy


# -------------------------------------------------------------------------- judging


def test_the_example_of_the_standard_asks_for_two_of_one_house_and_one_of_another() -> None:
    policy = Policy.parse(
        f"{LOGS}{WITNESSES}group x 2 a b c\ngroup y any d e f\ngroup both all x y\nquorum both\n"
    )
    for names in ("abd", "bcf", "abcdef"):
        assert accepts(policy, signed_by(*names))
    for names in ("", "a", "abc", "def", "ad", "adef"):
        assert not accepts(policy, signed_by(*names))
    assert policy.checked(signed_by(*"abd")).cosigned == dict.fromkeys("abd", AT)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_quorum_agrees_exactly_when_its_members_do(data: st.DataObject) -> None:
    free, lines, rules = list("abcdef"), [], {}
    for number in range(data.draw(st.integers(1, 4))):
        members = data.draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        threshold = data.draw(st.integers(1, len(members)))
        name = f"g{number}"
        free = [each for each in free if each not in members] + [name]
        lines.append(f"group {name} {threshold} {' '.join(members)}\n")
        rules[name] = (threshold, members)
    quorum = data.draw(st.sampled_from(free))
    cosigned = data.draw(st.sets(st.sampled_from("abcdef"), max_size=4))

    def agrees(name: str) -> bool:
        if name not in rules:
            return name in cosigned
        threshold, members = rules[name]
        return sum(map(agrees, members)) >= threshold

    policy = Policy.parse(f"{LOGS}{WITNESSES}{''.join(lines)}quorum {quorum}\n")
    assert accepts(policy, signed_by(*sorted(cosigned))) == agrees(quorum)


def test_groups_may_lie_as_deep_as_they_like() -> None:
    chain = "".join(f"group g{number} any g{number - 1}\n" for number in range(1, 5_000))
    policy = Policy.parse(f"{LOGS}{WITNESSES}group g0 any a\n{chain}quorum g4999\n")
    assert accepts(policy, signed_by("a"))
    assert not accepts(policy, signed_by("b"))


def test_one_cosignature_under_two_names_is_not_two() -> None:
    twin = cosigner(1, "twin.invalid")
    line = COSIGNERS[0].sign(CHECKPOINT, AT)
    twice = NOTE.with_signatures(
        [line, dataclasses.replace(line, name=twin.key.name, key_id=twin.key.key_id)]
    )
    policy = Policy.parse(f"{LOGS}{WITNESSES}group g 2 a b\nquorum g\n")
    assert not accepts(policy, twice)


def test_every_key_of_a_log_must_have_signed() -> None:
    policy = Policy.parse(f"{LOGS}quorum none\n")
    assert accepts(policy, NOTE)
    for left in range(2):
        assert not accepts(
            policy, Note(NOTE.text, NOTE.signatures[:left] + NOTE.signatures[left + 1 :])
        )


def test_a_log_that_the_policy_does_not_name_is_refused() -> None:
    other = HeldKeys().log_signers("log.invalid/other")
    policy = Policy.parse("".join(f"log {each.key}\n" for each in other) + "quorum none\n")
    assert not accepts(policy, NOTE)
    # Nor does one log speak for another, though both are named.
    both = Policy.parse(LOGS + "".join(f"log {each.key}\n" for each in other) + "quorum none\n")
    assert accepts(both, NOTE)
    assert not accepts(
        both, Note(CHECKPOINT.text, tuple(each.sign(CHECKPOINT, AT) for each in other))
    )


def test_a_witness_that_signed_badly_refuses_the_note_even_where_nobody_needs_it() -> None:
    policy = Policy.parse(f"{LOGS}{WITNESSES}quorum a\n")
    line = COSIGNERS[1].sign(CHECKPOINT, AT)
    bad = dataclasses.replace(line, value=line.value[:-1] + bytes([line.value[-1] ^ 1]))
    assert accepts(policy, signed_by("a", "b"))
    assert not accepts(policy, signed_by("a").with_signatures([bad]))


def test_a_cosignature_over_another_tree_does_not_count() -> None:
    policy = Policy.parse(f"{LOGS}{WITNESSES}quorum a\n")
    other = dataclasses.replace(CHECKPOINT, size=40)
    assert not accepts(policy, NOTE.with_signatures([COSIGNERS[0].sign(other, AT)]))
