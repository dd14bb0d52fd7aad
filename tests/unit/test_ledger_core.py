"""The log's core: vectors that others wrote, properties, and what strict reading refuses."""

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.canonical import Json, canonical, parse_canonical
from evidence_store.errors import MalformedError, NotFoundError, ProofError
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.merkle import (
    Frontier,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from evidence_store.ledger.note import KeyType, Note, VerifierKey
from evidence_store.ledger.policy import Policy
from evidence_store.ledger.proof import LogProof
from evidence_store.ledger.signing import verified_by, verify_ed25519
from evidence_store.ledger.tiles import TileTree, bundle_path, grown, packed, tile_path, unpacked
from tests.signing import HeldKeys

SHARED = Path(os.environ.get("EVIDENCE_SHARED", Path(__file__).parents[3] / "shared"))
VECTORS = SHARED / "vectors" / "merkle"
ORIGIN = "log.invalid/test"

# ------------------------------------------------------------------------ vectors


def vectors(kind: str) -> list[Path]:
    return sorted((VECTORS / kind).rglob("*.json"))


@pytest.mark.skipif(not vectors("inclusion"), reason="the vectors of transparency-dev are not here")
def test_inclusion_agrees_with_the_vectors_of_others() -> None:
    checked = 0
    for path in vectors("inclusion"):
        case = json.loads(path.read_text())
        proof = [base64.b64decode(each) for each in case["proof"] or ()]
        root, leaf = base64.b64decode(case["root"]), base64.b64decode(case["leafHash"])
        accepted = True
        try:
            verify_inclusion(leaf, case["leafIdx"], case["treeSize"], proof, root)
        except ProofError:
            accepted = False
        strict = len(root) != 32 or len(leaf) != 32  # ours demands whole hashes
        assert accepted != case["wantErr"] or strict, path
        checked += 1
    assert checked > 20


@pytest.mark.skipif(
    not vectors("consistency"), reason="the vectors of transparency-dev are not here"
)
def test_consistency_agrees_with_the_vectors_of_others() -> None:
    checked = 0
    for path in vectors("consistency"):
        case = json.loads(path.read_text())
        proof = [base64.b64decode(each) for each in case["proof"] or ()]
        root1, root2 = base64.b64decode(case["root1"]), base64.b64decode(case["root2"])
        accepted = True
        try:
            verify_consistency(case["size1"], case["size2"], root1, root2, proof)
        except ProofError:
            accepted = False
        strict = len(root1) != 32 or len(root2) != 32
        assert accepted != case["wantErr"] or strict or case["size1"] == 0, path
        checked += 1
    assert checked > 20


# --------------------------------------------------------------------- properties


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return node_hash(naive_root(leaves[:split]), naive_root(leaves[split:]))


def built(batches: Sequence[int]) -> tuple[TileTree, list[bytes]]:
    """A log that grew by these batches, and its entries."""
    files: dict[str, bytes] = {}

    def read(path: str) -> bytes:
        if path not in files:
            raise NotFoundError(path)
        return files[path]

    entries: list[bytes] = []
    for count in batches:
        new = [
            hashlib.sha256(bytes([1]) + (len(entries) + i).to_bytes(4, "big")).digest()
            for i in range(count)
        ]
        size = len(entries)
        edge = unpacked(read(bundle_path(size // 256, size % 256))) if size % 256 else []
        _, more = grown(TileTree(read, size), edge, new)
        files |= more
        entries += new
    return TileTree(read, len(entries)), entries


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=5), st.data())
def test_however_a_log_grew_its_tiles_give_every_proof(
    batches: list[int], data: st.DataObject
) -> None:
    tree, entries = built(batches)
    size = data.draw(st.integers(1, len(entries)))
    index = data.draw(st.integers(0, size - 1))
    older = data.draw(st.integers(0, size))
    root = naive_root(entries[:size])
    assert tree.root_at(size) == root == root_of([leaf_hash(each) for each in entries[:size]])
    verify_inclusion(leaf_hash(entries[index]), index, size, tree.inclusion(index, size), root)
    old_root = naive_root(entries[:older])
    verify_consistency(older, size, old_root, root, tree.consistency(older, size))


@given(st.integers(0, 70))
def test_a_frontier_has_the_root_of_everything_it_took_in(count: int) -> None:
    leaves = [bytes([number]) for number in range(count)]
    frontier = Frontier()
    for each in leaves:
        frontier.append(leaf_hash(each))
    assert (frontier.root(), frontier.size) == (naive_root(leaves), count)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.data())
def test_a_proof_of_anything_else_is_refused(size: int, data: st.DataObject) -> None:
    tree, entries = built([size])
    index = data.draw(st.integers(0, size - 1))
    proof, root = tree.inclusion(index), tree.root()
    leaf = leaf_hash(entries[index])
    at = data.draw(st.integers(0, len(proof) - 1))
    bit = data.draw(st.integers(0, 255))
    flipped = bytearray(proof[at])
    flipped[bit // 8] ^= 1 << bit % 8
    wrong = [*proof[:at], bytes(flipped), *proof[at + 1 :]]
    for arguments in (
        (leaf, index, size, wrong, root),
        (leaf, index, size, proof[:-1], root),
        (leaf, index, size, [*proof, proof[-1]], root),
        (leaf, index ^ 1, size, proof, root),
        (leaf, size, size, proof, root),
        (leaf, -1, size, proof, root),
        (leaf_hash(b"other"), index, size, proof, root),
        (leaf, index, size, proof, leaf),
        (leaf[:31], index, size, proof, root),
    ):
        with pytest.raises(ProofError):
            verify_inclusion(*arguments)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.data())
def test_a_log_that_was_rewritten_is_not_consistent(size: int, data: st.DataObject) -> None:
    tree, entries = built([size])
    older = data.draw(st.integers(1, size - 1))
    changed = data.draw(st.integers(0, older - 1))
    forged = [*entries[:changed], b"other", *entries[changed + 1 : older]]
    proof = tree.consistency(older)
    with pytest.raises(ProofError):
        verify_consistency(older, size, naive_root(forged), tree.root(), proof)
    with pytest.raises(ProofError):
        verify_consistency(older, size, tree.root_at(older), tree.root(), proof[:-1])
    with pytest.raises(ProofError):
        verify_consistency(older, size, tree.root_at(older), tree.root(), [*proof, proof[0]])
    with pytest.raises(ProofError):
        verify_consistency(size, older, tree.root(), tree.root_at(older), proof)


def test_tiles_lie_where_tlog_tiles_says() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(2, 5, 17) == "tile/2/005.p/17"
    assert bundle_path(1000) == "tile/entries/x001/000"


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_gives_back_its_entries(entries: list[bytes]) -> None:
    assert unpacked(packed(entries)) == entries
    with pytest.raises(MalformedError):
        unpacked(packed([*entries, b"xx"])[:-1])


KEYS = st.text(st.characters(max_codepoint=127))
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES))
def test_canonical_json_is_that_of_rfc_8785(value: dict[str, Json]) -> None:
    content = canonical(value)
    assert content == rfc8785.dumps(value)
    assert parse_canonical(content, "value") == value


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"a":1.5}', b'{"a":1,"a":1}', b'{ "a":1}', b'{"b":1,"a":1}', b'{"a":1e2}', b'{"a":NaN}', b"\xff", b'{"\xc3\xa9":1}'],
)  # fmt: skip
def test_what_is_not_canonical_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_canonical(content, "value")


