"""Who is who: changes to the registry by two people, and look-ups as of a date.

A change is proposed by one officer of the registry and approved by another. The first two
officers are entered when the registry is founded, by whoever has the instance's key. A look-up
goes by the signed changes, and only by those that were duly made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    assignment_key,
    document_of,
    entry_of,
    tag_of,
)
from evidence_store.dossier import Step, Table, moves
from evidence_store.dossiers import Chains, Taken, insist_on_another, new_dossier, take
from evidence_store.errors import (
    ConflictError,
    LedgerAlteredError,
    MalformedError,
    NotFoundError,
    OutOfOrderError,
)
from evidence_store.identifiers import AuthorityId, CaseId, DossierId, DossierKind, PersonCode, Role
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
FOUNDED = "founded"


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry of the registry, by which change and when it was recorded."""

    entry: Entry
    change: DossierId
    at: datetime


@dataclass(frozen=True, slots=True)
class Registry:
    """Look-ups. What was recorded after `known_at`, or in the log from `before` on, is not seen."""

    reader: CatalogReader
    chains: Chains
    known_at: datetime | None = None
    before: int | None = None

    def find(self, kind: EntryKind, key: str) -> Recorded | None:
        """The entry of this key, if there is one.

        Raises:
            LedgerAlteredError: if the change that brought it is not as it was signed, or was not made
                by two officers of the registry.
        """
        for dossier, head in self.reader.dossiers.ends_tagged(
            DossierKind.REGISTRY, "entry", tag_of(kind, key)
        ):
            change = self.chains.read_as(self.reader, dossier, _Change.of, head=head)
            found = change.entries.get((kind, key))
            if found is not None and self._sees(change, found):
                self._insist_duly(change)
                return found
        return None

    def brought_by(self, change: DossierId) -> Sequence[Recorded]:
        """The entries that a change brought; none while it is not approved.

        Raises:
            NotFoundError: if there is no such change.
            LedgerAlteredError: as `find`.
        """
        found = self.chains.read_as(self.reader, change, _Change.of)
        if found.entries:
            self._insist_duly(found)
        return [*found.entries.values()]

    def _sees(self, change: "_Change", found: Recorded) -> bool:
        if self.before is not None and change.place >= self.before:
            return False
        return self.known_at is None or found.at <= self.known_at

    def _insist_duly(self, change: "_Change") -> None:
        """Insist that two officers of the registry made a change, each then one of who signed.

        Each step rests on entries from before it, so it ends at the founding.
        """
        if change.is_duly:
            return
        first, last = change.steps[0], change.steps[-1]
        try:
            if last.act == FOUNDED:
                duly = first.by == AuthorityId.named(self.reader.authority())
            else:
                duly = first.officer != last.officer and all(
                    self._is_registrar(each) for each in (first, last)
                )
        except (MalformedError, NotFoundError):
            duly = False
        if not duly:
            raise LedgerAlteredError(
                f"{change.id}: expected a change by two officers of the registry"
            )
        change.is_duly = True

    def _is_registrar(self, step: Step) -> bool:
        earlier = Registry(self.reader, self.chains, before=step.place or 0)
        officer = earlier.officer(step.officer)
        return officer.authority == step.by and OfficerRole.REGISTRY in officer.roles_at(step.at)

    def needs_to_know(self, officer: PersonCode, case_id: CaseId, at: datetime) -> bool:
        """Whether the officer is assigned to the case at that instant, as two officers signed it."""
        found = self.find(EntryKind.ASSIGNMENT, assignment_key(officer, case_id))
        if found is None or not isinstance(found.entry, AssignmentEntry):
            return False
        until = found.entry.until.earliest
        return until is not None and until > at

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


