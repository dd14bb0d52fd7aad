"""`evidence fetch`: a version's bytes out again, verified before the file gets its name."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from api import cooperation
from api.cli.context import shared
from api.cli.items import ErnArgument
from api.cli.show import version_row
from api.wiring import Instance
from evidence_store.errors import (
    ConflictError,
    DeniedError,
    MalformedError,
    NoSpaceError,
    NotFoundError,
    StoreUnavailableError,
)
from evidence_store.identifiers import Ern
from evidence_store.item import Version
from evidence_store.ports import CatalogReader
from evidence_store.signed_digests import SignedDigests


def fetch(
    context: typer.Context,
    ern: ErnArgument,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to make.")],
    version: Annotated[int | None, typer.Option(min=1, help="By default the original.")] = None,
) -> None:
    """Fetch a version. The file appears when its digests are those that were signed, and only whole."""
    here = shared(context)
    instance = here.instance()
    insist_ungoverned(instance, "evidence access open")
    with instance.catalog.read() as reader:
        chosen = version_of(reader, Ern.parse(ern), version)
        sealed = reader.sealed(chosen.object_name)
        SignedDigests(reader, instance.tiles).insist(chosen, sealed)
    with new_file(output) as file:
        for chunk in instance.vault.open(sealed):
            file.write(chunk)
    row = {"ern": ern, **version_row(chosen), "output": str(output)}
    here.output.record(row, f"{ern} version {chosen.number} is in {output}, verified")


def insist_ungoverned(instance: Instance, instead: str) -> None:
    """Insist that there is no registry: where there is one, content opens to officers only.

    Raises:
        DeniedError: if there is.
    """
    if cooperation.is_governed(instance):
        raise DeniedError(
            "officers-only", cooperation.policy().digest, f"use `{instead}` with --officer"
        )


def version_of(reader: CatalogReader, ern: Ern, number: int | None) -> Version:
    """The item's version of this number, or its original.

    Raises:
        NotFoundError: if there is no such item or version.
        MalformedError: if the item has no bytes.
    """
    reader.item(ern)
    versions = reader.versions(ern)
    if not versions:
        raise MalformedError(f"{ern} has no bytes: it is a physical exhibit")
    for each in versions:
        if each.number == (number or 1):
            return each
    raise NotFoundError(f"{ern} has versions 1 to {len(versions)}, and no {number}")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name only if all goes well, and is never there in part.

    Raises:
        MalformedError: if it can be no file's name, or its folder is not there.
        ConflictError: if it is taken.
        NoSpaceError, StoreUnavailableError: if it cannot be written.
    """
    if not path.name or os.path.isdir(path):  # noqa: PTH112 - it says no of what can be no name
        raise MalformedError(f"output: expected the name of a file to make, found {str(path)!r}")
    # Cut in bytes: that is what a file system counts, and half a character is still a name.
    stem = os.fsdecode(os.fsencode(path.name)[:100])
    temporary = path.with_name(f".{stem}.{secrets.token_hex(8)}.part")
    made = False
    try:
        with temporary.open("xb") as file:
            made = True
            yield file
            file.flush()
            os.fsync(file.fileno())
        # link() refuses to replace: what is there already is not ours to overwrite.
        path.hardlink_to(temporary)
    except FileExistsError as error:
        raise ConflictError(f"{path} exists; choose another name") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MalformedError(f"{path.parent}: expected a folder, found none") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpaceError(f"{path}: the disk is full") from error
        if error.errno in {errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP}:
            raise MalformedError(
                f"output: expected a name that can be, {error.strerror}"
            ) from error
        raise StoreUnavailableError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        if made:
            temporary.unlink(missing_ok=True)


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("fetch")(fetch)
