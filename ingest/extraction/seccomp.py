"""The system-call filter of the isolated process, as a classic BPF program. Decides; does nothing.

Everything is refused (EPERM) that is not listed, so a call that a future kernel adds is
refused too. What only an exploit would call ends the process. See seccomp(2); the layout
is `struct seccomp_data` and the numbers are those of the kernel's own tables.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from evidence_store.errors import UnavailableError

EPERM = 1
KILL_PROCESS = 0x8000_0000
ALLOW = 0x7FFF_0000
REFUSE = 0x0005_0000 | EPERM

# Instructions (linux/bpf_common.h): load a word, jump if equal / greater or equal / any bit set, return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Offsets in struct seccomp_data; the low half of an argument comes first (little-endian).
_NUMBER, _ARCHITECTURE, _ARGUMENT_2 = 0, 4, 32
_PROT_EXEC = 4
_X32_BIT = 0x4000_0000


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a machine's kernel numbers its system calls. `column` is its place in the tables."""

    audit: int
    column: int
    seccomp_call: int


ARCHITECTURES = {
    "x86_64": Architecture(audit=0xC000_003E, column=0, seccomp_call=317),
    "aarch64": Architecture(audit=0xC000_00B7, column=1, seccomp_call=277),
}

# Name: number on x86_64, on aarch64. The most frequent first: the list is walked for every call.
ALLOWED = {
    "pread64": (17, 67),  # `read`, `lseek` and `preadv2` can move the offset that we share
    "recvmsg": (47, 212),
    "sendto": (44, 206),  # on the socket pair; `sendmsg` could send descriptors back
    "close": (3, 57),
    "futex": (202, 98),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "setitimer": (38, 103),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "clock_gettime": (228, 113),
    "gettimeofday": (96, 169),
    "getrandom": (318, 278),
    "sched_yield": (24, 124),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
}

# Allowed unless the memory is to be executable: nobody brings new code in.
WITHOUT_EXECUTION = {"mmap": (9, 222), "mprotect": (10, 226)}

# No parser calls these by mistake.
DEADLY = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kill": (62, 129),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "unshare": (272, 97),
    "setns": (308, 268),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
}


def architecture(machine: str) -> Architecture:
    """The architecture of this name, as `uname -m` gives it.

    Raises:
        UnavailableError: if the filter does not know it.
    """
    try:
        return ARCHITECTURES[machine]
    except KeyError:
        known = " or ".join(ARCHITECTURES)
        raise UnavailableError(f"isolation: expected {known}, found {machine}") from None


def program(of: Architecture) -> bytes:
    """The filter for an architecture, as an array of `struct sock_filter`."""
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in _instructions(of))


def _instructions(of: Architecture) -> Iterator[tuple[int, int, int, int]]:
    """Code, jump if true, jump if false (both count the instructions to skip), operand."""
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, of.audit
    yield _RETURN, 0, 0, KILL_PROCESS  # otherwise the numbers below would mean other calls
    yield _LOAD, 0, 0, _NUMBER
    yield _AT_LEAST, 0, 1, _X32_BIT  # the x32 ABI has its own numbers
    yield _RETURN, 0, 0, KILL_PROCESS
    for numbers in ALLOWED.values():
        yield _EQUAL, 0, 1, numbers[of.column]
        yield _RETURN, 0, 0, ALLOW
    for numbers in WITHOUT_EXECUTION.values():
        yield _EQUAL, 0, 4, numbers[of.column]
        yield _LOAD, 0, 0, _ARGUMENT_2
        yield _ANY_BIT, 0, 1, _PROT_EXEC
        yield _RETURN, 0, 0, REFUSE
        yield _RETURN, 0, 0, ALLOW
    for numbers in DEADLY.values():
        yield _EQUAL, 0, 1, numbers[of.column]
        yield _RETURN, 0, 0, KILL_PROCESS
    yield _RETURN, 0, 0, REFUSE
