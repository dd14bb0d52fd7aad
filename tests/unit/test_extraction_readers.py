"""What each family of files claims of itself, from files whose claims are known."""

import bz2
import hashlib
import io
import lzma
import struct
import zipfile
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ingest.extraction import reading
from ingest.extraction.reader import Found
from ingest.extraction.readers import archives, ewf, exif, mail, media, office, ole, pdf, web, zips
from ingest.extraction.tidy import decoded
from tests import extraction_samples as samples
from tests.extraction_samples import named


def found(reader: ModuleType, content: bytes, *, seconds: float = 30) -> Found:
    """What the reader finds in the content."""
    with samples.source(content, seconds=seconds) as file:
        result: Found = reader.read(file)
        return result


# ------------------------------------------------------------------- photographs


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_photograph_says_when_where_and_by_which_camera(picture_format: str) -> None:
    values = found(exif, samples.photograph(picture_format)).values
    assert named(values, "make") == "Nikon"
    assert named(values, "body_serial_number") == "SN-0042"
    assert named(values, "date_time_original") == "1995:07:11 16:30:00"
    assert named(values, "offset_time_original") == "+02:00"
    assert named(values, "gps", "latitude") == pytest.approx(44.10625)
    assert named(values, "gps", "longitude") == pytest.approx(-19.297)
    assert named(values, "gps", "longitude_ref") == "W"
    assert named(values, "gps", "latitude_raw") == "[44, 6, 45/2]"
    assert named(values, "gps", "altitude_metres") == -12.5


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG"])
def test_the_size_of_a_picture_is_its_own_not_that_of_its_exif(picture_format: str) -> None:
    values = found(exif, samples.photograph(picture_format)).values
    assert (named(values, "width"), named(values, "height")) == (40, 30)


def test_a_photograph_without_a_place_claims_none() -> None:
    assert "gps" not in found(exif, samples.photograph(gps=False)).values


def placed(latitude: tuple[float, ...]) -> bytes:
    """A photograph with this latitude."""
    tags = Image.Exif()
    place = tags.get_ifd(0x8825)
    place[1], place[2] = "N", latitude
    content = io.BytesIO()
    Image.new("RGB", (1, 1)).save(content, "JPEG", exif=tags)
    return content.getvalue()


def test_a_place_that_is_none_is_given_raw_only() -> None:
    gps = named(found(exif, placed((400.0, 0.0, 0.0))).values, "gps")
    assert gps == {"latitude_ref": "N", "latitude_raw": "[400, 0, 0]"}


def test_a_ratio_over_zero_is_no_place_and_no_crash() -> None:
    content = placed((44.0, 6.0, 1.0)).replace(struct.pack(">LL", 44, 1), bytes(8))
    assert "latitude" not in named(found(exif, content).values, "gps")


def heic(*boxes: bytes) -> bytes:
    """A HEIC file of these boxes in its `meta` box."""
    meta = b"\0\0\0\0" + b"".join(boxes)
    ftyp = b"heic\0\0\0\0mif1"
    return (
        struct.pack(">L", 8 + len(ftyp)) + b"ftyp" + ftyp
        + struct.pack(">L", 8 + len(meta)) + b"meta" + meta
    )  # fmt: skip


def test_no_picture_is_read_by_the_boxes_of_the_one_before() -> None:
    """The library keeps a class-wide table of boxes; unless it is cleared, one file fills it."""
    infe = struct.pack(">LHH4s", 2 << 24, 7, 0, b"Exif") + b"\0"
    infe = struct.pack(">L", 8 + len(infe)) + b"infe" + infe
    iinf = struct.pack(">LH", 0, 1) + infe
    iinf = struct.pack(">L", 8 + len(iinf)) + b"iinf" + iinf
    with pytest.raises(KeyError, match="iloc"):
        found(exif, heic(iinf))
    with pytest.raises(KeyError, match="iinf"):
        found(exif, heic())


