"""An instance's officers at work: whose key signs for whom, and documents as people write them.

A document that an officer writes names items as `SI-2026-000123/2` and leaves out what the system
knows better: identifiers, digests, the authority that acts.
"""

from collections.abc import Callable, Mapping

from api import ledger
from api.wiring import Instance
from evidence_store.authorities import appoint
from evidence_store.canonical import Json
from evidence_store.cooperation.registry import AuthorityEntry, Entry, Validity, member
from evidence_store.desk import Desk
from evidence_store.dossiers import Chains
from evidence_store.errors import MalformedError, NotFoundError
from evidence_store.finding import Blinding
from evidence_store.granting import granted_item
from evidence_store.identifiers import (
    BLINDING,
    AuthorityId,
    CaseId,
    DossierId,
    DossierKind,
    Ern,
    KeyId,
    PersonCode,
)
from evidence_store.moment import Moment
from evidence_store.ports import CatalogReader
from evidence_store.protecting import measures_on
from evidence_store.registering import Registry
from evidence_store.sharing.decision import Policy, shipped
from evidence_store.sharing.grant import Refused
from evidence_store.sharing.terms import (
    Assurance,
    Basis,
    DefenceDisclosure,
    Mode,
    Onward,
    Terms,
    purpose,
)


def desk(instance: Instance, officer: str) -> Desk:
    """The officer's desk: acts are signed as the officer's authority.

    Raises:
        NotFoundError: if there is no such officer.
        KeyUnavailableError: if the authority has no key here, or it is revoked.
    """
    code, chains = PersonCode.parse(officer), Chains()
    with instance.catalog.read() as reader:
        authority = Registry(reader, chains).officer(code).authority
    found = desk_of(instance, code, authority, chains)
    found.recorder  # noqa: B018 - who cannot sign is told before anything is asked
    return found


def desk_of(
    instance: Instance, officer: PersonCode, authority: AuthorityId, chains: Chains
) -> Desk:
    """The desk of an officer whose authority is known, with the chains that were checked before."""
    return Desk(
        instance.catalog,
        authority,
        instance.clock,
        lambda: ledger.recorder(instance, authority),
        chains,
        officer,
    )


def policy() -> Policy:
    """The rules by which accesses are decided.

    Raises:
        SettingsError: if they are not as they must be.
    """
    return shipped()


def blinding(instance: Instance) -> Blinding:
    """What blinds the identifiers of people; its key is made when it is first needed.

    Raises:
        KeyUnavailableError, NoSpaceError: if the key cannot be read or made.
    """
    with instance.catalog.read() as reader:
        kid = KeyId(reader.state(), BLINDING, 1)
    instance.signing.ensure(kid)
    return Blinding(instance.signing, kid)


def give_keys(instance: Instance, entries: list[Entry]) -> None:
    """Give an authority that was just approved a key to sign with, unless it has one.

    Raises:
        ConflictError: if another authority has its name.
    """
    for entry in entries:
        if not isinstance(entry, AuthorityEntry):
            continue
        with instance.catalog.read() as reader:
            try:
                reader.ledger.authority(entry.id)
                continue
            except NotFoundError:
                pass
        appoint(
            instance.catalog, instance.signing, instance.clock, entry.name, entry.id, entry.state
        )


def is_governed(instance: Instance) -> bool:
    """Whether there is a registry: then content opens to officers only, by decision."""
    with instance.catalog.read() as reader:
        return Registry(reader, Chains()).is_founded


def validity(start: str | None, end: str | None, instance: Instance) -> Validity:
    """From when until when; by default from today on, without an end.

    Raises:
        MalformedError: if the end is not after the beginning.
    """
    today = f"{instance.clock.now():%Y-%m-%d}Z"
    first = Moment.parse(start or today)
    return Validity(first) if end is None else Validity(first, Moment.parse(end))


def spanned(text: str, instance: Instance) -> tuple[str, Validity]:
    """What is written as `prosecutor@2026Z..2028Z`, `prosecutor@..2028Z` or `prosecutor`.

    Raises:
        MalformedError: if the end is not after the beginning.
    """
    name, _, when = text.partition("@")
    start, _, end = when.partition("..")
    return name, validity(start or None, end or None, instance)


