"""The story that `scripts/demo` tells: each step is a command of the product, shown and run.

Not a test: it stops at the first command that ends otherwise than it should.
"""

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from demo_evidence import make_evidence

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"
EVIDENCE = ROOT / ".venv" / "bin" / "evidence"
VIDEO_ENDINGS = (".avi",)
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
    names = (
        "transfer",
        "authority",
        "kid",
        "state",
        "custodian",
        "check",
        "ern",
        "case",
        "path",
        "version",
        "version_type",
        "type",
        "status",
        "outcome",
    )
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

    tell("A State's police sets up an instance and opens a case.")
    run("init", "--state", "SI", "--authority", "Police Directorate")
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
    exhibit = run(
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
    cooperated()
    fragment = str(exhibit[0]["ern"])
    video = next(ern for name, ern in sorted(erns.items()) if name.endswith(VIDEO_ENDINGS))
    handed_over_and_back(video, fragment)
    shown_to_a_court(video, fragment)
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


def handed_over_and_back(video: str, fragment: str) -> None:
    """From the police to a laboratory and back, one receipt with a reservation."""
    tell("A laboratory is entered as an authority, with a signing key of its own.")
    run("authority", "add", "National Forensic Laboratory", "--id", "laboratory")
    police = "police-directorate"
    travel("laboratory", police, [video, fragment], f"{fragment}=seal_broken:torn at the side")
    tell("The laboratory gives a new seal, and sends both back.")
    run("act", "seal_broken", fragment, "--person", "Dr. B. Kos", "--as", "laboratory")
    run(
        "act",
        "resealed",
        fragment,
        "--seal",
        "LAB-0077",
        "--person",
        "Dr. B. Kos",
        "--as",
        "laboratory",
    )
    travel(police, "laboratory", [video, fragment], f"{fragment}=ok")
    tell("Who held the fragment, when and why; and every gap.")
    for line in run("custody", fragment)[0]["timeline"]:  # type: ignore[attr-defined] # JSON
        print(
            f"  {line['seq']:>3} {line['act']:<28} by {line['by']}; then {line['state']} with {line['custodian']}"
        )


def travel(receiver: str, sender: str, items: list[str], line: str) -> None:
    """One transfer: offered, accepted, released, received."""
    tell(f"{sender} offers, {receiver} accepts: both sign the digest of the same offer.")
    offer = run(
        "transfer", "offer", *items, "--to", receiver, "--to-person", "the officer on duty",
        "--person", "the evidence officer", "--purpose", "metallurgical and image analysis",
        "--reference", "Kt/2026/117-4", "--valid-until", "2999Z", "--mode", "courier", "--as", sender,
    )  # fmt: skip
    transfer = str(offer[0]["transfer"])
    run("transfer", "accept", transfer, "--person", "the officer on duty", "--as", receiver)
    run(
        "transfer",
        "release",
        transfer,
        "--carrier",
        "Courier of the court",
        "--seal",
        "P-9",
        "--as",
        sender,
    )
    tell("Custody passes with the receipt, item by item; digests are measured by the receiver.")
    # The video travels on a disk: what is on it when it arrives is what the receiver measures.
    video, disk = items[0], DEMO / f"disk-of-{transfer}"
    run("fetch", video, "-o", str(disk))
    run(
        "transfer", "receive", transfer, "--person", "the officer on duty", "--as", receiver, "--line", line,
        "--file", f"{video}={disk}",
    )  # fmt: skip


def shown_to_a_court(video: str, fragment: str) -> None:
    """A package, three verifiers without a network, and one changed byte."""
    tell("A package for the court: contents, signed events, proofs, and the verifiers themselves.")
    run(
        "export", video, fragment, "-o", "court.zip", "--person", "A. Novak", "--reference", "Order 5/2026",
        "--disclose", "place",
    )  # fmt: skip
    (DEMO / "policy.txt").write_text(str(run("log", "status")[0]["policy"]))
    shutil.unpack_archive(DEMO / "court.zip", DEMO / "court")
    package = DEMO / "court" / "evidence-package"
    for expect in (0, 3):
        for command in (
            [str(EVIDENCE), "verify-package", "court.zip", "--policy", "policy.txt", "--text"],
            [
                sys.executable,
                "-I",
                str(package / "verify.py"),
                str(package),
                "--policy",
                "policy.txt",
            ],
            ["/bin/sh", str(package / "verify.sh"), "--policy", str(DEMO / "policy.txt")],
        ):
            offline(command, expect)
        if expect == 0:
            tell(
                "Somebody changes one byte of the video in the package, and makes the manifests anew."
            )
            change_a_byte(package)


def offline(command: list[str], expect: int) -> None:
    """Run a verifier without a network, where this machine lets us take it away."""
    shown = " ".join(Path(each).name for each in command)
    probe = ["unshare", "--user", "--net", "--map-root-user", "true"]
    able = (
        shutil.which("unshare")
        and subprocess.run(probe, check=False, capture_output=True).returncode == 0
    )
    print(f"$ {shown}{'   (no network)' if able else ''}")
    whole = [*(probe[:-1] if able else []), *command]
    done = subprocess.run(whole, cwd=DEMO, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    bad = [each for each in lines if each.lower().startswith("refuted")]
    print("\n".join(f"  {each[:150]}" for each in (bad or lines[-2:])))
    print(f"  exit code {done.returncode}", flush=True)
    if done.returncode != expect:
        sys.exit(f"demo: expected exit code {expect}, found {done.returncode}: {done.stderr}")


def change_a_byte(package: Path) -> None:
    """As a forger would: the content, and the manifests over it."""
    content = next(package.glob("data/items/*/versions/*-original"))
    changed = bytearray(content.read_bytes())
    changed[len(changed) // 2] ^= 1
    content.write_bytes(changed)
    for name, is_payload in (("manifest-sha256.txt", True), ("tagmanifest-sha256.txt", False)):
        lines = [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(package)}\n"
            for path in sorted(package.rglob("*"))
            if path.is_file()
            and path.name != "tagmanifest-sha256.txt"
            and path.is_relative_to(package / "data") == is_payload
        ]
        (package / name).write_text("".join(lines))
    with zipfile.ZipFile(DEMO / "court.zip", "w", zipfile.ZIP_STORED) as file:
        for path in sorted(package.rglob("*")):
            if path.is_file():
                file.write(path, f"evidence-package/{path.relative_to(package)}")


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


def cooperated() -> None:
    """Three States, played by the real commands on an instance of their own."""
    tell("Three States cooperate: a grant, refusals, onward sharing, a revocation (an exercise).")
    played = DEMO / "played"
    played.mkdir()
    command = [str(EVIDENCE), "--text", "scenario", "run", "three-states", "--keep", str(played)]
    print("$ evidence scenario run three-states", flush=True)
    done = subprocess.run(command, cwd=DEMO, check=False)
    if done.returncode:
        sys.exit(f"demo: expected exit code 0, found {done.returncode}")


def served() -> None:
    """The instance that was played on, over HTTP, until somebody interrupts it."""
    tell("Its HTTP API is served until you press Ctrl-C.")
    home = ["--home", str(DEMO / "played" / "home")]
    made = subprocess.run(
        [
            str(EVIDENCE),
            *home,
            "--json",
            "token",
            "make",
            "demo",
            "--scope",
            "read",
            "--officer",
            "OFF-0003",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    token = json.loads(made.stdout)["token"]
    (DEMO / "token").touch(0o600)
    (DEMO / "token").write_text(f"Authorization: Bearer {token}")
    print("  curl -H @.demo/token http://127.0.0.1:8470/v1/items")
    print("  curl http://127.0.0.1:8470/v1/log/checkpoint", flush=True)
    subprocess.run([str(EVIDENCE), *home, "serve", "--port", "8470"], check=False)


if __name__ == "__main__":
    main()
