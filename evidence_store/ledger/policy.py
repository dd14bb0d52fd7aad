"""Policies (C2SP tlog-policy): which logs and witnesses somebody trusts, and how many must agree.

This is the file a court is given, or writes itself. It is the only thing that a verifier
trusts; a policy that comes with a package is shown, never believed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from evidence_store.errors import MalformedError, ProofError
from evidence_store.ledger.checkpoint import Checkpoint
from evidence_store.ledger.note import KeyType, Note, VerifierKey
from evidence_store.ledger.signing import verified_by

NONE = "none"
_LOG_KEYS = (KeyType.ED25519, KeyType.MLDSA44_COSIGNATURE)
_WITNESS_KEYS = (KeyType.ED25519_COSIGNATURE, KeyType.MLDSA44_COSIGNATURE)


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness by its name in this policy, and where to ask it."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """`threshold` of its members must agree."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A checkpoint that satisfies a policy, and when each witness cosigned it (POSIX seconds)."""

    checkpoint: Checkpoint
    note: Note
    cosigned: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Policy:
    """Logs by vkey, with their address if any; witnesses, groups, and the quorum by name."""

    logs: Mapping[VerifierKey, str | None]
    witnesses: Mapping[str, Witness]
    groups: Mapping[str, Group]
    quorum: str

    def checked(self, note: Note) -> Sealed:
        """The checkpoint in the note, if a log of this policy and a quorum signed it.

        Every key of the log that the policy names must have signed: one that was left out
        could have been the only one that is not broken.

        Raises:
            ProofError: if it does not satisfy the policy, or a known key signed badly.
            MalformedError: if it is no checkpoint.
        """
        checkpoint = Checkpoint.of(note)
        keys = [key for key in self.logs if key.name == checkpoint.origin]
        if not keys:
            raise ProofError(f"checkpoint: expected a log of the policy, found {checkpoint.origin}")
        for key in keys:
            if verified_by(note, key) is None:
                raise ProofError(
                    f"checkpoint: expected a signature of the log by its key {key.key_id.hex()}"
                )
        times = {name: verified_by(note, each.key) for name, each in self.witnesses.items()}
        cosigned = {name: at for name, at in times.items() if at is not None}
        if self.quorum != NONE and self.quorum not in self._agreeing(cosigned):
            raise ProofError(
                f"checkpoint: expected the quorum {self.quorum}, found cosignatures of "
                f"{', '.join(sorted(cosigned)) or 'nobody'}"
            )
        return Sealed(checkpoint, note, cosigned)

    def _agreeing(self, cosigned: Iterable[str]) -> set[str]:
        """The witnesses that cosigned and the groups that thereby agree.

        A group knows only names above it, so that one pass is enough however deep they lie.
        """
        agreeing = set(cosigned)
        for group in self.groups.values():
            if sum(each in agreeing for each in group.members) >= group.threshold:
                agreeing.add(group.name)
        return agreeing

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for key, url in self.logs.items():
            yield f"log {key}" + (f" {url}" if url else "")
        for each in self.witnesses.values():
            yield f"witness {each.name} {each.key}" + (f" {each.url}" if each.url else "")
        for group in self.groups.values():
            yield f"group {group.name} {group.threshold} {' '.join(group.members)}"
        yield f"quorum {self.quorum}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a policy.

        Raises:
            MalformedError: naming the line, if it is not one.
        """
        if re.search(r"[^\t\n\x20-\x7e\x80-\U0010ffff]", text):
            raise MalformedError(
                "policy: expected no control characters, and lines that end in \\n"
            )
        reading = _Reading()
        for number, line in enumerate(text.split("\n"), start=1):
            words = re.findall(r"[^ \t]+", line)
            if not words or words[0].startswith("#"):
                continue
            try:
                reading.take(words)
            except MalformedError as error:
                raise MalformedError(f"policy, line {number}: {error}") from None
        if reading.quorum is None or not reading.logs:
            raise MalformedError("policy: expected a log and a quorum line")
        return cls(reading.logs, reading.witnesses, reading.groups, reading.quorum)


@dataclass(slots=True)
class _Reading:
    logs: dict[VerifierKey, str | None] = field(default_factory=dict)
    witnesses: dict[str, Witness] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str | None = None
    _members: set[str] = field(default_factory=set)

    def take(self, words: list[str]) -> None:
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                key = self._new_key(vkey, _LOG_KEYS)
                self.logs[key] = url[0] if url else None
            case ["witness", name, vkey, *url] if len(url) <= 1:
                key = self._new_key(vkey, _WITNESS_KEYS)
                self._unknown_name(name)
                self.witnesses[name] = Witness(name, key, url[0] if url else None)
            case ["group", name, threshold, *members] if members:
                self._unknown_name(name)
                for each in members:  # before the name is known: no group is in itself
                    self._join(each)
                self.groups[name] = Group(name, _threshold(threshold, members), tuple(members))
            case ["quorum", name] if self.quorum is None:
                if name != NONE:
                    self._known(name)
                self.quorum = name
            case _:
                raise MalformedError("expected log, witness, group or quorum", found=words[0])

    def _new_key(self, vkey: str, types: tuple[KeyType, ...]) -> VerifierKey:
        key = VerifierKey.parse(vkey)
        if key.type not in types:
            raise MalformedError(f"a key of type {key.type.name} in another role than its own")
        # By the key alone: under two names, one cosignature would be counted as two.
        keys = (*self.logs, *(each.key for each in self.witnesses.values()))
        if any(each.public == key.public for each in keys):
            raise MalformedError("a key that stands here already")
        return key

    def _unknown_name(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise MalformedError(f"the name {name!r} is taken")

    def _known(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise MalformedError(f"there is no witness or group {name!r} above")

    def _join(self, name: str) -> None:
        self._known(name)
        if name in self._members:
            raise MalformedError(f"{name!r} is a member already")
        self._members.add(name)


def _threshold(text: str, members: list[str]) -> int:
    if text in {"any", "all"}:
        return 1 if text == "any" else len(members)
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text, re.ASCII) or int(text) > len(members):
        raise MalformedError(f"expected any, all or a number up to {len(members)}", found=text)
    return int(text)
