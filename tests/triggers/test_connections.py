"""Connections over time: slow readers, leavers, idlers, the bound on their number, and the drain."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from support.gateway import Running, opened
from support.raw import connected, request
from support.waiting import eventually

ENTRY = {
    "entry.py": """\
    import asyncio, sys
    from workers import Response

    sent = 0

    async def endless():
        made = 0
        try:
            while True:
                yield b"x" * 65_536
                made += 1
        finally:
            print("made", made)

    async def steps(gate_s):
        yield b"first"
        await asyncio.sleep(gate_s)
        yield b"second"

    async def on_fetch(request, env, ctx):
        path = request.url.split("/", 3)[3]
        match path:
            case "endless":
                return Response(endless())
            case "huge":
                return Response(b"x" * 30_000_000)
            case "large":
                return Response(b"x" * 60_000)
            case "steps":
                return Response(steps(0.3))
            case "stuck":
                return Response(steps(60))
            case "slow":
                await asyncio.sleep(0.3)
                return Response("slow")
            case "sleep":
                await asyncio.sleep(60)
            case "read":
                return Response(await request.bytes())
            case _:
                return Response("quick")
    """
}
SMALL_BUFFER = 4096


async def outcome(running: Running, within_s: float = 5.0) -> str:
    """How the one invocation ended."""
    await running.seen.until(lambda seen: seen.ended_facts, within_s)
    return str(running.seen.ended_facts[0]["outcome"])


@pytest.mark.parametrize("path", ["/endless", "/huge"])
async def test_a_client_that_does_not_read_is_cut(
    tmp_path: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Streamed or held, an answer nobody reads ends after write_timeout_s; little of a stream was made till then."""
    toml = "[gateway]\nwrite_timeout_s = 1"
    async with opened(tmp_path, ENTRY, toml) as running, connected(running.port, receive_bytes=SMALL_BUFFER) as client:
        started = time.monotonic()
        await client.send(request("GET", path))
        assert await outcome(running) == "canceled"
        assert 0.9 < time.monotonic() - started < 3
        await eventually(lambda: running.gateway.connections == 0)
        if path == "/endless":
            made = int(capsys.readouterr().out.split()[-1])
            assert made * 65_536 < 16 * 1024 * 1024


async def test_pipelined_answers_that_nobody_reads_do_not_pile_up(tmp_path: Path) -> None:
    """Answers that are each below every bound wait for the client together, and the connection is cut in time."""
    toml = "[gateway]\nwrite_timeout_s = 1"
    async with opened(tmp_path, ENTRY, toml) as running, connected(running.port, receive_bytes=SMALL_BUFFER) as client:
        client.writer.write(request("GET", "/large") * 1000)
        await eventually(lambda: running.gateway.connections == 0)
        assert len(running.seen.ended_facts) < 300


async def test_a_connection_that_is_closing_ends_though_its_last_bytes_are_not_read(tmp_path: Path) -> None:
    """An answer that is all in the gateway's buffers does not keep a connection that its client has forgotten."""
    async with opened(tmp_path, ENTRY, "[gateway]\nwrite_timeout_s = 1") as running:
        listener = socket.create_server(("127.0.0.1", 0))
        # With little room in the kernel the rest stays with the gateway, and is too little to wait for.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        port = listener.getsockname()[1]
        await running.gateway.serve(listener)
        async with connected(port, receive_bytes=SMALL_BUFFER) as client:
            await client.send(request("GET", "/large", "Connection: close"))
            assert await outcome(running) == "ok"
            assert running.gateway.connections == 1
            await eventually(lambda: running.gateway.connections == 0)


async def test_a_slow_reader_gets_everything(tmp_path: Path) -> None:
    """Slow is not stalled: whoever reads a little within each write_timeout_s gets the whole."""
    toml = "[gateway]\nwrite_timeout_s = 1"
    async with opened(tmp_path, ENTRY, toml) as running, connected(running.port, receive_bytes=SMALL_BUFFER) as client:
        await client.send(request("GET", "/huge"))
        _, _, fields = await client.head()
        left = int(dict(fields)["Content-Length"])
        while left > 0:
            left -= len(await client.reader.read(65_536))
        assert await outcome(running) == "ok"


