"""Exchanges on real sockets: reuse, streaming, flow control, request bodies."""

import asyncio
import gzip

import pytest

from atoll.errors import BadAnswer, BodyBroken, BodyUsed, ConnectFailed, ConnectionBroken
from atoll.fetch.incoming import HIGH_WATER_BYTES
from atoll.http.body import Body
from support.raw_upstream import ListSource, in_pieces
from support.scripts import Dribble, Endless, bytes_then_close, bytes_then_reset, until_peer_left
from support.subrequests import bytes_of, subrequests
from support.upstream import ScriptedUpstream, answer, chunked_answer, read_body, refusing
from support.waiting import eventually


async def test_a_small_answer_is_held_and_its_connection_reused() -> None:
    """A body that came with its head needs no waiting, and ten requests in a row share one connection."""
    async with ScriptedUpstream([answer(b'{"a": 1}', headers=[("X-Y", "z")])]) as upstream, subrequests() as engine:
        for _ in range(10):
            response = await engine.get(upstream.url("/p?q"))
            assert response.body is not None
            assert response.body.held == b'{"a": 1}'
            assert (response.status, response.reason, response.headers.get("x-y")) == (200, "OK", "z")
            assert (response.url, response.redirected) == (upstream.url("/p?q"), False)
        assert upstream.connections_ever == 1
        assert upstream.heads[0].startswith(b"GET /p?q HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % upstream.port)


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (answer(b"hello"), b"hello"),
        (answer(), b""),
        (chunked_answer(b"hel", b"lo"), b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"hello"), b"hello"),
        (answer(gzip.compress(b"hello"), headers=[("Content-Encoding", "gzip")]), b"hello"),
        (answer(status="404 Not Found"), b""),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 10, 10_000])
async def test_segments_make_no_difference(raw: bytes, body: bytes, piece_bytes: int) -> None:
    """In one segment or in many of a byte: the same answer, and the connection serves again."""
    async with ScriptedUpstream(in_pieces(raw, piece_bytes)) as upstream, subrequests() as engine:
        for _ in range(2):
            assert await bytes_of(await engine.get(upstream.url())) == body
        assert upstream.connections_ever == 1


async def test_the_head_is_handed_over_before_the_body() -> None:
    """A response is there when its head is; while its body comes, the invocation knows of it."""
    head, rest = chunked_answer(b"one", b"two")[:-21], chunked_answer(b"one", b"two")[-21:]
    script = Dribble(head + rest, piece_bytes=len(head))
    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        script.step()
        response = await engine.get(upstream.url())
        assert response.body is not None
        assert response.body.length is None
        assert len(engine.invocation.held) == 1
        script.step()
        assert await bytes_of(response) == b"onetwo"
        assert not engine.invocation.held
        assert engine.stack.statistics().idle == 1


async def test_a_body_without_framing_ends_with_the_connection() -> None:
    """Neither length nor chunks: the end of file is the end, and the connection is not reused."""
    async with ScriptedUpstream(bytes_then_close(b"HTTP/1.1 200 OK\r\n\r\nabc")) as upstream, subrequests() as engine:
        assert await bytes_of(await engine.get(upstream.url())) == b"abc"
        assert engine.stack.statistics().open == 0


@pytest.mark.parametrize("field", [("Connection", "close"), ("connection", "Close, x")])
async def test_connection_close_is_obeyed(field: tuple[str, str]) -> None:
    """An upstream that says it will close is not asked again on that connection."""
    async with ScriptedUpstream([answer(b"x", headers=[field])]) as upstream, subrequests() as engine:
        for _ in range(2):
            assert await bytes_of(await engine.get(upstream.url())) == b"x"
        assert upstream.connections_ever == 2


@pytest.mark.parametrize("raw", [answer(length=50), answer(status="204 No Content"), chunked_answer()[:-5]])
async def test_head_has_no_body_and_keeps_its_fields(raw: bytes) -> None:
    """An answer to HEAD ends with its head; the next answer on the connection is not taken for its body."""
    head = raw[: raw.index(b"\r\n\r\n") + 4]

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        writer.write(head if request.startswith(b"HEAD") else answer(b"full"))

    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        response = await engine.send("HEAD", upstream.url())
        assert response.body is None
        assert await bytes_of(await engine.get(upstream.url())) == b"full"
        assert upstream.connections_ever == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_null_body_statuses(status: str) -> None:
    """204 and 304 have no body at all."""
    raw = f"HTTP/1.1 {status}\r\n\r\n".encode()
    async with ScriptedUpstream([raw]) as upstream, subrequests() as engine:
        for _ in range(2):
            assert (await engine.get(upstream.url())).body is None
        assert upstream.connections_ever == 1


@pytest.mark.parametrize("extra", [b"x", answer(b"evil", status="500 Evil"), b"\r\nHTTP/1.1 500 Evil\r\n"])
async def test_bytes_after_the_end_reach_nobody(extra: bytes) -> None:
    """What follows an answer in the same segment closes the connection: the next request gets its own answer."""
    async with ScriptedUpstream([answer(b"one") + extra, answer(b"two")]) as upstream, subrequests() as engine:
        assert await bytes_of(await engine.get(upstream.url())) == b"one"
        assert await bytes_of(await engine.get(upstream.url())) == b"two"
        assert upstream.connections_ever == 2


