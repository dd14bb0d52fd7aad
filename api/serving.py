"""The HTTP server of an instance: the application, its worker, and how it ends.

What it needs is loaded when it is called: it takes half a second that no other command should wait.
"""

import gc
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import APIRouter, FastAPI

from api import cooperation, ledger, logs, wiring
from api.cli.output import Json, Output
from api.cli.witness import listening
from api.http.app import Entry, create_app
from api.http.connections import SLOW_WINDOWS_MAX, Patience, patient
from api.http.oidc import Federation
from api.http.signin import session_reader, signin_routes
from api.http.watching import Counts
from api.http.witness import witness_routes
from api.metrics import exposed
from api.oidc import Fetch, Provider, fetched
from api.passkeys import Site
from api.passwords import Passwords
from api.sealing import opened, sealed
from api.signin import SignIn
from api.uploading import Uploading
from api.wiring import Instance
from api.worker import Worker
from ingest.extraction.supervisor import Extractor

BACKLOG = 1024
OTHER_FILES = 512
DECOYS = "sign-in/decoys"  # the same in every process, and after a restart
NOWHERE = Site(
    "localhost", "http://localhost", "Evidence store"
)  # enrolments are issued for no site


def work_until_interrupted(
    instance: Instance, extractor: Extractor, log: logs.Format, output: Output
) -> None:
    """Do the background work apart from any server; prints who does it.

    Raises:
        SettingsError: if the rules have a mistake.
        LedgerAlteredError: if the database was rolled back.
    """
    cooperation.policy()
    ledger.insist_continued(instance)
    logs.install(log)
    uploading = Uploading(instance, instance.uploads, extractor)
    background = Worker(instance, uploading)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    output.record({"worker": background.holder}, f"working as {background.holder}")
    with closing(uploading), suppress(KeyboardInterrupt), background:
        background.run()


@dataclass(frozen=True, slots=True)
class Ways:
    """How officers can sign in, beside by passkey."""

    passwords: bool = False
    providers: Sequence[Provider] = ()
    fetch: Fetch = fetched


PASSKEYS = Ways()


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
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    log: logs.Format = "text"
    ways: Ways = PASSKEYS


def serve_until_interrupted(
    instance: Instance, extractor: Extractor, door: Door, output: Output
) -> None:
    """Serve the HTTP API; prints the address. Requests under way end in order.

    Raises:
        SettingsError: if the rules have a mistake, or it cannot listen there.
        LedgerAlteredError: if the database was rolled back.
    """
    cooperation.policy()  # with a mistake in the rules nothing is served
    ledger.insist_continued(instance)
    logs.install(door.log)
    counts = Counts()
    with (
        listening(door.host, door.port) as listener,
        exposed(instance, door.metrics_host, door.metrics_port, counts.registry) as metrics_port,
    ):
        address = address_of(door, listener)
        row: dict[str, Json] = {"address": address}
        if metrics_port is not None:
            row["metrics"] = f"http://{door.metrics_host}:{metrics_port}/metrics"
        output.record(row, address)
        serve_on(listener, instance, extractor, door, counts)


def address_of(door: Door, listener: socket.socket) -> str:
    """Where it can be reached."""
    scheme = "http" if door.certificate is None else "https"
    host = f"[{door.host}]" if ":" in door.host else door.host
    return f"{scheme}://{host}:{listener.getsockname()[1]}"


def serve_on(
    listener: socket.socket, instance: Instance, extractor: Extractor, door: Door, counts: Counts
) -> None:
    """Serve on a socket that listens, until interrupted. Requests under way end in order."""
    settings = instance.settings
    uploading = Uploading(instance, instance.uploads, extractor)
    background = Worker(instance, uploading)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with background if door.works else nullcontext():
            yield
        uploading.close()

    patience = Patience(
        connections_max=settings.http_connections_max,
        head_seconds=settings.http_head_seconds,
        window_seconds=settings.http_slow_seconds / SLOW_WINDOWS_MAX,
    )
    _allow_files(settings.http_connections_max)
    with witnessing(instance) as witness:
        app = application(
            instance,
            uploading,
            door.origin,
            ways=door.ways,
            witness=witness,
            lifespan=lifespan,
            counts=counts,
        )
        config = uvicorn.Config(
            app,
            http=patient(patience, counts.unread),
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
        server = _Server(config, uploading)
        app.state.is_stopping = lambda: server.should_exit
        # What is here now stays: looking through it for garbage takes a twentieth of every answer.
        gc.collect()
        gc.freeze()
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Tells uploads under way to end where they are: their senders go on elsewhere or later."""

    def __init__(self, config: uvicorn.Config, uploading: Uploading) -> None:
        super().__init__(config)
        self._uploading = uploading

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn."""
        self._uploading.stop()
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
    *,
    ways: Ways = PASSKEYS,
    witness: APIRouter | None = None,
    lifespan: Callable[[FastAPI], Any] | None = None,
    counts: Counts | None = None,
) -> FastAPI:
    """The application; with an origin, officers can sign in there: by passkey, and as is allowed."""
    if origin is None:
        return create_app(instance, uploading, lifespan=lifespan, counts=counts, witness=witness)
    found = urlsplit(origin)
    origin = f"{found.scheme}://{found.netloc}"
    site = Site(found.hostname or "", origin, "Evidence store")
    signin = signing_in(instance, site, passwords=ways.passwords)
    secure = found.scheme == "https"
    federation = Federation(origin, ways.providers, ways.fetch)
    entry = Entry(
        origin,
        signin,
        signin_routes(signin, instance.doors, instance.clock, federation, secure=secure),
        session_reader(signin, secure=secure),
    )
    return create_app(
        instance, uploading, entry=entry, witness=witness, lifespan=lifespan, counts=counts
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


def signing_in(instance: Instance, site: Site = NOWHERE, *, passwords: bool = False) -> SignIn:
    """The rules of sign-in, for an instance. `passwords` also offers the weaker way."""
    return SignIn(
        instance.accounts,
        instance.catalog,
        instance.clock,
        instance.random,
        site,
        passwords=_passwords(instance) if passwords else None,
        decoy_key=bytes.fromhex(cooperation.blinding(instance).token(DECOYS)),
    )


def _passwords(instance: Instance) -> Passwords:
    keyring, random = instance.keyring, instance.random
    return Passwords(partial(sealed, keyring, random), partial(opened, keyring), random)
