"""Packages that no court may accept: each does one wrong thing, and is sound in all else.

Manifests are made anew over the harm, or they alone would tell. `Harm.question` is the one that
must be refuted; `by` are the verifiers that cover it.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence_store.canonical import Json, canonical
from evidence_store.digest import Digest, fingerprint
from evidence_store.identifiers import Ern
from evidence_store.ledger.by_hand import answers, challenge_of
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.control import ControlEntry
from evidence_store.ledger.event import Anchor, Draft, Link, unsigned
from evidence_store.ledger.passkey import from_base64url, to_base64url
from evidence_store.ledger.proof import LogProof
from evidence_store.package import layout
from evidence_store.package.composition import Composition, EnclosedVersion, ShownItem
from evidence_store.package.findings import Question
from tests.packages import (
    KNIFE,
    REDACTED,
    ROOT_KEY,
    RP_ID,
    SITE,
    STRANGER,
    VIDEO,
    Court,
    Made,
    closed,
    court,
    told,
    told_by_hand,
)
from tests.signing import LABORATORY, POLICE
from tests.softkey import ATTESTED, PRESENT, VERIFIED, SoftKey, coded

Answer = dict[str, Json]

OURS, PY, SH = "ours", "verify.py", "verify.sh"
ALL, LARGER = (OURS, PY, SH), (OURS, PY)


@dataclass(frozen=True)
class Harm:
    """A package that is wrong in one thing."""

    build: Callable[[], Made]
    question: Question
    by: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.build.__name__


HARMS: list[Harm] = []


def harm(
    question: Question, by: tuple[str, ...] = ALL
) -> Callable[[Callable[[], Made]], Callable[[], Made]]:
    def enter(build: Callable[[], Made]) -> Callable[[], Made]:
        HARMS.append(Harm(build, question, by))
        return build

    return enter


# ------------------------------------------------------ by whoever has the package


@harm(Question.CONTENT)
def a_byte_of_the_content_is_changed() -> Made:
    made = closed(told())
    made.flip(layout.version_path(VIDEO, 1, "original"), 1000)
    return made


@harm(Question.CONTENT)
def a_redacted_copy_is_passed_off_as_the_original() -> Made:
    made = closed(told())
    made.files[layout.version_path(VIDEO, 1, "original")] = REDACTED
    return made


@harm(Question.SIGNATURE)
def a_field_of_an_event_is_changed() -> Made:
    made = closed(told())
    path = made.events()[0] + ".json"
    made.files[path] = made.files[path].replace(b"SI-CASE-0001", b"SI-CASE-0002")
    return made


@harm(Question.SIGNATURE)
def an_event_is_no_json_any_more() -> Made:
    made = closed(told())
    made.flip(made.events()[1] + ".json", 0)
    return made


@harm(Question.SIGNATURE)
def a_byte_of_a_signature_is_changed() -> Made:
    made = closed(told())
    made.flip(made.events()[1] + ".sig")
    return made


@harm(Question.CHAIN)
def the_first_event_is_dropped() -> Made:
    made = closed(told())
    made.drop(made.events()[0])
    return made


@harm(Question.CHAIN)
def an_event_is_dropped() -> Made:
    made = closed(told())
    made.drop(made.events(KNIFE)[1])
    return made


@harm(Question.CHAIN)
def the_last_event_is_dropped() -> Made:
    made = closed(told())
    made.drop(made.events()[-1])
    return made


@harm(Question.CHAIN)
def all_events_are_dropped() -> Made:
    made = closed(told())
    for stem in made.events():
        made.drop(stem)
    return made


@harm(Question.COMPOSITION)
def an_item_that_is_listed_is_dropped() -> Made:
    made = closed(told())
    for name in [each for each in made.files if str(KNIFE) in each]:
        del made.files[name]
    return made


@harm(Question.COMPOSITION)
def it_is_of_another_format() -> Made:
    made = closed(told())
    made.files[layout.ABOUT] = made.files[layout.ABOUT].replace(b"/v2", b"/v1")
    return made


@harm(Question.DISCLOSURE, LARGER)
def a_disclosure_is_changed() -> Made:
    made = closed(told())
    text = base64.urlsafe_b64encode(b'["x","place","Elsewhere"]').rstrip(b"=")
    made.files[made.events()[0] + ".disclosed"] = text + b"\n"
    return made


@harm(Question.INCLUSION)
def the_item_key_is_another() -> Made:
    made = closed(told())
    made.files[layout.key_path(VIDEO)] = b"00" * 32 + b"\n"
    return made


def proof_of(made: Made) -> tuple[str, LogProof]:
    path = made.events()[-1] + ".tlog-proof"
    return path, LogProof.parse(made.files[path])


@harm(Question.INCLUSION)
def the_proof_is_of_another_leaf() -> Made:
    made = closed(told())
    one, other = (stem + ".tlog-proof" for stem in made.events()[:2])
    made.files[one] = made.files[other]
    return made


@harm(Question.INCLUSION)
def the_proof_is_too_short() -> Made:
    made = closed(told())
    path, proof = proof_of(made)
    made.files[path] = str(LogProof(proof.index, proof.hashes[:-1], proof.note)).encode()
    return made


@harm(Question.INCLUSION)
def the_proof_is_too_long() -> Made:
    made = closed(told())
    path, proof = proof_of(made)
    hashes = (*proof.hashes, *[proof.hashes[-1]] * 3)
    made.files[path] = str(LogProof(proof.index, hashes, proof.note)).encode()
    return made


@harm(Question.INCLUSION)
def the_proof_is_empty() -> Made:
    made = closed(told())
    path, proof = proof_of(made)
    made.files[path] = str(LogProof(proof.index, (), proof.note)).encode()
    return made


@harm(Question.INCLUSION)
def the_proof_has_another_index() -> Made:
    made = closed(told())
    path, proof = proof_of(made)
    made.files[path] = str(LogProof(proof.index - 1, proof.hashes, proof.note)).encode()
    return made


@harm(Question.INCLUSION)
def the_index_is_spelled_as_an_octal_number() -> Made:
    made = closed(told())
    path, proof = proof_of(made)
    content = str(proof).replace(f"index {proof.index}", f"index 0{proof.index:o}")
    made.files[path] = content.encode()
    return made


@harm(Question.INCLUSION)
def the_checkpoint_in_a_proof_has_another_size() -> Made:
    made = closed(told())
    path, proof = proof_of(made)
    size = Checkpoint.of(proof.note).size
    made.files[path] = str(proof).replace(f"\n{size}\n", f"\n{size + 1}\n").encode()
    return made


@harm(Question.INCLUSION)
def the_checkpoint_in_a_proof_is_of_another_log() -> Made:
    made = closed(told())
    path, proof = proof_of(made)
    made.files[path] = str(proof).replace("si/package", "si/packagf").encode()
    return made


@harm(Question.INCLUSION)
def the_checkpoint_in_a_proof_is_signed_by_nobody_known() -> Made:
    made = closed(told())
    path, proof = proof_of(made)
    text = str(proof)
    for line in map(str, proof.note.signatures):
        text = text.replace(line, line.replace(".invalid", ".unknown"))
    made.files[path] = text.encode()
    return made


@harm(Question.INCLUSION)
def the_checkpoint_of_a_proof_is_not_enclosed() -> Made:
    made = closed(told())
    del made.files[layout.checkpoint_path(5)]
    del made.files[layout.consistency_path(5, 10)]
    return made


@harm(Question.KEYS)
def the_first_entry_of_the_log_is_dropped() -> Made:
    made = closed(told())
    made.drop(layout.control_path(0, "json").removesuffix(".json"))
    return made


@harm(Question.SIGNATURE)
def the_registration_of_the_key_is_dropped() -> Made:
    made = closed(told())
    made.drop(layout.control_path(1, "json").removesuffix(".json"))
    return made


@harm(Question.KEYS)
def a_registration_is_changed() -> Made:
    made = closed(told())
    path = layout.control_path(1, "json")
    made.files[path] = made.files[path].replace(b"An office", b"My office")
    return made


@harm(Question.CHECKPOINT, LARGER)
def the_consistency_of_two_checkpoints_is_not_proved() -> Made:
    made = closed(told())
    path = layout.consistency_path(5, 10)
    lines = made.files[path].splitlines(keepends=True)
    made.files[path] = b"".join(reversed(lines))
    return made


# ------------------------------------------- by whoever has the package, to its composition


def exported_twice() -> tuple[Made, Made]:
    """A first package, and a second one after something bad was recorded on both items."""
    found = told()
    first = closed(found)
    found.act(VIDEO, "damaged_declared", {"condition": "damaged"})
    found.act(KNIFE, "seal_checked", {"seals": ["A-1"], "check": "broken"})
    return first, closed(found)


def cut(made: Made, ern: Ern, events: int) -> None:
    """Leave only the first events of an item."""
    for stem in made.events(ern)[events:]:
        made.drop(stem)


def recomposed(made: Made, *items: ShownItem) -> None:
    """Say that the package is made of these items, as somebody without a key would."""
    known = Composition.parse(made.files[layout.ABOUT])
    made.files[layout.ABOUT] = replace(known, items=items).encode()


def shown(made: Made) -> tuple[ShownItem, ...]:
    return Composition.parse(made.files[layout.ABOUT]).items


@harm(Question.CHAIN)
def every_chain_is_cut_at_an_earlier_export() -> Made:
    first, second = exported_twice()
    for item in shown(first):
        cut(second, item.ern, item.events)
    return second


@harm(Question.CHAIN)
def one_chain_is_cut_at_an_earlier_export() -> Made:
    first, second = exported_twice()
    cut(second, KNIFE, len(first.events(KNIFE)))
    return second


@harm(Question.CHAIN)
def every_chain_is_cut_at_an_earlier_export_and_the_composition_says_so() -> Made:
    first, second = exported_twice()
    for item in shown(first):
        cut(second, item.ern, item.events)
    recomposed(second, *shown(first))
    return second


@harm(Question.CHAIN)
def an_item_is_taken_from_an_earlier_package() -> Made:
    first, second = exported_twice()
    for name in [each for each in second.files if str(KNIFE) in each]:
        del second.files[name]
    second.files |= {name: each for name, each in first.files.items() if str(KNIFE) in name}
    return second


@harm(Question.CHAIN)
def an_earlier_composition_is_put_over_a_longer_chain() -> Made:
    first, second = exported_twice()
    second.files[layout.ABOUT] = first.files[layout.ABOUT]
    return second


@harm(Question.CHAIN)
def an_item_is_dropped_and_the_composition_says_so() -> Made:
    made = closed(told())
    for name in [each for each in made.files if str(KNIFE) in each]:
        del made.files[name]
    recomposed(made, *(each for each in shown(made) if each.ern == VIDEO))
    return made


def without_versions(made: Made, *numbers: int) -> Made:
    for item in shown(made):
        for each in item.versions:
            if each.number in numbers:
                del made.files[layout.version_path(item.ern, each.number, each.kind)]
    return made


def with_versions(item: ShownItem, *numbers: int) -> ShownItem:
    return replace(item, versions=tuple(v for v in item.versions if v.number in numbers))


@harm(Question.COMPOSITION)
def the_original_is_dropped_and_the_redacted_version_kept() -> Made:
    return without_versions(closed(told()), 1)


@harm(Question.COMPOSITION)
def all_versions_are_dropped() -> Made:
    return without_versions(closed(told()), 1, 2)


@harm(Question.CHAIN)
def the_original_is_dropped_and_the_composition_says_so() -> Made:
    made = without_versions(closed(told()), 1)
    recomposed(made, *(with_versions(each, 2) for each in shown(made)))
    return made


@harm(Question.CHAIN)
def all_versions_are_dropped_and_the_composition_says_so() -> Made:
    made = without_versions(closed(told()), 1, 2)
    recomposed(made, *(with_versions(each) for each in shown(made)))
    return made


@harm(Question.CHAIN)
def the_package_is_said_to_be_another_than_was_exported() -> Made:
    made = closed(told())
    known = Composition.parse(made.files[layout.ABOUT])
    made.files[layout.ABOUT] = replace(known, package="0" * 32).encode()
    return made


@harm(Question.COMPOSITION)
def a_revocation_is_dropped() -> Made:
    found = told()
    index = found.revoke(LABORATORY, len(found.entries))
    found.seal()
    made = closed(found)
    made.drop(layout.control_path(index, "json").removesuffix(".json"))
    return made


@harm(Question.CHAIN)
def a_revocation_is_dropped_and_the_composition_says_so() -> Made:
    found = told()
    index = found.revoke(LABORATORY, len(found.entries))
    found.seal()
    made = closed(found)
    made.drop(layout.control_path(index, "json").removesuffix(".json"))
    known = Composition.parse(made.files[layout.ABOUT])
    control = tuple(each for each in known.control if each != index)
    made.files[layout.ABOUT] = replace(known, control=control).encode()
    return made


@harm(Question.COMPOSITION)
def the_composition_says_that_a_court_made_it() -> Made:
    made = closed(told())
    text = made.files[layout.ABOUT]
    made.files[layout.ABOUT] = text.replace(b'{"control"', b'{"by":"HR, Supreme Court","control"')
    return made


@harm(Question.COMPOSITION)
def the_composition_is_spelled_otherwise() -> Made:
    made = closed(told())
    made.files[layout.ABOUT] += b"\n"
    return made


@harm(Question.COMPOSITION)
def the_composition_is_missing() -> Made:
    made = closed(told())
    del made.files[layout.ABOUT]
    return made


@harm(Question.COMPOSITION)
def an_item_has_no_files_at_all() -> Made:
    made = closed(told())
    for name in [each for each in made.files if str(KNIFE) in each]:
        del made.files[name]
    return made


@harm(Question.COMPOSITION)
def a_redacted_copy_is_named_the_original() -> Made:
    made = closed(told())
    content = made.files.pop(layout.version_path(VIDEO, 2, "redacted"))
    made.files[layout.version_path(VIDEO, 2, "original")] = content
    del made.files[layout.version_path(VIDEO, 1, "original")]
    return made


@harm(Question.COMPOSITION)
def the_original_is_named_a_redacted_copy() -> Made:
    made = closed(told())
    content = made.files.pop(layout.version_path(VIDEO, 1, "original"))
    made.files[layout.version_path(VIDEO, 1, "redacted")] = content
    del made.files[layout.version_path(VIDEO, 2, "redacted")]
    return made


@harm(Question.COMPOSITION)
def a_version_is_numbered_as_a_power_of_ten() -> Made:
    made = closed(told())
    content = made.files.pop(layout.version_path(VIDEO, 1, "original"))
    made.files[f"data/items/{VIDEO}/versions/1e0-original"] = content
    return made


def composed_wrongly(change: Callable[[EnclosedVersion], EnclosedVersion]) -> Made:
    """An authority that signs for an enclosed version which is not what it measured."""
    found = told()
    known = found.composed()
    items = tuple(replace(item, versions=tuple(map(change, item.versions))) for item in known.items)
    found.composition = replace(known, items=items)
    for ern in sorted(found.stories, key=str):
        found.act(ern, "exported", found.composition.statement)
    found.seal()
    made = found.made()
    for item in known.items:
        for each in item.versions:
            path = layout.version_path(item.ern, each.number, each.kind)
            content = made.files.pop(path)
            new = change(each)
            made.files[layout.version_path(item.ern, new.number, new.kind)] = content
    return made


@harm(Question.CONTENT)
def the_export_signs_for_a_redacted_copy_as_the_original() -> Made:
    return composed_wrongly(lambda each: replace(each, kind="original"))


@harm(Question.CONTENT)
def the_export_signs_for_a_digest_that_nobody_measured() -> Made:
    return composed_wrongly(lambda each: replace(each, sha256=Digest.sha256_hex("0" * 64)))


@harm(Question.CHAIN)
def the_export_signs_for_fewer_events_than_there_are() -> Made:
    found = told()
    found.composition = found.composed(0)
    for ern in sorted(found.stories, key=str):
        found.act(ern, "exported", found.composition.statement)
    found.seal()
    made = found.made()
    for ern in (VIDEO, KNIFE):
        cut(made, ern, len(made.events(ern)))
    return made


def foreign(path: str) -> None:
    """A file that nobody signed for, where a court would take it for evidence."""

    def build() -> Made:
        made = closed(told())
        made.files[path] = b"a fake"
        return made

    build.__name__ = "a_foreign_file_is_" + path.replace("/", "_")
    harm(Question.COMPOSITION)(build)


for path in (
    f"data/items/{VIDEO}/video-original.mp4",
    f"data/items/{VIDEO}/versions/x/0001-original",
    f"data/items/{VIDEO}/versions/0003-enhanced",
    f"data/items/{VIDEO}/Versions.mp4",
    f"data/items/{VIDEO}/events/000099.json",
    f"data/items/{VIDEO}/events/000099.disclosed",
    "data/items/SI-2026-000009/versions/0001-original",
    f"data/evidence/{VIDEO}.mp4",
    "data/readme.txt",
    "data/control/000000000099.json",
    "data/checkpoints/video.mp4",
    "data/checkpoints/000000000001-000000000002.consistency",
    "data/timestamps/video.pem",
):
    foreign(path)


@harm(Question.DISCLOSURE)
def a_disclosure_stands_twice() -> Made:
    made = closed(told())
    made.files[made.events()[0] + ".disclosed"] *= 2
    return made


@harm(Question.CHECKPOINT, LARGER)
def a_proof_of_consistency_has_blank_lines() -> Made:
    made = closed(told())
    path = next(each for each in sorted(made.files) if each.endswith(".consistency"))
    made.files[path] = made.files[path].replace(b"\n", b"\n\n")
    return made


# -------------------------------------------------- by somebody within the authority


@harm(Question.SIGNATURE)
def an_event_is_signed_by_a_stranger() -> Made:
    found = told()
    found.act(VIDEO, "verified_match", signer=STRANGER)
    return closed(found)


@harm(Question.SIGNATURE)
def an_event_is_by_a_key_that_nobody_registered() -> Made:
    found = told()
    found.act(VIDEO, "verified_match", by=STRANGER)
    return closed(found)


@harm(Question.SIGNATURE)
def an_event_is_signed_by_the_root_key() -> Made:
    found = told()
    found.act(VIDEO, "verified_match", by=ROOT_KEY)
    return closed(found)


@harm(Question.KEYS)
def a_key_is_registered_after_the_event() -> Made:
    found = told()
    found.act(VIDEO, "verified_match", by=STRANGER)
    found.register(STRANGER)
    return closed(found)


@harm(Question.KEYS)
def a_key_was_revoked_before_the_event() -> Made:
    found = told()
    found.register(STRANGER)
    found.revoke(STRANGER, len(found.entries))
    found.act(VIDEO, "verified_match", by=STRANGER)
    return closed(found)


@harm(Question.KEYS)
def a_key_is_revoked_afterwards_from_before_the_event() -> Made:
    found = told()
    found.register(STRANGER)
    found.act(VIDEO, "verified_match", by=STRANGER)
    found.revoke(STRANGER, len(found.entries) - 1)
    return closed(found)


@harm(Question.KEYS)
def a_second_revocation_gives_a_key_more_time() -> Made:
    found = told()
    found.register(STRANGER)
    found.revoke(STRANGER, len(found.entries))
    found.act(VIDEO, "verified_match", by=STRANGER)
    found.revoke(STRANGER, 1000)
    return closed(found)


@harm(Question.KEYS)
def a_revoked_key_is_registered_anew() -> Made:
    found = told()
    found.revoke(LABORATORY, len(found.entries))
    found.register(LABORATORY)
    return closed(found)


@harm(Question.KEYS)
def a_key_is_not_registered_by_the_root() -> Made:
    found = told()
    found.register(STRANGER, signers=(POLICE,))
    return closed(found)


@harm(Question.KEYS)
def a_key_is_registered_that_its_owner_does_not_have() -> Made:
    found = told()
    found.register(STRANGER)
    index = max(found.controls)
    entry = found.controls[index]
    only_root = {ROOT_KEY: entry.signatures[ROOT_KEY]}
    found.controls[index] = ControlEntry(entry.body, only_root)
    found.entries[index] = found.controls[index].encode()
    return closed(found)


@harm(Question.KEYS)
def the_log_begins_a_second_time() -> Made:
    found = told()
    found.enter(found.controls[0])
    return closed(found)


@harm(Question.KEYS)
def an_entry_is_of_a_kind_that_nobody_knows() -> Made:
    found = told()
    entry = found.controls[1]
    body = {**entry.body, "entry": "keys", "kid": str(STRANGER)}
    message = b"evidence-control/v1\n" + canonical(body)
    signatures = {kid: found.keys.sign(kid, message) for kid in (ROOT_KEY, STRANGER)}
    found.enter(ControlEntry(body, signatures))
    return closed(found)


@harm(Question.TIME, LARGER)
def an_event_is_dated_back() -> Made:
    found = told()
    found.act(KNIFE, "verified_match", at=found.now - timedelta(days=365))
    return closed(found)


@harm(Question.TIME, LARGER)
def an_event_is_dated_forward() -> Made:
    found = told()
    found.act(KNIFE, "verified_match", at=found.now + timedelta(days=365))
    return closed(found)


@harm(Question.TIME, LARGER)
def an_anchor_comes_after_the_event() -> Made:
    found = told()
    found.act(VIDEO, "verified_match", anchor=Anchor(1000, b"\x01" * 32))
    return closed(found)


@harm(Question.TIME, LARGER)
def an_anchor_is_made_up() -> Made:
    found = told()
    found.act(VIDEO, "verified_match", anchor=Anchor(5, b"\x01" * 32))
    return closed(found)


@harm(Question.CHECKPOINT, LARGER)
def a_witness_did_not_cosign() -> Made:
    found = told()
    found.export()
    found.seal(without=("w2",))
    return found.made()


def rewritten() -> Made:
    """Another history of the same length, under all the same keys, the witnesses' too."""
    found = court()
    found.chance.drawn = 10_000
    return closed(told(found))


