"""Evidence for the demo, made up: photographs with EXIF and GPS, sound, a video, a statement, a document.

Everything is generated; nothing shows or names a real person or place of a crime.
"""

import io
import random
import struct
import wave
import zipfile
from pathlib import Path

from PIL import ExifTags, Image, ImageDraw, ImageFilter

SIZE = (1600, 1200)


def make_evidence(folder: Path) -> None:
    """Fill the folder, and put a statement beside it."""
    folder.mkdir()
    chance = random.Random(2026)  # noqa: S311 - pictures, not keys
    for number in range(1, 4):
        photograph(folder / f"IMG_{number:04d}.jpg", chance, number)
    (folder / "copy of IMG_0001.jpg").write_bytes((folder / "IMG_0001.jpg").read_bytes())
    sound(folder / "recording.wav", chance)
    video(folder / "square.avi", chance)
    document(folder / "delivery note.docx")
    (folder / "holiday.jpg").write_bytes(
        b"%PDF-1.4\n% a document under the name of a picture\n%%EOF\n"
    )
    (folder.parent / "statement.txt").write_text(
        "Zapisnik o izjavi priče\n\nPriča je bila poučena o pravicah in dolžnostih.\n"
        "Okoli desete ure sem slišala tri eksplozije …\n",
        encoding="utf-8",
    )


def photograph(path: Path, chance: random.Random, number: int) -> None:
    """A picture of ruins, more or less, with a camera's claims in it."""
    image = Image.new("RGB", SIZE, (150, 165, 180))
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, width = chance.randrange(SIZE[0]), chance.randrange(40, 240)
        height = chance.randrange(80, 620)
        grey = chance.randrange(60, 170)
        draw.rectangle((x, SIZE[1] - height, x + width, SIZE[1]), fill=(grey, grey - 8, grey - 20))
    image = image.filter(ImageFilter.GaussianBlur(1.2))
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Fictional"
    exif[ExifTags.Base.Model] = "Field Camera 3"
    exif[ExifTags.Base.Orientation] = 1
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = f"2026:03:14 10:2{number}:0{number}"
    details[ExifTags.Base.OffsetTimeOriginal] = "+01:00"
    position = exif.get_ifd(ExifTags.IFD.GPSInfo)
    position[ExifTags.GPS.GPSLatitudeRef] = "N"
    position[ExifTags.GPS.GPSLatitude] = (45.0, 9.0, 30.0 + number)
    position[ExifTags.GPS.GPSLongitudeRef] = "E"
    position[ExifTags.GPS.GPSLongitude] = (18.0, 0.0, 52.0)
    image.save(path, quality=88, exif=exif)


def sound(path: Path, chance: random.Random) -> None:
    """Two seconds of noise."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(chance.randbytes(64_000))


def document(path: Path) -> None:
    """The least that is a Word document, with an author's name in its properties."""
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/>'
        '<Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/></Types>',
        "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>'
        '<Relationship Id="r2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/></Relationships>',
        "word/document.xml": '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r>'
        "<w:t>Delivery of 40 crates to the warehouse at Brod.</w:t></w:r></w:p></w:body></w:document>",
        "docProps/core.xml": '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        '<dc:creator>Quartermaster</dc:creator><dcterms:created xsi:type="dcterms:W3CDTF">2026-03-02T08:15:00Z</dcterms:created></cp:coreProperties>',
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    path.write_bytes(buffer.getvalue())


def video(path: Path, chance: random.Random, frames: int = 8) -> None:
    """A video of Motion JPEG in AVI (RIFF), small and valid: a light that wanders about."""
    width, height = 160, 120
    pictures = []
    for _ in range(frames):
        picture = Image.new("RGB", (width, height), (20, 20, 30))
        at = chance.randrange(width - 20), chance.randrange(height - 20)
        picture.paste((250, 240, 200), (*at, at[0] + 20, at[1] + 20))
        content = io.BytesIO()
        picture.save(content, "JPEG")
        pictures.append(content.getvalue())
    main = struct.pack("<14I", 100_000, 0, 0, 16, frames, 0, 1, 0, width, height, 0, 0, 0, 0)
    stream = struct.pack(
        "<4s4sIHHIIIIIIiI4H",
        b"vids",
        b"MJPG",
        0,
        0,
        0,
        0,
        1,
        10,
        0,
        frames,
        0,
        -1,
        0,
        0,
        0,
        width,
        height,
    )
    form = struct.pack(
        "<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0
    )
    header = (
        b"hdrl"
        + chunk(b"avih", main)
        + chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", form))
    )
    movie = b"movi" + b"".join(chunk(b"00dc", each) for each in pictures)
    path.write_bytes(chunk(b"RIFF", b"AVI " + chunk(b"LIST", header) + chunk(b"LIST", movie)))


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of RIFF: name, length, content, padded to an even length."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
