"""How States find each other without seeing content: hits in an index, and earlier statements.

A search answers hit or no hit, and whom to ask. Every search is recorded with its purpose and
counted; an owner can withhold an item. Whether a person gave a statement is asked by blinded
identifiers and answered to protection units only.
"""

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta

from evidence_store.canonical import Json
from evidence_store.cooperation.registry import AuthorityRole, OfficerRole
from evidence_store.desk import Desk, insist_own_item
from evidence_store.dossier import Table, moves
from evidence_store.dossiers import Taken, new_dossier, take
from evidence_store.errors import MalformedError, OutOfOrderError, RateError
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, Ern, KeyId
from evidence_store.ledger_port import SigningKeys
from evidence_store.ports import CatalogReader, CatalogWriter
from evidence_store.provider import Purpose
from evidence_store.wording import stated

ENTRY = Table(
    "index entry",
    moves(
        "-: entered -> entered",
        "entered: withheld -> withheld",
        "withheld: reinstated -> entered",
    ),
)
DAY = timedelta(days=1)
_BLINDING = b"evidence-blinding/v1\n"
SEARCHES_A_DAY = 50
LOOKUPS_A_DAY = 20
OWNERS = (
    OfficerRole.PROSECUTOR,
    OfficerRole.CENTRAL,
    OfficerRole.CUSTODIAN,
    OfficerRole.INVESTIGATOR,
)
SEARCHERS = (OfficerRole.PROSECUTOR, OfficerRole.CENTRAL, OfficerRole.INVESTIGATOR)
INTERVIEWERS = (*SEARCHERS, OfficerRole.PROTECTION, OfficerRole.VICTIMS, OfficerRole.JUDGE)


