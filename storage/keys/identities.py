"""The text of a key file: an age identity file, as `age-keygen` writes it.

    # created: 2026-11-24T09:00:00Z
    # public key: age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj
    AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX

A comment belongs to the identity behind it. One that says `# retired: TIME` makes
that identity open only; the first that is not retired is the current one. The age
program takes no notice of comments and opens with them all.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from evidence_store.age.x25519 import X25519Identity
from evidence_store.errors import MalformedError
from evidence_store.moment import in_utc

_CREATED, _PUBLIC_KEY, _RETIRED = b"# created: ", b"# public key: ", b"# retired: "


@dataclass(frozen=True, slots=True)
class Entry:
    """An identity and the comment lines before it, which may be as secret as it is."""

    identity: X25519Identity
    comments: tuple[bytes, ...] = field(repr=False)

    def __post_init__(self) -> None:
        public_key = str(self.identity.recipient)
        for comment in self.comments:
            stated = comment.removeprefix(_PUBLIC_KEY)
            if stated not in (comment, public_key.encode("ascii")):
                raise MalformedError(
                    f"expected the comment '# public key: {public_key}' before this identity, "
                    "found another key in it; correct it"
                )

    @property
    def is_retired(self) -> bool:
        """Whether nothing new is to be sealed to it."""
        return any(comment.startswith(_RETIRED) for comment in self.comments)

    @classmethod
    def fresh(cls, identity: X25519Identity, now: datetime) -> Self:
        """An entry for an identity made now."""
        public_key = str(identity.recipient).encode("ascii")
        return cls(identity, (_CREATED + _spelled(now), _PUBLIC_KEY + public_key))

    def retired(self, now: datetime) -> Self:
        """The same, retired now unless it was retired before."""
        if self.is_retired:
            return self
        return replace(self, comments=(*self.comments, _RETIRED + _spelled(now)))


@dataclass(frozen=True, slots=True)
class Identities:
    """The identities of a key file, in its order. `bytes()` spells the secrets; `repr` never."""

    entries: tuple[Entry, ...]
    closing_comments: tuple[bytes, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if all(entry.is_retired for entry in self.entries):
            raise MalformedError("expected an identity that is not retired, found none")

    @property
    def all(self) -> tuple[X25519Identity, ...]:
        """Every identity: what can be opened with."""
        return tuple(entry.identity for entry in self.entries)

    @property
    def current(self) -> X25519Identity:
        """The identity whose recipient new file keys are wrapped to."""
        return next(entry.identity for entry in self.entries if not entry.is_retired)

    def with_current(self, identity: X25519Identity, now: datetime) -> Self:
        """With a new current identity. The others are retired, and kept to open with."""
        retired = tuple(entry.retired(now) for entry in self.entries)
        return replace(self, entries=(Entry.fresh(identity, now), *retired))

    def __bytes__(self) -> bytes:
        lines: list[bytes] = []
        for entry in self.entries:
            lines += (*entry.comments, str(entry.identity).encode("ascii"))
        return b"".join(line + b"\n" for line in (*lines, *self.closing_comments))

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read an identity file. Lines may end in CR LF, and empty ones are passed over.

        Raises:
            MalformedError: if a line is neither a comment nor an X25519 identity, or if no
                identity is current. Lines are named by number and never quoted.
        """
        entries: list[Entry] = []
        comments: list[bytes] = []
        for number, line in enumerate(text.split(b"\n"), start=1):
            content = line.removesuffix(b"\r")
            if content.startswith(b"#"):
                comments.append(content)
            elif content:
                entries.append(_entry(number, content, tuple(comments)))
                comments.clear()
        return cls(tuple(entries), tuple(comments))


def _entry(number: int, line: bytes, comments: tuple[bytes, ...]) -> Entry:
    try:
        identity = X25519Identity.parse(line.decode("ascii", errors="replace"))
        return Entry(identity, comments)
    except MalformedError as error:
        raise MalformedError(f"line {number}: {error}") from error


def _spelled(now: datetime) -> bytes:
    return in_utc(now).strftime("%Y-%m-%dT%H:%M:%SZ").encode("ascii")
