"""The ledger's benchmarks: ratios to what this machine does at most, in one process and one run.

Signed events against bare verifications of Ed25519; single acts, of one officer and of sixteen at
once, against bare transactions of SQLite; proofs from a log of a million entries; a package of twelve events; and memory.
"""

import io
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from api.cli.main import main as evidence  # noqa: E402 - after the path is set
from evidence_store.authorities import found  # noqa: E402 - likewise
from evidence_store.identifiers import AuthorityId, Ern, KeyId, Role, StateCode  # noqa: E402 - likewise
from evidence_store.item import Asserted, Item, ItemStatus  # noqa: E402 - likewise
from evidence_store.kinds import EvidenceKind  # noqa: E402 - likewise
from evidence_store.ledger.event import Draft  # noqa: E402 - likewise
from evidence_store.ledger.merkle import Frontier, leaf_hash  # noqa: E402 - likewise
from evidence_store.ledger.note import KeyType, VerifierKey  # noqa: E402 - likewise
from evidence_store.ledger.policy import NONE, Policy  # noqa: E402 - likewise
from evidence_store.ledger.signing import Signer  # noqa: E402 - likewise
from evidence_store.ledger.tiles import TileTree, bundle_path, grown, unpacked  # noqa: E402 - likewise
from evidence_store.moment import Moment  # noqa: E402 - likewise
from evidence_store.package.bag import BagReader  # noqa: E402 - likewise
from evidence_store.package.verification import verify_package  # noqa: E402 - likewise
from evidence_store.recording import Recorder  # noqa: E402 - likewise
from evidence_store.sequencing import Sequencer  # noqa: E402 - likewise
from storage.catalog import SqlCatalog, create_catalog  # noqa: E402 - likewise
from storage.ledger.files import TileFolder  # noqa: E402 - likewise

BATCH = 256
OFFICERS = 16
ORIGIN = "bench.invalid/log"
POLICE = KeyId(StateCode("SI"), AuthorityId("bench"), 1)


