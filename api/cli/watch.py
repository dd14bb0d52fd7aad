"""`evidence watch`: seals and pushes what appears in a folder, until it is told to stop."""

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from api import watching
from api.cli import push as pushed
from api.cli.context import shared
from api.cli.exits import Exit, worst
from api.cli.seal import (
    DeviceOption,
    HowOption,
    PassphraseOption,
    WhereOption,
    WhoOption,
    field_key,
    tool,
)
from api.push_state import PushState
from api.pushing import Pace, Pushing
from api.sending import Sent
from evidence_store.field_seal import Circumstances
from ingest.field_sealing import STATE_NAME, FieldFolder


def watch(  # noqa: PLR0913 - one parameter for each thing that is said of the files
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder.", exists=True, file_okay=False)],
    *,
    to: pushed.ToOption,
    case: pushed.CaseOption,
    key: Annotated[Path, typer.Option(help="The kit's field key.", exists=True)],
    passphrase_file: PassphraseOption = None,
    token_file: pushed.TokenOption = None,
    in_clear: pushed.InClearOption = False,
    state: pushed.StateOption = None,
    who: WhoOption = "unknown",
    where: WhereOption = "unknown",
    how: HowOption = "unknown",
    device: DeviceOption = "unknown",
    source: pushed.SourceOption = "unknown",
    at_once: pushed.AtOnceOption = 3,
    limit_rate: pushed.RateOption = None,
    settle: Annotated[
        float, typer.Option(min=0.1, max=3600, help="How many seconds a file must stand still.")
    ] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="End when everything that is there has been sent.")
    ] = False,
) -> Exit:
    """Seal and push what appears in a folder and is complete. Ends in order at SIGINT or SIGTERM.

    It may be killed or started again at any time, and goes on; it writes nothing into the folder
    but its dot-file, and with --state FILE not even that.
    """
    here = shared(context)
    path = state or pushed.beside(folder, STATE_NAME)
    signer, secret = field_key(key, passphrase_file), pushed.token_of(token_file)
    own = [os.fsencode(each) for each in (path, key, passphrase_file, token_file) if each]
    exits: set[Exit] = set()
    lock, pace = threading.Lock(), Pace(pushed.rate_of(limit_rate))

    def told(sent: Sent) -> None:
        with lock:
            exits.add(pushed.show(here.output, sent))

    with PushState(path) as kept:
        public = signer.public_key().public_bytes_raw()
        circumstances = Circumstances(who, where, how, device)
        Pushing(to, secret, kept, in_clear=in_clear)  # an address that is none is refused now
        watched = watching.Watch(
            folder=FieldFolder.of(os.fsencode(folder), *own),
            said={"case": case, "source": source},
            sealer=watching.Sealer(signer, public, circumstances, tool()),
            state=kept,
            pushing=lambda: Pushing(to, secret, kept, pace, in_clear),
            told=told,
            at_once=at_once,
            settle_seconds=settle,
            once=once,
        )
        _stop_at_signals(watched)
        if not watched.run():
            exits.add(Exit.AGAIN)
    return worst(exits)


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("watch")(watch)


def _stop_at_signals(watched: watching.Watch) -> None:
    def stop(_: int, __: FrameType | None) -> None:
        watched.stop()

    if threading.current_thread() is threading.main_thread():
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, stop)
