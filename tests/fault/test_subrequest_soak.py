"""A hundred thousand subrequests against an upstream that fails in every way: no answer crosses, and nothing is left.

`ATOLL_SOAK` in the environment is another number of subrequests.
"""

import asyncio
import gc
import os
import random
import time
from collections import Counter

import pytest

from atoll import current
from atoll.errors import AbortError, BodyBroken
from atoll.limits import Limits
from support.faulty_upstream import FAILING, SOUND, STALLING, body_of
from support.processes import open_files, rss_bytes, running_upstream
from support.subrequests import CountedInvocation, Engine, bytes_of, subrequests
from support.waiting import eventually

SUBREQUESTS = int(os.environ.get("ATOLL_SOAK", "100000"))
FAN_OUT = 50
INVOCATIONS_AT_ONCE = 4
GROWTH_BYTES_MAX = 16 * 1024 * 1024
OBJECTS_MAX = 5_000

KINDS = ("ok",) * 12 + ("chunked",) * 4 + SOUND + FAILING + STALLING


class Soak:
    """What was asked of the upstream, and what came back."""

    def __init__(self, engine: Engine, origin: str, seed: int) -> None:
        self.engine = engine
        self.origin = origin
        self.dice = random.Random(seed)
        self.asked = 0
        self.counted: Counter[str] = Counter()

    async def work(self, until: int) -> None:
        """Run one invocation after another."""
        while self.asked < until:
            await self.invocation()

    async def invocation(self) -> None:
        """One fan-out in a context of its own, as a handler's."""
        invoked = CountedInvocation(Limits(subrequests=2 * FAN_OUT, connections=FAN_OUT // 2))
        token = current.invocation.set(invoked)  # type: ignore[arg-type]
        try:
            numbers = range(self.asked, self.asked + FAN_OUT)
            self.asked += FAN_OUT
            await asyncio.gather(*(self.one(self.dice.choice(KINDS), number) for number in numbers))
            for resource in list(invoked.held):
                resource.close()
            assert invoked.budget.waiting == 0
        finally:
            current.invocation.reset(token)

    async def one(self, kind: str, number: int) -> None:
        """One subrequest; its end has to be the one that its kind promises."""
        asking = self.ask(f"{self.origin}/{kind}/{number}")
        if kind in STALLING:
            try:
                async with asyncio.timeout(0.005 * self.dice.random()):
                    await asking
                raise AssertionError(f"{kind} {number} was answered")
            except TimeoutError:
                self.counted["cancelled"] += 1
        elif kind in SOUND:
            body = await asking
            assert body == body_of(b"%d" % number), (kind, number, body[:100])
            self.counted["answered"] += 1
        else:
            try:
                await asking
                raise AssertionError(f"{kind} {number} was answered")
            except (AbortError, BodyBroken):
                self.counted["failed"] += 1

    async def ask(self, url: str) -> bytes:
        return await bytes_of(await self.engine.get(url))


@pytest.mark.slow
async def test_a_hundred_thousand_subrequests() -> None:
    """Every answer is the one that was asked for; at the end no socket, task, slot or memory is left."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    tasks_before = len(asyncio.all_tasks())
    started_s = time.monotonic()
    async with running_upstream() as origin:
        files_before = open_files(os.getpid())
        async with subrequests() as engine:
            soak = Soak(engine, origin, seed)
            await in_gathers(soak, SUBREQUESTS // 4)
            memory, objects = used()
            await in_gathers(soak, SUBREQUESTS)
            memory_after, objects_after = used()
            # Rests of bodies that nobody wanted are waited for a moment longer.
            await eventually(lambda: engine.stack.statistics().open == engine.stack.statistics().idle)

            async def both_know_the_same() -> bool:
                others = int(await soak.ask(f"{origin}/open"))
                return others == engine.stack.statistics().open - 1

            await eventually(both_know_the_same, what="as many connections there as here")
            assert engine.stack.statistics().waiting == len(engine.stack._waits) == 0
            print(f"{soak.asked} in {time.monotonic() - started_s:.0f} s: {dict(soak.counted)}")
            print(
                f"{engine.stack.statistics()}; memory {memory} to {memory_after}, objects {objects} to {objects_after}"
            )
        async with subrequests(keep_alive_s=0) as engine:
            last = Soak(engine, origin, seed)

            async def open_there() -> bool:
                return await last.ask(f"{origin}/open") == b"0"

            await eventually(open_there, what="no connection open at the upstream")
        await eventually(lambda: open_files(os.getpid()) <= files_before, what="no descriptor left")
    assert soak.counted.total() == soak.asked
    assert min(soak.counted.values()) > soak.asked / 20
    assert len(asyncio.all_tasks()) == tasks_before
    assert memory_after - memory < GROWTH_BYTES_MAX
    assert objects_after - objects < OBJECTS_MAX


async def in_gathers(soak: Soak, until: int) -> None:
    await asyncio.gather(*(soak.work(until) for _ in range(INVOCATIONS_AT_ONCE)))


def used() -> tuple[int, int]:
    """Resident memory and the number of objects, without garbage."""
    gc.collect()
    return rss_bytes(os.getpid()), len(gc.get_objects())
