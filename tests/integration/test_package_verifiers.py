"""The verifiers that travel with a package, run as a court would run them: alone, and in its folder."""

import ast
import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import bagit  # type: ignore[import-untyped] # it has no types
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence_store.package.bag import BASE
from tests.package_harms import HARMS, OURS, PY, SH, Harm
from tests.packages import (
    KNIFE,
    RP_ID,
    SITE,
    VIDEO,
    Court,
    Made,
    closed,
    manifests,
    told,
    told_by_hand,
    unfolded,
    zipped,
)
from tests.softkey import SoftKey

VERIFIERS = resources.files("evidence_store.package") / "verifiers"
PROGRAM = {name: (VERIFIERS / name).read_bytes() for name in (PY, SH)}
NEEDED = ("openssl", "basenc", "sha256sum", "awk", "od")
SECONDS = 240  # for a machine that has other things to do


def run(command: Sequence[str | Path], **given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own verifiers
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, "LC_ALL": "C", **given},
    )


def by_python(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-I", folder / PY, folder, *arguments])


def by_shell(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    missing = [each for each in NEEDED if shutil.which(each) is None]
    if missing:
        pytest.skip(f"verify.sh needs {', '.join(missing)}: apt-get install openssl coreutils")
    return run(["/bin/sh", folder / SH, *arguments])


VERIFY: dict[str, Callable[..., subprocess.CompletedProcess[str]]] = {PY: by_python, SH: by_shell}


@pytest.fixture(params=VERIFY)
def verify(request: pytest.FixtureRequest) -> Callable[..., subprocess.CompletedProcess[str]]:
    return VERIFY[request.param]


def laid_out(made: Made, folder: Path) -> tuple[Path, Path]:
    """The unzipped package with its verifiers, and a court's own policy beside it."""
    made.files |= PROGRAM
    policy = folder / "policy of the court.txt"
    policy.write_text(str(made.policy))
    return unfolded(made, folder / BASE), policy


def test_a_sound_package_is_accepted(
    verify: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, policy = laid_out(closed(told()), tmp_path)
    ran = verify(folder, "--policy", policy)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    assert "REFUTED" not in ran.stdout


ED25519 = SoftKey(SITE, RP_ID, private=Ed25519PrivateKey.generate())


@pytest.mark.parametrize("key", [SoftKey(SITE, RP_ID), ED25519], ids=["es256", "ed25519"])
def test_what_an_officer_signed_by_hand_is_accepted(
    verify: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, key: SoftKey
) -> None:
    folder, policy = laid_out(closed(told_by_hand(key)), tmp_path)
    ran = verify(folder, "--policy", policy)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "withheld" not in ran.stdout
    assert ran.stderr == ""


def test_a_passkeys_answer_that_is_withheld_is_said_to_be_so(
    verify: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    made = closed(told_by_hand())
    for stem in made.events():
        made.files.pop(f"{stem}.disclosed")
    folder, policy = laid_out(made, tmp_path)
    ran = verify(folder, "--policy", policy)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "withheld" in ran.stdout


def test_a_policy_that_comes_with_the_package_is_said_to_be_no_proof(
    verify: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, _ = laid_out(closed(told()), tmp_path)
    ran = verify(folder)
    assert ran.returncode == 0
    assert "not shown: that this is the right log" in ran.stdout


@pytest.mark.parametrize(
    ("name", "harm"),
    [(name, harm) for harm in HARMS for name in harm.by if name != OURS],
    ids=lambda value: value.name if isinstance(value, Harm) else value,
)
def test_it_refuses_when(name: str, harm: Harm, tmp_path: Path) -> None:
    folder, policy = laid_out(harm.build(), tmp_path)
    ran = VERIFY[name](folder, "--policy", policy)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert "REFUTED" in ran.stdout
    assert ran.stderr == ""


def test_a_policy_of_another_log_is_satisfied_by_nothing(
    verify: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    made = closed(told())
    folder, policy = laid_out(made, tmp_path)
    policy.write_text(str(Court(origin="log.invalid/hr/other").policy))
    ran = verify(folder, "--policy", policy)
    assert ran.returncode == 3


def test_a_policy_of_several_logs_serves_the_one_at_hand(
    verify: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, policy = laid_out(closed(told()), tmp_path)
    other = str(Court(origin="log.invalid/hr/other").policy).splitlines(keepends=True)
    logs = [line for line in other if line.startswith("log ")]
    policy.write_text("# two States\n" + "".join(logs) + policy.read_text())
    ran = verify(folder, "--policy", policy)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# ----------------------------------------------------------------------------- bag


def a_byte_is_changed(folder: Path) -> None:
    path = folder / f"data/items/{VIDEO}/item.key"
    path.write_bytes(b"0" + path.read_bytes()[1:])


def a_file_is_added(folder: Path) -> None:
    (folder / f"data/items/{KNIFE}/note.txt").write_text("something else")


def a_file_is_taken_out(folder: Path) -> None:
    (folder / f"data/items/{VIDEO}/events/000001.disclosed").unlink()


def a_tag_file_is_added(folder: Path) -> None:
    (folder / "read me first.txt").write_text("something else")


def the_report_is_changed(folder: Path) -> None:
    (folder / "report.html").write_text("another story")


def a_file_is_a_link(folder: Path) -> None:
    path = folder / f"data/items/{VIDEO}/item.key"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def a_folder_is_a_link(folder: Path) -> None:
    (folder / f"data/items/{VIDEO}/originals").symlink_to(folder.parent)


def it_does_not_say_that_it_is_a_bag(folder: Path) -> None:
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {"bagit.txt", "tagmanifest-sha256.txt"}
    }
    (folder / "bagit.txt").unlink()
    tags = [name for name in files if not name.startswith("data/")]
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(tags)]
    (folder / "tagmanifest-sha256.txt").write_text("".join(lines))


@pytest.mark.parametrize(
    "spoil",
    [
        a_folder_is_a_link,
        it_does_not_say_that_it_is_a_bag,
        a_byte_is_changed,
        a_file_is_added,
        a_file_is_taken_out,
        a_tag_file_is_added,
        the_report_is_changed,
        a_file_is_a_link,
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_a_folder_that_is_not_what_the_manifests_say_is_refused(
    verify: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    spoil: Callable[[Path], None],
) -> None:
    folder, _ = laid_out(closed(told()), tmp_path)
    spoil(folder)
    assert verify(folder).returncode == 3


def test_the_folder_is_a_bag_that_bagit_accepts(tmp_path: Path) -> None:
    folder, _ = laid_out(closed(told()), tmp_path)
    bagit.Bag(str(folder)).validate()


# ------------------------------------------------------------------------ verify.py


def test_verify_py_reads_the_zip_as_it_came(tmp_path: Path) -> None:
    made = closed(told())
    (tmp_path / "p.zip").write_bytes(zipped(made).read())
    (tmp_path / PY).write_bytes(PROGRAM[PY])
    assert run([sys.executable, "-I", tmp_path / PY, tmp_path / "p.zip"]).returncode == 0


def written(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as content:
        for name, data in members:
            content.writestr(name, data)
    return file.getvalue()


def with_a_name(name: str) -> bytes:
    """A package whose manifests know of a file that has this name."""
    made = closed(told())
    made.files[name.removeprefix(f"{BASE}/")] = b"x"
    members = made.files | manifests(made.files)
    return written(*((f"{BASE}/{each}", content) for each, content in members.items()))


def damaged() -> bytes:
    content = bytearray(zipped(closed(told())).read())
    content[content.index(b"the whole video")] ^= 1
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: b"", id="nothing"),
        pytest.param(lambda: b"PK" * 100, id="no zip"),
        pytest.param(damaged, id="a damaged zip"),
        pytest.param(lambda: written(("elsewhere/x", b"x")), id="a foreign file"),
        pytest.param(lambda: with_a_name(f"{BASE}/../evil.sh"), id="a name that leads out of it"),
        pytest.param(lambda: with_a_name(f"{BASE}/data/POLICY.txt"), id="a name in capitals"),
        pytest.param(lambda: with_a_name(f"{BASE}/.hidden"), id="a hidden file"),
        pytest.param(
            lambda: written((f"{BASE}/bomb", bytes(9_000_000)), compression=zipfile.ZIP_DEFLATED),
            id="a zip that unfolds",
        ),
    ],
)
def test_verify_py_refuses_a_file_that_is(content: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(content())
    (tmp_path / PY).write_bytes(PROGRAM[PY])
    ran = run([sys.executable, "-I", tmp_path / PY, tmp_path / "p.zip"])
    assert ran.returncode == 3
    assert ran.stderr == ""


def without_mldsa(folder: Path) -> Path:
    """The verifier as it is under a library that has no ML-DSA."""
    text = (folder / PY).read_text()
    assert "asymmetric.mldsa" in text
    path = folder.parent / "older.py"
    path.write_text(text.replace("asymmetric.mldsa", "asymmetric.of_later_years"))
    return path


def test_under_an_older_library_verify_py_says_that_ml_dsa_is_not_shown(tmp_path: Path) -> None:
    folder, policy = laid_out(closed(told()), tmp_path)
    older = without_mldsa(folder)
    ran = run([sys.executable, "-I", older, folder, "--policy", policy])
    assert ran.returncode == 0, ran.stdout
    assert "not shown: ML-DSA" in ran.stdout


def test_under_an_older_library_a_log_with_an_ml_dsa_key_alone_is_not_accepted(
    tmp_path: Path,
) -> None:
    folder, policy = laid_out(closed(told()), tmp_path)
    lines = policy.read_text().splitlines(keepends=True)
    ed25519 = next(line for line in lines if line.startswith("log "))
    policy.write_text("".join(line for line in lines if line != ed25519))
    assert by_python(folder, "--policy", policy).returncode == 0
    older = without_mldsa(folder)
    assert run([sys.executable, "-I", older, folder, "--policy", policy]).returncode == 3


def under_two_names(text: str) -> str:
    """The first witness stands in for the second, too."""
    one, two = (line for line in text.splitlines() if line.startswith("witness "))
    return text.replace(two, " ".join(["witness", "w2", one.split()[2]]))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("quorum both", ""), id="no quorum"),
        pytest.param(lambda text: text.replace("quorum both", "quorum all-of-us"), id="no such"),
        pytest.param(lambda text: text.replace("group both 2", "group both 0"), id="nobody"),
        pytest.param(
            lambda text: text.replace("group both 2 w1", "group both 2 both"), id="itself"
        ),
        pytest.param(lambda text: text.replace("log ", "logs "), id="a word that is none"),
        pytest.param(lambda text: text.replace("+", "+0", 1), id="another key ID"),
        pytest.param(under_two_names, id="one key under two names"),
        pytest.param(lambda text: text.replace("witness w1", "witness none"), id="none as a name"),
        pytest.param(lambda text: text.replace("log ", "witness x ", 1), id="a log as a witness"),
    ],
)
def test_verify_py_takes_no_policy_that_asks_for_less_than_it_says(
    change: Callable[[str], str], tmp_path: Path
) -> None:
    folder, policy = laid_out(closed(told()), tmp_path)
    changed = change(policy.read_text())
    assert changed != policy.read_text()
    policy.write_text(changed)
    assert by_python(folder, "--policy", policy).returncode == 3


def test_nothing_in_a_package_can_add_a_line_to_what_verify_py_says(tmp_path: Path) -> None:
    found = told()
    found.act(VIDEO, "verified_match\nproved   forged: \x1b[2Jall is well\u202e")
    folder, policy = laid_out(closed(found), tmp_path)
    ran = by_python(folder, "--policy", policy)
    assert not any(line.startswith("proved   forged") for line in ran.stdout.splitlines())
    assert ran.stdout.isascii()
    assert "\x1b" not in ran.stdout


def test_verify_py_runs_on_python_3_9_and_needs_nothing_but_cryptography() -> None:
    tree = ast.parse(PROGRAM[PY], feature_version=(3, 9))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]  # type: ignore[union-attr] # never relative
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported - sys.stdlib_module_names == {"cryptography"}


# ------------------------------------------------------------------------ verify.sh


def test_verify_sh_runs_from_any_folder_and_takes_a_policy_by_a_relative_name(
    tmp_path: Path,
) -> None:
    folder, policy = laid_out(closed(told()), tmp_path)
    by_shell(folder)  # or skip
    ran = run(["/bin/sh", "-c", f"cd '{tmp_path}' && sh {BASE}/{SH} --policy './{policy.name}'"])
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_verify_sh_says_that_it_cannot_check_where_a_tool_is_missing(tmp_path: Path) -> None:
    folder, _ = laid_out(closed(told()), tmp_path)
    by_shell(folder)  # or skip
    tools = tmp_path / "bin"
    tools.mkdir()
    for each in ("dirname", "cut", "sed", "awk", "find", "sha256sum", "basenc", "mktemp", "rm"):
        (tools / each).symlink_to(str(shutil.which(each)))
    assert run(["/bin/sh", folder / SH], PATH=str(tools)).returncode == 2


@pytest.mark.parametrize(
    "name",
    [
        f"data/items/{VIDEO}/versions/.0001-original",
        "data/items/.SI-2026-000009/versions/0001-original",
        "data/.x",
    ],
)
def test_a_hidden_file_is_refused(
    verify: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, name: str
) -> None:
    made = closed(told())
    made.files[name] = b"a fake"
    folder, policy = laid_out(made, tmp_path)
    assert verify(folder, "--policy", policy).returncode == 3


def test_where_it_ends_what_matched_and_who_held_it_are_told(
    verify: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, policy = laid_out(closed(told()), tmp_path)
    said = verify(folder, "--policy", policy).stdout
    assert f"redacted version R01 of {VIDEO}" in said
    assert f"original of {VIDEO}" in said
    assert "shown up to entry 8 of the log, 2026-03-14T09:12:00" in said
    assert f"{VIDEO}: held, as was signed, by police from 2026-03-14T09:05:00" in said


def test_verify_sh_says_that_it_does_not_check_witnesses(tmp_path: Path) -> None:
    """A quorum that nobody cosigned is refused by the others, and here at least said."""
    found = told()
    found.export()
    found.seal(without=("w1", "w2"))
    folder, policy = laid_out(found.made(), tmp_path)
    ran = by_shell(folder, "--policy", policy)
    assert ran.returncode == 0
    assert "not shown: that the quorum that the policy asks for (both) cosigned" in ran.stdout
    for each in ("ML-DSA", "time-stamps", "checkpoints", "revocation", "disclosures"):
        assert each in ran.stdout
    assert by_python(folder, "--policy", policy).returncode == 3


def test_a_call_that_is_wrong_is_no_verdict(
    verify: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, _ = laid_out(closed(told()), tmp_path)
    assert verify(folder, "--policy", tmp_path / "none.txt").returncode == 2
    assert verify(folder, "--polcy", "x").returncode == 2


def test_the_manifests_of_the_tests_are_those_of_a_bag() -> None:
    made = closed(told())
    with zipfile.ZipFile(zipped(made)) as content:
        written_by_us = content.read(f"{BASE}/manifest-sha256.txt")
    assert manifests(made.files)["manifest-sha256.txt"] == written_by_us
