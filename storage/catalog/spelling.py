"""Values to rows and back. The inverse of each function stands beside it.

The database is not trusted: what comes back is held to the same rules as what went
in, and a row that was altered by hand is refused as such.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Row

from evidence_store.digest import Algorithm, Digest, Fingerprint
from evidence_store.errors import FixityError, MalformedError
from evidence_store.identifiers import ObjectName
from evidence_store.item import (
    Asserted,
    Case,
    Item,
    ItemStatus,
    Listed,
    Person,
    SealedObject,
    Version,
    VersionType,
)
from evidence_store.kinds import EvidenceKind
from evidence_store.moment import Moment
from evidence_store.provider import ProviderTerms, Purpose
from storage.catalog.ordering import (
    case_id_of,
    case_key,
    ern_key,
    ern_of,
    person_code_of,
    person_key,
)

T = TypeVar("T")
Found = Row[Any]
Columns = dict[str, Any]
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read_back(value_of: Callable[[Found], T], rows: Iterable[Found]) -> list[T]:
    """The values that the rows spell.

    Raises:
        FixityError: if a row spells none, so that it was altered.
    """
    try:
        return [value_of(row) for row in rows]
    except (MalformedError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise FixityError(
            what="catalog", expected="an entry as it was made", found="one that was altered"
        ) from None


def case_columns(case: Case) -> Columns:
    """A case as a row."""
    return {
        "case_key": case_key(case.case_id),
        "title": case.title,
        "reference": case.reference,
        "opened_at": case.opened_at,
    }


def case_of(row: Found) -> Case:
    """The inverse of `case_columns`."""
    return Case(case_id_of(row.case_key), row.title, row.reference, row.opened_at)


def person_columns(person: Person) -> Columns:
    """A person as a row."""
    return {
        "code_key": person_key(person.code),
        "role": person.code.role.value,
        "name": person.name,
    }


def person_of(row: Found) -> Person:
    """The inverse of `person_columns`."""
    return Person(person_code_of(row.code_key), row.name)


def item_columns(item: Item) -> Columns:
    """An item as a row."""
    asserted = item.asserted
    return {
        "ern_key": ern_key(item.ern),
        "case_key": case_key(item.case_id),
        "status": item.status.value,
        "status_reason": item.status_reason,
        "kind": asserted.kind.value,
        "collected_by": person_key(asserted.collected_by),
        "collected_at": asserted.collected_at.text,
        "method": asserted.method,
        "place": asserted.place,
        "source": asserted.source,
        "title": asserted.title,
        "fields": _JSON.encode(dict(asserted.fields)),
        "terms": None if asserted.terms is None else _JSON.encode(_terms_columns(asserted.terms)),
        "registered_at": item.registered_at,
        "source_name": item.source_name,
        "source_key": item.source_key,
        "stated_sha256": None if item.stated_sha256 is None else item.stated_sha256.value,
    }


def item_of(row: Found) -> Item:
    """The inverse of `item_columns`."""
    stated = row.stated_sha256
    return Item(
        ern=ern_of(row.ern_key),
        case_id=case_id_of(row.case_key),
        status=ItemStatus(row.status),
        status_reason=row.status_reason,
        asserted=Asserted(
            kind=EvidenceKind(row.kind),
            collected_by=person_code_of(row.collected_by),
            collected_at=Moment.parse(row.collected_at),
            method=row.method,
            place=row.place,
            source=row.source,
            title=row.title,
            fields=json.loads(row.fields),
            terms=None if row.terms is None else _terms_of(json.loads(row.terms)),
        ),
        registered_at=row.registered_at,
        source_name=row.source_name,
        source_key=row.source_key,
        stated_sha256=None if stated is None else Digest(Algorithm.SHA256, stated),
    )


def listed_of(row: Found) -> Listed:
    """What a list shows of an item, from those columns of its row."""
    return Listed(
        ern=ern_of(row.ern_key),
        case_id=case_id_of(row.case_key),
        status=ItemStatus(row.status),
        kind=EvidenceKind(row.kind),
        registered_at=row.registered_at,
        title=row.title,
    )


def sealed_columns(sealed: SealedObject, number: int) -> Columns:
    """A sealed object as a row."""
    return {
        "name": sealed.name.value,
        "number": number,
        **_fingerprint_columns(sealed.fingerprint),
        "stored_bytes": sealed.stored_bytes,
        "header": sealed.header,
        "recipient": sealed.recipient,
    }


def sealed_of(row: Found) -> SealedObject:
    """The inverse of `sealed_columns`."""
    return SealedObject(
        name=ObjectName(row.name),
        fingerprint=_fingerprint_of(row),
        stored_bytes=row.stored_bytes,
        header=row.header,
        recipient=row.recipient,
    )


def version_columns(version: Version, claims: bytes) -> Columns:
    """A version and its sealed claims as a row."""
    return {
        "ern_key": ern_key(version.ern),
        "number": version.number,
        "type": version.type.value,
        "derived_from": version.derived_from,
        **_fingerprint_columns(version.fingerprint),
        "object_name": version.object_name.value,
        "media_type": version.media_type,
        "added_at": version.added_at,
        "method": version.method,
        "language": version.language,
        "name_mismatch": version.name_mismatch,
        "claims": claims,
    }


def version_of(row: Found) -> Version:
    """The inverse of `version_columns`, without the claims."""
    return Version(
        ern=ern_of(row.ern_key),
        number=row.number,
        type=VersionType(row.type),
        fingerprint=_fingerprint_of(row),
        object_name=ObjectName(row.object_name),
        media_type=row.media_type,
        added_at=row.added_at,
        derived_from=row.derived_from,
        method=row.method,
        language=row.language,
        name_mismatch=row.name_mismatch,
    )


def _fingerprint_columns(fingerprint: Fingerprint) -> Columns:
    return {
        "sha256": fingerprint.sha256.value,
        "blake3": fingerprint.blake3.value,
        "size_bytes": fingerprint.size_bytes,
    }


def _fingerprint_of(row: Found) -> Fingerprint:
    return Fingerprint(
        sha256=Digest(Algorithm.SHA256, row.sha256),
        blake3=Digest(Algorithm.BLAKE3, row.blake3),
        size_bytes=row.size_bytes,
    )


def _terms_columns(terms: ProviderTerms) -> Columns:
    return {
        "may_see": list(terms.may_see),
        "purposes": [purpose.value for purpose in terms.purposes],
        "until": terms.until.text,
        "ask": terms.ask,
    }


def _terms_of(value: Mapping[str, Any]) -> ProviderTerms:
    return ProviderTerms(
        may_see=tuple(value["may_see"]),
        purposes=tuple(map(Purpose, value["purposes"])),
        until=Moment.parse(value["until"]),
        ask=value["ask"],
    )
