"""A package, checked by three verifiers, and then sabotaged in every way that somebody could think of."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import bagit  # type: ignore[import-untyped] # it has no types
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.cli.main import main
from evidence_store.canonical import canonical

BASE = "evidence-package"
VIDEO, KNIFE = "SI-2026-000001", "SI-2026-000002"


def run(home: Path, *arguments: str | Path, code: int = 0) -> list[dict[str, object]]:
    """A command in this process; returns its records."""
    out = io.StringIO()
    with redirect_stdout(out):
        found = main(["--home", str(home), "--json", *map(str, arguments)])
    assert found == code, out.getvalue()
    return [json.loads(line) for line in out.getvalue().splitlines()]


@dataclass
class Made:
    """A package, its folder when it is unzipped, and the policy of a court that trusts the log."""

    home: Path
    file: Path
    folder: Path
    policy: Path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A video and an exhibit that went from the police to a laboratory, one with a reservation."""
    saved = {
        name: os.environ.pop(name) for name in list(os.environ) if name.startswith("EVIDENCE_")
    }
    root = tmp_path_factory.mktemp("package")
    home, video, redacted = root / "home", root / "video.bin", root / "redacted.bin"
    video.write_bytes(os.urandom(300_000))
    redacted.write_bytes(b"redacted")
    collected = (
        *("--case", "SI-CASE-0001", "--method", "copied", "--collected-by", "Insp. A. Novak"),
        *("--collected-at", "unknown", "--place", "Brod"),
    )
    run(home, "init", "--state", "SI", "--authority", "Police Directorate")
    run(home, "case", "open", "--title", "Shelling")
    run(home, "authority", "add", "Forensic Laboratory", "--id", "lab")
    run(home, "ingest", video, *collected)
    run(
        home,
        "exhibit",
        "register",
        "--seal",
        "A-1",
        "--container",
        "bag",
        "--condition",
        "good",
        *collected,
    )
    run(home, "version", "add", VIDEO, redacted, "--type", "redacted", "--method", "by hand")
    run(
        home, "transfer", "offer", VIDEO, KNIFE, "--to", "lab", "--to-person", "Dr. B", "--person", "A",
        "--purpose", "analysis", "--reference", "Kt 1", "--valid-until", "2999Z", "--mode", "digital",
    )  # fmt: skip
    run(home, "transfer", "accept", "SI-TRF-000001", "--person", "Dr. B", "--as", "lab")
    run(home, "transfer", "release", "SI-TRF-000001", "--carrier", "Courier")
    run(
        home, "transfer", "receive", "SI-TRF-000001", "--person", "Dr. B", "--as", "lab",
        "--line", f"{KNIFE}=seal_broken:torn",
    )  # fmt: skip
    file, policy = root / "package.zip", root / "policy.txt"
    run(
        home, "export", VIDEO, KNIFE, "-o", file, "--person", "A", "--reference", "Order 5",
        "--disclose", "place",
    )  # fmt: skip
    policy.write_text(str(run(home, "log", "status")[0]["policy"]))
    with zipfile.ZipFile(file) as content:
        content.extractall(root)
    os.environ.update(saved)
    return Made(home, file, root / BASE, policy)


@pytest.fixture
def made(original: Made, tmp_path: Path) -> Made:
    """A copy to do harm to."""
    shutil.copytree(original.folder, tmp_path / BASE)
    return Made(original.home, tmp_path / "package.zip", tmp_path / BASE, original.policy)


def zipped(made: Made) -> Path:
    """The folder as a package again."""
    with zipfile.ZipFile(made.file, "w", zipfile.ZIP_STORED) as content:
        for path in sorted(made.folder.rglob("*")):
            if path.is_file():
                content.write(path, f"{BASE}/{path.relative_to(made.folder)}")
    return made.file


def manifests(made: Made) -> None:
    """Make the manifests anew, as whoever changes a package would."""
    for name, is_ours in (("manifest-sha256.txt", True), ("tagmanifest-sha256.txt", False)):
        lines = []
        for path in sorted(made.folder.rglob("*")):
            plain = str(path.relative_to(made.folder))
            skipped = plain == "tagmanifest-sha256.txt" or not path.is_file()
            if not skipped and plain.startswith("data/") == is_ours:
                lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {plain}\n")
        (made.folder / name).write_text("".join(lines))


def ours(made: Made) -> int:
    out = io.StringIO()
    with redirect_stdout(out):
        return main(
            [
                "--home",
                str(made.home),
                "--json",
                "verify-package",
                str(zipped(made)),
                "--policy",
                str(made.policy),
            ]
        )


