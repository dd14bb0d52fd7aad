"""What the acts of intake say, as drafts of events: which fields are open, which can be withheld.

Open is what a proof is about: digests as measured, kinds, codes. Whatever could name a person,
a place or a source is a disclosure.
"""

import hashlib

from evidence_store.canonical import Json, canonical
from evidence_store.digest import Fingerprint
from evidence_store.field_seal import SealCheck
from evidence_store.identifiers import Ern
from evidence_store.item import Case, Item, Person, Version
from evidence_store.ledger.event import Draft
from evidence_store.moment import in_utc
from evidence_store.provider import ProviderTerms


def measured(fingerprint: Fingerprint, version: int | None = None) -> dict[str, Json]:
    """Digests as they were measured in this act."""
    found: dict[str, Json] = {
        "sha256": fingerprint.sha256.hex,
        "blake3": fingerprint.blake3.hex,
        "size_bytes": fingerprint.size_bytes,
    }
    return found if version is None else {"version": version, **found}


def terms_digest(terms: ProviderTerms) -> str:
    """What stands in an event for a provider's terms: SHA-256 of their canonical JSON."""
    document: dict[str, Json] = {
        "may_see": [*terms.may_see],
        "purposes": [each.value for each in terms.purposes],
        "until": terms.until.text,
        "ask": terms.ask,
    }
    return hashlib.sha256(canonical(document)).hexdigest()


def asserted_digest(item: Item) -> str:
    """What stands in an event for all that was asserted of an item: SHA-256 of canonical JSON."""
    asserted, name, stated = item.asserted, item.source_name, item.stated_sha256
    document: dict[str, Json] = {
        "kind": asserted.kind.value,
        "collected_by": str(asserted.collected_by),
        "collected_at": asserted.collected_at.text,
        "method": asserted.method,
        "place": asserted.place,
        "source": asserted.source,
        "title": asserted.title,
        "fields": {
            key: [*value] if isinstance(value, (list, tuple)) else value
            for key, value in asserted.fields.items()
        },
        "provider_terms": None if asserted.terms is None else terms_digest(asserted.terms),
        "source_name": None if name is None else name.hex(),
        "stated_sha256": None if stated is None else stated.hex,
        "registered_at": in_utc(item.registered_at).isoformat(timespec="microseconds"),
    }
    return hashlib.sha256(canonical(document)).hexdigest()


def around_digest(case: Case, collector: Person) -> str:
    """What stands in an item's event for the case and the collector, as they were called then."""
    document: dict[str, Json] = {
        "case": str(case.case_id),
        "title": case.title,
        "reference": case.reference,
        "collector": str(collector.code),
        "name": collector.name,
    }
    return hashlib.sha256(canonical(document)).hexdigest()


def registered(
    item: Item,
    version: Version | None = None,
    sealed: SealCheck | None = None,
    around: str | None = None,
) -> Draft:
    """That an item was registered, with its original if it has one, and under which field seal.

    `around` is what `around_digest` gave.
    """
    asserted = item.asserted
    seals = asserted.fields.get("seal_numbers")
    data: dict[str, Json] = {
        "case": str(item.case_id),
        "kind": asserted.kind.value,
        "collected_by": str(asserted.collected_by),
        "provider_terms": asserted.terms is not None,
    }
    if version is not None:
        data["measured"] = [measured(version.fingerprint, version.number)]
        data["media_type"] = version.media_type
    if isinstance(seals, (list, tuple)):
        data["seals"] = [str(each) for each in seals]
    private: dict[str, Json] = {
        "occurred_at": asserted.collected_at.text,
        "method": asserted.method,
        "place": asserted.place,
        "source": asserted.source,
        "asserted_digest": asserted_digest(item),
    }
    if around is not None:
        private["around_digest"] = around
    if sealed is not None:
        data["field_seal"] = sealed.open_data
        private["field_seal"] = sealed.private_data
    if asserted.terms is not None:
        private["provider_terms_digest"] = terms_digest(asserted.terms)
    if asserted.title is not None:
        private["title"] = asserted.title
    if item.source_name is not None:
        private["source_name"] = item.source_name.decode("utf-8", "replace")
    return Draft(item.ern, "registered", data, private)


def quarantined(item: Item) -> Draft:
    """That an item's bytes are not those that its sender stated."""
    stated = item.stated_sha256
    data: dict[str, Json] = {"stated_sha256": None if stated is None else stated.hex}
    return Draft(item.ern, "quarantined", data, _words("note", item.status_reason))


def version_added(version: Version) -> Draft:
    """That a further version of an item was made from another."""
    data: dict[str, Json] = {
        "measured": [measured(version.fingerprint, version.number)],
        "type": version.type.value,
        "derived_from": version.derived_from,
        "media_type": version.media_type,
    }
    if version.language is not None:
        data["language"] = version.language
    return Draft(version.ern, "version_added", data, _words("method", version.method))


def voided(ern: Ern, reason: str) -> Draft:
    """That an ERN was declared void."""
    return Draft(ern, "voided", {}, {"note": reason})


def _words(name: str, said: str | None) -> dict[str, Json]:
    """What was said, if anything was: an empty string says nothing, and is not signed."""
    return {} if said is None else {name: said}