@harm(Question.INCLUSION)
def an_item_is_in_a_fork_of_the_log() -> Made:
    made, fork = closed(told()), rewritten()
    made.files |= {name: content for name, content in fork.files.items() if str(VIDEO) in name}
    return made


@harm(Question.CHECKPOINT, LARGER)
def a_checkpoint_is_of_a_fork_of_the_log() -> Made:
    made = closed(told())
    path = layout.checkpoint_path(5)
    made.files[path] = rewritten().files[path]
    return made


@harm(Question.CHAIN)
def the_authority_left_a_number_out() -> Made:
    found = told()
    found.act(KNIFE, "verified_match", seq=7)
    return closed(found)


@harm(Question.CHAIN)
def the_chain_only_looks_closed() -> Made:
    found = told()
    for ern in (VIDEO, KNIFE):
        found.act(ern, "verified_match", {"act": "exported"})
    found.seal()
    return found.made()


@harm(Question.CONTENT)
def a_version_is_measured_a_second_time_after_it_was_changed() -> Made:
    found = told()
    changed = b"a changed video"
    found.version(VIDEO, 1, changed, "enhanced")
    second = EnclosedVersion(1, "enhanced", fingerprint([changed]).sha256)
    known = found.composed()
    items = tuple(
        replace(each, versions=(second,)) if each.ern == VIDEO else each for each in known.items
    )
    found.composition = replace(known, items=items)
    for ern in sorted(found.stories, key=str):
        found.act(ern, "exported", found.composition.statement)
    found.seal()
    versions = found.stories[VIDEO].versions
    for number, kind in ((1, "original"), (2, "redacted")):
        del versions[layout.version_path(VIDEO, number, kind)]
    return found.made()