def verify_py(made: Made) -> int:
    return subprocess.run(  # noqa: S603 - our own verifier
        [sys.executable, "-I", made.folder / "verify.py", made.folder, "--policy", made.policy],
        capture_output=True,
        check=False,
    ).returncode


def verify_sh(made: Made) -> int:
    needed = ("openssl", "sha256sum", "awk", "od")
    missing = [each for each in needed if shutil.which(each) is None]
    if missing:
        pytest.skip(f"verify.sh needs {', '.join(missing)}: apt-get install openssl coreutils")
    return subprocess.run(  # noqa: S603 - our own verifier
        ["/bin/sh", made.folder / "verify.sh", "--policy", made.policy],
        capture_output=True,
        check=False,
    ).returncode


VERIFIERS = {"ours": ours, "verify.py": verify_py, "verify.sh": verify_sh}


@pytest.fixture(params=VERIFIERS)
def verifier(request: pytest.FixtureRequest) -> Callable[[Made], int]:
    return VERIFIERS[request.param]


def test_all_three_verifiers_accept_what_was_exported(
    made: Made, verifier: Callable[[Made], int]
) -> None:
    assert verifier(made) == 0


def test_the_bag_is_one_that_bagit_accepts(made: Made) -> None:
    bagit.Bag(str(made.folder)).validate()


def test_the_answer_says_which_version_matched_and_who_held_it(original: Made) -> None:
    records = run(original.home, "verify-package", original.file, "--policy", original.policy)
    content = [each["detail"] for each in records if each.get("question") == "content"]
    assert [str(each).split(",")[0] for each in content] == [
        f"original of {VIDEO}",
        f"redacted version R01 of {VIDEO}",
    ]
    summary = records[-1]["summary"]
    assert isinstance(summary, dict)
    assert summary["custodians"] == {VIDEO: "lab", KNIFE: "lab"}
    assert summary["does_not_show"]


def test_what_was_not_to_be_disclosed_is_not_in_the_package(original: Made) -> None:
    whole = b"".join(path.read_bytes() for path in original.folder.rglob("*") if path.is_file())
    assert b"Novak" not in whole
    assert b"Dr. B" not in whole
    page = (original.folder / "report.html").read_text()
    assert "Brod" in page
    assert "<script" not in page


def test_without_a_policy_of_ones_own_that_is_said(original: Made) -> None:
    records = run(original.home, "verify-package", original.file)
    assert [each["outcome"] for each in records if each.get("question") == "policy"] == [
        "not_shown"
    ]


# ------------------------------------------------------------------------ sabotage


def events(made: Made, ern: str = VIDEO) -> list[Path]:
    return sorted((made.folder / "data/items" / ern / "events").glob("*.json"))


