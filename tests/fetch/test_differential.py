"""The engine beside aiohttp's client, over one upstream: what one understands of a response, the other does too."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

import aiohttp
import pytest

from atoll.errors import AbortError, BodyBroken
from atoll.http.headers import Headers
from atoll.http.message import Request
from atoll.http.url import parse
from support.shapes import WRONG, Shape, odd, sound, wrong
from support.subrequests import Engine, subrequests
from support.upstream import ScriptedUpstream

HANG_S = 5.0
AIOHTTP_HANG_S = 1.0
"""aiohttp 3.14 waits for ever after bad framing in a body's later segments; that is a failure, too."""

STRICTER = {
    "HTTP/2.0": "RFC 9110, 2.5: another major version is another syntax",
    "HTTP/0.9": "RFC 9112, 2.3: there is no status line in HTTP/0.9",
    "an empty line first": "RFC 9112, 2.2 lets servers skip one before a request, not clients before a response",
    "status 000": "RFC 9110, 15: 100 to 599, all others are invalid",
    "status 600": "RFC 9110, 15",
    "status 999": "RFC 9110, 15",
    "a control character in the reason": "RFC 9112, 4: reason-phrase; it would end up in logs and terminals",
    "NUL in the reason": "RFC 9112, 4",
    "bare LF": "RFC 9112, 2.2: lines end with CRLF; who takes LF alone may see another message than a proxy did",
    "a folded line": "RFC 9112, 5.2: obs-fold must not be sent",
    "a space before the first field": "RFC 9112, 2.2: white space after the start line hides a field from some",
    "a control character in a value": "RFC 9110, 5.5: invalid in field values",
    "an upgrade": "RFC 9110, 15.2.2: nothing was asked to be upgraded",
    "gzip, chunked": "RFC 9112, 6.1: TE was not sent, and the coding would not be undone",
    "chunked, gzip": "RFC 9112, 6.1: chunked must be the last coding of all",
    "chunked twice": "RFC 9112, 6.1: chunked is applied once",
    "identity": "RFC 9112, 7: there is no such coding any more",
    "xchunked": "RFC 9112, 6.1: an unknown coding; its framing would reach the author as body",
    "quoted chunked": "RFC 9112, 6.1",
    "chunks: bare LF after data": "RFC 9112, 7.1: the data of a chunk ends with CRLF",
    "chunks: bare LF in an extension": "RFC 9112, 7.1.1: the known way to smuggle by chunk extensions",
}
"""Shapes that Atoll refuses on purpose while aiohttp takes them, and why; there are none the other way round."""


Cut = Callable[[Shape], list[bytes]]


class Understood(NamedTuple):
    """What a client makes of a response."""

    status: int
    reason: bytes
    fields: list[tuple[str, str]]
    body: bytes


def whole(shape: Shape) -> list[bytes]:
    return [shape.raw]


def each_byte(shape: Shape) -> list[bytes]:
    return [shape.raw[at : at + 1] for at in range(len(shape.raw))]


def at_head_end(shape: Shape) -> list[bytes]:
    """Cut where the (first) head ends."""
    at = shape.raw.find(b"\r\n\r\n") + 4
    return [shape.raw[:at], shape.raw[at:]]


def inside(shape: Shape) -> list[bytes]:
    """Cut between the CR and the LF of every line, which is inside of chunk sizes' lines as well."""
    pieces = shape.raw.split(b"\r\n")
    return [pieces[0] + b"\r", *(b"\n" + piece + b"\r" for piece in pieces[1:-1]), b"\n" + pieces[-1]]


class Shapes:
    """An upstream script: the path of a request is the number of the shape that answers it."""

    def __init__(self, shapes: Sequence[Shape], cut: Cut) -> None:
        self.shapes = shapes
        self.cut = cut

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        shape = self.shapes[int(head.split(b" ", 2)[1][1:])]
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in self.cut(shape):
            if writer.is_closing():
                return
            writer.write(piece)
            # All share one loop: two turns of it, and the piece has been read.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if shape.close:
            writer.close()


async def by_atoll(engine: Engine, method: str, url: str) -> Understood | None:
    """What Atoll understands; None for a failure."""
    try:
        async with asyncio.timeout(HANG_S):
            response = await engine.fetcher.fetch(Request(method, parse(url), Headers(), redirect="manual"))
            body = b"" if response.body is None else await response.body.read_all()
    except (AbortError, BodyBroken):
        return None
    return Understood(response.status, (response.reason or "").encode("latin-1"), list(response.headers.pairs), body)


async def by_aiohttp(session: aiohttp.ClientSession, method: str, url: str, *, sound: bool) -> Understood | None:
    """What aiohttp understands; None for a failure."""
    bound_s = HANG_S if sound else AIOHTTP_HANG_S
    try:
        async with asyncio.timeout(bound_s), session.request(method, url, allow_redirects=False) as response:
            body = await response.read()
    except aiohttp.ClientError:
        return None
    except TimeoutError:
        assert not sound, f"{url} took aiohttp more than {bound_s:g} s"
        return None
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers]
    return Understood(response.status, (response.reason or "").encode("utf-8", "surrogateescape"), fields, body)


@pytest.mark.parametrize("cut", [whole, each_byte, at_head_end, inside])
async def test_understands_what_aiohttp_does(cut: Cut) -> None:
    """Each shape gives both the same status, reason, fields, repeats and bytes, or fails for both, however cut."""
    shapes = [*sound(), *odd(), *wrong()]
    assert len(shapes) > 350
    assert len({shape.name for shape in shapes}) == len(shapes)
    upstream = ScriptedUpstream(Shapes(shapes, cut))
    client = aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
    # What aiohttp makes of a wrong answer must not meet the next one on the same connection.
    fresh = aiohttp.ClientSession(
        auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(force_close=True)
    )
    async with upstream, subrequests() as engine, client, fresh:

        async def differ(number: int) -> str | None:
            """What the two do not agree on, unless it is on purpose."""
            shape, url = shapes[number], upstream.url(f"/{number}")
            ours = await by_atoll(engine, shape.method, url)
            sound = shape.name not in WRONG
            theirs = await by_aiohttp(client if sound else fresh, shape.method, url, sound=sound)
            if shape.name in STRICTER:
                return None if ours is None and theirs else f"{shape.name} is no longer a difference"
            return None if ours == theirs else f"{shape.name}: {ours} and {theirs}"

        # Good ones one after another, on connections that are used again; bad ones side by side, for some take time.
        count = len(shapes) - len(WRONG)
        found = [await differ(number) for number in range(count)]
        found += await asyncio.gather(*(differ(number) for number in range(count, len(shapes))))
        reused = engine.stack.statistics().reused_total
    problems = [problem for problem in found if problem]
    assert not problems, f"{len(problems)} of {len(shapes)}:\n" + "\n".join(problems)
    assert reused > count / 3
