"""What a handler does to end its process: undone where it can be, replaced by another process where it cannot."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from support.site import Site, serving

ENTRY = """
import asyncio, ctypes, os, sys, threading
from workers import Response

async def ends(how):
    raise how

async def parts(how):
    yield "begin"
    raise how

async def on_fetch(request, env, ctx):
    path = request.url.rpartition("/")[2]
    loop = asyncio.get_running_loop()
    how = KeyboardInterrupt() if path.endswith("-interrupt") else SystemExit(3)
    match path.partition("-")[0]:
        case "slow":
            print("slow began")
            await asyncio.sleep(0.5)
        case "handler":
            raise how
        case "task":
            await asyncio.create_task(ends(how))
        case "bare":
            await asyncio.Task(ends(how))
        case "body":
            return Response(parts(how))
        case "executor":
            def raises():
                raise how
            await loop.run_in_executor(None, raises)
        case "callback":
            def called():
                raise how
            loop.call_soon(called)
            loop.call_later(0.001, called)
            await asyncio.sleep(0.01)
        case "stopped":
            type(loop).stop(loop)
            await asyncio.sleep(0.01)
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit.__wrapped__(3)
        case "abort":
            os.abort.__wrapped__()
    return Response(f"one {os.getpid()}")
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    (tmp_path / "hello.py").write_text(ENTRY)
    return site


async def test_the_loop_goes_on_whatever_is_raised_in_it(site: Site) -> None:
    """SystemExit and KeyboardInterrupt end their invocation at most; the process and its requests go on."""
    async with serving(site, "serve", "--processes", 1):
        _, process = await site.ask()
        for where, statuses in (
            ("handler", [500]),
            ("task", [500]),
            ("bare", [500]),
            ("executor", [500]),
            # Whose callback it was is not known.
            ("callback", [200]),
            ("stopped", [200]),
        ):
            for how in ("exit", "interrupt"):
                slow = await site.slow()
                answer = await site.client.get(f"/{where}-{how}")
                assert answer.status_code in statuses, where
                assert await slow == ("one", process), where
        slow = await site.slow()
        with pytest.raises(httpx.RemoteProtocolError):
            await site.client.get("/body-exit")
        assert await slow == ("one", process)
        await site.program.line("goes on: author code raised SystemExit outside of a task")
        await site.program.line("goes on: author code stopped it")


@pytest.mark.parametrize(
    ("how", "cause"),
    [("segfault", "signal SIGSEGV"), ("abort", "signal SIGABRT"), ("exit", "exit status 3")],
)
async def test_a_process_that_was_ended_is_replaced(site: Site, how: str, cause: str) -> None:
    """Requests in flight see their connection close, the log says how it ended, and the next request is answered."""
    async with serving(site, "serve", "--processes", 1):
        slow = asyncio.create_task(site.asked("/slow"))
        await site.program.line("slow began")
        assert await site.asked(f"/{how}") is None
        assert await slow is None
        line = json.loads(await site.program.line("process_replaced"))
        assert line["cause"] == cause
        assert (await site.ask())[1] == line["pid"]
