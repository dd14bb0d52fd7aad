"""Protective measures on items: requested by one officer, ordered by another, lifted by who ordered.

A measure in force keeps the versions that do not satisfy it from being opened by anybody but the
owner's protection unit.
"""

from collections.abc import Sequence

from evidence_store.canonical import Json
from evidence_store.cooperation.registry import OfficerRole
from evidence_store.desk import Desk, insist_own_item, owner_of
from evidence_store.dossiers import Chains, Taken, insist_on_another, new_dossier, take
from evidence_store.errors import NotFoundError, OutOfOrderError
from evidence_store.identifiers import DossierId, DossierKind, Ern
from evidence_store.ports import CatalogReader
from evidence_store.registering import Registry
from evidence_store.sharing.measure import MEASURE, Measure, MeasureType, measure_of
from evidence_store.wording import stated

REQUESTERS = (
    OfficerRole.PROTECTION,
    OfficerRole.PROSECUTOR,
    OfficerRole.INVESTIGATOR,
    OfficerRole.VICTIMS,
)
ORDERERS = (OfficerRole.JUDGE, OfficerRole.PROTECTION, OfficerRole.PROSECUTOR)


def request_measure(
    desk: Desk, ern: Ern, kind: MeasureType, satisfied_by: Sequence[int], reasons: str
) -> DossierId:
    """Ask for a measure on an item.

    Raises:
        NotFoundError: if there is no such item or version.
        OutOfOrderError: if the officer may not.
    """
    with desk.catalog.act() as writer:
        desk.insist(writer, REQUESTERS)
        insist_own_item(writer, desk, ern)
        _insist_versions(writer, ern, satisfied_by)
        data: dict[str, Json] = {
            "item": str(ern),
            "type": kind.value,
            "satisfied_by": [*satisfied_by],
        }
        taken = Taken("requested", desk.officer, data, {"reasons": stated(reasons, "reasons")})
        return new_dossier(
            writer,
            desk.recorder,
            DossierKind.MEASURE,
            taken,
            state="requested",
            tags={"item": [str(ern)]},
        )


def decide_measure(
    desk: Desk, measure: DossierId, act: str, satisfied_by: Sequence[int], reasons: str
) -> Measure:
    """Order, reject, vary, continue or lift a measure, as the authority whose it is.

    Raises:
        OutOfOrderError: if it is another's, not possible now, or this officer asked for it.
        NotFoundError: if there is none, or no such version.
    """
    with desk.catalog.act() as writer:
        desk.insist(writer, ORDERERS)
        found = measure_of(desk.chains.steps(writer, measure))
        if found.issuer != desk.authority:
            try:
                insist_own_item(writer, desk, found.ern)
            except NotFoundError:
                raise NotFoundError(f"there is no {measure}") from None
            raise OutOfOrderError(f"{measure}: only {found.issuer}, which ordered it, may do this")
        state = MEASURE.after(found.state, act)
        insist_on_another(desk.officer, [found.requested_by], str(measure))
        versions = sorted(satisfied_by or found.satisfied_by)
        _insist_versions(writer, found.ern, versions)
        data: dict[str, Json] = {"satisfied_by": [*versions]}
        taken = Taken(act, desk.officer, data, {"reasons": stated(reasons, "reasons")})
        take(writer, desk.recorder, measure, taken, state=state)
        return measure_of(desk.chains.steps(writer, measure))


def measures_on(
    reader: CatalogReader, chains: Chains, ern: Ern
) -> Sequence[tuple[DossierId, Measure]]:
    """The measures in force on an item."""
    dossiers = reader.dossiers.tagged(DossierKind.MEASURE, "item", str(ern))
    if not dossiers:
        return []
    registry = Registry(reader, chains)
    own = registry.authority(owner_of(reader, chains, reader.item(ern))).state
    found = [(each.id, measure_of(chains.steps(reader, each.id))) for each in dossiers]
    return [
        (dossier, each)
        for dossier, each in found
        if each.state == "in_force"
        and each.ern == ern
        and registry.authority(each.issuer).state == own
    ]


def _insist_versions(reader: CatalogReader, ern: Ern, numbers: Sequence[int]) -> None:
    reader.item(ern)
    known = {version.number for version in reader.versions(ern)}
    if missing := set(numbers) - known:
        raise NotFoundError(f"{ern} has no version {min(missing)}")