def test_another_brand_of_heif_is_said_to_be_unread() -> None:
    result = found(exif, b"\0\0\0\x18ftypmsf1" + bytes(100))
    assert result.incomplete is not None


# --------------------------------------------------------------------- documents


def test_a_pdf_says_who_made_it_and_how_long_it_is() -> None:
    result = found(pdf, samples.pdf())
    assert result.incomplete is None
    assert result.values == {
        "pdf_version": b"1.7",
        "encrypted": False,
        "information": {"Title": "Report 7", "Author": "A. Novak"},
        "pages": 1,
    }


def test_a_pdf_says_that_it_is_signed_and_has_scripts() -> None:
    field = "<< /FT /Sig /T (s) /V << /Type /Sig >> >>"
    root = f"/AcroForm << /Fields [{field} << /FT /Tx >>] >> /Names << /JavaScript << >> >>"
    values = found(pdf, samples.pdf(root=root)).values
    assert named(values, "signatures") == 1
    assert named(values, "javascript") is True


def test_a_pdf_with_xmp_says_which_document_it_was() -> None:
    xmp = "<x xmlns:xmp='u' xmlns:m='v' xmp:CreateDate='2024-03-14'><m:DocumentID>uuid:1</m:DocumentID></x>"
    stream = f"<< /Type /Metadata /Length {len(xmp)} >>\nstream\n{xmp}\nendstream"
    content = samples.pdf_of(
        "<< /Type /Catalog /Pages 2 0 R /Metadata 3 0 R >>",
        "<< /Type /Pages /Kids [] /Count 0 >>",
        stream,
    )
    assert named(found(pdf, content).values, "xmp") == {
        "create_date": "2024-03-14",
        "document_id": "uuid:1",
    }


def test_a_part_of_a_pdf_that_is_broken_does_not_hide_the_others() -> None:
    content = samples.pdf_of(
        "<< /Type /Catalog /Pages 9 0 R >>", "<< /Title (T) >>", trailer="/Info 2 0 R"
    )
    result = found(pdf, content)
    assert result.incomplete is not None
    assert "pages" in result.incomplete
    assert named(result.values, "information", "Title") == "T"


def test_office_documents_say_who_wrote_them_and_when() -> None:
    values = found(office, samples.docx()).values
    assert values == {
        "creator": "A. Novak",
        "last_modified_by": "B. Kos",
        "created": "2024-05-01T09:00:00Z",
        "application": "Writer",
    }
    opened = found(office, samples.odt()).values
    assert named(opened, "initial_creator") == "C. Zupan"
    assert named(opened, "custom") == {"Case": "SI-CASE-0007"}


def test_custom_properties_and_macros_are_said_to_be_there() -> None:
    custom = "<Properties><property name='Case'><lpwstr>7</lpwstr></property></Properties>"
    content = samples.zipped({"docProps/custom.xml": custom, "word/vbaProject.bin": "x"})
    values = found(office, content).values
    assert values == {"custom": {"Case": "7"}, "macros": True}


@pytest.mark.parametrize(
    "core",
    [
        "<!DOCTYPE x [<!ENTITY a 'lol'>]><x>&a;</x>",
        "<!DOCTYPE x SYSTEM 'http://127.0.0.1/x.dtd'><x/>",
        "<x>",
        "<creator>" + "x" * 5_000_000 + "</creator>",
        "<x>" + "<a/>" * 200_000 + "</x>",
    ],
)
def test_xml_that_no_office_writes_is_refused_and_the_rest_is_read(core: str) -> None:
    result = found(office, samples.docx(core))
    assert result.incomplete is not None
    assert named(result.values, "application") == "Writer"


# -------------------------------------------------------------------------- mail


