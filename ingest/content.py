"""One source's content: digested, sealed and identified, ready to be registered.

The claims are read by the isolated process while the digests are computed, so
they may still be on their way when the rest is done.
"""

from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass

from evidence_store.digest import Digest, Fingerprint
from evidence_store.intake import Content
from evidence_store.vault import Sealing, Vault
from ingest.extraction.supervisor import Extraction, Extractor
from ingest.onepass import OnePass
from ingest.reading import OpenSource
from ingest.sources import Source


@dataclass(slots=True)
class ReadAhead:
    """A source that was read whole. `discard` it when it is registered, or is not to be."""

    opened: OpenSource
    sealing: Sealing
    fingerprint: Fingerprint
    extraction: Future[Extraction]
    stated: Digest | None

    def content(self) -> Content:
        """The content with its claims; waits for them."""
        extraction = self.extraction.result()
        return Content(
            fingerprint=self.fingerprint,
            sealing=self.sealing,
            media_type=extraction.media_type,
            name_mismatch=extraction.name_mismatch,
            claims=extraction.claims,
        )

    def discard(self) -> None:
        """Close the source, and let go of what was sealed unless it was committed."""
        self.sealing.writer.abort()
        self.opened.close()


def read_ahead(
    vault: Vault,
    extractor: Extractor,
    one_pass: OnePass,
    source: Source,
    stated: Digest | None = None,
) -> ReadAhead:
    """Read a source whole. `stated` is the digest its sender stated; it is only carried along.

    Raises:
        SourceChangedError, UnsupportedSourceError: if it cannot be read whole and at rest.
        NoSpaceError, StoreUnavailableError: as `ObjectWriter.write`.
    """
    with ExitStack() as undo:
        opened = undo.enter_context(OpenSource.open(source))
        extraction = extractor.submit(opened.fd, source.name, opened.size_bytes)
        sealing = vault.begin(opened.size_bytes)
        undo.callback(sealing.writer.abort)
        fingerprint = one_pass.read(opened, sealing)
        undo.pop_all()
    return ReadAhead(opened, sealing, fingerprint, extraction, stated)
