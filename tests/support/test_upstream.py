"""The upstreams that tests are built on do what their scripts say."""

import asyncio
import ssl

import httpx
import pytest

from support.certificates import Authority
from support.scripts import (
    Dribble,
    Endless,
    after,
    bytes_then_close,
    bytes_then_reset,
    bytes_then_silence,
    chunked_cut,
    truncated,
)
from support.upstream import CountingUpstream, ScriptedUpstream, answer, chunked_answer, read_body, refusing
from support.waiting import eventually

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


async def test_a_list_of_answers_is_given_in_turn_on_one_connection() -> None:
    """Each request gets the next answer, the last one serves on, and the books say so."""
    async with (
        ScriptedUpstream([answer(b"one"), chunked_answer(b"tw", b"o")]) as upstream,
        httpx.AsyncClient() as client,
    ):
        texts = [(await client.post(upstream.url("/a"), content=b"body")).text for _ in range(3)]
        assert texts == ["one", "two", "two"]
        assert (upstream.requests, upstream.connections_ever, upstream.connections_open) == (3, 1, 1)
        assert upstream.heads[0].startswith(b"POST /a HTTP/1.1\r\n")
    assert upstream.connections_open == 0


async def test_a_script_reads_bodies_by_length_and_chunked() -> None:
    """`read_body` gives the bytes of the request body in either framing."""
    seen = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        seen.append(await read_body(reader, head))
        writer.write(answer())

    async def pieces():
        yield b"in "
        yield b"pieces"

    async with ScriptedUpstream(script) as upstream, httpx.AsyncClient() as client:
        await client.post(upstream.url(), content=b"whole")
        await client.post(upstream.url(), content=pieces())
    assert seen == [b"whole", b"in pieces"]


async def test_a_mistake_in_a_script_fails_the_test() -> None:
    """An exception of the script comes out where the block ends."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        raise KeyError("mistake")

    with pytest.raises(ExceptionGroup) as caught:
        async with ScriptedUpstream(script) as upstream:
            await raw(upstream.port)
    assert caught.group_contains(KeyError, match="mistake")


async def test_a_refusing_port_refuses() -> None:
    """Nothing listens where `refusing` points."""
    with refusing() as origin, pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(origin.rpartition(":")[2]))


@pytest.mark.parametrize(
    ("script", "received"),
    [
        (bytes_then_close(b"\x00garbage"), b"\x00garbage"),
        (truncated(b"half", 4), b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"),
        (chunked_cut([b"ab", b"c"]), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n"),
    ],
)
async def test_bytes_go_out_exactly_and_the_connection_ends(script, received: bytes) -> None:
    """What the script gave is what is on the wire, to the byte, and then comes the end of file."""
    async with ScriptedUpstream(script) as upstream:
        assert await raw(upstream.port) == received


async def test_a_reset_is_a_reset() -> None:
    """The peer of `bytes_then_reset` gets ECONNRESET, no clean end of file."""
    async with ScriptedUpstream(bytes_then_reset(b"HTTP/1.1 200")) as upstream:
        with pytest.raises(ConnectionResetError):
            await raw(upstream.port)


async def test_silence_lasts_until_the_peer_leaves() -> None:
    """`bytes_then_silence` holds the connection open, and lets go when the peer does."""
    async with ScriptedUpstream(bytes_then_silence(b"HTTP")) as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(GET)
        assert await reader.readexactly(4) == b"HTTP"
        assert upstream.connections_open == 1
        writer.close()
        await eventually(lambda: upstream.connections_open == 0)


async def test_an_endless_stream_stops_at_backpressure_and_notices_the_end() -> None:
    """What the kernel takes for a peer that does not read is bounded and counted; `peer_left` tells of its leaving."""
    endless = Endless()
    async with ScriptedUpstream(endless) as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(GET)
        stuck_bytes = await endless.settled()
        assert 0 < stuck_bytes < 64 * 1024 * 1024
        await reader.readexactly(stuck_bytes)
        assert await endless.settled() > stuck_bytes
        assert not endless.peer_left.is_set()
        writer.transport.abort()
        async with asyncio.timeout(5):
            await endless.peer_left.wait()
        await eventually(lambda: upstream.connections_open == 0)


async def test_a_dribble_sends_a_piece_for_each_step() -> None:
    """Not a byte goes before its step."""
    dribble = Dribble(answer(b"drip"))
    async with ScriptedUpstream(dribble) as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(GET)
        dribble.step(2)
        assert await reader.readexactly(2) == b"HT"
        assert dribble.sent <= 2
        dribble.step(len(dribble.pieces) - 2)
        assert (await reader.readuntil(b"drip")).endswith(b"\r\n\r\ndrip")
        writer.close()


async def test_a_gate_holds_requests_so_that_they_overlap() -> None:
    """Both upstreams can hold requests until a test lets them go; the most at once is counted."""
    gate = asyncio.Event()
    async with (
        ScriptedUpstream(after(gate, bytes_then_close(answer(b"late")))) as scripted,
        CountingUpstream({"n": 1}, held=True) as counting,
        httpx.AsyncClient() as client,
        asyncio.TaskGroup() as group,
    ):
        asked = [group.create_task(client.get(counting.url(f"/{number}"))) for number in range(3)]
        asked.append(group.create_task(client.get(scripted.url())))
        await eventually(lambda: counting.in_flight == 3 and scripted.requests == 1)
        assert not any(task.done() for task in asked)
        gate.set()
        counting.gate.set()
    assert [task.result().text for task in asked] == ['{"n": 1}'] * 3 + ["late"]
    assert (counting.count, counting.in_flight_max, counting.in_flight) == (3, 3, 0)
    assert sorted(counting.targets) == ["/0", "/1", "/2"]


async def test_tls_is_trusted_only_by_those_who_know_the_authority() -> None:
    """The certificate holds for localhost under its own authority, and under no other."""
    authority = Authority()
    async with ScriptedUpstream([answer(b"secret")], tls=authority.server()) as upstream:
        async with httpx.AsyncClient(verify=authority.client()) as client:
            assert (await client.get(upstream.url())).text == "secret"
        async with httpx.AsyncClient(verify=Authority().client()) as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(upstream.url())
        assert isinstance(authority.client(), ssl.SSLContext)


async def raw(port: int) -> bytes:
    """Send a request and read to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(GET)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()
