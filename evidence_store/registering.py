"""Who is who: changes to the registry by two people, and look-ups as of a date.

A change is proposed by one officer of the registry and approved by another. The first two
officers are entered when the registry is founded, by whoever has the instance's key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from evidence_store.cooperation.registry import (
    KIND_OF,
    AssignmentEntry,
    AuthorityEntry,
    AuthorityRole,
    Entry,
    EntryKind,
    FieldKeyEntry,
    OfficerEntry,
    OfficerRole,
    StateEntry,
    document_of,
    entry_of,
    tag_of,
)
from evidence_store.dossier import Step, Table, moves
from evidence_store.dossiers import Chains, Taken, insist_on_another, new_dossier, take
from evidence_store.errors import ConflictError, MalformedError, NotFoundError, OutOfOrderError
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, PersonCode, Role
from evidence_store.ports import Catalog, CatalogReader, CatalogWriter
from evidence_store.recording import Recorder

CHANGE = Table(
    "registry change",
    moves(
        "-: founded -> approved",
        "-: proposed -> proposed",
        "proposed: approved -> approved",
        "proposed: rejected -> rejected",
        "proposed: withdrawn -> withdrawn",
    ),
)
FOUNDERS = 2


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry of the registry, by which change and when it was recorded."""

    entry: Entry
    change: DossierId
    at: datetime


@dataclass(frozen=True, slots=True)
class Registry:
    """Look-ups. What was recorded after `known_at` is not seen, if that is given."""

    reader: CatalogReader
    chains: Chains
    known_at: datetime | None = None

    def find(self, kind: EntryKind, key: str) -> Recorded | None:
        """The entry of this key, if there is one."""
        for dossier, head in self.reader.dossiers.ends_tagged(
            DossierKind.REGISTRY, "entry", tag_of(kind, key)
        ):
            read = self.chains.read_as(self.reader, dossier, _by_key, head=head)
            found = read.get((kind, key))
            if found is not None and (self.known_at is None or found.at <= self.known_at):
                return found
        return None

    def state(self, code: str) -> StateEntry:
        """A State's entry.

        Raises:
            NotFoundError: if there is none.
        """
        found = self.find(EntryKind.STATE, code)
        if found is None or not isinstance(found.entry, StateEntry):
            raise NotFoundError(f"registry: there is no State {code}")
        return found.entry

    def authority(self, authority: AuthorityId) -> AuthorityEntry:
        """An authority's entry.

        Raises:
            NotFoundError: if there is none.
        """
        found = self.find(EntryKind.AUTHORITY, authority.value)
        if found is None or not isinstance(found.entry, AuthorityEntry):
            raise NotFoundError(f"registry: there is no authority {authority}")
        return found.entry

    def officer(self, code: PersonCode) -> OfficerEntry:
        """An officer's entry.

        Raises:
            NotFoundError: if there is none.
        """
        found = self.find(EntryKind.OFFICER, str(code))
        if found is None or not isinstance(found.entry, OfficerEntry):
            raise NotFoundError(f"registry: there is no officer {code}")
        return found.entry

    def field_key(self, key: str) -> FieldKeyEntry:
        """A field key's entry.

        Raises:
            NotFoundError: if there is none.
        """
        found = self.find(EntryKind.FIELD_KEY, key)
        if found is None or not isinstance(found.entry, FieldKeyEntry):
            raise NotFoundError(f"registry: there is no field key {key[:64]}")
        return found.entry

    def insist(
        self, code: PersonCode, authority: AuthorityId, roles: Sequence[OfficerRole], at: datetime
    ) -> OfficerEntry:
        """The officer, insisting on the authority and on one of the roles, valid then.

        Raises:
            OutOfOrderError: if it is another's officer, or without such a role then.
            NotFoundError: if there is none.
        """
        officer = self.officer(code)
        if officer.authority != authority:
            raise OutOfOrderError(f"officer {code}: expected one of {authority}")
        if not officer.roles_at(at) & set(roles):
            wanted = ", ".join(each.value for each in roles)
            raise OutOfOrderError(f"officer {code}: expected the role {wanted}, valid at {at:%F}")
        return officer

    def designated(self, authority: AuthorityId, role: AuthorityRole, at: datetime) -> bool:
        """Whether an authority was designated for a role at that instant."""
        found = self.find(EntryKind.AUTHORITY, authority.value)
        return (
            found is not None
            and isinstance(found.entry, AuthorityEntry)
            and role in found.entry.roles_at(at)
        )

    @property
    def is_founded(self) -> bool:
        """Whether there is a registry at all."""
        return bool(self.reader.dossiers.dossiers(DossierKind.REGISTRY, limit=1).entries)


