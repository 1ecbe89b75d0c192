"""Whatever bytes an upstream sends, in whatever segments: no hang, no foreign error, no dirty connection, no growth.

Hypothesis prints what reproduces a failure; where the environment says CI its choices are the same each time.
"""

import asyncio
import socket

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atoll.errors import AbortError, BadAnswer, BodyBroken
from atoll.fetch.framing import CHUNK_FRAMING_BYTES, HEAD_BYTES_MAX, TAIL_BYTES_MAX, Reading
from support.scripts import reset
from support.shapes import odd, sound
from support.subrequests import Engine, bytes_of, subrequests
from support.upstream import ScriptedUpstream, answer

HANG_S = 2.0
CLEAN = b"the answer to the second request"
SEEDS = [shape.raw for shape in (*sound(), *odd()) if shape.method == "GET" and len(shape.raw) < 500]
TOKENS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\0",
        b" ",
        b":",
        b",",
        b";",
        b'"',
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
        b"\xff",
    ),
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 Up\r\n", b"HTTP/1.0 204 N\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length: 18446744073709551616\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Upgrade: h2c\r\n"),
    *(b"Content-Encoding: gzip\r\n", b"Content-Encoding: deflate, gzip\r\n", b"Keep-Alive: timeout=99999999999\r\n"),
    *(b"Location: http://[\r\n", b"ffffffffffffffff\r\n", b"HTTP/1.1 302 Found\r\nLocation: /there\r\n"),
]

bounded = settings(max_examples=250, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A sound response with a few bytes cut, repeated, put in, or another response after it."""
    raw = draw(st.sampled_from(SEEDS))
    for kind in draw(st.lists(st.sampled_from(["cut", "repeat", "token", "byte", "response", "end"]), max_size=4)):
        at = draw(st.integers(0, len(raw)))
        to = draw(st.integers(at, min(at + 40, len(raw))))
        if kind == "cut":
            raw = raw[:at] + raw[to:]
        elif kind == "repeat":
            raw = raw[:to] + raw[at:]
        elif kind == "token":
            raw = raw[:at] + draw(st.sampled_from(TOKENS)) + raw[at:]
        elif kind == "byte":
            raw = raw[:at] + draw(st.binary(min_size=1, max_size=2)) + raw[at + 1 :]
        elif kind == "response":
            raw += draw(st.sampled_from(SEEDS))
        else:
            raw = raw[:at]
    return raw


noise = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from(TOKENS) | st.binary(max_size=4), max_size=20).map(b"".join),
    st.lists(st.sampled_from(TOKENS) | st.binary(max_size=4), max_size=20).map(b"HTTP/1.1 200 ".join),
)


@st.composite
def segmented(draw: st.DrawFn) -> list[bytes]:
    """Bytes of any kind in segments of any length."""
    raw = draw(st.one_of(mutated(), mutated(), noise))
    cuts = sorted(draw(st.sets(st.integers(0, len(raw)), max_size=8)))
    return [raw[at:to] for at, to in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


class Fuzzed:
    """An upstream script: the first request gets the segments and this end, all that follow a clean answer.

    After `pause_at` segments it lets the client settle, and says so, before it goes on.
    """

    def __init__(self, segments: list[bytes], end: str, pause_at: int) -> None:
        self.segments = segments
        self.end = end
        self.pause_at = pause_at
        self.begun = False
        self.paused = asyncio.Event()
        self.sent = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        if self.begun:
            writer.write(answer(CLEAN))
            return
        self.begun = True
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self.send(writer)
        finally:
            self.paused.set()
            self.sent.set()

    async def send(self, writer: asyncio.StreamWriter) -> None:
        for number, segment in enumerate(self.segments):
            if number == self.pause_at:
                await turns(8)
                self.paused.set()
                await turns(4)
            if writer.is_closing():
                break  # It was refused already.
            writer.write(segment)
            await turns(2)
        if self.end == "reset" and not writer.is_closing():
            reset(writer)
        elif self.end == "close":
            writer.close()
        await turns(8)


async def turns(count: int) -> None:
    """Let the other side, which shares the loop, read what was written."""
    for _ in range(count):
        await asyncio.sleep(0)


async def whole(engine: Engine, url: str, method: str = "GET") -> bytes:
    return await bytes_of(await engine.send(method, url))


@bounded
@given(
    segments=segmented(),
    end=st.sampled_from(["close", "reset", "stay"]),
    method=st.sampled_from(["GET", "GET", "HEAD"]),
    cancel_at=st.none() | st.integers(0, 9),
)
async def test_any_bytes(segments: list[bytes], end: str, method: str, cancel_at: int | None) -> None:
    """A response or an AbortError or BodyBroken, soon; and the next request on that origin gets its own answer.

    So it does when the first is cancelled at any segment, and the rest of its answer comes all the same.
    """
    script = Fuzzed(segments, end, len(segments) if cancel_at is None else cancel_at)
    async with asyncio.timeout(HANG_S), ScriptedUpstream(script) as upstream, subrequests() as engine:
        asking = asyncio.create_task(whole(engine, upstream.url("/first"), method))
        await script.paused.wait()
        if not asking.done() and (cancel_at is not None or end == "stay"):
            asking.cancel()
            await asyncio.wait((asking,))
            assert await whole(engine, upstream.url("/second")) == CLEAN
        await script.sent.wait()
        try:
            await asking
        except (AbortError, BodyBroken, asyncio.CancelledError):
            pass
        for _ in range(2):
            assert await whole(engine, upstream.url("/third")) == CLEAN
        for resource in list(engine.invocation.held):
            resource.close()


@bounded
@given(
    start=st.sampled_from([b"", b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: "]) | mutated(),
    unit=st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=30), st.just(b"X: y\r\n"), st.just(b"1;")),
    segment_bytes=st.integers(1_000, 40_000),
)
def test_any_bytes_without_end(start: bytes, unit: bytes, segment_bytes: int) -> None:
    """What repeats for ever is refused, or ended, or body: all that is not body stays within the bounds."""
    reading = Reading("http://upstream.test", "GET")
    segment = unit * (segment_bytes // len(unit) + 1)
    fed = 0
    try:
        for data in (start, *([segment] * 40)):
            if not data or reading.complete:
                continue
            reading.feed(data)
            fed += len(data)
            other_bytes = fed - reading.body_bytes * (2 + CHUNK_FRAMING_BYTES)
            assert other_bytes <= HEAD_BYTES_MAX + TAIL_BYTES_MAX
            assert reading.head_done or fed <= HEAD_BYTES_MAX
            assert len(reading.fields) <= HEAD_BYTES_MAX
            reading.take_chunks()
    except BadAnswer:
        pass
    reading.drop()
