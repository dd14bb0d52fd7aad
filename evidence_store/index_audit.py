"""The index of dossiers checked against what was signed: who needs to know, what was granted to whom.

Decisions read the signed events, and lists read these rows; a row that says otherwise than was
signed, one too many and one that is missing are named. Memory does not grow with the index.
Whether the events themselves hold is for `audit`, which `whole_audit` ends with.
"""

import hashlib
from collections.abc import Iterator, Sequence

from evidence_store.audit import Finding, audit
from evidence_store.cooperation.registry import AssignmentEntry, EntryKind, assignment_key
from evidence_store.dossier import Step
from evidence_store.dossier_port import Assigned, GrantedRow, GrantedVersion
from evidence_store.dossiers import Chains
from evidence_store.errors import EvidenceError, LedgerAlteredError, NotFoundError
from evidence_store.granting import grant_chain
from evidence_store.identifiers import CaseId, DossierId, DossierKind, Ern, PersonCode
from evidence_store.ledger_port import TileStore
from evidence_store.ports import Catalog, CatalogReader
from evidence_store.registering import CHANGE, Registry, tags_of_change
from evidence_store.sharing.consent import consent_of
from evidence_store.sharing.grant import Grant, grant_of
from evidence_store.sharing.measure import measure_of

PAGE_ROWS = 1000


def whole_audit(catalog: Catalog, tiles: TileStore) -> Iterator[Finding]:
    """Every problem of the index and of the log, and at the end how many entries were checked.

    Raises:
        StoreUnavailableError, CatalogBusyError: if a part does not answer.
    """
    with catalog.read() as reader:
        yield from audit_index(reader, Chains())
    yield from audit(catalog, tiles)


def audit_index(reader: CatalogReader, chains: Chains) -> Iterator[Finding]:
    """Every row of the index that says otherwise than was signed."""
    yield from _unlisted(reader)
    yield from _assignments(reader, chains)
    for kind in DossierKind:
        after: str | None = None
        while True:
            page = reader.dossiers.dossiers(kind, after=after, limit=PAGE_ROWS)
            for each in page.entries:
                yield from _dossier(reader, chains, each.id)
            after = page.after
            if after is None:
                break


def _unlisted(reader: CatalogReader) -> Iterator[Finding]:
    """What something was signed of, and what nobody finds any more."""
    after: str | None = None
    while True:
        page = reader.ledger.subjects(after=after, limit=PAGE_ROWS)
        for each in page.entries:
            try:
                if isinstance(each, Ern):
                    reader.item(each)
                else:
                    reader.dossiers.dossier(each)
            except NotFoundError:
                yield Finding(0, str(each), "something was signed of it, and its row is not there")
        after = page.after
        if after is None:
            return


def _assignments(reader: CatalogReader, chains: Chains) -> Iterator[Finding]:
    """Rows by which lists say who needs to know a case, and that were not signed so."""
    registry = Registry(reader, chains)
    after: str | None = None
    while True:
        page = reader.dossiers.assignments(after=after, limit=PAGE_ROWS)
        for row in page.entries:
            where = f"assignment of {row.officer} to {row.case_id}"
            try:
                signed = _assigned(registry, row.officer, row.case_id)
            except EvidenceError as error:
                yield Finding(0, where, str(error))
                continue
            if signed is None:
                yield Finding(0, where, "nobody signed it")
            elif signed != row:
                yield Finding(
                    0,
                    where,
                    f"expected until {signed.until.isoformat()} by {signed.dossier}, as signed; "
                    f"found until {row.until.isoformat()} by {row.dossier}",
                )
        after = page.after
        if after is None:
            return


def _assigned(registry: Registry, officer: PersonCode, case_id: CaseId) -> Assigned | None:
    found = registry.find(EntryKind.ASSIGNMENT, assignment_key(officer, case_id))
    if found is None or not isinstance(found.entry, AssignmentEntry):
        return None
    until = found.entry.until.earliest
    return None if until is None else Assigned(officer, case_id, until, found.change)


def _dossier(reader: CatalogReader, chains: Chains, dossier: DossierId) -> Iterator[Finding]:
    try:
        steps = chains.steps(reader, dossier)
        problems = [*_row(reader, dossier, steps)]
        match dossier.kind:
            case DossierKind.REGISTRY:
                problems += _registry(reader, chains, dossier)
            case DossierKind.GRANT:
                problems += _grant(reader, chains, dossier)
            case DossierKind.ACCESS:
                problems += _access(reader, dossier, steps)
            case _:
                pass
    except LedgerAlteredError as error:
        problems = [str(error)]
    except EvidenceError as error:
        problems = [f"cannot be read as it was signed: {error}"]
    for each in problems:
        yield Finding(0, str(dossier), each)