@harm(Question.COMPOSITION)
def a_content_is_of_no_version() -> Made:
    made = closed(told())
    made.files[layout.version_path(VIDEO, 3, "derivative")] = b"from nowhere"
    return made


# ------------------------------------------------------------------------------ by hand


def a_key() -> SoftKey:
    return SoftKey(SITE, RP_ID)


def answered_by(
    key: SoftKey,
    hand: Answer | None = None,
    spoil: Callable[[Answer], Answer] = dict,
) -> Made:
    """A package with an act on two items that this passkey signed."""
    return closed(told_by_hand(key, hand, spoil))


def spelt(field: str) -> Callable[[Callable[[bytes], bytes]], Callable[[dict[str, Json]], Answer]]:
    """Changes a field of an answer, in its bytes."""

    def changing(change: Callable[[bytes], bytes]) -> Callable[[dict[str, Json]], Answer]:
        def spoilt(answer: dict[str, Json]) -> Answer:
            return {**answer, field: to_base64url(change(from_base64url(str(answer[field]))))}

        return spoilt

    return changing


@harm(Question.BY_HAND)
def a_passkeys_answer_is_to_another_act() -> Made:
    found, key = told(), a_key()
    stale = key.record(hashlib.sha256(b"another act").digest())
    found.by_hand((VIDEO, "verified_match"), key=key, spoil=lambda answer: {**answer, **stale})
    found.seal()
    return closed(found)


