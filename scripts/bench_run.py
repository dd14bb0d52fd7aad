"""The benchmarks behind `scripts/bench`: whole processes, timed from outside, interleaved, medians.

Every figure is a ratio to a public program doing its work on the same bytes in the
same run, because absolute times say more about the machine and the hour.
"""

import argparse
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench_peers import PEERS, Peer

ROOT = Path(__file__).resolve().parent.parent
EVIDENCE = str(ROOT / ".venv" / "bin" / "evidence")
GIB = 1024**3


@dataclass
class Figure:
    """The runs of one command: wall seconds and the peak memory of its largest process."""

    name: str
    seconds: list[float] = field(default_factory=list)
    peak_mib: float = 0.0

    @property
    def median(self) -> float:
        """The median of the wall seconds."""
        return statistics.median(self.seconds)


def timed(figure: Figure, command: str, folder: Path) -> None:
    """Run a shell command in the folder, and add its time to the figure."""
    started = time.perf_counter()
    process = subprocess.Popen(["/bin/sh", "-euc", command], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"bench: {figure.name}: exit code {process.returncode}: {command}")
    figure.seconds.append(seconds)
    figure.peak_mib = max(figure.peak_mib, usage.ru_maxrss / 1024)


def fresh_instance(folder: Path) -> str:
    """An instance in the folder, made outside the timing; returns its case."""
    home = folder / "home"
    call = [EVIDENCE, "--home", str(home), "--json"]
    quiet = {"stdout": subprocess.DEVNULL}
    subprocess.run([*call, "init", "--state", "SI", "--authority", "Bench"], check=True, **quiet)
    subprocess.run([*call, "case", "open", "--title", "Bench"], check=True, **quiet)
    return "SI-CASE-0001"


INGEST = (
    f"{EVIDENCE} --home home --json ingest {{source}} --case SI-CASE-0001 "
    "--method bench --collected-by bench --collected-at unknown"
)