def approved(steps: Sequence[Step], change: DossierId) -> list[Recorded]:
    """The entries that a change brought; none while it is not approved."""
    if CHANGE.walked(steps) != "approved":
        return []
    return [Recorded(each, change, steps[-1].at) for each in _entries(steps[0])]


def _by_key(steps: Sequence[Step], change: DossierId) -> Mapping[tuple[EntryKind, str], Recorded]:
    found: dict[tuple[EntryKind, str], Recorded] = {}
    for each in approved(steps, change):
        found.setdefault((KIND_OF[type(each.entry)], each.entry.key), each)
    return found


def entries(
    reader: CatalogReader,
    chains: Chains,
    kind: EntryKind,
    *,
    after: str | None = None,
    limit: int = 100,
    known_at: datetime | None = None,
) -> tuple[list[Recorded], str | None]:
    """The registry's entries of a kind by key, as known then, and the cursor of the next part.

    Raises:
        MalformedError: if `after` is not a cursor that an earlier part gave.
    """
    behind = None if after is None else tag_of(kind, after)
    found = reader.dossiers.values(
        DossierKind.REGISTRY, "entry", prefix=f"{kind}/", after=behind, limit=limit
    )
    registry = Registry(reader, chains, known_at)
    rows = [registry.find(kind, value.partition("/")[2]) for value in found.entries]
    cursor = None if found.after is None else found.after.partition("/")[2]
    return [each for each in rows if each is not None], cursor


def found_registry(
    catalog: Catalog,
    recorder: Recorder,
    state: StateEntry,
    authority: AuthorityEntry,
    names: Sequence[str],
) -> list[PersonCode]:
    """Found the registry: the State, its first authority and two officers who keep it.

    Raises:
        ConflictError: if there is a registry already.
        MalformedError: if there are not two different people.
    """
    people = [each.strip() for each in names]
    if len(people) != FOUNDERS or len(set(people)) != FOUNDERS:
        raise MalformedError("registry: expected two different officers to found it")
    with catalog.write() as writer:
        if Registry(writer, Chains()).is_founded:
            raise ConflictError("registry: there is one already; nothing changed")
        codes = [writer.next_person(Role.OFFICER) for _ in people]
        first = authority.designations[0].validity
        officers = [
            OfficerEntry(code, name, authority.id, {OfficerRole.REGISTRY: first})
            for code, name in zip(codes, people, strict=True)
        ]
        made: list[Entry] = [state, authority, *officers]
        new_dossier(
            writer,
            recorder,
            DossierKind.REGISTRY,
            Taken("founded", codes[0], {}, {"entries": [document_of(each) for each in made]}),
            state="approved",
            tags={"entry": _tags(made)},
        )
    return codes


def propose(
    catalog: Catalog, recorder: Recorder, chains: Chains, officer: PersonCode, entry: Entry
) -> DossierId:
    """Propose an entry, new or changed. It counts when another officer has approved it.

    Raises:
        OutOfOrderError: if this is no officer of the registry.
        NotFoundError: if it refers to a State, an authority, an officer or a case that is not there.
    """
    with catalog.write() as writer:
        _insist_registrar(writer, recorder, chains, officer)
        _insist_whole(writer, chains, entry)
        return new_dossier(
            writer,
            recorder,
            DossierKind.REGISTRY,
            Taken("proposed", officer, {}, {"entries": [document_of(entry)]}),
            state="proposed",
            tags={"entry": _tags([entry])},
        )


