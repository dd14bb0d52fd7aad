"""Subscriptions over HTTP, and what subscribers are sent, as OpenAPI describes it."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from api import notices, webhooks
from api.http.caller import Caller, needs
from api.http.problems import problems
from api.http.records import WebhookMade, WebhookPage
from api.http.routes import Routes
from api.outward import URL_CHARACTERS_MAX

Subscriber = Annotated[Caller, Depends(needs("webhook"))]
WebhookPath = Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["5f2b7c0d9e8a4b1c"])]
Record = dict[str, Any]


class Subscription(BaseModel):
    """Where to post, and which types of messages."""

    url: Annotated[
        str, Field(max_length=URL_CHARACTERS_MAX, examples=["https://court.example/hooks/evidence"])
    ]
    events: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Field(min_length=1, max_length=100, examples=[["transfer.offered", "grant.offered"]]),
    ]


class Thing(BaseModel):
    """What it is about."""

    id: str = Field(examples=["SI-TRF-000012"])


class Message(BaseModel):
    """A message: the type, the time, an identifier, and nothing else. Ask for the rest."""

    type: str = Field(examples=sorted(notices.types()))
    timestamp: str = Field(examples=["2026-03-04T09:30:00+00:00"])
    data: Thing


def webhook_routes() -> Routes:
    """The routes, under `/v1/webhooks`."""
    routes = Routes(prefix="/v1/webhooks", tags=["webhooks"], responses=problems(409))

    @routes.post("", status_code=201, response_model=WebhookMade)
    def subscribe(caller: Subscriber, body: Subscription) -> Response:
        """Subscribe the authority. The secret is shown once: keep it to verify signatures.

        There is no Idempotency-Key: what was answered under one would keep the secret.
        """
        made = webhooks.subscribe(caller.instance, caller.desk, body.url, body.events)
        record = {**webhooks.shown(caller.instance, made.webhook), "secret": made.secret}
        headers = {
            "Location": f"/v1/webhooks/{made.webhook.id}",
            "Cache-Control": "no-store",
        }
        return JSONResponse(record, 201, headers)

    @routes.get("", response_model=WebhookPage)
    def list_webhooks(caller: Subscriber) -> Record:
        """The authority's subscriptions; one that is disabled says why."""
        found = webhooks.subscriptions(caller.instance, caller.desk)
        rows = [webhooks.shown(caller.instance, each) for each in found]
        return {"webhooks": rows, "next_cursor": None}

    @routes.delete("/{identifier}", status_code=204, response_class=Response)
    def unsubscribe(caller: Subscriber, identifier: WebhookPath) -> Response:
        """End a subscription."""
        webhooks.unsubscribe(caller.instance, caller.desk, identifier)
        return Response(status_code=204)

    return routes


def describe(app: FastAPI) -> None:
    """Let OpenAPI say what subscribers are sent."""

    @app.webhooks.post("message", status_code=204, response_class=Response)
    def receive_message(body: Message) -> None:
        """Sent as JSON with `webhook-id`, `webhook-timestamp` and `webhook-signature`.

        See Standard Webhooks. Any 2xx acknowledges it; the same `webhook-id` may come again.
        """
