"""Further versions of an item: redactions, translations, working copies, each derived from another.

The original is never touched; a correction of a derived version is a new version.
The effects are in the order of `intake`: durable first, then one transaction.
"""

from dataclasses import dataclass

from evidence_store import acts
from evidence_store.errors import ConflictError, NotFoundError
from evidence_store.identifiers import Ern
from evidence_store.intake import Content
from evidence_store.item import ItemStatus, Version, VersionType
from evidence_store.ports import Catalog, CatalogReader
from evidence_store.recording import Recorder
from evidence_store.vault import Vault


@dataclass(frozen=True, slots=True)
class Derivation:
    """What a further version is to its item: a redaction, a translation, a working copy and so on."""

    ern: Ern
    type: VersionType
    derived_from: int
    method: str
    language: str | None = None


def add_version(
    catalog: Catalog, vault: Vault, recorder: Recorder, derivation: Derivation, content: Content
) -> Version:
    """Make a further version of an item durable and enter it under the next number.

    Raises:
        NotFoundError: if there is no such item, or no version that it is derived from.
        ConflictError: if the item is void.
        NoSpaceError, StoreUnavailableError, CatalogBusyError: nothing was registered.
    """
    with catalog.read() as reader:
        _next_number(reader, derivation)
    vault.objects.commit([content.sealing.writer])
    claims = vault.seal_claims(content.sealing.file_key, content.claims)
    with catalog.write() as writer:
        version = Version(
            ern=derivation.ern,
            number=_next_number(writer, derivation),
            type=derivation.type,
            fingerprint=content.fingerprint,
            object_name=content.sealing.writer.name,
            media_type=content.media_type,
            added_at=recorder.clock.now(),
            derived_from=derivation.derived_from,
            method=derivation.method,
            language=derivation.language,
            name_mismatch=content.name_mismatch,
        )
        writer.add_sealed([content.sealing.sealed(content.fingerprint)])
        writer.add_versions([(version, claims)])
        recorder.record(writer, [acts.version_added(version)])
    return version


def _next_number(reader: CatalogReader, derivation: Derivation) -> int:
    if reader.item(derivation.ern).status is ItemStatus.VOID:
        raise ConflictError(f"{derivation.ern} is void; nothing is added to it")
    numbers = [version.number for version in reader.versions(derivation.ern)]
    if derivation.derived_from not in numbers:
        raise NotFoundError(f"{derivation.ern} has no version {derivation.derived_from}")
    return max(numbers) + 1
