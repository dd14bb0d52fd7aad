"""Packages made in memory: a log, its witnesses and its keys, and every step that can go wrong.

`Made` is what an exporter would have written, file by file; a test changes what it likes in it,
and `zipped` or `unfolded` gives it manifests again, as whoever changes a package would.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evidence_store.canonical import Json
from evidence_store.digest import fingerprint
from evidence_store.identifiers import ROOT, AuthorityId, Ern, KeyId, StateCode
from evidence_store.ledger import control
from evidence_store.ledger.by_hand import answers, challenge_of, with_digest
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.control import ControlEntry
from evidence_store.ledger.event import (
    Anchor,
    Draft,
    Event,
    Link,
    SignedEvent,
    composed,
    disclosed_as,
    disclosure_digest,
    leaf,
    signed_as,
    unsigned,
)
from evidence_store.ledger.note import Note
from evidence_store.ledger.policy import Group, Policy, Witness
from evidence_store.ledger.proof import LogProof
from evidence_store.ledger.tiles import TileTree, grown
from evidence_store.package import layout
from evidence_store.package.bag import BagWriter
from evidence_store.package.composition import Composition, EnclosedVersion, ShownItem
from evidence_store.package.items import measured
from evidence_store.package.verification import encoded_hashes
from storage.ledger.files import TileMemory
from tests.signing import LABORATORY, POLICE, HeldKeys
from tests.softkey import SoftKey
from tests.vaults import Chance
from tests.witnesses import witness_signers

ORIGIN = "log.invalid/si/package"
STATE = StateCode("SI")
ROOT_KEY = KeyId(STATE, ROOT, 1)
STRANGER = KeyId(STATE, AuthorityId("stranger"), 1)
START = datetime(2026, 3, 14, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
VIDEO, KNIFE = Ern(STATE, 2026, 1), Ern(STATE, 2026, 2)
ORIGINAL, REDACTED = b"the whole video" * 9000, b"the video without a face"
NAMES = ("w1", "w2")
SITE, RP_ID = "https://evidence.example", "evidence.example"


@dataclass
class Made:
    """A package's files but for the manifests, and the policy of a court that trusts the log."""

    files: dict[str, bytes]
    policy: Policy

    def events(self, ern: Ern = VIDEO) -> list[str]:
        """The events of an item, each without the ending of its file."""
        return sorted(
            name.removesuffix(".json")
            for name in self.files
            if name.startswith(f"data/items/{ern}/events/") and name.endswith(".json")
        )

    def drop(self, stem: str) -> None:
        for name in [each for each in self.files if each.startswith(f"{stem}.")]:
            del self.files[name]

    def flip(self, name: str, at: int = -1) -> None:
        content = bytearray(self.files[name])
        content[at] ^= 1
        self.files[name] = bytes(content)


