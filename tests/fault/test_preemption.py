"""Limits on CPU time and blocking hold while a step runs, and disturb nobody else."""

import asyncio
import json
import re
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from support.gateway import opened
from support.site import Site, serving
from support.waiting import eventually

LIMITS = "[limits]\ncpu_ms = 50\nhold_ms = 300\n"

GREEDY = """
    import asyncio, json, re, socket, threading, time
    from workers import Response

    def work():
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass

    def deep(n=0):
        return deep(n + 1) if n < 500 else n

    async def spin(ms):
        end = time.thread_time() + ms / 1000
        while time.thread_time() < end:
            pass

    async def on_fetch(request, env, ctx):
        what = request.url.rpartition("/")[2]
        if what == "loop":
            while True:
                pass
        elif what == "generator":
            sum(n for n in range(10**9))
        elif what == "regex":
            re.match(r"(a+)+$", "a" * 40 + "b")
        elif what == "power":
            10 ** 10 ** 8
        elif what == "recursion":
            while True:
                deep()
        elif what == "json":
            while True:
                json.dumps(json.loads("[" * 500 + "]" * 500), indent=1)
        elif what == "except":
            while True:
                try:
                    while True:
                        pass
                except Exception:
                    pass
        elif what == "finally":
            try:
                while True:
                    pass
            finally:
                while True:
                    pass
        elif what == "swallow":
            work()
        elif what == "tasks":
            await asyncio.gather(*(spin(2) for _ in range(100)))
        elif what == "sleep":
            time.sleep(60)
        elif what == "recv":
            ours, theirs = socket.socketpair()
            with ours, theirs:
                ours.recv(1)
        elif what == "callbacks":
            loop = asyncio.get_running_loop()
            def again():
                end = time.thread_time() + 0.001
                while time.thread_time() < end:
                    pass
                loop.call_soon(again)
            loop.call_soon(again)
            await asyncio.sleep(5)
        elif what == "later":
            loop = asyncio.get_running_loop()
            def again():
                end = time.thread_time() + 0.002
                while time.thread_time() < end:
                    pass
                loop.call_later(0.0001, again)
            loop.call_soon(again)
            await asyncio.sleep(5)
        elif what == "bare":
            asyncio.Task(spin(5000))
            await asyncio.sleep(5)
        elif what == "to_thread":
            await asyncio.to_thread(work_in_thread)
        elif what == "thread":
            threading.Thread(target=work_in_thread).start()
            await asyncio.sleep(5)
        return Response("done")

    def work_in_thread():
        while True:
            pass
    """


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def stopped(folder: Path, what: str) -> tuple[float, float, str]:
    """Ask for it while other requests come every 10 ms: its time, the longest of the others, its outcome."""
    async with opened(folder, {"entry.py": GREEDY}, LIMITS) as running:
        assert await running.status("/") == 200
        others: list[float] = []

        async def other() -> None:
            began_s = time.monotonic()
            assert await running.status("/") == 200
            others.append(time.monotonic() - began_s)

        async def ask() -> float:
            began_s = time.monotonic()
            assert await running.status("/" + what) == 503
            return time.monotonic() - began_s

        async with asyncio.TaskGroup() as group:
            greedy = group.create_task(ask())
            while not greedy.done():
                group.create_task(other())
                await asyncio.sleep(0.01)
        await running.seen.until(lambda seen: any(facts["path"] == "/" + what for facts in seen.ended_facts))
        (outcome,) = (facts["outcome"] for facts in running.seen.ended_facts if facts["path"] == "/" + what)
        print(f"{what}: {greedy.result() * 1000:.0f} ms, others {max(others) * 1000:.0f} ms")
        assert await running.status("/") == 200
        await eventually(lambda: not any("work_in_thread" in name for name in thread_functions()))
        return greedy.result(), max(others), str(outcome)


def thread_functions() -> list[str]:
    """The functions that the threads of this process are in."""
    return [frame.f_code.co_name for frame in sys._current_frames().values()]


CPU = {
    **dict.fromkeys(("loop", "generator", "regex", "recursion", "json", "tasks"), 0.1),
    **dict.fromkeys(("except", "finally", "callbacks", "later", "bare", "to_thread", "thread"), 0.15),
    "power": 0.3,
    "swallow": 0.5,
}


@pytest.mark.timing
@pytest.mark.parametrize("what", CPU)
async def test_a_step_past_its_cpu_time_is_stopped(tmp_path: Path, what: str) -> None:
    """It ends at the budget and a few ticks (three times that counts), and no other request fails or waits longer."""
    took_s, others_s, outcome = await stopped(tmp_path, what)
    assert outcome == "exceededCpu"
    assert took_s < 3 * CPU[what]
    assert others_s < 3 * CPU[what]


