"""The HTTP server of an instance: the application, its worker, and how it ends.

What it needs is loaded when it is called: it takes half a second that no other command should wait.
"""

import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import APIRouter, FastAPI

from api import cooperation, wiring
from api.cli.output import Output
from api.cli.witness import listening
from api.http.app import create_app
from api.http.signin import session_reader, signin_routes
from api.http.witness import witness_routes
from api.passkeys import Site
from api.signin import SignIn
from api.uploading import Uploading
from api.wiring import Instance
from api.worker import Worker
from ingest.extraction.supervisor import Extractor

CONCURRENT_MAX = 256
GRACE_SECONDS = 30
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
            thread.join(GRACE_SECONDS)

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    with listening(door.host, door.port) as listener, witnessing(instance) as witness:
        found = listener.getsockname()[1]
        scheme = "http" if door.certificate is None else "https"
        host = f"[{door.host}]" if ":" in door.host else door.host
        address = f"{scheme}://{host}:{found}"
        output.record({"address": address}, address)
        config = uvicorn.Config(
            application(instance, uploading, door.origin, lifespan, witness),
            access_log=False,
            log_config=None,
            server_header=False,
            limit_concurrency=CONCURRENT_MAX,
            proxy_headers=door.proxy is not None,
            forwarded_allow_ips=door.proxy,
            ssl_certfile=door.certificate,
            ssl_keyfile=door.key,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        # It passes both signals on once it has ended in order: that is no failure.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def application(
    instance: Instance,
    uploading: Uploading,
    origin: str | None,
    lifespan: Callable[[FastAPI], Any] | None = None,
    witness: APIRouter | None = None,
) -> FastAPI:
    """The application; with an origin, officers can sign in by passkey there."""
    if origin is None:
        return create_app(instance, uploading, lifespan=lifespan, witness=witness)
    found = urlsplit(origin)
    signin = signing_in(instance, Site(found.hostname or "", origin, "Evidence store"))
    secure = found.scheme == "https"
    return create_app(
        instance,
        uploading,
        session_of=session_reader(signin, secure=secure),
        sign_in=signin_routes(signin, secure=secure),
        lifespan=lifespan,
        witness=witness,
    )


@contextmanager
def witnessing(instance: Instance) -> Iterator[APIRouter | None]:
    """The witness's routes, where there is a witness in the same home; None where there is none.

    Raises:
        SettingsError, KeyUnavailableError, LedgerAlteredError: if its keys or memory are not whole.
    """
    home = wiring.witness_home(instance.home)
    if not home.is_there():
        yield None
        return
    cosigner, memory = home.open()
    with closing(memory):
        yield witness_routes(cosigner, instance.clock)


def signing_in(instance: Instance, site: Site = NOWHERE) -> SignIn:
    """The rules of sign-in, for an instance."""
    return SignIn(instance.accounts, instance.catalog, instance.clock, instance.random, site)
