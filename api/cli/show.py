"""How items and versions are shown: as JSON objects, the same for every command."""

from collections.abc import Mapping

from api.cli.output import Json, name_fields
from evidence_store.claims import ClaimSet
from evidence_store.item import Asserted, Item, Version
from evidence_store.kinds import not_recorded
from evidence_store.provider import ProviderTerms


def item_row(item: Item) -> dict[str, Json]:
    """An item in a list."""
    return {
        "ern": str(item.ern),
        "case": str(item.case_id),
        "kind": item.asserted.kind.value,
        "status": item.status.value,
        "title": item.asserted.title,
        **name_fields(item.source_name),
        "collected_at": str(item.asserted.collected_at),
        "registered_at": item.registered_at.isoformat(timespec="seconds"),
    }


def item_detail(item: Item) -> dict[str, Json]:
    """An item whole, as asserted, without its versions."""
    return {
        **item_row(item),
        "status_reason": item.status_reason,
        "stated_sha256": None if item.stated_sha256 is None else item.stated_sha256.hex,
        "asserted": _asserted(item.asserted),
    }


def version_row(version: Version) -> dict[str, Json]:
    """A version, without its claims."""
    return {
        "version": version.number,
        "type": version.type.value,
        "derived_from": version.derived_from,
        "media_type": version.media_type,
        "name_mismatch": version.name_mismatch,
        "language": version.language,
        "method": version.method,
        "sha256": version.fingerprint.sha256.hex,
        "blake3": version.fingerprint.blake3.hex,
        "size_bytes": version.fingerprint.size_bytes,
        "added_at": version.added_at.isoformat(timespec="seconds"),
    }


def claim_set(claims: ClaimSet) -> Mapping[str, Json]:
    """What one tool read from the file: the file's own claims."""
    return claims.to_json()


def _asserted(asserted: Asserted) -> dict[str, Json]:
    return {
        "kind": asserted.kind.value,
        "collected_by": str(asserted.collected_by),
        "collected_at": str(asserted.collected_at),
        "collected_at_precision": asserted.collected_at.precision.value,
        "method": asserted.method,
        "place": asserted.place,
        "source": asserted.source,
        "title": asserted.title,
        "fields": dict(asserted.fields),
        "not_recorded": not_recorded(asserted.kind, asserted.fields),
        "provider_terms": None if asserted.terms is None else _terms(asserted.terms),
    }


def _terms(terms: ProviderTerms) -> dict[str, Json]:
    return {
        "may_see": list(terms.may_see),
        "purposes": [purpose.value for purpose in terms.purposes],
        "until": str(terms.until),
        "ask": terms.ask,
    }