@dataclass(slots=True)
class _Change:
    """A change's entries by key. That it was duly made is found out once: what it rests on is past."""

    id: DossierId
    steps: Sequence[Step]
    entries: Mapping[tuple[EntryKind, str], Recorded] = field(default_factory=dict)
    is_duly: bool = False

    @classmethod
    def of(cls, steps: Sequence[Step], change: DossierId) -> "_Change":
        """The change that the steps tell; without entries while it is not approved."""
        found: dict[tuple[EntryKind, str], Recorded] = {}
        for each in approved(steps, change):
            found.setdefault((KIND_OF[type(each.entry)], each.entry.key), each)
        return cls(change, steps, found)

    @property
    def place(self) -> int:
        """Where in the log it began to count."""
        return self.steps[-1].place or 0


def entries(
    reader: CatalogReader,
    chains: Chains,
    kind: EntryKind,
    *,
    after: str | None = None,
    limit: int = 100,
    known_at: datetime | None = None,
    beginning: str = "",
) -> tuple[list[Recorded], str | None]:
    """The registry's entries of a kind by key, as known then, and the cursor of the next part.

    With `beginning`, those only whose key begins so. The cursor is the key of the last entry: what
    is proposed only, or was not known then, is passed over and not named.

    Raises:
        MalformedError: if `after` is not a cursor that an earlier part gave.
    """
    behind = None if after is None else tag_of(kind, after)
    prefix, registry = f"{kind}/{beginning}", Registry(reader, chains, known_at)
    rows: list[Recorded] = []
    while len(rows) <= limit:
        found = reader.dossiers.values(
            DossierKind.REGISTRY, "entry", prefix=prefix, after=behind, limit=limit + 1
        )
        known = [registry.find(kind, value.partition("/")[2]) for value in found.entries]
        rows += [each for each in known if each is not None]
        behind = found.after
        if behind is None:
            break
    return rows[:limit], rows[limit - 1].entry.key if len(rows) > limit else None


def entries_known(
    reader: CatalogReader,
    chains: Chains,
    officer: PersonCode,
    kind: EntryKind,
    *,
    at: datetime,
    after: str | None = None,
    limit: int = 100,
    known_at: datetime | None = None,
) -> tuple[list[Recorded], str | None]:
    """`entries`, those that an officer may know of.

    Who needs to know which case is told to the instance's own officers of the registry; everybody
    else reads their own. Field keys are told to the officers of the instance's State, who check
    seals: a seal that leaves brings its key along. Who operates the system reads neither.

    Raises:
        NotFoundError: if there is no such officer.
        MalformedError: as `entries`.
    """
    registry = Registry(reader, chains)
    found = registry.officer(officer)
    roles = found.roles_at(at)
    is_home = registry.authority(found.authority).state == reader.state()
    is_at_work = bool(roles) and OfficerRole.OPERATOR not in roles
    beginning = ""
    match kind:
        case EntryKind.ASSIGNMENT if not (is_home and OfficerRole.REGISTRY in roles):
            is_told, beginning = is_at_work, assignment_key(officer)
        case EntryKind.ASSIGNMENT:
            is_told = is_at_work
        case EntryKind.FIELD_KEY:
            is_told = is_at_work and is_home
        case _:
            is_told = True
    if not is_told:
        return [], None
    return entries(
        reader, chains, kind, after=after, limit=limit, known_at=known_at, beginning=beginning
    )


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
            Taken(FOUNDED, codes[0], {}, {"entries": [document_of(each) for each in made]}),
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
                _show_in_lists(writer, chains, entry.key)
        return made


def _show_in_lists(writer: CatalogWriter, chains: Chains, key: str) -> None:
    """Let lists go by what counts now: an older proposal that is approved late does not."""
    found = Registry(writer, chains).find(EntryKind.ASSIGNMENT, key)
    if found is None or not isinstance(found.entry, AssignmentEntry):
        return
    until = found.entry.until.earliest
    if until is not None:
        writer.dossiers.assign(found.entry.officer, found.entry.case_id, until, found.change)


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


def tags_of_change(steps: Sequence[Step]) -> list[str]:
    """What a change is to be found by."""
    return _tags(_entries(steps[0]))


def _tags(made: Sequence[Entry]) -> list[str]:
    return [tag_of(KIND_OF[type(each)], each.key) for each in made]
