"""Request bodies: framing, bounds, backpressure, expectations, and what clients do in the middle of them."""

import asyncio
import time
from pathlib import Path

import pytest

from support.gateway import opened
from support.raw import RawClient, connected, request
from support.waiting import eventually

ENTRY = {
    "entry.py": """\
    import asyncio
    from workers import Response

    async def on_fetch(request, env, ctx):
        match request.url.split("/", 3)[3]:
            case "read":
                return Response(await request.bytes())
            case "count":
                count = 0
                async for chunk in request.body:
                    count += len(chunk)
                return Response(str(count))
            case "echo":
                return Response(request.body)
            case "unread":
                return Response("unread")
            case "wait":
                print("waits")
                await asyncio.sleep(60)
            case "first":
                async for chunk in request.body:
                    print("first chunk")
                    await asyncio.sleep(60)
            case "catch":
                try:
                    await request.bytes()
                except OSError as error:
                    return Response(type(error).__name__, status=207)
            case "upper":
                async def upper():
                    async for chunk in request.body:
                        yield chunk.upper()
                return Response(upper())
            case "late":
                async def late():
                    yield b"head, "
                    await asyncio.sleep(0.05)
                    try:
                        await request.bytes()
                    except OSError as error:
                        yield str(error).encode()
                return Response(late())
            case "after":
                async def after():
                    await asyncio.sleep(0.05)
                    try:
                        await request.bytes()
                    except OSError as error:
                        print("after:", error)
                ctx.wait_until(after())
                return Response("x")
            case "boom":
                await request.bytes()
                raise ValueError("boom")
    """
}
SMALL = "[limits]\nrequest_body_mb = 1"
MIB = 1024 * 1024


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def post(path: str, *lines: str, body: bytes = b"") -> bytes:
    """A POST with a length, unless a line says otherwise."""
    framed = any(line.lower().startswith(("transfer-encoding", "content-length")) for line in lines)
    return request("POST", path, *lines, "" if framed else f"Content-Length: {len(body)}", body=body)


@pytest.mark.parametrize("piece_bytes", [0, 1])
@pytest.mark.parametrize("path", ["/read", "/echo", "/upper"])
async def test_bodies_arrive_whole(tmp_path: Path, path: str, piece_bytes: int) -> None:
    """By length and in chunks, in one segment or byte by byte, with extensions and trailers that nobody asked for."""
    chunks = "Transfer-Encoding: Chunked"
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        raw = (
            post(path, body=b"ONE")
            + post(path, chunks, body=chunked(b"T", b"WO"))
            + post(path, chunks, body=b"5;a=b\r\nTHREE\r\n0\r\nX-Trailer: y\r\n\r\n")
            + post(path, body=b"")
        )
        await client.send(raw, piece_bytes=piece_bytes)
        assert [(await client.answer()).body for _ in range(4)] == [b"ONE", b"TWO", b"THREE", b""]


async def test_a_body_that_nobody_read_is_dropped_before_the_next_request(tmp_path: Path) -> None:
    """The connection goes on behind an unread body, and no byte of it is taken for a request."""
    inner = request("GET", "/boom")
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        for _ in range(3):
            await client.send(post("/unread", body=inner * 1000) + post("/read", body=b"next"))
            assert (await client.answer()).body == b"unread"
            assert (await client.answer()).body == b"next"


async def test_a_body_declared_too_large_is_refused_at_once(tmp_path: Path) -> None:
    """413 before a byte of it is read and before the handler runs; the bound itself is allowed."""
    async with opened(tmp_path, ENTRY, SMALL) as running:
        async with connected(running.port) as client:
            await client.send(post("/count", f"Content-Length: {MIB + 1}"))
            answer = await client.answer()
            assert (answer.status, answer.get("connection")) == (413, "close")
            assert running.seen.ended_facts == []
        async with connected(running.port) as client:
            await client.send(post("/count", body=b"x" * MIB))
            assert (await client.answer()).body == b"%d" % MIB


