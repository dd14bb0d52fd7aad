"""A time-stamp authority for tests: keys by openssl, answers by `openssl ts`, over HTTP."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ingest.timestamping import StampAuthority

CONFIG = """
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
[tsa]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[stamp]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


class LocalTsa:
    """An authority in a folder, answering on 127.0.0.1. `spoil` changes what it answers."""

    def __init__(self, folder: Path, name: str = "tsa-1") -> None:
        self.folder = folder
        folder.mkdir()
        self._run_all()
        self.spoil: Callable[[bytes], bytes] = bytes
        self.status = 200
        self._server = HTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        port = self._server.server_address[1]
        roots = (folder / "root.pem").read_bytes()
        self.authority = StampAuthority(name, f"http://127.0.0.1:{port}/", roots)

    def answer(self, query: bytes) -> bytes:
        (self.folder / "q.tsq").write_bytes(query)
        self._openssl(
            "ts", "-reply", "-config", "tsa.cnf", "-section", "stamp", "-queryfile", "q.tsq",
            "-inkey", "tsa.key", "-signer", "tsa.pem", "-out", "r.tsr",
        )  # fmt: skip
        return (self.folder / "r.tsr").read_bytes()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _run_all(self) -> None:
        (self.folder / "tsa.cnf").write_text(CONFIG)
        (self.folder / "serial").write_text("01\n")
        for name in ("root", "tsa"):
            self._openssl(
                "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", f"{name}.key"
            )
        self._openssl(
            "req", "-new", "-x509", "-key", "root.key", "-subj", "/CN=Test root", "-days", "30",
            "-config", "tsa.cnf", "-extensions", "ca", "-out", "root.pem",
        )  # fmt: skip
        self._openssl(
            "req",
            "-new",
            "-key",
            "tsa.key",
            "-subj",
            "/CN=TSA",
            "-config",
            "tsa.cnf",
            "-out",
            "tsa.csr",
        )
        self._openssl(
            "x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "2",
            "-days", "20", "-extfile", "tsa.cnf", "-extensions", "tsa", "-out", "tsa.pem",
        )  # fmt: skip

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)  # noqa: S603, S607

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        tsa = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                body = tsa.spoil(tsa.answer(query))
                self.send_response(tsa.status)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def tsa(tmp_path: Path) -> Iterator[LocalTsa]:
    if shutil.which("openssl") is None:
        pytest.skip("the test authority needs openssl: apt-get install openssl")
    found = LocalTsa(tmp_path / "tsa")
    yield found
    found.close()