async def test_the_first_chunk_leaves_before_the_second_is_made(tmp_path: Path) -> None:
    """A stream is a stream: nothing is held back to be sent together."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        started = time.monotonic()
        await client.send(request("GET", "/steps"))
        await client.head()
        chunks = client.chunks()
        assert await anext(chunks) == b"first"
        assert time.monotonic() - started < 0.25
        assert await anext(chunks) == b"second"
        assert time.monotonic() - started >= 0.3


async def test_a_stream_that_stands_still_is_cut(tmp_path: Path) -> None:
    """Past limits.body_idle_ms without a chunk the client is cut off, and the outcome says why."""
    async with opened(tmp_path, ENTRY, "[limits]\nbody_idle_ms = 200") as running, connected(running.port) as client:
        await client.send(request("GET", "/stuck"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()
        assert await outcome(running) == "exceededWallTime"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("path", ["/endless", "/stuck", "/sleep"])
async def test_a_client_that_leaves_cancels_within_a_second(tmp_path: Path, path: str, reset: bool) -> None:
    """Before the head or in the middle of the body: the invocation ends as canceled, and nothing is reported failed."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", path))
        if path == "/sleep":
            await eventually(lambda: running.gateway.in_flight == 1)
        else:
            await client.head()
        if reset:
            client.reset()
        else:
            client.writer.close()
        started = time.monotonic()
        assert await outcome(running) == "canceled"
        assert time.monotonic() - started < 1
        assert running.seen.failures == []
        await eventually(lambda: running.gateway.connections == 0)


