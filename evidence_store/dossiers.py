"""How dossiers are opened, carried on and read: each step an event, signed and in the log.

Reading is from the signed events and not from the index: a chain that does not hold is refused,
so whoever owns the database can withhold a dossier and cannot change one. Items are read so too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from evidence_store.audit import audit_chain, registered_keys
from evidence_store.authorities import log_of
from evidence_store.canonical import Json
from evidence_store.dossier import OFFICER, Dossier, Step
from evidence_store.errors import LedgerAlteredError, NotFoundError, OutOfOrderError
from evidence_store.identifiers import (
    AuthorityId,
    DossierId,
    DossierKind,
    Ern,
    KeyId,
    PersonCode,
    Subject,
)
from evidence_store.ledger.event import Draft
from evidence_store.ledger_port import Recorded
from evidence_store.ports import CatalogReader, CatalogWriter
from evidence_store.recording import Recorder
from evidence_store.signed_items import SignedItem

KEPT_MAX = 4096


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that is to be taken: what was done, and what it says, open and withheld."""

    act: str
    officer: PersonCode
    data: Mapping[str, Json] = field(default_factory=dict)
    private: Mapping[str, Json] = field(default_factory=dict)


T = TypeVar("T")
Reading = Callable[[Sequence[Step], DossierId], T]


@dataclass(frozen=True, slots=True)
class _Kept:
    """Steps that were checked, and what they were read as."""

    steps: tuple[Step, ...]
    read: dict[Callable[..., Any], Any] = field(default_factory=dict)


class Chains:
    """Dossiers' and items' events, checked. A chain is checked once for each commitment that it ends with."""

    def __init__(self) -> None:
        self._kept: dict[tuple[DossierId, bytes], _Kept] = {}
        self._items: dict[tuple[Ern, bytes], SignedItem] = {}
        self._root: bytes | None = None

    def rely_on(self, reader: CatalogReader, public: Callable[[KeyId], bytes]) -> None:
        """Believe from now on only keys that the root registered whose own key is at hand.

        `public` is asked once. Without this the catalog is believed about which log it is, and so
        about which keys count.

        Raises:
            LedgerAlteredError: if the catalog's log is another's.
            KeyUnavailableError: if the root's key is not at hand.
        """
        if self._root is None:
            root = public(log_of(reader.ledger).root)
            registered_keys(reader.ledger, root)
            self._kept.clear()
            self._items.clear()
            self._root = root

    def read_as(
        self,
        reader: CatalogReader,
        dossier: DossierId,
        reading: "Reading[T]",
        *,
        head: bytes | None = None,
    ) -> T:
        """What a dossier's steps say, read once for each commitment; nobody may change it.

        With the `head` that the chain ends with, if this reader has found it already.

        Raises:
            NotFoundError, LedgerAlteredError: as `steps`; whatever the reading raises.
        """
        kept = self._checked(reader, dossier, head)
        if reading not in kept.read:
            kept.read[reading] = reading(kept.steps, dossier)
        found: T = kept.read[reading]
        return found

    def steps(self, reader: CatalogReader, dossier: DossierId) -> Sequence[Step]:
        """A dossier's steps, in order.

        Raises:
            NotFoundError: if there is no such dossier.
            LedgerAlteredError: if its events are not those that were signed and entered.
        """
        return self._checked(reader, dossier).steps

    def item(self, reader: CatalogReader, ern: Ern) -> SignedItem | None:
        """What an item's events say of it; None if nothing was ever signed of it.

        Raises:
            LedgerAlteredError: if its events are not those that were signed and entered.
        """
        link = reader.ledger.links([ern]).get(ern)
        if link is None or link.head is None:
            return None
        key = (ern, link.head)
        found = self._items.get(key)
        if found is None:
            found = SignedItem.of([each.signed for each in self._events(reader, ern)])
            _make_room(self._items)
            self._items[key] = found
        return found

    def _checked(
        self, reader: CatalogReader, dossier: DossierId, head: bytes | None = None
    ) -> "_Kept":
        if head is None:
            link = reader.ledger.links([dossier]).get(dossier)
            head = None if link is None else link.head
        if head is None:
            raise NotFoundError(f"there is no {dossier}")
        key = (dossier, head)
        found = self._kept.get(key)
        if found is None:
            events = self._events(reader, dossier)
            found = _Kept(tuple(Step.of(each.signed, each.index) for each in events))
            _make_room(self._kept)
            self._kept[key] = found
        return found

    def _events(self, reader: CatalogReader, subject: Subject) -> Sequence[Recorded]:
        publics = registered_keys(reader.ledger, self._root)
        for finding in audit_chain(reader.ledger, subject, publics):
            raise LedgerAlteredError(f"{subject}: {finding.where}: {finding.problem}")
        return reader.ledger.events(subject)


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= KEPT_MAX:
        kept.pop(next(iter(kept)))


def open_dossier(
    writer: CatalogWriter,
    recorder: Recorder,
    dossier: DossierId,
    step: Taken,
    *,
    state: str,
    counterpart: AuthorityId | None = None,
    tags: Mapping[str, Sequence[str]] | None = None,
) -> DossierId:
    """Open a dossier under the identifier that `DossierWriter.next_dossier` gave.

    Raises:
        KeyUnavailableError: if the authority's key is not at hand.
        MalformedError: if the step holds what an event cannot.
    """
    now = recorder.clock.now()
    made = Dossier(dossier, state, recorder.by.authority, counterpart, now, now)
    writer.dossiers.add_dossier(made, tags or {})
    recorder.record(writer, [_draft(dossier, step)])
    return dossier


def new_dossier(
    writer: CatalogWriter,
    recorder: Recorder,
    kind: DossierKind,
    step: Taken,
    *,
    state: str,
    counterpart: AuthorityId | None = None,
    tags: Mapping[str, Sequence[str]] | None = None,
) -> DossierId:
    """Open a dossier under the next identifier of its kind. Raises: as `open_dossier`."""
    return open_dossier(
        writer,
        recorder,
        writer.dossiers.next_dossier(kind),
        step,
        state=state,
        counterpart=counterpart,
        tags=tags,
    )


def take(
    writer: CatalogWriter, recorder: Recorder, dossier: DossierId, step: Taken, *, state: str
) -> None:
    """Carry a dossier on to a state. Whether that may be is for the caller's rules.

    Raises:
        NotFoundError: if there is no such dossier.
        KeyUnavailableError, MalformedError: as `open_dossier`.
    """
    writer.dossiers.change_dossier(dossier, state, recorder.clock.now())
    recorder.record(writer, [_draft(dossier, step)])


def insist_on_another(officer: PersonCode, others: Sequence[PersonCode], what: str) -> None:
    """Insist that this is none of those who did what is now to be approved.

    Raises:
        OutOfOrderError: if it is: nobody approves what they proposed.
    """
    if officer in others:
        raise OutOfOrderError(f"{what}: expected another officer than {officer}, who proposed it")


def _draft(dossier: DossierId, step: Taken) -> Draft:
    # A note that a step may do without is absent where nothing was said, not an empty text.
    said = {name: value for name, value in step.private.items() if value != ""}
    return Draft(dossier, step.act, step.data, {OFFICER: str(step.officer), **said})