@pytest.mark.parametrize(("path", "status"), [("/count", 413), ("/read", 413), ("/catch", 207)])
async def test_a_chunked_body_that_grows_too_large(tmp_path: Path, path: str, status: int) -> None:
    """Reading past the bound raises; a handler that lets that out answers 413, and no failure of its own is logged."""
    async with opened(tmp_path, ENTRY, SMALL) as running, connected(running.port) as client:
        await client.send(post(path, "Transfer-Encoding: chunked", body=chunked(*[b"x" * 65_536] * 17)))
        answer = await client.answer()
        assert answer.status == status
        if status == 413:
            assert b"limits.request_body_mb" in answer.body
            assert running.seen.failures == []
            await running.seen.until(lambda seen: seen.ended_facts)
            assert running.seen.ended_facts[0]["status"] == 413


@pytest.mark.parametrize(("path", "status"), [("/read", 408), ("/catch", 207)])
async def test_a_stalled_upload_ends(tmp_path: Path, path: str, status: int) -> None:
    """When no byte comes for gateway.body_timeout_s the read fails: 408 unless the handler knows better."""
    async with opened(tmp_path, ENTRY, "[gateway]\nbody_timeout_s = 1") as running, connected(running.port) as client:
        await client.send(post(path, "Content-Length: 10", body=b"half"))
        started = time.monotonic()
        answer = await client.answer()
        assert answer.status == status
        assert 0.9 < time.monotonic() - started < 3
        assert running.seen.failures == []


@pytest.mark.parametrize("bad", [b"zz\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"10000000000000000\r\n"])
async def test_a_framing_that_breaks_in_the_middle(tmp_path: Path, bad: bytes) -> None:
    """The handler that reads is told at once, the client gets one 400, and the connection ends."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(post("/read", "Transfer-Encoding: chunked", body=chunked(b"good", end=b"")))
        await eventually(lambda: running.gateway.in_flight)
        await client.send(bad)
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (400, "close")
        assert await client.rest() == b""
        assert running.seen.failures == []


async def test_a_framing_that_breaks_behind_a_handler_that_does_not_read(tmp_path: Path) -> None:
    """The answer stands, the connection ends, and nothing is logged as a fault of the gateway."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(post("/unread", "Transfer-Encoding: chunked", body=chunked(b"good", end=b"")))
        assert (await client.answer()).body == b"unread"
        await client.send(b"zz\r\n")
        assert await client.rest() == b""
        assert running.seen.failures == []


async def test_100_continue_is_sent_at_the_first_read(tmp_path: Path) -> None:
    """A client that waits to be told is told when the handler reads, once, and the connection goes on."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        for path, body in (("/read", b"abc"), ("/echo", b"abc"), ("/upper", b"ABC"), ("/read", b"abc")):
            await client.send(post(path, "Expect: 100-Continue", "Content-Length: 3"))
            assert (await client.head())[0] == 100
            await client.send(b"abc")
            answer = await client.answer()
            assert (answer.status, answer.body, answer.get("connection")) == (200, body, None)


@pytest.mark.parametrize("path", ["/unread", "/late", "/after"])
async def test_no_100_continue_without_a_read(tmp_path: Path, path: str) -> None:
    """Who was not told to send is not waited for: one answer, and the connection closes at once."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(post(path, "Expect: 100-continue", "Content-Length: 3"))
        started = time.monotonic()
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (200, "close")
        assert await client.rest() == b""
        assert time.monotonic() - started < 2
        if path == "/late":
            assert answer.body == b"head, the request body was closed"
        await running.seen.until(lambda seen: seen.ended_facts)
        assert running.seen.ended_facts[0]["outcome"] == "ok"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Expect: 100-continue", f"Content-Length: {MIB + 1}"], 413),
        (["Expect: 100-continue", "Content-Length: 3", "Host: nowhere.example"], 404),
        (["Expect: something", "Content-Length: 3"], 417),
    ],
)
async def test_refused_expectations_are_not_waited_for(tmp_path: Path, lines: list[str], status: int) -> None:
    """A request that is refused before any handler runs ends at once too, without `100 Continue`."""
    toml = SMALL + '\n[[worker]]\nname = "w"\nmain = "entry.py"\nroutes = ["a.example/*"]\n'
    async with opened(tmp_path, ENTRY, toml) as running, connected(running.port) as client:
        started = time.monotonic()
        await client.send(post("/read", *lines))
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (status, "close")
        assert await client.rest() == b""
        assert time.monotonic() - started < 2


