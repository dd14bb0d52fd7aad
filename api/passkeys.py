"""Passkeys by WebAuthn level 3: what a browser is asked, and what its answers are held to.

User verification is required, a resident key preferred, no attestation asked for: which make of
authenticator an officer has is nobody's business here. Keeps nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import options_to_json_dict
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from evidence_store.accounts import Passkey
from evidence_store.errors import ProofError, SettingsError
from evidence_store.identifiers import PersonCode
from evidence_store.ledger.passkey import (
    ClientData,
    client_data,
    from_base64url,
    public_key,
    to_base64url,
)

TIMEOUT_MILLISECONDS = 300_000
ALGORITHMS = [COSEAlgorithmIdentifier.EDDSA, COSEAlgorithmIdentifier.ECDSA_SHA_256]
_LOOPBACK = ("localhost", "127.0.0.1")
# What the library raises over an answer that is no answer at all.
_REFUSALS = (
    WebAuthnException,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)
# The library's own words tell which check failed, and repeat what was sent: nobody is told either.
REFUSED = "passkey: expected an answer to this question, given at this site, by a verified user"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Site:
    """Where officers sign in: `origin` as in `https://evidence.example`, `rp_id` its domain."""

    rp_id: str
    origin: str
    name: str

    def __post_init__(self) -> None:
        found = urlsplit(self.origin)
        host = found.hostname or ""
        if f"{found.scheme}://{found.netloc}" != self.origin:
            raise SettingsError("origin: expected scheme and host, as in https://evidence.example")
        if found.scheme != "https" and host not in _LOOPBACK:
            raise SettingsError("origin: expected https, but for this machine itself")
        if not self.rp_id or (host != self.rp_id and not host.endswith(f".{self.rp_id}")):
            raise SettingsError(f"rp_id: expected the host of {self.origin}, or a domain above it")


def creation_options(site: Site, officer: PersonCode, challenge: bytes) -> Json:
    """What `navigator.credentials.create` is asked."""
    options = generate_registration_options(
        rp_id=site.rp_id,
        rp_name=site.name,
        user_id=user_handle(site, officer),
        user_name=str(officer),
        challenge=challenge,
        timeout=TIMEOUT_MILLISECONDS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        supported_pub_key_algs=ALGORITHMS,
    )
    return options_to_json_dict(options)


def request_options(site: Site, challenge: bytes, allowed: Sequence[str]) -> Json:
    """What `navigator.credentials.get` is asked; with none allowed, any resident key may answer."""
    options = generate_authentication_options(
        rp_id=site.rp_id,
        challenge=challenge,
        timeout=TIMEOUT_MILLISECONDS,
        allow_credentials=[
            PublicKeyCredentialDescriptor(id=from_base64url(each)) for each in allowed
        ],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def user_handle(site: Site, officer: PersonCode) -> bytes:
    """What the authenticator knows the officer by: the same always, and no name (section 14.6.1)."""
    return hashlib.sha256(f"evidence user handle\n{site.rp_id}\n{officer}".encode()).digest()


def said(credential: Mapping[str, Any], ceremony: str) -> ClientData:
    """The client data of an answer, of which nothing is verified yet.

    Raises:
        ProofError: if there are none, or of another ceremony.
    """
    return client_data(_bytes(credential, "clientDataJSON"), ceremony)


def registered(
    site: Site, credential: Mapping[str, Any], challenge: bytes
) -> tuple[str, bytes, int]:
    """The credential, public key (COSE) and count of a new passkey.

    Raises:
        ProofError: if the answer does not hold.
    """
    try:
        found = verify_registration_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
        )
    except _REFUSALS:
        raise ProofError(REFUSED) from None
    # What is accepted now must be readable by those who check a consent in twenty years.
    public_key(found.credential_public_key)
    return to_base64url(found.credential_id), found.credential_public_key, found.sign_count


def asserted(site: Site, credential: Mapping[str, Any], challenge: bytes, passkey: Passkey) -> int:
    """The new count of a passkey that answered.

    Raises:
        ProofError: if the answer does not hold, or the count has not grown: it may be a copy.
    """
    handle = _response(credential).get("userHandle")
    if handle is not None and handle != to_base64url(user_handle(site, passkey.officer)):
        raise ProofError("passkey: it says that it is somebody else's")
    try:
        found = verify_authentication_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except _REFUSALS:
        raise ProofError(REFUSED) from None
    if to_base64url(found.credential_id) != passkey.credential:
        raise ProofError("passkey: it is another one")
    return found.new_sign_count


def record_of(credential: Mapping[str, Any], passkey: Passkey) -> dict[str, str]:
    """What is kept of an answer, as `check_assertion` reads it.

    Raises:
        ProofError: if a part is not there.
    """
    return {
        "credential_id": passkey.credential,
        "public_key": to_base64url(passkey.public_key),
        "authenticator_data": to_base64url(_bytes(credential, "authenticatorData")),
        "client_data": to_base64url(_bytes(credential, "clientDataJSON")),
        "signature": to_base64url(_bytes(credential, "signature")),
    }


def _response(credential: Mapping[str, Any]) -> Mapping[str, Any]:
    found = credential.get("response")
    if not isinstance(found, dict):
        raise ProofError("passkey: expected an answer of navigator.credentials")
    return found


def _bytes(credential: Mapping[str, Any], name: str) -> bytes:
    found = _response(credential).get(name)
    if not isinstance(found, str):
        raise ProofError(f"passkey: expected an answer with {name}")
    return from_base64url(found)
