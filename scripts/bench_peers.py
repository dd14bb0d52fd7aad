"""The programs that the benchmarks compare with: how to get each, without root, and how to run it.

They are installed into .bench/peers by their own package managers at the versions
named here, and never into the project's environment.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PEERS_FOLDER = Path(__file__).resolve().parent.parent / ".bench" / "peers"
BIN = PEERS_FOLDER / "bin"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass(frozen=True)
class Peer:
    """A program, its preparation outside the timing, and the command that is timed."""

    name: str
    program: str
    package: str
    command: str
    prepare: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    def missing(self) -> str | None:
        """None when the program can be run, after installing it; else why it cannot."""
        if not self._is_there():
            self._install()
        if self._is_there():
            return None
        return f"{self.name}: not measured: could not be installed ({self.package})"

    def environment(self) -> dict[str, str]:
        """The environment to prepare in."""
        return {**os.environ, **self.variables}

    def _is_there(self) -> bool:
        return (BIN / self.program).exists() or shutil.which(self.program) is not None

    def _install(self) -> None:
        if self.package.startswith("deb:"):
            self._install_debian(self.package.removeprefix("deb:"))
            return
        if not (BIN / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(PEERS_FOLDER)], check=True)
        subprocess.run([str(BIN / "pip"), "install", "--quiet", self.package], check=False, **QUIET)

    def _install_debian(self, package: str) -> None:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            return
        if os.geteuid() == 0:
            subprocess.run(["apt-get", "install", "--yes", package], check=False, **QUIET)
            return
        BIN.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", package], cwd=PEERS_FOLDER, check=False, **QUIET)
        for archive in PEERS_FOLDER.glob(f"{package}_*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(PEERS_FOLDER / "deb")], check=True)
            shutil.copy(PEERS_FOLDER / "deb/usr/bin" / self.program, BIN / self.program)


PEERS = (
    Peer(
        "cp + bagit.py + sync (SHA-256)",
        "bagit.py",
        "bagit==1.9.0",
        f"cp -r {{source}} bag; {BIN}/bagit.py --quiet --sha256 bag; sync -f bag",
    ),
    Peer(
        "ocfl-py (one object, SHA-512) + sync",
        "ocfl-object.py",
        "ocfl-py==2.1.0",
        f"{BIN}/ocfl-object.py create --srcdir {{source}} --objdir object --id bench; "
        "sync -f object",
    ),
    Peer(
        "borg create (repokey-blake2, no compression)",
        "borg",
        "deb:borgbackup",
        "borg create --compression none repo::one {source}; sync -f repo",
        prepare="borg init --encryption repokey-blake2 repo",
        variables={"BORG_PASSPHRASE": "bench", "BORG_BASE_DIR": "."},
    ),
    Peer(
        "restic backup",
        "restic",
        "deb:restic",
        f"PATH={BIN}:$PATH restic --repo repo --no-cache --quiet backup {{source}}; sync -f repo",
        prepare=f"PATH={BIN}:$PATH restic --repo repo --no-cache --quiet init",
        variables={"RESTIC_PASSWORD": "bench"},
    ),
)