async def test_half_closed_is_closed(tmp_path: Path) -> None:
    """A client that shuts its side down has left."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", "/sleep"))
        await eventually(lambda: running.gateway.in_flight == 1)
        client.writer.write_eof()
        assert await outcome(running) == "canceled"
        assert await client.rest() == b""


@pytest.mark.parametrize("first", [b"", request()])
async def test_idle_connections_are_closed(tmp_path: Path, first: bytes) -> None:
    """After idle_timeout_s without a request, be it the first or the next one."""
    async with opened(tmp_path, ENTRY, "[gateway]\nidle_timeout_s = 1") as running, connected(running.port) as client:
        started = time.monotonic()
        if first:
            await client.send(first)
            assert (await client.answer()).body == b"quick"
        assert await client.rest() == b""
        assert 0.9 < time.monotonic() - started < 3


async def test_a_head_that_does_not_come_whole_in_time(tmp_path: Path) -> None:
    """However alive a client looks, a head takes header_timeout_s at most: 408, one event, the end."""
    toml = "[gateway]\nheader_timeout_s = 1"
    async with opened(tmp_path, ENTRY, toml) as running, connected(running.port) as client:
        # The first request, in two pieces and in time, does not count against the second.
        await client.send(b"GET / HTTP/1.1\r\n")
        await client.send(b"Host: a\r\n\r\n")
        assert (await client.answer()).body == b"quick"
        started = time.monotonic()

        async def dribble() -> None:
            await client.send(b"GET / HTTP/1.1\r\nX: ")
            while True:
                await client.send(b"y")
                await asyncio.sleep(0.05)

        dribbling = asyncio.create_task(dribble())
        answer = await client.answer()
        dribbling.cancel()
        assert (answer.status, answer.get("connection")) == (408, "close")
        assert 0.9 < time.monotonic() - started < 3
        assert await client.rest() == b""
        (event, facts), *more = running.seen.warnings
        assert (event, facts["status"], more) == ("request_refused", 408, [])


async def test_a_late_head_waits_for_the_answer_before_it(tmp_path: Path) -> None:
    """A pipelined head that does not go on costs a running request nothing."""
    entry = {"entry.py": ENTRY["entry.py"].replace("steps(0.3)", "steps(1.3)")}
    async with opened(tmp_path, entry, "[gateway]\nheader_timeout_s = 1") as running, connected(running.port) as client:
        await client.send(request("GET", "/steps"))
        await client.head()
        await client.send(b"GET / HTTP/1.1\r\nX: ")
        chunks = [chunk async for chunk in client.chunks()]
        assert chunks == [b"first", b"second"]
        assert await client.reader.readexactly(2) == b"\r\n"
        assert (await client.answer()).status == 408


async def test_the_number_of_connections_is_bounded(tmp_path: Path) -> None:
    """One more than gateway.connections is closed at once; when another has left there is room again."""
    async with opened(tmp_path, ENTRY, "[gateway]\nconnections = 2") as running:
        async with connected(running.port) as first, connected(running.port) as second:
            for client in (first, second):
                await client.send(request())
                assert (await client.answer()).status == 200
            async with connected(running.port) as third:
                assert await third.rest() == b""
            await first.send(request())
            assert (await first.answer()).status == 200
        await eventually(lambda: running.gateway.connections == 0)
        async with connected(running.port) as fourth:
            await fourth.send(request())
            assert (await fourth.answer()).status == 200


async def test_a_drain_lets_requests_end_and_closes_the_rest(tmp_path: Path) -> None:
    """Idle connections close at once; a request in flight is answered with `Connection: close`; then nobody is left."""
    async with (
        opened(tmp_path, ENTRY) as running,
        connected(running.port) as idle,
        connected(running.port) as kept,
        connected(running.port) as busy,
    ):
        await kept.send(request())
        assert (await kept.answer()).body == b"quick"
        await busy.send(request("GET", "/slow") + request())
        await eventually(lambda: running.gateway.in_flight == 1)
        started = time.monotonic()
        draining = asyncio.create_task(running.gateway.drain(5))
        assert await idle.rest() == b""
        assert await kept.rest() == b""
        assert time.monotonic() - started < 0.25
        answer = await busy.answer()
        assert (answer.body, answer.get("connection")) == (b"slow", "close")
        assert await busy.rest() == b""
        await draining
        assert time.monotonic() - started < 2
        with pytest.raises(ConnectionError):
            async with connected(running.port):
                pass


async def test_a_drain_lets_streams_and_uploads_end(tmp_path: Path) -> None:
    """A stream that had begun ends whole and its connection closes; an upload is taken to its end."""
    async with (
        opened(tmp_path, ENTRY) as running,
        connected(running.port) as stream,
        connected(running.port) as upload,
    ):
        await stream.send(request("GET", "/steps"))
        await stream.head()
        await upload.send(request("POST", "/read", "Content-Length: 6", body=b"abc"))
        await eventually(lambda: running.gateway.in_flight == 2)
        draining = asyncio.create_task(running.gateway.drain(5))
        await asyncio.sleep(0.05)
        await upload.send(b"def")
        answer = await upload.answer()
        assert (answer.body, answer.get("connection")) == (b"abcdef", "close")
        assert [chunk async for chunk in stream.chunks()] == [b"first", b"second"]
        assert await stream.rest() == b"\r\n"
        await draining


@pytest.mark.parametrize("timeout_s", [0, 0.2])
async def test_a_drain_has_an_end(tmp_path: Path, timeout_s: float) -> None:
    """What is not done in time is cut and cancelled."""
    async with (
        opened(tmp_path, ENTRY) as running,
        connected(running.port) as stuck,
        connected(running.port) as sleeping,
    ):
        await stuck.send(request("GET", "/stuck"))
        await stuck.head()
        await sleeping.send(request("GET", "/sleep"))
        await eventually(lambda: running.gateway.in_flight == 2)
        started = time.monotonic()
        await running.gateway.drain(timeout_s)
        assert time.monotonic() - started < timeout_s + 1
        assert running.gateway.connections == 0
        await running.seen.until(lambda seen: len(seen.ended_facts) == 2)
        assert {facts["outcome"] for facts in running.seen.ended_facts} == {"canceled"}
