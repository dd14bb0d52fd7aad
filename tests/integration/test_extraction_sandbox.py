"""What a parser that has been taken over could still do: tried, call by call, inside the sandbox.

Each process here enters the sandbox as a worker does, tries something, and reports over the
only thing that is left to it, its socket.
"""

import json
import platform
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.extraction import seccomp

ROOT = Path(__file__).resolve().parents[2]
PRELUDE = """
import ctypes, json, mmap, os, signal, socket, sys, threading, time
sys.path.insert(0, sys.argv[1])
from ingest.extraction import sandbox
from evidence_store.errors import UnavailableError
channel = socket.socket(fileno=int(sys.argv[2]))
source = int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
try:
    words = sandbox.enter(int(sys.argv[4]))
except UnavailableError as error:
    channel.send(json.dumps({"unavailable": str(error)}).encode())
    sys.exit()
"""
ATTEMPTS = {
    "a socket": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "a local socket": "socket.socket(socket.AF_UNIX)",
    "a socket pair": "socket.socketpair()",
    "opening a file": "os.open('/etc/hostname', os.O_RDONLY)",
    "opening through the process directory": "os.open('/proc/self/fd/0', os.O_RDONLY)",
    "making a file": "os.open('/tmp/x', os.O_WRONLY | os.O_CREAT)",
    "looking for a file": "os.stat('/etc/passwd')",
    "listing a folder": "os.listdir('/')",
    "removing a file": "os.unlink('/tmp/x')",
    "a file in memory": "os.memfd_create('x')",
    "a process": "os.fork()",
    "a thread": "threading.Thread(target=print).start()",
    "a pipe": "os.pipe()",
    "signalling a thread": "signal.pthread_kill(threading.get_ident(), 0)",
    "reading by the shared offset": "os.read(source, 1)",
    "moving the shared offset": "os.lseek(source, 1, os.SEEK_SET)",
    "writing": "os.write(source, b'x')",
    "truncating": "os.ftruncate(source, 0)",
    "changing the mode": "os.fchmod(source, 0o777)",
    "duplicating": "os.dup(source)",
    "sending a descriptor back": "socket.send_fds(channel, [b'x'], [source])",
    "executable memory": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "changing its priority": "os.nice(1)",
    "setting the clock": "time.clock_settime(time.CLOCK_REALTIME, 0)",
    "changing the user": "os.setuid(0)",
}
DEADLY = ("execve", "ptrace", "kill", "process_vm_readv", "io_uring_setup", "bpf", "unshare")


class Confined:
    """A process that enters the sandbox and then runs a script."""

    def __init__(self, script: str, source: Path, memory_bytes: int = 1 << 30) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, source.open("rb") as file:
            fds = (theirs.fileno(), file.fileno())
            arguments = [str(ROOT), *map(str, fds), str(memory_bytes)]
            child = subprocess.Popen(  # noqa: S603 - a script of this test
                [sys.executable, "-I", "-c", PRELUDE + script, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=fds,
            )
            theirs.close()
            ours.settimeout(30)
            packet = ours.recv(65536)
            self.code = child.wait(30)
        self.said: dict[str, str] = json.loads(packet) if packet else {}
        if "unavailable" in self.said:
            pytest.skip(f"nothing can be isolated here: {self.said['unavailable']}")


@pytest.fixture(name="source")
def _source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"evidence")
    return path


def test_a_process_in_the_sandbox_can_reach_nothing_but_what_it_was_handed(source: Path) -> None:
    script = "outcomes = {}\n"
    for name, attempt in ATTEMPTS.items():
        script += (
            f"try:\n    {attempt}\n    outcomes[{name!r}] = 'allowed'\n"
            f"except (PermissionError, RuntimeError) as error:\n    outcomes[{name!r}] = 'refused'\n"
            f"except BaseException as error:\n    outcomes[{name!r}] = repr(error)\n"
        )
    confined = Confined(script + "channel.send(json.dumps(outcomes).encode())", source)
    assert confined.said == dict.fromkeys(ATTEMPTS, "refused")
    assert source.read_bytes() == b"evidence"


def test_a_process_in_the_sandbox_reads_its_source_by_position(source: Path) -> None:
    script = "channel.send(json.dumps({'read': os.pread(source, 3, 2).decode()}).encode())"
    assert Confined(script, source).said == {"read": "ide"}


def test_a_process_in_the_sandbox_has_no_environment_and_a_bound_on_memory(source: Path) -> None:
    script = """
try:
    bytearray(300 << 20)
    outcome = "allowed"
except MemoryError:
    outcome = "refused"
channel.send(json.dumps({"memory": outcome, "environment": " ".join(os.environ)}).encode())
"""
    said = Confined(script, source, memory_bytes=256 << 20).said
    assert said == {"memory": "refused", "environment": ""}


@pytest.mark.skipif(
    platform.machine() not in seccomp.ARCHITECTURES, reason="isolation is for x86_64 and aarch64"
)
@pytest.mark.parametrize("name", DEADLY)
def test_what_only_an_exploit_calls_ends_the_process(name: str, source: Path) -> None:
    number = seccomp.DEADLY[name][seccomp.architecture(platform.machine()).column]
    script = f"channel.send(b'{{}}')\nlibc.syscall({number}, 0, 0, 0, 0, 0)\nos._exit(0)"
    assert Confined(script, source).code == -signal.SIGSYS
