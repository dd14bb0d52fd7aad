"""Our verifier: what it proves of a sound package, and that each harm refutes its own question."""

import io
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.errors import FixityError, UnavailableError
from evidence_store.ledger.event import Anchor
from evidence_store.package import layout
from evidence_store.package.bag import BagReader
from evidence_store.package.findings import Finding, Outcome, Question, Report
from evidence_store.package.verification import verify_file, verify_package
from tests.package_harms import HARMS, Harm
from tests.packages import (
    KNIFE,
    RP_ID,
    SITE,
    START,
    STRANGER,
    VIDEO,
    Court,
    Made,
    closed,
    told,
    told_by_hand,
    zipped,
)
from tests.signing import POLICE
from tests.softkey import SoftKey


def verified(made: Made, **given: object) -> Report:
    return verify_package(BagReader(zipped(made)), made.policy, **given)  # type: ignore[arg-type]


def of(report: Report, question: Question) -> list[Finding]:
    return [each for each in report.findings if each.question is question]


def outcomes(findings: Iterable[Finding]) -> set[Outcome]:
    return {each.outcome for each in findings}


@pytest.fixture(scope="module")
def sound() -> Made:
    return closed(told())


def test_of_a_sound_package_every_question_is_proved(sound: Made) -> None:
    report = verified(sound)
    assert report.verifies
    for question in set(Question) - {Question.BAG, Question.STAMP}:
        assert outcomes(of(report, question)) == {Outcome.PROVED}, question


def test_a_redacted_copy_is_named_so_and_is_no_mismatch(sound: Made) -> None:
    details = [each.detail.split(",")[0] for each in of(verified(sound), Question.CONTENT)]
    assert details == [f"original of {VIDEO}", f"redacted version R01 of {VIDEO}"]


def test_who_signed_by_hand_is_told_with_site_and_passkey() -> None:
    key = SoftKey(SITE, RP_ID)
    report = verified(closed(told_by_hand(key)))
    assert report.verifies
    last = [each for each in of(report, Question.BY_HAND) if each.subject.startswith(str(VIDEO))]
    (found,) = last
    assert found.outcome is Outcome.PROVED
    for each in (SITE, RP_ID, sha256(key.cose).hexdigest()):
        assert each in found.detail


def test_a_withheld_answer_is_not_shown_and_refutes_nothing() -> None:
    made = closed(told_by_hand())
    for ern in (VIDEO, KNIFE):
        for stem in made.events(ern):
            made.files.pop(f"{stem}.disclosed")
    report = verified(made)
    assert report.verifies
    assert outcomes(of(report, Question.BY_HAND)) == {Outcome.NOT_SHOWN}


def test_a_package_of_proofs_only_verifies() -> None:
    found = told()
    found.stories[VIDEO].versions.clear()
    report = verified(closed(found))
    assert report.verifies
    assert of(report, Question.CONTENT) == []


def test_a_policy_that_comes_with_the_package_is_no_proof(sound: Made) -> None:
    report = verify_package(BagReader(zipped(sound)), None)
    assert report.verifies
    assert outcomes(of(report, Question.POLICY)) == {Outcome.NOT_SHOWN}


def test_a_policy_of_another_log_is_satisfied_by_nothing(sound: Made) -> None:
    other = Court(origin="log.invalid/hr/other").policy
    report = verify_package(BagReader(zipped(sound)), other)
    assert not report.verifies
    assert Outcome.PROVED not in outcomes(of(report, Question.INCLUSION))


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.name)
def test_it_refutes_when(harm: Harm) -> None:
    report = verified(harm.build())
    assert not report.verifies
    assert Outcome.REFUTED in outcomes(of(report, harm.question))


def test_one_wrong_event_does_not_hide_what_is_proved_of_the_others() -> None:
    made = closed(told())
    made.flip(made.events()[1] + ".sig")
    report = verified(made)
    by_event = {each.subject: each.outcome for each in of(report, Question.SIGNATURE)}
    assert by_event[f"{VIDEO} event 1"] is Outcome.PROVED
    assert by_event[f"{VIDEO} event 2"] is Outcome.REFUTED
    assert by_event[f"{VIDEO} event 3"] is Outcome.PROVED
    assert outcomes(of(report, Question.CONTENT)) == {Outcome.PROVED}


def test_what_nobody_signed_is_named(sound: Made) -> None:
    sound = Made(dict(sound.files), sound.policy)
    sound.files["read-me.txt"] = b"believe me"
    unsigned = [
        each.subject
        for each in of(verified(sound), Question.BAG)
        if each.outcome is Outcome.NOT_SHOWN
    ]
    assert unsigned == ["bag-info.txt", "read-me.txt", "report.html"]


# --------------------------------------------------------------------------- times


def test_the_time_of_an_event_is_bound_by_anchor_and_witness(sound: Made) -> None:
    first = of(verified(sound), Question.TIME)[0]
    assert first.detail.startswith("after 2026-03-14T09:04:00+00:00 (witness w1), before ")


def test_a_clock_that_is_a_little_wrong_is_no_lie() -> None:
    found = told()
    found.act(VIDEO, "verified_match", at=found.now.replace(minute=found.now.minute - 3))
    assert verified(closed(found)).verifies


def test_an_anchor_that_is_not_enclosed_bounds_nothing() -> None:
    found = told()
    found.act(VIDEO, "verified_match", anchor=Anchor(4, b"\x01" * 32))
    report = verified(closed(found))
    assert report.verifies
    (time,) = [each for each in of(report, Question.TIME) if each.subject == f"{VIDEO} event 3"]
    assert time.detail.startswith("after a time that is not shown, before ")