def flip(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def a_byte_of_the_content(made: Made) -> None:
    flip(next((made.folder / "data/items" / VIDEO / "versions").glob("*original")), 1000)


def a_byte_of_an_event(made: Made) -> None:
    path = events(made)[0]
    path.write_bytes(path.read_bytes().replace(b"SI-CASE-0001", b"SI-CASE-0002"))


def a_byte_of_a_signature(made: Made) -> None:
    flip(events(made)[1].with_suffix(".sig"))


def an_event_is_dropped(made: Made) -> None:
    for ending in (".json", ".sig", ".tlog-proof"):
        events(made)[2].with_suffix(ending).unlink()


def the_last_event_is_dropped(made: Made) -> None:
    for path in (made.folder / "data/items" / VIDEO / "events").glob(f"{events(made)[-1].stem}.*"):
        path.unlink()


def the_first_event_is_dropped(made: Made) -> None:
    for path in (made.folder / "data/items" / VIDEO / "events").glob("000001.*"):
        path.unlink()


def an_event_is_dated_back(made: Made) -> None:
    path = events(made)[1]
    event = json.loads(path.read_bytes())
    event["at"] = "2020-01-01T00:00:00.000000Z"
    path.write_bytes(canonical(event))


def an_event_is_signed_by_a_stranger(made: Made) -> None:
    path = events(made)[1]
    stranger = Ed25519PrivateKey.generate()
    path.with_suffix(".sig").write_bytes(stranger.sign(b"evidence-event/v1\n" + path.read_bytes()))


def the_key_of_a_stranger_is_registered(made: Made) -> None:
    stranger = Ed25519PrivateKey.generate()
    public = stranger.public_key().public_bytes_raw()
    path = made.folder / "data/control/000000000001.json"
    entry = json.loads(path.read_bytes())
    entry["body"]["public"] = base64.b64encode(public).decode()
    message = b"evidence-control/v1\n" + canonical(entry["body"])
    for each in entry["sigs"]:
        each["sig"] = base64.b64encode(stranger.sign(message)).decode()
    path.write_bytes(canonical(entry))


def the_proof_is_of_another_leaf(made: Made) -> None:
    one, other = (path.with_suffix(".tlog-proof") for path in events(made)[:2])
    one.write_bytes(other.read_bytes())


def proof_lines(made: Made) -> tuple[Path, list[str], str]:
    path = events(made)[-1].with_suffix(".tlog-proof")
    head, _, note = path.read_text().partition("\n\n")
    return path, head.split("\n"), note


def the_proof_is_too_short(made: Made) -> None:
    path, lines, note = proof_lines(made)
    path.write_text("\n".join(lines[:-1]) + "\n\n" + note)


def the_proof_is_too_long(made: Made) -> None:
    path, lines, note = proof_lines(made)
    path.write_text("\n".join([*lines, lines[-1]]) + "\n\n" + note)


def the_proof_has_another_index(made: Made) -> None:
    path, lines, note = proof_lines(made)
    index = int(lines[1].split()[1])
    path.write_text("\n".join([lines[0], f"index {index - 1}", *lines[2:]]) + "\n\n" + note)


def the_checkpoint_has_another_size(made: Made) -> None:
    path, lines, note = proof_lines(made)
    origin, size, rest = note.split("\n", 2)
    path.write_text("\n".join(lines) + f"\n\n{origin}\n{int(size) + 1}\n{rest}")


def the_checkpoint_is_of_another_log(made: Made) -> None:
    path, lines, note = proof_lines(made)
    path.write_text(
        "\n".join(lines) + "\n\n" + note.replace("police-directorate", "police-directorete")
    )


def a_checkpoint_has_no_signature_of_the_log(made: Made) -> None:
    path, lines, note = proof_lines(made)
    text, _, signatures = note.partition("\n\n")
    first, *_ = signatures.split("\n")
    dash, name, _ = first.split(" ")
    path.write_text("\n".join(lines) + f"\n\n{text}\n\n{dash} {name}x AAAAAAAA\n")


def a_file_is_added(made: Made) -> None:
    (made.folder / "data/items/extra.txt").write_text("something else")


def the_item_key_is_another(made: Made) -> None:
    (made.folder / "data/items" / VIDEO / "item.key").write_text("00" * 32 + "\n")


def the_genesis_is_dropped(made: Made) -> None:
    for ending in ("json", "tlog-proof"):
        (made.folder / f"data/control/000000000000.{ending}").unlink()


def two_items_exchange_their_events(made: Made) -> None:
    for ending in (".json", ".sig", ".tlog-proof"):
        one, other = events(made)[0].with_suffix(ending), events(made, KNIFE)[0].with_suffix(ending)
        content = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)


SABOTAGE = (
    a_byte_of_the_content,
    a_byte_of_an_event,
    a_byte_of_a_signature,
    an_event_is_dropped,
    the_first_event_is_dropped,
    the_last_event_is_dropped,
    an_event_is_dated_back,
    an_event_is_signed_by_a_stranger,
    the_key_of_a_stranger_is_registered,
    the_proof_is_of_another_leaf,
    the_proof_is_too_short,
    the_proof_is_too_long,
    the_proof_has_another_index,
    the_checkpoint_has_another_size,
    the_checkpoint_is_of_another_log,
    a_checkpoint_has_no_signature_of_the_log,
    the_item_key_is_another,
    the_genesis_is_dropped,
    two_items_exchange_their_events,
)


@pytest.mark.parametrize("harm", SABOTAGE, ids=lambda harm: harm.__name__)
def test_every_verifier_refuses_when(
    made: Made, verifier: Callable[[Made], int], harm: Callable[[Made], None]
) -> None:
    harm(made)
    manifests(made)  # or the manifest alone would tell
    assert verifier(made) == 3


@pytest.mark.parametrize(
    "harm", [a_byte_of_the_content, a_file_is_added], ids=lambda harm: harm.__name__
)
def test_a_manifest_that_does_not_agree_is_refused(
    made: Made, verifier: Callable[[Made], int], harm: Callable[[Made], None]
) -> None:
    harm(made)
    assert verifier(made) == 3


