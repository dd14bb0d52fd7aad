"""The Custody Transfer Point: an offer that both sides sign, and a receipt item by item.

An offer is one document. Its digest is what the receiver accepts, so both sign the same list.
Who receives states a condition for every item: nothing arrives silently, or partly.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from evidence_store.canonical import Json, canonical, parse_canonical
from evidence_store.digest import Digest
from evidence_store.errors import MalformedError
from evidence_store.identifiers import SERIAL_MAX, AuthorityId, Ern, StateCode
from evidence_store.moment import Moment
from evidence_store.wording import stated


@dataclass(frozen=True, slots=True, order=True)
class TransferId:
    """A transfer, as in `SI-TRF-000012`: State and serial."""

    state: StateCode
    serial: int

    def __post_init__(self) -> None:
        if not 1 <= self.serial < SERIAL_MAX:
            raise MalformedError(f"transfer: the serial {self.serial} is not positive")

    def __str__(self) -> str:
        return f"{self.state}-TRF-{self.serial:06d}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a transfer identifier.

        Raises:
            MalformedError: on anything `str()` of one would not have written.
        """
        found = re.fullmatch(r"([A-Z]{2})-TRF-(\d{6,12})", text, re.ASCII)
        transfer = None if found is None else cls(StateCode(found[1]), int(found[2]))
        if transfer is None or str(transfer) != text:
            raise MalformedError("transfer: expected the form SI-TRF-000012", found=text)
        return transfer


class Mode(StrEnum):
    """How items travel."""

    DIGITAL = "digital"
    COURIER = "courier"
    DIPLOMATIC_BAG = "diplomatic_bag"
    HAND = "hand"


class RefusalReason(StrEnum):
    """Why an offer is not accepted."""

    NOT_AUTHORISED = "not_authorised"
    WRONG_ADDRESSEE = "wrong_addressee"
    CONDITIONS_UNACCEPTABLE = "conditions_unacceptable"
    CANNOT_STORE_SAFELY = "cannot_store_safely"
    OUT_OF_SCOPE = "out_of_scope"
    DUPLICATE = "duplicate"


class Condition(StrEnum):
    """What the receiver found of an item."""

    OK = "ok"
    MISSING = "missing"
    EXTRA = "extra"
    SEAL_BROKEN = "seal_broken"
    SEAL_MISMATCH = "seal_mismatch"
    DAMAGED = "damaged"
    DIGEST_MISMATCH = "digest_mismatch"
    NOT_VERIFIABLE = "not_verifiable"


UNMEASURED = frozenset({Condition.MISSING, Condition.NOT_VERIFIABLE})


