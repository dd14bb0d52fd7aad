"""Steps that the officer signs by passkey: asked first, then answered. Docs: `docs/format.md`, 23.

Which steps must be signed so is each route's to say; whether this caller may do without is said
here. What the step is, and whether it may be taken, stays with the use cases.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field

from api.http.caller import Caller
from api.signin import CHALLENGE_LIFE, SignIn
from evidence_store.accounts import Method
from evidence_store.canonical import Json
from evidence_store.desk import Desk
from evidence_store.errors import EvidenceError, ProofError
from evidence_store.ledger.by_hand import Hand
from evidence_store.preparing import Prepared, enter, prepare

RULE = "signed_by_hand"
B = TypeVar("B", bound=BaseModel)


class ByHandError(EvidenceError):
    """The act is for the officer's own hand, and this way in is not it."""

    code = "E403"
    status = 403

    @property
    def details(self) -> dict[str, str]:
        """The decision, and its rule."""
        return {"decision": "deny", "rule": RULE}


class EventToSign(BaseModel):
    """An event as it is before it is signed; `text` are its exact bytes, in UTF-8."""

    item: str = Field(examples=["SI-2026-000123"])
    act: str = Field(examples=["accepted"])
    data: dict[str, Any]
    disclosed: dict[str, Any]
    text: str


class StepToSign(BaseModel):
    """What the passkey is to sign: `passkey` is for `navigator.credentials.get`."""

    digest: str = Field(description="The challenge, in hexadecimal.")
    events: list[EventToSign]
    passkey: dict[str, Any]
    expires_at: datetime


class StepAnswer(BaseModel):
    """The passkey's answer."""

    credential: Annotated[
        dict[str, Any], Field(description="As `PublicKeyCredential.toJSON()` spells it.")
    ]


def insist_may_do_without(caller: Caller) -> None:
    """Insist that the caller may do without a signature by hand what else must have one.

    Raises:
        ByHandError: if not: only a token may, and only where the instance lets it.
    """
    if caller.tokens_sign and caller.signed_in_by is None:
        return
    raise ByHandError("this step is signed with a passkey: ask …/steps/signing, signed in by one")


def asked(
    caller: Caller, subject: str, step: BaseModel, act: Callable[[Desk], object]
) -> StepToSign:
    """What the officer is to sign so that the step is taken. Nothing is taken yet.

    Raises:
        ByHandError: if the officer has not signed in by passkey.
        OutOfOrderError: if the step cannot be signed.
        Whatever the step raises.
    """
    signin, desk = _signin(caller), caller.desk
    passkey = signin.passkey_of(caller.officer)
    hand = Hand(sha256(passkey.public_key).digest(), signin.site.rp_id, signin.site.origin)
    kept: dict[str, Json] = {"of": subject, "body": step.model_dump(mode="json")}
    prepared, made = prepare(
        desk.recorder, hand, kept, lambda recorder: act(replace(desk, signs=lambda: recorder))
    )
    options = signin.challenge_for(caller.officer, made.challenge, passkey, prepared.encode())
    events = [
        EventToSign(
            item=str(each.event.item),
            act=each.event.act,
            data=dict(each.event.data),
            disclosed=each.disclosed(),
            text=each.body.decode(),
        )
        for each in made.events
    ]
    return StepToSign(
        digest=made.challenge.hex(),
        events=events,
        passkey=options,
        expires_at=prepared.at + CHALLENGE_LIFE,
    )


def answered(
    caller: Caller,
    answer: StepAnswer,
    subject: str,
    kind: type[B],
    act: Callable[[Desk, B], object],
) -> None:
    """Take the step that was asked for, as it was signed. An answer counts once.

    Raises:
        ByHandError: if the officer has not signed in by passkey.
        ProofError: if the answer does not hold, or is another officer's or step's, or too late.
        ConflictError: if what was signed is not what would be entered now.
        Whatever the step raises.
    """
    signin, desk = _signin(caller), caller.desk
    challenge, content, record = signin.verify_consent(caller.officer, answer.credential)
    prepared = Prepared.parse(content)
    if prepared.step.get("of") != subject:
        raise ProofError("passkey: it was given to a step of something else")
    step = kind.model_validate(prepared.step.get("body"))
    enter(
        desk.recorder,
        prepared,
        challenge,
        record,
        lambda recorder: act(replace(desk, signs=lambda: recorder), step),
    )


def _signin(caller: Caller) -> SignIn:
    if caller.signin is None or caller.signed_in_by is not Method.PASSKEY:
        raise ByHandError("sign in by passkey: only then can a step be signed")
    return caller.signin