def new_officer_code(catalog: Catalog) -> PersonCode:
    """A code for an officer who is to be proposed."""
    with catalog.write() as writer:
        return writer.next_person(Role.OFFICER)


def approve(
    catalog: Catalog, recorder: Recorder, chains: Chains, officer: PersonCode, change: DossierId
) -> list[Entry]:
    """Approve a change that another officer proposed; from now on it counts.

    Raises:
        OutOfOrderError: if this is who proposed it, is no officer of the registry, or it is not open.
        NotFoundError: if there is no such change.
    """
    with catalog.write() as writer:
        steps = chains.steps(writer, change)
        state = CHANGE.after(CHANGE.walked(steps), "approved")
        _insist_registrar(writer, recorder, chains, officer)
        insist_on_another(officer, [steps[0].officer], str(change))
        made = _entries(steps[0])
        for entry in made:
            _insist_whole(writer, chains, entry)
        take(writer, recorder, change, Taken("approved", officer), state=state)
        for entry in made:
            if isinstance(entry, AssignmentEntry):
                until = entry.until.earliest
                if until is not None:
                    writer.dossiers.assign(entry.officer, entry.case_id, until, change)
        return made


def reject(
    catalog: Catalog,
    recorder: Recorder,
    chains: Chains,
    officer: PersonCode,
    change: DossierId,
    reason: str,
) -> None:
    """Reject a change, with a reason; who proposed it withdraws it by the same act.

    Raises:
        OutOfOrderError: if this is no officer of the registry, or it is not open.
        NotFoundError: if there is no such change.
    """
    with catalog.write() as writer:
        steps = chains.steps(writer, change)
        act = "withdrawn" if steps[0].officer == officer else "rejected"
        state = CHANGE.after(CHANGE.walked(steps), act)
        _insist_registrar(writer, recorder, chains, officer)
        take(writer, recorder, change, Taken(act, officer, {}, {"reason": reason}), state=state)


def _insist_registrar(
    writer: CatalogWriter, recorder: Recorder, chains: Chains, officer: PersonCode
) -> None:
    registry = Registry(writer, chains)
    if not registry.is_founded:
        raise OutOfOrderError("registry: there is none yet; `evidence registry found` makes it")
    registry.insist(officer, recorder.by.authority, [OfficerRole.REGISTRY], recorder.clock.now())


def _insist_whole(reader: CatalogReader, chains: Chains, entry: Entry) -> None:
    """Insist that what an entry refers to is there."""
    registry = Registry(reader, chains)
    match entry:
        case StateEntry():
            pass
        case OfficerEntry():
            registry.authority(entry.authority)
        case FieldKeyEntry():
            _insist_field_key(registry, entry)
        case AssignmentEntry():
            registry.officer(entry.officer)
            reader.case(entry.case_id)
        case AuthorityEntry():
            registry.state(entry.state.value)
            if entry.by_court is not None:
                registry.authority(entry.by_court)
            if entry.institution is not None and (
                registry.find(EntryKind.INSTITUTION, entry.institution.value) is None
            ):
                raise NotFoundError(f"registry: there is no institution {entry.institution}")
        case _:
            registry.state(entry.state.value)


def _insist_field_key(registry: Registry, entry: FieldKeyEntry) -> None:
    """Insist that a field key stays with one authority: it can be ended, and not be moved."""
    registry.authority(entry.authority)
    known = registry.find(EntryKind.FIELD_KEY, entry.key)
    if known is not None and getattr(known.entry, "authority", None) != entry.authority:
        raise ConflictError(f"registry: the field key {entry.key} is another authority's")


def _entries(step: Step) -> list[Entry]:
    found = step.private.get("entries")
    if not isinstance(found, list):
        raise MalformedError("registry: expected a change's entries")
    return [entry_of(each) for each in found if isinstance(each, dict)]


def _tags(made: Sequence[Entry]) -> list[str]:
    return [tag_of(KIND_OF[type(each)], each.key) for each in made]
