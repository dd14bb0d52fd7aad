"""Benchmarks of the doors: ratios to the same server doing nothing with what it gets.

Upload by tus into the encrypted store against receiving and discarding; download against sending
zeros; a small authorised GET against an empty route; memory under eight transfers. One machine, one
run; the client is another process.
"""

import base64
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import urllib3

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from api import wiring  # noqa: E402 - after the path is set
from api.tokens import SCOPES, make_token  # noqa: E402 - likewise
from evidence_store.identifiers import StateCode  # noqa: E402 - likewise
from tests.cooperation import Whole, World  # noqa: E402 - likewise

MIB = 1024 * 1024
PIECE = 64 * MIB
GETS = 1500
IDLE = """
import sys, uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
app = FastAPI()
@app.put("/discard")
async def discard(request: Request) -> Response:
    async for _ in request.stream(): pass
    return Response(status_code=204)
@app.get("/zeros/{size}")
def zeros(size: int) -> StreamingResponse:
    piece = bytes(1024 * 1024)
    return StreamingResponse((piece for _ in range(size // len(piece))), headers={"Content-Length": str(size)})
@app.get("/empty")
def empty() -> dict[str, str]:
    return {}
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="error")
"""


def doors(place: Path, runs: int, size: int) -> list[str]:
    """All of it."""
    folder = place / "doors"
    folder.mkdir(parents=True)
    home = folder / "home"
    wiring.create_instance(home, StateCode("SI"), "Bench", None)
    with closing(wiring.open_instance(home, lambda: b"")) as instance:
        world = World(Whole(instance), vault=instance.vault)
        case = str(world.case)
        now = instance.clock.now()
        _, token = make_token(
            instance.doors, world.people["prosecutor"], "bench", SCOPES, now, timedelta(days=1)
        )
    ours = started(
        [sys.executable, "-m", "api.cli.main", "--home", str(home), "serve", "--port", "18471"],
        18471,
        "/ready",
    )
    idle = started([sys.executable, "-c", IDLE, "18472"], 18472, "/empty")
    pool = urllib3.PoolManager(maxsize=16)
    try:
        return [
            *transfers(pool, token, case, runs, size),
            *small(pool, token),
            *parallel(pool, token, case, ours, size // 8),
        ]
    finally:
        for process in (ours, idle):
            process.terminate()
            process.wait(60)


def started(command: list[str], port: int, path: str) -> "subprocess.Popen[bytes]":
    """A server that answers."""
    if command[1] == "-m":
        command = [
            command[0],
            "-c",
            "import sys; from api.cli.main import main; sys.exit(main())",
            *command[3:],
        ]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    pool = urllib3.PoolManager(retries=False)
    for _ in range(600):
        try:
            if pool.request("GET", f"http://127.0.0.1:{port}{path}", timeout=5).status == 200:  # noqa: PLR2004 - done
                return process
        except urllib3.exceptions.HTTPError:
            time.sleep(0.1)
    raise SystemExit("bench: a server did not come up")


def transfers(pool: urllib3.PoolManager, token: str, case: str, runs: int, size: int) -> list[str]:
    """Uploads and downloads of `size` bytes."""
    content = os.urandom(PIECE)
    own = {"Authorization": f"Bearer {token}"}
    up, down, discarded, sent, ern = [], [], [], [], ""
    for run in range(runs):
        discarded.append(
            timed(
                lambda: ok(
                    pool.request(
                        "PUT",
                        "http://127.0.0.1:18472/discard",
                        body=pieces(content, size),
                        headers={"Content-Length": str(size)},
                    )
                )
            )
        )
        start = time.perf_counter()
        ern = uploaded(pool, own, case, content, size, f"{run}.bin")
        up.append(time.perf_counter() - start)
        sent.append(
            timed(lambda: drained(pool, "GET", f"http://127.0.0.1:18472/zeros/{size}", {}, b""))
        )
        start = time.perf_counter()
        body = f'{{"item":"{ern}","action":"download","purpose":"prosecution"}}'.encode()
        headers = {**own, "Content-Type": "application/json"}
        drained(pool, "POST", "http://127.0.0.1:18471/v1/accesses", headers, body)
        down.append(time.perf_counter() - start)
    return [
        line("upload by tus, taken in and sealed", up, discarded, size, 0.6),
        line("download, decided and watched", down, sent, size, 0.7),
    ]


def uploaded(
    pool: urllib3.PoolManager, own: dict[str, str], case: str, content: bytes, size: int, name: str
) -> str:
    """An upload in one body; the item's number when it is taken in."""

    def coded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    headers = {**own, "Tus-Resumable": "1.0.0"}
    made = pool.request(
        "POST",
        "http://127.0.0.1:18471/v1/uploads",
        headers={
            **headers,
            "Upload-Length": str(size),
            "Upload-Metadata": f"filename {coded(name)},case {coded(case)}",
        },
    )
    url = "http://127.0.0.1:18471" + made.headers["location"]
    ok(
        pool.request(
            "PATCH",
            url,
            body=pieces(content, size),
            headers={
                **headers,
                "Upload-Offset": "0",
                "Content-Type": "application/offset+octet-stream",
                "Content-Length": str(size),
            },
            timeout=600,
        )
    )
    return str(json.loads(pool.request("GET", url, headers=own).data)["outcome"]["ern"])


def small(pool: urllib3.PoolManager, token: str) -> list[str]:
    """Small requests, one after another on one connection."""
    own = {"Authorization": f"Bearer {token}"}
    rates = []
    for url, headers in (
        ("http://127.0.0.1:18471/v1/cases", own),
        ("http://127.0.0.1:18472/empty", {}),
    ):
        start = time.perf_counter()
        for _ in range(GETS):
            ok(pool.request("GET", url, headers=headers))
        seconds = time.perf_counter() - start
        rates.append(GETS / seconds)
    return [
        f"small authorised GET: {rates[0]:.0f}/s of {rates[1]:.0f}/s of an empty route: {rates[0] / rates[1]:.2f} (goal 0.4)"
    ]


def parallel(
    pool: urllib3.PoolManager, token: str, case: str, server: "subprocess.Popen[bytes]", size: int
) -> list[str]:
    """Memory of the server under eight uploads at once."""
    content = os.urandom(PIECE)
    own = {"Authorization": f"Bearer {token}"}
    threads = [
        threading.Thread(target=uploaded, args=(pool, own, case, content, size, f"p{number}.bin"))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    peak = 0
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, resident(server.pid))
        time.sleep(0.1)
    return [
        f"peak memory of the server, eight uploads of {size // MIB} MiB at once: {peak // MIB} MiB"
    ]


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    for row in Path(f"/proc/{pid}/status").read_text().splitlines():
        if row.startswith("VmRSS"):
            return int(row.split()[1]) * 1024
    return 0


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    """The content again and again, `size` bytes in all."""
    left = size
    while left > 0:
        for at in range(0, min(left, len(content)), MIB):
            yield content[at : at + min(MIB, left)]
            left -= min(MIB, left)


def drained(
    pool: urllib3.PoolManager, method: str, url: str, headers: dict[str, str], body: bytes
) -> None:
    """A response, read and forgotten."""
    answer = pool.request(
        method, url, headers=headers, body=body or None, preload_content=False, timeout=600
    )
    while answer.read(MIB):
        pass
    answer.release_conn()


def ok(answer: urllib3.BaseHTTPResponse) -> None:
    """Insist on success."""
    if answer.status >= 300:  # noqa: PLR2004 - not a success
        raise SystemExit(f"bench: status {answer.status}: {answer.data[:300]!r}")


def timed(act: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def line(what: str, seconds: list[float], bare: list[float], size: int, goal: float) -> str:
    """A row of the report."""
    own, other = statistics.median(seconds), statistics.median(bare)
    return (
        f"{what}, {size // MIB} MiB: {own:.2f} s ({size / MIB / own:.0f} MiB/s); the same server, doing nothing: {other:.2f} s; "
        f"ratio {other / own:.2f} (goal {goal})"
    )
