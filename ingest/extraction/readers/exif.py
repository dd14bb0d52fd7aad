"""Exif (CIPA DC-008) in photographs: camera, times as written, place, and the picture's size.

`exifread` without details: a camera maker's private note of 4 KB costs it 135 ms, which is a
denial of service in a folder of photographs.
"""

import struct
from collections.abc import Mapping
from io import SEEK_CUR

import exifread
from exifread.core.heic import Box

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


def matches(media_type: str, source_name: bytes) -> bool:  # noqa: ARG001
    """See `Reader.matches`."""
    return media_type in _TYPES


def read(file: SourceFile) -> Found:
    """See `Reader.read`."""
    size = _picture_size(file)
    file.seek(0)
    Box.subs.clear()  # exifread shares it between files: one picture's boxes would serve the next
    tags = exifread.process_file(file, details=False, extract_thumbnail=False)
    values: dict[str, object] = {
        name: tags[tag].printable.strip() for tag, name in _TEXTS.items() if tag in tags
    }
    values |= size
    if "width" not in values and "Image ImageWidth" in tags:
        values["width"] = _first(tags["Image ImageWidth"].values)
        values["height"] = _first(getattr(tags.get("Image ImageLength"), "values", None))
    values["gps"] = _gps(tags)
    return Found(without_gaps(values))


def _gps(tags: Mapping[str, exifread.core.exif_header.IfdTag]) -> Values:
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
    parts = [_number(part) for part in list(getattr(tag, "values", ()))[:3]]
    if len(parts) != 3 or None in parts:
        return None
    degrees = sum(part / unit for part, unit in zip(parts, (1, 60, 3600), strict=True) if part)
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


def _picture_size(file: SourceFile) -> Values:
    """Width and height of the picture itself, which Exif need not agree with."""
    head = file.at(0, 32)
    if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR":
        return _size(*struct.unpack_from(">2L", head, 16))
    if head[:2] == b"\xff\xd8":
        return _jpeg_size(file)
    return {}


def _jpeg_size(file: SourceFile) -> Values:
    """The frame header, found by walking the marker segments (ITU-T T.81, B.1.1.4 and B.2.2)."""
    file.seek(2)
    for _ in range(SEGMENTS_MAX):
        marker = file.read(4)
        if len(marker) < 4 or marker[0] != 0xFF:
            return {}
        length = int.from_bytes(marker[2:], "big")
        is_frame = 0xC0 <= marker[1] <= 0xCF and marker[1] not in {0xC4, 0xC8, 0xCC}
        if is_frame:
            frame = file.read(5)
            return _size(*reversed(struct.unpack_from(">2H", frame, 1))) if len(frame) == 5 else {}
        if length < 2 or marker[1] == 0xDA:
            return {}
        file.seek(length - 2, SEEK_CUR)
    return {}


def _size(width: int, height: int) -> Values:
    return {"width": width, "height": height}
