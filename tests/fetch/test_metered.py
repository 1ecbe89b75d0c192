"""What a subrequest costs: counted before it leaves, a place while it waits, a body closed with its invocation."""

import asyncio

import pytest

from atoll import current
from atoll.errors import BodyBroken, ConnectFailed, NoInvocation, TooManySubrequests
from atoll.limits import Limits
from support.scripts import Endless, bytes_then_silence
from support.subrequests import bytes_of, subrequests
from support.upstream import CountingUpstream, ScriptedUpstream, answer, refusing
from support.waiting import eventually


async def test_the_cap_is_exact_and_nothing_leaves_past_it() -> None:
    """N succeed; N+1 is refused before anything is sent."""
    async with ScriptedUpstream([answer()]) as upstream, subrequests(Limits(subrequests=5)) as engine:
        results = await asyncio.gather(*(engine.get(upstream.url()) for _ in range(8)), return_exceptions=True)
        assert [type(result) for result in results[5:]] == [TooManySubrequests] * 3
        assert upstream.requests == 5


async def test_a_failed_subrequest_counts() -> None:
    """What was tried was counted, whatever came of it."""
    async with subrequests() as engine:
        with refusing() as origin, pytest.raises(ConnectFailed):
            await engine.get(origin)
        assert (engine.budget.subrequests, engine.budget.waiting) == (1, 0)


async def test_without_an_invocation_there_is_no_fetch() -> None:
    """At module top level nothing can be counted, so nothing leaves."""
    async with ScriptedUpstream([answer()]) as upstream, subrequests() as engine:
        token = current.invocation.set(None)
        with pytest.raises(NoInvocation, match="fetch needs a running invocation"):
            await engine.get(upstream.url())
        current.invocation.reset(token)
        assert upstream.connections_ever == 0


async def test_each_subrequest_is_timed() -> None:
    """Server-Timing learns the host, when the request left and when its head was there."""
    async with ScriptedUpstream([answer()]) as upstream, subrequests() as engine:
        await engine.get(upstream.url())
        [(name, started_s, head_s)] = engine.invocation.timings
        assert name == "127.0.0.1"
        assert 0 < head_s - started_s < 5


async def test_no_more_than_the_limit_wait_for_heads() -> None:
    """With three places, three requests are in flight, in the order in which they were made; the others take turns."""
    async with CountingUpstream(held=True) as upstream, subrequests(Limits(connections=3)) as engine:
        tasks = [asyncio.create_task(engine.get(upstream.url(f"/{n}"))) for n in range(10)]
        await eventually(lambda: upstream.in_flight == 3)
        assert upstream.count == 3
        assert sorted(upstream.targets) == ["/0", "/1", "/2"]
        upstream.gate.set()
        for task in tasks:
            assert (await task).status == 200
        assert (upstream.in_flight_max, upstream.count) == (3, 10)
        assert engine.budget.waiting == 0


async def test_turns_come_in_order() -> None:
    """With one place the requests are sent exactly in the order in which they were made."""
    async with CountingUpstream() as upstream, subrequests(Limits(connections=1)) as engine:
        await asyncio.gather(*(engine.get(upstream.url(f"/{n}")) for n in range(20)))
        assert upstream.targets == [f"/{n}" for n in range(20)]


async def test_a_cancelled_request_gives_its_place_on() -> None:
    """Cancelling the one in flight, one that waits, and one at the moment of its turn: no place is lost."""
    async with CountingUpstream(held=True) as upstream, subrequests(Limits(connections=1)) as engine:
        tasks = [asyncio.create_task(engine.get(upstream.url(f"/{n}"))) for n in range(5)]
        await eventually(lambda: upstream.in_flight == 1)
        tasks[2].cancel()
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        # Number 1 was given the place a moment ago.
        tasks[1].cancel()
        await eventually(lambda: "/3" in upstream.targets)
        upstream.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, True, True, False, False]
        assert engine.budget.waiting == 0


async def test_a_body_that_streams_takes_no_place() -> None:
    """The place is for the wait for the head; an endless body keeps none."""
    async with ScriptedUpstream(Endless()) as upstream, subrequests(Limits(connections=1)) as engine:
        responses = [await engine.get(upstream.url()) for _ in range(3)]
        assert (engine.budget.waiting, len(engine.invocation.held)) == (0, 3)
        for response in responses:
            assert response.body is not None
            response.body.close()
        assert not engine.invocation.held


async def test_the_invocation_closes_what_it_holds() -> None:
    """A body that nobody read is closed with its invocation: the upstream sees the connection go, a reader is told."""
    endless = Endless()
    async with ScriptedUpstream(endless) as upstream, subrequests() as engine:
        response = await engine.get(upstream.url())
        for resource in list(engine.invocation.held):
            resource.close()
        await asyncio.wait_for(endless.peer_left.wait(), 5)
        with pytest.raises(BodyBroken, match="closed before its end"):
            await bytes_of(response)


async def test_the_wait_for_a_place_can_be_cancelled_while_upstreams_are_silent() -> None:
    """Nobody who is cancelled stays in the queue."""
    async with (
        ScriptedUpstream(bytes_then_silence()) as upstream,
        subrequests(Limits(connections=2)) as engine,
    ):
        tasks = [asyncio.create_task(engine.get(upstream.url())) for _ in range(6)]
        await eventually(lambda: upstream.requests == 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert engine.budget.waiting == 0
        await eventually(lambda: upstream.connections_open == 0)
