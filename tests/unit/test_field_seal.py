"""A field seal can be read by whoever has its format, and every change to it is noticed."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence_store.digest import fingerprint
from evidence_store.errors import DiscrepancyError, EvidenceError, FixityError, MalformedError
from evidence_store.field_seal import (
    DOMAIN,
    Circumstances,
    FieldSeal,
    SealedFile,
    Unsealed,
    key_id,
    public_key,
)

Change = Callable[[dict[str, Any]], object]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NOW = datetime(2026, 3, 14, 9, 20, 5, 123456, tzinfo=UTC)
SEAL = FieldSeal(
    Circumstances("Insp. A. Novak", "Brod", "write-blocked", "kit 7"),
    NOW,
    NOW + timedelta(seconds=3),
    "evidence 0.1.0",
    KEY.public_key().public_bytes_raw(),
    {
        b"a.txt": SealedFile(fingerprint([b"a"]), "2026-03-14T09:00:00.000000001Z"),
        b"d/\xff\n\\.bin": SealedFile(fingerprint([b"b"]), None),
    },
    (Unsealed(b"link", "E120", "a symbolic link"),),
)
SIGNED = SEAL.signed(KEY)


def test_what_was_signed_is_read_as_it_was() -> None:
    assert FieldSeal.opened(SIGNED) == replace(SEAL, unsealed=SEAL.unsealed)


def test_the_format_is_as_written_down_and_another_library_verifies_it() -> None:
    found: dict[str, Any] = json.loads(SIGNED)
    body = rfc8785.dumps(found["body"])
    assert rfc8785.dumps(found) == SIGNED
    (signature,) = found["sigs"]
    KEY.public_key().verify(base64.b64decode(signature["sig"]), DOMAIN + body)
    assert signature["kid"] == key_id(SEAL.public)
    assert [each.get("name") for each in found["body"]["files"]] == ["a.txt", None]
    assert base64.b64decode(found["body"]["files"][1]["name_base64"]) == b"d/\xff\n\\.bin"


def harmed(change: Change) -> bytes:
    """The seal with its body changed and signed anew, so that only the reading can refuse it."""
    body = json.loads(SIGNED)["body"]
    change(body)
    signature = base64.b64encode(KEY.sign(DOMAIN + rfc8785.dumps(body))).decode()
    return rfc8785.dumps({"body": body, "sigs": [{"kid": key_id(SEAL.public), "sig": signature}]})


HARMS: list[Change] = [
    lambda body: body.update(v=2),
    lambda body: body.pop("who"),
    lambda body: body.update(who=""),
    lambda body: body.update(more=1),
    lambda body: body.update(ended_at="2026-03-14"),
    lambda body: body.update(ended_at=body["started_at"].replace("2026", "2025")),
    lambda body: body.update(public="AAAA"),
    lambda body: body["files"].reverse(),
    lambda body: body["files"].append(body["files"][0]),
    lambda body: body["files"][0].update(name="../a.txt"),
    lambda body: body["files"][0].update(name="/a.txt"),
    lambda body: body["files"][0].update(name="a//b"),
    lambda body: body["files"][0].update(size_bytes=-1),
    lambda body: body["files"][0].update(size_bytes=True),
    lambda body: body["files"][0].update(sha256="00"),
    lambda body: body["files"][0].update(sha256=body["files"][0]["sha256"].upper()),
    lambda body: body["files"][1].update(name_base64=base64.b64encode(b"plain").decode()),
    lambda body: body["files"][1].update(name_base64="!"),
    lambda body: body.update(files={}),
    lambda body: body.update(files=["a"]),
]


@pytest.mark.parametrize("change", HARMS, ids=map(str, range(len(HARMS))))
def test_a_seal_in_another_form_is_refused(change: Change) -> None:
    with pytest.raises(MalformedError):
        FieldSeal.opened(harmed(change))


def test_every_changed_byte_is_noticed() -> None:
    for at in range(len(SIGNED)):
        content = bytearray(SIGNED)
        content[at] ^= 1
        with pytest.raises(EvidenceError):
            FieldSeal.opened(bytes(content))


def test_a_signature_by_another_key_is_refused() -> None:
    other = Ed25519PrivateKey.generate()
    with pytest.raises(EvidenceError) as refused:
        FieldSeal.opened(SEAL.signed(other))
    assert refused.value.code == "E240"


def test_what_arrives_is_compared_with_what_was_sealed() -> None:
    assert SEAL.problem(b"a.txt", fingerprint([b"a"])) is None
    assert isinstance(SEAL.problem(b"a.txt", fingerprint([b"A"])), FixityError)
    assert isinstance(SEAL.problem(b"b.txt", fingerprint([b"a"])), DiscrepancyError)


def test_a_digest_of_one_kind_alone_does_not_do() -> None:
    found = replace(fingerprint([b"a"]), blake3=fingerprint([b"b"]).blake3)
    assert SEAL.problem(b"a.txt", found) is not None


@pytest.mark.parametrize("text", ["", "AAAA", "!", base64.b64encode(bytes(33)).decode()])
def test_a_public_key_has_one_spelling(text: str) -> None:
    with pytest.raises(MalformedError):
        public_key(text)
    assert public_key(base64.b64encode(SEAL.public).decode()) == SEAL.public