@dataclass
class Story:
    """An item as its builder knows it."""

    key: bytes
    events: list[tuple[SignedEvent, int]] = field(default_factory=list)
    versions: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Court:
    """A log, and items in it. A minute goes by at each step."""

    keys: HeldKeys = field(default_factory=HeldKeys)
    chance: Chance = field(default_factory=Chance)
    origin: str = ORIGIN
    now: datetime = START
    entries: list[bytes] = field(default_factory=list)
    controls: dict[int, ControlEntry] = field(default_factory=dict)
    stories: dict[Ern, Story] = field(default_factory=dict)
    notes: dict[int, Note] = field(default_factory=dict)
    composition: Composition | None = None  # of the last export

    def __post_init__(self) -> None:
        self.signers = self.keys.log_signers(self.origin)
        self.witnesses = {name: witness_signers(f"witness.invalid/{name}")[0] for name in NAMES}
        self._tree = TileTree(TileMemory().read, 0)
        root = (ROOT_KEY, self.keys.public(ROOT_KEY))
        vkeys = [each.key for each in self.signers]
        self.enter(control.genesis(self.origin, STATE, root, vkeys, self.keys.sign))

    @property
    def policy(self) -> Policy:
        """Both witnesses must have cosigned."""
        witnesses = {name: Witness(name, each.key) for name, each in self.witnesses.items()}
        group = Group("both", len(NAMES), NAMES)
        logs = dict.fromkeys(each.key for each in self.signers)
        return Policy(logs, witnesses, {"both": group}, "both")

    def enter(self, entry: ControlEntry) -> int:
        """A control entry; gives its index."""
        self.now += MINUTE
        self.controls[len(self.entries)] = entry
        self.entries.append(entry.encode())
        return len(self.entries) - 1

    def register(self, kid: KeyId, *, signers: tuple[KeyId, ...] = (ROOT_KEY,)) -> int:
        public = self.keys.public(kid)
        signing = [*signers, kid]
        return self.enter(
            control.registration(self.origin, "An office", kid, public, signing, self.keys.sign)
        )

    def revoke(self, kid: KeyId, from_index: int) -> int:
        return self.enter(
            control.revocation(self.origin, kid, from_index, "lost", ROOT_KEY, self.keys.sign)
        )

    def act(
        self,
        ern: Ern,
        act: str,
        data: Mapping[str, Json] | None = None,
        *,
        by: KeyId = POLICE,
        at: datetime | None = None,
        anchor: Anchor | None = None,
        seq: int | None = None,
        signer: KeyId | None = None,
    ) -> SignedEvent:
        """An act, as the log's next entry. `signer` is the key that signs in the name of `by`."""
        self.now += MINUTE
        story = self.stories.setdefault(ern, Story(self.chance(32)))
        head = story.events[-1][0].commitment if story.events else None
        newest = self.notes[max(self.notes)] if self.notes else None
        if newest is not None and anchor is None:
            checkpoint = Checkpoint.of(newest)
            anchor = Anchor(checkpoint.size, checkpoint.root)
        signed = composed(
            Draft(ern, act, data or {}, {"place": "Brod", "officer": "A. Novak"}),
            Link(story.key, len(story.events) if seq is None else seq - 1, head),
            log=self.origin,
            by=by,
            at=at or self.now,
            anchor=anchor,
            sign=lambda message: self.keys.sign(signer or by, message),
            random=self.chance,
        )
        story.events.append((signed, len(self.entries)))
        entry = leaf(story.key, signed.event.seq, signed.commitment)
        self.entries.append(entry)
        return signed

    def by_hand(
        self,
        *acts: tuple[Ern, str],
        key: SoftKey | None = None,
        hand: dict[str, Json] | None = None,
        spoil: Callable[[dict[str, Json]], Mapping[str, Json]] = dict,
    ) -> None:
        """Acts that an officer signed with one answer of a passkey. `spoil` changes what is kept."""
        key = key or SoftKey(SITE, RP_ID)
        said: dict[str, Json] = {
            "origin": SITE, "passkey": hashlib.sha256(key.cose).hexdigest(), "rp_id": RP_ID,
        }  # fmt: skip
        said = said if hand is None else said | hand
        self.now += MINUTE
        made = []
        for ern, act in acts:
            story = self.stories[ern]
            link = Link(story.key, len(story.events), story.events[-1][0].commitment)
            draft = Draft(ern, act, {"by_hand": said}, {"place": "Brod", "officer": "A. Novak"})
            made.append(
                unsigned(
                    draft, link, log=self.origin, by=POLICE, at=self.now, anchor=None,
                    random=self.chance,
                )
            )  # fmt: skip
        bodies = [body for body, _ in made]
        kept = answers(bodies, key.record(challenge_of(bodies)))
        for (ern, _), (body, disclosures), answer in zip(acts, made, kept, strict=True):
            self.disclose(ern, body, disclosures, dict(spoil(answer)))

    def disclose(
        self, ern: Ern, body: bytes, disclosures: tuple[str, ...], answer: Mapping[str, Json]
    ) -> None:
        """Enter the event with the answer, whatever that is."""
        own = disclosed_as(self.chance, "passkey", dict(answer))
        whole = with_digest(body, Event.parse(body), disclosure_digest(own))
        signed = signed_as(
            whole, (*disclosures, own), lambda message: self.keys.sign(POLICE, message)
        )
        story = self.stories[ern]
        story.events.append((signed, len(self.entries)))
        self.entries.append(leaf(story.key, signed.event.seq, signed.commitment))

    def version(self, ern: Ern, number: int, content: bytes, kind: str = "original") -> None:
        """A version that is brought, and enclosed."""
        known = fingerprint([content])
        measured: dict[str, Json] = {
            "version": number,
            "sha256": known.sha256.hex,
            "blake3": known.blake3.hex,
            "size_bytes": known.size_bytes,
        }
        data: dict[str, Json] = {"case": "SI-CASE-0001", "kind": "video", "measured": [measured]}
        if kind == "original":
            self.act(ern, "registered", data)
        else:
            self.act(ern, "version_added", {**data, "type": kind})
        self.stories[ern].versions[layout.version_path(ern, number, kind)] = content

    def composed(self, more_events: int = 1) -> Composition:
        """What a package of all there is now would be made of."""
        items: list[ShownItem] = []
        for ern, story in sorted(self.stories.items(), key=lambda each: str(each[0])):
            known = measured([signed for signed, _ in story.events])
            enclosed = [
                EnclosedVersion(number, each.kind, each.sha256)
                for number, each in sorted(known.items())
                if layout.version_path(ern, number, each.kind) in story.versions
            ]
            items.append(ShownItem(ern, len(story.events) + more_events, tuple(enclosed)))
        return Composition(self.chance(16).hex(), tuple(items), tuple(sorted(self.controls)))

    def export(self) -> None:
        """Record the export of all items: it signs what the package is made of."""
        self.composition = self.composed()
        for ern in sorted(self.stories, key=str):
            self.act(ern, "exported", self.composition.statement)

    def seal(self, *, without: tuple[str, ...] = ()) -> Note:
        """A checkpoint over all entries, signed by the log and cosigned by the witnesses."""
        self.now += MINUTE
        tree = self._grown()
        checkpoint = Checkpoint(self.origin, tree.size, tree.root())
        note = self.noted(checkpoint, without=without)
        self.notes[tree.size] = note
        return note

    def noted(self, checkpoint: Checkpoint, *, without: tuple[str, ...] = ()) -> Note:
        """A checkpoint with its signatures, as of now."""
        at = int(self.now.timestamp())
        cosigners = [each for name, each in self.witnesses.items() if name not in without]
        lines = tuple(each.sign(checkpoint, at) for each in (*self.signers, *cosigners))
        return Note(checkpoint.text, lines)

    def proof(self, index: int, size: int | None = None) -> LogProof:
        """Against the first sealed checkpoint that has the entry."""
        size = min(each for each in self.notes if each > index) if size is None else size
        return LogProof(index, tuple(self._grown().inclusion(index, size)), self.notes[size])

    def made(self) -> Made:
        """The package of all items."""
        files = {
            layout.ABOUT: (self.composition or self.composed(0)).encode(),
            layout.POLICY: str(self.policy).encode(),
            layout.REPORT: b"<!doctype html>",
        }
        for index, entry in self.controls.items():
            files[layout.control_path(index, "json")] = entry.encode()[1:]
            files[layout.control_path(index, "tlog-proof")] = str(self.proof(index)).encode()
        for ern, story in self.stories.items():
            files |= story.versions
            files[layout.key_path(ern)] = f"{story.key.hex()}\n".encode()
            for signed, index in story.events:
                seq = signed.event.seq
                files[layout.event_path(ern, seq, "json")] = signed.body
                files[layout.event_path(ern, seq, "sig")] = signed.signature
                shown = signed.with_disclosures(["place", "passkey"]).disclosures
                lines = "".join(f"{each}\n" for each in shown).encode()
                files[layout.event_path(ern, seq, "disclosed")] = lines
                files[layout.event_path(ern, seq, "tlog-proof")] = str(self.proof(index)).encode()
        newest = max(self.notes)
        tree = self._grown()
        for size, note in self.notes.items():
            files[layout.checkpoint_path(size)] = note.encode()
            if size != newest:
                hashes = encoded_hashes(tree.consistency(size, newest))
                files[layout.consistency_path(size, newest)] = hashes
        return Made(files, self.policy)

    def _grown(self) -> TileTree:
        if self._tree.size != len(self.entries):
            tiles = TileMemory()
            size, files = grown(TileTree(tiles.read, 0), (), self.entries)
            tiles.write(files)
            self._tree = TileTree(tiles.read, size)
        return self._tree