@harm(Question.BY_HAND)
def a_passkeys_answer_is_used_for_a_second_act() -> Made:
    found, key = told(), a_key()
    found.by_hand((VIDEO, "verified_match"), key=key)
    return closed(reused(found, key))


def reused(found: Court, key: SoftKey) -> Court:
    """The answer to the last act of the video, kept with one more."""
    last = found.stories[VIDEO].events[-1][0].disclosed()["passkey"]
    assert isinstance(last, dict)
    found.by_hand((VIDEO, "verified_match"), key=key, spoil=lambda _: last)
    found.seal()
    return found


@harm(Question.BY_HAND)
def a_passkeys_signature_is_changed() -> Made:
    def flipped(signature: bytes) -> bytes:
        return signature[:-1] + bytes([signature[-1] ^ 1])

    return answered_by(a_key(), spoil=spelt("signature")(flipped))


@harm(Question.BY_HAND)
def an_ed25519_passkeys_signature_is_changed() -> Made:
    def flipped(signature: bytes) -> bytes:
        return bytes([signature[0] ^ 1]) + signature[1:]

    key = replace(a_key(), private=Ed25519PrivateKey.generate())
    return answered_by(key, spoil=spelt("signature")(flipped))


@harm(Question.BY_HAND)
def a_passkey_is_another_than_the_event_says() -> Made:
    return answered_by(a_key(), hand={"passkey": "0" * 64})