def test_a_message_says_from_whom_to_whom_when_and_what_was_attached() -> None:
    values = found(mail, samples.message(b"evidence")).values
    assert named(values, "subject") == "Zapisnik št. 7"
    assert named(values, "from") == "Ana <ana@example.org>"
    assert named(values, "date") == "Thu, 14 Mar 2024 10:22:05 +0100"
    assert named(values, "date_utc") == "2024-03-14T10:22:05+01:00"
    assert named(values, "attachments", 0) == {
        "name": "zapis.pdf",
        "media_type": "application/pdf",
        "size_bytes": 8,
        "sha256": hashlib.sha256(b"evidence").hexdigest(),
    }


def test_a_message_with_broken_fields_is_given_as_it_stands() -> None:
    content = b"From: =?utf-8?b?####?= <a@b>\nDate: yesterday\nSubject: =?x-none?q?a?=\nTo: b\n\n"
    values = found(mail, content).values
    assert named(values, "date") == "yesterday"
    assert "date_utc" not in values
    assert named(values, "subject") == "=?x-none?q?a?="


def test_a_message_of_endless_parts_is_read_in_part() -> None:
    parts = b"".join(b"--b\nContent-Type: text/plain\n\nx\n" for _ in range(2_000))
    content = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" + parts + b"--b--"
    assert found(mail, content).incomplete is not None


def test_a_message_of_outlook_says_the_same() -> None:
    attachment = b"evidence" * 600
    result = found(ole, samples.outlook_message(attachment))
    assert result.incomplete is None
    assert named(result.values, "subject") == "Zapisnik št. 7"
    assert named(result.values, "date") == "Thu, 14 Mar 2024 10:22:05 +0100"
    assert named(result.values, "recipients") == ["bor@example.org"]
    assert named(result.values, "attachments", 0) == {
        "name": "zapis.pdf",
        "size_bytes": len(attachment),
        "sha256": hashlib.sha256(attachment).hexdigest(),
    }


def test_an_older_office_document_says_who_wrote_it() -> None:
    content = samples.compound(
        {
            "WordDocument": b"",
            "\x05SummaryInformation": samples.summary("A. Novák"),
            "Macros/VBA": b"",
        }
    )
    values = found(ole, content).values
    assert decoded(named(values, "author")) == "A. Novák"
    assert named(values, "macros") is True


# ---------------------------------------------------------------------- archives


def test_a_zip_archive_is_listed_by_its_directory() -> None:
    content = samples.zipped({"statement.txt": "x" * 10, "folder/photo.jpg": "y"})
    values = found(archives, content).values
    assert named(values, "entries") == 2
    assert named(values, "size_bytes") == 11
    assert named(values, "listing", 0, "name") == "statement.txt"


@pytest.mark.parametrize(
    "content",
    [
        samples.tar(),
        samples.gzipped(samples.tar()),
        bz2.compress(samples.tar()),
        lzma.compress(samples.tar()),
    ],
    ids=["tar", "gzip", "bzip2", "xz"],
)
def test_a_tar_archive_is_listed_however_it_is_compressed(content: bytes) -> None:
    result = found(archives, content)
    assert result.incomplete is None
    assert named(result.values, "entries") == 3
    assert named(result.values, "listing", 2) == {
        "name": "folder/2.txt",
        "size_bytes": 5,
        "modified": "2023-11-14T22:13:20+00:00",
    }


def test_a_compressed_file_says_what_it_was_called() -> None:
    values = found(archives, samples.gzipped(b"x", "list.txt")).values
    assert named(values, "original_name") == "list.txt"
    assert named(values, "modified") == "2023-11-14T22:13:20+00:00"


def test_long_listings_are_counted_whole_and_listed_in_part() -> None:
    result = found(archives, samples.tar(1_200))
    assert named(result.values, "entries") == 1_200
    assert len(named(result.values, "listing")) == archives.ENTRIES_LISTED_MAX
    assert result.incomplete is not None


def test_an_archive_with_an_improbable_ratio_is_marked() -> None:
    values = found(archives, samples.zipped({"bomb": bytes(1_000_000)})).values
    assert named(values, "suspicious_ratio") > archives.RATIO_SUSPICIOUS
    assert "suspicious_ratio" not in found(archives, samples.zipped({"a": "text"})).values


