"""Sign-in by a State's own identity provider (OpenID Connect): code flow with PKCE, state and nonce.

Who is an officer is the registry's to say, never the provider's: a subject means nothing until a
one-time link of two officers has bound it (`api.signin`). Only https, but for this machine. What a
provider says is believed for one sign-in, and only what its keys signed for us.
"""

import base64
import hashlib
import hmac
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from authlib.oauth2.rfc7636 import (  # type: ignore[import-untyped] # it has no types
    create_s256_code_challenge,
)
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped] # likewise
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api.wiring import read_secret
from evidence_store.errors import (
    MalformedError,
    SettingsError,
    UnauthenticatedError,
    UnavailableError,
)
from evidence_store.identifiers import StateCode

ALGORITHMS = ["ES256", "ES384", "EdDSA", "PS256", "RS256"]  # no "none", and no shared secret
ANSWER_BYTES_MAX = 1024 * 1024
SECONDS = 10.0
LEEWAY_SECONDS = 30
AGE_SECONDS_MAX = 600  # of an ID token: older ones were not made for this sign-in
OK = 200
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
REFUSED = (
    "sign-in: the identity provider's answer does not hold, or nobody is bound to it; begin again"
)

Fetch = Callable[[str, str, Mapping[str, str], bytes | None], tuple[int, bytes]]
"""Method, address, headers, body: the status and the body of the answer."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A State's identity provider, as the settings name it. `acr` or `amr` says what is strong enough.

    A token must have one of the `acr`, where some are named, and every one of the `amr`.
    """

    name: str
    title: str
    state: StateCode
    issuer: str
    client_id: str
    secret: str = field(repr=False)
    acr: tuple[str, ...] = ()
    amr: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.isalnum()):
            raise SettingsError("provider: name: expected letters and digits")
        if not self.acr and not self.amr:
            raise SettingsError(
                f"provider {self.name}: expected acr or amr: how strong a sign-in must be"
            )
        insist_private(self.issuer, f"provider {self.name}: issuer")


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a browser keeps between going to the provider and coming back: 32 random bytes.

    Nonce and verifier come from it, so that what is stored here opens nothing.
    """

    secret: str = field(repr=False)

    @property
    def nonce(self) -> str:
        """What the ID token must repeat."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What shows that who redeems the code asked for it (RFC 7636)."""
        return self._derived("verifier")

    def _derived(self, what: str) -> str:
        made = hmac.digest(self.secret.encode("utf-8", "replace"), what.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(made).decode().rstrip("=")


def providers_of(file: Path) -> list[Provider]:
    """The providers that a settings file names.

    Raises:
        SettingsError: if it cannot be read, or does not name them whole.
    """
    try:
        listed = tomllib.loads(file.read_text("utf-8"))["provider"]
        found = [_provider(file.parent, each) for each in listed]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, MalformedError) as error:
        raise SettingsError(f"{file}: expected providers: {type(error).__name__}") from None
    if len({each.name for each in found}) != len(found):
        raise SettingsError(f"{file}: a name is there twice")
    return found


def _provider(folder: Path, stated: Mapping[str, Any]) -> Provider:
    known = {"name", "title", "state", "issuer", "client_id", "client_secret_file", "acr", "amr"}
    if unknown := sorted(set(stated) - known):
        raise SettingsError(f"provider: there is no setting {unknown[0]}")
    return Provider(
        name=str(stated["name"]),
        title=str(stated.get("title", stated["name"])),
        state=StateCode(str(stated["state"])),
        issuer=str(stated["issuer"]),
        client_id=str(stated["client_id"]),
        secret=read_secret(folder / str(stated["client_secret_file"])).decode(),
        acr=tuple(map(str, stated.get("acr", []))),
        amr=tuple(map(str, stated.get("amr", []))),
    )


def insist_private(url: str, what: str) -> None:
    """Insist on an address that nobody on the way can read or change.

    Raises:
        SettingsError: if it is none.
    """
    found = urlsplit(url)
    is_near = found.scheme == "http" and found.hostname in LOOPBACK
    if (
        not found.hostname
        or found.username is not None
        or (found.scheme != "https" and not is_near)
    ):
        raise SettingsError(f"{what}: expected an https address")