def test_a_key_counts_between_its_registration_and_its_revocation() -> None:
    found = told()
    found.register(STRANGER)
    found.act(VIDEO, "verified_match", by=STRANGER)
    found.revoke(STRANGER, len(found.entries))
    made = closed(found)
    report = verified(made)
    assert outcomes(of(report, Question.KEYS)) == {Outcome.PROVED}


def test_after_a_key_was_followed_the_first_one_still_counts_for_what_it_signed() -> None:
    found = told()
    found.revoke(POLICE, len(found.entries) + 3)
    assert verified(closed(found)).verifies


# --------------------------------------------------------------------- time-stamps

STAMPED_AT = datetime(2026, 3, 14, 9, 20, tzinfo=UTC)


def stamp(answer: bytes, _: bytes, roots: bytes) -> datetime:
    """A verifier of stamps: the answer must be the roots."""
    if answer != roots:
        raise FixityError(expected="a stamp under these roots", found="another")
    return STAMPED_AT


@pytest.fixture
def stamped() -> Made:
    found = told()
    made = closed(found)
    path = layout.stamp_path(max(found.notes), "tsa-1")
    made.files[f"data/{path}"] = b"roots"
    made.files[f"{layout.TIMESTAMPS}/tsa-1.pem"] = b"roots"
    return made


def test_a_stamp_under_the_packages_own_roots_proves_nothing(stamped: Made) -> None:
    """Anybody can make an authority of an own name, and put its roots into the package."""
    report = verified(stamped, stamps=stamp)
    assert report.verifies
    (found,) = of(report, Question.STAMP)
    assert found.outcome is Outcome.NOT_SHOWN
    assert "by a root that the package brought itself" in found.detail
    assert "tsa-1" not in "".join(each.detail for each in of(report, Question.TIME))


def test_a_stamp_under_a_root_that_the_court_brings_is_proved(stamped: Made) -> None:
    report = verified(stamped, stamps=stamp, roots=b"roots")
    assert outcomes(of(report, Question.STAMP)) == {Outcome.PROVED}
    assert report.verifies


def test_a_stamp_under_none_of_the_roots_that_the_court_brings_is_not_shown(stamped: Made) -> None:
    (found,) = of(verified(stamped, stamps=stamp, roots=b"others"), Question.STAMP)
    assert found.outcome is Outcome.NOT_SHOWN
    assert "by none of your roots" in found.detail


def test_a_stamp_that_does_not_hold_even_by_its_own_roots_is_refuted(stamped: Made) -> None:
    stamped.flip("data/" + layout.stamp_path(max_size(stamped), "tsa-1"))
    for roots in (None, b"others"):
        report = verified(stamped, stamps=stamp, roots=roots)
        assert outcomes(of(report, Question.STAMP)) == {Outcome.REFUTED}


def max_size(made: Made) -> int:
    notes = [each for each in made.files if each.endswith(".note")]
    return int(max(notes).rsplit("/", 1)[1].removesuffix(".note"))


def test_without_a_way_to_check_stamps_they_show_nothing(stamped: Made) -> None:
    assert outcomes(of(verified(stamped), Question.STAMP)) == {Outcome.NOT_SHOWN}


def test_a_tool_that_is_not_there_refutes_nothing(stamped: Made) -> None:
    def away(*_: bytes) -> datetime:
        raise UnavailableError("openssl could not be run")

    report = verified(stamped, stamps=away)
    assert report.verifies
    assert outcomes(of(report, Question.STAMP)) == {Outcome.NOT_SHOWN}


def test_a_stamp_bounds_the_time_where_no_witness_does(stamped: Made) -> None:
    report = verified(stamped, stamps=lambda *_: START, roots=b"roots")
    assert Outcome.REFUTED in outcomes(of(report, Question.TIME))  # it was stamped before it was


# --------------------------------------------------------------------- where it ends


def test_the_entry_and_time_up_to_which_a_chain_is_shown_are_told(sound: Made) -> None:
    for found in of(verified(sound), Question.CHAIN):
        assert "shown up to entry " in found.detail
        assert "of what came later nothing is shown" in found.detail


def test_a_package_that_was_made_before_another_export_still_verifies() -> None:
    found = told()
    first = closed(found)
    found.act(KNIFE, "seal_checked", {"seals": ["A-1"], "check": "broken"})
    second = closed(found)
    assert verified(first).verifies
    assert verified(second).verifies


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all" * 99])
def test_what_is_no_package_is_refuted(content: bytes) -> None:
    report = verify_file(io.BytesIO(content), None)
    assert [each.outcome for each in report.findings] == [Outcome.REFUTED]
    assert not report.verifies


# ------------------------------------------------------------------ hostile content


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_content_of_a_file_ends_the_verification(sound: Made, data: st.DataObject) -> None:
    """A changed file is refuted or shown to be unsigned, and every other answer is still given."""
    made = Made(dict(sound.files), sound.policy)
    name = data.draw(st.sampled_from(sorted(made.files)))
    content = data.draw(
        st.one_of(
            st.binary(max_size=80),
            st.just(b"[" * 100_000),
            st.just(b'{"v":1}'),
            st.integers(0, len(made.files[name]) - 1).map(lambda at: made.files[name][:at]),
        )
    )
    made.files[name] = content
    report = verified(made)
    assert of(report, Question.CHAIN)
    assert not report.verifies or name.endswith((".html", ".disclosed", "policy.txt"))
