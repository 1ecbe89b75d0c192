"""What a subrequest costs this process, alone and among others."""

import asyncio
import gc
import time

import pytest

from atoll import current
from atoll.limits import Limits
from support.processes import running_upstream
from support.subrequests import CountedInvocation, Engine, bytes_of, subrequests

SUBREQUESTS = 2_000


async def cpu_us(engine: Engine, url: str, fan_out: int) -> float:
    """CPU time of this process for one subrequest, when this many leave together under each invocation."""
    gc.collect()
    began_s = time.process_time()
    for _ in range(SUBREQUESTS // fan_out):
        invoked = CountedInvocation(Limits(subrequests=50, connections=50))
        token = current.invocation.set(invoked)  # type: ignore[arg-type]
        try:
            responses = await asyncio.gather(*(engine.get(url) for _ in range(fan_out)))
        finally:
            current.invocation.reset(token)
        for response in responses:
            assert await bytes_of(response) == b"7"
    return (time.process_time() - began_s) / SUBREQUESTS * 1e6


@pytest.mark.timing
async def test_cost_does_not_grow_with_the_fan_out() -> None:
    """A subrequest among 50 of one handler costs less than 1.5 times one that leaves alone."""
    async with running_upstream() as origin, subrequests() as engine:
        url = f"{origin}/ok/7"
        await cpu_us(engine, url, 50)  # Connects.
        pairs = [(await cpu_us(engine, url, 1), await cpu_us(engine, url, 50)) for _ in range(3)]
        assert engine.stack.statistics().open == 50
    print("µs of CPU a subrequest, alone and among 50:", [f"{alone:.0f} {among:.0f}" for alone, among in pairs])
    assert min(among / alone for alone, among in pairs) < 1.5
