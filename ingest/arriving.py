"""Content that arrives as a stream and not as a file: digested, sealed and identified.

Nothing of it is ever on a disk in the clear. The isolated process is shown the beginning in a file
that lies in memory only; of what is longer it sees no more than that.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from evidence_store.age.stream import CHUNK_BYTES
from evidence_store.digest import Fingerprinter
from evidence_store.intake import Content
from evidence_store.vault import Sealing, Vault
from ingest.extraction.supervisor import Extractor

SHOWN_BYTES_MAX = 64 * 1024 * 1024
BUFFER_BYTES = 16 * CHUNK_BYTES


@dataclass(slots=True)
class Arriving:
    """Takes in streams, one at a time: memory is bounded by what is shown."""

    vault: Vault
    extractor: Extractor

    def take(self, pieces: Iterator[bytes], name: bytes, size_bytes: int) -> Content:
        """The content, sealed and ready to be registered; `abort` its writer if it is not to be.

        Raises:
            NoSpaceError, StoreUnavailableError: as `ObjectWriter.write`.
            EvidenceError: what the pieces raise.
        """
        sealing = self.vault.begin(size_bytes)
        shown = os.memfd_create("arriving", os.MFD_CLOEXEC)
        try:
            fingerprinter, room = Fingerprinter(), SHOWN_BYTES_MAX
            out = memoryview(bytearray(Sealing.room(BUFFER_BYTES)))
            for piece, final in _buffered(pieces):
                fingerprinter.update(piece)
                sealing.writer.write(out[: sealing.seal_into(piece, out, final=final)])
                os.write(shown, piece[:room])
                room -= len(piece[:room])
            shown_bytes = min(size_bytes, SHOWN_BYTES_MAX)
            extraction = self.extractor.submit(shown, name, shown_bytes).result()
        except BaseException:
            sealing.writer.abort()
            raise
        finally:
            os.close(shown)
        return Content(
            fingerprint=fingerprinter.result(),
            sealing=sealing,
            media_type=extraction.media_type,
            name_mismatch=extraction.name_mismatch,
            claims=extraction.claims,
        )


def _buffered(pieces: Iterator[bytes]) -> Iterator[tuple[memoryview, bool]]:
    """The pieces in buffers of a size that can be sealed, each with whether it is the last."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) > BUFFER_BYTES:
            yield memoryview(bytes(held[:BUFFER_BYTES])), False
            del held[:BUFFER_BYTES]
    yield memoryview(bytes(held)), True
