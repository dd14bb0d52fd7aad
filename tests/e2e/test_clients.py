"""A whole cooperation by clients that we did not write: one made from the OpenAPI, and curl."""

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blake3
import httpx2
import pytest
from tusclient import client as tus

from tests.served import Served

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PROGRAMS = Path(sys.executable).parent
ASKED = {
    "kind": "service_of_documents",
    "proceeding": "B 1/26",
    "nature": "War crimes",
    "conducted_by": "District Court of Bravo",
    "assistance": "Serve a summons",
    "offences": ["murder"],
    "purpose": "trial",
    "language": "en",
    "fields": {
        "document_reference": "summons 1",
        "document_language": "en",
        "addressee": "WIT-0001",
        "addressee_protected": "no",
        "address": "known to the court",
    },
    "papers": {"document_to_serve": "annex 1"},
}


class Made:
    """A client that was made from the OpenAPI of a server, as a stranger makes one."""

    def __init__(self, server: Served, folder: Path) -> None:
        self._server = server
        (folder / "openapi.json").write_bytes(
            httpx2.get(f"{server.address}/v1/openapi.json").content
        )
        ran = subprocess.run(  # noqa: S603 - a program of the test dependencies
            [
                str(PROGRAMS / "openapi-python-client"), "generate",
                "--path", str(folder / "openapi.json"),
                "--config", str(EXAMPLES / "openapi-python-client.yml"),
                "--output-path", str(folder / "evidence_client"),
                "--meta", "none", "--fail-on-warning",
            ],
            env={**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        sys.path.insert(0, str(folder))

    def models(self, name: str) -> Any:
        return getattr(importlib.import_module("evidence_client.models"), name)

    def __call__(
        self, name: str, operation: str, *path: str, status: int = 200, **more: Any
    ) -> Any:
        """Call an operation, `tag.name`, as an officer; what it answers."""
        found = importlib.import_module("evidence_client").AuthenticatedClient(
            base_url=self._server.address,
            token=self._server.tokens[name],
            raise_on_unexpected_status=True,
        )
        function = importlib.import_module(f"evidence_client.api.{operation}").sync_detailed
        with found as client:
            answer = function(*path, client=client, **more)
        assert answer.status_code == status, answer.content
        return answer.parsed


@pytest.fixture
def made(served: Served, tmp_path: Path) -> Iterator[Made]:
    folder = tmp_path / "client"
    folder.mkdir()
    client = Made(served, folder)
    yield client
    sys.path.remove(str(folder))
    for name in [each for each in sys.modules if each.partition(".")[0] == "evidence_client"]:
        del sys.modules[name]


@pytest.mark.slow
def test_a_client_made_from_the_openapi_makes_a_whole_cooperation(
    served: Served,
    made: Made,
    tmp_path: Path,
) -> None:
    content = os.urandom(300_000)
    (tmp_path / "video.bin").write_bytes(content)
    ern = _uploaded(served, tmp_path / "video.bin")
    home = made("prosecutor", "evidence.get_item", ern)
    assert home.case == served.case
    (authority,) = (
        each.id
        for each in made("b-central", "registry.list_authorities").authorities
        if each.state == "SI"
    )

    body = made.models("Draft").from_dict({"to": authority, "document": ASKED})
    asked = made("b-prosecutor", "requests.draft_request", status=201, body=body)
    assert asked.missing == []
    step = made.models("RequestStep").from_dict
    for who, act in (
        ("b-central", "signed"),
        ("b-central", "transmitted"),
        ("central", "acknowledged"),
    ):
        made(
            who, "requests.take_request_step", asked.request, body=step({"act": act}), if_match="*"
        )
    assert made("central", "requests.get_request", asked.request).state == "acknowledged"

    document = {
        "grantee": "bravo-central", "basis": "request", "reference": asked.request,
        "legal_basis": "the Convention", "case": served.case, "proceeding": "B 1/26",
        "purposes": ["prosecution"], "offences": ["murder"], "items": [ern],
        "mode": "certified_copy", "valid_from": "2026-01-01Z", "valid_until": "2099-01-01Z",
    }  # fmt: skip
    body = made.models("Document").from_dict({"document": document})
    grant = made("prosecutor", "grants.propose_terms", status=201, body=body)
    assert grant.missing == []
    step = made.models("GrantStep").from_dict
    take = "grants.take_grant_step"
    made("central", take, grant.grant, body=step({"act": "offered"}), if_match="*")
    accepted = made(
        "b-central",
        take,
        grant.grant,
        body=step({"act": "accepted", "terms": grant.terms}),
        if_match="*",
    )
    assert accepted.state == "active"

    body = made.models("AccessRequest").from_dict(
        {"item": ern, "action": "download", "purpose": "prosecution", "grant": grant.grant}
    )
    copy = made("b-central", "access.open_access", body=body).payload.read()
    assert copy == content
    body = made.models("VerificationAsked").from_dict(
        {"sha256": hashlib.sha256(copy).hexdigest(), "item": ern}
    )
    (verified,) = made("b-central", "verification.verify_digest", body=body).verifications
    assert (verified.outcome, verified.ern) == ("match", ern)
    assert verified.ledger.proof.startswith("c2sp.org/tlog-proof@v1")

    _transferred(made, ern, copy)
    package = made.models("PackageAsked").from_dict(
        {
            "items": [ern], "purpose": "prosecution", "grant": grant.grant,
            "reference": asked.request,
        }
    )  # fmt: skip
    (tmp_path / "court.zip").write_bytes(
        made("b-central", "access.make_package", body=package).payload.read()
    )
    assert _verifies(tmp_path / "court.zip")


def _uploaded(server: Served, file: Path) -> str:
    client = tus.TusClient(f"{server.address}/v1/uploads", headers=server.headers())
    with file.open("rb") as stream:
        said = {"filename": file.name, "case": server.case}
        uploader = client.uploader(file_stream=stream, metadata=said)
        uploader.upload()
    path = "/v1/uploads/" + str(uploader.url).rpartition("/")[2]
    return str(server.outcome(path)["outcome"]["ern"])


def _transferred(made: Made, ern: str, copy: bytes) -> None:
    body = made.models("OfferAsked").from_dict(
        {
            "items": [ern], "to": "bravo-central", "to_person": "B", "purpose": "analysis",
            "reference": "Kt 1", "valid_until": "2099Z",
        }
    )  # fmt: skip
    transfer = made("prosecutor", "transfers.offer_transfer", status=201, body=body).transfer
    step = made.models("TransferStep").from_dict
    line = {
        "ern": ern, "condition": "ok", "sha256": hashlib.sha256(copy).hexdigest(),
        "blake3": blake3.blake3(copy).hexdigest(), "size_bytes": len(copy),
    }  # fmt: skip
    for who, said in (
        ("b-central", {"act": "accepted"}),
        ("prosecutor", {"act": "released", "carrier": "C"}),
        ("b-central", {"act": "received", "lines": [line]}),
    ):
        made(who, "transfers.take_transfer_step", transfer, body=step(said), if_match="*")
    shown = made("prosecutor", "transfers.get_transfer", transfer)
    assert shown.items[0].custodian == "bravo-central"


def _verifies(package: Path) -> bool:
    run = "import sys; from api.cli.main import main; sys.exit(main())"
    ran = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", run, "verify-package", str(package), "--json"],
        capture_output=True,
        check=False,
        cwd=ROOT,
    )
    return ran.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("openssl") is None,
    reason="curl and openssl are not installed",
)
def test_curl_makes_a_whole_cooperation(
    served: Served,
    tmp_path: Path,
) -> None:
    (tmp_path / "note.txt").write_bytes(os.urandom(100_000))
    authorities = httpx2.get(f"{served.address}/v1/authorities", headers=served.headers()).json()
    (home,) = (each["id"] for each in authorities["authorities"] if each["state"] == "SI")
    ran = subprocess.run(  # noqa: S603 - our own script
        ["sh", str(EXAMPLES / "cooperation.sh"), str(tmp_path / "note.txt")],  # noqa: S607 - any sh
        env={
            **os.environ,
            "SERVER": served.address,
            "CASE": served.case,
            "HOME_AUTHORITY": home,
            "THEIR_AUTHORITY": "bravo-central",
            "REQUEST": json.dumps(ASKED),
            "PROSECUTOR": served.tokens["prosecutor"],
            "CENTRAL": served.tokens["central"],
            "THEIR_PROSECUTOR": served.tokens["b-prosecutor"],
            "THEIR_CENTRAL": served.tokens["b-central"],
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    done = [line.partition(":")[0] for line in ran.stdout.splitlines()]
    assert done == ["uploaded", "requested", "granted", "downloaded", "verified", "transferred"]