@pytest.mark.parametrize("cut", [samples.tar(3)[:700], samples.gzipped(samples.tar(40))[:-30]])
def test_an_archive_that_breaks_off_is_listed_up_to_there(cut: bytes) -> None:
    result = found(archives, cut)
    assert result.incomplete is not None
    assert named(result.values, "entries") >= 1


def test_formats_that_are_not_listed_say_so() -> None:
    for head in (b"7z\xbc\xaf'\x1c\0\4", b"Rar!\x1a\x07\x01\0"):
        assert found(archives, head + bytes(50)).incomplete is not None


def entries(content: bytes) -> list[zips.Entry]:
    """The archive's directory."""
    with samples.source(content) as file:
        return list(zips.entries(file))


def unzipped(content: bytes, bytes_max: int = 1_000_000) -> dict[str, bytes]:
    """The archive's members."""
    with samples.source(content) as file:
        return {e.name: zips.content(file, e, bytes_max) for e in list(zips.entries(file))}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0/\\:"), min_size=1, max_size=20),
        st.binary(max_size=300),
        max_size=6,
    ),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.binary(max_size=40),
)
def test_archives_that_python_writes_are_read_as_it_reads_them(
    members: dict[str, bytes], method: int, before: bytes
) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    assert unzipped(before + content.getvalue()) == members


def test_an_archive_of_the_64_bit_form_is_read() -> None:
    content = io.BytesIO()
    with (
        zipfile.ZipFile(content, "w") as archive,
        archive.open("a", "w", force_zip64=True) as member,
    ):
        member.write(b"hello")
    assert unzipped(content.getvalue()) == {"a": b"hello"}


def test_a_member_longer_than_asked_for_is_refused_whatever_the_directory_says() -> None:
    with pytest.raises(zips.BadZipError):
        unzipped(samples.zipped({"a": bytes(100_000)}), bytes_max=1_000)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"PK\x05\x06" + b"\xff" * 18,
        b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, 46, 0, 0),
        samples.zipped({"a": "b"})[:-10],
        samples.zipped({"a": "b"}).replace(b"PK\x01\x02", b"PK\x01\x03"),
        samples.zipped({"a": "b"}).replace(b"PK\x03\x04", b"PK\x03\x05"),
        samples.zipped({"a": "b" * 100}).replace(b"\x08\0", b"\x63\0"),
    ],
)
def test_a_zip_archive_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(zips.BadZipError):
        unzipped(content)


# ------------------------------------------------------------------------- media


def test_a_recording_says_how_long_it_is_and_how_it_is_coded() -> None:
    values = found(media, samples.sound()).values
    assert named(values, "format") == "Wave"
    assert named(values, "duration_ms") == 1000
    assert named(values, "tracks", 0, "sampling_rate") == 8000


# --------------------------------------------------------------- forensic images

MEDIA = bytes(range(256)) * 16 * 5 + bytes(512)


def test_a_forensic_image_that_is_intact_matches_its_own_digest() -> None:
    values = found(ewf, samples.forensic_image(MEDIA)).values
    assert named(values, "container_digest") == "match"
    assert named(values, "examiner") == "Novak"
    assert named(values, "acquired") == "2024-03-14T10:22:05"
    assert named(values, "bytes") == len(MEDIA)
    md5 = hashlib.md5(MEDIA, usedforsecurity=False).hexdigest()
    assert named(values, "stored_digests") == {"md5": md5}


def test_a_forensic_image_with_another_digest_is_a_mismatch() -> None:
    values = found(ewf, samples.forensic_image(MEDIA, md5=bytes(range(16)))).values
    assert named(values, "container_digest") == "mismatch"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_byte_of_the_media_is_never_a_match(data: st.DataObject) -> None:
    image = bytearray(samples.forensic_image(MEDIA))
    start = image.index(b"sectors") + 76
    end = image.index(b"table") - 1
    image[data.draw(st.integers(start, end))] ^= data.draw(st.integers(1, 255))
    values = found(ewf, bytes(image)).values
    assert named(values, "container_digest") == "mismatch"


