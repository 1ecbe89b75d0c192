"""What handlers do with asyncio, anyio, threads, programs and other clients works in an isolate as it does anywhere."""

from pathlib import Path

import pytest

from support.gateway import opened

SOURCE = """
    import asyncio, anyio, contextvars, threading, time, functools, concurrent.futures, warnings
    from workers import Response, fetch, env

    cv = contextvars.ContextVar("cv", default=0)


    async def part(n):
        await anyio.sleep(0.001)
        return n


    async def on_fetch(request, env, ctx):
        path = request.url.split("/", 3)[3]
        if path == "anyio":
            out = []
            async with anyio.create_task_group() as tg:

                async def f(n):
                    out.append(await part(n))

                for n in range(5):
                    tg.start_soon(f, n)
            with anyio.move_on_after(0.01) as scope:
                await anyio.sleep(5)
            try:
                with anyio.fail_after(0.01):
                    await anyio.sleep(5)
            except TimeoutError:
                out.append("late")
            out.append(scope.cancelled_caught)
            return Response.json(out)
        if path == "timeout":
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(5)
            except TimeoutError:
                return Response("late")
        if path == "waitfor":
            try:
                await asyncio.wait_for(asyncio.sleep(5), 0.01)
            except TimeoutError:
                return Response("late")
        if path == "shield":
            t = asyncio.shield(asyncio.sleep(0.01, "s"))
            return Response(await t)
        if path == "thread":

            def work():
                cv.set(2)
                return (threading.current_thread().name, sum(range(1000)))

            return Response.json(await asyncio.to_thread(work))
        if path == "anyiothread":
            return Response.json(await anyio.to_thread.run_sync(lambda: 7))
        if path == "queue":
            q = asyncio.Queue()

            async def prod():
                for i in range(3):
                    await q.put(i)
                    await asyncio.sleep(0)

            t = asyncio.create_task(prod())
            got = [await q.get() for _ in range(3)]
            await t
            return Response.json(got)
        if path == "ascompleted":
            r = []
            for f in asyncio.as_completed([part(1), part(2)]):
                r.append(await f)
            return Response.json(sorted(r))
        if path == "wait":
            d, p = await asyncio.wait([asyncio.create_task(part(i)) for i in range(3)])
            return Response.json(sorted((t.result() for t in d)))
        if path == "names":
            t = asyncio.create_task(part(1), name="mine")
            n = t.get_name()
            c = repr(t)
            await t
            return Response.json([n, "part" in c])
        if path == "callsoon":
            f = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.01, f.set_result, "cb")
            return Response(await f)
        if path == "gen":

            async def g():
                async with asyncio.timeout(5):
                    for i in range(3):
                        async with anyio.create_task_group() as tg:
                            tg.start_soon(anyio.sleep, 0.001)
                        yield str(i)

            return Response(g())
        if path == "runner":
            coro = part(1)
            try:
                asyncio.run(coro)
            except RuntimeError as e:
                coro.close()
                return Response("no nested loop")
        if path == "group":
            try:
                async with asyncio.TaskGroup() as tg:
                    tg.create_task(part(1))
                    tg.create_task(asyncio.sleep("x"))
            except* TypeError as e:
                pass
            return Response("group")
        if path == "subproc":
            p = await asyncio.create_subprocess_exec("echo", "hi", stdout=asyncio.subprocess.PIPE)
            o, _ = await p.communicate()
            return Response(o)
        if path == "httpx":
            import httpx

            async with httpx.AsyncClient(trust_env=False) as c:
                r = await c.get(request.url.rsplit("/", 1)[0] + "/anyio")
                return Response.json(r.json())
        if path == "raisebase":
            raise BaseException("base")
        if path == "genexit":
            raise GeneratorExit
        if path == "stopiter":
            raise StopIteration(4)
        if path == "exc_none":
            return None
        return Response("?")
    """

ANSWERS = {
    "anyio": '[0, 1, 2, 3, 4, "late", true]',
    "timeout": "late",
    "waitfor": "late",
    "shield": "s",
    "anyiothread": "7",
    "queue": "[0, 1, 2]",
    "ascompleted": "[1, 2]",
    "wait": "[0, 1, 2]",
    "names": '["mine", true]',
    "callsoon": "cb",
    "gen": "012",
    "runner": "no nested loop",
    "group": "group",
    "subproc": "hi\n",
    "httpx": '[0, 1, 2, 3, 4, "late", true]',
}


@pytest.mark.parametrize("how", ANSWERS)
async def test_it_works_as_anywhere(tmp_path: Path, how: str) -> None:
    """Timeouts, groups, shields, queues, threads, subprocesses and httpx behave, and nothing is left over."""
    async with opened(tmp_path, {"entry.py": SOURCE}) as running:
        assert await running.text(f"/{how}") == ANSWERS[how]
        await running.seen.until(lambda seen: seen.ended_facts)
        assert running.gateway.in_flight == 0
        assert running.seen.failures == []


@pytest.mark.parametrize("raised", ["raisebase", "genexit", "stopiter", "exc_none"])
async def test_whatever_is_raised_is_the_handlers_failure(tmp_path: Path, raised: str) -> None:
    """BaseException, GeneratorExit, StopIteration and a missing answer are 500 with code 1101; the loop lives on."""
    async with opened(tmp_path, {"entry.py": SOURCE}) as running:
        async with running.client.get(f"{running.url}/{raised}") as response:
            assert (response.status, "1101" in await response.text()) == (500, True)
        assert await running.text("/timeout") == "late"
