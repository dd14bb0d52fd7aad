"""Whether a file is at rest: nobody has it open for writing, where the system can tell. Linux only."""

import errno
import fcntl
import os
from contextlib import suppress


def is_written(path: bytes) -> bool:
    """Whether somebody has the file open for writing, as far as the system says.

    A read lease is granted only while nobody has (fcntl(2), F_SETLEASE), and let go of at once.
    Where it cannot be asked for (another's file, a network mount) the answer is no: then only that
    size and times stand still speaks for it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # whatever it is, reading it will say so
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno in {errno.EAGAIN, errno.EBUSY}
    else:
        with suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    finally:
        os.close(fd)
