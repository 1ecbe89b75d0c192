"""From the wire to a Request: what aiohttp's parser lets through and a gateway must not is refused here.

Header text stays latin-1 (RFC 9110, section 5.5). The URL is parsed once, into one normal form, which routes,
handlers and upstreams all see; nothing in the request line decides scheme or security.
Source: RFC 9112, sections 2.3, 3.2, 6.1 and 7; RFC 9110, section 10.1.1.
"""

import asyncio
from typing import Final, Protocol

from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_exceptions import HTTPException

from atoll.errors import BadRequest, BodyBroken, ContentTooLarge
from atoll.http import url as urls
from atoll.http.body import Body
from atoll.http.headers import Headers
from atoll.http.message import Request

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Bounds(Protocol):
    """Whoever knows the bounds of one request's body: bytes and seconds between two chunks."""

    @property
    def body_bytes_max(self) -> int: ...

    @property
    def body_timeout_s(self) -> float: ...


def request_of(received: web.BaseRequest, scheme: str, headers_bytes_max: int) -> Request:
    """Check a received head and make the Request, its body still on the wire; `BadRequest` carries the status."""
    method = received.method
    if method == "CONNECT":
        raise BadRequest("CONNECT is not supported: this is a gateway, not a proxy", 501)
    if method == "TRACE":
        raise BadRequest("TRACE is not allowed", 405)
    version = received.version
    if version not in ((1, 1), (1, 0)):
        raise BadRequest("only HTTP/1.1 and HTTP/1.0 are spoken here", 505 if version[0] > 1 else 400)
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in received.raw_headers]
    if sum(len(name) + len(value) + 4 for name, value in pairs) > headers_bytes_max:
        raise BadRequest("the request's header fields are too large (gateway.headers_kb)", 431)
    headers = Headers.trusted(pairs)
    hosts = headers.get_all("host")
    if len(hosts) > 1 or (not hosts and version == (1, 1)):
        raise BadRequest("a request needs exactly one Host field")
    if version == (1, 0) and "transfer-encoding" in headers:
        raise BadRequest("Transfer-Encoding does not exist in HTTP/1.0")
    url = _url(scheme, hosts[0] if hosts else "", received.raw_path, method)
    if hosts and hosts[0] != url.authority:
        headers.set("Host", url.authority)
    return Request(method, url, headers, None, "manual")


def body_of(received: web.BaseRequest, headers: Headers, bounds: _Bounds) -> Body | None:
    """The request's body, or None where the head announces none; `BadRequest` when it is announced too large."""
    expect = headers.get("expect")
    if expect is not None and expect.lower() != "100-continue":
        raise BadRequest("the only expectation that can be met is 100-continue", 417)
    length_text = headers.get("content-length")
    if length_text is None and "transfer-encoding" not in headers:
        return None
    length = int(length_text) if length_text is not None else None
    if length is not None and length > bounds.body_bytes_max:
        raise _too_large(bounds.body_bytes_max)
    if length == 0:
        return Body(b"")
    awaits_continue = expect is not None and received.version == (1, 1)
    return Body(source=RequestBody(received, bounds, awaits_continue), length=length)


class RequestBody:
    """A request body as a source: bounded in bytes and in silence; asks for `100 Continue` at the first read."""

    def __init__(self, received: web.BaseRequest, bounds: _Bounds, awaits_continue: bool) -> None:
        self._received = received
        self._bounds = bounds
        self.awaits_continue = awaits_continue
        """The client still waits to be told to send; when nobody reads, it never will."""
        self._taken_bytes = 0
        self._closed = False

    async def read(self) -> bytes:
        """The next chunk; b"" at the end; `BodyBroken` when the client stalls, leaves or breaks the framing."""
        if self._closed:
            raise BodyBroken("the request body was closed")
        content = self._received.content
        try:
            if self.awaits_continue:
                self.awaits_continue = False
                await self._received.writer.write(_CONTINUE)
            async with asyncio.timeout(self._bounds.body_timeout_s):
                chunk = await content.readany()
        except TimeoutError:
            raise BodyBroken(
                f"the client sent nothing of its body for {self._bounds.body_timeout_s:g} s (gateway.body_timeout_s)"
            ) from None
        except (OSError, ClientPayloadError, HttpProcessingError, HTTPException) as error:
            raise BodyBroken(f"the request body ended before its end: {type(error).__name__}") from None
        self._taken_bytes += len(chunk)
        if self._taken_bytes > self._bounds.body_bytes_max:
            raise _too_large(self._bounds.body_bytes_max)
        return chunk

    def close(self) -> None:
        """No more will be read; what the client still sends is discarded by the connection."""
        self._closed = True


def _url(scheme: str, host: str, target: str, method: str) -> urls.URL:
    if target.startswith("/"):
        text = f"{scheme}://{host or 'localhost'}{target}"
    elif target == "*" and method == "OPTIONS":
        text = f"{scheme}://{host}/"
    else:
        # The absolute form: its authority wins over Host (RFC 9112, section 3.2.2), its scheme over nothing.
        given, separator, rest = target.partition("://")
        if not separator or given.lower() not in ("http", "https"):
            raise BadRequest("the request target is neither a path nor an http URL")
        text = f"{scheme}://{rest}"
        host = rest.partition("/")[0].partition("?")[0]
    if any(character in host for character in "/\\@?#, \t"):
        raise BadRequest("the Host field is not a host")
    try:
        url = urls.parse(text.encode("latin-1", "surrogateescape").decode("utf-8", "replace"))
    except ValueError:
        raise BadRequest("the request target and the Host field do not make a URL") from None
    if url.fragment or url.has_credentials:
        raise BadRequest("a request target has neither a fragment nor credentials")
    return url


def _too_large(bytes_max: int) -> ContentTooLarge:
    return ContentTooLarge(f"the request body is larger than {bytes_max} bytes (limits.request_body_mb)")
