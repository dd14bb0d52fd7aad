"""Posting to an address that somebody else chose: no way into the own network, and no waiting for ever.

A name is resolved once; if any address it has is not of the public internet, nothing is sent; and the
connection is made to the address that was looked at, so that a name cannot change its mind. No
redirect is followed, no proxy is used, and time and answer are bounded.
"""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import SplitResult, urlsplit

from evidence_store.errors import MalformedError, UnavailableError

TIMEOUT_SECONDS = 5.0  # of each step
BUDGET_SECONDS = 15.0  # of all of it, however slowly bytes come
ANSWER_BYTES_MAX = 16 * 1024
URL_CHARACTERS_MAX = 2000
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64: an IPv4 address inside


class ForbiddenAddressError(UnavailableError):
    """The address is not of the public internet."""

    code = "E940"


def checked_url(url: str, *, private: bool) -> SplitResult:
    """The parts of an address that may be posted to; `private` is for exercises.

    Raises:
        MalformedError: if it is not https, or has a password, or an address of the own network.
    """
    what = "webhook: expected an https address without a password"
    if len(url) > URL_CHARACTERS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise MalformedError(what)
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError:
        raise MalformedError(what) from None
    host = found.hostname
    allowed = {"https", "http"} if private and host in {"127.0.0.1", "localhost"} else {"https"}
    if (
        found.scheme not in allowed
        or not host
        or "@" in found.netloc
        or port == 0
        or found.fragment
    ):
        raise MalformedError(what)
    with suppress(ValueError):
        if not private and not is_public(ipaddress.ip_address(host)):
            raise MalformedError("webhook: expected an address of the public internet")
    return found


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet, also when it is wrapped in another."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.sixtofour or address.teredo or address in _TRANSLATED or address.scope_id:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
    )


def resolved(host: str, port: int) -> Sequence[str]:
    """Every address of a name.

    Raises:
        UnavailableError: if it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnavailableError("webhook: its name cannot be resolved") from error
    return [str(each[4][0]) for each in found]


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    private: bool = False,
    resolve: Resolve = resolved,
    budget_seconds: float = BUDGET_SECONDS,
) -> int:
    """Post a body; returns the status.

    Raises:
        ForbiddenAddressError: if the name leads into the own network; nothing was sent.
        MalformedError: as `checked_url`.
        UnavailableError: if there is no answer in time.
    """
    parts = checked_url(url, private=private)
    host = str(parts.hostname)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = resolve(host, port)
    for each in addresses:
        if not private and not is_public(ipaddress.ip_address(each.partition("%")[0])):
            raise ForbiddenAddressError("webhook: its name leads to an address that is not public")
    if not addresses:
        raise UnavailableError("webhook: its name cannot be resolved")
    line = _Pinned(host, port, addresses[0], secure=parts.scheme == "https")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    timer = threading.Timer(budget_seconds, line.cut)
    timer.daemon = True
    timer.start()
    try:
        line.request("POST", path, body, {"Connection": "close", **headers})
        response = line.getresponse()
        response.read(ANSWER_BYTES_MAX)
    except (OSError, HTTPException, ValueError) as error:
        raise UnavailableError(f"webhook: no answer: {type(error).__name__}") from error
    else:
        return response.status
    finally:
        timer.cancel()
        line.close()


class _Pinned(HTTPConnection):
    """A connection to an address that was looked at; TLS insists on the name all the same."""

    def __init__(self, host: str, port: int, address: str, *, secure: bool) -> None:
        super().__init__(host, port, timeout=TIMEOUT_SECONDS)
        self._address, self._secure = address, secure
        if secure:
            self.default_port = 443

    def connect(self) -> None:
        """See `HTTPConnection.connect`."""
        self.sock = socket.create_connection((self._address, self.port), TIMEOUT_SECONDS)
        if self._secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)

    def cut(self) -> None:
        """End it now, from another thread."""
        line = self.sock
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
