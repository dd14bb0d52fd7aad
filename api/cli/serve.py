"""`evidence serve` and `evidence token`: the doors over HTTP, and the tokens of programs."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer

from api.cli.context import ask_passphrase, shared
from api.cli.desk import OfficerOption, at_desk
from api.cli.output import Json
from api.tokens import SCOPES, make_token
from evidence_store.errors import MalformedError, NotFoundError
from evidence_store.identifiers import PersonCode, Role

token_commands = typer.Typer(no_args_is_help=True, help="Personal access tokens, for programs.")
enrolment_commands = typer.Typer(no_args_is_help=True, help="One-time links to enrol officers.")
LogOption = Annotated[
    Literal["text", "json"], typer.Option(help="How lines are logged, to stderr.")
]


def serve(  # noqa: PLR0913 - one for each option
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
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Server processes on the one socket.")
    ] = 1,
    origin: Annotated[
        str | None,
        typer.Option(
            help="Where officers' browsers see it, as in https://evidence.example: then they can "
            "sign in by passkey. Without it, programs by token only."
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Also give metrics for Prometheus, at this port."),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(help="The address for the metrics; they are open to whoever reaches it.")
    ] = "127.0.0.1",
    log: LogOption = "text",
    passwords: Annotated[
        bool,
        typer.Option(
            "--passwords",
            help="Also offer sign-in by password and one-time code: the weaker way, and marked so.",
        ),
    ] = False,
    providers: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file that names States' identity providers (OpenID Connect).", exists=True
        ),
    ] = None,
) -> None:
    """Serve the HTTP API until interrupted. Prints the address."""
    here = shared(context)
    if origin is None and (passwords or providers is not None):
        raise MalformedError("serve: expected an --origin to sign in at")
    if (certificate is None) != (key is None):
        raise MalformedError("serve: expected a certificate and its key, or neither")
    from api.oidc import providers_of  # noqa: PLC0415 - likewise
    from api.serving import Door, Ways, serve_until_interrupted  # noqa: PLC0415 - of this command only

    door = Door(
        host,
        port,
        certificate,
        key,
        proxy,
        origin,
        works=worker,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        log=log,
        ways=Ways(passwords, () if providers is None else tuple(providers_of(providers))),
    )
    if workers > 1:
        from api.workers import serve_by_several  # noqa: PLC0415 - likewise

        serve_by_several(here.home, ask_passphrase, door, here.output, workers)
        return
    extractor = here.extractor()
    serve_until_interrupted(here.instance(), extractor, door, here.output)


def worker(context: typer.Context, *, log: LogOption = "text") -> None:
    """Do the background work until interrupted, apart from `serve --no-worker`. Several may run."""
    here = shared(context)
    from api.serving import work_until_interrupted  # noqa: PLC0415 - likewise

    extractor = here.extractor()
    work_until_interrupted(here.instance(), extractor, log, here.output)


@enrolment_commands.command("issue")
def issue(
    context: typer.Context,
    code: Annotated[str, typer.Argument(help="Who is to be let in, as in OFF-0003.")],
    *,
    officer: OfficerOption,
) -> None:
    """Issue a one-time link's token, for an officer to enrol or to recover. Shown once."""
    here, instance, desk = at_desk(context, officer)
    from api.serving import signing_in  # noqa: PLC0415 - it loads WebAuthn

    made, token = signing_in(instance).issue(desk.officer, PersonCode.parse(code, Role.OFFICER))
    row: dict[str, Json] = {
        "enrolment": made.id,
        "token": token,
        "expires_at": made.expires_at.isoformat(),
    }
    here.output.record(
        row, (token, f"Another officer confirms it: evidence enrolment confirm {made.id}")
    )


@enrolment_commands.command("confirm")
def confirm(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(help="The enrolment.")],
    *,
    officer: OfficerOption,
) -> None:
    """Confirm what another officer of the registry issued."""
    here, instance, desk = at_desk(context, officer)
    from api.serving import signing_in  # noqa: PLC0415 - likewise

    signing_in(instance).confirm(desk.officer, identifier)
    here.output.record({"enrolment": identifier, "state": "confirmed"}, f"{identifier} counts now")


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
    app.command("worker")(worker)
    app.add_typer(token_commands, name="token")
    app.add_typer(enrolment_commands, name="enrolment")
