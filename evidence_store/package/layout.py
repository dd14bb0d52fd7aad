"""Where things lie in a package. The names are the format."""

import re

from evidence_store.identifiers import Ern, Subject

FORMAT = "evidence-package/v2"
ABOUT = "data/package.json"
POLICY = "data/policy.txt"
CONTROL = "data/control"
CHECKPOINTS = "data/checkpoints"
TIMESTAMPS = "data/timestamps"
ITEMS = "data/items"
REPORT = "report.html"

EVENT_FILES = ("json", "sig", "tlog-proof")  # besides: disclosed, receipt.cose

# What a verifier reads, or cannot do without; of the tag files, the manifests check only each other.
_TAG_FILES = {"bagit.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt"}
# What follows the log, and comes after the composition was signed: judged for what it is.
_OF_THE_LOG = re.compile(
    r"data/checkpoints/\d+(-\d+\.consistency | \.note) | data/timestamps/[^/]+\.(tsr|pem)",
    re.ASCII | re.VERBOSE,
)
_BESIDE_AN_EVENT = re.compile(r"(data/items/[^/]+/events/\d+)\.(disclosed|receipt\.cose)", re.ASCII)


def is_of_the_log(path: str) -> bool:
    """Whether it is a checkpoint, a proof between two, a time-stamp or its roots."""
    return _OF_THE_LOG.fullmatch(path) is not None


def event_beside(path: str) -> str | None:
    """The event whose disclosures or COSE receipt the file is; None if it is neither."""
    found = _BESIDE_AN_EVENT.fullmatch(path)
    return None if found is None else f"{found[1]}.json"


def is_signed_by_nobody(path: str) -> bool:
    """Whether only a manifest, which anybody can make anew, speaks for the file."""
    return not path.startswith("data/") and path not in _TAG_FILES


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