@pytest.mark.timing
@pytest.mark.parametrize("what", ["sleep", "recv"])
async def test_a_step_that_blocks_is_stopped(tmp_path: Path, what: str) -> None:
    """A call that sleeps or waits in the loop's thread ends at hold_ms, in process."""
    took_s, _, outcome = await stopped(tmp_path, what)
    assert outcome == "exceededWallTime"
    assert 0.3 <= took_s < 0.9


async def test_an_import_is_never_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that takes six budgets to import comes whole, and the handler that imported it answers."""
    site = tmp_path / "site"
    site.mkdir()
    burn = "import time\nend = time.thread_time() + 0.3\nwhile time.thread_time() < end:\n    pass\nWHOLE = True\n"
    (site / "slow_package.py").write_text(burn)
    monkeypatch.syspath_prepend(str(site))
    source = """
        from workers import Response
        async def on_fetch(request, env, ctx):
            import slow_package
            whole = slow_package.WHOLE
            return Response(str(whole))
        """
    worker = tmp_path / "worker"
    worker.mkdir()
    async with opened(worker, {"entry.py": source}, "[limits]\ncpu_ms = 50") as running:
        assert await running.text() == "True"
    monkeypatch.delitem(sys.modules, "slow_package")


async def test_what_the_runtime_does_is_never_interrupted(tmp_path: Path) -> None:
    """Past the budget inside a function of the runtime, the author's next line is where it ends."""
    source = """
        from workers import Headers, Response
        async def on_fetch(request, env, ctx):
            while True:
                headers = Headers([(f"name-{n}", "value") for n in range(3)])
                for n in range(100_000):
                    headers.append("name", "value")
        """
    async with opened(tmp_path, {"entry.py": source}, "[limits]\ncpu_ms = 20") as running:
        assert await running.status() == 503
        await running.seen.until(lambda seen: seen.ended_facts)
        assert running.seen.ended_facts[0]["outcome"] == "exceededCpu"


@pytest.mark.timing
async def test_what_no_signal_reaches_costs_the_process(site: Site) -> None:
    """The log names worker, invocation and line; the process is replaced within 2 s (3 count) and serves."""
    site.configure("[limits]\ncpu_ms = 50\nhold_ms = 300\n")
    async with serving(site, "serve", "--processes", 1):
        (victim,) = site.processes
        began_s = time.monotonic()
        stuck = asyncio.create_task(site.asked("/stuck"))
        line = json.loads(await site.program.line("process_stuck"))
        assert line["worker"] == "hello"
        assert re.fullmatch("[0-9a-f]{20}", line["request_id"])
        await site.program.line(r'hello\.py", line \d+ in fetch')
        await site.program.line("process_replaced")
        took_s = time.monotonic() - began_s
        print(f"replaced after {took_s * 1000:.0f} ms")
        assert await stuck is None
        assert (await site.ask())[1] != victim
        assert time.monotonic() - began_s < took_s + 0.5
        assert took_s < 3


@pytest.mark.timing
async def test_a_served_process_goes_on(site: Site) -> None:
    """In `atoll serve` too: stopped in process, while a response that streams there comes whole and in its rhythm."""
    site.configure("[limits]\ncpu_ms = 50\nhold_ms = 300\n")
    (site.folder / "hello.py").write_text(dedent(SERVED))
    async with serving(site, "serve", "--processes", 1):
        (process,) = site.processes

        async def stream() -> tuple[int, float]:
            count, before_s, longest_s = 0, time.monotonic(), 0.0
            async with site.client.stream("GET", "/stream") as response:
                async for chunk in response.aiter_bytes():
                    count += len(chunk)
                    longest_s = max(longest_s, time.monotonic() - before_s)
                    before_s = time.monotonic()
            return count, longest_s

        streaming = asyncio.create_task(stream())
        for path in ("/loop", "/swallow", "/thread", "/sleep", "/loop"):
            began_s = time.monotonic()
            response = await site.client.get(path)
            print(f"{path}: {response.status_code} after {(time.monotonic() - began_s) * 1000:.0f} ms")
            assert (response.status_code, "1102" in response.text) == (503, True)
        count, longest_s = await streaming
        print(f"longest gap {longest_s * 1000:.0f} ms")
        assert count == 200
        assert longest_s < 1
        assert site.processes == [process]


SERVED = """
    import asyncio, time
    from workers import Response

    def swallow():
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass

    def spin():
        while True:
            pass

    async def ticking():
        for _ in range(200):
            yield b"x"
            await asyncio.sleep(0.01)

    async def on_fetch(request, env, ctx):
        if request.url.endswith("/stream"):
            return Response(ticking())
        if request.url.endswith("/loop"):
            while True:
                pass
        if request.url.endswith("/swallow"):
            swallow()
        if request.url.endswith("/thread"):
            await asyncio.to_thread(spin)
        time.sleep(60)
    """
