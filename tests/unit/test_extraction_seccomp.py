"""The system-call filter, run by a small interpreter, for both machines it is written for."""

import struct

import pytest

from evidence_store.errors import UnavailableError
from ingest.extraction import seccomp
from ingest.extraction.seccomp import ALLOW, ARCHITECTURES, KILL_PROCESS, REFUSE, Architecture

MACHINES = pytest.mark.parametrize("machine", list(ARCHITECTURES))


def verdict(program: bytes, number: int, audit: int, argument_2: int = 0) -> int:
    """What the kernel would do with the call (classic BPF over `struct seccomp_data`)."""
    data = struct.pack("<LLQ6Q", number, audit, 0, 0, 0, argument_2, 0, 0, 0)
    accumulator, at = 0, 0
    code: int
    operand: int
    while True:
        code, if_true, if_false, operand = struct.unpack_from("<HBBI", program, 8 * at)
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<L", data, operand)
            case 0x15:
                at += if_true if accumulator == operand else if_false
            case 0x35:
                at += if_true if accumulator >= operand else if_false
            case 0x45:
                at += if_true if accumulator & operand else if_false
            case 0x06:
                return operand
            case _:
                pytest.fail(f"an instruction that the test does not know: {code:#x}")


def of(machine: str) -> tuple[bytes, Architecture]:
    """The machine's filter."""
    architecture = ARCHITECTURES[machine]
    return seccomp.program(architecture), architecture


@MACHINES
def test_every_call_that_is_not_listed_is_refused(machine: str) -> None:
    program, architecture = of(machine)
    column = architecture.column
    listed = {
        numbers[column]
        for table in (seccomp.ALLOWED, seccomp.WITHOUT_EXECUTION, seccomp.DEADLY)
        for numbers in table.values()
    }
    for number in set(range(1024)) - listed:
        assert verdict(program, number, architecture.audit) == REFUSE


@MACHINES
def test_every_listed_call_gets_its_verdict(machine: str) -> None:
    program, architecture = of(machine)
    for table, expected in ((seccomp.ALLOWED, ALLOW), (seccomp.DEADLY, KILL_PROCESS)):
        for name, numbers in table.items():
            number = numbers[architecture.column]
            assert verdict(program, number, architecture.audit) == expected, name


@MACHINES
def test_memory_may_be_had_but_not_executed(machine: str) -> None:
    program, architecture = of(machine)
    for numbers in seccomp.WITHOUT_EXECUTION.values():
        number = numbers[architecture.column]
        assert verdict(program, number, architecture.audit, argument_2=3) == ALLOW
        assert verdict(program, number, architecture.audit, argument_2=4) == REFUSE
        assert verdict(program, number, architecture.audit, argument_2=7) == REFUSE


@MACHINES
def test_another_architecture_is_killed_whatever_it_calls(machine: str) -> None:
    program, _ = of(machine)
    others = [each.audit for name, each in ARCHITECTURES.items() if name != machine]
    for audit in (*others, 0x4000_0003, 0):
        for number in (0, 17, 59, 67):
            assert verdict(program, number, audit) == KILL_PROCESS


def test_the_x32_numbers_are_killed() -> None:
    program, architecture = of("x86_64")
    assert verdict(program, 0x4000_0000 | 17, architecture.audit) == KILL_PROCESS


@MACHINES
def test_what_moves_a_shared_offset_or_reaches_a_file_is_not_allowed(machine: str) -> None:
    program, architecture = of(machine)
    forbidden = {
        "x86_64": {"read": 0, "lseek": 8, "open": 2, "openat": 257, "preadv2": 327, "dup": 32},
        "aarch64": {"read": 63, "lseek": 62, "openat": 56, "openat2": 437, "preadv2": 286},
    }
    for number in forbidden[machine].values():
        assert verdict(program, number, architecture.audit) != ALLOW


def test_no_two_calls_share_a_number() -> None:
    for column in (0, 1):
        numbers = [
            pair[column]
            for table in (seccomp.ALLOWED, seccomp.WITHOUT_EXECUTION, seccomp.DEADLY)
            for pair in table.values()
        ]
        assert len(numbers) == len(set(numbers))


def test_a_machine_that_the_filter_does_not_know_has_no_isolation() -> None:
    with pytest.raises(UnavailableError):
        seccomp.architecture("riscv64")
