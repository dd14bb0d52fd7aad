"""`evidence serve` and `evidence token`: the doors over HTTP, and the tokens of programs."""

import logging
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from fastapi import FastAPI

from api import cooperation
from api.cli.context import shared
from api.cli.desk import OfficerOption, at_desk
from api.cli.output import Json
from api.tokens import SCOPES, make_token
from api.uploading import Uploading
from api.worker import Worker
from evidence_store.errors import MalformedError, NotFoundError

token_commands = typer.Typer(no_args_is_help=True, help="Personal access tokens, for programs.")
CONCURRENT_MAX = 256
GRACE_SECONDS = 30


def serve(
    context: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any.")] = 8470,
    certificate: Annotated[
        Path | None, typer.Option(help="A certificate in PEM, for TLS.", exists=True)
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Its key in PEM.", exists=True)] = None,
    proxy: Annotated[
        str | None,
        typer.Option(help="The address of a proxy whose X-Forwarded headers count; else none do."),
    ] = None,
    worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Also do the background work.")
    ] = True,
) -> None:
    """Serve the HTTP API until interrupted. Prints the address."""
    import uvicorn  # noqa: PLC0415 - half a second, of this command only

    from api.cli.witness import listening  # noqa: PLC0415 - likewise
    from api.http.app import create_app  # noqa: PLC0415 - likewise

    here = shared(context)
    if (certificate is None) != (key is None):
        raise MalformedError("serve: expected a certificate and its key, or neither")
    cooperation.policy()  # with a mistake in the rules nothing is served
    extractor = here.extractor()
    instance = here.instance()
    uploading = Uploading(instance, instance.uploads, extractor)
    background = Worker(instance, uploading)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        thread = threading.Thread(target=background.run, name="worker", daemon=True)
        if worker:
            thread.start()
        yield
        background.stop()
        if worker:
            thread.join(GRACE_SECONDS)

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    with listening(host, port) as listener:
        found = listener.getsockname()[1]
        scheme = "http" if certificate is None else "https"
        address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{found}"
        here.output.record({"address": address}, address)
        config = uvicorn.Config(
            create_app(instance, uploading, lifespan=lifespan),
            access_log=False,
            log_config=None,
            server_header=False,
            limit_concurrency=CONCURRENT_MAX,
            proxy_headers=proxy is not None,
            forwarded_allow_ips=proxy,
            ssl_certfile=certificate,
            ssl_keyfile=key,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        # It passes both signals on once it has ended in order: that is no failure.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


@token_commands.command("make")
def make(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    *,
    scope: Annotated[list[str], typer.Option(help=f"One of {', '.join(SCOPES)}; repeat it.")],
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it counts.")] = 30,
    officer: OfficerOption,
) -> None:
    """Make a token for an officer. It is shown once and kept nowhere."""
    here, instance, desk = at_desk(context, officer)
    token, text = make_token(
        instance.doors, desk.officer, name, scope, instance.clock.now(), timedelta(days=days)
    )
    row: dict[str, Json] = {
        "id": token.id,
        "token": text,
        "scopes": sorted(token.scopes),
        "expires_at": token.expires_at.isoformat(),
    }
    here.output.record(row, text)


@token_commands.command("list")
def list_tokens(context: typer.Context, *, officer: OfficerOption) -> None:
    """List an officer's tokens."""
    here, instance, desk = at_desk(context, officer)
    rows: list[dict[str, Json]] = [
        {
            "id": each.id,
            "name": each.name,
            "scopes": " ".join(sorted(each.scopes)),
            "expires_at": each.expires_at.isoformat(),
            "ended_at": None if each.ended_at is None else each.ended_at.isoformat(),
        }
        for each in instance.doors.tokens(desk.officer)
    ]
    here.output.table(rows, ("id", "name", "scopes", "expires_at", "ended_at"))


@token_commands.command("end")
def end(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(help="The token's identifier.")],
    *,
    officer: OfficerOption,
) -> None:
    """End a token: from now on it counts for nothing."""
    here, instance, desk = at_desk(context, officer)
    if not instance.doors.end_token(desk.officer, identifier, instance.clock.now()):
        raise NotFoundError(f"there is no token {identifier}")
    here.output.record({"id": identifier, "state": "ended"}, f"{identifier} counts no more")


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("serve")(serve)
    app.add_typer(token_commands, name="token")
