"""The nginx of the deployment guide, as it is printed there, before a server with PostgreSQL and S3."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedServer
from tests.served import MEBIBYTE, OFFSET, TUS, Served, said

pytestmark = [pytest.mark.slow, pytest.mark.s3, pytest.mark.postgresql]
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "nginx.conf"
NAME = "evidence.example"


@dataclass
class Front:
    """nginx, and a client that believes its certificate."""

    served: Served
    port: int
    plain_port: int
    trusted: ssl.SSLContext

    def __call__(self, method: str, path: str, **more: Any) -> httpx2.Response:  # noqa: ANN401 - whatever a client is given
        headers = {"Host": NAME, **self.served.headers(), **more.pop("headers", {})}
        with httpx2.Client(verify=self.trusted, timeout=60) as client:
            return client.request(
                method,
                f"https://127.0.0.1:{self.port}{path}",
                headers=headers,
                extensions={"sni_hostname": NAME},
                **more,
            )


@pytest.fixture
def front(
    tmp_path: Path, s3_server: SeaweedServer, s3_bucket_name: str, postgresql_url: str
) -> Iterator[Front]:
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    for name, content in (("access", ACCESS_KEY), ("secret", SECRET_KEY)):
        (tmp_path / name).write_text(content)
    served = Served(
        tmp_path / "home",
        "--proxy",
        "127.0.0.1",
        "--workers",
        "2",
        database_url=postgresql_url,
        objects="s3",
        s3_endpoint=s3_server.endpoint,
        s3_secure=False,
        s3_bucket=s3_bucket_name,
        s3_access_key_file=str(tmp_path / "access"),
        s3_secret_key_file=str(tmp_path / "secret"),
        s3_retention_days=1,
    )
    served.start()
    port, plain = free_port(), free_port()
    arguments = [program, "-p", str(tmp_path), "-c", str(configured(tmp_path, served, port, plain))]
    user = " user root;" if os.geteuid() == 0 else ""
    nginx = subprocess.Popen([*arguments, "-g", f"daemon off;{user}"])  # noqa: S603 - our own
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        trusted = ssl.create_default_context(cafile=str(tmp_path / "server.crt"))
        yield Front(served, port, plain, trusted)
        assert served.stop() == 0
    finally:
        nginx.terminate()
        nginx.wait(30)
        served.kill()


def configured(folder: Path, served: Served, port: int, plain_port: int) -> Path:
    """The example with places, ports and certificate of the test, and nothing else changed."""
    certificate(folder)
    text = EXAMPLE.read_text()
    for before, after in (
        ("/etc/evidence/tls/", f"{folder}/"),
        ("/var/lib/nginx/", f"{folder}/nginx-"),
        ("/var/log/nginx/", f"{folder}/"),
        ("/run/nginx.pid", f"{folder}/nginx.pid"),
        ("127.0.0.1:8470", f"127.0.0.1:{served.port}"),
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("listen 80 ", f"listen 127.0.0.1:{plain_port} "),
        ("worker_processes auto", "worker_processes 1"),
        ("worker_rlimit_nofile 65536;", ""),
    ):
        assert before in text
        text = text.replace(before, after)
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


def certificate(folder: Path) -> None:
    openssl = shutil.which("openssl")
    assert openssl is not None
    arguments = [
        openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "1", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
        "-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt"),
    ]  # fmt: skip
    subprocess.run(arguments, check=True, capture_output=True)  # noqa: S603 - our own


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        found: int = free.getsockname()[1]
        return found


def test_upload_resume_and_download_pass_through_nginx(front: Front) -> None:
    content = os.urandom(20 * MEBIBYTE)
    told = said(filename="a.bin", case=front.served.case, title="x" * 6000)
    headers = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": told}
    made = front("POST", "/v1/uploads", headers=headers)
    assert made.status_code in {201, 400}  # a title may be so long or not; it passes nginx
    headers["Upload-Metadata"] = said(filename="a.bin", case=front.served.case)
    path = front("POST", "/v1/uploads", headers=headers).headers["location"]
    assert path.startswith("/v1/uploads/")
    half = 9 * MEBIBYTE
    send = {**OFFSET, "Upload-Offset": "0"}
    assert front("PATCH", path, headers=send, content=content[:half]).status_code == 204
    assert front("HEAD", path, headers=TUS).headers["upload-offset"] == str(half)
    send["Upload-Offset"] = str(half)
    assert front("PATCH", path, headers=send, content=content[half:]).status_code == 204
    outcome = front("GET", path).json()["outcome"]
    asked = {"item": outcome["ern"], "action": "download", "purpose": "prosecution"}
    whole = front("POST", "/v1/accesses", json=asked)
    assert whole.content == content
    assert whole.headers["etag"]
    assert whole.headers["repr-digest"]
    assert whole.headers["content-length"] == str(len(content))
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["strict-transport-security"]
    again = front("POST", "/v1/accesses", json=asked, headers={"Range": f"bytes={half}-"})
    assert again.status_code == 206
    assert again.content == content[half:]
    left = [each for each in front.served.home.parent.glob("nginx-*/**/*") if each.is_file()]
    assert left == []  # no byte of evidence on nginx's disk


def test_what_a_client_says_of_itself_counts_for_nothing(front: Front) -> None:
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=6.6.6.6;host=evil.example;proto=http",
        "X-Real-IP": "6.6.6.6",
    }
    answer = front("GET", "/v1/items/", headers=forged)
    # A redirection shows whom the server takes itself to be, and by which scheme.
    assert answer.status_code in {307, 404}
    if answer.status_code == 307:
        assert answer.headers["location"] == f"https://{NAME}/v1/items"
    elsewhere = front("GET", "/v1/items/", headers={"Host": "evil.example"})
    assert elsewhere.status_code == 421
    plain = httpx2.get(
        f"http://127.0.0.1:{front.plain_port}/v1/items", headers={"Host": "evil.example"}
    )
    assert plain.headers["location"] == f"https://{NAME}/v1/items"


def test_without_a_proxy_no_forwarded_header_counts(served: Served) -> None:
    forged = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "6.6.6.6"}
    answer = served.asked("GET", "/v1/items/", headers=forged)
    assert answer.status_code in {307, 404}
    assert "https" not in answer.headers.get("location", "")


def test_each_problem_of_the_server_passes_nginx_as_it_is(front: Front) -> None:
    answer = front("GET", "/v1/items/SI-2026-999999")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    bomb = front("POST", "/v1/accesses", headers={"Content-Encoding": "gzip"}, content=b"x")
    assert bomb.status_code == 415
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
