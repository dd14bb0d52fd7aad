"""One command that runs a whole installation, and leaves nothing when it is interrupted."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.s3, pytest.mark.postgresql]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_one_command_serves_with_postgresql_and_s3_and_leaves_nothing(
    tmp_path: Path, how: signal.Signals
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    temporary = Path("/tmp") / f"real-{os.getpid()}-{how.value}"  # noqa: S108 - a socket's path must be short
    temporary.mkdir()
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, str(ROOT / "scripts" / "serve_real.py"), "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        headers = {"Authorization": f"Bearer {told['token']}"}
        found = httpx2.get(f"{told['address']}/v1/cases", headers=headers, timeout=30).json()[
            "cases"
        ]
        assert [each["case"] for each in found] == [told["case"]]
        assert httpx2.get(f"{told['address']}/ready", timeout=30).status_code == 200
        process.send_signal(how)
        assert process.wait(90) == 0
    finally:
        with process:  # its pipes are closed, and it is waited for
            process.terminate()  # it ends what it started
    assert list(temporary.iterdir()) == []
    temporary.rmdir()
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)  # noqa: S607 - of the system
    assert not re.search(str(temporary), running.stdout)
