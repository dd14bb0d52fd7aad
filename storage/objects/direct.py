"""Writing a large file around the page cache: gathered into aligned blocks, written whole.

A file of gigabytes that goes through the page cache drives out what others need, and costs
the processor a second copy and a page for every 4 KiB (`docs/benchmarks.md`). Nothing here
makes bytes durable: a flush must follow, as after any other write.
"""

import errno
import mmap
import os

from storage.objects import durable

BLOCK_BYTES = 4 * 1024 * 1024  # a multiple of every disk's block


class DirectWrites:
    """Takes the bytes of one file, in order, for a descriptor at its beginning.

    What the filesystem refuses to take around the page cache goes through it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._block = memoryview(mmap.mmap(-1, BLOCK_BYTES))  # begins at a page
        self._filled = 0
        self._is_direct = True
        try:
            durable.set_direct(descriptor, direct=True)
        except OSError:
            self._is_direct = False

    def write(self, piece: memoryview) -> None:
        """Take the piece; it is written when a block is full.

        Raises:
            OSError: if the filesystem fails, perhaps over bytes of an earlier piece.
        """
        while piece:
            taken = min(len(piece), BLOCK_BYTES - self._filled)
            self._block[self._filled : self._filled + taken] = piece[:taken]
            self._filled += taken
            piece = piece[taken:]
            if self._filled == BLOCK_BYTES:
                self._write_out()

    def finish(self) -> None:
        """Write what is left; nothing may follow.

        Raises:
            OSError: as `write`.
        """
        self._go_through_the_cache()  # the rest ends where it ends, not at a block
        self._write_out()

    def _write_out(self) -> None:
        done = 0
        while done < self._filled:  # the kernel may take less than it is given
            try:
                done += os.write(self._descriptor, self._block[done : self._filled])
            except OSError as error:
                if error.errno != errno.EINVAL or not self._is_direct:
                    raise
                self._go_through_the_cache()  # its blocks are not ours, or were not taken whole
        self._filled = 0

    def _go_through_the_cache(self) -> None:
        if self._is_direct:
            durable.set_direct(self._descriptor, direct=False)
            self._is_direct = False