@dataclass
class Keys:
    """Signing keys in memory."""

    held: dict[KeyId, Ed25519PrivateKey] = field(default_factory=dict)

    def ensure(self, kid: KeyId) -> bytes:
        """The public key, made if it is new."""
        return self.public(kid)

    def public(self, kid: KeyId) -> bytes:
        """The public key."""
        private = self.held.setdefault(kid, Ed25519PrivateKey.generate())
        return private.public_key().public_bytes_raw()

    def sign(self, kid: KeyId, message: bytes) -> bytes:
        """A signature."""
        return self.held[kid].sign(message)


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Now."""
        return datetime.now(UTC)


def rate(count: int, work: Callable[[], object]) -> float:
    """How many a second."""
    started = time.perf_counter()
    for _ in range(count):
        work()
    return count / (time.perf_counter() - started)


def events(folder: Path, runs: int) -> list[str]:
    """Signed events appended, durable and sequenced, in batches; and single acts."""
    clock, keys = SystemClock(), Keys()
    catalog = create_catalog(
        f"sqlite:///{folder}/catalog.db", StateCode("SI"), "Bench", clock.now()
    )
    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    signer = Signer(VerifierKey(ORIGIN, KeyType.ED25519, public.public_bytes_raw()), private)
    found(catalog, keys, clock, ORIGIN, [signer.key])
    recorder = Recorder(ORIGIN, POLICE, keys, clock, os.urandom)
    policy = Policy({signer.key: None}, {}, {}, NONE)
    sequencer = Sequencer(catalog, TileFolder(folder / "ledger"), ORIGIN, [signer], policy, clock)
    sequencer.run()
    erns = _items(catalog)
    drafts = [
        Draft(
            ern,
            "verified_match",
            {"measured": [{"sha256": "a" * 64, "size_bytes": 5}]},
            {"place": "Brod"},
        )
        for ern in erns
    ]

    def batch() -> None:
        with catalog.write() as writer:
            recorder.record(writer, drafts)
        sequencer.run()

    def single(draft: Draft) -> None:
        with catalog.act() as writer:
            recorder.record(writer, [draft])

    message = b"x" * 700
    signature = private.sign(message)
    bare = Bare(folder / "bare.db")
    verified, batched = [], []
    figures = {name: Figure() for name in ("act", "bare", "rows", "acts", "bares")}
    for _ in range(runs):
        verified.append(rate(2000, lambda: public.verify(signature, message)))
        batched.append(BATCH * rate(8, batch))
        figures["bare"].take(300, bare.transaction)
        figures["rows"].take(300, bare.same_rows)
        figures["act"].take(300, lambda: single(drafts[0]))
        figures["bares"].take_at_once([bare.officer() for _ in range(OFFICERS)], 20)
        figures["acts"].take_at_once([partial(single, each) for each in drafts[:OFFICERS]], 60)
    sequencer.run()
    bare.close()
    catalog.close()
    act, plain, rows, acts, plains = (
        figures[name] for name in ("act", "bare", "rows", "acts", "bares")
    )
    many = statistics.median(batched)
    return [
        (
            f"signed events, durable and sequenced, in batches of {BATCH}: {many:.0f}/s; Ed25519 verifications "
            f"{statistics.median(verified):.0f}/s: ratio {many / statistics.median(verified):.2f}"
        ),
        (
            f"single acts, durable, one officer one after another: {act.rate:.0f}/s; bare transactions "
            f"{plain.rate:.0f}/s: ratio {act.rate / plain.rate:.2f}; bare transactions of the same three rows "
            f"{rows.rate:.0f}/s: ratio {act.rate / rows.rate:.2f}"
        ),
        (
            f"single acts, durable, {OFFICERS} officers at once: {acts.rate:.0f}/s; bare transactions of {OFFICERS} "
            f"threads {plains.rate:.0f}/s: ratio {acts.rate / plains.rate:.2f}; bare transactions one after another: "
            f"ratio {acts.rate / plain.rate:.2f}"
        ),
        (
            f"processor time of an act: {act.cpu_ms:.2f} ms alone, {acts.cpu_ms:.2f} ms among {OFFICERS}; of a bare "
            f"transaction {plain.cpu_ms:.2f} ms, of one with the same three rows {rows.cpu_ms:.2f} ms"
        ),
    ]


@dataclass
class Figure:
    """Runs of one thing: how many a second, and the processor's milliseconds for each."""

    rates: list[float] = field(default_factory=list)
    cpus_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median."""
        return statistics.median(self.rates)

    @property
    def cpu_ms(self) -> float:
        """The median, of this whole process, in user and kernel."""
        return statistics.median(self.cpus_ms)

    def take(self, count: int, work: Callable[[], object]) -> None:
        """Measure it one after another."""
        self._take(count, lambda: [work() for _ in range(count)])

    def take_at_once(self, officers: list[Callable[[], object]], count: int) -> None:
        """Measure it by so many threads at once, each so many times."""

        def each(work: Callable[[], object]) -> None:
            for _ in range(count):
                work()

        with ThreadPoolExecutor(len(officers)) as pool:
            self._take(len(officers) * count, lambda: list(pool.map(each, officers)))

    def _take(self, count: int, work: Callable[[], object]) -> None:
        started, cpu = time.perf_counter(), time.process_time()
        work()
        self.cpus_ms.append(1000 * (time.process_time() - cpu) / count)
        self.rates.append(count / (time.perf_counter() - started))


class Bare:
    """SQLite through Python's own module, as durable as the catalog: what this machine does at most."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connections: list[sqlite3.Connection] = []
        self._one = self._connection()
        self._one.execute("PRAGMA journal_mode = WAL")
        for table in (
            "act (id INTEGER PRIMARY KEY, body BLOB)",
            "chain (subject TEXT PRIMARY KEY, seq INTEGER, head BLOB)",
            "event (subject TEXT, seq INTEGER, commitment BLOB, body BLOB, PRIMARY KEY (subject, seq))",
            "leaf (place BIGINT PRIMARY KEY, commitment BLOB UNIQUE, entry BLOB)",
        ):
            self._one.execute(f"CREATE TABLE {table}")
        self._one.execute("CREATE INDEX event_commitment ON event (commitment)")
        self._one.execute("INSERT INTO chain VALUES ('item', 0, x'')")
        self._seq = 0

    def transaction(self) -> None:
        """A row of 900 bytes."""
        _transaction(self._one)

    def same_rows(self) -> None:
        """The rows of an act, with their indexes: a chain's end, an event, and a leaf."""
        self._seq += 1
        commitment = os.urandom(32)
        self._one.execute("BEGIN IMMEDIATE")
        self._one.execute(
            "UPDATE chain SET seq = ?, head = ? WHERE subject = 'item'", (self._seq, commitment)
        )
        self._one.execute(
            "INSERT INTO event VALUES ('item', ?, ?, ?)", (self._seq, commitment, b"x" * 900)
        )
        self._one.execute("INSERT INTO leaf VALUES (?, ?, ?)", (self._seq, commitment, b"x" * 65))
        self._one.execute("COMMIT")

    def officer(self) -> Callable[[], None]:
        """Another's transactions, by a connection of its own."""
        return partial(_transaction, self._connection())

    def close(self) -> None:
        """Let go of every connection."""
        for each in self._connections:
            each.close()

    def _connection(self) -> sqlite3.Connection:
        made = sqlite3.connect(
            self._file, isolation_level=None, timeout=60, check_same_thread=False
        )
        made.execute("PRAGMA synchronous = FULL")
        self._connections.append(made)
        return made


