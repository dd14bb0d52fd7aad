"""Packages over HTTP: an access like any other, so a POST; streamed as it is made."""

from collections.abc import Generator
from typing import Annotated

from fastapi.responses import Response
from pydantic import BaseModel, Field

from api import ledger
from api.http.caller import Accessor, Caller
from api.http.evidence import SANDBOX
from api.http.knowing import item_known
from api.http.places import Places
from api.http.problems import problems
from api.http.routes import Routes
from api.http.streaming import Streamed
from api.packaging import Asked, package
from evidence_store.exporting import Choice
from evidence_store.identifiers import DossierId, DossierKind

OF_CALLER_MAX, OF_ALL_MAX = 2, 4
MEDIA_TYPE = "application/zip"
_places = Places("package", OF_CALLER_MAX, OF_ALL_MAX)


class PackageAsked(BaseModel):
    """What is to be shown to a court, under what, and why."""

    items: Annotated[
        list[Annotated[str, Field(max_length=32)]],
        Field(min_length=1, max_length=50, examples=[["SI-2026-000123"]]),
    ]
    versions: Annotated[
        list[Annotated[int, Field(ge=1, le=10_000)]] | None,
        Field(max_length=100, description="Whose bytes go in; all, if it is not said."),
    ] = None
    disclose: Annotated[
        list[Annotated[str, Field(max_length=64)]] | None,
        Field(max_length=50, description="Which withheld fields are disclosed; null: all."),
    ] = Field(default_factory=list)
    purpose: Annotated[str, Field(max_length=64, examples=["trial"])]
    grant: Annotated[str | None, Field(max_length=32, examples=["SI-GRT-000004"])] = None
    reference: Annotated[
        str,
        Field(min_length=1, max_length=400, description="On what authority: an order, a request."),
    ]


def package_routes() -> Routes:
    """The route, under `/v1`."""
    routes = Routes(prefix="/v1", tags=["access"], responses=problems(409))

    @routes.post(
        "/packages",
        response_class=Response,
        responses={
            200: {
                "description": "The package (format, section 14), streamed.",
                "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
                "headers": {
                    "X-Evidence-Access": {
                        "description": "The accesses under which it was made.",
                        "schema": {"type": "string"},
                    }
                },
            }
        },
    )
    def make_package(caller: Accessor, asked: PackageAsked) -> Response:
        """Make a package that a court can check offline, and send it as it is made.

        Each version is decided on and recorded first; the export is an event on each item, and closes the
        history that is shown. If a permission ends meanwhile, so does the package.
        """
        _places.take(caller.officer)
        pieces = _pieces(caller, asked)
        try:
            accesses = next(pieces).decode()
            first = next(pieces, b"")
        except BaseException:
            pieces.close()
            raise
        return Streamed(
            first,
            pieces,
            media_type=MEDIA_TYPE,
            headers={
                **SANDBOX,
                "Content-Disposition": f'attachment; filename="{asked.items[0][:32]}.zip"',
                "X-Evidence-Access": accesses,
            },
        )

    return routes


def _pieces(caller: Caller, asked: PackageAsked) -> Generator[bytes, None, None]:
    """The identifiers of the accesses, then the package; however it ends, the place is free again."""
    try:
        with caller.instance.catalog.read() as reader:
            erns = [item_known(reader, caller, each).ern for each in asked.items]
        grant = None if asked.grant is None else DossierId.parse(asked.grant, DossierKind.GRANT)
        choice = Choice(
            erns=tuple(dict.fromkeys(erns)),
            versions=None if asked.versions is None else tuple(asked.versions),
            disclosed=None if asked.disclose is None else tuple(asked.disclose),
        )
        wanted = Asked(choice, asked.purpose, grant, asked.reference)
        openings, content = package(caller.instance, caller.desk, wanted)
        yield " ".join(str(each.access) for each in openings).encode()
        yield from content
    finally:
        _places.give_back(caller.officer)
        ledger.settle(caller.instance)
