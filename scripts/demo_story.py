"""The story that `scripts/demo` tells: each step is a command of the product, shown and run.

Not a test: it stops at the first command that ends otherwise than it should.
"""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from demo_evidence import make_evidence

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"
EVIDENCE = ROOT / ".venv" / "bin" / "evidence"
COLLECTED = [
    "--method",
    "copied from the camera card, write-blocked",
    "--collected-by",
    "Insp. A. Novak",
]


def tell(text: str) -> None:
    """Say what comes next."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def run(*arguments: str, expect: int = 0) -> list[dict[str, object]]:
    """Show a command, run it as a person would, and as a program to get at its data."""
    print("$ evidence " + shlex.join(arguments), flush=True)
    command = [str(EVIDENCE), "--home", str(DEMO / "home"), *arguments]
    done = subprocess.run([*command, "--json"], cwd=DEMO, stdout=subprocess.PIPE, check=False)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    for record in records:
        print("  " + summary(record))
    print(f"  exit code {done.returncode}", flush=True)
    if done.returncode != expect:
        sys.exit(f"demo: expected exit code {expect}, found {done.returncode}")
    return records


def summary(record: dict[str, object]) -> str:
    """The parts of a record that matter here, on a line."""
    if "summary" in record:
        return json.dumps(record)
    names = ("check", "ern", "case", "path", "version", "version_type", "type", "status", "outcome")
    names += ("found", "advice", "recipient", "media_type", "sha256")
    shown = {name: record[name] for name in names if record.get(name) is not None}
    if "sha256" in shown:
        shown["sha256"] = str(shown["sha256"])[:16] + "…"
    for name in ("error", "reason"):
        if record.get(name):
            shown[name] = record[name]
    return "  ".join(f"{name}={value}" for name, value in shown.items())


def main() -> None:
    """Tell it."""
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    make_evidence(DEMO / "field")

    tell("A State's prosecutor sets up an instance and opens a case.")
    run("init", "--state", "SI", "--authority", "District State Prosecutor")
    case = str(
        run(
            "case",
            "open",
            "--title",
            "Shelling of the village of Brod",
            "--reference",
            "Kt/2026/117",
        )[0]["case"]
    )

    tell(
        "An investigator takes in what was brought from the field: photographs, sound, a statement, a document."
    )
    collected = [
        *COLLECTED,
        "--collected-at",
        "2026-03-14T10:20+01:00",
        "--place",
        "Brod, main square",
    ]
    lines = run("ingest", "field", "--case", case, *collected)
    erns = {Path(str(line["path"])).name: str(line["ern"]) for line in lines if line.get("ern")}

    tell("The statement has fields of its own; who the witness is stays sensitive.")
    run(
        "ingest",
        "statement.txt",
        "--case",
        case,
        "--kind",
        "witness_statement",
        *collected,
        "--field",
        "statement_type=investigative",
        "--field",
        "language=sl",
        "--field",
        "oath=yes",
        "--source",
        "WIT, by the interviewer",
    )

    tell("A physical exhibit has no bytes: it is known by its seals.")
    run(
        "exhibit",
        "register",
        "--case",
        case,
        "--seal",
        "SI-004211",
        "--container",
        "evidence bag",
        "--condition",
        "fragment, rusted",
        "--title",
        "Mortar fragment",
        *collected,
    )

    tell("Running the same command again registers nothing twice.")
    run("ingest", "field", "--case", case, *collected)

    taken_out_and_checked(erns["IMG_0001.jpg"])
    attacked()
    tell(
        f"That was the story. The instance is in {DEMO.relative_to(ROOT)}/home; "
        "try: .venv/bin/evidence --home .demo/home list"
    )


def taken_out_and_checked(photograph: str) -> None:
    """Evidence out again, and what a file at hand is."""
    tell("What the camera says of itself is shown apart from what the officer asserts.")
    item = run("show", photograph)[0]
    print("  " + json.dumps(item["versions"], ensure_ascii=False)[:600] + " …")

    tell("It comes out again, byte for byte, and is what was registered.")
    run("fetch", photograph, "-o", "out.jpg")
    run("check", "out.jpg")
    assert (DEMO / "out.jpg").read_bytes() == (DEMO / "field" / "IMG_0001.jpg").read_bytes()  # noqa: S101 - the story's point
    (DEMO / "altered.jpg").write_bytes((DEMO / "out.jpg").read_bytes() + b"\0")
    run("check", "altered.jpg", "--ern", photograph, expect=3)


def attacked() -> None:
    """The whole store read again, before and after somebody changed a byte in it."""
    tell("Everything stored is read again and compared.")
    run("verify")

    tell("Somebody with access to the disk changes one byte.")
    stored = max(
        (DEMO / "home" / "objects" / "objects").rglob("*"),
        key=lambda path: path.stat().st_size if path.is_file() else 0,
    )
    stored.chmod(0o644)
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(content)
    run("verify", expect=3)
    content[len(content) // 2] ^= 1
    stored.write_bytes(content)
    stored.chmod(0o444)

    tell("The byte is put back; the instance looks after itself.")
    run("doctor")


if __name__ == "__main__":
    main()
