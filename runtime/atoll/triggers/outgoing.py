"""From a Response to the wire: framing, and what an author may not decide about it.

The head is written here and not by aiohttp, so that nothing is added to what the author sent but what RFC 9112
asks for, a stream can end in trailer fields, and a head and a small body leave in one write.
Invariant: a body that failed is cut so that the client can tell (no last chunk, too few bytes, or a reset).
Source: RFC 9112, sections 6 and 7; RFC 9110, sections 6.4.1, 6.6.1 and 7.6.1.
"""

import time
from email.utils import formatdate
from enum import Enum
from http import HTTPStatus
from typing import Final

from atoll.errors import BodyBroken
from atoll.http.headers import Headers
from atoll.http.message import NO_BODY_STATUS, Response

_OURS: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "content-length", "upgrade", "te", "trailer"}
)
"""Fields about this connection and this framing, which are the gateway's to write."""
_JOIN_BYTES_MAX: Final = 16_384
"""Copying less than this costs less than another write."""
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class Framing(Enum):
    """How the client learns where the body ends."""

    NONE = "no body"
    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    CLOSE = "the connection's end"


class Outgoing:
    """The framing of one response, decided from request and response before the first byte."""

    __slots__ = ("framing", "keep_alive", "left_bytes", "length")

    def __init__(self, response: Response, *, method: str, http_1_0: bool, keep_alive: bool) -> None:
        body = response.body
        self.length: int | None = 0 if body is None else body.length
        self.keep_alive = keep_alive
        declared = _declared_length(response.headers)
        if response.status in NO_BODY_STATUS or method == "HEAD":
            self.framing = Framing.NONE
            self.length = declared if body is None or body.length is None else body.length
            if response.status in (101, 204):
                self.length = None
            elif response.status == 205:
                # It has no body, but a client only learns so from its length (RFC 9112, section 6.3).
                self.length = 0
        else:
            if self.length is None:
                self.length = declared
            if self.length is not None:
                self.framing = Framing.LENGTH
            elif not http_1_0:
                self.framing = Framing.CHUNKED
            else:
                self.framing = Framing.CLOSE
                self.keep_alive = False
        self.left_bytes = self.length if self.framing is Framing.LENGTH else None

    def head(self, response: Response, *, http_1_0: bool, extra: tuple[tuple[str, str], ...] = ()) -> bytes:
        """Status line and fields, to the empty line; `ValueError` when they cannot be written as latin-1."""
        status = response.status
        reason = response.reason if response.reason is not None else _REASONS.get(status, "")
        lines = [f"HTTP/1.1 {status} {reason}"]
        has_date = False
        for name, value in _kept(response.headers):
            if len(name) == 4 and name.lower() == "date":
                if has_date:
                    continue
                has_date = True
            lines.append(f"{name}: {value}")
        if self.framing is Framing.CHUNKED:
            lines.append("Transfer-Encoding: chunked")
        elif self.length is not None:
            lines.append(f"Content-Length: {self.length}")
        if not has_date:
            lines.append(_date())
        if not self.keep_alive:
            lines.append("Connection: close")
        elif http_1_0:
            lines.append("Connection: keep-alive")
        lines += [f"{name}: {value}" for name, value in extra]
        lines.append("\r\n")
        return "\r\n".join(lines).encode("latin-1")

    def whole(self, head: bytes, body: bytes) -> tuple[bytes, ...]:
        """Head and a body that is there already, joined when that costs little."""
        if self.framing is Framing.LENGTH and len(body) != self.length:
            raise BodyBroken(f"the body has {len(body)} bytes and not {self.length}, as its Content-Length says")
        return (head, body) if len(body) > _JOIN_BYTES_MAX else (head + body,)

    def frame(self, chunk: bytes) -> tuple[bytes, ...]:
        """A chunk as it stands on the wire, in parts rather than copied when it is large.

        `BodyBroken` when it goes past the length that was announced.
        """
        if self.framing is Framing.CHUNKED:
            if len(chunk) <= _JOIN_BYTES_MAX:
                return (b"%x\r\n%b\r\n" % (len(chunk), chunk),)
            return (b"%x\r\n" % len(chunk), chunk, b"\r\n")
        if self.left_bytes is not None:
            self.left_bytes -= len(chunk)
            if self.left_bytes < 0:
                raise BodyBroken(f"the body is longer than its Content-Length of {self.length}")
        return (chunk,)

    def end(self, trailers: tuple[tuple[str, str], ...] = ()) -> bytes:
        """What ends the body; `BodyBroken` when it is shorter than was announced."""
        if self.framing is Framing.CHUNKED:
            fields = "".join(f"{name}: {value}\r\n" for name, value in trailers)
            return f"0\r\n{fields}\r\n".encode("latin-1")
        if self.left_bytes:
            raise BodyBroken(f"the body is {self.left_bytes} bytes shorter than its Content-Length of {self.length}")
        return b""


def _kept(headers: Headers) -> list[tuple[str, str]]:
    """The author's fields but for those about a connection: ours, and what a Connection field names besides."""
    kept = [pair for pair in headers.pairs if pair[0].lower() not in _OURS]
    if len(kept) == len(headers.pairs) or (connection := headers.get("connection")) is None:
        return kept
    named = {token.strip().lower() for token in connection.split(",")}
    return [pair for pair in kept if pair[0].lower() not in named]


def _declared_length(headers: Headers) -> int | None:
    """The length that the author promises for a stream or for the answer to HEAD; nonsense is no promise."""
    text = headers.get("content-length")
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


_dated: tuple[int, str] = (0, "")


def _date() -> str:
    """The Date field, made once a second."""
    global _dated
    now = int(time.time())
    if _dated[0] != now:
        _dated = (now, f"Date: {formatdate(now, usegmt=True)}")
    return _dated[1]