@dataclass(frozen=True, slots=True)
class Blinding:
    """A keyed digest: nobody without the key can tell for which text a token stands.

    The key is made from a signature over a fixed text: Ed25519 signs alike every time (RFC 8032,
    section 5.1.6), so a key that signs nothing else can be kept where signing keys are kept.
    """

    keys: SigningKeys
    kid: KeyId

    def token(self, text: str) -> str:
        """What stands for a text.

        Raises:
            KeyUnavailableError: if the key cannot be read.
        """
        key = hashlib.sha256(self.keys.sign(self.kid, _BLINDING)).digest()
        return hmac.digest(key, text.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Criteria:
    """What an item is found by: no closer than a district and a month."""

    crime: str
    district: str
    month: str
    event: str = ""

    def __post_init__(self) -> None:
        for name in ("crime", "district"):
            stated(getattr(self, name), f"index: {name}")
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", self.month, re.ASCII):
            raise MalformedError("index: expected a month as in 2022-03", found=self.month)

    @property
    def tags(self) -> list[str]:
        """What it is found by: with the event and without."""
        parts = [_plain(self.crime), _plain(self.district), self.month]
        whole = "|".join(parts)
        return [whole] if not self.event else [whole, f"{whole}|{_plain(self.event)}"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether there is something, and whom to ask. Nothing else is ever answered."""

    hit: bool
    ask: tuple[AuthorityId, ...]
    search: DossierId


@dataclass(frozen=True, slots=True)
class Identity:
    """What a person is known by. At least a name with a date of birth, or a document's number."""

    name: str = ""
    born: date | None = None
    document: str = ""

    def __post_init__(self) -> None:
        if not (self.name.strip() and self.born) and not self.document.strip():
            raise MalformedError(
                "identity: expected a name with a date of birth, or a document's number"
            )

    @property
    def texts(self) -> list[str]:
        """What is blinded. The parts of a name in any order, without accents, are one name."""
        found = []
        if self.name.strip() and self.born is not None:
            parts = " ".join(sorted(_plain(self.name).split()))
            found.append(f"name|{parts}|{self.born.isoformat()}")
        if self.document.strip():
            found.append(f"document|{_plain(self.document).replace(' ', '')}")
        return found


def enter(desk: Desk, ern: Ern, criteria: Criteria) -> DossierId:
    """Enter an item into the index, as the State whose it is.

    Raises:
        NotFoundError: if there is no such item of this State.
        OutOfOrderError: if the officer may not.
    """
    with desk.catalog.act() as writer:
        desk.insist(writer, OWNERS)
        insist_own_item(writer, desk, ern)
        private: dict[str, Json] = {
            "item": str(ern),
            "crime": criteria.crime,
            "district": criteria.district,
            "month": criteria.month,
            "event": criteria.event,
        }
        return new_dossier(
            writer,
            desk.recorder,
            DossierKind.INDEX,
            Taken("entered", desk.officer, {}, private),
            state="entered",
            tags={"hit": criteria.tags, "item": [str(ern)]},
        )


def withhold(desk: Desk, ern: Ern, *, withheld: bool) -> int:
    """Withhold an item from the index, or let it be found again; returns how many entries changed.

    Raises:
        NotFoundError: if there is no such item of this State.
        OutOfOrderError: if the officer may not.
    """
    act = "withheld" if withheld else "reinstated"
    with desk.catalog.act() as writer:
        desk.insist(writer, OWNERS)
        insist_own_item(writer, desk, ern)
        changed = 0
        for each in writer.dossiers.tagged(DossierKind.INDEX, "item", str(ern)):
            state = ENTRY.walked(desk.chains.steps(writer, each.id))
            if (state == "entered") is withheld:
                following = ENTRY.after(state, act)
                take(writer, desk.recorder, each.id, Taken(act, desk.officer), state=following)
                changed += 1
        return changed


def search(desk: Desk, criteria: Criteria, purpose: Purpose) -> Answer:
    """Ask whether anybody has something. The search is recorded, whatever it finds.

    Raises:
        RateError: if the authority has searched too often today.
        OutOfOrderError: if the officer may not.
    """
    with desk.catalog.act() as writer:
        desk.insist(writer, SEARCHERS)
        _insist_designated(writer, desk)
        _insist_rate(writer, desk, DossierKind.SEARCH, SEARCHES_A_DAY)
        found = [
            each.owner
            for each in writer.dossiers.tagged(DossierKind.INDEX, "hit", criteria.tags[-1])
            if each.state == "entered" and each.owner != desk.authority
        ]
        ask = tuple(sorted(set(found)))
        said: list[Json] = [*criteria.tags]
        recorded = new_dossier(
            writer,
            desk.recorder,
            DossierKind.SEARCH,
            Taken(
                "searched",
                desk.officer,
                {"purpose": purpose.value, "hit": bool(ask)},
                {"criteria": said},
            ),
            state="answered",
        )
        return Answer(bool(ask), ask, recorded)


def register_statement(desk: Desk, blinding: Blinding, identity: Identity, ern: Ern) -> DossierId:
    """Say that a person gave a statement; who the person is stays blinded.

    Raises:
        NotFoundError: if there is no such item of this State.
        OutOfOrderError: if the officer may not.
        KeyUnavailableError: if the blinding key cannot be read.
    """
    tokens = [blinding.token(text) for text in identity.texts]
    with desk.catalog.act() as writer:
        desk.insist(writer, INTERVIEWERS)
        insist_own_item(writer, desk, ern)
        return new_dossier(
            writer,
            desk.recorder,
            DossierKind.STATEMENT,
            Taken("registered_statement", desk.officer, {}, {"item": str(ern)}),
            state="registered",
            tags={"person": tokens},
        )


def look_up_person(desk: Desk, blinding: Blinding, identity: Identity, reasons: str) -> Answer:
    """Ask whether a person has given a statement: the answer is whom to ask, and nothing else.

    Raises:
        OutOfOrderError: if this is no protection officer of a protection unit.
        RateError: if the authority has asked too often today.
        KeyUnavailableError: if the blinding key cannot be read.
    """
    with desk.catalog.act() as writer:
        desk.insist(writer, [OfficerRole.PROTECTION])
        registry = desk.registry(writer)
        if not registry.designated(desk.authority, AuthorityRole.PROTECTION_UNIT, desk.now):
            raise OutOfOrderError("statements: only a protection unit is answered")
        _insist_rate(writer, desk, DossierKind.LOOKUP, LOOKUPS_A_DAY)
        owners: set[AuthorityId] = set()
        for text in identity.texts:
            found = writer.dossiers.tagged(DossierKind.STATEMENT, "person", blinding.token(text))
            owners |= {each.owner for each in found}
        recorded = new_dossier(
            writer,
            desk.recorder,
            DossierKind.LOOKUP,
            Taken(
                "looked_up",
                desk.officer,
                {"hit": bool(owners)},
                {"reasons": stated(reasons, "reasons")},
            ),
            state="answered",
        )
        return Answer(bool(owners), tuple(sorted(owners)), recorded)


def _insist_designated(reader: CatalogReader, desk: Desk) -> None:
    if not desk.registry(reader).authority(desk.authority).roles_at(desk.now):
        raise OutOfOrderError(f"{desk.authority} is designated for nothing today")


def _insist_rate(writer: CatalogWriter, desk: Desk, kind: DossierKind, most: int) -> None:
    made = writer.dossiers.made_since(kind, desk.authority, desk.now - DAY)
    if made >= most:
        raise RateError(
            f"expected at most {most} a day by one authority, found {made}; try tomorrow"
        )


def _plain(text: str) -> str:
    """A text as it is compared: without case, accents and punctuation."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(each for each in folded if not unicodedata.combining(each))
    return " ".join(re.findall(r"\w+", kept))
