"""`evidence seal`: a folder's files listed and signed in the field, offline; and compared again."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from api import field_sums, wiring
from api.cli.context import Shared, ask_passphrase, shared
from api.cli.exits import Exit
from api.cli.output import Json, name_fields
from evidence_store.digest import Digest, Fingerprint, fingerprint
from evidence_store.errors import ConflictError, KeyUnavailableError, MalformedError, ProofError
from evidence_store.field_seal import (
    SEAL_BYTES_MAX,
    Circumstances,
    FieldSeal,
    SealedFile,
    Unsealed,
    key_id,
)
from ingest.field_sealing import SEAL_NAME, FieldFolder, Finding, compare

KeyOption = Annotated[Path | None, typer.Option("--key", help="The kit's field key.")]
PassphraseOption = Annotated[
    Path | None, typer.Option(help="A file that holds the field key's passphrase, if it has one.")
]
WhoOption = Annotated[str, typer.Option(help="Who seals.")]
WhereOption = Annotated[str, typer.Option(help="Where.")]
HowOption = Annotated[str, typer.Option(help="How the files came here, as in: write-blocked.")]
DeviceOption = Annotated[str, typer.Option(help="On which device, as in: kit 7, card reader 2.")]


def seal(  # noqa: PLR0913 - one parameter for each thing that a seal says
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(help="A folder or a file.", exists=True)] = None,
    *,
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    who: WhoOption = "unknown",
    where: WhereOption = "unknown",
    how: HowOption = "unknown",
    device: DeviceOption = "unknown",
    manifest_out: Annotated[
        Path | None,
        typer.Option(help="Where the seal goes; nothing is then written into the folder."),
    ] = None,
    sums: Annotated[
        Path | None, typer.Option(help="Also write the digests as sha256sum does, to this file.")
    ] = None,
    bag: Annotated[
        Path | None,
        typer.Option(help="Also write a BagIt bag's tag files to this new folder; data/ is yours."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the folder with its seal.")
    ] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(help="With --check: the seal; by default the one in the folder.", exists=True),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="With --check: the field key that must have signed.")
    ] = None,
    new_key: Annotated[
        Path | None, typer.Option(help="Make a field key in this file, and show its public half.")
    ] = None,
) -> Exit:
    """Seal a folder's files in the field, or check them against a seal. Needs no instance."""
    here = shared(context)
    if new_key is not None:
        return _new_key(here, new_key, passphrase_file)
    if check:
        return _check(here, folder, manifest, by)
    if folder is None or key is None:
        raise MalformedError("seal: expected a folder and --key; `--new-key FILE` makes one")
    out = manifest_out or _beside(folder)
    for path in (out, sums, bag):
        if path is not None and path.exists():
            raise ConflictError(f"{path}: there is something already; it was left as it is")
    signer = field_key(key, passphrase_file)
    said = Circumstances(who, where, how, device)
    own = [os.fsencode(path) for path in (out, sums, bag, key) if path is not None]
    started = datetime.now(UTC)
    files: dict[bytes, SealedFile] = {}
    unsealed: list[Unsealed] = []
    for each in FieldFolder.of(os.fsencode(folder), *own).digested():
        if isinstance(each, Unsealed):
            unsealed.append(each)
            why: dict[str, Json] = {"status": "refused", "code": each.code, "error": each.reason}
            row = {**name_fields(each.name, "name"), **why}
            here.output.record(row, f"refused  {_shown(each.name)}  {each.reason}")
        else:
            files[each.name] = each.file
            row = {**name_fields(each.name, "name"), "status": "sealed"}
            here.output.record(
                {**row, **_digests(each.file.fingerprint)}, f"sealed   {_shown(each.name)}"
            )
    made = FieldSeal(
        said,
        started,
        datetime.now(UTC),
        tool(),
        signer.public_key().public_bytes_raw(),
        files,
        unsealed,
    )
    content = made.signed(signer)
    field_sums.write_durably(out, content)
    digests = {name: file.fingerprint.sha256 for name, file in files.items()}
    _further(digests, made, sums, bag)
    summary: dict[str, Json] = {
        "sealed": len(files),
        "refused": len(unsealed),
        "bytes": sum(each.fingerprint.size_bytes for each in files.values()),
        "key": made.key,
        "manifest": str(out),
        "sha256": fingerprint([content]).sha256.hex,
    }
    here.output.record({"summary": summary}, f"{len(files)} files sealed by {made.key}: {out}")
    return Exit.AGAIN if unsealed else Exit.DONE


