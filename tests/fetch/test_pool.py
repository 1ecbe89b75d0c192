"""Connections per origin: reuse, bounds, idle expiry, cancellation, and contexts."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from atoll import current
from atoll.errors import ConnectFailed, ConnectionBroken
from atoll.fetch.http1 import Connection
from atoll.http.body import Body
from support.raw_upstream import ListSource
from support.scripts import after, bytes_then_close, bytes_then_silence
from support.subrequests import bytes_of, subrequests
from support.upstream import CountingUpstream, ScriptedUpstream, answer
from support.waiting import eventually


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


async def test_the_connection_used_last_is_taken_first() -> None:
    """Idle connections are a stack, so that those that are not needed can grow old."""
    async with CountingUpstream(held=True) as upstream, subrequests() as engine:
        tasks = [asyncio.create_task(engine.get(upstream.url())) for _ in range(4)]
        await eventually(lambda: upstream.in_flight == 4)
        upstream.gate.set()
        await asyncio.gather(*tasks)
        for _ in range(6):
            await engine.get(upstream.url())
        statistics = engine.stack.statistics()
        assert (statistics.open, statistics.idle, statistics.opened_total, statistics.reused_total) == (4, 4, 4, 6)


async def test_idle_connections_expire() -> None:
    """After keep_alive_s without use a connection is closed, by a sweep that is off the way of requests."""
    clock = Hand()
    async with ScriptedUpstream([answer()]) as upstream, subrequests(clock=clock, keep_alive_s=30) as engine:
        await engine.get(upstream.url())
        pool = engine.stack._pool
        clock.now_s += 29
        pool.sweep()
        assert engine.stack.statistics().idle == 1
        clock.now_s += 1
        pool.sweep()
        assert (engine.stack.statistics().open, engine.stack.statistics().origins) == (0, 0)
        await eventually(lambda: upstream.connections_open == 0)


async def test_the_upstreams_own_keep_alive_is_heeded() -> None:
    """A connection that the upstream said it would drop is not used in its last second."""
    clock = Hand()
    raw = answer(headers=[("Keep-Alive", "timeout=5, max=100")])
    async with ScriptedUpstream([raw]) as upstream, subrequests(clock=clock) as engine:
        await engine.get(upstream.url())
        clock.now_s += 3.9
        await engine.get(upstream.url())
        assert upstream.connections_ever == 1
        clock.now_s += 4
        await engine.get(upstream.url())
        assert upstream.connections_ever == 2
    async with ScriptedUpstream([answer(headers=[("Keep-Alive", "timeout=1")])]) as upstream, subrequests() as engine:
        await engine.get(upstream.url())
        assert engine.stack.statistics().open == 0


async def test_keep_alive_can_be_off() -> None:
    """With keep_alive_s = 0 every request has a connection of its own."""
    async with ScriptedUpstream([answer()]) as upstream, subrequests(keep_alive_s=0) as engine:
        for _ in range(3):
            await engine.get(upstream.url())
        assert upstream.connections_ever == 3


async def test_origins_do_not_share_connections() -> None:
    """Scheme, host and port make the key: the same server by another name is another origin."""
    async with ScriptedUpstream([answer()]) as upstream, subrequests() as engine:
        await engine.get(upstream.url())
        await engine.get(f"http://localhost:{upstream.port}/")
        assert (upstream.connections_ever, engine.stack.statistics().origins) == (2, 2)


async def test_the_bound_per_origin_holds_and_turns_come_in_order() -> None:
    """No more connections than per_origin_connections; who waits gets the next free one, first come first served."""
    async with CountingUpstream(held=True) as upstream, subrequests(per_origin_connections=2) as engine:
        tasks = [asyncio.create_task(engine.get(upstream.url(f"/{n}"))) for n in range(8)]
        await eventually(lambda: upstream.in_flight == 2)
        assert (engine.stack.statistics().waiting, engine.stack.statistics().open) == (6, 2)
        upstream.gate.set()
        await asyncio.gather(*tasks)
        assert upstream.in_flight_max == 2
        assert engine.stack.statistics().opened_total == 2
        assert upstream.targets[2:] == [f"/{n}" for n in range(2, 8)]


async def test_a_turn_survives_cancellations_and_closed_connections() -> None:
    """Cancelled requests, upstreams that close each time: the place is passed on, never lost."""
    gate = asyncio.Event()
    script = after(gate, bytes_then_close(answer(b"x", headers=[("Connection", "close")])))
    async with ScriptedUpstream(script) as upstream, subrequests(per_origin_connections=1) as engine:
        tasks = [asyncio.create_task(engine.get(upstream.url())) for _ in range(8)]
        await eventually(lambda: upstream.requests == 1)
        for number in (3, 0, 1):
            tasks[number].cancel()
            await asyncio.sleep(0)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, BaseException) for result in results] == [n in (3, 0, 1) for n in range(8)]
        await eventually(lambda: engine.stack.statistics().origins == 0)
        assert upstream.connections_open_max <= 2  # The server may learn of a close after the next connect.


async def test_a_failed_connect_gives_its_slot_back() -> None:
    """A slot that never became a connection is free for the next request."""
    async with subrequests(per_origin_connections=1) as engine:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            for _ in range(3):
                with pytest.raises(ConnectFailed, match="Connection refused"):
                    await engine.get(f"http://127.0.0.1:{bound.getsockname()[1]}/")
        assert engine.stack.statistics().origins == 0


@contextmanager
def full_backlog() -> Iterator[str]:
    """The origin of a port whose connections hang: its queue of pending ones is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        try:
            yield f"http://127.0.0.1:{address[1]}/"
        finally:
            for filler in fillers:
                filler.close()


