"""Signing in: enrolment by two officers of the registry, passkeys, the fallback, and sessions.

Who is an officer is the registry's to say; this says only that somebody is that officer now. A
token or challenge is known by its SHA-256 alone, so what is stored opens nothing. A refusal never
says whether there is such an officer. First officers have nobody to let them in: whoever has the
instance's key calls `issue` and `confirm` in the names of the two founders.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from api.passkeys import (
    Json,
    Site,
    asserted,
    creation_options,
    record_of,
    registered,
    request_options,
    said,
)
from api.passwords import Passwords, secret_text, secret_uri, step_of
from evidence_store.accounts import (
    AccountStore,
    Challenge,
    Enrolment,
    Identity,
    Method,
    Passkey,
    Password,
    Purpose,
    Session,
)
from evidence_store.cooperation.registry import OfficerEntry, OfficerRole
from evidence_store.dossiers import Chains, insist_on_another
from evidence_store.errors import (
    MalformedError,
    NotFoundError,
    OutOfOrderError,
    ProofError,
    UnauthenticatedError,
)
from evidence_store.identifiers import AuthorityId, PersonCode, StateCode
from evidence_store.ledger.passkey import (
    DIGEST_BYTES,
    check_assertion,
    from_base64url,
    to_base64url,
)
from evidence_store.ports import Catalog, Clock, Randomness
from evidence_store.registering import Registry
from evidence_store.wording import stated

TOKEN_BYTES = 32
TOKEN_CHARACTERS = 43  # base64url without padding
SESSION_LIFE, SESSION_IDLE = timedelta(hours=8), timedelta(minutes=30)
SEEN_EVERY = timedelta(minutes=1)  # or every request would be a write, with its flush
CHALLENGE_LIFE = timedelta(minutes=5)
PROVIDER_LIFE = timedelta(minutes=10)
ENROLMENT_LIFE = timedelta(hours=72)
ATTEMPTS_MAX, LOCKED = 10, timedelta(minutes=15)
AGENT_CHARACTERS_MAX = 200
REFUSED = (
    "sign-in: expected an officer's code, password and one-time code that go together; after "
    f"{ATTEMPTS_MAX} wrong attempts, none is accepted for {LOCKED.seconds // 60} minutes"
)
NO_PASSKEY = (
    "passkey: expected an answer to this question, given here, by a verified user, with a key that "
    "was enrolled here"
)
DECOY_BYTES = 32  # where nobody has a passkey yet
ENROLMENTS_MAX = 200
NO_LINK = "link: expected one that is confirmed, unused and not over; ask for a new one"


@dataclass(frozen=True, slots=True)
class Codes:
    """The secret of one-time codes that an officer is offered, and the challenge to send back."""

    secret: str
    uri: str
    challenge: str


class SignIn:
    """The rules of sign-in. Safe to use from several threads."""

    def __init__(
        self,
        accounts: AccountStore,
        catalog: Catalog,
        clock: Clock,
        random: Randomness,
        site: Site,
        *,
        passwords: Passwords | None = None,
        chains: Chains | None = None,
        decoy_key: bytes | None = None,
    ) -> None:
        """Without `passwords`, passkeys are the only way in.

        `decoy_key` is a secret of the instance's: from it come the passkeys that officers who have
        none seem to have. Without one they change with each start, which somebody could notice.
        """
        self.site = site
        self._accounts, self._catalog, self._clock, self._random = accounts, catalog, clock, random
        self._passwords = passwords
        self._chains = chains or Chains()
        self._decoy_key = decoy_key or random(TOKEN_BYTES)

    # ---------------------------------------------------------------- enrolment

    def issue(self, by: PersonCode, officer: PersonCode) -> tuple[Enrolment, str]:
        """A one-time link's token for an officer, by an officer of the registry. Shown once.

        It opens nothing until another officer of the registry confirms it. Other links of the
        officer's that were open count no more.

        Raises:
            NotFoundError: if there is no such officer.
            OutOfOrderError: if `by` is no officer of the registry, or the officer holds no role.
        """
        now = self._clock.now()
        with self._registry() as registry:
            registry.insist(by, self._home(registry), [OfficerRole.REGISTRY], now)
            if not registry.officer(officer).roles_at(now):
                raise OutOfOrderError(f"officer {officer}: expected a role, valid at {now:%F}")
        token = self._token()
        enrolment = Enrolment(_digest(token), officer, by, now + ENROLMENT_LIFE)
        self._accounts.add_enrolment(enrolment, now)
        return enrolment, token

    def enrolments(self, by: PersonCode) -> Sequence[Enrolment]:
        """Those that are open, confirmed or not, by when they are over; at most `ENROLMENTS_MAX`.

        Raises:
            OutOfOrderError: if `by` is no officer of the registry.
        """
        now = self._clock.now()
        with self._registry() as registry:
            registry.insist(by, self._home(registry), [OfficerRole.REGISTRY], now)
        return self._accounts.open_enrolments(now, limit=ENROLMENTS_MAX)

    def cancel(self, by: PersonCode, enrolment_id: str) -> None:
        """End an enrolment that is open: for any officer of the registry, also its issuer.

        Raises:
            NotFoundError: if there is none that is open.
            OutOfOrderError: if `by` is no officer of the registry.
        """
        now = self._clock.now()
        with self._registry() as registry:
            registry.insist(by, self._home(registry), [OfficerRole.REGISTRY], now)
        if not self._accounts.end_enrolment(_digest_named(enrolment_id), now):
            raise NotFoundError("there is no such enrolment")

    def confirm(self, by: PersonCode, enrolment_id: str) -> Enrolment:
        """Confirm an enrolment that another officer of the registry issued.

        Raises:
            NotFoundError: if there is none.
            OutOfOrderError: if `by` issued it or is no officer of the registry, or it is not open.
        """
        now = self._clock.now()
        with self._registry() as registry:
            registry.insist(by, self._home(registry), [OfficerRole.REGISTRY], now)
        digest = _digest_named(enrolment_id)
        found = self._accounts.enrolment(digest)
        if found is None:
            raise NotFoundError("there is no such enrolment")
        insist_on_another(by, [found.issued_by], "enrolment")
        if not self._accounts.confirm_enrolment(digest, by, now):
            raise OutOfOrderError("enrolment: expected one that is not confirmed, used or over")
        return found

    def enrol_options(self, token: str) -> tuple[Json, Codes | None]:
        """What the browser is asked for a new passkey; and a secret for codes, where they are.

        Raises:
            UnauthenticatedError: if the link does not count.
        """
        enrolment = self._enrolment(token)
        challenge = self._challenge(Purpose.ENROL, enrolment.officer, enrolment.id)
        options = creation_options(self.site, enrolment.officer, challenge)
        return options, self._codes(enrolment.officer)

    def enrol_passkey(self, token: str, credential: Mapping[str, Any], name: str) -> Passkey:
        """Use the link up: this passkey is now the officer's only way in.

        All sessions, tokens and other links of the officer's are ended with that.

        Raises:
            UnauthenticatedError: if the link does not count.
            MalformedError: if the answer does not hold; the link still counts.
            ConflictError: if the passkey is another officer's.
        """
        enrolment = self._enrolment(token)
        now = self._clock.now()
        named = stated(name, "passkey: name")
        try:
            challenge = said(credential, "webauthn.create").challenge
            self._take_of(enrolment, challenge)
            made, public_key, count = registered(self.site, credential, challenge)
        except ProofError as error:
            raise MalformedError(str(error)) from None
        passkey = Passkey(made, enrolment.officer, public_key, count, named, now)
        if not self._accounts.enrol(enrolment.digest, passkey, now):
            raise UnauthenticatedError(NO_LINK)
        return passkey

    def enrol_password(self, token: str, password: str, challenge: str, code: str) -> PersonCode:
        """Use the link up for the fallback, with a code that shows that the secret has arrived.

        Gives the officer, whose only way in this is now, as with `enrol_passkey`.

        Raises:
            NotFoundError: if the fallback is not offered.
            UnauthenticatedError: if the link does not count.
            MalformedError: if the password is too short or the code wrong; the link still counts.
            RateError: as `Passwords.derive`.
        """
        passwords = self._fallback()
        enrolment = self._enrolment(token)
        text = passwords.derive(password)
        now = self._clock.now()
        try:
            found = self._take(Purpose.TOTP, from_base64url(challenge))
            sealed = from_base64url(found.content)
        except ProofError as error:
            raise MalformedError(str(error)) from None
        if found.officer != enrolment.officer:
            raise MalformedError("code: the secret was offered to somebody else")
        step = step_of(passwords.unseal(sealed), code, now)
        if step is None:
            # Whoever mistyped keeps the secret: the application for codes has it already.
            self._accounts.add_challenge(found, now)
            raise MalformedError("code: expected the six digits that are shown now")
        way = Password(enrolment.officer, text, sealed, step)
        if not self._accounts.enrol(enrolment.digest, way, now):
            raise UnauthenticatedError(NO_LINK)
        return enrolment.officer

    # ------------------------------------------------------------------ sign-in

    def passkey_options(self, officer: PersonCode | None = None) -> Json:
        """What the browser is asked; with an officer's code, keys that are not resident can answer.

        An officer who has no passkey, or is none, seems to have one.
        """
        allowed: list[str] = []
        if officer is not None:
            found = [each.credential for each in self._accounts.passkeys(officer)]
            allowed = found or [self._decoy(officer)]
        return request_options(self.site, self._challenge(Purpose.SIGN_IN, officer, ""), allowed)

    def by_passkey(self, credential: Mapping[str, Any], agent: str) -> tuple[Session, str]:
        """A new session, and its token.

        Raises:
            UnauthenticatedError: if the answer does not hold, for every reason the same; or if its
                officer is none any more.
        """
        try:
            challenge = said(credential, "webauthn.get").challenge
            wanted = self._take(Purpose.SIGN_IN, challenge).officer
            passkey = self._used(credential, challenge, wanted)
        except ProofError:
            raise UnauthenticatedError(NO_PASSKEY) from None
        return self._begin(passkey.officer, Method.PASSKEY, agent)

    def by_password(
        self, officer: PersonCode, password: str, code: str, agent: str
    ) -> tuple[Session, str]:
        """A new session by the fallback, and its token.

        Raises:
            NotFoundError: if the fallback is not offered.
            UnauthenticatedError: for every reason the same.
            RateError: as `Passwords.holds`.
        """
        passwords = self._fallback()
        now = self._clock.now()
        account = self._accounts.begin_attempt(officer, now, most=ATTEMPTS_MAX, until=now + LOCKED)
        is_right = passwords.holds(password, None if account is None else account.password)
        step = None
        if account is not None and account.totp is not None:
            step = step_of(passwords.unseal(account.totp), code, now, account.totp_step)
        if not is_right or step is None or not self._accounts.settle_attempt(officer, step):
            raise UnauthenticatedError(REFUSED)
        return self._begin(officer, Method.PASSWORD, agent)

    # ------------------------------------------------------------ identity providers

    def begin_provider(self, provider: str, link: str | None) -> tuple[str, str]:
        """State and ticket of a sign-in that goes by a provider; with a link, to bind what it says.

        Raises:
            UnauthenticatedError: if the link does not count.
        """
        enrolment = "" if link is None else self._enrolment(link).id
        state, ticket = self._token(), self._token()
        content = f"{provider}\n{enrolment}"
        key = _key(Purpose.OIDC, f"{state}\n{ticket}".encode())
        now = self._clock.now()
        made = Challenge(key, Purpose.OIDC, None, content, now + PROVIDER_LIFE)
        self._accounts.add_challenge(made, now)
        return state, ticket

    def take_provider(self, provider: str, state: str, ticket: str) -> str | None:
        """What a sign-in that came back was begun for: the link's enrolment, if it was for one.

        It is gone with that. Only the browser that began it can come back.

        Raises:
            UnauthenticatedError: if there is none of this state, ticket and provider.
        """
        try:
            key = f"{state}\n{ticket}".encode("utf-8", "replace")
            found = self._take(Purpose.OIDC, key)
        except ProofError:
            raise UnauthenticatedError(REFUSED) from None
        begun, _, enrolment = found.content.partition("\n")
        if begun != provider:
            raise UnauthenticatedError(REFUSED)
        return enrolment or None

    def by_identity(
        self,
        digest: bytes,
        issuer: str,
        state: StateCode,
        *,
        enrolment: str | None,
        agent: str,
    ) -> tuple[Session, str]:
        """A new session for whom a provider of this State has shown somebody to be, and its token.

        With an enrolment the identity is bound to its officer first: it is the only way in then.

        Raises:
            UnauthenticatedError: if nobody of that State is bound to it, or the link does not count.
            ConflictError: if it is bound to another officer.
        """
        now = self._clock.now()
        if enrolment is not None:
            link = self._accounts.enrolment(bytes.fromhex(enrolment))
            if link is None:
                raise UnauthenticatedError(NO_LINK)
            self._insist_of(link.officer, state)
            if not self._accounts.enrol(link.digest, Identity(digest, link.officer, issuer), now):
                raise UnauthenticatedError(NO_LINK)
        found = self._accounts.identity(digest)
        if found is None:
            raise UnauthenticatedError(REFUSED)
        self._insist_of(found.officer, state)
        return self._begin(found.officer, Method.OIDC, agent)

    def _insist_of(self, officer: PersonCode, state: StateCode) -> None:
        """A State's provider speaks for that State's officers alone."""
        try:
            with self._registry() as registry:
                of = registry.authority(registry.officer(officer).authority).state
        except NotFoundError:
            of = None
        if of != state:
            raise UnauthenticatedError(REFUSED)

    # ----------------------------------------------------------------- sessions

    def session(self, token: str) -> Session | None:
        """The session that a token opens now; None for all that do not count, whatever the reason."""
        if len(token) != TOKEN_CHARACTERS:
            return None
        found = self._accounts.session(_digest(token))
        now = self._clock.now()
        if found is None or not _counts(found, now):
            return None
        if now - found.seen_at >= SEEN_EVERY:
            self._accounts.see_session(found.digest, now)
        return found

    def sessions(self, officer: PersonCode) -> Sequence[Session]:
        """An officer's sessions that count now."""
        now = self._clock.now()
        return [each for each in self._accounts.sessions(officer) if _counts(each, now)]

    def end(self, officer: PersonCode, session_id: str) -> None:
        """End a session of an officer's.

        Raises:
            NotFoundError: if there is none, or it has ended.
        """
        if not self._accounts.end_session(officer, session_id, self._clock.now()):
            raise NotFoundError("there is no such session of yours")

    def sign_out(self, session: Session) -> None:
        """End a session; one that has ended is left as it is."""
        self._accounts.end_session(session.officer, session.id, self._clock.now())

    def end_all(self, officer: PersonCode) -> int:
        """End all sessions of an officer's; how many."""
        return self._accounts.end_sessions(officer, self._clock.now())

    def officer(self, code: PersonCode) -> OfficerEntry:
        """The registry's entry of an officer.

        Raises:
            NotFoundError: if there is none.
        """
        with self._registry() as registry:
            return registry.officer(code)

    # ------------------------------------------------------------------ consent

    def passkey_of(self, officer: PersonCode, credential: str | None = None) -> Passkey:
        """The officer's passkey; of several, the one of this credential.

        Raises:
            OutOfOrderError: if there is none, or several and none is named.
        """
        found = self._accounts.passkeys(officer)
        chosen = [each for each in found if credential in {None, each.credential}]
        if len(chosen) != 1:
            names = ", ".join(each.credential for each in found) or "none"
            raise OutOfOrderError(f"passkey: expected one that is named; there are: {names}")
        return chosen[0]

    def challenge_for(
        self, officer: PersonCode, digest: bytes, passkey: Passkey, content: str = ""
    ) -> Json:
        """What the browser is asked so that the officer signs what has this SHA-256.

        The challenge is that digest and nothing else. It can be answered once, by this passkey,
        and `content` is given back with the answer.

        Raises:
            MalformedError: if it is no SHA-256.
        """
        if len(digest) != DIGEST_BYTES:
            raise MalformedError(f"digest: expected {DIGEST_BYTES} bytes, found {len(digest)}")
        key = _key(Purpose.CONSENT, digest, officer)
        self._remember(Purpose.CONSENT, key, officer, content)
        return request_options(self.site, digest, [passkey.credential])

    def verify_consent(
        self, officer: PersonCode, credential: Mapping[str, Any]
    ) -> tuple[bytes, str, dict[str, str]]:
        """The digest that the officer signed, what was kept with it, and the answer's record.

        Raises:
            ProofError: if the answer does not hold, or is another officer's, or not asked for.
        """
        digest = said(credential, "webauthn.get").challenge
        content = self._take(Purpose.CONSENT, digest, officer).content
        passkey = self._used(credential, digest, officer)
        record = record_of(credential, passkey)
        check_assertion(record, digest, self.site.rp_id, self.site.origin)
        return digest, content, record

    # ---------------------------------------------------------------- within

    @contextmanager
    def _registry(self) -> Iterator[Registry]:
        with self._catalog.read() as reader:
            yield Registry(reader, self._chains)

    @staticmethod
    def _home(registry: Registry) -> AuthorityId:
        return AuthorityId.named(registry.reader.authority())

    def _fallback(self) -> Passwords:
        if self._passwords is None:
            raise NotFoundError("sign-in: passwords are not offered here; use a passkey")
        return self._passwords

    def _token(self) -> str:
        return to_base64url(self._random(TOKEN_BYTES))

    def _decoy(self, officer: PersonCode) -> str:
        """As long as the passkeys that there are: other lengths would tell who has one.

        Which of their lengths goes by the officer. When that passkey is replaced by a longer one,
        the whole decoy is another, as a passkey is after a recovery.
        """
        place = self._drawn(f"{officer}\nplace", DECOY_BYTES)
        beside = self._accounts.passkey_behind(place) or self._accounts.passkey_behind("")
        length = DECOY_BYTES if beside is None else len(from_base64url(beside.credential))
        return self._drawn(f"{officer}\n{length}", length)

    def _drawn(self, what: str, length: int) -> str:
        key = hmac.digest(self._decoy_key, what.encode(), "sha256")
        return to_base64url(hashlib.shake_256(key).digest(length))

    def _enrolment(self, token: str) -> Enrolment:
        found = self._accounts.enrolment(_digest(token))
        if found is None or not found.counts_at(self._clock.now()):
            raise UnauthenticatedError(NO_LINK)
        return found

    def _codes(self, officer: PersonCode) -> Codes | None:
        if self._passwords is None:
            return None
        secret = self._passwords.new_secret()
        sealed = to_base64url(self._passwords.seal(secret))
        challenge = self._challenge(Purpose.TOTP, officer, sealed)
        uri = secret_uri(secret, officer, self.site.name)
        return Codes(secret_text(secret), uri, to_base64url(challenge))

    def _challenge(self, purpose: Purpose, officer: PersonCode | None, content: str) -> bytes:
        challenge = self._random(TOKEN_BYTES)
        self._remember(purpose, _key(purpose, challenge), officer, content)
        return challenge

    def _remember(
        self, purpose: Purpose, key: bytes, officer: PersonCode | None, content: str
    ) -> None:
        now = self._clock.now()
        made = Challenge(key, purpose, officer, content, now + CHALLENGE_LIFE)
        self._accounts.add_challenge(made, now)

    def _take(
        self, purpose: Purpose, challenge: bytes, officer: PersonCode | None = None
    ) -> Challenge:
        """The challenge that was answered: gone, whatever the answer turns out to be."""
        found = self._accounts.take_challenge(_key(purpose, challenge, officer))
        if found is None or found.expires_at <= self._clock.now():
            raise ProofError("passkey: expected an answer to a challenge of the last minutes")
        return found

    def _take_of(self, enrolment: Enrolment, challenge: bytes) -> None:
        if self._take(Purpose.ENROL, challenge).content != enrolment.id:
            raise ProofError("passkey: the challenge is of another link")

    def _used(
        self, credential: Mapping[str, Any], challenge: bytes, wanted: PersonCode | None
    ) -> Passkey:
        """The passkey that answered, its use counted."""
        name = credential.get("id")
        passkey = self._accounts.passkey(name) if isinstance(name, str) else None
        if passkey is None or (wanted is not None and passkey.officer != wanted):
            raise ProofError("passkey: expected one that was enrolled for this officer")
        count = asserted(self.site, credential, challenge, passkey)
        if not self._accounts.count_use(passkey.credential, count):
            raise ProofError("passkey: its count has not grown; it may be a copy")
        return passkey

    def _begin(self, officer: PersonCode, method: Method, agent: str) -> tuple[Session, str]:
        now = self._clock.now()
        try:
            is_serving = bool(self.officer(officer).roles_at(now))
        except NotFoundError:
            is_serving = False
        if not is_serving:
            raise UnauthenticatedError(REFUSED)
        token = self._token()
        session = Session(
            digest=_digest(token),
            id=self._random(8).hex(),
            officer=officer,
            method=method,
            agent=_plain(agent),
            created_at=now,
            seen_at=now,
            expires_at=now + SESSION_LIFE,
        )
        self._accounts.begin_session(session)
        return session, token


def _counts(session: Session, now: datetime) -> bool:
    is_idle = now - session.seen_at >= SESSION_IDLE
    return session.ended_at is None and now < session.expires_at and not is_idle


def _digest_named(enrolment_id: str) -> bytes:
    """The digest that an enrolment is known by.

    Raises:
        NotFoundError: if it is spelled as none.
    """
    try:
        digest = bytes.fromhex(enrolment_id)
    except ValueError:
        raise NotFoundError("there is no such enrolment") from None
    if digest.hex() != enrolment_id:
        raise NotFoundError("there is no such enrolment")
    return digest


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _key(purpose: Purpose, challenge: bytes, officer: PersonCode | None = None) -> bytes:
    """What a challenge is known by. With the officer, where two may be given the same one."""
    return hashlib.sha256(f"{purpose}\n{officer or ''}\n".encode() + challenge).digest()


def _plain(agent: str) -> str:
    """What a browser calls itself, cut to what is good for a list."""
    return "".join(each for each in agent if " " <= each <= "~")[:AGENT_CHARACTERS_MAX]