def _row(reader: CatalogReader, dossier: DossierId, steps: Sequence[Step]) -> Iterator[str]:
    """Where the dossier stands, whose it is, and what it is found by."""
    row = reader.dossiers.dossier(dossier)
    if row.owner != steps[0].by:
        yield f"its row is {row.owner}'s, and {steps[0].by} opened it"
    said = _said(dossier, steps)
    if said is None:
        return
    state, tags = said
    if row.state != state:
        yield f"its row says {row.state}, and what was signed leads to {state}"
    found = set(reader.dossiers.tags(dossier))
    for name, value in sorted(tags - found):
        yield f"is not found by its {name} {value} any more"
    for name, value in sorted(found - tags):
        yield f"is found by the {name} {value}, of which it says nothing"


def _said(dossier: DossierId, steps: Sequence[Step]) -> tuple[str, set[tuple[str, str]]] | None:
    """State and tags, of the kinds that accesses are decided by; the others open nothing."""
    match dossier.kind:
        case DossierKind.REGISTRY:
            return CHANGE.walked(steps), {("entry", each) for each in tags_of_change(steps)}
        case DossierKind.GRANT:
            grant = grant_of(steps)
            tags = {("item", str(each.ern)) for each in grant.terms.items}
            if grant.terms.rests_on is not None:
                tags.add(("rests_on", str(grant.terms.rests_on)))
            return grant.state, tags
        case DossierKind.MEASURE:
            measure = measure_of(steps)
            return measure.state, {("item", str(measure.ern))}
        case DossierKind.CONSENT:
            consent = consent_of(steps)
            tags = {("item", str(each)) for each in consent.items}
            if consent.grant is not None:
                tags.add(("grant", str(consent.grant)))
            return consent.state, tags
        case _:
            return None


def _registry(reader: CatalogReader, chains: Chains, change: DossierId) -> Iterator[str]:
    """Whether a change was duly made, and the assignments in it have their rows."""
    registry = Registry(reader, chains)
    for each in registry.brought_by(change):
        if isinstance(each.entry, AssignmentEntry):
            key = each.entry.officer, each.entry.case_id
            if reader.dossiers.assignment(*key) is None and _assigned(registry, *key) is not None:
                yield f"the row of the assignment of {key[0]} to {key[1]} is not there"


def _grant(reader: CatalogReader, chains: Chains, dossier: DossierId) -> Iterator[str]:
    chain = grant_chain(reader, chains, dossier)
    expected = set(_granted(chain)) if chain[-1].is_signed else set()
    found = set(reader.dossiers.granted(dossier))
    for row in sorted(found - expected, key=str):
        yield f"a row grants {row.version.ern}/{row.version.version} otherwise than was signed"
    for row in sorted(expected - found, key=str):
        yield f"the row that grants {row.version.ern}/{row.version.version} is not there as signed"


def _granted(chain: Sequence[Grant]) -> Iterator[GrantedRow]:
    """The rows of a grant: open while it is active, and all that it rests on."""
    terms = chain[-1].terms
    start, end = terms.valid_from.earliest, terms.valid_until.earliest
    if start is None or end is None:
        return
    is_open = all(each.state == "active" for each in chain)
    for item in terms.items:
        for officer in terms.officers or (None,):
            version = GrantedVersion(item.ern, item.version, officer)
            yield GrantedRow(version, terms.grantee, is_open, start, end)


def _access(reader: CatalogReader, dossier: DossierId, steps: Sequence[Step]) -> Iterator[str]:
    """Whether the row of an access says what was decided: what a grant has left is counted by it."""
    row, first = reader.dossiers.access(dossier), steps[0]
    expected = {
        "decision": row.decision,
        "rule": row.rule,
        "policy": row.policy,
        "action": row.action,
        "purpose": row.purpose,
        "item": str(row.ern),
        "version": row.version,
        "grant": None if row.grant is None else str(row.grant),
    }
    named = [name for name, value in expected.items() if first.data.get(name) != value]
    if (row.officer, row.authority) != (first.officer, first.by):
        named.append("officer")
    if first.private.get("copy_id") != row.copy_id:
        named.append("copy_id")
    ended = [each for each in steps if each.act == "ended"]
    served = [each.data.get(name) for each in ended[-1:] for name in _SERVED]
    if (served or [None] * len(_SERVED)) != [row.ended, row.served_bytes, row.served_sha256]:
        named.append("ended")
    if named:
        yield f"its row says otherwise than was signed: {', '.join(named)}"
    text = reader.dossiers.policy_text(row.policy)
    if text is None or hashlib.sha256(text.encode()).hexdigest() != row.policy:
        yield f"the rules {row.policy}, by which it was decided, are not there as they were"


_SERVED = ("ended", "served_bytes", "served_sha256")
