"""The HTTP server of an instance: the application, its worker, and how it ends.

What it needs is loaded when it is called: it takes half a second that no other command should wait.
"""

import logging
import resource
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI

from api import cooperation
from api.cli.output import Output
from api.cli.witness import listening
from api.http.app import create_app
from api.http.connections import SLOW_WINDOWS_MAX, Patience, patient
from api.http.signin import session_reader, signin_routes
from api.passkeys import Site
from api.signin import SignIn
from api.uploading import Uploading
from api.wiring import Instance
from api.worker import Worker
from ingest.extraction.supervisor import Extractor

BACKLOG = 1024
OTHER_FILES = 512
NOWHERE = Site(
    "localhost", "http://localhost", "Evidence store"
)  # enrolments are issued for no site


@dataclass(frozen=True, slots=True)
class Door:
    """Where it is served: address, TLS, the proxy in front, and what browsers see it as."""

    host: str
    port: int
    certificate: Path | None
    key: Path | None
    proxy: str | None
    origin: str | None
    works: bool


def serve_until_interrupted(
    instance: Instance, extractor: Extractor, door: Door, output: Output
) -> None:
    """Serve the HTTP API; prints the address. Requests under way end in order.

    Raises:
        SettingsError: if the rules have a mistake, or it cannot listen there.
    """
    cooperation.policy()  # with a mistake in the rules nothing is served
    with listening(door.host, door.port) as listener:
        address = address_of(door, listener)
        output.record({"address": address}, address)
        serve_on(listener, instance, extractor, door)


def address_of(door: Door, listener: socket.socket) -> str:
    """Where it can be reached."""
    scheme = "http" if door.certificate is None else "https"
    host = f"[{door.host}]" if ":" in door.host else door.host
    return f"{scheme}://{host}:{listener.getsockname()[1]}"


def serve_on(listener: socket.socket, instance: Instance, extractor: Extractor, door: Door) -> None:
    """Serve on a socket that listens, until interrupted. Requests under way end in order."""
    settings = instance.settings
    uploading = Uploading(instance, instance.uploads, extractor)
    background = Worker(instance, uploading)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        thread = threading.Thread(target=background.run, name="worker", daemon=True)
        if door.works:
            thread.start()
        yield
        background.stop()
        if door.works:
            thread.join(settings.http_grace_seconds)
        uploading.close()

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    patience = Patience(
        connections_max=settings.http_connections_max,
        head_seconds=settings.http_head_seconds,
        window_seconds=settings.http_slow_seconds / SLOW_WINDOWS_MAX,
    )
    _allow_files(settings.http_connections_max)
    config = uvicorn.Config(
        application(instance, uploading, door.origin, lifespan),
        http=patient(patience),
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        proxy_headers=door.proxy is not None,
        forwarded_allow_ips=door.proxy,
        ssl_certfile=door.certificate,
        ssl_keyfile=door.key,
        timeout_graceful_shutdown=settings.http_grace_seconds,
    )
    # It passes both signals on once it has ended in order: that is no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        _Server(config, uploading).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Tells uploads under way to end where they are: their senders go on elsewhere or later."""

    def __init__(self, config: uvicorn.Config, uploading: Uploading) -> None:
        super().__init__(config)
        self._uploading = uploading

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn."""
        self._uploading.stopping.set()
        await super().shutdown(sockets)


def _allow_files(connections: int) -> None:
    """As many open files as the connections need, if we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def application(
    instance: Instance,
    uploading: Uploading,
    origin: str | None,
    lifespan: Callable[[FastAPI], Any] | None = None,
) -> FastAPI:
    """The application; with an origin, officers can sign in by passkey there."""
    if origin is None:
        return create_app(instance, uploading, lifespan=lifespan)
    found = urlsplit(origin)
    signin = signing_in(instance, Site(found.hostname or "", origin, "Evidence store"))
    secure = found.scheme == "https"
    return create_app(
        instance,
        uploading,
        session_of=session_reader(signin, secure=secure),
        sign_in=signin_routes(signin, secure=secure),
        lifespan=lifespan,
    )


def signing_in(instance: Instance, site: Site = NOWHERE) -> SignIn:
    """The rules of sign-in, for an instance."""
    return SignIn(instance.accounts, instance.catalog, instance.clock, instance.random, site)
