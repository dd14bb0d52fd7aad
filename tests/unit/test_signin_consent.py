"""What an officer signs by hand: the record that anybody can check, and what is refused."""

import hashlib
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from evidence_store.errors import (
    MalformedError,
    OutOfOrderError,
    ProofError,
)
from evidence_store.ledger.passkey import (
    check_assertion,
    from_base64url,
    public_key,
    to_base64url,
)
from tests.houses import ACT, ORIGIN, RP_ID, House
from tests.softkey import ATTESTED, EXTENDED, PRESENT, VERIFIED, SoftKey, es256

ALGORITHMS = pytest.mark.parametrize("make", [es256, Ed25519PrivateKey.generate])


class TestConsent:
    @ALGORITHMS
    def test_a_record_is_checked_without_anything_else(
        self, house: House, make: Callable[[], Any]
    ) -> None:
        record = self.record(house, house.enrolled(private=make()))
        check_assertion(record, ACT, RP_ID, ORIGIN)

    def record(self, house: House, key: SoftKey) -> dict[str, str]:
        officer = house.who("prosecutor")
        options = house.asked(officer)
        assert from_base64url(options["challenge"]) == ACT
        return house.signed(officer, key.get(options))

    @pytest.mark.parametrize("name", ["authenticator_data", "client_data", "signature"])
    def test_one_changed_byte_is_found(self, house: House, name: str) -> None:
        record = self.record(house, house.enrolled())
        content = bytearray(from_base64url(record[name]))
        content[-1] ^= 1
        with pytest.raises(ProofError):
            check_assertion({**record, name: to_base64url(bytes(content))}, ACT, RP_ID, ORIGIN)

    @pytest.mark.parametrize(
        "name", ["public_key", "authenticator_data", "client_data", "signature"]
    )
    @pytest.mark.parametrize("content", ["AAA", "e30", "gg_-"])
    def test_other_bytes_are_refused(self, house: House, name: str, content: str) -> None:
        record = self.record(house, house.enrolled())
        with pytest.raises(ProofError):
            check_assertion({**record, name: content}, ACT, RP_ID, ORIGIN)

    def test_it_is_for_one_act_and_site_and_key(self, house: House) -> None:
        record = self.record(house, house.enrolled())
        other = to_base64url(public_bytes(SoftKey(ORIGIN, RP_ID)))
        for changed, digest, rp_id, origin in (
            (record, bytes(32), RP_ID, ORIGIN),
            (record, b"", RP_ID, ORIGIN),
            (record, ACT, "evil.example", ORIGIN),
            (record, ACT, RP_ID, "https://evil.example"),
            ({**record, "public_key": other}, ACT, RP_ID, ORIGIN),
        ):
            with pytest.raises(ProofError):
                check_assertion(changed, digest, rp_id, origin)

    @pytest.mark.parametrize("content", [None, 7, "", "=", "AAB", "A" * 20_000])
    @pytest.mark.parametrize(
        "name", ["credential_id", "public_key", "authenticator_data", "client_data", "signature"]
    )
    def test_a_record_in_pieces_is_refused(self, house: House, name: str, content: object) -> None:
        record: dict[str, object] = {**self.record(house, house.enrolled())}
        with pytest.raises(ProofError):
            check_assertion({**record, name: content}, ACT, RP_ID, ORIGIN)

    @pytest.mark.parametrize(
        "cose",
        [
            {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)},
            {1: 2, 3: -7, -1: 2, -2: bytes(32), -3: bytes(32)},
            {1: 2, 3: -7, -1: 1, -2: bytes(31), -3: bytes(32)},
            {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: True},
            {1: 3, 3: -257, -1: b"n", -2: b"e"},
            {1: 1, 3: -8, -1: 6, -2: bytes(33)},
            {},
            [],
        ],
        ids=str,
    )
    def test_a_key_of_another_kind_is_refused(self, cose: object) -> None:
        with pytest.raises(ProofError):
            public_key(cbor2.dumps(cose))

    def test_nothing_may_follow_a_key(self) -> None:
        content = public_bytes(SoftKey(ORIGIN, RP_ID))
        public_key(content)
        for wrong in (content + b"\0", content[:-1], b"", b"\x82" * 5000):
            with pytest.raises(ProofError):
                public_key(wrong)

    def test_a_name_twice_in_the_client_data_is_refused(self, house: House) -> None:
        key = house.enrolled()
        record = self.record(house, key)
        said = from_base64url(record["client_data"])
        twice = said[:-1] + b', "type": "webauthn.get"}'
        data = from_base64url(record["authenticator_data"])
        signed = {**record, "client_data": to_base64url(twice), "signature": sign(key, data, twice)}
        with pytest.raises(ProofError, match="JSON"):
            check_assertion(signed, ACT, RP_ID, ORIGIN)

    @pytest.mark.parametrize("flags", [PRESENT, VERIFIED, PRESENT | VERIFIED | ATTESTED])
    def test_a_signature_without_verification_is_refused(self, house: House, flags: int) -> None:
        key = house.enrolled()
        record = self.record(house, key)
        said = from_base64url(record["client_data"])
        data = bytearray(from_base64url(record["authenticator_data"]))
        data[32] = flags
        changed = {
            **record,
            "authenticator_data": to_base64url(bytes(data)),
            "signature": sign(key, bytes(data), said),
        }
        with pytest.raises(ProofError):
            check_assertion(changed, ACT, RP_ID, ORIGIN)

    def test_extensions_are_signed_too(self, house: House) -> None:
        key = house.enrolled()
        flags = PRESENT | VERIFIED | EXTENDED
        extended = key.but(flags=flags, extensions=cbor2.dumps({"credProtect": 3}))
        check_assertion(self.record(house, extended), ACT, RP_ID, ORIGIN)

    def test_only_who_was_asked_answers_and_once(self, house: House) -> None:
        key, other = house.enrolled(), house.enrolled("central")
        officer, second = house.who("prosecutor"), house.who("central")
        with pytest.raises(ProofError):  # nobody was asked
            house.signed(officer, key.get({"challenge": to_base64url(ACT)}))
        options = house.asked(officer)
        with pytest.raises(ProofError):
            house.signed(second, other.get(options))
        with pytest.raises(ProofError):
            house.signed(officer, other.get(options))
        options = house.asked(officer)
        answer = key.get(options)
        house.signed(officer, answer)
        with pytest.raises(ProofError):
            house.signed(officer, answer)

    def test_two_officers_sign_the_same_act(self, house: House) -> None:
        keys = {name: house.enrolled(name) for name in ("prosecutor", "central")}
        asked = {name: house.asked(house.who(name)) for name in keys}
        for name, key in keys.items():
            answer = key.get(asked[name])
            record = house.signed(house.who(name), answer)
            check_assertion(record, ACT, RP_ID, ORIGIN)

    def test_it_takes_a_passkey_and_a_digest(self, house: House) -> None:
        house.with_password()
        with pytest.raises(OutOfOrderError):
            house.asked(house.who("prosecutor"))
        house.enrolled()
        with pytest.raises(MalformedError):
            house.asked(house.who("prosecutor"), b"short")


def public_bytes(key: SoftKey) -> bytes:
    return key.cose


def sign(key: SoftKey, data: bytes, client: bytes) -> str:
    assert isinstance(key.private, EllipticCurvePrivateKey)
    return to_base64url(key.private.sign(data + hashlib.sha256(client).digest(), ECDSA(SHA256())))