def tool() -> str:
    """What sealed, with its version."""
    return f"evidence {version('evidence-store')}"


def field_key(path: Path, passphrase_file: Path | None) -> wiring.FieldKey:
    """The field key, with its passphrase from a file or, if it has one, from the terminal.

    Raises:
        KeyUnavailableError, SettingsError: as `wiring.field_key`.
    """
    if passphrase_file is not None:
        return wiring.field_key(path, wiring.read_passphrase(passphrase_file))
    try:
        return wiring.field_key(path, None)
    except KeyUnavailableError:
        if not path.exists() or b"ENCRYPTED" not in path.read_bytes()[:100]:
            raise
    return wiring.field_key(path, ask_passphrase())


def read_seal(path: Path) -> tuple[FieldSeal, bytes]:
    """A seal and its bytes.

    Raises:
        MalformedError, ProofError: as `FieldSeal.opened`.
    """
    with path.open("rb") as file:
        content = file.read(SEAL_BYTES_MAX + 1)
    return FieldSeal.opened(content), content


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("seal")(seal)


def _new_key(here: Shared, path: Path, passphrase_file: Path | None) -> Exit:
    passphrase = None if passphrase_file is None else wiring.read_passphrase(passphrase_file)
    made = wiring.field_key(path, passphrase, new=True)
    public = made.public_key().public_bytes_raw()
    row: dict[str, Json] = {
        "key": key_id(public),
        "public": field_sums.spelt(public),
        "file": str(path),
    }
    here.output.record(
        row,
        (
            f"{row['public']}",
            f"The registry makes it known: evidence field-key add {row['public']}",
        ),
    )
    return Exit.DONE


def _check(here: Shared, folder: Path | None, manifest: Path | None, by: str | None) -> Exit:
    if folder is None:
        if manifest is None:
            raise MalformedError("seal: expected a folder or --manifest to check")
        folder = manifest.parent
    path = manifest or _beside(folder)
    if not path.exists():
        raise MalformedError(f"{path}: there is no seal; give it with --manifest")
    found, _ = read_seal(path)
    if by is not None and found.key != by:
        raise ProofError(f"seal: expected it signed by the field key {by}, found {found.key}")
    findings = 0
    for each in compare(found, FieldFolder.of(os.fsencode(folder), os.fsencode(path))):
        findings += 1
        here.output.record(_finding(each), f"{each.difference:<10} {_shown(each.name)}")
    summary: dict[str, Json] = {
        "files": len(found.files),
        "unsealed": len(found.unsealed),
        "differences": findings,
        "key": found.key,
        "key_expected": by is not None,
        "who": found.circumstances.who,
        "ended_at": found.ended_at.isoformat(),
    }
    text = "as it was sealed" if findings == 0 else f"{findings} differences"
    here.output.record({"summary": summary}, f"{text}; signed by the field key {found.key}")
    return Exit.INTEGRITY if findings else Exit.DONE


def _finding(found: Finding) -> dict[str, Json]:
    return {
        **name_fields(found.name, "name"),
        "status": found.difference.value,
        "expected": None if found.expected is None else _digests(found.expected),
        "found": None if found.found is None else _digests(found.found),
        "error": found.reason,
    }


def _further(
    digests: Mapping[bytes, Digest], made: FieldSeal, sums: Path | None, bag: Path | None
) -> None:
    if sums is not None:
        field_sums.write_sums(sums, digests)
    if bag is not None:
        field_sums.write_bag(bag, made)


def _beside(folder: Path) -> Path:
    return (folder if folder.is_dir() else folder.parent) / os.fsdecode(SEAL_NAME)


def _digests(found: Fingerprint) -> dict[str, Json]:
    return {
        "sha256": found.sha256.hex,
        "blake3": found.blake3.hex,
        "size_bytes": found.size_bytes,
    }


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")
