"""`evidence witness`: cosign the logs of others, so that none of them can rewrite its history."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from api import wiring
from api.cli.context import Shared, shared
from api.cli.exits import Exit
from api.cli.output import Json
from evidence_store.errors import (
    ConflictError,
    EvidenceError,
    MalformedError,
    NotFoundError,
    ProofError,
    SettingsError,
    UnavailableError,
)
from evidence_store.ledger.add_checkpoint import REQUEST_BYTES_MAX, Cosigned, Refusal, Refused
from evidence_store.ledger.note import VerifierKey
from evidence_store.ledger.witness import Cosigner

BACKLOG = 64
CONCURRENT_MAX = 64

commands = typer.Typer(no_args_is_help=True, help="Cosign the logs of others.")


@commands.command("init")
def init(
    context: typer.Context,
    name: Annotated[
        str, typer.Option(help="The witness's name for good, as in witness.example.org/w1.")
    ],
) -> None:
    """Make a witness with keys of its own; prints the two vkeys that others put in their policies."""
    here = shared(context)
    keys = wiring.witness_home(here.home).create(name)
    for key in keys:
        here.output.record(_key(key), str(key))


@commands.command("trust")
def trust(
    context: typer.Context,
    vkeys: Annotated[
        list[str], typer.Argument(metavar="VKEY…", help="A log's vkeys; both, if it has two.")
    ],
) -> None:
    """Cosign these logs from now on. Get their vkeys from their States, not from the log.

    A checkpoint must be signed by every key that is named for its log. A witness that is being
    served learns of it when it is started again.
    """
    here = shared(context)
    policy = wiring.witness_home(here.home).trust([VerifierKey.parse(each) for each in vkeys])
    rows: list[dict[str, Json]] = [{"log": key.name, "vkey": str(key)} for key in policy.logs]
    here.output.table(rows, ("log", "vkey"))


@commands.command("serve")
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any.")] = 0,
) -> None:
    """Answer logs over HTTP until interrupted; prints the address for their policies.

    Without encryption: put a web server with TLS in front, where others can reach it.
    """
    import uvicorn  # noqa: PLC0415 - half a second, of this command only

    from api.http.witness import PREFIX, witness_app  # noqa: PLC0415 - likewise

    here = shared(context)
    with _opened(here) as cosigner, listening(host, port) as listener:
        found = listener.getsockname()[1]
        address = f"http://{f'[{host}]' if ':' in host else host}:{found}{PREFIX}"
        keys = [str(each.key) for each in cosigner.signers]
        here.output.record({"address": address, "vkeys": keys}, [address, *keys])
        config = uvicorn.Config(
            witness_app(cosigner, wiring.SystemClock()),
            access_log=False,
            limit_concurrency=CONCURRENT_MAX,
            log_config=None,
            server_header=False,
        )
        with suppress(KeyboardInterrupt):  # which it passes on once it has ended: not a failure
            uvicorn.Server(config).run(sockets=[listener])


@commands.command("cosign")
def cosign(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="An add-checkpoint request, or - for standard input.")
    ],
) -> None:
    """Decide on a request that came another way; prints the cosignature lines."""
    here = shared(context)
    with _opened(here) as cosigner:
        answer = cosigner.add_checkpoint(_body(file), wiring.SystemClock().now())
    if isinstance(answer, Refused):
        raise _error(answer)
    here.output.record(_cosigned(answer), str(answer).splitlines())


@commands.command("refused")
def refused(context: typer.Context) -> Exit:
    """List the requests that a log signed and this witness refused: evidence against the log.

    Exit code 3 if there are any.
    """
    here = shared(context)
    with _opened(here) as cosigner:
        found = cosigner.state.refused()
    rows: list[dict[str, Json]] = [
        {
            "at": each.at.astimezone(UTC).isoformat(timespec="seconds"),
            "reason": str(each.reason),
            "log": each.checkpoint.origin,
            "size": each.checkpoint.size,
            "root": each.checkpoint.root.hex(),
            "request": each.request.decode("utf-8", "replace"),
        }
        for each in found
    ]
    here.output.table(rows, ("at", "reason", "log", "size", "root"))
    return Exit.INTEGRITY if rows else Exit.DONE


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(commands, name="witness")


@contextmanager
def _opened(here: Shared) -> Iterator[Cosigner]:
    cosigner, memory = wiring.witness_home(here.home).open()
    try:
        yield cosigner
    finally:
        memory.close()


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there.

    Raises:
        SettingsError: if it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(f"{host}, port {port}: cannot be listened at: {error}") from error
    # What it accepts has this from it. asyncio sets it only where a socket names its protocol, and
    # without it the body of an answer waits for the client's word that the head came: 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


def _body(file: Path) -> bytes:
    def read(stream: BinaryIO) -> bytes:
        return stream.read(REQUEST_BYTES_MAX + 1)  # one more, so that it is refused as too large

    if str(file) == "-":
        return read(sys.stdin.buffer)
    try:
        with file.open("rb") as stream:
            return read(stream)
    except OSError as error:
        raise UnavailableError(f"{file}: cannot be read: {error.strerror}") from error


def _error(answer: Refused) -> EvidenceError:
    match answer.reason:
        case Refusal.MALFORMED:
            return MalformedError(answer.detail)
        case Refusal.UNKNOWN_LOG:
            return NotFoundError(f"{answer.detail}; `evidence witness trust` makes it known")
        case Refusal.STALE:
            return ConflictError(f"{answer.detail}; ask again with a proof from there")
        case Refusal.UNTRUSTED:
            return ProofError(answer.detail)
        case Refusal.FORK | Refusal.INCONSISTENT:
            return ProofError(f"{answer.reason}: {answer.detail}; the request was kept as evidence")


def _cosigned(answer: Cosigned) -> dict[str, Json]:
    return {"cosignatures": [str(each).rstrip("\n") for each in answer.signatures]}


def _key(key: VerifierKey) -> dict[str, Json]:
    return {"name": key.name, "type": key.type.name.lower(), "vkey": str(key)}
