"""Which endings of a name go with which content.

A mismatch is flagged only when the ending is known and belongs to other content: an ending
that nobody knows claims nothing.
"""

_TEXT = (
    "txt text log csv tsv md rst json jsonl ndjson xml html htm xhtml eml mbox srt vtt ini cfg conf "
    "yaml yml toml sql sh py js css tex ics vcf kml gpx svg nfo dat pem crt asc sig m3u"
)
_ENDINGS = {
    "image/jpeg": "jpg jpeg jpe jfif mpo thm",
    "image/png": "png apng",
    "image/gif": "gif",
    "image/bmp": "bmp dib",
    "image/tiff": "tif tiff dng nef cr2 arw pef gtiff",
    "image/webp": "webp",
    "image/heic": "heic heif hif",
    "image/heif": "heic heif hif",
    "image/avif": "avif",
    "image/jxl": "jxl",
    "image/svg+xml": "svg xml",
    "image/vnd.adobe.photoshop": "psd",
    "application/pdf": "pdf ai",
    "application/postscript": "ps eps ai",
    "text/rtf": "rtf doc",
    "application/msword": "doc dot wps",
    "application/vnd.ms-excel": "xls xlt xla",
    "application/vnd.ms-powerpoint": "ppt pps pot",
    "application/vnd.ms-outlook": "msg oft",
    "application/x-ole-storage": "doc dot xls xlt ppt pps pot msg oft msi db vsd pub mpp",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx docm dotx dotm",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx xlsm xltx xltm xlsb",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": (
        "pptx pptm ppsx potx"
    ),
    "application/vnd.oasis.opendocument.text": "odt ott",
    "application/vnd.oasis.opendocument.spreadsheet": "ods ots",
    "application/vnd.oasis.opendocument.presentation": "odp otp",
    "application/epub+zip": "epub",
    "application/zip": "zip jar apk kmz cbz ufdr wacz docx xlsx pptx odt ods odp epub",
    "application/java-archive": "jar apk zip",
    "application/vnd.android.package-archive": "apk",
    "application/wacz": "wacz zip",
    "application/warc": "warc gz",
    "application/gzip": "gz tgz gzip svgz emz warc",
    "application/x-bzip2": "bz2 tbz tbz2",
    "application/x-xz": "xz txz",
    "application/zstd": "zst tzst",
    "application/x-tar": "tar gem",
    "application/x-7z-compressed": "7z",
    "application/x-rar": "rar cbr",
    "application/x-iso9660-image": "iso img",
    "application/octet-stream": "img bin dat db 001 vhd dd raw",
    "application/x-ewf": "e01 l01 s01",
    "application/x-ewf2": "ex01 lx01",
    "application/x-sqlite3": "sqlite sqlite3 db db3 sqlitedb",
    "audio/mpeg": "mp3 mp2 mpga",
    "audio/x-wav": "wav wave",
    "audio/flac": "flac",
    "audio/x-m4a": "m4a m4b mp4",
    "audio/mp4": "m4a m4b mp4",
    "audio/aac": "aac",
    "audio/x-hx-aac-adts": "aac",
    "audio/amr": "amr 3ga",
    "audio/ogg": "ogg oga opus",
    "application/ogg": "ogg oga ogv ogx opus",
    "audio/x-aiff": "aif aiff aifc",
    "audio/midi": "mid midi",
    "video/mp4": "mp4 m4v mov 3gp f4v mpg4 m4a",
    "video/quicktime": "mov qt mp4",
    "video/3gpp": "3gp 3gpp mp4",
    "video/3gpp2": "3g2 3gp",
    "video/x-m4v": "m4v mp4",
    "video/x-matroska": "mkv mka mk3d webm",
    "video/webm": "webm mkv",
    "video/x-msvideo": "avi",
    "video/x-ms-asf": "asf wmv wma",
    "video/mpeg": "mpg mpeg mpe m2v vob dat",
    "video/mp2t": "ts mts m2ts m2t",
    "video/x-flv": "flv",
    "application/mxf": "mxf",
    "message/rfc822": "eml mht mhtml mbox txt emlx",
    "application/x-dosexec": "exe dll sys com scr ocx",
    "application/vnd.microsoft.portable-executable": "exe dll sys com scr ocx",
    "application/x-executable": "elf so o bin",
    "application/x-sharedlib": "elf so o bin",
    "application/x-pie-executable": "elf so o bin",
}
_OF_TYPE = {media_type: frozenset(names.split()) for media_type, names in _ENDINGS.items()}
_OF_TEXT = frozenset(_TEXT.split())
_KNOWN = _OF_TEXT.union(*_OF_TYPE.values())
_TEXTUAL = (
    "text/",
    "application/json",
    "application/xml",
    "application/x-subrip",
    "application/mbox",
)
EMPTY = frozenset({"application/x-empty", "inode/x-empty"})


def contradicts(media_type: str, ending: str) -> bool:
    """Whether a file of this type must not have a name that ends so."""
    if ending not in _KNOWN or media_type in EMPTY:
        return False
    accepted = _OF_TYPE.get(media_type, frozenset())
    if media_type.startswith(_TEXTUAL) or media_type.endswith("+xml"):
        accepted |= _OF_TEXT
    return ending not in accepted
