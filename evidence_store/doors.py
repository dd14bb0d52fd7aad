"""What the doors keep: tokens, uploads under way, answers given, leases. None of it is evidence.

`tests/contract` holds every `DoorStore` to this. Sign-in has a store of its own.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from evidence_store.identifiers import AuthorityId, PersonCode
from evidence_store.page import Page


@dataclass(frozen=True, slots=True)
class Token:
    """A personal access token: whose, for what, until when. The token itself is nowhere."""

    id: str
    digest: bytes = field(repr=False)
    officer: PersonCode
    name: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None


class TokenReader(Protocol):
    """Looking tokens up."""

    def token(self, digest: bytes) -> Token | None:
        """The token of this digest."""
        ...


class UploadState(StrEnum):
    """How far an upload has come."""

    OPEN = "open"
    WHOLE = "whole"  # every byte is there; it is being taken in
    DONE = "done"
    FAILED = "failed"  # what arrived is kept until it expires
    PARTIAL = "partial"  # a part of another (tus concatenation)
    JOINED = "joined"  # its bytes are another's now, and end with it
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload. `parts` are its segments: by whom (an epoch) and how many bytes were sealed.

    `concatenated` are the uploads whose bytes it is, in order; none, if bytes are sent to it.
    """

    id: str
    officer: PersonCode
    length: int | None
    offset: int
    epoch: int
    state: UploadState
    metadata: Mapping[str, str]
    parts: tuple[tuple[int, int], ...]
    header: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime
    outcome: str | None = None
    concatenated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UploadBounds:
    """What one officer may have under way. One whose length is not stated counts as `deferred_bytes`."""

    uploads: int
    size_bytes: int
    deferred_bytes: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A package that a peer delivered: from whom, what it is, and the receipt that was given.

    `signed` is the request's signature, as it came: it shows who delivered what. `receipt` is
    canonical JSON, `signature` is over it.
    """

    id: str
    authority: AuthorityId
    sha256: str
    size_bytes: int
    received_at: datetime
    signed: str
    receipt: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """What a request was answered; nothing yet, while it is being done, or if the answer was lost."""

    fingerprint: bytes
    status: int | None
    body: str | None
    is_done: bool = False


class DoorStore(TokenReader, Protocol):
    """Each call is a transaction of its own: durable when it returns, nothing when it raises.

    Raises, all of them: CatalogBusyError, NoSpaceError.
    """

    def add_token(self, token: Token) -> None:
        """Enter a token."""
        ...

    def tokens(self, officer: PersonCode) -> Sequence[Token]:
        """An officer's tokens."""
        ...

    def end_token(self, officer: PersonCode, token_id: str, at: datetime) -> bool:
        """End a token of an officer's; whether there was one."""
        ...

    def end_tokens(self, officer: PersonCode, at: datetime) -> int:
        """End all tokens of an officer's that have not ended; how many."""
        ...

    def add_upload(self, upload: Upload, bounds: UploadBounds) -> None:
        """Enter an upload; the uploads that it is made of are joined to it in the same step.

        Raises:
            RateError: if the officer has more under way then than the bounds allow.
            ConflictError: if one that it is made of is not the officer's, partial and whole.
        """
        ...

    def upload(self, upload_id: str) -> Upload | None:
        """The upload of this identifier."""
        ...

    def take_over(self, upload_id: str) -> Upload | None:
        """The upload under a new epoch: whoever wrote before is fenced off from now on."""
        ...

    def advance(
        self,
        upload_id: str,
        epoch: int,
        *,
        offset: int,
        parts: Sequence[tuple[int, int]],
        until: datetime,
    ) -> bool:
        """Acknowledge bytes that are durable; False if somebody else has taken over."""
        ...

    def set_length(self, upload_id: str, epoch: int, length: int, bounds: UploadBounds) -> bool:
        """State the length that was deferred; False if somebody else has taken over.

        Raises:
            RateError: as `add_upload`.
        """
        ...

    def end_upload(
        self, upload_id: str, *, before: UploadState, after: UploadState, outcome: str | None
    ) -> bool:
        """Move an upload on; False if it was not in the state `before`.

        When it is over, the header that opens its bytes is gone with the move; and so are those of
        the uploads that were joined to it, which end with it.
        """
        ...

    def uploads_in(self, state: UploadState, *, limit: int = 100) -> Sequence[Upload]:
        """Uploads in a state."""
        ...

    def expired(self, now: datetime, *, limit: int = 100) -> Sequence[Upload]:
        """Uploads whose time is over and which are not done."""
        ...

    def begin_answer(
        self, officer: PersonCode, key: str, fingerprint: bytes, now: datetime, over: datetime
    ) -> Answered | None:
        """Claim a key; None if it is ours now, else what was answered under it.

        A claim for the same from before `over` under which nothing was done is nobody's any more.
        """
        ...

    def acting(self, officer: PersonCode, key: str, now: datetime) -> AbstractContextManager[None]:
        """Within it, each transaction of the catalog in this thread also says that the request was done.

        `now` is when the key was claimed. A transaction raises ConflictError, and is none, if
        another has claimed the key since.
        """
        ...

    def keep_answer(self, officer: PersonCode, key: str, status: int, body: str) -> None:
        """Keep what a request was answered."""
        ...

    def drop_answer(self, officer: PersonCode, key: str, now: datetime) -> None:
        """Let go of a key claimed at `now` whose request failed, unless something was done under it."""
        ...

    def add_delivery(self, delivery: Delivery) -> None:
        """Enter a delivery.

        Raises:
            ConflictError: if the authority has delivered the same before.
        """
        ...

    def delivery(self, delivery_id: str) -> Delivery | None:
        """The delivery of this identifier."""
        ...

    def delivered(self, authority: AuthorityId, sha256: str) -> Delivery | None:
        """An authority's delivery of these bytes."""
        ...

    def deliveries(self, *, after: str | None = None, limit: int = 100) -> Page[Delivery]:
        """All deliveries, by identifier, from behind `after`."""
        ...

    def use_nonce(self, digest: bytes, now: datetime, until: datetime) -> bool:
        """Remember what is good for one use, until then; False if it was used before.

        Others that are over by `now` are forgotten.
        """
        ...

    def lease(self, name: str, holder: str, now: datetime, until: datetime) -> bool:
        """Take or keep a lease; False if another holder has it."""
        ...

    def release(self, name: str, holder: str, done_at: datetime) -> None:
        """Let go of a lease."""
        ...
