"""The whole stack at once: what it costs in memory and connections, and that it can be closed at any time."""

import asyncio
import gc
from collections import Counter
from contextlib import suppress

from atoll.errors import AbortError, AtollError
from atoll.fetch.framing import Reading
from atoll.fetch.hop import Answer
from atoll.fetch.http1 import Connection
from atoll.fetch.incoming import Incoming
from atoll.http.body import Body
from support.subrequests import Engine, bytes_of, subrequests
from support.upstream import CountingUpstream, ScriptedUpstream, answer, chunked_answer, refusing


async def test_a_subrequest_leaves_no_circles() -> None:
    """What a subrequest made is freed when it is let go of, without the garbage collector, which is mostly off."""
    kinds = (Reading, Incoming, Answer, Body, Connection, AtollError)

    def alive() -> Counter[str]:
        return Counter(type(found).__name__ for found in gc.get_objects() if isinstance(found, kinds))

    with refusing() as nowhere:
        for raw in (answer(b"x"), chunked_answer(b"a", b"b" * 300_000), answer(status="999 Much"), b"?", nowhere):
            async with ScriptedUpstream([raw if isinstance(raw, bytes) else b""]) as upstream, subrequests() as engine:
                url = upstream.url() if isinstance(raw, bytes) else raw
                await several(engine, url, 5)
                gc.collect()
                before = alive()
                gc.disable()
                try:
                    await several(engine, url, 20)
                    after = alive()
                finally:
                    gc.enable()
                assert all(after[kind] - before[kind] < 5 for kind in after), (raw, before, after)


async def several(engine: Engine, url: str, count: int) -> None:
    for _ in range(count):
        with suppress(AbortError):
            await bytes_of(await engine.get(url))


async def test_a_fan_out_shares_what_is_there() -> None:
    """Fifty at once, again and again: fifty connections, and no more."""
    async with CountingUpstream() as upstream, subrequests() as engine:
        for _ in range(4):
            responses = await asyncio.gather(*(engine.get(upstream.url(f"/{n}")) for n in range(50)))
            assert {response.status for response in responses} == {200}
        statistics = engine.stack.statistics()
        assert statistics.opened_total <= 50
        assert statistics.opened_total + statistics.reused_total == 200
        assert statistics.open == statistics.idle == statistics.opened_total
        assert repr(statistics).startswith("Statistics(origins=1")
