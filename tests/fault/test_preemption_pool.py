"""Limits that hit while connections are taken and given back: the pool's books stay right.

`ATOLL_SOAK` in the environment is another number of invocations.
"""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from atoll.fetch.stack import Stack, build
from atoll.serve import assembly
from support.gateway import opened
from support.processes import running_upstream
from support.waiting import eventually

INVOCATIONS = int(os.environ.get("ATOLL_SOAK", "500"))
AT_ONCE = 15

HANDLER = """
    import asyncio, time
    from workers import Response, fetch

    async def one(origin, number):
        response = await fetch(f"{origin}/ok/{number}")
        end = time.thread_time() + 0.0003
        while time.thread_time() < end:
            pass
        return number, await response.text()

    async def on_fetch(request, env, ctx):
        which = int(request.url.rpartition("/")[2])
        first = which * 1000
        seen = []
        for turn in range(first, first + 6 * (1 + which % 10), 6):
            seen += await asyncio.gather(*(one(env.UPSTREAM, turn + n) for n in range(6)))
            if any(text != str(number) * (8000 if number % 40 == 0 else 1) for number, text in seen):
                return Response(str(seen), status=500)
        return Response("done")
    """


async def test_no_connection_is_lost_or_used_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over thousands of subrequests of invocations that run out of CPU time, no answer crosses and nothing is left."""
    stacks: list[Stack] = []

    def built(*given: Any, **named: Any) -> Stack:
        stacks.append(build(*given, **named))
        return stacks[-1]

    monkeypatch.setattr(assembly, "build", built)
    ended: Counter[int] = Counter()
    async with running_upstream() as origin:
        toml = f'vars = {{ UPSTREAM = "{origin}" }}\n[limits]\ncpu_ms = 6\nsubrequests = 100\n'
        async with opened(tmp_path, {"entry.py": HANDLER}, toml) as running:
            (stack,) = stacks
            numbers = iter(range(INVOCATIONS))

            async def ask() -> None:
                for number in numbers:
                    ended[await running.status(f"/{number}")] += 1

            await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
            await running.seen.until(lambda seen: len(seen.ended_facts) == INVOCATIONS)
            subrequests = sum(facts["subrequests"] for facts in running.seen.ended_facts)
            print(f"{dict(ended)}, {subrequests} subrequests, {stack.statistics()}")
            assert set(ended) <= {200, 503}
            assert ended[503] > INVOCATIONS / 3
            await eventually(lambda: stack.statistics().open == stack.statistics().idle)
            assert stack.statistics().waiting == stack.statistics().connecting == 0

            async def both_know_the_same() -> bool:
                async with running.client.get(f"{origin}/open/0") as response:
                    return int(await response.text()) == stack.statistics().open

            await eventually(both_know_the_same, what="as many connections there as here")
