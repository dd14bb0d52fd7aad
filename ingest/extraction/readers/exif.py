"""Exif (CIPA DC-008) in photographs: camera, times as written, place, and the picture's size.

`exifread` without details: a camera maker's private note of 4 KB costs it 135 ms, which is a
denial of service in a folder of photographs.
"""

import struct
from collections.abc import Mapping
from io import BytesIO
from typing import BinaryIO

import exifread
from exifread.core.heic import Box
from exifread.core.ifd_tag import IfdTag

from ingest.extraction.reader import Found, Values, without_gaps
from ingest.extraction.source import SourceFile
from ingest.extraction.wire import Tool

TOOL = Tool("exifread", exifread.__version__)
_TYPES = frozenset(
    {
        "image/jpeg",
        "image/tiff",
        "image/heic",
        "image/heif",
        "image/avif",
        "image/png",
        "image/webp",
        "image/jxl",
    }
)
SEGMENTS_MAX = 1_000
# The segment with Exif begins, for exifread, at most 4000 bytes behind one other segment.
JPEG_EXIF_BYTES_MAX = 2 * 65_536 + 4_096
WEBP_EXIF_BYTES_MAX = 1024 * 1024
_SEXAGESIMAL = (1, 60, 3600)
_SIZE = ("width", "height")
_PNG_SIZE = struct.Struct(">2L")
_RIFF_HEADER_BYTES, _RIFF_CHUNK = 12, struct.Struct("<4sL")
_HEIF_BRANDS = frozenset({b"heic", b"avif", b"mif1"})
_JPEG_SEGMENT = struct.Struct(">BBHBHH")  # as a frame header has it: marker, length, bits, size
_JPEG_PREFIX, _JPEG_SCAN = 0xFF, 0xDA
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

_TEXTS: Mapping[str, str] = {
    "Image Make": "make",
    "Image Model": "model",
    "Image Software": "software",
    "Image DateTime": "date_time",
    "Image ImageDescription": "image_description",
    "Image Artist": "artist",
    "Image Copyright": "copyright",
    "Image HostComputer": "host_computer",
    "Image Orientation": "orientation",
    "EXIF DateTimeOriginal": "date_time_original",
    "EXIF DateTimeDigitized": "date_time_digitized",
    "EXIF OffsetTime": "offset_time",
    "EXIF OffsetTimeOriginal": "offset_time_original",
    "EXIF OffsetTimeDigitized": "offset_time_digitized",
    "EXIF SubSecTimeOriginal": "sub_seconds_original",
    "EXIF BodySerialNumber": "body_serial_number",
    "EXIF CameraOwnerName": "camera_owner_name",
    "EXIF LensMake": "lens_make",
    "EXIF LensModel": "lens_model",
    "EXIF LensSerialNumber": "lens_serial_number",
    "EXIF ImageUniqueID": "image_unique_id",
    "EXIF ExposureTime": "exposure_time",
    "EXIF FNumber": "f_number",
    "EXIF ISOSpeedRatings": "iso_speed",
    "EXIF FocalLength": "focal_length",
    "EXIF Flash": "flash",
    "EXIF ExifImageWidth": "exif_width",
    "EXIF ExifImageLength": "exif_height",
}
_GPS_TEXTS: Mapping[str, str] = {
    "GPS GPSLatitudeRef": "latitude_ref",
    "GPS GPSLatitude": "latitude_raw",
    "GPS GPSLongitudeRef": "longitude_ref",
    "GPS GPSLongitude": "longitude_raw",
    "GPS GPSAltitudeRef": "altitude_ref",
    "GPS GPSAltitude": "altitude_raw",
    "GPS GPSTimeStamp": "time_raw",
    "GPS GPSDate": "date",
    "GPS GPSMapDatum": "map_datum",
    "GPS GPSImgDirection": "image_direction_raw",
    "GPS GPSImgDirectionRef": "image_direction_ref",
    "GPS GPSProcessingMethod": "processing_method",
    "GPS GPSDOP": "dilution_of_precision",
    "GPS Tag 0x001F": "horizontal_error_metres",
}


def matches(media_type: str, source_name: bytes) -> bool:  # noqa: ARG001 - as every reader's
    """See `Reader.matches`."""
    return media_type in _TYPES


