"""A time-stamp authority for tests: certificates of our own, answers by `openssl ts`, over HTTP."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ingest.timestamping import StampAuthority

CONFIG = """
[stamp]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = {digests}
accuracy = secs:1
ess_cert_id_alg = sha256
"""
DAYS = timedelta(days=20)


class LocalTsa:
    """An authority in a folder, answering on 127.0.0.1.

    `spoil` changes what it answers. `status` is the HTTP status. `endlessly` is what it sends instead
    of an answer: once, then again and again, and the pause in seconds. `chained` answers carry the root as well, out of
    DER's order.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "tsa-1",
        *,
        ends_in: timedelta = DAYS,
        digests: str = "sha256, sha512",
    ) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "tsa.cnf").write_text(CONFIG.format(digests=digests))
        (folder / "serial").write_text("01\n")
        _write_certificates(folder, datetime.now(UTC) + ends_in)
        self.spoil: Callable[[bytes], bytes] = bytes
        self.status = 200
        self.endlessly: tuple[bytes, bytes, float] | None = None
        self.chained = False
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        port = self._server.server_address[1]
        roots = (folder / "root.pem").read_bytes()
        self.authority = StampAuthority(name, f"http://127.0.0.1:{port}/", roots)

    def answer(self, query: bytes) -> bytes:
        chain = ("-chain", "root.pem") if self.chained else ()
        with self._lock:
            (self.folder / "q.tsq").write_bytes(query)
            subprocess.run(  # noqa: S603
                [  # noqa: S607
                    "openssl", "ts", "-reply", "-config", "tsa.cnf", "-section", "stamp",
                    "-queryfile", "q.tsq", "-inkey", "tsa.key", "-signer", "tsa.pem",
                    *chain, "-out", "r.tsr",
                ],
                cwd=self.folder,
                check=True,
                capture_output=True,
            )  # fmt: skip
            return (self.folder / "r.tsr").read_bytes()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        tsa = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    self._send(*tsa.endlessly) if tsa.endlessly else self._answer(query)
                except OSError:
                    self.close_connection = True  # the other side has had enough

            def _answer(self, query: bytes) -> None:
                body = tsa.spoil(tsa.answer(query))
                self.send_response(tsa.status)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.end_headers()
                self.wfile.write(body)

            def _send(self, first: bytes, then: bytes, pause_seconds: float) -> None:
                self.wfile.write(first)
                while not tsa.closing.wait(pause_seconds):
                    self.wfile.write(then)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _write_certificates(folder: Path, end: datetime) -> None:
    begin = datetime.now(UTC) - DAYS
    root_key, tsa_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    # The longer name makes the longer certificate, which DER sorts behind the shorter.
    root_name, tsa_name = _named("R"), _named("A local time-stamp authority for tests only")
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    usage = dict.fromkeys(names, False)
    key_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id)
    root = (
        x509.CertificateBuilder(root_name, root_name, root_key.public_key(), 1)
        .not_valid_before(begin)
        .not_valid_after(datetime.now(UTC) + DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage | {"key_cert_sign": True}), critical=True)
        .add_extension(key_id, critical=False)
        .sign(root_key, SHA256())
    )
    stamping = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    tsa = (
        x509.CertificateBuilder(root_name, tsa_name, tsa_key.public_key(), 2)
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.KeyUsage(**usage | {"digital_signature": True}), critical=True)
        .add_extension(stamping, critical=True)
        .add_extension(issued_by, critical=False)
        .sign(root_key, SHA256())
    )
    (folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (folder / "tsa.pem").write_bytes(tsa.public_bytes(Encoding.PEM))
    (folder / "tsa.key").write_bytes(
        tsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class MakeTsa(Protocol):
    def __call__(
        self, name: str, *, ends_in: timedelta = DAYS, digests: str = "sha256, sha512"
    ) -> LocalTsa: ...


@pytest.fixture
def make_tsa(tmp_path: Path) -> Iterator[MakeTsa]:
    if shutil.which("openssl") is None:
        pytest.skip("the test authority needs openssl: apt-get install openssl")
    made: list[LocalTsa] = []

    def make(name: str, *, ends_in: timedelta = DAYS, digests: str = "sha256, sha512") -> LocalTsa:
        made.append(LocalTsa(tmp_path / name, name, ends_in=ends_in, digests=digests))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def tsa(make_tsa: MakeTsa) -> LocalTsa:
    return make_tsa("tsa-1")
