"""Uploads that were sealed in the field: compared on arrival with the seal, by a registered key.

The seal itself is an item of the case. An upload names it by its digest; what counts is what this
system measured, what the seal's signature covers, and what the registry says of its key.
"""

import base64
import binascii
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from api.wiring import Instance
from evidence_store.claims import ClaimSet, ClaimValue, Reading
from evidence_store.desk import Desk
from evidence_store.digest import Digest, Fingerprint
from evidence_store.errors import (
    DiscrepancyError,
    EvidenceError,
    MalformedError,
    NotFoundError,
    ProofError,
    UnavailableError,
)
from evidence_store.field_seal import SEAL_BYTES_MAX, FieldSeal, SealCheck
from evidence_store.identifiers import CaseId
from evidence_store.item import Item, ItemStatus, Version
from evidence_store.ports import CatalogReader
from evidence_store.signed_digests import SignedDigests

SEAL, SEALED_IN, EXACT = "seal", "sealed_in", "name_base64"
METADATA_NAMES = frozenset({SEAL, SEALED_IN, EXACT})
KEPT_MAX = 4  # seals that were read lately; of a large one a folder's files ask again and again


@dataclass(slots=True)
class ReadSeals:
    """Seals that were read and whose signatures held, by digest. Safe to use from several threads."""

    _kept: dict[Digest, FieldSeal] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, digest: Digest, read: Callable[[], bytes]) -> FieldSeal:
        """The seal of this digest. Raises: as `read` and `FieldSeal.opened`."""
        with self._lock:
            found = self._kept.get(digest)
            if found is None:
                found = FieldSeal.opened(read())
                if len(self._kept) >= KEPT_MAX:
                    del self._kept[next(iter(self._kept))]
                self._kept[digest] = found
        return found


@dataclass(frozen=True, slots=True)
class Arrived:
    """What arrived, as it was measured, and how to read it while it is not registered yet."""

    fingerprint: Fingerprint
    read: Callable[[], bytes]


def insist_sendable(reader: CatalogReader, said: Mapping[str, str]) -> None:
    """Insist that what is said of a seal can be looked up, before a byte is sent.

    Raises:
        MalformedError: if it is not in the form.
        NotFoundError: if the case does not have the seal: it is to be sent first.
    """
    exact_name(said)
    if said.get(SEAL, "manifest") != "manifest" or (SEAL in said and SEALED_IN in said):
        raise MalformedError("upload: expected seal to be manifest, or sealed_in")
    if SEALED_IN in said:
        if EXACT not in said:
            raise MalformedError(f"upload: expected {EXACT} with {SEALED_IN}")
        digest = Digest.sha256_hex(said[SEALED_IN])
        if _seal_item(reader, CaseId.parse(said["case"]), digest) is None:
            raise NotFoundError("upload: the case has no field seal of this digest; send it first")


def exact_name(said: Mapping[str, str]) -> bytes:
    """The name in bytes, relative to its folder; the plain one unless the exact one is said too.

    Raises:
        MalformedError: if the two do not agree.
    """
    plain = said["filename"].encode("utf-8", "surrogateescape")
    if EXACT not in said:
        return plain
    try:
        exact = base64.b64decode(said[EXACT], validate=True)
    except binascii.Error:
        raise MalformedError(f"upload: expected {EXACT} in base64") from None
    if os.path.basename(exact).decode("utf-8", "replace") != said["filename"]:
        raise MalformedError(f"upload: expected {EXACT} to end in the filename")
    return exact


def source_name(said: Mapping[str, str]) -> bytes:
    """The name that an item came under."""
    exact = exact_name(said)
    return os.path.basename(exact) if EXACT in said else exact


def origin_of(said: Mapping[str, str], officer: str) -> bytes:
    """What a source key is made from: the sender's path, exact where the plain one is not."""
    plain = f"upload:{officer}:{said.get('path', said['filename'])}".encode()
    exact = exact_name(said)
    try:
        exact.decode()
    except UnicodeDecodeError:
        return plain + b"\0" + exact
    return plain


def check(
    instance: Instance, desk: Desk, said: Mapping[str, str], arrived: Arrived, seals: ReadSeals
) -> SealCheck | None:
    """What comparing an arrival with its field seal brings; None if none is named.

    A seal that is gone, does not verify, is by a key that the registry does not have, does not list
    the name, or lists other bytes, is a problem: the arrival goes into quarantine, and is kept.

    Raises:
        UnavailableError: if something does not answer; nothing is decided.
    """
    if SEAL not in said and SEALED_IN not in said:
        return None
    own = SEAL in said
    digest = arrived.fingerprint.sha256 if own else Digest.sha256_hex(said[SEALED_IN])
    seal: FieldSeal | None = None
    try:
        with instance.catalog.read() as reader:
            if own:
                _insist_size(arrived.fingerprint)
                read, since = arrived.read, desk.now
            else:
                read, since = _kept(instance, reader, CaseId.parse(said["case"]), digest)
            seal = seals.get(digest, read)
            _insist_key(desk, reader, seal, since)
        problem = None if own else seal.problem(exact_name(said), arrived.fingerprint)
    except UnavailableError:
        raise
    except EvidenceError as error:
        problem = error
    return SealCheck(digest, None if seal is None else seal.key, seal, problem)


def claims_of(found: SealCheck) -> ClaimSet:
    """What the seal says, as claims: its times are those of the kit's clock."""
    said = {**found.open_data, **found.private_data}
    values: dict[str, ClaimValue] = {
        name: value for name, value in said.items() if isinstance(value, (str, bool, type(None)))
    }
    return ClaimSet(
        tool="field-seal",
        tool_version="1",
        reading=Reading.READ if found.seal is not None else Reading.FAILED,
        values=values,
        problem=None if found.problem is None else str(found.problem),
    )


def _seal_item(
    reader: CatalogReader, case_id: CaseId, digest: Digest
) -> tuple[Item, Version] | None:
    """The first item of the case that has these bytes, and was not declared void."""
    for version in reader.versions_with(digest):
        item = reader.item(version.ern)
        if item.case_id == case_id and item.status is not ItemStatus.VOID:
            return item, version
    return None


def _kept(
    instance: Instance, reader: CatalogReader, case_id: CaseId, digest: Digest
) -> tuple[Callable[[], bytes], datetime]:
    found = _seal_item(reader, case_id, digest)
    if found is None:
        raise DiscrepancyError("field seal: expected it among the case's items, found none")
    item, version = found
    _insist_size(version.fingerprint)
    sealed = reader.sealed(version.object_name)
    SignedDigests(reader, instance.tiles).insist(version, sealed)
    return lambda: b"".join(instance.vault.open(sealed)), item.registered_at


def _insist_size(found: Fingerprint) -> None:
    if found.size_bytes > SEAL_BYTES_MAX:
        raise MalformedError(f"field seal: expected at most {SEAL_BYTES_MAX} bytes")


def _insist_key(desk: Desk, reader: CatalogReader, seal: FieldSeal, since: datetime) -> None:
    """Insist on a key of the officer's authority that counted when the seal arrived."""
    try:
        entry = desk.registry(reader).field_key(seal.key)
    except NotFoundError:
        raise ProofError(f"field seal: the field key {seal.key} is not in the registry") from None
    if entry.authority != desk.authority:
        raise ProofError(f"field seal: the field key {seal.key} is another authority's")
    if not entry.validity.holds_at(since):
        raise ProofError(f"field seal: the field key {seal.key} did not count when it arrived")