@dataclass(frozen=True, slots=True)
class OfferedItem:
    """An item as it is offered: a version by its digest, or a thing by its seals."""

    ern: Ern
    version: int | None = None
    sha256: str | None = None
    seals: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.version is None) != (self.sha256 is None):
            raise MalformedError(f"offer: {self.ern}: expected a version with its digest")
        if self.version is not None and self.version < 1:
            raise MalformedError(f"offer: {self.ern} has no version {self.version}")
        _insist_on_sha256(self.sha256)

    def to_json(self) -> dict[str, Json]:
        """As it stands in the offer."""
        return {
            "ern": str(self.ern),
            "version": self.version,
            "sha256": self.sha256,
            "seals": list(self.seals),
        }


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered, by whom, to whom, why, and until when."""

    transfer: TransferId
    items: tuple[OfferedItem, ...]
    sender: AuthorityId
    sender_person: str
    receiver: AuthorityId
    receiver_person: str
    purpose: str
    reference: str
    mode: Mode
    conditions: tuple[str, ...]
    valid_until: Moment
    loan: bool = False
    return_by: Moment | None = None

    def __post_init__(self) -> None:
        if not self.items:
            raise MalformedError("offer: expected at least one item")
        if len({item.ern for item in self.items}) != len(self.items):
            raise MalformedError("offer: expected every item once")
        if self.sender == self.receiver:
            raise MalformedError("offer: expected another authority as the receiver")
        if self.valid_until.is_unknown:
            raise MalformedError("offer: expected a time until which it can be accepted")
        if self.return_by is not None and self.return_by.is_unknown:
            raise MalformedError("offer: expected a time by which the loan comes back")
        for name in ("sender_person", "receiver_person", "purpose", "reference"):
            stated(getattr(self, name), f"offer: {name}")
        if self.loan != (self.return_by is not None):
            raise MalformedError("offer: a loan, and nothing else, has a date of return")

    @property
    def document(self) -> bytes:
        """The offer as canonical JSON."""
        return canonical(
            {
                "v": 1,
                "transfer": str(self.transfer),
                "items": [item.to_json() for item in self.items],
                "from": {"authority": str(self.sender), "person": self.sender_person},
                "to": {"authority": str(self.receiver), "person": self.receiver_person},
                "purpose": self.purpose,
                "reference": self.reference,
                "mode": self.mode.value,
                "conditions": list(self.conditions),
                "valid_until": self.valid_until.text,
                "loan": self.loan,
                "return_by": None if self.return_by is None else self.return_by.text,
            }
        )

    @property
    def digest(self) -> str:
        """What the receiver accepts: SHA-256 of the document, in hexadecimal."""
        return hashlib.sha256(self.document).hexdigest()

    @classmethod
    def parse(cls, document: bytes) -> Self:
        """Read an offer.

        Raises:
            MalformedError: if it is not one, or says anything that an offer does not say:
                otherwise the digest accepted would not be that of what was read.
        """
        offer = cls._read(document)
        if offer.document != document:
            raise MalformedError("offer: expected the members of version 1 and no others")
        return offer

    @classmethod
    def _read(cls, document: bytes) -> Self:
        match parse_canonical(document, "offer"):
            case {
                "v": 1,
                "transfer": str(transfer),
                "items": list(items),
                "from": {"authority": str(sender), "person": str(sender_person)},
                "to": {"authority": str(receiver), "person": str(receiver_person)},
                "purpose": str(purpose),
                "reference": str(reference),
                "mode": str(mode),
                "conditions": list(conditions),
                "valid_until": str(valid_until),
                "loan": bool(loan),
                "return_by": str() | None as return_by,
            }:
                return cls(
                    transfer=TransferId.parse(transfer),
                    items=tuple(map(_item, items)),
                    sender=AuthorityId(sender),
                    sender_person=sender_person,
                    receiver=AuthorityId(receiver),
                    receiver_person=receiver_person,
                    purpose=purpose,
                    reference=reference,
                    mode=_mode(mode),
                    conditions=tuple(map(str, conditions)),
                    valid_until=Moment.parse(valid_until),
                    loan=loan,
                    return_by=None if return_by is None else Moment.parse(return_by),
                )
            case _:
                raise MalformedError("offer: expected one of version 1")


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """What the receiver found of one item; `measured` is the SHA-256 that the receiver measured."""

    ern: Ern
    condition: Condition
    measured: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        _insist_on_sha256(self.measured)


def checked_receipt(
    items: Sequence[OfferedItem], lines: Sequence[ReceiptLine]
) -> Mapping[Ern, ReceiptLine]:
    """The lines by item, after insisting that they are the receipt of these items.

    Raises:
        MalformedError: if an item has no line or two, was not offered, or if what is said of it
            cannot be so: a version is `ok` exactly when the measured digest is the offered one.
    """
    offered = {item.ern: item for item in items}
    found = {line.ern: line for line in lines}
    if len(found) != len(lines) or set(found) != set(offered):
        missing = ", ".join(str(ern) for ern in offered if ern not in found)
        foreign = ", ".join(str(ern) for ern in found if ern not in offered)
        raise MalformedError(
            "receipt: expected one line for every item offered and no other; "
            f"without a line: {missing or 'none'}; not offered: {foreign or 'none'}"
        )
    for ern, line in found.items():
        _check_line(offered[ern], line)
    return found


def _check_line(item: OfferedItem, line: ReceiptLine) -> None:
    if line.condition is Condition.EXTRA:
        raise MalformedError(f"receipt: {line.ern} was offered, so it is not extra")
    if item.sha256 is None:
        if line.measured is not None or line.condition is Condition.DIGEST_MISMATCH:
            raise MalformedError(f"receipt: {line.ern} has no bytes that could be measured")
        return
    if line.condition in UNMEASURED and line.measured is not None:
        raise MalformedError(
            f"receipt: {line.ern} is {line.condition}, so nothing of it can have been measured"
        )
    if line.condition is Condition.OK and line.measured != item.sha256:
        raise MalformedError(
            f"receipt: {line.ern}: expected the receiver's own measurement to be {item.sha256}, "
            f"found {line.measured or 'none'}"
        )
    if line.condition is Condition.DIGEST_MISMATCH and line.measured in {None, item.sha256}:
        raise MalformedError(f"receipt: {line.ern}: a mismatch needs another digest, measured")


def _insist_on_sha256(text: str | None) -> None:
    if text is not None:
        Digest.parse(f"sha256:{text}")


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise MalformedError(
            f"offer: expected a mode among {', '.join(Mode)}", found=text
        ) from None


def _item(value: Json) -> OfferedItem:
    match value:
        case {
            "ern": str(ern),
            "version": int() | None as version,
            "sha256": str() | None as sha256,
            "seals": list(seals),
        } if not isinstance(version, bool):  # to Python, true is a whole number
            return OfferedItem(Ern.parse(ern), version, sha256, tuple(map(str, seals)))
        case _:
            raise MalformedError("offer: expected items")