@harm(Question.BY_HAND)
def a_passkeys_key_is_replaced_by_that_of_another() -> Made:
    key, other = a_key(), a_key()
    return answered_by(key, spoil=lambda answer: {**answer, "public_key": coded(other.cose)})


@harm(Question.BY_HAND)
def a_passkeys_key_has_something_behind_it() -> Made:
    key = a_key()
    cose = key.cose + b"\0"
    hand: Answer = {"passkey": hashlib.sha256(cose).hexdigest()}
    return answered_by(key, hand=hand, spoil=lambda answer: {**answer, "public_key": coded(cose)})


@harm(Question.BY_HAND)
def a_passkey_answered_another_site() -> Made:
    return answered_by(replace(a_key(), origin="https://evil.example"))


@harm(Question.BY_HAND)
def a_passkey_answered_another_rp() -> Made:
    return answered_by(replace(a_key(), rp_id="evil.example"))


@harm(Question.BY_HAND)
def a_passkey_did_not_verify_its_user() -> Made:
    return answered_by(replace(a_key(), flags=PRESENT))


@harm(Question.BY_HAND)
def a_passkey_did_not_see_its_user() -> Made:
    return answered_by(replace(a_key(), flags=VERIFIED))


@harm(Question.BY_HAND)
def a_passkeys_answer_claims_to_be_an_enrolment() -> Made:
    return answered_by(replace(a_key(), flags=PRESENT | VERIFIED | ATTESTED))