def a_disclosure_is_changed(made: Made) -> None:
    path = next((made.folder / "data/items" / VIDEO / "events").glob("*.disclosed"))
    path.write_text(
        base64.urlsafe_b64encode(b'["x","place","Elsewhere"]').decode().rstrip("=") + "\n"
    )


def two_checkpoints_are_not_of_one_log(made: Made) -> None:
    path = min((made.folder / "data/checkpoints").glob("*.consistency"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(reversed(lines)) + "\n" if len(lines) > 1 else "")


@pytest.mark.parametrize(
    "harm",
    [a_disclosure_is_changed, two_checkpoints_are_not_of_one_log],
    ids=lambda harm: harm.__name__,
)
@pytest.mark.parametrize(
    "name", ["ours", "verify.py"]
)  # verify.sh says that it does not check them
def test_the_two_larger_verifiers_refuse_when(
    made: Made, name: str, harm: Callable[[Made], None]
) -> None:
    harm(made)
    manifests(made)
    assert VERIFIERS[name](made) == 3


def test_a_policy_for_another_log_accepts_nothing(
    made: Made, verifier: Callable[[Made], int], tmp_path: Path
) -> None:
    home = tmp_path / "other"
    run(home, "init", "--state", "HR", "--authority", "Other")
    made.policy = tmp_path / "other-policy.txt"
    made.policy.write_text(str(run(home, "log", "status")[0]["policy"]))
    assert verifier(made) == 3


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"not a zip at all" * 100],
    ids=["empty", "cut short", "something else"],
)
def test_what_is_no_package_is_refuted_with_a_finding(
    original: Made, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    finding, summary = run(original.home, "verify-package", path, code=3)
    assert finding["outcome"] == "refuted"
    assert summary["summary"]["verifies"] is False  # type: ignore[index] # it is a mapping


def test_a_byte_of_the_zips_directory_is_refuted_and_no_usage_error(
    original: Made, tmp_path: Path
) -> None:
    content = bytearray(original.file.read_bytes())
    content[content.rindex(b"PK\x01\x02")] ^= 1
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    run(original.home, "verify-package", path, code=3)
    path.write_bytes(original.file.read_bytes()[:-1000])
    run(original.home, "verify-package", path, code=3)


def test_a_package_that_is_not_there_is_a_usage_error(original: Made, tmp_path: Path) -> None:
    run(original.home, "verify-package", tmp_path / "none.zip", code=2)


@pytest.mark.parametrize("name", ["../evil", "/etc/x", f"{BASE}/../x", "elsewhere/x"])
def test_a_name_that_leads_out_of_the_package_is_refused(
    original: Made, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "x.zip"
    shutil.copy(original.file, path)
    with zipfile.ZipFile(path, "a") as content:
        content.writestr(name, b"x")
    run(original.home, "verify-package", path, code=3)


def test_an_export_never_replaces_a_file(original: Made, tmp_path: Path) -> None:
    path = tmp_path / "there.zip"
    path.write_bytes(b"mine")
    run(original.home, "export", KNIFE, "-o", path, "--person", "A", "--reference", "r", code=2)
    assert path.read_bytes() == b"mine"


def test_a_package_can_hold_proofs_only(original: Made, tmp_path: Path) -> None:
    path = tmp_path / "proofs.zip"
    run(
        original.home, "export", KNIFE, "-o", path, "--person", "A", "--reference", "r",
        "--versions", "none", "--disclose-all",
    )  # fmt: skip
    records = run(original.home, "verify-package", path, "--policy", original.policy)
    assert not [each for each in records if each.get("question") == "content"]


def exports(home: Path, ern: str = KNIFE) -> int:
    """How many exports of an item are recorded."""
    (row,) = run(home, "custody", ern)
    timeline = row["timeline"]
    assert isinstance(timeline, list)
    return sum(each["act"] == "exported" for each in timeline)


def export(
    original: Made, path: Path, *more: str, code: int = 0, erns: tuple[str, ...] = (KNIFE,)
) -> list[dict[str, object]]:
    fixed = ("--person", "A", "--reference", "r")
    return run(original.home, "export", *erns, "-o", path, *fixed, *more, code=code)


def test_an_export_into_a_folder_that_is_not_there_records_nothing(
    original: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = exports(original.home)
    export(original, tmp_path / "none/x.zip", code=2)
    assert "E100" in capsys.readouterr().err
    assert exports(original.home) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", [("--versions", "9"), ("--disclose", "nosuchfield")])
def test_an_export_of_what_is_not_there_is_refused_and_records_nothing(
    original: Made, tmp_path: Path, asked: tuple[str, str]
) -> None:
    before = exports(original.home)
    export(original, tmp_path / "x.zip", *asked, code=2, erns=(KNIFE, VIDEO))
    assert exports(original.home) == before
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_the_log_did_not_seal_is_finished_by_the_same_command(
    original: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exports(original.home)
    path = tmp_path / "x.zip"
    with monkeypatch.context() as patch:
        patch.setattr("api.ledger.settle", lambda _: "the witness is down")
        export(original, path, code=4)
        export(original, path, code=4)
    assert exports(original.home) == before + 1
    run(original.home, "act", "hold_placed", KNIFE, "--person", "A", "--hold", "H1")
    (row,) = export(original, path)
    assert exports(original.home) == before + 1
    assert [each.name for each in tmp_path.iterdir()] == ["x.zip"]
    records = run(original.home, "verify-package", path, "--policy", original.policy)
    composed = [each for each in records if each.get("question") == "composition"]
    assert str(row["package"]) in str(composed)


def test_what_is_asked_otherwise_than_before_is_another_export(
    original: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exports(original.home)
    path = tmp_path / "x.zip"
    with monkeypatch.context() as patch:
        patch.setattr("api.ledger.settle", lambda _: "the witness is down")
        export(original, path, code=4)
    run(original.home, "export", KNIFE, "-o", path, "--person", "B", "--reference", "r")
    assert exports(original.home) == before + 2


def text_of(original: Made, path: Path, *more: str | Path, code: int = 0) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        found = main(
            ["--home", str(original.home), "--text", "verify-package", str(path), *map(str, more)]
        )
    assert found == code
    return out.getvalue()


def test_the_text_says_first_whether_it_verifies_then_what_matched_and_who_held_it(
    original: Made,
) -> None:
    text = text_of(original, original.file, "--policy", original.policy)
    lines = text.splitlines()
    assert lines[0] == "The package verifies."
    assert f"matched: redacted version R01 of {VIDEO}" in text
    assert "held by lab at the end of what is shown" in text
    assert any("UTC  registered by police-directorate" in line for line in lines)
    assert any("UTC  received_with_reservations by lab" in line for line in lines)
    alike = [line for line in lines if "nobody signed it" in line]
    assert len(alike) == 1
    assert lines.index(alike[0]) > lines.index(f"{KNIFE}")


def test_what_is_refuted_stands_before_everything_else(made: Made) -> None:
    a_byte_of_the_content(made)
    manifests(made)
    lines = text_of(made, zipped(made), code=3).splitlines()
    assert lines[0] == "THE PACKAGE DOES NOT VERIFY."
    assert lines[1].startswith("REFUTED: data/items/")


def test_a_checked_file_is_named_as_a_court_does_with_its_proof(
    original: Made, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.bin"
    copy.write_bytes(b"redacted")
    out = io.StringIO()
    with redirect_stdout(out):
        assert main(["--home", str(original.home), "--text", "check", str(copy)]) == 0
    first, second = out.getvalue().splitlines()
    assert first.endswith(f"is the redacted version R01 of {VIDEO} (version 2)")
    assert second.strip().startswith("proved: event 2 measured it, signed by SI/")
    assert "in the log; held by lab" in second


def the_chains_are_cut_at_an_earlier_export(made: Made, later: Path) -> None:
    """What was exported before is all that is left of the events in a later package."""
    kept = {ern: len(events(made, ern)) for ern in (VIDEO, KNIFE)}
    shutil.rmtree(made.folder)
    with zipfile.ZipFile(later) as content:
        content.extractall(made.folder.parent)
    for ern, number in kept.items():
        for path in (made.folder / "data/items" / ern / "events").iterdir():
            if int(path.name.split(".")[0]) > number:
                path.unlink()


def test_a_package_that_was_cut_at_an_earlier_export_is_refused(
    original: Made, made: Made, tmp_path: Path
) -> None:
    later = tmp_path / "later.zip"
    run(original.home, "act", "damaged_declared", KNIFE, "--person", "A")
    export(original, later, erns=(VIDEO, KNIFE))
    the_chains_are_cut_at_an_earlier_export(made, later)
    manifests(made)
    for name, verifier in VERIFIERS.items():
        assert verifier(made) == 3, name