def clear(folder: Path) -> None:
    """Make the folder anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def large_file(place: Path, size_bytes: int, runs: int, *, on_disk: bool) -> list[str]:
    """One large file: digested, encrypted, durable, catalogued, against reading its SHA-256."""
    work = place / "large"
    clear(work)
    source = work / "source.bin"
    with source.open("wb") as file:
        for _ in range(size_bytes // (64 * 1024 * 1024)):
            file.write(random.randbytes(64 * 1024 * 1024))  # noqa: S311 - bulk, not keys
    openssl, ingest, copy = Figure("openssl"), Figure("evidence ingest"), Figure("cp + sync")
    for _ in range(runs):
        timed(openssl, f"openssl dgst -sha256 {source}", work)
        timed(copy, f"cp {source} copy.bin; sync copy.bin", work)
        (work / "copy.bin").unlink()
        clear(work / "run")
        fresh_instance(work / "run")
        timed(ingest, INGEST.format(source=source), work / "run")
        shutil.rmtree(work / "run")
    shutil.rmtree(work)
    where = "disk" if on_disk else "tmpfs"
    line = (
        f"large file, {size_bytes / GIB:g} GiB, {where}: evidence ingest {ingest.median:.2f} s; "
        f"openssl {openssl.median:.2f} s: ratio {openssl.median / ingest.median:.2f}; "
        f"cp + sync {copy.median:.2f} s: ratio {copy.median / ingest.median:.2f}; "
        f"peak {ingest.peak_mib:.0f} MiB"
    )
    return [line]


def make_corpus(folder: Path, files: int, *, random_only: bool) -> int:
    """Files of 4 to 200 KiB: half photographs with EXIF, the rest text, PDF and random bytes."""
    clear(folder)
    chance = random.Random(20_000)  # noqa: S311 - a corpus, not keys
    photograph = _photograph_head()
    total = 0
    for number in range(files):
        size = chance.randrange(4 * 1024, 200 * 1024)
        body = chance.randbytes(size)
        match number % 10:
            case _ if random_only:
                name, content = f"{number:06d}.bin", body
            case 0 | 1:
                name, content = f"{number:06d}.txt", body.hex().encode()[:size]
            case 2:
                name, content = f"{number:06d}.pdf", _pdf(body)
            case 3 | 4:
                name, content = f"{number:06d}.bin", body
            case _:
                name, content = f"IMG_{number:06d}.jpg", photograph + body + b"\xff\xd9"
        path = folder / f"{number // 1000:03d}" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        total += len(content)
    return total


def _photograph_head() -> bytes:
    from demo_evidence import photograph  # noqa: PLC0415 - Pillow is needed here only

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.jpg"
        photograph(path, random.Random(1), 1)  # noqa: S311 - bulk, not keys
        content = path.read_bytes()
    return content[: content.index(b"\xff\xda") + 12]


def _pdf(body: bytes) -> bytes:
    stream = b"3 0 obj<</Length %d>>stream\n" % len(body) + body + b"\nendstream endobj\n"
    head = (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n4 0 obj<</Author(Clerk)/Title(Report)>>endobj\n"
    )
    offsets = [head.index(b"%d 0 obj" % number) for number in (1, 2)]
    offsets += [len(head), head.index(b"4 0 obj")]
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(head) + len(stream)
    trailer = b"trailer<</Size 5/Root 1 0 R/Info 4 0 R>>\nstartxref\n%d\n%%%%EOF\n" % start
    return head + stream + b"xref\n0 5\n0000000000 65535 f \n" + rows + trailer


BASELINE = (
    "find {source} -type f | while read -r f; do "
    'openssl dgst -sha256 "$f"; cp "$f" out/; sync "out/${{f##*/}}"; done'
)


def small_files(place: Path, files: int, runs: int, *, random_only: bool) -> list[str]:
    """Many small files: identified, catalogued, durable, against a careful loop and peers."""
    work = place / "small"
    clear(work)
    source = work / "source"
    total = make_corpus(source, files, random_only=random_only)
    ingest, loop = Figure("evidence ingest"), Figure("openssl + cp + sync, file by file")
    peers = [(peer, Figure(peer.name)) for peer in PEERS]
    missing: list[str] = []
    for number in range(runs):
        clear(work / "run")
        fresh_instance(work / "run")
        timed(ingest, INGEST.format(source=source), work / "run")
        for peer, figure in peers:
            _run_peer(peer, figure, source, work, missing)
        if number == 0:  # it takes minutes, and its own spread is small
            clear(work / "run")
            (work / "run" / "out").mkdir()
            timed(loop, BASELINE.format(source=source), work / "run")
    shutil.rmtree(work)
    what = "random bytes" if random_only else "photographs, text, PDF, random bytes"
    head = (
        f"{files} files of 4-200 KiB ({what}; {total / 1e6:.0f} MB): evidence ingest {ingest.median:.2f} s, "
        f"{files / ingest.median:.0f} files/s, peak {ingest.peak_mib:.0f} MiB"
    )
    measured = [loop, *(figure for _, figure in peers if figure.seconds)]
    lines = [
        f"  {each.name}: {each.median:.2f} s: ratio {each.median / ingest.median:.2f}"
        for each in measured
    ]
    return [head, *lines, *(f"  {line}" for line in dict.fromkeys(missing))]


def _run_peer(peer: Peer, figure: Figure, source: Path, work: Path, missing: list[str]) -> None:
    problem = peer.missing()
    if problem is not None:
        missing.append(problem)
        return
    clear(work / "run")
    prepare = peer.prepare.format(source=source)
    if prepare:
        subprocess.run(
            ["/bin/sh", "-euc", prepare],
            cwd=work / "run",
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=peer.environment(),
        )
    command = peer.command.format(source=source)
    exports = "".join(f"export {name}='{value}'; " for name, value in peer.variables.items())
    timed(figure, f"{exports}{{ {command}; }} 2>/dev/null", work / "run")


def verify(place: Path, files: int, large_bytes: int, runs: int) -> list[str]:
    """A whole store read again and re-digested, against openssl in two processes on the same bytes."""
    work = place / "verify"
    clear(work)
    source = work / "source"
    make_corpus(source, files, random_only=False)
    for number in range(2):
        with (source / f"large-{number}.bin").open("wb") as file:
            for _ in range(large_bytes // (64 * 1024 * 1024)):
                file.write(random.randbytes(64 * 1024 * 1024))  # noqa: S311 - bulk, not keys
    clear(work / "run")
    fresh_instance(work / "run")
    timed(Figure("ingest"), INGEST.format(source=source), work / "run")
    openssl, ours, both = Figure("openssl"), Figure("evidence verify"), Figure("--both-digests")
    for _ in range(runs):
        timed(
            openssl,
            f"find {source} -type f -print0 | xargs -0 -P 2 -n 500 openssl dgst -sha256",
            work,
        )
        timed(ours, f"{EVIDENCE} --home home --json verify", work / "run")
        timed(both, f"{EVIDENCE} --home home --json verify --both-digests", work / "run")
    shutil.rmtree(work)
    line = (
        f"verify, {files} small files and 2 of {large_bytes / GIB:g} GiB: evidence verify {ours.median:.2f} s, "
        f"openssl in two processes {openssl.median:.2f} s: ratio {openssl.median / ours.median:.2f}; "
        f"with --both-digests {openssl.median / both.median:.2f}; peak {ours.peak_mib:.0f} MiB"
    )
    return [line]


def main() -> None:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (default 5)")
    parser.add_argument("--large-gib", type=int, default=4, help="size of the large file")
    parser.add_argument("--files", type=int, default=20_000, help="number of small files")
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries of the log")
    parser.add_argument("--tmpfs", type=Path, default=Path("/dev/shm"), help="a tmpfs")  # noqa: S108 - where Linux has one
    parser.add_argument("--disk", type=Path, default=ROOT / ".bench", help="a folder on a disk")
    parser.add_argument(
        "only",
        nargs="*",
        choices=[
            "large",
            "disk",
            "small",
            "small-disk",
            "random",
            "verify",
            "ledger",
            "cooperation",
            "doors",
            "load",
            [],
        ],
    )
    chosen = parser.parse_args()
    wanted = set(chosen.only) or {
        "large",
        "disk",
        "small",
        "small-disk",
        "random",
        "verify",
        "ledger",
        "cooperation",
        "doors",
        "load",
    }
    chosen.disk.mkdir(exist_ok=True)
    tmpfs = Path(tempfile.mkdtemp(prefix="evidence-bench-", dir=chosen.tmpfs))
    disk = Path(tempfile.mkdtemp(prefix="run-", dir=chosen.disk))
    large = chosen.large_gib * GIB
    parts: dict[str, Callable[[], list[str]]] = {
        "large": lambda: large_file(tmpfs, large, chosen.runs, on_disk=False),
        "disk": lambda: large_file(disk, large, chosen.runs, on_disk=True),
        "small-disk": lambda: small_files(disk, chosen.files, chosen.runs, random_only=False),
        "small": lambda: small_files(tmpfs, chosen.files, chosen.runs, random_only=False),
        "random": lambda: small_files(tmpfs, chosen.files, chosen.runs, random_only=True),
        "ledger": lambda: _ledger(disk, chosen.runs, chosen.entries),
        "cooperation": lambda: _cooperation(disk, chosen.entries),
        "doors": lambda: _doors(tmpfs, chosen.runs, large // 2),
        "load": lambda: _load(disk, chosen.entries),
        "verify": lambda: verify(tmpfs, chosen.files // 4, large // 2, chosen.runs),
    }
    print(machine(), flush=True)
    try:
        for name, part in parts.items():
            if name in wanted:
                print("\n".join(part()), flush=True)
    finally:
        shutil.rmtree(tmpfs, ignore_errors=True)
        shutil.rmtree(disk, ignore_errors=True)


def _ledger(place: Path, runs: int, entries: int) -> list[str]:
    from bench_ledger import ledger  # noqa: PLC0415 - it loads the product

    return ledger(place, runs, entries)


def _cooperation(place: Path, items: int) -> list[str]:
    from bench_cooperation import cooperation  # noqa: PLC0415 - likewise

    return cooperation(place, items)


def _doors(place: Path, runs: int, size: int) -> list[str]:
    from bench_doors import doors  # noqa: PLC0415 - likewise

    return doors(place, runs, size)


def _load(place: Path, items: int) -> list[str]:
    from bench_load import load  # noqa: PLC0415 - likewise

    return load(place, items)


def machine() -> str:
    """The machine, in a line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    openssl = subprocess.run(
        ["openssl", "version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return (
        f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {openssl}"
    )


if __name__ == "__main__":
    main()