@pytest.mark.parametrize(
    "value", [1.5, 2**53, {"é": 1}, {1: 1}, "\ud800", [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]
)
def test_what_languages_read_differently_is_not_written(value: object) -> None:
    with pytest.raises(MalformedError):
        canonical({"a": value})  # type: ignore[dict-item] # that is the point


# ---------------------------------------------------------------- notes, checkpoints

SIGNERS = HeldKeys().log_signers(ORIGIN)
ROOT = hashlib.sha256(b"root").digest()
CHECKPOINT = Checkpoint(ORIGIN, 7, ROOT)
NOTE = Note(CHECKPOINT.text, tuple(each.sign(CHECKPOINT, 1_700_000_000) for each in SIGNERS))
POLICY = Policy.parse("".join(f"log {each.key}\n" for each in SIGNERS) + "quorum none\n")


def test_a_note_is_read_as_it_was_written() -> None:
    assert Note.parse(NOTE.encode()) == NOTE
    assert Checkpoint.of(NOTE) == CHECKPOINT
    assert [verified_by(NOTE, each.key) for each in SIGNERS] == [0, 1_700_000_000]
    assert POLICY.checked(NOTE).checkpoint == CHECKPOINT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n7\n", "\n8\n"),
        ("\n7\n", "\n07\n"),
        ("\n7\n", "\n7 \n"),
        ("log.invalid/test\n7", "log.invalid/tesT\n7"),
        (base64.b64encode(ROOT).decode(), base64.b64encode(ROOT[::-1]).decode()),
        (base64.b64encode(ROOT).decode(), base64.b64encode(ROOT).decode()[:-2] + "1="),
        ("=\n\n", "=\nextension\n\n"),
        ("\u2014", "-"),
        ("\n\n", "\n"),
        ("\n7\n", "\n7\x01\n"),
    ],
)
def test_a_checkpoint_that_was_changed_is_refused(old: str, new: str) -> None:
    changed = NOTE.encode().decode().replace(old, new, 1).encode()
    assert changed != NOTE.encode()
    with pytest.raises((MalformedError, ProofError)):
        POLICY.checked(Note.parse(changed))


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.key.type.name)
def test_a_known_key_that_signed_badly_refuses_the_note(signer: object) -> None:
    lines = [each for each in NOTE.signatures if not each.is_by(signer.key)]  # type: ignore[attr-defined]
    (own,) = [each for each in NOTE.signatures if each.is_by(signer.key)]  # type: ignore[attr-defined]
    bad = type(own)(own.name, own.key_id, own.value[:-1] + bytes([own.value[-1] ^ 1]))
    with pytest.raises(ProofError):
        POLICY.checked(Note(NOTE.text, (*lines, bad)))
    with pytest.raises(ProofError):
        POLICY.checked(Note(NOTE.text, tuple(lines)))


