"""Upstreams that stall, cut, reset and lie at every byte: the right error, nothing left open, no answer to another."""

import asyncio
import gzip
import os
import random
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from atoll.errors import AbortError, BadAnswer, BodyBroken, ConnectFailed, ConnectionBroken, FetchTimeout
from atoll.fetch.http1 import DRAIN_MS
from atoll.fetch.waits import ticks_of
from atoll.http.body import Body
from atoll.limits import Limits
from support.raw_upstream import ListSource
from support.scripts import Dribble, after, bytes_then_close, bytes_then_reset, bytes_then_silence, truncated
from support.subrequests import Engine, bytes_of, subrequests
from support.upstream import Script, ScriptedUpstream, answer, chunked_answer, refusing
from support.waiting import eventually

LENGTH = answer(b"hello world")
CHUNKS = chunked_answer(b"hello ", b"world")


async def whole(engine: Engine, url: str) -> bytes:
    return await bytes_of(await engine.get(url))


@pytest.mark.parametrize("raw", [LENGTH, CHUNKS], ids=["length", "chunked"])
@pytest.mark.parametrize("end", [bytes_then_close, bytes_then_reset], ids=["closed", "reset"])
async def test_cut_at_each_byte(raw: bytes, end: Callable[[bytes], Script]) -> None:
    """Wherever an upstream leaves, the answer is broken and never short: a head fails the fetch, a body its reader."""
    head_bytes = raw.index(b"\r\n\r\n") + 4
    for cut in range(len(raw)):
        async with ScriptedUpstream(end(raw[:cut])) as upstream, subrequests() as engine:
            with pytest.raises((ConnectionBroken, BodyBroken)) as failure:
                await whole(engine, upstream.url())
            if end is bytes_then_close:
                assert isinstance(failure.value, BodyBroken) == (cut >= head_bytes)
            assert upstream.origin in str(failure.value)
            assert engine.stack.statistics().open == 0


@pytest.mark.parametrize("raw", [LENGTH, CHUNKS], ids=["length", "chunked"])
async def test_cancelled_at_each_byte(raw: bytes) -> None:
    """Wherever an upstream stalls, the connection of a cancelled request is closed and never idle."""
    for cut in range(len(raw)):
        script = bytes_then_silence(raw[:cut])
        async with ScriptedUpstream(script) as upstream, subrequests() as engine:
            task = asyncio.create_task(whole(engine, upstream.url()))
            await eventually(lambda upstream=upstream: upstream.requests == 1)  # type: ignore[misc]
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (engine.stack.statistics().idle, engine.budget.waiting) == (0, 0)
            # Where little of a body is left, it is waited for a moment longer.
            for _ in range(ticks_of(DRAIN_MS)):
                engine.stack._waits.tick()
            assert engine.stack.statistics().open == 0
            await eventually(lambda upstream=upstream: upstream.connections_open == 0)  # type: ignore[misc]


async def test_refused() -> None:
    """No listener: the error names origin, address and reason."""
    async with subrequests() as engine:
        with refusing() as origin, pytest.raises(ConnectFailed, match=rf"{origin} at 127\.0\.0\.1: Connection refused"):
            await engine.get(origin)


async def test_every_address_is_tried() -> None:
    """A name whose first address refuses is reached at the next (Happy Eyeballs)."""
    async with ScriptedUpstream([answer(b"v4")]) as upstream, subrequests() as engine:
        assert await whole(engine, f"http://localhost:{upstream.port}/") == b"v4"


