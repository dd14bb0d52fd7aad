"""Subscriptions of an authority, and the delivery of what it is told (Standard Webhooks).

A message is sent until it is acknowledged, with the same identifier each time: for three days, with
growing pauses; then its subscription is disabled, and says so.
"""

import base64
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from standardwebhooks import Webhook as Signer

from api import notices, outward
from api.spelling import rfc3339
from api.wiring import Instance
from evidence_store.age import stream
from evidence_store.background import Outgoing, Webhook
from evidence_store.cooperation.registry import OfficerRole
from evidence_store.desk import Desk
from evidence_store.errors import MalformedError, NotFoundError, RateError, UnavailableError

SUBSCRIBERS = (OfficerRole.CENTRAL, OfficerRole.REGISTRAR)
WEBHOOKS_MAX = 20  # of an authority
SECRET_BYTES, FILE_KEY_BYTES = 32, 16
SECRET_PREFIX = "whsec_"  # noqa: S105 - of Standard Webhooks
DUE_MAX, AT_ONCE = 200, 8
LIFE = timedelta(days=3)
PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=12),
)


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A new subscription, and its secret, which is never to be had again."""

    webhook: Webhook
    secret: str


def is_private_allowed(instance: Instance) -> bool:
    """Whether messages may go into the own network: in an exercise that says so."""
    if not instance.settings.webhooks_to_private:
        return False
    with instance.catalog.read() as reader:
        return reader.is_exercise()


def subscribe(instance: Instance, desk: Desk, url: str, events: Sequence[str]) -> Subscribed:
    """Subscribe the officer's authority.

    Raises:
        MalformedError: if the address may not be posted to, or a type is not known.
        OutOfOrderError: if the officer may not subscribe for the authority.
        RateError: if the authority has so many already.
    """
    _insist(instance, desk)
    outward.checked_url(url, private=is_private_allowed(instance))
    if not events or set(events) - notices.types():
        raise MalformedError(f"webhook: expected types among {', '.join(sorted(notices.types()))}")
    secret = instance.random(SECRET_BYTES)
    header, sealed = _sealed(instance, secret)
    webhook = Webhook(
        id=secrets.token_hex(8),
        authority=desk.authority,
        officer=desk.officer,
        url=url,
        events=frozenset(events),
        secret=sealed,
        header=header,
        created_at=desk.now,
    )
    if not instance.work.add_webhook(webhook, most=WEBHOOKS_MAX):
        raise RateError(f"webhook: expected at most {WEBHOOKS_MAX} of an authority")
    return Subscribed(webhook, _spelled(secret))


def secret_of(instance: Instance, webhook: Webhook) -> str:
    """A subscription's secret, as its receiver was told it. It is for signing, and shown to nobody.

    Raises:
        KeyUnavailableError: if the key file cannot be read, or none of its keys opens it.
        FixityError: if it was altered.
    """
    return _spelled(_unsealed(instance, webhook))


def subscriptions(instance: Instance, desk: Desk) -> Sequence[Webhook]:
    """The authority's subscriptions.

    Raises:
        OutOfOrderError: if the officer may not subscribe for the authority.
    """
    _insist(instance, desk)
    return instance.work.webhooks(desk.authority)


def unsubscribe(instance: Instance, desk: Desk, webhook_id: str) -> None:
    """End a subscription of the authority.

    Raises:
        OutOfOrderError: if the officer may not subscribe for the authority.
        NotFoundError: if it has none such.
    """
    _insist(instance, desk)
    if not instance.work.end_webhook(desk.authority, webhook_id):
        raise NotFoundError("there is no such webhook")


def _insist(instance: Instance, desk: Desk) -> None:
    with instance.catalog.read() as reader:
        desk.insist(reader, SUBSCRIBERS)


def deliver(instance: Instance, resolve: outward.Resolve = outward.resolved) -> int:
    """Send what is due; returns how many messages were acknowledged. One that fails stops no other."""
    due = instance.work.due(instance.clock.now(), limit=DUE_MAX)
    by_webhook: dict[str, list[Outgoing]] = {}
    for each in due:
        by_webhook.setdefault(each.webhook, []).append(each)
    private = is_private_allowed(instance)

    def to_one(outgoing: Sequence[Outgoing]) -> int:
        return _to_one(instance, outgoing, resolve, private=private)

    with ThreadPoolExecutor(AT_ONCE, "webhooks") as pool:
        return sum(pool.map(to_one, by_webhook.values()))


def _to_one(
    instance: Instance,
    outgoing: Sequence[Outgoing],
    resolve: outward.Resolve,
    *,
    private: bool,
) -> int:
    """To one subscriber, in order, until it does not acknowledge one."""
    webhook = instance.work.webhook(outgoing[0].webhook)
    if webhook is None or webhook.disabled_at is not None:
        for each in outgoing:
            instance.work.delivered(each.id)
        return 0
    signer = Signer(secret_of(instance, webhook))
    for number, each in enumerate(outgoing):
        reason = _refusal(webhook, signer, each, resolve, private=private)
        if reason is not None:
            _put_off(instance, webhook, each, reason)
            return number
        instance.work.delivered(each.id)
    return len(outgoing)


def _refusal(
    webhook: Webhook, signer: Signer, outgoing: Outgoing, resolve: outward.Resolve, *, private: bool
) -> str | None:
    """Why a message was not acknowledged; None if it was."""
    sent_at = datetime.now(tz=UTC)  # the receiver's clock is no exercise's
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "evidence-store",
        "webhook-id": outgoing.id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": signer.sign(outgoing.id, sent_at, outgoing.body),
    }
    try:
        status = outward.post(
            webhook.url, outgoing.body.encode(), headers, private=private, resolve=resolve
        )
    except (UnavailableError, MalformedError) as error:
        return error.code
    return None if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES else f"status {status}"


def _put_off(instance: Instance, webhook: Webhook, outgoing: Outgoing, reason: str) -> None:
    now = instance.clock.now()
    if reason == f"status {HTTPStatus.GONE}":
        instance.work.disable_webhook(webhook.id, now, "the receiver said that it is gone")
        return
    attempts = outgoing.attempts + 1
    due_at = now + PAUSES[min(attempts, len(PAUSES)) - 1]
    if due_at > outgoing.created_at + LIFE:
        why = f"no message was acknowledged in {LIFE.days} days; last: {reason}"
        instance.work.disable_webhook(webhook.id, now, why)
        return
    instance.work.postpone(outgoing.id, attempts, due_at)


def _spelled(secret: bytes) -> str:
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def _sealed(instance: Instance, secret: bytes) -> tuple[bytes, bytes]:
    """The secret under a key of its own, and the header that opens it."""
    file_key, nonce = instance.random(FILE_KEY_BYTES), instance.random(stream.NONCE_BYTES)
    out = bytearray(stream.sealed_size(len(secret)))
    out[: len(nonce)] = nonce
    with memoryview(out) as view:
        stream.Sealer(file_key, nonce).seal_into(memoryview(secret), view[len(nonce) :], final=True)
    return instance.keyring.wrap(file_key), bytes(out)


def _unsealed(instance: Instance, webhook: Webhook) -> bytes:
    file_key = instance.keyring.unwrap(webhook.header)
    return b"".join(stream.opened([webhook.secret], file_key))


def shown(instance: Instance, webhook: Webhook) -> dict[str, object]:
    """A subscription as its authority sees it."""
    return {
        "webhook": webhook.id,
        "url": webhook.url,
        "events": sorted(webhook.events),
        "created_by": str(webhook.officer),
        "created_at": rfc3339(webhook.created_at),
        "pending": instance.work.pending(webhook.id, most=1000),
        "disabled_at": None if webhook.disabled_at is None else rfc3339(webhook.disabled_at),
        "reason": webhook.reason,
    }
