"""Three States on one instance: authorities, officers, a case with items, and a grant."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from api import ledger
from api.cooperation import terms_for
from api.wiring import Instance
from evidence_store.acts import registered, version_added
from evidence_store.authorities import KeyMaker, appoint
from evidence_store.canonical import Json
from evidence_store.cooperation.registry import (
    KIND_OF,
    AssignmentEntry,
    AuthorityEntry,
    AuthorityRole,
    Channel,
    Designation,
    Entry,
    OfficerEntry,
    OfficerRole,
    StateEntry,
    StateKind,
    Validity,
    document_of,
    tag_of,
)
from evidence_store.desk import Desk
from evidence_store.digest import Fingerprinter
from evidence_store.dossiers import Chains, Taken, new_dossier
from evidence_store.granting import accept_grant, offer_grant, propose_grant
from evidence_store.identifiers import (
    AuthorityId,
    DossierId,
    DossierKind,
    Ern,
    KeyId,
    PersonCode,
    Role,
)
from evidence_store.identifiers import StateCode as Code
from evidence_store.item import (
    Asserted,
    Item,
    ItemStatus,
    SealedObject,
    Version,
    VersionType,
)
from evidence_store.kinds import EvidenceKind
from evidence_store.moment import Moment
from evidence_store.ports import CatalogWriter, Clock
from evidence_store.provider import ProviderTerms
from evidence_store.recording import Recorder
from evidence_store.registering import Registry, approve, new_officer_code, propose
from evidence_store.sharing.decision import Policy, shipped
from evidence_store.vault import Vault
from storage.catalog import SqlCatalog
from storage.objects.memory import MemoryObjectStore
from tests.ledgers import START, Ticking
from tests.vaults import Chance, TestKeyring

ALWAYS = Validity(Moment.parse("2020Z"))
ALFA, BRAVO, CHARLIE = Code("SI"), Code("XB"), Code("XC")
BRAVO_CENTRAL, CHARLIE_CENTRAL = AuthorityId("bravo-central"), AuthorityId("charlie-central")
G = TypeVar("G", bound="Grounds")
CENTRAL_ROLES = (AuthorityRole.CENTRAL_MLA, AuthorityRole.CENTRAL_EXTRADITION)


class Grounds(Protocol):
    """What a world stands on: a ledger of the tests, or a whole instance."""

    @property
    def catalog(self) -> SqlCatalog: ...
    @property
    def recorder(self) -> Recorder: ...
    @property
    def keys(self) -> KeyMaker: ...
    @property
    def clock(self) -> Clock: ...


@dataclass
class Whole:
    """An instance as grounds."""

    instance: Instance

    @property
    def catalog(self) -> SqlCatalog:
        return self.instance.catalog

    @property
    def recorder(self) -> Recorder:
        return ledger.recorder(self.instance)

    @property
    def keys(self) -> KeyMaker:
        return self.instance.signing

    @property
    def clock(self) -> Clock:
        return self.instance.clock


@dataclass
class World(Generic[G]):
    """Three States on one instance."""

    ledger: G
    vault: Vault = field(
        default_factory=lambda: Vault(MemoryObjectStore(), TestKeyring(Chance()), Chance())
    )
    people: dict[str, PersonCode] = field(default_factory=dict)
    _sealed: list[SealedObject] = field(default_factory=list)

    def __post_init__(self) -> None:
        """All of it in one change, as if it had been founded so: quicker than two people each."""
        with self.catalog.write() as writer:
            self.home = AuthorityId.named(writer.authority())
            self.case = writer.open_case("Case", None, START).case_id
            officers = [self._officer(writer, *each) for each in self._cast()]
            assigned = AssignmentEntry(self.people["prosecutor"], self.case, Moment.parse("2099Z"))
            authorities = [
                authority(self.home, ALFA, *CENTRAL_ROLES),
                authority(BRAVO_CENTRAL, BRAVO, *CENTRAL_ROLES),
                authority(CHARLIE_CENTRAL, CHARLIE, *CENTRAL_ROLES),
            ]
            states = [
                StateEntry(code, f"State {code}", StateKind.STATE, ("en",))
                for code in (ALFA, BRAVO, CHARLIE)
            ]
            made: list[Entry] = [*states, *authorities, *officers, assigned]
            change = new_dossier(
                writer,
                self.ledger.recorder,
                DossierKind.REGISTRY,
                Taken(
                    "founded",
                    self.people["registrar"],
                    {},
                    {"entries": [document_of(each) for each in made]},
                ),
                state="approved",
                tags={"entry": [tag_of(KIND_OF[type(each)], each.key) for each in made]},
            )
            until = assigned.until.earliest
            assert until is not None
            writer.dossiers.assign(assigned.officer, self.case, until, change)
        for entry in authorities:
            self._give_key(entry)

    def _cast(self) -> list[tuple[str, AuthorityId, OfficerRole, OfficerRole]]:
        role = OfficerRole
        return [
            ("registrar", self.home, role.REGISTRY, role.REGISTRY),
            ("second", self.home, role.REGISTRY, role.REGISTRY),
            ("prosecutor", self.home, role.PROSECUTOR, role.CENTRAL),
            ("central", self.home, role.CENTRAL, role.CENTRAL),
            ("operator", self.home, role.OPERATOR, role.OPERATOR),
            ("auditor", self.home, role.AUDITOR, role.AUDITOR),
            ("b-prosecutor", BRAVO_CENTRAL, role.PROSECUTOR, role.PROSECUTOR),
            ("b-central", BRAVO_CENTRAL, role.CENTRAL, role.CENTRAL),
            ("b-auditor", BRAVO_CENTRAL, role.AUDITOR, role.AUDITOR),
            ("c-central", CHARLIE_CENTRAL, role.CENTRAL, role.CENTRAL),
            ("c-prosecutor", CHARLIE_CENTRAL, role.PROSECUTOR, role.PROSECUTOR),
        ]

    def _officer(
        self, writer: CatalogWriter, name: str, of: AuthorityId, *roles: OfficerRole
    ) -> OfficerEntry:
        self.people[name] = code = writer.next_person(Role.OFFICER)
        return OfficerEntry(code, name, of, dict.fromkeys(roles, ALWAYS))

    @property
    def catalog(self) -> SqlCatalog:
        return self.ledger.catalog

    @property
    def policy(self) -> Policy:
        return shipped()

    def go_on(self, **span: float) -> None:
        """Let time pass."""
        clock = self.ledger.clock
        assert isinstance(clock, Ticking)
        clock.at += timedelta(**span)

    def desk(self, name: str) -> Desk:
        """An officer's desk; each time with fresh look-ups, as in a new process."""
        chains = Chains()
        with self.catalog.read() as reader:
            of = Registry(reader, chains).officer(self.people[name]).authority
            kid = reader.ledger.keys_of(of)[-1].kid
        assert isinstance(kid, KeyId)
        base = self.ledger.recorder
        recorder = Recorder(base.log, kid, base.keys, base.clock, base.random)
        return Desk(self.catalog, of, base.clock, lambda: recorder, chains, self.people[name])

    def enter(self, entry: Entry) -> DossierId:
        """An entry of the registry, by two people."""
        recorder, chains = self.ledger.recorder, Chains()
        change = propose(self.catalog, recorder, chains, self.people["registrar"], entry)
        approve(self.catalog, recorder, chains, self.people["second"], change)
        if isinstance(entry, AuthorityEntry):
            self._give_key(entry)
        return change

    def hire(
        self, name: str, of: AuthorityId, *roles: OfficerRole, when: Validity = ALWAYS
    ) -> None:
        code = self.people.get(name) or new_officer_code(self.catalog)
        self.people[name] = code
        self.enter(OfficerEntry(code, name, of, dict.fromkeys(roles, when)))

    def assign(self, name: str, until: str = "2099Z") -> None:
        self.enter(AssignmentEntry(self.people[name], self.case, Moment.parse(until)))

    def item(
        self,
        content: bytes = b"evidence",
        terms: ProviderTerms | None = None,
        media_type: str = "application/octet-stream",
    ) -> Ern:
        """An item with its bytes, registered by Alfa."""
        with self.catalog.write() as writer:
            collector = writer.person_named(Role.COLLECTOR, "A").code
            (ern,) = writer.allocate(2026, 1)
            asserted = Asserted(
                EvidenceKind.PHOTO, collector, Moment.parse("unknown"), "m", "p", "s", terms=terms
            )
            item = Item(ern, self.case, ItemStatus.REGISTERED, asserted, START)
            writer.add_items([item])
            version = replace(self._version(ern, 1, content), media_type=media_type)
            writer.add_sealed([self._sealed[-1]])
            writer.add_versions([(version, b"")])
            self.ledger.recorder.record(writer, [registered(item, version)])
        return ern

    def version(self, ern: Ern, content: bytes) -> int:
        """A redacted version."""
        with self.catalog.write() as writer:
            number = len(writer.versions(ern)) + 1
            version = self._version(ern, number, content)
            writer.add_sealed([self._sealed[-1]])
            writer.add_versions([(version, b"")])
            self.ledger.recorder.record(writer, [version_added(version)])
        return number

    def document(self, *items: Ern | str, **changes: Json) -> dict[str, Json]:
        """The terms of a grant to Bravo, as people write them."""
        return {
            "grantee": "bravo-central",
            "basis": "spontaneous",
            "reference": "letter 1",
            "legal_basis": "the Convention",
            "case": str(self.case),
            "proceeding": "B 1/26",
            "purposes": ["prosecution"],
            "offences": ["murder"],
            "items": [str(each) for each in items],
            "mode": "download_copy",
            "valid_from": "2026-01-01Z",
            "valid_until": "2027-01-01Z",
            **changes,
        }

    def propose(self, document: dict[str, Json], by: str = "prosecutor") -> DossierId:
        desk = self.desk(by)
        return propose_grant(desk, terms_for(document, desk))

    def offer(
        self, document: dict[str, Json], by: str = "prosecutor", offered_by: str = "central"
    ) -> DossierId:
        made = self.propose(document, by)
        offer_grant(self.desk(offered_by), made)
        return made

    def grant(
        self,
        document: dict[str, Json],
        by: str = "prosecutor",
        offered_by: str = "central",
        accepted_by: str = "b-central",
    ) -> DossierId:
        """A grant that both sides have signed."""
        made = self.offer(document, by, offered_by)
        desk = self.desk(offered_by)
        with self.catalog.read() as reader:
            terms = desk.chains.steps(reader, made)[0].text("terms")
        accept_grant(self.desk(accepted_by), made, terms)
        return made

    def _version(self, ern: Ern, number: int, content: bytes) -> Version:
        sealing = self.vault.begin()
        size = 64 * 1024
        chunks = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
        state = Fingerprinter()
        for index, chunk in enumerate(chunks):
            state.update(chunk)
            out = memoryview(bytearray(sealing.room(len(chunk))))
            length = sealing.seal_into(memoryview(chunk), out, final=index == len(chunks) - 1)
            sealing.writer.write(out[:length])
        self.vault.objects.commit([sealing.writer])
        sealed = sealing.sealed(state.result())
        self._sealed.append(sealed)
        return Version(
            ern=ern,
            number=number,
            type=VersionType.ORIGINAL if number == 1 else VersionType.REDACTED,
            fingerprint=sealed.fingerprint,
            object_name=sealed.name,
            media_type="application/octet-stream",
            added_at=START,
            derived_from=None if number == 1 else 1,
            method=None if number == 1 else "by hand",
        )

    def _give_key(self, entry: AuthorityEntry) -> None:
        with self.catalog.read() as reader:
            known = bool(reader.ledger.keys_of(entry.id))
        if not known:
            appoint(
                self.catalog, self.ledger.keys, self.ledger.clock, entry.name, entry.id, entry.state
            )


def authority(
    identifier: AuthorityId, state: Code, *roles: AuthorityRole, when: Validity = ALWAYS
) -> AuthorityEntry:
    return AuthorityEntry(
        id=identifier,
        state=state,
        name=f"Authority {identifier}",
        designations=tuple(Designation(role, when) for role in roles),
        languages=("en",),
        channels=(Channel.CENTRAL, Channel.ELECTRONIC),
    )