async def test_no_answer_to_a_connect() -> None:
    """Connecting has a bound of its own: fetch.connect_ms."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        try:
            async with subrequests(connect_ms=50) as engine:
                with pytest.raises(FetchTimeout, match=r"within 50 ms \(fetch\.connect_ms\)") as failure:
                    await engine.get(f"http://127.0.0.1:{listening.getsockname()[1]}/")
                assert isinstance(failure.value, TimeoutError)
        finally:
            for filler in fillers:
                filler.close()


async def no_body(engine: Engine, url: str) -> object:
    return await whole(engine, url)


async def long_body(engine: Engine, url: str) -> object:
    return await engine.send("POST", url, Body(b"x" * 50_000_000))


async def streamed_body(engine: Engine, url: str) -> object:
    return await engine.send("POST", url, Body(source=ListSource([b"x" * 65_536] * 1_000)))


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    await asyncio.Event().wait()


STALLS = [
    pytest.param(bytes_then_silence(), {"headers_ms": 50}, no_body, "no response head", "headers_ms", id="no head"),
    pytest.param(
        bytes_then_silence(LENGTH[:20]), {"headers_ms": 50}, no_body, "no response head", "headers_ms", id="half a head"
    ),
    pytest.param(
        bytes_then_silence(LENGTH[:-3]), {"idle_ms": 50}, no_body, "no more of its body", "idle_ms", id="half a body"
    ),
    pytest.param(deaf, {"idle_ms": 50}, long_body, "took no more", "idle_ms", id="a body that is not taken"),
    pytest.param(deaf, {"idle_ms": 50}, streamed_body, "took no more", "idle_ms", id="a stream that is not taken"),
]


@pytest.mark.parametrize(("script", "settings", "ask", "text", "key"), STALLS)
async def test_each_wait_has_a_bound(
    script: Script,
    settings: dict[str, int],
    ask: Callable[[Engine, str], Awaitable[object]],
    text: str,
    key: str,
) -> None:
    """The error says which wait ran out, for which origin, after how long and by which key; nothing stays open."""
    async with ScriptedUpstream(script) as upstream, subrequests(**settings) as engine:
        with pytest.raises(FetchTimeout, match=rf"{upstream.origin} .*{text}.*50 ms .*fetch\.{key}"):
            await ask(engine, upstream.url())
        assert engine.stack.statistics().open == 0


async def test_a_slow_upstream_is_not_a_stalled_one() -> None:
    """The idle bound counts from the last byte: a body that dribbles longer than the bound arrives."""
    script = Dribble(LENGTH, piece_bytes=1)
    async with ScriptedUpstream(script) as upstream, subrequests(idle_ms=60_000) as engine:
        script.step(len(LENGTH) - 5)
        response = await engine.get(upstream.url())
        reading = asyncio.create_task(bytes_of(response))
        waits = engine.stack._waits
        for _ in range(5):
            await eventually(lambda: len(waits) == 1)
            for _ in range(600):
                waits.tick()
            sent = script.sent
            script.step()
            await eventually(lambda sent=sent: script.sent > sent)  # type: ignore[misc]
            for _ in range(3):
                await asyncio.sleep(0)
        assert await reading == b"hello world"


async def test_a_body_that_nobody_awaits_is_not_idle() -> None:
    """The idle bound concerns the upstream; a reader that takes its time is not the upstream's fault."""
    async with ScriptedUpstream(bytes_then_silence(LENGTH[:-3])) as upstream, subrequests(idle_ms=50) as engine:
        response = await engine.get(upstream.url())
        assert len(engine.stack._waits) == 0
        assert response.body is not None
        response.body.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"\0" * 100,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x05hello",
        os.urandom(1_000),
    ],
    ids=["NULs", "both framings", "10,000 fields", "a field of 1 MB", "1xx for ever", "an upgrade", "noise"],
)
async def test_garbage(raw: bytes) -> None:
    """What is no trustworthy response is a BadAnswer, and its connection is never used again."""
    async with ScriptedUpstream(bytes_then_silence(raw)) as upstream, subrequests() as engine:
        with pytest.raises(BadAnswer, match=upstream.origin):
            await whole(engine, upstream.url())
        assert engine.stack.statistics().open == 0


async def test_a_bomb_can_be_read_as_far_as_one_likes() -> None:
    """A body of 100 KB that inflates to 100 MB is inflated only as far as it is read."""
    bomb = gzip.compress(b"\0" * 100_000_000)
    upstream = ScriptedUpstream([answer(bomb, headers=[("Content-Encoding", "gzip")])])
    async with upstream, subrequests() as engine:
        response = await engine.get(upstream.url())
        assert response.body is not None
        with pytest.raises(BodyBroken, match="larger than 1000000 bytes"):
            await response.body.read_all(1_000_000)


