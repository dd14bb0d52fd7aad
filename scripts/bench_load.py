"""Load on the HTTP API by wrk, a tool that we did not write: pages among a million items, and mixed small requests.

Sixteen connections at once, as fast as they are answered; latencies as wrk counts them. On SQLite with
one process and on PostgreSQL with two.
"""

import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from bench_cooperation import postgresql
from bench_doors import started
from sqlalchemy import text

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from api import wiring  # noqa: E402 - after the path is set
from api.tokens import SCOPES, make_token  # noqa: E402 - likewise
from evidence_store.identifiers import StateCode  # noqa: E402 - likewise
from storage.catalog import SqlCatalog  # noqa: E402 - likewise
from tests.cooperation import Whole, World  # noqa: E402 - likewise

CLIENTS, SECONDS, PORT = 16, 15, 18473
CASES, ASSIGNED = 500, 20
RUN = "import sys; from api.cli.main import main; sys.exit(main())"
PAGES = """
request = function()
  return wrk.format("GET", string.format("/v1/items?limit=50&after=SI-2026-%06d", math.random(1, ITEMS)))
end
"""
MIXED = """
local paths = {"/v1/cases", "/v1/items/SI-2026-000001", "/v1/items/SI-2026-000001/versions", "/v1/log/checkpoint", "/v1/items?limit=1"}
request = function() return wrk.format("GET", paths[math.random(#paths)]) end
"""


def load(place: Path, items: int) -> list[str]:
    """Both databases, both kinds."""
    if shutil.which("wrk") is None:
        return ["load: wrk is not installed (apt-get install wrk)"]
    with postgresql() as url:
        return [
            *measured(place / "load-sqlite", items, "SQLite, one process", None, 1),
            *measured(place / "load-postgresql", items, "PostgreSQL, two processes", url, 2),
        ]


def measured(home: Path, items: int, name: str, url: str | None, workers: int) -> list[str]:
    """A line for each kind of load on an instance with so many items."""
    home.mkdir(0o700, parents=True)
    if url is not None:
        (home / "settings.toml").write_text(f'database_url = "{url}"\n')
    wiring.create_instance(home, StateCode("SI"), "Bench", None)
    with closing(wiring.open_instance(home, lambda: b"")) as instance:
        world = World(Whole(instance), vault=instance.vault)
        now, person = instance.clock.now(), world.people["prosecutor"]
        _, token = make_token(instance.doors, person, "bench", SCOPES, now, timedelta(days=1))
        fill(instance.catalog, items)
    command = [sys.executable, "-c", RUN, "--home", str(home), "serve", "--port", str(PORT)]
    server = started([*command, "--workers", str(workers)], PORT, "/ready")
    busy = os.getloadavg()[0]
    try:
        return [
            f"{what}, {items} items, {CLIENTS} clients, {name}: {wrk(home, script, items, token)}"
            f" (load of the machine before: {busy:.1f})"
            for what, script in (("GET /v1/items?limit=50", PAGES), ("mixed small GETs", MIXED))
        ]
    finally:
        server.terminate()
        server.wait(60)


def fill(catalog: SqlCatalog, items: int) -> None:
    """Items in cases of which the prosecutor has twenty, made by the database itself."""
    sqlite = catalog.engine.dialect.name == "sqlite"

    def numbers(first: int, last: int) -> tuple[str, str]:
        if sqlite:
            rows = f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
            return rows, "n"
        return "", f"generate_series({first}, {last}) AS n(i)"

    def key(prefix: str, number: str) -> str:
        padded = f"printf('%012d', {number})" if sqlite else f"lpad(({number})::text, 12, '0')"
        return f"'{prefix}' || {padded}"

    at = "'2026-03-14 00:00:00.000000'" if sqlite else "TIMESTAMPTZ '2026-03-14 00:00:00Z'"
    until = at.replace("2026-03-14", "2099-01-01")
    cases, case_source = numbers(2, CASES)
    rows, source = numbers(1, items)
    own, own_source = numbers(2, ASSIGNED)
    statements = (
        f"INSERT INTO case_file (case_key, title, opened_at) {cases} SELECT {key('SI-', 'i')}, 't', {at} FROM {case_source}",
        "INSERT INTO person (code_key, role, name) VALUES ('COL-000000000001', 'COL', 'n')",
        "INSERT INTO item (ern_key, case_key, status, kind, collected_by, collected_at, method, place, source, fields, registered_at)"
        f" {rows} SELECT {key('SI-2026-', 'i')}, {key('SI-', f'1 + i % {CASES}')}, 'registered', 'photo', 'COL-000000000001', 'unknown',"
        f" 'm', 'p', 's', '{{}}', {at} FROM {source}",
        "INSERT INTO assignment (officer, case_key, until, subject_key)"
        f" {own} SELECT o.officer, {key('SI-', 'i')}, {until}, o.subject_key FROM {own_source}, (SELECT officer, subject_key FROM assignment LIMIT 1) AS o",
    )
    with catalog.engine.connect().execution_options(writing=True) as connection, connection.begin():
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text("ANALYZE"))


def wrk(place: Path, script: str, items: int, token: str) -> str:
    """What wrk measured, in a line."""
    file = place / "requests.lua"
    file.write_text(script.replace("ITEMS", str(items)))
    command = [
        "wrk",
        "-t",
        "2",
        "-c",
        str(CLIENTS),
        "-d",
        f"{SECONDS}s",
        "--latency",
        "-s",
        str(file),
    ]
    done = subprocess.run(
        [*command, "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{PORT}"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(re.findall(r"^\s+(50|99)%\s+(\S+)\s*$", done.stdout, re.MULTILINE))
    rate = re.search(r"Requests/sec:\s+(\S+)", done.stdout)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    return (
        f"{rate[1] if rate else '?'} requests/s, p50 {found.get('50')}, p99 {found.get('99')} (goal: p99 under 100 ms)"
        + (f", {failed[1]} FAILED" if failed else "")
    )