@pytest.mark.parametrize(
    "image",
    [
        samples.forensic_image(MEDIA, segment=2),
        samples.forensic_image(MEDIA, last="next"),
        samples.forensic_image(MEDIA, store_digest=False),
    ],
)
def test_an_image_that_cannot_be_verified_by_itself_says_why(image: bytes) -> None:
    values = found(ewf, image).values
    assert named(values, "container_digest") == "not_verifiable"
    assert named(values, "container_digest_reason")


def test_an_image_that_takes_too_long_is_not_verifiable_rather_than_wrong() -> None:
    values = found(ewf, samples.forensic_image(MEDIA), seconds=-1).values
    assert named(values, "container_digest") == "not_verifiable"


def test_an_image_that_breaks_off_says_so() -> None:
    result = found(ewf, samples.forensic_image(MEDIA)[:-200])
    assert result.incomplete is not None
    assert named(result.values, "container_digest") == "not_verifiable"


# -------------------------------------------------------------------- web archives


@pytest.mark.parametrize("compressed", [True, False])
def test_a_web_archive_says_what_it_captured_and_that_it_is_intact(compressed: bool) -> None:
    result = found(web, samples.warc(compressed=compressed))
    assert result.incomplete is None
    assert named(result.values, "target_uris") == ["https://example.org/post/1"]
    assert named(result.values, "first_date") == "2024-03-14T10:22:05Z"
    assert named(result.values, "digests") == {"match": 1}


def test_a_web_archive_with_a_changed_page_is_a_mismatch() -> None:
    content = samples.warc(compressed=False).replace(b"hello", b"hullo")
    assert named(found(web, content).values, "digests") == {"mismatch": 1}


def test_a_web_archive_with_an_unknown_digest_is_neither() -> None:
    content = samples.warc(compressed=False).replace(b"sha1:", b"xxx1:")
    assert named(found(web, content).values, "digests") == {"unknown_algorithm": 1}


def test_a_web_archive_that_breaks_off_is_read_up_to_there() -> None:
    whole = samples.warc() * 3
    result = found(web, whole[: -len(samples.warc()) // 2])
    assert result.incomplete is not None
    assert named(result.values, "records") >= 2


def test_a_packaged_web_archive_is_held_to_its_declared_digests() -> None:
    intact = found(web, samples.wacz()).values
    assert named(intact, "digests") == {"match": 1}
    assert named(intact, "package_digest") == "match"
    changed = found(web, samples.wacz(tampered=True)).values
    assert named(changed, "digests") == {"mismatch": 1}


# ------------------------------------------------------------------ any file at all


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(
        [
            samples.photograph(),
            samples.pdf(),
            samples.docx(),
            samples.message(),
            samples.tar(),
            samples.gzipped(samples.tar()),
            samples.forensic_image(MEDIA),
            samples.warc(),
            samples.wacz(),
            samples.sound(),
        ]
    ),
    st.data(),
)
def test_a_damaged_file_of_any_kind_gets_claims_that_say_how_it_was_read(
    content: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(content[: data.draw(st.integers(0, len(content)))])
    for _ in range(data.draw(st.integers(0, 8)) if damaged else 0):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with samples.source(bytes(damaged), b"file.bin") as file:
        *earlier, final = reading.read(file)
    assert all(report.next_tool is not None for report in earlier)
    assert final.next_tool is None
    for claims in final.claims:
        assert (claims.problem is None) is (claims.reading == "read")


def test_the_readers_of_a_family_know_their_own_files_only() -> None:
    types = ["image/jpeg", "audio/mpeg", "application/pdf", "message/rfc822", "text/plain"]
    for reader in (exif, media, pdf, office, ole, mail, archives, ewf, web):
        assert sum(reader.matches(media_type, b"") for media_type in types) <= 1