def court() -> Court:
    """A log whose keys are registered and sealed: the first act may follow."""
    found = Court()
    found.register(POLICE)
    found.register(LABORATORY)
    found.seal()
    return found


def told(found: Court | None = None) -> Court:
    """A video with a redacted version and an exhibit, each step sealed on the way."""
    found = found or court()
    found.version(VIDEO, 1, ORIGINAL)
    found.act(KNIFE, "registered", {"case": "SI-CASE-0001", "kind": "physical", "seals": ["A-1"]})
    found.seal()
    found.version(VIDEO, 2, REDACTED, "redacted")
    found.act(KNIFE, "seal_checked", {"seals": ["A-1"], "check": "intact"})
    found.by_hand((KNIFE, "verified_match"))
    found.seal()
    return found


def told_by_hand(
    key: SoftKey | None = None,
    hand: dict[str, Json] | None = None,
    spoil: Callable[[dict[str, Json]], Mapping[str, Json]] = dict,
) -> Court:
    """The same, and an act on both items that an officer signed by hand with one answer."""
    found = told()
    found.by_hand(
        (VIDEO, "verified_match"), (KNIFE, "verified_match"), key=key, hand=hand, spoil=spoil
    )
    found.seal()
    return found


def closed(found: Court) -> Made:
    """The package, after the export was recorded on every item."""
    found.export()
    found.seal()
    return found.made()


def zipped(made: Made) -> io.BytesIO:
    """As the one file that a court gets, with manifests that fit."""
    file = io.BytesIO()
    bag = BagWriter(file, START)
    for name, content in made.files.items():
        bag.add(name, content)
    bag.finish({"Source-Organization": "SI, Police"})
    file.seek(0)
    return file


def unfolded(made: Made, folder: Path) -> Path:
    """As a folder, with manifests that fit."""
    for name, content in (made.files | manifests(made.files)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def manifests(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The tag files of a bag."""
    tags = {
        "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "bag-info.txt": b"Source-Organization: SI, Police\n",
    }
    payload = {name: content for name, content in files.items() if name.startswith("data/")}
    tags["manifest-sha256.txt"] = _listed(payload)
    others = {name: content for name, content in files.items() if name not in payload}
    return {**tags, "tagmanifest-sha256.txt": _listed({**others, **tags})}


def _listed(files: Mapping[str, bytes]) -> bytes:
    return "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(files.items())
    ).encode()