def terms_for(
    document: Mapping[str, Json], desk: Desk
) -> Callable[[CatalogReader, DossierId], Terms]:
    """What makes the terms of a grant from a document, when the grant has its identifier.

    Measures in force on the items are added, and everything that a grant inherits must be said.
    What is made raises NotFoundError for an item that this officer cannot grant.

    Raises:
        MalformedError: if the document says what terms do not say, or lacks something.
    """
    unknown = set(document) - {each for each, _ in _TERMS}
    missing = [name for name, needed in _TERMS if needed and name not in document]
    if unknown or missing:
        raise MalformedError(
            f"terms: missing: {', '.join(missing) or 'nothing'}; not known: "
            f"{', '.join(sorted(unknown)) or 'nothing'}"
        )

    def made(reader: CatalogReader, grant: DossierId) -> Terms:
        below = document.get("rests_on")
        rests_on = None if below is None else DossierId.parse(str(below), DossierKind.GRANT)
        items = tuple(
            granted_item(reader, desk, *item_named(each), rests_on)
            for each in texts(document, "items")
        )
        stated = {
            DossierId.parse(each, DossierKind.MEASURE) for each in texts(document, "measures")
        }
        in_force = {
            dossier for each in items for dossier, _ in measures_on(reader, desk.chains, each.ern)
        }
        by, most = document.get("return_or_destroy_by"), document.get("downloads_max")
        return Terms(
            grant=grant,
            grantor=desk.authority,
            grantee=AuthorityId(text(document, "grantee")),
            basis=member(Basis, document["basis"], "terms: basis"),
            reference=text(document, "reference"),
            legal_basis=text(document, "legal_basis"),
            case_id=CaseId.parse(text(document, "case")),
            proceeding=text(document, "proceeding"),
            purposes=tuple(map(purpose, texts(document, "purposes"))),
            offences=texts(document, "offences"),
            items=items,
            mode=member(Mode, document["mode"], "terms: mode"),
            onward=member(Onward, document.get("onward", Onward.FORBIDDEN), "terms: onward"),
            defence=member(
                DefenceDisclosure,
                document.get("defence", DefenceDisclosure.NOTIFY_FIRST),
                "terms: defence",
            ),
            valid_from=Moment.parse(text(document, "valid_from")),
            valid_until=Moment.parse(text(document, "valid_until")),
            persons=texts(document, "persons"),
            officers=tuple(map(PersonCode.parse, texts(document, "officers"))),
            conditions=texts(document, "conditions"),
            assurances=tuple(
                member(Assurance, each, "terms: assurance")
                for each in texts(document, "assurances")
            ),
            measures=tuple(sorted(stated | in_force)),
            downloads_max=most if isinstance(most, int) else None,
            return_or_destroy_by=None if by is None else Moment.parse(str(by)),
            rests_on=rests_on,
        )

    return made


def refused_in(document: Mapping[str, Json]) -> list[Refused]:
    """The items that a document says are not granted, with their reasons.

    Raises:
        MalformedError: if one has no reason.
    """
    found = document.get("refused", [])
    if not isinstance(found, list):
        raise MalformedError("refused: expected a list of items with reasons")
    rows = [each for each in found if isinstance(each, dict) and {"item", "reason"} == set(each)]
    if len(rows) != len(found):
        raise MalformedError("refused: expected an item and a reason of each")
    return [Refused(str(Ern.parse(str(each["item"]))), str(each["reason"])) for each in rows]


def item_named(written: str) -> tuple[Ern, int | None]:
    """What is written as `SI-2026-000123` or `SI-2026-000123/2`.

    Raises:
        MalformedError: if it is neither.
    """
    ern, slash, number = written.partition("/")
    if slash and not (number.isascii() and number.isdigit() and len(number) < 10):  # noqa: PLR2004 - 32 bits
        raise MalformedError("item: expected SI-2026-000123/2", found=written)
    return Ern.parse(ern), int(number) if slash else None


def text(document: Mapping[str, Json], name: str) -> str:
    """A text that must be there.

    Raises:
        MalformedError: if it is not.
    """
    found = document.get(name)
    if not isinstance(found, str) or not found:
        raise MalformedError(f"{name}: expected a text")
    return found


def texts(document: Mapping[str, Json], name: str) -> tuple[str, ...]:
    """A list of texts; empty if it is not there.

    Raises:
        MalformedError: if it is something else.
    """
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise MalformedError(f"{name}: expected a list of texts")
    return tuple(map(str, found))


# What a document of terms says: the name, and whether it must be there.
_TERMS = (
    ("grantee", True),
    ("basis", True),
    ("reference", True),
    ("legal_basis", True),
    ("case", True),
    ("proceeding", True),
    ("purposes", True),
    ("offences", True),
    ("items", True),
    ("mode", True),
    ("valid_from", True),
    ("valid_until", True),
    ("onward", False),
    ("defence", False),
    ("persons", False),
    ("officers", False),
    ("conditions", False),
    ("assurances", False),
    ("measures", False),
    ("downloads_max", False),
    ("return_or_destroy_by", False),
    ("rests_on", False),
    ("refused", False),
)
