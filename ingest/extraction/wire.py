"""What the two sides say to each other: packets over one `SOCK_SEQPACKET` socket pair.

A request is one packet, with the file's descriptor beside it (SCM_RIGHTS). A file is answered
by one report, a JSON object in fragments of one packet; the first byte of a fragment says
whether more follow. What is known of a file before that is left in the `blackbox`.

The trusted process believes nothing here: it bounds, parses and tidies.
"""

import json
import re
import socket
import struct
from dataclasses import dataclass
from typing import NoReturn

from evidence_store.claims import SET_BYTES_MAX, ClaimSet
from evidence_store.errors import MalformedError
from ingest.extraction.tidy import clean, tidy

UNIDENTIFIED = "application/octet-stream"
FRAGMENT_BYTES_MAX = 64 * 1024  # far below any kernel's limit on one packet
CLAIM_SETS_MAX = 4
MESSAGE_BYTES_MAX = CLAIM_SETS_MAX * SET_BYTES_MAX
NAME_BYTES_MAX = 255
MORE, LAST = b"+", b"."
_HEADER = struct.Struct("<Q")
REQUEST_BYTES_MAX = _HEADER.size + NAME_BYTES_MAX
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is, judged by its content."""

    media_type: str
    name_mismatch: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A reader, by the name and version of what it parses with."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a file. While it is being read, `next_tool` is what reads it now.

    A worker that is `retiring` takes no further file.
    """

    identity: Identity
    claims: tuple[ClaimSet, ...]
    next_tool: Tool | None = None
    retiring: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker's first message: what isolates it, or why nothing does and it has ended."""

    isolation: str
    isolated: bool


def is_media_type(text: str) -> bool:
    """Whether the text is a media type (RFC 6838, section 4.2) in lower case, without parameters."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def request(name: bytes, size_bytes: int) -> bytes:
    """The packet that asks for a file's claims. Only the end of a long name is sent."""
    return _HEADER.pack(size_bytes) + name[-NAME_BYTES_MAX:]


def parse_request(packet: bytes) -> tuple[bytes, int]:
    """The name and size in a request."""
    return packet[_HEADER.size :], _HEADER.unpack_from(packet)[0]


def encoded(message: dict[str, object]) -> bytes:
    """The message as it is sent."""
    return json.dumps(message, ensure_ascii=False).encode()


def send_message(channel: socket.socket, message: dict[str, object]) -> None:
    """Send a message in fragments. For the worker.

    Raises:
        OSError: if the other side is gone.
    """
    content = encoded(message)
    for start in range(0, len(content), FRAGMENT_BYTES_MAX):
        fragment = content[start : start + FRAGMENT_BYTES_MAX]
        channel.send((LAST if start + FRAGMENT_BYTES_MAX >= len(content) else MORE) + fragment)


def report_message(number: int, report: Report) -> dict[str, object]:
    """The report on the file of that number (of this worker's, from 1) as a message."""
    message: dict[str, object] = {
        "number": number,
        "media_type": report.identity.media_type,
        "name_mismatch": report.identity.name_mismatch,
        "claims": [claims.to_json() for claims in report.claims],
        "retiring": report.retiring,
    }
    if report.next_tool is not None:
        message["next"] = [report.next_tool.name, report.next_tool.version]
    return message


class MessageBuffer:
    """Puts fragments together into messages, up to a bound."""

    def __init__(self) -> None:
        self._fragments = bytearray()

    def take(self, fragment: bytes) -> bytes | None:
        """Add a fragment; returns the message that it completes.

        Raises:
            MalformedError: if it is not a fragment, or if the message grows too long.
        """
        self._fragments += fragment[1:]
        if fragment[:1] not in {MORE, LAST} or len(self._fragments) > MESSAGE_BYTES_MAX:
            raise MalformedError("extraction: expected a fragment of a bounded message")
        if fragment[:1] == MORE:
            return None
        message = bytes(self._fragments)
        self._fragments.clear()
        return message


def parse_report(message: bytes, number: int) -> Report:
    """Read the report on the file of that number. Nothing that the worker says is taken as it is.

    Raises:
        MalformedError: if it is not one.
    """
    match _parse(message):
        case {
            "number": int(found),
            "media_type": str(media_type),
            "name_mismatch": bool(name_mismatch),
            "claims": list(claims),
            "retiring": bool(retiring),
            **rest,
        } if found == number and is_media_type(media_type) and len(claims) <= CLAIM_SETS_MAX:
            return Report(
                identity=Identity(media_type, name_mismatch),
                claims=tuple(_claims(each) for each in claims),
                next_tool=_tool(rest.get("next")),
                retiring=retiring,
            )
        case _:
            raise MalformedError("extraction: expected a report on the file that was asked for")


def parse_ready(message: bytes) -> Ready:
    """Read the worker's first message.

    Raises:
        MalformedError: if it is not one.
    """
    match _parse(message):
        case {"isolation": str(isolation), "isolated": bool(isolated)}:
            return Ready(clean(isolation)[:1000], isolated)
        case _:
            raise MalformedError("extraction: expected the worker to say that it is ready")


def _parse(message: bytes) -> object:
    try:
        return _DECODER.decode(message.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MalformedError("extraction: expected JSON") from error


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # made once, not for each message


def _tool(value: object) -> Tool | None:
    match value:
        case None:
            return None
        case [str(name), str(version)]:
            return Tool(clean(name)[:64], clean(version)[:64])
        case _:
            raise MalformedError("extraction: expected a tool and its version")


def _claims(value: object) -> ClaimSet:
    claims = ClaimSet.from_json(value)
    values, _ = tidy(claims.values)
    return ClaimSet(
        tool=clean(claims.tool)[:64],
        tool_version=clean(claims.tool_version)[:64],
        reading=claims.reading,
        values=values,
        problem=None if claims.problem is None else clean(claims.problem)[:500],
    )