def _transaction(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO act (body) VALUES (?)", (b"x" * 900,))
    connection.execute("COMMIT")


def _items(catalog: SqlCatalog) -> list[Ern]:
    now = datetime.now(UTC)
    with catalog.write() as writer:
        case_id = writer.open_case("Bench", None, now).case_id
        collector = writer.person_named(Role.COLLECTOR, "A").code
        erns = list(writer.allocate(2026, BATCH))
        asserted = Asserted(EvidenceKind.PHOTO, collector, Moment.parse("unknown"), "m", "p", "s")
        writer.add_items([Item(ern, case_id, ItemStatus.REGISTERED, asserted, now) for ern in erns])
    return erns


def million(folder: Path, size: int) -> list[str]:
    """Proofs from a log of so many entries, and a whole pass over it."""
    store = TileFolder(folder / "million")
    at = 0
    while at < size:
        new = [os.urandom(65) for _ in range(min(65_536, size - at))]
        edge = unpacked(store.read(bundle_path(at // 256, at % 256))) if at % 256 else []
        at, files = grown(TileTree(store.read, at), edge, new)
        store.write(files)
    root = TileTree(store.read, size).root()
    reads: list[str] = []

    def counted(path: str) -> bytes:
        reads.append(path)
        return store.read(path)

    seconds, counts = [], []
    for number in range(500):
        reads.clear()
        started = time.perf_counter()
        TileTree(counted, size).inclusion(number * 7919 % size)
        seconds.append(time.perf_counter() - started)
        counts.append(len(reads))
    before = _peak_mib()
    frontier, started = Frontier(), time.perf_counter()
    for start in range(0, size, 256):
        for entry in unpacked(store.read(bundle_path(start // 256, min(256, size - start)))):
            frontier.append(leaf_hash(entry))
    passed = time.perf_counter() - started
    if frontier.root() != root:
        sys.exit("bench: the log is not what its tiles say")
    return [
        (
            f"inclusion proof from {size} entries: {1000 * statistics.median(seconds):.2f} ms at the median, at most "
            f"{max(counts)} tiles read"
        ),
        f"checking all {size} entries against the root: {passed:.1f} s, memory grew by {_peak_mib() - before:.0f} MiB",
    ]


def package(folder: Path, runs: int) -> list[str]:
    """A package of twelve events."""
    home = folder / "home"

    def run(*arguments: str) -> None:
        with redirect_stdout(io.StringIO()):
            if evidence(["--home", str(home), "--json", *arguments]) != 0:
                sys.exit(f"bench: evidence {arguments[0]} failed")

    run("init", "--state", "SI", "--authority", "Bench")
    run("case", "open", "--title", "Bench")
    run(
        "exhibit", "register", "--case", "SI-CASE-0001", "--seal", "A", "--container", "bag", "--condition", "good",
        "--method", "m", "--collected-by", "A", "--collected-at", "unknown",
    )  # fmt: skip
    for _ in range(10):
        run("act", "moved", "SI-2026-000001", "--person", "A", "--place", "store")
    run(
        "export", "SI-2026-000001", "-o", str(folder / "p.zip"), "--person", "A", "--reference", "r"
    )
    content = (folder / "p.zip").read_bytes()
    seconds = []
    for _ in range(max(runs, 5)):
        started = time.perf_counter()
        if not verify_package(BagReader(io.BytesIO(content)), None).verifies:
            sys.exit("bench: the package does not verify")
        seconds.append(time.perf_counter() - started)
    return [
        f"package of 12 events, {len(content)} bytes: verified in {1000 * statistics.median(seconds):.0f} ms"
    ]


def _peak_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def ledger(place: Path, runs: int, size: int) -> list[str]:
    """All of it."""
    folder = place / "ledger"
    folder.mkdir(parents=True)
    return [*events(folder, runs), *package(folder, runs), *million(folder, size)]
