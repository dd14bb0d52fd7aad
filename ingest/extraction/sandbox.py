"""Gives up, for ever, everything the process does not need to parse what it is handed.

Called once in the worker, when every library is loaded and warm and before the first
file. It either holds wholly or raises: no file is parsed in a process that is not isolated.
Linux on x86_64 and aarch64 only.
"""

import ctypes
import errno
import gc
import os
import platform
import resource
import socket
from collections.abc import Callable
from contextlib import suppress

from evidence_store.errors import UnavailableError
from ingest.extraction import seccomp

OPEN_FILES_MAX = 16  # the socket pair, one source, and no room for more mischief
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x1000_0000, 0x4000_0000, 0x0800_0000


class _FilterProgram(ctypes.Structure):
    """`struct sock_fprog` (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def enter(memory_bytes: int) -> str:
    """Isolate this process; returns in words what holds.

    Raises:
        UnavailableError: if any part that is not optional cannot be set up.
    """
    if platform.system() != "Linux":
        raise UnavailableError(f"isolation: expected Linux, found {platform.system()}")
    architecture = seccomp.architecture(platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    os.environ.clear()
    namespaces = _leave_namespaces(libc)
    _limit(memory_bytes)
    _checked(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "process memory closed to others")
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    gc.freeze()
    _filter_calls(libc, architecture)
    _prove()
    return (
        "own process; no new privileges; system calls by allow-list (no files, network, "
        f"processes or new code); {namespaces}; {memory_bytes // 1024**2} MiB of memory"
    )


def _leave_namespaces(libc: ctypes.CDLL) -> str:
    """A second fence, where the system lets anyone have it; the filter alone is enough."""
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) == 0:
        return "own user and network namespace"
    return "no namespace of its own"


def _limit(memory_bytes: int) -> None:
    for kind, maximum in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES_MAX),
    ):
        try:
            resource.setrlimit(kind, (maximum, maximum))
        except (ValueError, OSError) as error:
            raise UnavailableError("isolation: the system refused a resource limit") from error


def _filter_calls(libc: ctypes.CDLL, architecture: seccomp.Architecture) -> None:
    instructions = seccomp.program(architecture)
    program = _FilterProgram(len(instructions) // 8, instructions)
    _checked(
        libc.syscall(
            architecture.seccomp_call,
            _SECCOMP_SET_MODE_FILTER,
            _SECCOMP_FILTER_FLAG_TSYNC,  # for every thread that a library may have started
            ctypes.byref(program),
        ),
        "a system-call filter",
    )


def _checked(result: int, what: str) -> None:
    if result != 0:
        reason = errno.errorcode.get(ctypes.get_errno(), "an error")
        raise UnavailableError(f"isolation: expected {what}, the system answered {reason}")


def _prove() -> None:
    """Insist that the filter bites: each of these must fail now."""
    attempts: dict[str, Callable[[], object]] = {
        "opening a file": lambda: os.open("/", os.O_RDONLY),
        "a socket": socket.socket,
    }
    for what, attempt in attempts.items():
        with suppress(PermissionError):
            attempt()
            raise UnavailableError(f"isolation: expected {what} to be refused, it was not")
