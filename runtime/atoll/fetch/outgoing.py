"""A request as it goes out: request line, fields, and what follows them.

Framing and everything else that is about one connection is ours to write: what the author says about it is left
out, and so is every field that its Connection field names.
Invariant: whatever stands in method, target or a field, no second line can come of it.
Source: RFC 9112, sections 3 and 6; RFC 9110, sections 7.2, 7.6.1 and 10.1.
"""

import re
from typing import Final, NamedTuple

from atoll import __version__
from atoll.config import ProxyConfig
from atoll.http.body import Source
from atoll.http.headers import Headers
from atoll.http.message import Request
from atoll.http.url import URL

ONE_WRITE_BYTES_MAX: Final = 65_536
"""A body of at most this size leaves together with its head; a larger one no faster than the upstream takes it."""

NO_BODY: Final = -1
CHUNKED: Final = -2

_METHOD: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods for which a missing body is said aloud, by Content-Length: 0 (RFC 9110, section 8.6)."""
_OURS: Final = frozenset(
    {
        "host",
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "content-length",
        "te",
        "trailer",
        "upgrade",
        "expect",
    }
)
_DEFAULTS: Final = (
    ("accept", "*/*"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("user-agent", f"atoll/{__version__}"),
)
_DEFAULT_NAMES: Final = frozenset(name for name, _ in _DEFAULTS)
_DEFAULT_LINES: Final = "".join(f"{name}: {value}\r\n" for name, value in _DEFAULTS)


class Outgoing(NamedTuple):
    """A request in the form in which it leaves."""

    method: str
    url: URL
    head: bytes
    """The head, and with it a body that is small and there."""
    payload: bytes | Source | None
    """The rest of the body: many bytes, or where they come from, which can be sent once only."""
    length: int
    """What the payload will give: bytes, or `CHUNKED`."""
    expects: bool = False
    """Whether the payload waits for the upstream's `100 Continue` (RFC 9110, section 10.1.1)."""

    @property
    def replayable(self) -> bool:
        """Whether it can be sent a second time."""
        return self.payload is None or isinstance(self.payload, bytes)


def outgoing(request: Request, proxy: ProxyConfig | None = None) -> Outgoing:
    """Put a request into the form in which it leaves; takes its body. `ValueError` names what cannot be sent.

    With a proxy it is in the form for that proxy: the whole URL in the request line (RFC 9112, section 3.2.2).
    """
    method, url, body = request.method, request.url, request.body
    if body is None:
        if method == "GET" and proxy is None and not request.headers.pairs:
            # What most subrequests are: nothing in it is the author's but the URL.
            plain = f"GET {url.target} HTTP/1.1\r\nhost: {url.authority}\r\n{_DEFAULT_LINES}\r\n"
            return Outgoing(method, url, plain.encode("latin-1"), None, NO_BODY)
        return Outgoing(method, url, head_of(method, url, request.headers, NO_BODY, proxy), None, NO_BODY)
    body = body.raw_for(request.headers)
    payload = body.take()
    expects = (request.headers.get("expect") or "").lower() == "100-continue"
    if not isinstance(payload, bytes):
        length = CHUNKED if body.length is None else body.length
        head = head_of(method, url, request.headers, length, proxy, expects=expects)
        return Outgoing(method, url, head, payload, length, expects)
    length = len(payload)
    expects = expects and length > 0
    announced = length if length or method in _WITH_BODY else NO_BODY
    head = head_of(method, url, request.headers, announced, proxy, expects=expects)
    if length <= ONE_WRITE_BYTES_MAX and not expects:
        return Outgoing(method, url, head + payload, None, length)
    return Outgoing(method, url, head, payload, length, expects)


def head_of(
    method: str, url: URL, headers: Headers, length: int, proxy: ProxyConfig | None = None, *, expects: bool = False
) -> bytes:
    """Write the head; `length` in bytes, or `NO_BODY` or `CHUNKED`. `ValueError` names what cannot be sent."""
    if method not in _KNOWN_METHODS:
        _check_method(method)
    if proxy is None:
        text = f"{method} {url.target} HTTP/1.1\r\nhost: {url.authority}\r\n{_fields(headers)}"
    else:
        line = f"{method} {url.scheme}://{url.authority}{url.target} HTTP/1.1\r\nhost: {url.authority}\r\n"
        if proxy.authorization is not None:
            line += f"proxy-authorization: {proxy.authorization}\r\n"
            headers = headers.copy()
            headers.delete("proxy-authorization")
        text = line + _fields(headers)
    if expects:
        text += "expect: 100-continue\r\n"
    if length >= 0:
        text = f"{text}content-length: {length}\r\n\r\n"
    elif length == CHUNKED:
        text += "transfer-encoding: chunked\r\n\r\n"
    elif method in _WITH_BODY:
        text += "content-length: 0\r\n\r\n"
    else:
        text += "\r\n"
    return text.encode("latin-1")


def _fields(headers: Headers) -> str:
    """The author's fields that may go out, and the defaults for what was not given."""
    pairs = headers.pairs
    if not pairs:
        return _DEFAULT_LINES
    lines: list[str] = []
    given: set[str] = set()
    unsent = _OURS
    for name, value in pairs:
        lower = name.lower()
        if lower in _OURS:
            if lower == "connection":
                unsent = unsent.union(token.strip().lower() for token in value.split(","))
            continue
        given.add(lower)
        lines.append(f"{name}: {value}\r\n")
    if unsent is not _OURS:
        lines = [f"{name}: {value}\r\n" for name, value in pairs if name.lower() not in unsent]
    text = "".join(lines)
    # One look at the whole is cheaper than one at each: nothing but our own line ends may be in it.
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        _blame(headers)
    if not text.isascii():
        _check_latin(headers)
    if given.isdisjoint(_DEFAULT_NAMES):
        return text + _DEFAULT_LINES
    return text + "".join(f"{name}: {value}\r\n" for name, value in _DEFAULTS if name not in given)


def _check_method(method: str) -> None:
    if not _METHOD.fullmatch(method) or method in ("CONNECT", "TRACE", "TRACK"):
        raise ValueError(f"{method[:80]!r} cannot be a subrequest's method; expected a token such as GET or PURGE")


def _blame(headers: Headers) -> None:
    for name, value in headers.pairs:
        if any(character in name or character in value for character in "\r\n\0"):
            raise ValueError(f"header {name[:80]!r} holds a line break or NUL, which cannot be sent: {value[:80]!r}")


def _check_latin(headers: Headers) -> None:
    for name, value in headers.pairs:
        try:
            f"{name}{value}".encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(
                f"header {name[:80]!r} holds a character beyond latin-1, which cannot be sent: {value[:80]!r}"
            ) from None
