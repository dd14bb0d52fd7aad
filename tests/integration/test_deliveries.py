"""Packages that a peer delivers: verified as they arrive, kept sealed, answered with a receipt."""

import base64
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from httpx2 import Response

from api.asking import Asking
from api.delivering import PIECE_BYTES, RECEIPT_LINE, Arriving, pieces_of
from evidence_store.canonical import canonical
from evidence_store.errors import FixityError, MalformedError, NotFoundError, UnauthenticatedError
from tests.cooperation import BRAVO_CENTRAL, CHARLIE_CENTRAL
from tests.integration.test_peers import Peers, peers, served  # noqa: F401 - a fixture
from tests.packages import ORIGINAL, Court, Made, closed, told, zipped

PATH = "/v1/peer/deliveries"


@pytest.fixture(scope="module")
def sound() -> Made:
    """A package of another log."""
    return closed(told())


@pytest.fixture(scope="module")
def package(sound: Made) -> bytes:
    return zipped(sound).getvalue()


def delivered(peers: Peers, body: bytes, *, signed: bytes | None = None) -> Response:  # noqa: F811 - the fixture's value
    stated = body if signed is None else signed
    headers = peers.signed(BRAVO_CENTRAL, PATH, method="POST", body=stated)
    return peers.client.post(PATH, content=body, headers=headers)


def kept(peers: Peers) -> list[Path]:  # noqa: F811 - the fixture's value
    return list((peers.instance.home / "deliveries").glob("*"))


def test_a_package_is_kept_sealed_and_its_receipt_is_signed(peers: Peers, package: bytes) -> None:  # noqa: F811
    answer = delivered(peers, package)
    assert answer.status_code == 201, answer.text
    row = answer.json()
    receipt = json.loads(row["receipt"])
    assert receipt["sha256"] == hashlib.sha256(package).hexdigest()
    assert receipt["from"] == "XB/bravo-central/1"
    assert receipt["findings"]["refuted"] == 0
    assert receipt["trusted_log"] is False
    assert canonical(receipt) == row["receipt"].encode()
    public = Ed25519PublicKey.from_public_bytes(
        peers.instance.signing.public(peers.key(peers.world.home))
    )
    signature, body = base64.b64decode(row["signature"]), row["receipt"].encode()
    public.verify(signature, RECEIPT_LINE + body)
    with pytest.raises(InvalidSignature):
        public.verify(signature, RECEIPT_LINE + body.replace(b'"refuted":0', b'"refuted":1'))
    (file,) = kept(peers)
    content = file.read_bytes()
    assert content.startswith(b"age-encryption.org/v1\n")
    assert ORIGINAL[:32] not in content
    (found,) = peers.instance.doors.deliveries().entries
    assert b"".join(pieces_of(peers.instance, found)) == package


def test_the_same_again_is_the_same_delivery(peers: Peers, package: bytes) -> None:  # noqa: F811
    first, second = delivered(peers, package), delivered(peers, package)
    assert first.json() == second.json()
    assert len(kept(peers)) == 1


def test_a_delivery_is_shown_to_whom_it_is_of(peers: Peers, package: bytes) -> None:  # noqa: F811
    row = delivered(peers, package).json()
    path = f"{PATH}/{row['delivery']}"
    assert peers.get(BRAVO_CENTRAL, path).json() == row
    assert peers.get(CHARLIE_CENTRAL, path).status_code == 404
    assert peers.get(BRAVO_CENTRAL, f"{PATH}/{'0' * 32}").status_code == 404


def test_what_does_not_verify_is_refused_and_not_kept(
    peers: Peers,  # noqa: F811
    sound: Made,
    package: bytes,
) -> None:
    at = package.index(ORIGINAL[:64])
    changed = package[:at] + b"X" + package[at + 1 :]
    name = next(each for each in sound.files if "/events/" in each and each.endswith(".json"))
    event = sound.files[name].replace(b'"v":1', b'"v":2')
    forged = Made({**sound.files, name: event}, sound.policy)
    for body, status in (
        (changed, 422),
        (zipped(forged).getvalue(), 422),
        (b"no package", 400),
        (b"", 400),
        (package[:-200], 400),
    ):
        answer = delivered(peers, body)
        assert answer.status_code == status, answer.text
    assert delivered(peers, changed).json()["findings"]
    assert kept(peers) == []
    assert peers.instance.doors.deliveries().entries == []


def test_other_bytes_than_were_signed_are_refused_and_not_kept(
    peers: Peers,  # noqa: F811
    package: bytes,
) -> None:
    assert delivered(peers, package, signed=b"another").status_code == 401
    assert peers.client.post(PATH, content=package).status_code == 401
    assert kept(peers) == []


