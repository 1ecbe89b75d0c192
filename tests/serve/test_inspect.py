"""`atoll dev --inspect`: time limits do not strike while a debugger is attached, and strike again afterwards."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from atoll.suspension import Suspension
from support.gateway import opened
from support.site import Site, serving

ENTRY = """
import asyncio, os, sys, time
from workers import Response

class debugger:
    def __enter__(self):
        sys.settrace(lambda *_: None)
    def __exit__(self, *_):
        sys.settrace(None)

async def parts():
    yield "begin "
    with debugger():
        await asyncio.sleep(0.3)
    yield "end"

async def on_fetch(request, env, ctx):
    path = request.url.rpartition("/")[2]
    if path == "wall":
        with debugger():
            await asyncio.sleep(0.3)
    if path == "blocked":
        with debugger():
            time.sleep(float(os.environ.get("HELD_S", "0.3")))
        await asyncio.sleep(0.01)
    if path == "cpu":
        with debugger():
            for _ in range(3):
                ends = time.perf_counter() + 0.06
                while time.perf_counter() < ends:
                    pass
                await asyncio.sleep(0)
    if path == "body":
        return Response(parts())
    if path == "prompt":
        breakpoint()
    if path == "slow":
        await asyncio.sleep(3600)
    return Response("went on")
"""

LIMITS = "[limits]\nwall_ms = 100\nbody_idle_ms = 100\nbody_ms = 150\nhold_ms = 10\ncpu_ms = 50\n"


@pytest.mark.parametrize("path", ["wall", "blocked", "cpu"])
async def test_no_limit_strikes_under_a_debugger(site: Site, path: str) -> None:
    """It is answered; the terminal says once that limits are suspended and once that they are not any more."""
    site.configure(LIMITS)
    (site.folder / "hello.py").write_text(ENTRY)
    async with serving(site, "dev", "--inspect"):
        assert (await site.client.get(f"/{path}")).text == "went on"
        await site.program.line("time_limits_resumed")
        assert len([line for line in site.program.lines if "time_limits_suspended" in line]) == 1
        began_s = time.monotonic()
        assert (await site.client.get("/slow")).status_code == 504
        assert time.monotonic() - began_s < 1
        assert (await site.client.get("/body")).text == "begin end"


async def test_a_breakpoint_without_a_keyboard_fails_its_request_only(site: Site) -> None:
    """With standard input at its end, the prompt quits and the process serves on."""
    (site.folder / "hello.py").write_text(ENTRY)
    async with serving(site, "dev", "--inspect"):
        assert (await site.client.get("/prompt")).status_code == 500
        await site.program.line("time_limits_suspended|BdbQuit")
        assert (await site.client.get("/")).text == "went on"


async def test_without_inspect_a_debugger_is_refused(tmp_path: Path) -> None:
    """Its error says what to use instead, and no limit is suspended."""
    async with opened(tmp_path, {"entry.py": ENTRY}, LIMITS) as running:
        assert await running.status("/wall") == 500
        assert "atoll dev --inspect" in str(running.seen.failures[-1][1])
        assert await running.status("/slow") == 504


async def test_without_inspect_a_breakpoint_is_refused(site: Site) -> None:
    """It would hold every request at a prompt that nobody sees."""
    (site.folder / "hello.py").write_text(ENTRY)
    async with serving(site, "dev"):
        assert (await site.client.get("/prompt")).status_code == 500
        await site.program.line("atoll dev --inspect")


async def test_an_attached_debugger_suspends_nothing_without_inspect(tmp_path: Path) -> None:
    """Only the option does it: production has none."""
    for inspect, struck in ((False, True), (True, False)):
        suspension = Suspension(inspect)
        suspension.traced(True)
        async with opened(tmp_path, {"entry.py": ENTRY}, LIMITS, suspension=suspension) as running:
            asking = asyncio.create_task(running.status("/slow"))
            done, _ = await asyncio.wait([asking], timeout=0.4)
            assert bool(done) is struck
            suspension.traced(False)
            assert await asking == 504


async def test_a_request_body_may_stop_under_a_debugger(tmp_path: Path) -> None:
    """The client's silence does not count while the handler is looked at."""
    entry = """
    from workers import Response
    async def on_fetch(request, env, ctx):
        return Response(await request.text())
    """
    suspension = Suspension(True)
    suspension.traced(True)

    async def slowly():
        yield b"begin "
        await asyncio.sleep(0.3)
        yield b"end"

    toml = "[limits]\nbody_idle_ms = 100\n"
    async with (
        opened(tmp_path, {"entry.py": entry}, toml, suspension=suspension) as running,
        aiohttp.ClientSession() as client,
        client.post(running.url, data=slowly()) as response,
    ):
        assert await response.text() == "begin end"
