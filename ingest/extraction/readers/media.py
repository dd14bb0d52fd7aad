"""Audio and video containers: format, tracks, times, device and place, by MediaInfo.

The library is fed through its buffer interface, because this process can open no file, and
is named by its full path, because later it could not even be looked for.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pymediainfo
from pymediainfo import MediaInfo

from ingest.extraction.reader import Found, Values, without_gaps
from ingest.extraction.source import SourceFile
from ingest.extraction.wire import Tool

TRACKS_MAX = 50
TAGS_MAX = 50
_LIBRARY = str(Path(pymediainfo.__file__).with_name("libmediainfo.so.0"))
_PREFIXES = ("audio/", "video/")
_TYPES = frozenset({"application/ogg", "application/mxf", "application/vnd.rn-realmedia"})


def _names(text: str) -> list[str]:
    return text.split()


# As the library names them; what is not listed is a variant of these for display.
_OF_FILE = _names(
    "format format_profile commercial_name duration overall_bit_rate encoded_date tagged_date "
    "recorded_date mastered_date file_creation_date writing_application writing_library "
    "encoded_application recorded_location location title performer album comment description "
    "copyright make model device_manufacturer device_model performer_location xyz "
    "unique_id media_uuid is_truncated conformance_errors"
)
_OF_TRACK = _names(
    "track_type track_id format format_profile codec_id duration bit_rate width height "
    "display_aspect_ratio rotation frame_rate frame_rate_mode frame_count color_space bit_depth "
    "scan_type channel_s sampling_rate compression_mode language encoded_date tagged_date title "
    "time_code_of_first_frame default forced"
)
_TAG_PREFIXES = ("comapple", "comandroid", "xyz", "gps", "gsst", "gstd", "camera", "extra")


def _library_version() -> str:
    output = json.loads(MediaInfo.parse(io.BytesIO(b""), library_file=_LIBRARY, output="JSON"))
    return str(output["creatingLibrary"]["version"])


TOOL = Tool("MediaInfo", _library_version())


def matches(media_type: str, source_name: bytes) -> bool:  # noqa: ARG001 - as every reader's
    """See `Reader.matches`."""
    return media_type.startswith(_PREFIXES) or media_type in _TYPES


def read(file: SourceFile) -> Found:
    """See `Reader.read`."""
    tracks = MediaInfo.parse(
        file, library_file=_LIBRARY, encoding_errors="replace", parse_speed=0
    ).tracks
    values: dict[str, object] = {}
    listed: list[Values] = []
    for track in tracks[: TRACKS_MAX + 1]:
        found: Mapping[str, object] = track.to_data()
        if track.track_type == "General":
            values |= _picked(found, _OF_FILE) | _tags(found)
        else:
            listed.append(_picked(found, _OF_TRACK))
    cut = len(tracks) > TRACKS_MAX + 1
    return Found(
        without_gaps({**values, "tracks": listed}),
        f"only the first {TRACKS_MAX} tracks are listed" if cut else None,
    )


def _picked(found: Mapping[str, object], names: list[str]) -> dict[str, object]:
    """The named values; a duration in milliseconds says so."""
    return {
        "duration_ms" if name == "duration" else name: found[name]
        for name in names
        if found.get(name) is not None
    }


def _tags(found: Mapping[str, object]) -> dict[str, object]:
    """What cameras and telephones add under names of their own: device, place, time."""
    names = [name for name in found if name.startswith(_TAG_PREFIXES)]
    return {name: found[name] for name in names[:TAGS_MAX]}
