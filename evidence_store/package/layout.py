"""Where things lie in a package. The names are the format."""

import re

from evidence_store.identifiers import Ern, Subject

FORMAT = "evidence-package/v1"
ABOUT = "data/package.json"
POLICY = "data/policy.txt"
CONTROL = "data/control"
CHECKPOINTS = "data/checkpoints"
TIMESTAMPS = "data/timestamps"
ITEMS = "data/items"
REPORT = "report.html"

_VOUCHED_FOR = re.compile(
    r"""
      bagit\.txt | bag-info\.txt | (tag)?manifest-sha256\.txt
    | data/(package\.json | policy\.txt)
    | data/items/[^/]+/(item\.key | versions/[^/]+ | events/\d+\.(json|sig|disclosed|tlog-proof))
    | data/control/\d+\.(json|tlog-proof)
    | data/checkpoints/\d+(-\d+\.consistency | \.note)
    | data/timestamps/[^/]+\.(tsr|pem)
    """,
    re.ASCII | re.VERBOSE,
)


def is_vouched_for(path: str) -> bool:
    """Whether verification answers for the file; for all others only the manifests speak."""
    return _VOUCHED_FOR.fullmatch(path) is not None


def event_path(ern: Subject, seq: int, ending: str) -> str:
    """An event's file: `json`, `sig`, `disclosed` or `tlog-proof`."""
    return f"{ITEMS}/{ern}/events/{seq:06d}.{ending}"


def version_path(ern: Ern, number: int, kind: str) -> str:
    """A version's content."""
    return f"{ITEMS}/{ern}/versions/{number:04d}-{kind}"


def key_path(ern: Ern) -> str:
    """The item's key."""
    return f"{ITEMS}/{ern}/item.key"


def control_path(index: int, ending: str) -> str:
    """A control entry's file: `json` or `tlog-proof`."""
    return f"{CONTROL}/{index:012d}.{ending}"


def checkpoint_path(size: int) -> str:
    """A checkpoint."""
    return f"{CHECKPOINTS}/{size:012d}.note"


def stamp_path(size: int, authority: str) -> str:
    """An RFC 3161 answer over a checkpoint, beside the log's tiles; under `data/` in a package."""
    return f"timestamps/{size:012d}-{authority}.tsr"


def consistency_path(size: int, newest: int) -> str:
    """The proof from one checkpoint to the newest."""
    return f"{CHECKPOINTS}/{size:012d}-{newest:012d}.consistency"