def test_a_log_that_this_instance_trusts_is_said_to_be_trusted(
    peers: Peers,  # noqa: F811
    sound: Made,
    package: bytes,
) -> None:
    folder = peers.instance.home / "peers"
    folder.mkdir()
    (folder / "XB.policy").write_text(str(sound.policy))
    assert json.loads(delivered(peers, package).json()["receipt"])["trusted_log"] is True


def test_a_log_other_than_the_trusted_one_is_refused(peers: Peers, package: bytes) -> None:  # noqa: F811
    folder = peers.instance.home / "peers"
    folder.mkdir()
    (folder / "XB.policy").write_text(str(Court(origin="log.invalid/hr/other").policy))
    assert delivered(peers, package).status_code == 422
    assert kept(peers) == []


def test_a_kept_package_that_was_altered_is_not_given(peers: Peers, package: bytes) -> None:  # noqa: F811
    delivered(peers, package)
    (file,), (found,) = kept(peers), peers.instance.doors.deliveries().entries
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(FixityError):
        b"".join(pieces_of(peers.instance, found))
    file.unlink()
    with pytest.raises(NotFoundError):
        b"".join(pieces_of(peers.instance, found))


@pytest.mark.parametrize("size", [0, 1, 65536, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES + 7])
def test_any_number_of_bytes_is_read_back_through_the_seal(peers: Peers, size: int) -> None:  # noqa: F811
    content = bytes(range(251)) * (size // 251 + 1)
    arriving = Arriving(peers.instance)
    for at in range(0, size, 100_003):
        arriving.put(content[at : min(size, at + 100_003)])
    arriving.close()
    with arriving.opened() as file:
        assert file.read() == content[:size]
        file.seek(size // 2)
        assert file.read(10) == content[size // 2 : size][:10]


def test_a_package_is_delivered_over_a_real_connection(
    peers: Peers,  # noqa: F811
    package: bytes,
    tmp_path: Path,
) -> None:
    file = tmp_path / "package.zip"
    file.write_bytes(package)
    with served(peers) as address:
        asking = Asking(address, peers.key(BRAVO_CENTRAL), peers.instance.signing.sign, peers.clock)
        row = asking.send(PATH, file)
        assert row["sha256"] == hashlib.sha256(package).hexdigest()
        other = replace(asking, kid=peers.key(CHARLIE_CENTRAL))
        with pytest.raises(NotFoundError):
            other.get(f"{PATH}/{row['delivery']}")
        (tmp_path / "none.zip").write_bytes(b"nothing of the kind")
        with pytest.raises(MalformedError):
            asking.send(PATH, tmp_path / "none.zip")
        late = replace(asking, kid=replace(asking.kid, serial=9))
        peers.instance.signing.ensure(late.kid)
        with pytest.raises(UnauthenticatedError):
            late.send(PATH, file)


def command(peers: Peers, *arguments: str) -> tuple[int, str]:  # noqa: F811 - the fixture's value
    run = "import sys; from api.cli.main import main; sys.exit(main())"
    home = str(peers.instance.home)
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", run, "--home", home, "--json", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    return done.returncode, done.stdout


@pytest.mark.slow
def test_the_commands_ask_deliver_list_and_open(
    peers: Peers,  # noqa: F811
    package: bytes,
    tmp_path: Path,
) -> None:
    file, opened = tmp_path / "package.zip", tmp_path / "opened.zip"
    file.write_bytes(package)
    with served(peers) as address:
        there = ("--to", address, "--as", "bravo-central")
        status, said = command(peers, "peer", "get", "grants", *there)
        assert (status, json.loads(said)) == (0, {"entries": [], "next_cursor": None})
        assert command(peers, "peer", "get", "grants/SI-GRT-000001", *there)[0] != 0
        status, said = command(peers, "peer", "deliver", str(file), *there)
        assert status == 0
        delivery = json.loads(said)["delivery"]
    assert delivery in command(peers, "peer", "deliveries")[1]
    assert command(peers, "peer", "open", delivery, "-o", str(opened))[0] == 0
    assert opened.read_bytes() == package
    assert command(peers, "peer", "open", delivery, "-o", str(opened))[0] != 0  # it is there
    assert opened.read_bytes() == package
    assert command(peers, "peer", "open", "0" * 32, "-o", str(tmp_path / "none.zip"))[0] != 0
    assert not (tmp_path / "none.zip").exists()
