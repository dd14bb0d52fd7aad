"""Web archives: WARC (ISO 28500) by `warcio`, and WACZ packages (Webrecorder, 1.1.1).

Declared digests are recomputed: they show whether an archive is as its maker closed it.
Signatures are reported as present, not verified. Content is neither rendered nor kept.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from io import BufferedReader
from itertools import islice
from typing import BinaryIO, cast

from warcio.archiveiterator import ArchiveIterator  # type: ignore[import-untyped] # has no types
from warcio.recordloader import ArcWarcRecord  # type: ignore[import-untyped] # has no types

from ingest.extraction.reader import Found, Values, without_gaps
from ingest.extraction.readers import compressed, zips
from ingest.extraction.source import SourceFile
from ingest.extraction.wire import Tool

TOOL = Tool("warcio", version("warcio"))
WACZ = "application/wacz"
WARC = "application/warc"  # also where each record is compressed by gzip
PACKAGE, PACKAGE_DIGEST = "datapackage.json", "datapackage-digest.json"
TARGETS_MAX = 200
TYPES_MAX = 20
RESOURCES_MAX = 1_000
ENTRIES_MAX = 20_000
PIECE_BYTES = 64 * 1024
JSON_BYTES_MAX = 4 * 1024 * 1024


def matches(media_type: str, source_name: bytes) -> bool:  # noqa: ARG001 - as every reader's
    """See `Reader.matches`."""
    return media_type in {WACZ, WARC}


def read(file: SourceFile) -> Found:
    """See `Reader.read`."""
    if file.at(0, 2) == b"PK":
        return _read_wacz(file)
    file.seek(0)
    if file.peek(2)[:2] != b"\x1f\x8b":
        return _read_warc(file, cast("BinaryIO", file))
    # Inflated here, not by warcio, which takes a stream that breaks off for one that ends.
    inflated = compressed.Inflated(file, "application/gzip")
    found = _read_warc(file, cast("BinaryIO", BufferedReader(inflated, PIECE_BYTES)))
    return Found(found.values, found.incomplete or inflated.stopped)


# --------------------------------------------------------------------------- WARC


def _read_warc(file: SourceFile, stream: BinaryIO) -> Found:
    seen = _Seen()
    try:
        for record in ArchiveIterator(stream, check_digests=True):
            if not _drained(file, record):
                return Found(seen.values(), "the limit on time was reached")
            if record.raw_stream.limit > 0:
                return Found(seen.values(), "the archive breaks off in a record")
            seen.take(record)
    except Exception as error:
        if not seen.types:
            raise
        return Found(seen.values(), f"the archive breaks off ({type(error).__name__})")
    return Found(seen.values())


def _drained(file: SourceFile, record: ArcWarcRecord) -> bool:
    """Read the record to its end, which is when its digests are compared; False if it is late."""
    while record.raw_stream.read(PIECE_BYTES):
        if file.is_late:
            return False
    return True


@dataclass(slots=True)
class _Seen:
    """What the records of an archive add up to."""

    types: Counter[str] = field(default_factory=Counter)
    digests: Counter[str] = field(default_factory=Counter)
    targets: dict[str, None] = field(default_factory=dict)
    first_date: str | None = None
    last_date: str | None = None

    def take(self, record: ArcWarcRecord) -> None:
        headers = record.rec_headers
        self.types[str(record.rec_type)] += 1
        self.digests[_outcome(record)] += 1
        date = headers.get_header("WARC-Date")
        if date:
            self.first_date = min(self.first_date or date, date)
            self.last_date = max(self.last_date or date, date)
        target = headers.get_header("WARC-Target-URI")
        if target and len(self.targets) < TARGETS_MAX:
            self.targets[str(target)] = None

    def values(self) -> Values:
        return without_gaps(
            {
                "format": "WARC",
                "records": self.types.total(),
                "record_types": dict(self.types.most_common(TYPES_MAX)),
                "first_date": self.first_date,
                "last_date": self.last_date,
                "digests": dict(self.digests),
                "target_uris": list(self.targets),
            }
        )


def _outcome(record: ArcWarcRecord) -> str:
    """What became of the digests that a record declares for its block and payload."""
    checker = record.digest_checker
    if checker.passed is None:
        return "not_declared"
    if checker.passed:
        return "match"
    unknown = all(problem.startswith("unknown") for problem in checker.problems)
    return "unknown_algorithm" if unknown else "mismatch"


# --------------------------------------------------------------------------- WACZ


def _read_wacz(file: SourceFile) -> Found:
    entries = {entry.name: entry for entry in islice(zips.entries(file), ENTRIES_MAX)}
    raw = zips.content(file, entries[PACKAGE], JSON_BYTES_MAX)
    package = json.loads(raw)
    if not isinstance(package, dict):
        raise zips.BadZipError
    resources = package.get("resources")
    listed = [each for each in resources if isinstance(each, dict)] if resources else []
    checked = [_checked(file, entries, resource) for resource in listed[:RESOURCES_MAX]]
    digests = Counter(str(each["digest"]) for each in checked)
    names = ("title", "created", "software", "wacz_version", "mainPageUrl", "mainPageDate")
    values = {
        "format": "WACZ",
        **{name: package.get(name) for name in names},
        **_package_digest(file, entries, hashlib.sha256(raw).hexdigest()),
        "digests": dict(digests),
        "resources": checked,
    }
    late = "the limit on time was reached" if digests["not_verifiable"] and file.is_late else None
    cut = f"only the first {RESOURCES_MAX} resources" if len(listed) > RESOURCES_MAX else None
    return Found(without_gaps(values), late or cut)


def _checked(
    file: SourceFile, entries: Mapping[str, zips.Entry], resource: Mapping[str, object]
) -> dict[str, object]:
    """A resource with its declared digest recomputed."""
    path = str(resource.get("path"))
    algorithm, _, stated = str(resource.get("hash")).partition(":")
    entry = entries.get(path)
    values: dict[str, object] = {"path": path, "declared": f"{algorithm}:{stated}"}
    if entry is None:
        return {**values, "digest": "missing"}
    if algorithm not in {"sha256", "sha512", "md5"}:
        return {**values, "digest": "not_declared" if not stated else "not_verifiable"}
    state = hashlib.new(algorithm, usedforsecurity=False)
    try:
        for piece in zips.member(file, entry):
            if file.is_late:
                return {**values, "digest": "not_verifiable"}
            state.update(piece)
    except zips.BadZipError:
        return {**values, "digest": "mismatch"}
    return {**values, "digest": "match" if state.hexdigest() == stated.lower() else "mismatch"}


def _package_digest(
    file: SourceFile, entries: Mapping[str, zips.Entry], package_sha256: str
) -> Values:
    """`datapackage-digest.json`: the package's own digest, and whether anybody signed it."""
    if PACKAGE_DIGEST not in entries:
        return {"signature_present": False}
    stated = json.loads(zips.content(file, entries[PACKAGE_DIGEST], JSON_BYTES_MAX))
    if not isinstance(stated, dict):
        raise zips.BadZipError
    signed = stated.get("signedData")
    signed = signed if isinstance(signed, dict) else {}
    same = stated.get("hash") == f"sha256:{package_sha256}"
    return {
        "package_digest": "match" if same else "mismatch",
        "signature_present": "signature" in signed,
        "signed_by_domain": signed.get("domain"),
        "signed_at": signed.get("created"),
    }