def fetched(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> tuple[int, bytes]:
    """Ask a provider. Nothing is followed elsewhere.

    Raises:
        UnavailableError: if it does not answer, or with too much.
    """
    try:
        answer = urllib3.request(
            method,
            url,
            headers=dict(headers),
            body=body,
            redirect=False,
            retries=False,
            timeout=SECONDS,
            preload_content=False,
        )
        content = answer.read(ANSWER_BYTES_MAX + 1)
        answer.close()
    except urllib3.exceptions.HTTPError as error:
        raise UnavailableError(f"identity provider: no answer ({type(error).__name__})") from None
    if len(content) > ANSWER_BYTES_MAX:
        raise UnavailableError("identity provider: its answer is too long")
    return answer.status, content


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to one provider. Keeps nothing."""

    provider: Provider
    redirect: str
    fetch: Fetch = fetched

    def address(self, state: str, ticket: Ticket) -> str:
        """Where the browser is to go.

        Raises:
            UnavailableError: if the provider does not answer, or is not the one that is named.
        """
        asked = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": self.redirect,
            "scope": "openid",
            "state": state,
            "nonce": ticket.nonce,
            "code_challenge": create_s256_code_challenge(ticket.verifier),
            "code_challenge_method": "S256",
        }
        if self.provider.acr:
            asked["acr_values"] = " ".join(self.provider.acr)
        endpoint = self._endpoint(self._metadata(), "authorization_endpoint")
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    def subject(self, code: str, ticket: Ticket, now: datetime) -> str:
        """Who has signed in there, having redeemed the code.

        Raises:
            UnauthenticatedError: if anything of it does not hold.
            UnavailableError: if the provider does not answer.
        """
        metadata = self._metadata()
        provider = self.provider
        basic = f"{quote(provider.client_id, safe='')}:{quote(provider.secret, safe='')}"
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect,
            "code_verifier": ticket.verifier,
        }
        status, content = self.fetch(
            "POST",
            self._endpoint(metadata, "token_endpoint"),
            {
                "Authorization": f"Basic {base64.b64encode(basic.encode()).decode()}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            urlencode(form).encode(),
        )
        if status != OK:
            raise UnauthenticatedError(REFUSED)
        answer = _json(content)
        _, keys = self.fetch("GET", self._endpoint(metadata, "jwks_uri"), {}, None)
        return self._judged(answer, _json(keys), ticket, now)

    def _judged(
        self, answer: Mapping[str, Any], keys: Mapping[str, Any], ticket: Ticket, now: datetime
    ) -> str:
        provider = self.provider
        try:
            token = jwt.decode(
                str(answer["id_token"]),
                KeySet.import_key_set(keys),  # type: ignore[arg-type] # what it is not, it refuses
                algorithms=ALGORITHMS,
            )
            claims = CodeIDToken(
                token.claims,
                token.header,
                options={
                    "iss": {"essential": True, "value": provider.issuer},
                    "aud": {"essential": True, "value": provider.client_id},
                    "nonce": {"essential": True, "value": ticket.nonce},
                },
                params={"client_id": provider.client_id, "nonce": ticket.nonce},
            )
            claims.validate(int(now.timestamp()), LEEWAY_SECONDS)
            subject, made = claims["sub"], claims["iat"]
        except (JoseError, ValueError, LookupError, TypeError, AttributeError):
            raise UnauthenticatedError(REFUSED) from None
        methods = claims.get("amr") or []
        is_strong = not provider.acr or claims.get("acr") in provider.acr
        is_strong = is_strong and set(provider.amr) <= set(map(str, methods))
        is_fresh = now.timestamp() - made <= AGE_SECONDS_MAX
        if not is_strong or not is_fresh or not isinstance(subject, str) or not subject:
            raise UnauthenticatedError(REFUSED)
        return subject

    def _metadata(self) -> Mapping[str, Any]:
        url = f"{self.provider.issuer.rstrip('/')}/.well-known/openid-configuration"
        status, content = self.fetch("GET", url, {}, None)
        found = _json(content)
        if status != OK or found.get("issuer") != self.provider.issuer:
            raise UnavailableError("identity provider: expected its description, of this issuer")
        return found

    def _endpoint(self, metadata: Mapping[str, Any], name: str) -> str:
        url = str(metadata.get(name, ""))
        try:
            insist_private(url, name)
        except SettingsError:
            raise UnavailableError(f"identity provider: {name} is no https address") from None
        return url


def identity_digest(issuer: str, subject: str) -> bytes:
    """What an identity is known by here: the provider's name for somebody is not kept."""
    return hashlib.sha256(f"oidc\n{issuer}\n{subject}".encode("utf-8", "replace")).digest()


def _json(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnavailableError("identity provider: expected a JSON object")
    return found