async def test_a_cancelled_connect_is_given_up() -> None:
    """The attempt of a cancelled request is cancelled with it; nothing goes on connecting."""
    with full_backlog() as url:
        async with subrequests() as engine:
            task = asyncio.create_task(engine.get(url))
            await eventually(lambda: engine.stack.statistics().connecting == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually(lambda: engine.stack.statistics().connecting == 0)
            assert engine.stack.statistics().origins == 0


async def test_a_connect_that_came_about_all_the_same_is_parked() -> None:
    """A request cancelled at the moment of its connection leaves a clean connection to the next one."""
    async with ScriptedUpstream([answer(b"x")]) as upstream, subrequests() as engine:
        for turns in range(1, 12):
            task = asyncio.create_task(engine.get(upstream.url()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await eventually(lambda: engine.stack.statistics().connecting == 0)
            assert await bytes_of(await engine.get(upstream.url())) == b"x"
        statistics = engine.stack.statistics()
        assert (statistics.open, statistics.connecting) == (statistics.idle, 0)


async def test_closing_fails_what_is_under_way() -> None:
    """At the end requests in flight, in the queue and connecting fail; what comes later is refused."""
    async with ScriptedUpstream(bytes_then_silence()) as upstream:
        with full_backlog() as hanging:
            async with subrequests(per_origin_connections=1) as engine:
                tasks = [asyncio.create_task(engine.get(upstream.url())) for _ in range(3)]
                tasks.append(asyncio.create_task(engine.get(hanging)))
                await eventually(lambda: upstream.requests == 1)
                await engine.stack.aclose()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert [type(result) for result in results] == [ConnectionBroken] * 4
                with pytest.raises(ConnectionBroken, match="shutting down"):
                    await engine.get(upstream.url())
        await eventually(lambda: upstream.connections_open == 0)


class SpiedSource(ListSource):
    """Notes which invocation its reading ran under."""

    def __init__(self, chunks: list[bytes | Exception], *, author_code: bool) -> None:
        super().__init__(chunks)
        self.author_code = author_code
        self.seen: object = None

    async def read(self) -> bytes:
        self.seen = current.invocation.get()
        return await super().read()

    async def aclose(self) -> None:
        self.close()


async def test_timers_belong_to_no_invocation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the sweep of idle connections nor the tick of bounded waits sees the invocation that set it going."""
    monkeypatch.setattr("atoll.fetch.pool.SWEEP_S", 0.01)
    seen: list[object] = []

    class Spy:
        def __call__(self) -> float:
            seen.append(current.invocation.get())
            return float(len(seen))

        def ran_out(self) -> None:
            ran_out.append(current.invocation.get())

    spy, ran_out = Spy(), list[object]()
    async with ScriptedUpstream([answer()]) as upstream, subrequests(clock=spy, keep_alive_s=5) as engine:
        await engine.get(upstream.url())
        # The connection was parked by the transport, in no invocation; this starts the timer from within one.
        pool = engine.stack._pool
        pool._sweeper.cancel()  # type: ignore[union-attr]
        pool.sweep()
        del seen[:]
        await eventually(lambda: engine.stack.statistics().open == 0)
        assert set(seen) == {None}
        engine.stack._waits.begin(spy, 1)
        await eventually(lambda: ran_out)
        assert ran_out == [None]


async def test_connections_belong_to_no_invocation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transport callbacks see no invocation, though one opened the connection; only author code of a body does."""
    seen: list[object] = []
    received = Connection.data_received

    def spying(self: Connection, data: bytes) -> None:
        seen.append(current.invocation.get())
        received(self, data)

    monkeypatch.setattr(Connection, "data_received", spying)
    authors, moved = SpiedSource([b"abc"], author_code=True), SpiedSource([b"abc"], author_code=False)
    async with ScriptedUpstream([answer(b"x")]) as upstream, subrequests(headers_ms=1_000) as engine:
        await engine.get(upstream.url())
        await engine.send("POST", f"http://localhost:{upstream.port}/", Body(source=authors))
        await engine.send("POST", upstream.url(), Body(source=moved))
        assert seen == [None, None, None]
        assert authors.seen is engine.invocation
        assert moved.seen is None