def read(file: SourceFile) -> Found:
    """See `Reader.read`."""
    head = file.at(0, 32)
    size = _picture_size(file, head)
    stream = _stream(file, head)
    Box.subs.clear()  # exifread shares it between files: one picture's boxes would serve the next
    tags = exifread.process_file(stream, details=False, extract_thumbnail=False)
    values: dict[str, object] = {
        name: tags[tag].printable.strip() for tag, name in _TEXTS.items() if tag in tags
    }
    values |= size
    if "width" not in values and "Image ImageWidth" in tags:
        values["width"] = _first(tags["Image ImageWidth"].values)
        values["height"] = _first(getattr(tags.get("Image ImageLength"), "values", None))
    values["gps"] = _gps(tags)
    is_other_heif = head[4:8] == b"ftyp" and head[8:12] not in _HEIF_BRANDS
    problem = "this sort of HEIF is not read" if is_other_heif else None
    return Found(without_gaps(values), problem)


def _gps(tags: Mapping[str, IfdTag]) -> Values:
    found: dict[str, object] = {
        name: tags[tag].printable for tag, name in _GPS_TEXTS.items() if tag in tags
    }
    found["latitude"] = _degrees(tags.get("GPS GPSLatitude"), found.get("latitude_ref"), 90)
    found["longitude"] = _degrees(tags.get("GPS GPSLongitude"), found.get("longitude_ref"), 180)
    altitude = _number(_first(getattr(tags.get("GPS GPSAltitude"), "values", None)))
    if altitude is not None:
        below = _first(getattr(tags.get("GPS GPSAltitudeRef"), "values", None)) == 1
        found["altitude_metres"] = -altitude if below else altitude
    return without_gaps(found)


def _degrees(tag: object, hemisphere: object, degrees_max: int) -> float | None:
    """Decimal degrees, south and west negative; None where the parts name no place."""
    parts = [_number(part) for part in list(getattr(tag, "values", ()))[: len(_SEXAGESIMAL)]]
    known = [part for part in parts if part is not None]
    if len(known) != len(_SEXAGESIMAL):
        return None
    degrees = sum(part / unit for part, unit in zip(known, _SEXAGESIMAL, strict=True))
    if not 0 <= degrees <= degrees_max:
        return None
    return round(-degrees if str(hemisphere).strip().upper() in {"S", "W"} else degrees, 7)


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type] # whatever the file has
    except (TypeError, ValueError, ArithmeticError):
        return None


def _first(values: object) -> object:
    return values[0] if isinstance(values, list) and values else None


def _picture_size(file: SourceFile, head: bytes) -> Values:
    """Width and height of the picture itself, which Exif need not agree with."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        return dict(zip(_SIZE, _PNG_SIZE.unpack_from(head, 16), strict=True))
    return _jpeg_size(file) if head.startswith(b"\xff\xd8") else {}


def _stream(file: SourceFile, head: bytes) -> BinaryIO:
    """What exifread gets to read: for a JPEG its beginning, in memory, which halves the time."""
    if head.startswith(b"\xff\xd8"):
        return BytesIO(file.at(0, JPEG_EXIF_BYTES_MAX))
    if head.startswith(b"RIFF"):
        return _webp_exif(file)
    file.seek(0)
    return file


def _webp_exif(file: SourceFile) -> BinaryIO:
    """The `EXIF` chunk of a WebP file by itself.

    exifread expects in it the prefix that JPEG has; the WebP container specification has none.
    """
    offset = _RIFF_HEADER_BYTES
    for _ in range(SEGMENTS_MAX):
        header = file.at(offset, _RIFF_CHUNK.size)
        if len(header) < _RIFF_CHUNK.size:
            break
        kind, length = _RIFF_CHUNK.unpack(header)
        offset += _RIFF_CHUNK.size
        if kind == b"EXIF":
            content = file.at(offset, min(length, WEBP_EXIF_BYTES_MAX))
            return BytesIO(content.removeprefix(b"Exif\0\0"))
        offset += length + length % 2
    return BytesIO()


def _jpeg_size(file: SourceFile) -> Values:
    """The frame header, found by walking the marker segments (ITU-T T.81, B.1.1.4 and B.2.2)."""
    offset = 2
    for _ in range(SEGMENTS_MAX):
        segment = file.at(offset, _JPEG_SEGMENT.size)
        if len(segment) < _JPEG_SEGMENT.size:
            break
        prefix, marker, length, _, height, width = _JPEG_SEGMENT.unpack(segment)
        if prefix != _JPEG_PREFIX or marker == _JPEG_SCAN:
            break
        if marker in _JPEG_FRAMES:
            return dict(zip(_SIZE, (width, height), strict=True))
        offset += 2 + length
    return {}
