"""Evidence for the demo, made up: photographs with EXIF and GPS, sound, a statement, a document.

Everything is generated; nothing shows or names a real person or place of a crime.
"""

import io
import random
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