async def test_unasked_bytes_on_an_idle_connection_close_it() -> None:
    """An answer that nobody asked for is thrown away with its connection."""
    now = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(b"one"))
        await now.wait()
        writer.write(answer(b"evil"))

    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        assert await bytes_of(await engine.get(upstream.url())) == b"one"
        assert engine.stack.statistics().idle == 1
        now.set()
        await eventually(lambda: engine.stack.statistics().open == 0)


async def test_nobody_reads_an_endless_body() -> None:
    """An upstream that sends for ever is read only as far as the bounds go, and left when the body is closed."""
    endless = Endless()
    async with ScriptedUpstream(endless) as upstream, subrequests() as engine:
        response = await engine.get(upstream.url())
        taken = await endless.settled()
        # The kernel's socket buffers hold some megabytes on either side.
        assert taken < 16 * 1024 * 1024
        assert response.body is not None
        source = response.body.take()
        assert not isinstance(source, bytes)
        read = 0
        while read < taken + 4 * HIGH_WATER_BYTES:
            read += len(await source.read())
        source.close()
        await asyncio.wait_for(endless.peer_left.wait(), 5)
        with pytest.raises(BodyBroken, match="closed before its end"):
            await source.read()


async def test_a_large_body_streams_through_in_constant_memory() -> None:
    """Many times the high-water mark flows through, in order, and the connection is reused."""
    payload = bytes(range(256)) * 32_768

    async with ScriptedUpstream([answer(payload)]) as upstream, subrequests() as engine:
        for _ in range(2):
            response = await engine.get(upstream.url())
            assert response.body is not None
            assert response.body.length == len(payload)
            assert await bytes_of(response) == payload
        assert upstream.connections_ever == 1


async def test_two_readers_of_one_body_are_told_so() -> None:
    """Reading in two places at once is an error and not a race."""
    async with ScriptedUpstream(Dribble(answer(length=9), 1_000)) as upstream, subrequests() as engine:
        upstream_script = upstream._script
        assert isinstance(upstream_script, Dribble)
        upstream_script.step()
        response = await engine.get(upstream.url())
        assert response.body is not None
        source = response.body.take()
        assert not isinstance(source, bytes)
        first = asyncio.create_task(source.read())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="two tasks"):
            await source.read()
        with pytest.raises(BodyUsed):
            response.body.take()
        first.cancel()
        source.close()


async def test_a_cancelled_read_loses_nothing() -> None:
    """A reader that gave up waiting may come back: no byte is missing."""
    script = Dribble(chunked_answer(b"abc", b"def"), piece_bytes=1)
    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        script.step(chunked_answer(b"abc", b"def").index(b"abc"))
        response = await engine.get(upstream.url())
        assert response.body is not None
        source = response.body.take()
        assert not isinstance(source, bytes)
        reading = asyncio.create_task(source.read())
        await asyncio.sleep(0)
        reading.cancel()
        script.step(1_000)
        found = b""
        while chunk := await source.read():
            found += chunk
        assert found == b"abcdef"


async def test_closing_an_unread_body_with_little_left_keeps_the_connection() -> None:
    """The rest of a short body is read away; that of a long or endless one is not worth it."""
    script = Dribble(answer(b"x" * 1_000), piece_bytes=500)
    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        script.step()
        response = await engine.get(upstream.url())
        assert response.body is not None
        response.body.close()
        assert not engine.invocation.held
        script.step(10)
        await eventually(lambda: engine.stack.statistics().idle == 1)
        assert await bytes_of(await engine.get(upstream.url())) == b"x" * 1_000
        assert upstream.connections_ever == 1


async def test_closing_an_unread_body_with_much_left_closes_the_connection() -> None:
    """The other half of the fact above."""
    script = Dribble(answer(length=1_000_000, body=b"x" * 500), piece_bytes=10_000)
    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        script.step()
        response = await engine.get(upstream.url())
        assert response.body is not None
        response.body.close()
        assert engine.stack.statistics().open == 0
        await eventually(lambda: upstream.connections_open == 0)


# Request bodies.


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """Answer with the body that came."""
    writer.write(answer(await read_body(reader, head)))


BIG = bytes(range(256)) * 8_192


@pytest.mark.parametrize(
    ("make", "sent"),
    [
        pytest.param(lambda: Body(b"small"), b"small", id="held"),
        pytest.param(lambda: Body(BIG), BIG, id="held and large"),
        pytest.param(lambda: Body(source=ListSource([b"ab", b"c"]), length=3), b"abc", id="of known length"),
        pytest.param(lambda: Body(source=ListSource([b"ab", b"c"])), b"abc", id="chunked"),
        pytest.param(lambda: Body(source=ListSource([BIG] * 3)), BIG * 3, id="chunked and large"),
        pytest.param(lambda: Body(source=ListSource([])), b"", id="chunked and empty"),
        pytest.param(lambda: Body(gzip.compress(b"abc"), encoding="gzip"), b"abc", id="decoded without its coding"),
    ],
)
async def test_request_bodies_arrive(make: "type[Body]", sent: bytes) -> None:
    """Whatever the body comes from, the upstream gets its bytes, and the connection serves again."""
    async with ScriptedUpstream(echo) as upstream, subrequests() as engine:
        for _ in range(2):
            assert await bytes_of(await engine.send("POST", upstream.url(), make())) == sent
        assert upstream.connections_ever == 1


