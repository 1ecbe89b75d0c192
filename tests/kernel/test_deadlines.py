"""Time limits end what they bound at the limit, and what is then still there is never stepped again."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from support.gateway import Running, opened
from support.scripts import bytes_then_silence
from support.upstream import ScriptedUpstream

ENTRY = """
import asyncio, time
from workers import Response, fetch, wait_until

async def for_ever(request):
    while True:
        yield "part "
        await asyncio.sleep(0.01)

async def busy(request):
    while True:
        yield "part " * 1000

async def stops(request):
    yield "begin"
    await asyncio.sleep(3600)

async def swallows(request):
    while True:
        try:
            yield "part "
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def on_fetch(request, env, ctx):
    path = request.url.rpartition("/")[2]
    if path == "passed":
        return await fetch(env.UPSTREAM)
    if path == "sleep":
        await asyncio.sleep(3600)
    if path == "fetch":
        await fetch(env.UPSTREAM)
    if path == "upload":
        await request.text()
    if path == "goes_on":
        steps = 0
        while True:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                print("step")
    if path == "outlives":
        async def outlives():
            while True:
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    print("step")
        asyncio.create_task(outlives())
        return Response("x")
    return Response({"for_ever": for_ever, "busy": busy, "stops": stops, "swallows": swallows}[path](request))
"""


async def cut_after_s(running: Running, path: str) -> float:
    """The seconds until this body is cut."""
    began_s = time.monotonic()
    async with running.client.get(f"{running.url}/{path}") as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    return time.monotonic() - began_s


@pytest.mark.timing
@pytest.mark.parametrize(
    ("path", "limits", "says"),
    [
        ("for_ever", "body_ms = 1000", "limits.body_ms"),
        ("busy", "body_ms = 1000\ncpu_ms = 60000", "limits.body_ms"),
        ("stops", "body_ms = 1000", "limits.body_ms"),
        ("stops", "body_idle_ms = 1000", "limits.body_idle_ms"),
        ("swallows", "body_idle_ms = 1000", "limits.body_idle_ms"),
        ("passed", "body_ms = 1000", "limits.body_ms"),
        ("passed", "body_idle_ms = 1000", "limits.body_idle_ms"),
    ],
)
async def test_a_body_is_cut_at_its_limit(tmp_path: Path, path: str, limits: str, says: str) -> None:
    """One that goes on for ever and one that stops, produced or passed on: cut at the limit, within 150 ms."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin"
    async with ScriptedUpstream(bytes_then_silence(head)) as upstream:
        toml = f'vars = {{ UPSTREAM = "{upstream.origin}" }}\n[limits]\n{limits}\n'
        async with opened(tmp_path, {"entry.py": ENTRY}, toml) as running:
            assert 1.0 <= await cut_after_s(running, path) < 1.15
            await running.seen.until(lambda seen: seen.ended_facts)
            assert running.seen.ended_facts[-1]["outcome"] == "exceededWallTime"
            assert running.gateway.in_flight == 0
            # What did not stop author code in the middle of a step has only its line in the log.
            assert path in ("passed", "swallows") or says in str(running.seen.failures[-1][1])


async def test_a_body_within_its_time_is_whole(tmp_path: Path) -> None:
    """`body_ms` does not touch a body that ends before."""
    entry = """
    import asyncio
    from workers import Response
    async def parts():
        for _ in range(3):
            yield "part "
            await asyncio.sleep(0.02)
    async def on_fetch(request, env, ctx):
        return Response(parts())
    """
    async with opened(tmp_path, {"entry.py": entry}, "[limits]\nbody_ms = 1000") as running:
        assert await running.text() == "part part part "


@pytest.mark.timing
@pytest.mark.parametrize(("path", "limit_s"), [("sleep", 1.0), ("fetch", 0.85)])
async def test_an_answer_that_does_not_come(tmp_path: Path, path: str, limit_s: float) -> None:
    """`asyncio.sleep(3600)` ends at wall_ms, a silent upstream at the reserve before it: 504 within 150 ms."""
    async with ScriptedUpstream(bytes_then_silence(b"")) as upstream:
        toml = f'vars = {{ UPSTREAM = "{upstream.origin}" }}\n[limits]\nwall_ms = 1000\n'
        async with opened(tmp_path, {"entry.py": ENTRY}, toml) as running:
            began_s = time.monotonic()
            assert await running.status(f"/{path}") == 504
            assert limit_s <= time.monotonic() - began_s < limit_s + 0.15
            await running.seen.until(lambda seen: seen.ended_facts)
            assert running.seen.ended_facts[-1]["outcome"] == "exceededWallTime"


@pytest.mark.timing
async def test_a_request_body_that_stops_coming(tmp_path: Path) -> None:
    """A handler that lets it out answers 408, at `body_idle_ms`; the outcome is exceededWallTime."""
    async with opened(tmp_path, {"entry.py": ENTRY}, "[limits]\nbody_idle_ms = 1000") as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        began_s = time.monotonic()
        writer.write(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nbegin")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        assert 1.0 <= time.monotonic() - began_s < 1.15
        writer.close()
        await running.seen.until(lambda seen: seen.ended_facts)
        assert running.seen.ended_facts[-1]["outcome"] == "exceededWallTime"


@pytest.mark.parametrize(("path", "status"), [("goes_on", 504), ("outlives", 200)])
async def test_who_goes_on_after_its_cancellation_is_refused_its_next_step(
    tmp_path: Path, path: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code that catches CancelledError has its grace, and then no step more; the invocation ends."""
    async with opened(tmp_path, {"entry.py": ENTRY}, "[limits]\nwall_ms = 100") as running:
        assert await running.status(f"/{path}") == status
        await running.seen.until(lambda seen: seen.ended_facts)
        assert running.gateway.in_flight == 0
        assert "step" in capsys.readouterr().out
        # More than ten of its steps' time.
        await asyncio.sleep(0.15)
        assert not capsys.readouterr().out
