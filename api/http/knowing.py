"""What an officer may know of. The rest is not there, in the same words as what never was."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from api.http.caller import Caller
from evidence_store import granting, requesting
from evidence_store.cooperation.registry import OfficerRole
from evidence_store.cooperation.request import Request
from evidence_store.custody.transfer import Offer, TransferId
from evidence_store.desk import insist_own_item
from evidence_store.dossier import Dossier
from evidence_store.dossiers import Chains
from evidence_store.errors import NotFoundError
from evidence_store.granting import grant, grant_chain
from evidence_store.handling import history_of
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, Ern
from evidence_store.item import Item, Version
from evidence_store.page import Page
from evidence_store.ports import CatalogReader
from evidence_store.requesting import request
from evidence_store.sharing.grant import Grant

REACHES_BY = {
    DossierKind.GRANT: granting.REACHES_BY,
    DossierKind.REQUEST: requesting.REACHES_BY,
}  # before, only who writes it knows of it


@contextmanager
def hidden(identifier: object) -> Iterator[None]:
    """Let whatever is not found, or not this caller's to know, be told in the same words."""
    try:
        yield
    except NotFoundError:
        raise NotFoundError(f"there is no {identifier}") from None


def is_at_work(caller: Caller) -> bool:
    """Whether the officer has a role, and another than the system operator's."""
    return bool(caller.roles) and OfficerRole.OPERATOR not in caller.roles


def insist_at_work(caller: Caller) -> None:
    """Insist that it is so: otherwise nothing is there.

    Raises:
        NotFoundError: if the officer has no role now, or operates the system.
    """
    if not is_at_work(caller):
        raise NotFoundError("no role")


def item_known(reader: CatalogReader, caller: Caller, text: str) -> Item:
    """The item, if the officer may know of it.

    Raises:
        NotFoundError: if there is none, or none that the officer may know of.
    """
    ern, desk = Ern.parse(text), caller.desk
    with hidden(ern):
        insist_at_work(caller)
        if not reader.dossiers.knows_of(desk.officer, desk.authority, ern, desk.now):
            raise NotFoundError("not known")
        return reader.item(ern)


def item_own(reader: CatalogReader, caller: Caller, text: str) -> Item:
    """The item, if the officer needs to know its case.

    Raises:
        NotFoundError: if not.
    """
    item = item_known(reader, caller, text)
    with hidden(item.ern):
        if not _needs_to_know(reader, caller, item):
            raise NotFoundError("not own")
    return item


def item_held(reader: CatalogReader, caller: Caller, text: str) -> Item:
    """The item, if it is of the officer's State and known to the officer, or in the officer's custody.

    Raises:
        NotFoundError: if it is neither.
    """
    ern, desk = Ern.parse(text), caller.desk
    with hidden(ern):
        item = reader.item(ern)
        insist_at_work(caller)
        custody = history_of(reader.ledger, ern).custody
        if custody is None or custody.custodian != desk.authority or not _is_abroad(reader, caller):
            insist_own_item(reader, desk, ern)
        return item


def is_own(reader: CatalogReader, caller: Caller, item: Item) -> bool:
    """Whether the item is of the officer's State, and the officer needs to know it."""
    try:
        insist_own_item(reader, caller.desk, item.ern)
    except NotFoundError:
        return False
    return True


def is_home(reader: CatalogReader, caller: Caller) -> bool:
    """Whether the officer is of the State whose instance this is."""
    return not _is_abroad(reader, caller)


def versions_known(reader: CatalogReader, caller: Caller, item: Item) -> Sequence[Version]:
    """The versions that the officer may know of: all of an own case's, otherwise those granted now."""
    versions = reader.versions(item.ern)
    if _needs_to_know(reader, caller, item):
        return versions
    granted = _granted(reader, caller, item.ern)
    return [each for each in versions if each.number in granted]


def _needs_to_know(reader: CatalogReader, caller: Caller, item: Item) -> bool:
    return item.case_id in reader.dossiers.cases_of(caller.officer, caller.instance.clock.now())


def _granted(reader: CatalogReader, caller: Caller, ern: Ern) -> frozenset[int]:
    desk, found = caller.desk, set[int]()
    for dossier in reader.dossiers.grants_of(ern, desk.authority):
        window = reader.dossiers.window(dossier)
        if window is None or not window.is_open:
            continue
        if not window.valid_from <= desk.now < window.valid_until:
            continue
        terms = grant_chain(reader, desk.chains, dossier)[-1].terms
        if not terms.officers or desk.officer in terms.officers:
            found |= {each.version for each in terms.items if each.ern == ern}
    return frozenset(found)


def _is_abroad(reader: CatalogReader, caller: Caller) -> bool:
    desk = caller.desk
    return desk.registry(reader).authority(desk.authority).state != reader.state()


def transfer_sided(reader: CatalogReader, transfer: TransferId, of: AuthorityId) -> Offer:
    """The offer that a transfer began with, for an authority that is a side of it.

    Raises:
        NotFoundError: if there is none, or the authority is on neither side.
    """
    with hidden(transfer):
        offer = reader.ledger.transfer(transfer)
        if of not in {offer.sender, offer.receiver}:
            raise NotFoundError("not a side")
        return offer


def request_sided(
    reader: CatalogReader, chains: Chains, dossier: DossierId, of: AuthorityId
) -> Request:
    """See `requesting.request`."""
    with hidden(dossier):
        return request(reader, chains, dossier, of)


def grant_sided(
    reader: CatalogReader, chains: Chains, dossier: DossierId, of: AuthorityId
) -> Grant:
    """See `granting.grant`."""
    with hidden(dossier):
        return grant(reader, chains, dossier, of)


def dossiers_sided(
    reader: CatalogReader,
    kind: DossierKind,
    of: AuthorityId,
    after: str | None,
    limit: int,
    *,
    received: bool,
) -> Page[Dossier]:
    """A page of an authority's dossiers: those it owns, or those that reached it."""
    return reader.dossiers.dossiers(
        kind,
        owner=None if received else of,
        counterpart=of if received else None,
        acts=REACHES_BY.get(kind, frozenset()) if received else (),
        after=after,
        limit=limit,
    )