async def test_truncated_bodies_of_every_kind() -> None:
    """Less than was promised is an error in every framing and coding."""
    coded = gzip.compress(os.urandom(1_000))[:-4]
    for script in (
        truncated(b"x" * 100),
        bytes_then_close(answer(coded, headers=[("Content-Encoding", "gzip")])),
        bytes_then_close(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + coded),
    ):
        async with ScriptedUpstream(script) as upstream, subrequests() as engine:
            with pytest.raises(BodyBroken):
                await whole(engine, upstream.url())


async def test_a_cancel_storm_crosses_no_answers() -> None:
    """Hundreds of requests, cancelled at random moments: each that ends gets its own answer, and nothing stays open."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        number = head.split(b" ")[1][1:]
        raw = dice.choice([answer, chunked_answer])(number * dice.choice([1, 1, 20_000]))
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        at = dice.randrange(len(raw))
        writer.write(raw[:at])
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        if not writer.is_closing():
            writer.write(raw[at:])

    async def ask(engine: Engine, url: str, number: int) -> bool:
        body = await whole(engine, url)
        expected = b"%d" % number
        assert body.startswith(expected)
        assert body == expected * (len(body) // len(expected))
        return True

    files_before = len(list(Path("/proc/self/fd").iterdir()))
    async with ScriptedUpstream(script) as upstream:
        async with subrequests(Limits(subrequests=10_000, connections=20), per_origin_connections=8) as engine:
            finished = 0
            for batch in range(15):
                tasks = []
                for number in range(batch * 40, batch * 40 + 40):
                    tasks.append(asyncio.create_task(ask(engine, upstream.url(f"/{number}"), number)))
                    for _ in range(dice.randrange(3)):
                        await asyncio.sleep(0)
                    if dice.random() < 0.4:
                        dice.choice(tasks).cancel()
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    assert result is True or isinstance(result, asyncio.CancelledError), (seed, result)
                    finished += result is True
            assert 100 < finished < 600
            for resource in list(engine.invocation.held):
                resource.close()
            statistics = engine.stack.statistics()
            assert statistics.open == statistics.idle <= 8
            assert (statistics.waiting, engine.budget.waiting) == (0, 0)
        await eventually(lambda: upstream.connections_open == 0)
    assert len(list(Path("/proc/self/fd").iterdir())) <= files_before + 1


async def test_one_of_ten_stalls() -> None:
    """One silent upstream holds up nobody else: nine answers come while it is waited for."""
    gate = asyncio.Event()
    stalled = ScriptedUpstream(after(gate, bytes_then_close(LENGTH)))
    async with stalled, ScriptedUpstream([LENGTH]) as fine, subrequests() as engine:
        late = asyncio.create_task(whole(engine, stalled.url()))
        assert await asyncio.gather(*(whole(engine, fine.url()) for _ in range(9))) == [b"hello world"] * 9
        assert not late.done()
        gate.set()
        assert await late == b"hello world"


@pytest.mark.parametrize(
    "end", [bytes_then_close(LENGTH[:-3]), bytes_then_reset(LENGTH[:-3]), bytes_then_silence(b"?")]
)
async def test_after_a_fault_everything_is_as_before(end: Script) -> None:
    """A pool bounded to one connection serves on, however the requests before have failed."""
    faults = 5

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        nonlocal faults
        faults -= 1
        if faults < 0:
            writer.write(LENGTH)
        else:
            await end(reader, writer, head)

    async with ScriptedUpstream(script) as upstream, subrequests(per_origin_connections=1) as engine:
        for _ in range(5):
            with pytest.raises((AbortError, BodyBroken)):
                await whole(engine, upstream.url())
        assert await whole(engine, upstream.url()) == b"hello world"
        assert engine.stack.statistics().open == 1