async def test_a_source_is_read_no_faster_than_the_upstream_takes_it() -> None:
    """An upstream that does not read stops the source; nothing is piled up for it."""
    source = ListSource([b"x" * 65_536] * 2_000)

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await asyncio.Event().wait()

    async with ScriptedUpstream(deaf) as upstream, subrequests() as engine:
        sending = asyncio.create_task(engine.send("POST", upstream.url(), Body(source=source)))
        await eventually(lambda: source.reads > 1)
        last = -1
        while last != source.reads:
            last = source.reads
            await asyncio.sleep(0.05)
        assert source.reads < 300
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await eventually(lambda: source.closed)


async def test_an_answer_before_the_end_of_the_request() -> None:
    """An upstream may answer while the body is still on its way; the answer counts, the connection does not."""
    source = ListSource([b"one", b"two"], gate=asyncio.Event())

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(b"enough", status="413 Content Too Large"))
        await until_peer_left(reader)
        writer.close()

    async with ScriptedUpstream(early) as upstream, subrequests() as engine:
        response = await engine.send("POST", upstream.url(), Body(source=source))
        assert (response.status, await bytes_of(response)) == (413, b"enough")
        assert engine.stack.statistics().open == 0
        await eventually(lambda: source.closed)


async def test_request_and_response_may_stream_at_the_same_time() -> None:
    """The answer's head comes while the request goes on; each chunk is echoed before the next is sent."""
    gate = asyncio.Event()
    source = ListSource([b"one", b"two"], gate=gate)

    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(await reader.readline(), 16):
            writer.write(b"%x\r\n" % size + await reader.readexactly(size + 2))
        await reader.readline()
        writer.write(b"0\r\n\r\n")

    async with ScriptedUpstream(mirror) as upstream, subrequests() as engine:
        response = await engine.send("POST", upstream.url(), Body(source=source))
        assert response.body is not None
        taken = response.body.take()
        assert not isinstance(taken, bytes)
        assert await taken.read() == b"one"
        gate.set()
        assert await taken.read() == b"two"
        assert await taken.read() == b""
        assert engine.stack.statistics().idle == 1


@pytest.mark.parametrize(
    ("chunks", "length", "error", "text"),
    [
        ([b"abcd"], 3, BodyBroken, "longer than its announced length of 3"),
        ([b"ab"], 3, BodyBroken, "ended after 2 of 3"),
        ([b"ab", ZeroDivisionError("mine")], None, ZeroDivisionError, "mine"),
        ([BodyBroken("the client left")], 3, BodyBroken, "the client left"),
    ],
)
async def test_a_source_that_fails_fails_the_fetch(
    chunks: list[bytes | Exception], length: int | None, error: type[Exception], text: str
) -> None:
    """What the source raises is what fetch raises, and the upstream sees a cut request and no whole one."""
    source = ListSource(chunks)
    ended: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        ended.append(await reader.read())

    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        with pytest.raises(error, match=text):
            await engine.send("POST", upstream.url(), Body(source=source, length=length))
        assert source.closed
        assert engine.stack.statistics().open == 0
        await eventually(lambda: upstream.connections_open == 0)
        assert not any(body.endswith(b"0\r\n\r\n") for body in ended)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (bytes_then_close(b""), ConnectionBroken),
        (bytes_then_close(b"HTTP/1.1 200 OK\r\nCont"), ConnectionBroken),
        (bytes_then_reset(b"HTTP/1.1 200 OK\r\nCont"), ConnectionBroken),
        (bytes_then_close(b"hello\r\n"), BadAnswer),
    ],
)
async def test_the_source_of_a_failed_exchange_is_closed(script: object, error: type[Exception]) -> None:
    """However the upstream fails, the request's body is let go of."""
    source = ListSource([b"one", b"two"], gate=asyncio.Event())
    async with ScriptedUpstream(script) as upstream, subrequests() as engine:  # type: ignore[arg-type]
        with pytest.raises(error, match=upstream.origin):
            await engine.send("POST", upstream.url(), Body(source=source))
        await eventually(lambda: source.closed)
        assert engine.stack.statistics().open == 0


async def test_the_source_of_a_request_that_never_left_is_closed() -> None:
    """No connection, no sending: the body is let go of all the same."""
    source = ListSource([b"one"])
    async with subrequests() as engine:
        with refusing() as origin, pytest.raises(ConnectFailed):
            await engine.send("POST", origin, Body(source=source))
        assert (source.closed, source.reads) == (True, 0)
