"""Making files survive a power failure: the kernel's calls, and what each of them promises.

POSIX promises it for `fsync` of the file and then of its directory. Linux has more: one flush
for a whole filesystem (syncfs(2)), a hint to begin writing (sync_file_range(2)), writing around
the page cache (O_DIRECT) and a rename that replaces nothing (renameat2(2)). They are used where they keep their word, and the
portable way is taken elsewhere. Nothing here knows what the files are.
"""

import ctypes
import errno
import fcntl
import os
import re
import sys
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_sync_file_range = getattr(_LIBC, "sync_file_range", None)
if _sync_file_range is not None:  # otherwise ctypes would cut the offsets to 32 bits
    _sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
_SYNC_FILE_RANGE_WRITE = 2
_RENAME_NOREPLACE = 1
_AT_FDCWD = -100
_STATFS_BYTES = 512  # more than any Linux needs; the type is its first word

# syncfs(2) before Linux 5.8 hides write errors, and through FUSE or overlays it may not reach the
# disk: it would call lost bytes durable. These are the filesystems on which it is known to be good.
_SYNCFS_KERNEL_MIN = (5, 8)
_SYNCFS_TYPES = frozenset(
    {
        0xEF53,  # ext4
        0x58465342,  # XFS
        0x9123683E,  # Btrfs
        0xF2F52010,  # F2FS
        0x01021994,  # tmpfs: nothing to flush
    }
)
# Where writing around the page cache is known to work, and to be worth it.
_DIRECT_TYPES = frozenset({0xEF53, 0x58465342})  # ext4, XFS
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


def flushes_whole(directory: Path) -> bool:
    """Whether `flush_filesystem` is as good as an `fsync` of each file on this filesystem."""
    if sys.platform != "linux" or not hasattr(_LIBC, "syncfs"):
        return False
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if found is None or (int(found[1]), int(found[2])) < _SYNCFS_KERNEL_MIN:
        return False
    return _filesystem_type(directory) in _SYNCFS_TYPES


def writes_direct(directory: Path) -> bool:
    """Whether large files are better written around the page cache here (open(2), O_DIRECT)."""
    return sys.platform == "linux" and _filesystem_type(directory) in _DIRECT_TYPES


def set_direct(descriptor: int, *, direct: bool) -> None:
    """Write around the page cache from now on, or through it.

    Around it, each write begins and ends at a multiple of the disk's block, in the file and in
    memory. Neither way makes anything durable.

    Raises:
        OSError: if the filesystem does not do this.
    """
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    changed = flags | os.O_DIRECT if direct else flags & ~os.O_DIRECT
    fcntl.fcntl(descriptor, fcntl.F_SETFL, changed)


def _filesystem_type(directory: Path) -> int | None:
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    if _LIBC.statfs(os.fsencode(directory), answer) != 0:
        return None
    return ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF


def flush_filesystem(descriptor: int) -> None:
    """Make everything written so far to the descriptor's filesystem durable.

    A write error is reported once for each open file, if it came after that was opened: so give
    a descriptor that is older than the writes it vouches for, and that no other thread gives.

    Raises:
        OSError: if anything could not be written.
    """
    if _LIBC.syncfs(descriptor) != 0:
        raise _last_error()


def flush_directory(directory: Path) -> None:
    """Make the directory's entries durable.

    Raises:
        OSError: if they could not be written.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def start_writing_out(descriptor: int, offset: int, length: int) -> None:
    """Have the kernel begin to write these bytes to the disk, so that the later flush is short.

    A hint: it promises nothing, and an error would come again at the flush.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, offset, length, _SYNC_FILE_RANGE_WRITE)


def place(source: Path, target: Path) -> None:
    """Give the file its final name, and never replace a file that has it.

    By a hard link, because that refuses a taken name everywhere; by a rename that replaces
    nothing where the filesystem has no hard links. A power failure, or an error, in the middle
    can leave the file under both names.

    Raises:
        FileExistsError: if the name is taken.
        OSError: if the filesystem can do neither, or fails.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _rename_without_replacing(source, target)
    else:
        source.unlink()


def _rename_without_replacing(source: Path, target: Path) -> None:
    if not hasattr(_LIBC, "renameat2"):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), str(target))
    old, new = os.fsencode(source), os.fsencode(target)
    if _LIBC.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE) != 0:
        raise _last_error(target)


def _last_error(path: Path | None = None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), *([] if path is None else [str(path)]))