def test_an_unknown_key_is_passed_over() -> None:
    stranger = HeldKeys().log_signers("stranger.invalid/x")[0]
    more = NOTE.with_signatures([stranger.sign(CHECKPOINT, 1)])
    assert POLICY.checked(more).checkpoint == CHECKPOINT


def test_a_vkey_has_one_spelling_and_the_id_of_its_key() -> None:
    for each in SIGNERS:
        assert VerifierKey.parse(str(each.key)) == each.key
    text = str(SIGNERS[0].key)
    name, key_id, encoded = text.split("+", 2)
    for wrong in (
        f"{name}+{'0' * 8}+{encoded}",
        f"{name}x+{key_id}+{encoded}",
        f"{name}+{key_id}+{encoded[:-1]}",
        f"{name}+{key_id}+{encoded} ",
        "",
        "+" * 5,
    ):
        with pytest.raises(MalformedError):
            VerifierKey.parse(wrong)
    with pytest.raises(MalformedError):
        VerifierKey("two words", KeyType.ED25519, bytes(32))


def test_a_key_under_which_anything_verifies_is_refused() -> None:
    one = (1).to_bytes(32, "little")  # the neutral point
    with pytest.raises(ProofError):
        verify_ed25519(one, one + bytes(32), b"any message")


def test_a_proof_is_read_as_it_was_written_and_nothing_else_is() -> None:
    proof = LogProof(3, (ROOT, ROOT[::-1]), NOTE)
    text = str(proof).encode()
    assert LogProof.parse(text) == proof
    for wrong in (
        text.replace(b"@v1", b"@v2"),
        text.replace(b"index 3", b"index 03"),
        text.replace(b"index 3", b"index -3"),
        text.replace(base64.b64encode(ROOT), base64.b64encode(ROOT[:31])),
        text.split(b"\n\n")[0],
        b"",
    ):
        with pytest.raises(MalformedError):
            LogProof.parse(wrong)


LOG = f"log {SIGNERS[0].key}\n"
W1, W2 = (HeldKeys().log_signers(f"w{number}.invalid")[1].key for number in (1, 2))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quorum none\n",
        LOG,
        LOG + LOG + "quorum none\n",
        LOG + "quorum none\nquorum none\n",
        LOG + "quorum q\n",
        LOG + f"witness a {W1}\nwitness a {W2}\nquorum a\n",
        LOG + f"witness a {W1}\nwitness b {W1}\nquorum a\n",
        LOG + f"witness a {W1}\ngroup g 2 a\nquorum g\n",
        LOG + f"witness a {W1}\ngroup g 0 a\nquorum g\n",
        LOG + f"witness a {W1}\ngroup g any a a\nquorum g\n",
        LOG + f"witness a {W1}\ngroup g any b\nquorum g\n",
        LOG + f"witness none {W1}\nquorum none\n",
        LOG + "trust me\nquorum none\n",
    ],
)
def test_a_policy_that_is_ambiguous_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Policy.parse(text)


def test_a_quorum_is_what_the_policy_says() -> None:
    text = LOG + f"witness a {W1}\nwitness b {W2}\n"
    cosigners = [HeldKeys().log_signers(f"w{number}.invalid")[1] for number in (1, 2)]
    one = NOTE.with_signatures([cosigners[0].sign(CHECKPOINT, 5)])
    both = one.with_signatures([cosigners[1].sign(CHECKPOINT, 9)])
    every = Policy.parse(text + "group g all a b\nquorum g\n")
    some = Policy.parse(text + "group g any a b\nquorum g\n")
    assert some.checked(one).cosigned == {"a": 5}
    assert every.checked(both).cosigned == {"a": 5, "b": 9}
    for policy, note in ((every, one), (some, NOTE)):
        with pytest.raises(ProofError):
            policy.checked(note)
    assert Policy.parse(str(every)) == every