@harm(Question.BY_HAND)
def a_passkey_answered_a_page_within_anothers() -> Made:
    return answered_by(Embedded(SITE, RP_ID))


@harm(Question.BY_HAND)
def a_passkeys_answer_is_at_another_place_of_the_act() -> Made:
    def moved(answer: dict[str, Json]) -> Answer:
        return {**answer, "index": 1 - int(str(answer["index"]))}

    return answered_by(a_key(), spoil=moved)


@harm(Question.BY_HAND)
def a_passkeys_answer_is_of_a_larger_act() -> Made:
    return answered_by(a_key(), spoil=lambda answer: {**answer, "size": 3})


@harm(Question.BY_HAND)
def a_passkeys_answer_leads_elsewhere() -> Made:
    return answered_by(a_key(), spoil=lambda answer: {**answer, "path": ["00" * 32]})


@harm(Question.BY_HAND)
def a_passkeys_answer_lacks_its_path() -> Made:
    return answered_by(a_key(), spoil=lambda answer: {**answer, "path": []})


@harm(Question.BY_HAND)
def an_event_hides_that_a_passkey_answered() -> Made:
    found, key = told(), a_key()
    body, disclosures = unsigned(
        Draft(VIDEO, "verified_match", {}, {"place": "Brod"}),
        Link(
            found.stories[VIDEO].key,
            len(found.stories[VIDEO].events),
            found.stories[VIDEO].events[-1][0].commitment,
        ),
        log=found.origin,
        by=POLICE,
        at=found.now,
        anchor=None,
        random=found.chance,
    )
    (answer,) = answers([body], key.record(challenge_of([body])))
    found.disclose(VIDEO, body, disclosures, answer)
    found.seal()
    return closed(found)


@harm(Question.BY_HAND)
def an_event_says_by_hand_in_a_way_that_cannot_be() -> Made:
    return answered_by(a_key(), hand={"officer": "A. Novak"})


class Embedded(SoftKey):
    """A passkey in a browser that shows the page within another site's."""

    def _client(self, kind: str, challenge: str) -> bytes:
        return super()._client(kind, challenge).replace(b"false", b"true")
