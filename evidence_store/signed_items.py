"""An item as its signed events tell it: its case, its versions' digests, its provider's terms.

The catalog's rows say the same, so that they can be listed, and are not believed where something
is decided: a row that says otherwise is named here. Whether the events are good is for `audit`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from evidence_store.acts import asserted_digest, measured, terms_digest
from evidence_store.canonical import Json
from evidence_store.custody.act import Act, ActType
from evidence_store.custody.state import State
from evidence_store.custody.timeline import History, history
from evidence_store.errors import LedgerAlteredError
from evidence_store.item import Item, ItemStatus, SealedObject, Version, VersionType
from evidence_store.ledger.event import SignedEvent
from evidence_store.provider import ProviderTerms

BRINGING = frozenset({ActType.REGISTERED, ActType.VERSION_ADDED})


@dataclass(frozen=True, slots=True)
class SignedItem:
    """What an item's events say of it.

    `measured` has the digests that brought each version, `told_of` what else was said of it, `offers`
    the digest of each transfer's offer; `asserted` and `around` are as `acts` has them, None where
    they were not signed yet or are not disclosed.
    """

    history: History
    case: str | None
    measured: Mapping[int, Json]
    has_terms: bool
    terms: str | None
    asserted: str | None
    around: str | None
    told_of: Mapping[int, Mapping[str, Json]]
    offers: Mapping[str, str]

    @classmethod
    def of(cls, events: Sequence[SignedEvent]) -> Self:
        """Read an item's events, which are whole and in their order.

        Raises:
            MalformedError, ProofError: if an event cannot be read at all.
        """
        acts = [Act.of(each) for each in events]
        brought: dict[int, Json] = {}
        told_of: dict[int, Mapping[str, Json]] = {}
        offers: dict[str, str] = {}
        for act in acts:
            transfer, offer = act.data.get("transfer"), act.data.get("offer")
            if isinstance(transfer, str) and isinstance(offer, str):
                offers.setdefault(transfer, offer)
            listed = act.data.get("measured")
            for each in listed if isinstance(listed, list) and act.type in BRINGING else []:
                if isinstance(each, dict) and isinstance(number := each.get("version"), int):
                    brought.setdefault(number, each)  # the first that brought it
                    told_of.setdefault(number, _told(act))
        first = acts[0] if acts and acts[0].type is ActType.REGISTERED else None
        case = None if first is None else first.data.get("case")
        private = {} if first is None else first.private
        return cls(
            history=history(acts),
            case=case if isinstance(case, str) else None,
            measured=brought,
            has_terms=first is not None and first.data.get("provider_terms") is True,
            terms=_text(private.get("provider_terms_digest")),
            asserted=_text(private.get("asserted_digest")),
            around=_text(private.get("around_digest")),
            told_of=told_of,
            offers=offers,
        )

    @property
    def status(self) -> ItemStatus:
        """Where it stands, as far as that keeps it from being shared."""
        custody = self.history.custody
        match None if custody is None else custody.state:
            case State.QUARANTINED:
                return ItemStatus.QUARANTINED
            case State.VOID:
                return ItemStatus.VOID
            case _:
                return ItemStatus.REGISTERED

    def insist_agrees(self, item: Item, versions: Sequence[Version]) -> None:
        """Insist that rows say what was signed.

        Raises:
            LedgerAlteredError: if one does not.
        """
        if self.case is None:
            raise LedgerAlteredError(f"{item.ern}: its registration was not signed")
        for problem in self.disagreements(item, versions):
            raise LedgerAlteredError(f"{item.ern}: {problem}")

    def disagreements(self, item: Item, versions: Sequence[Version]) -> Iterator[str]:
        """What an item's rows say otherwise than was signed; nothing if no registration was."""
        if self.case is None:
            return
        if self.case != str(item.case_id):
            yield "its row names another case than was signed"
        if item.status is ItemStatus.REGISTERED and self.status is not ItemStatus.REGISTERED:
            yield f"its row says that it is registered, and it is {self.status}"
        if self._has_other_terms(item.asserted.terms):
            yield "its row has other terms of its provider than were signed"
        if self.asserted not in {None, asserted_digest(item)}:
            yield "its row says otherwise than was asserted and signed when it came in"
        for each in versions:
            yield from self._otherwise(each)

    def _has_other_terms(self, terms: ProviderTerms | None) -> bool:
        if terms is None:
            return self.has_terms
        return not self.has_terms or self.terms not in {None, terms_digest(terms)}

    def _otherwise(self, version: Version) -> Iterator[str]:
        if measured(version.fingerprint, version.number) != self.measured.get(version.number):
            yield f"the row of version {version.number} has other digests than were signed"
        row: Mapping[str, Json] = {
            "type": version.type.value,
            "derived_from": version.derived_from,
            "media_type": version.media_type,
            "language": version.language,
            "method": version.method or "",
        }
        told = self.told_of.get(version.number, {})
        for name in (name for name, value in told.items() if row[name] != value):
            yield f"the row of version {version.number} has another {name} than was signed"

    def missing(self, versions: Sequence[Version]) -> Iterator[str]:
        """The versions that were signed and have no row."""
        known = {each.number for each in versions}
        yield from (
            f"version {number} was signed, and its row is not there"
            for number in self.measured
            if number not in known
        )


def _told(act: Act) -> Mapping[str, Json]:
    """What an event that brought versions says of them besides digests, as far as it is disclosed."""
    if act.type is ActType.REGISTERED:
        original: dict[str, Json] = {
            "type": VersionType.ORIGINAL.value,
            "derived_from": None,
            "language": None,
            "method": "",
        }
        return original | {"media_type": act.data.get("media_type")}
    found = {
        name: act.data.get(name) for name in ("type", "derived_from", "media_type", "language")
    }
    method = act.private.get("method")
    return found if method is None else found | {"method": method}


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def insist_same_bytes(version: Version, sealed: SealedObject) -> None:
    """Insist that a stored object is the version's: with its digests it is opened.

    Raises:
        LedgerAlteredError: if it has other digests.
    """
    if sealed.fingerprint != version.fingerprint:
        raise LedgerAlteredError(
            f"{version.ern} version {version.number}: its object has other digests than were signed"
        )
