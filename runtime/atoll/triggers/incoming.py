"""From the wire to a Request: what aiohttp's parser lets through and a gateway must not is refused here.

Header text stays latin-1 (RFC 9110, section 5.5). The URL is parsed once, into one normal form, which routes,
handlers and upstreams all see; nothing in the request line decides scheme or security.
Source: RFC 9112, sections 2.3, 3.2, 6.1 and 7; RFC 9110, section 10.1.1.
"""

import asyncio
import re
import time
from itertools import chain
from typing import Final, Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import PayloadAccessError, RequestPayloadError

from atoll.errors import BadRequest, BodyBroken, ClientLeft, ContentTooLarge, RequestBroken, RequestIdle
from atoll.http import url as urls
from atoll.http.body import Body
from atoll.http.headers import Headers
from atoll.http.message import Request
from atoll.suspension import Suspension

_TARGET: Final = re.compile(r'[!"$-~]+')
"""Visible ASCII without `#`: what else might come in a target, a URL's parser would drop, encode or cut off."""
_HOST: Final = re.compile(r'[!"$-+\-.0->A-\[\]-~]+')
"""As above without `/`, `\\`, `@`, `?` and `,`: host and port and nothing else; the URL's parser judges the rest."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Bounds(Protocol):
    """Whoever knows the bounds of one request's body: bytes and seconds between two chunks."""

    @property
    def body_bytes_max(self) -> int: ...

    @property
    def body_timeout_s(self) -> float: ...

    @property
    def body_idle_s(self) -> float: ...

    @property
    def suspension(self) -> Suspension: ...


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
    raw = received.raw_headers
    if sum(map(len, chain.from_iterable(raw))) + 4 * len(raw) > headers_bytes_max:
        raise BadRequest("the request's header fields are too large (gateway.headers_kb)", 431)
    headers = Headers.trusted([(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw])
    # What aiohttp made of the fields is a table: it tells quickly which are there.
    hosts = received.headers.getall("Host", ())
    if len(hosts) > 1 or (not hosts and version == (1, 1)):
        raise BadRequest("a request needs exactly one Host field")
    if "Transfer-Encoding" in received.headers:
        _check_coding(headers.get("transfer-encoding"), version)
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise BadRequest("the Host field is not a host")
    url = _url(scheme, hosts[0] if hosts else "localhost", received.raw_path, method)
    if hosts and hosts[0] != url.authority:
        headers.set("Host", url.authority)
    return Request(method, url, headers, None, "manual")


def _check_coding(coding: str | None, version: tuple[int, int]) -> None:
    if version == (1, 0):
        raise BadRequest("Transfer-Encoding does not exist in HTTP/1.0")
    if coding is None or coding.lower() != "chunked":
        raise BadRequest("the only transfer coding that is understood here is chunked")


def body_of(received: web.BaseRequest, headers: Headers, bounds: _Bounds) -> Body | None:
    """The request's body, or None where the head announces none; `BadRequest` when it is announced too large."""
    table = received.headers
    if "Content-Length" not in table and "Expect" not in table and "Transfer-Encoding" not in table:
        return None
    expect = headers.get("expect")
    if expect is not None and expect.lower() != "100-continue":
        raise BadRequest("the only expectation that can be met is 100-continue", 417)
    length_text = headers.get("content-length")
    if length_text is None and "Transfer-Encoding" not in table:
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
        """The next chunk; b"" at the end; `ContentTooLarge`, or a `BodyBroken` that says what the client did."""
        if self._closed:
            raise BodyBroken("the request body was closed")
        content = self._received.content
        try:
            if self.awaits_continue:
                await self.ask()
            if content.total_bytes > self._taken_bytes or content.is_eof():
                # There is something to read, so nothing to watch over.
                chunk = await content.readany()
            else:
                chunk = await self._awaited()
        except TimeoutError:
            if self._bounds.body_idle_s < self._bounds.body_timeout_s:
                raise RequestIdle(
                    f"the client sent nothing of its body for {self._bounds.body_idle_s:g} s (limits.body_idle_ms)", 408
                ) from None
            raise RequestBroken(
                f"the client sent nothing of its body for {self._bounds.body_timeout_s:g} s (gateway.body_timeout_s)",
                408,
            ) from None
        except OSError:
            raise ClientLeft("the client left in the middle of its request body") from None
        except (RequestPayloadError, HttpProcessingError):
            raise RequestBroken("the framing of the request body is not valid") from None
        except PayloadAccessError:
            raise BodyBroken(
                "the answer has been sent, and with it what was left of the request body is gone"
            ) from None
        self._taken_bytes += len(chunk)
        if self._taken_bytes > self._bounds.body_bytes_max:
            raise _too_large(self._bounds.body_bytes_max)
        return chunk

    async def _awaited(self) -> bytes:
        bounds = self._bounds
        while True:
            started_s = time.monotonic()
            try:
                async with asyncio.timeout(min(bounds.body_timeout_s, bounds.body_idle_s)):
                    return await self._received.content.readany()
            except TimeoutError:
                if not bounds.suspension.since(started_s):
                    raise

    async def ask(self) -> None:
        """Tell a client that waits for it to send its body; to be done before the head of the answer leaves."""
        self.awaits_continue = False
        await self._received.writer.write(_CONTINUE)

    def close(self) -> None:
        """No more will be read; what the client still sends is discarded by the connection."""
        self._closed = True


def _url(scheme: str, host: str, target: str, method: str) -> urls.URL:
    if not _TARGET.fullmatch(target):
        raise BadRequest("the request target holds bytes that no URL has")
    if target.startswith("/"):
        text = f"{scheme}://{host}{target}"
    elif target == "*" and method == "OPTIONS":
        text = f"{scheme}://{host}/"
    else:
        # The absolute form: its authority wins over Host (RFC 9112, section 3.2.2), its scheme over nothing.
        given, separator, rest = target.partition("://")
        if not separator or given.lower() not in ("http", "https"):
            raise BadRequest("the request target is neither a path nor an http URL")
        if not _HOST.fullmatch(rest.partition("/")[0].partition("?")[0]):
            raise BadRequest("the authority of the request target is not a host")
        text = f"{scheme}://{rest}"
    try:
        return urls.parse(text)
    except ValueError:
        raise BadRequest("the request target and the Host field do not make a URL") from None


def _too_large(bytes_max: int) -> ContentTooLarge:
    return ContentTooLarge(f"the request body is larger than {bytes_max} bytes (limits.request_body_mb)")