async def test_an_expectation_without_a_body_or_in_1_0_is_nothing(tmp_path: Path) -> None:
    """Where there is nothing to wait for, the request is like any other."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", "/unread", "Expect: 100-continue"))
        answer = await client.answer()
        assert (answer.body, answer.get("connection")) == (b"unread", None)
        await client.send(
            request("POST", "/read", "Expect: 100-continue", "Content-Length: 3", body=b"abc", version="HTTP/1.0")
        )
        assert (await client.answer()).body == b"abc"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("path", ["/read", "/first", "/wait", "/catch"])
async def test_a_client_that_leaves_in_the_middle_cancels_the_handler(tmp_path: Path, path: str, reset: bool) -> None:
    """Whether the handler reads or does something else, it ends within a second, as canceled and not as failed."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(post(path, "Content-Length: 10", body=b"half"))
        await eventually(lambda: running.gateway.in_flight == 1)
        await asyncio.sleep(0)
        if reset:
            client.reset()
        else:
            client.writer.close()
        await running.seen.until(lambda seen: seen.ended_facts, 1.5)
        assert running.seen.ended_facts[0]["outcome"] == "canceled"
        assert running.seen.failures == []
        await eventually(lambda: running.gateway.connections == 0)


async def sent_until_stuck(client: RawClient, data: bytes, most_bytes: int) -> int:
    """Send until the other side has taken nothing for a while; how much it, and the kernel, have taken."""
    sent = 0
    client.writer.transport.set_write_buffer_limits(high=0)
    while sent < most_bytes:
        client.writer.write(data)
        try:
            async with asyncio.timeout(0.3):
                await client.writer.drain()
        except TimeoutError:
            return sent
        sent += len(data)
    return sent


async def test_an_upload_that_nobody_reads_is_not_taken_in(tmp_path: Path) -> None:
    """A handler that does not read holds the client back: of a gigabyte, what sockets and a buffer hold."""
    toml = "[limits]\nrequest_body_mb = 2000"
    async with opened(tmp_path, ENTRY, toml) as running, connected(running.port) as client:
        await client.send(post("/wait", f"Content-Length: {1024 * MIB}"))
        await eventually(lambda: running.gateway.in_flight == 1)
        assert await sent_until_stuck(client, b"x" * 65_536, 64 * MIB) < 32 * MIB
        client.reset()


async def test_reading_the_body_after_the_answer(tmp_path: Path) -> None:
    """A wait_until that comes too late for the body is told so with an OSError, and the connection goes on."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(post("/after", body=b"abc") + post("/read", body=b"def"))
        assert (await client.answer()).body == b"x"
        assert (await client.answer()).body == b"def"
        await running.seen.until(lambda seen: len(seen.ended_facts) == 2)
        assert running.seen.failures == []


async def test_an_upgrade_that_is_not_done_is_a_request_like_any_other(tmp_path: Path) -> None:
    """Its body is its body, and what follows on the connection is the next request."""
    upgrade = ("Connection: Upgrade", "Upgrade: websocket")
    big = b"x" * 300_000
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(
            post("/read", *upgrade, body=b"abc") + post("/read", body=b"def") + post("/count", body=big) + request()
        )
        assert [(await client.answer()).body for _ in range(3)] == [b"abc", b"def", b"300000"]
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(post("/read", *upgrade, body=b"abc") + post("/count", "Content-Length: 300000", body=b"x"))
        assert (await client.answer()).body == b"abc"
        await client.send(big[1:], piece_bytes=10_000)
        assert (await client.answer()).body == b"300000"
