"""Web archives: WARC (ISO 28500) by `warcio`, and WACZ packages (Webrecorder, 1.1.1).

Declared digests are recomputed: they show whether an archive is as its maker closed it.
Signatures are reported as present, not verified. Content is neither rendered nor kept.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from warcio.archiveiterator import ArchiveIterator

from ingest.extraction.reader import Found, Values, without_gaps
from ingest.extraction.readers import zips
from ingest.extraction.source import SourceFile
from ingest.extraction.wire import Tool

TOOL = Tool("warcio", version("warcio"))
WACZ = "application/wacz"
WARCS = frozenset({"application/warc", "application/warc+gzip"})
PACKAGE, PACKAGE_DIGEST = "datapackage.json", "datapackage-digest.json"
TARGETS_MAX = 200
TYPES_MAX = 20
RESOURCES_MAX = 1_000
ENTRIES_MAX = 20_000
JSON_BYTES_MAX = 4 * 1024 * 1024


def matches(media_type: str, source_name: bytes) -> bool:  # noqa: ARG001
    """See `Reader.matches`."""
    return media_type == WACZ or media_type in WARCS


def read(file: SourceFile) -> Found:
    """See `Reader.read`."""
    if file.at(0, 2) == b"PK":
        return _read_wacz(file)
    file.seek(0)
    return _read_warc(file)


# --------------------------------------------------------------------------- WARC


def _read_warc(file: SourceFile) -> Found:
    types: Counter[str] = Counter()
    digests: Counter[str] = Counter()
    dates: list[str] = []
    targets: dict[str, None] = {}
    incomplete = None
    try:
        for record in ArchiveIterator(file, check_digests=True):
            record.content_stream().read(0)
            _drain(record.raw_stream)
            types[str(record.rec_type)] += 1
            digests[_outcome(record)] += 1
            dates = _widened(dates, record.rec_headers.get_header("WARC-Date"))
            target = record.rec_headers.get_header("WARC-Target-URI")
            if target and len(targets) < TARGETS_MAX:
                targets[str(target)] = None
            if file.is_late:
                incomplete = "the limit on time was reached"
                break
    except Exception as error:
        if not types:
            raise
        incomplete = f"the archive breaks off ({type(error).__name__})"
    return Found(
        without_gaps(
            {
                "format": "WARC",
                "records": types.total(),
                "record_types": dict(types.most_common(TYPES_MAX)),
                "first_date": dates[0] if dates else None,
                "last_date": dates[-1] if dates else None,
                "digests": dict(digests),
                "target_uris": list(targets),
            }
        ),
        incomplete,
    )
